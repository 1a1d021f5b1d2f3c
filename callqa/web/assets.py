"""The files under static/, held in memory: each has its hash in its address and may then be kept by the browser for ever.

Compressed once, at the start. An ASGI application: no thread, no file is touched by a request.
"""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.datastructures import Headers, QueryParams
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from callqa.web.ranges import etag_matches

_TEXT = (".css", ".js", ".svg")
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. zipped: None where compressing gains nothing."""

    body: bytes
    zipped: bytes | None
    media_type: str
    digest: str


class Assets:
    """All of them, by path below the folder."""

    def __init__(self, folder: Path, at: str = "/static") -> None:
        self._at = at
        self._all: Mapping[str, Asset] = {
            path.relative_to(folder).as_posix(): _load(path) for path in sorted(folder.rglob("*")) if path.is_file()
        }

    def address(self, path: str) -> str:
        """For templates. Raise KeyError for a file that is not there."""
        return f"{self._at}/{path}?v={self._all[path].digest}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("", status_code=405, headers={"Allow": "GET, HEAD"})
        asset = self._all.get(scope["path"].removeprefix(f"{self._at}/"))
        if asset is None:
            return PlainTextResponse("没有这个文件", status_code=404)
        wanted = Headers(scope=scope)
        etag = f'"{asset.digest}"'
        named = QueryParams(scope["query_string"]).get("v") == asset.digest
        headers = {"ETag": etag, "Cache-Control": _FOR_EVER if named else "no-cache", "Vary": "Accept-Encoding"}
        if etag_matches(wanted.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=headers)
        if asset.zipped is not None and "gzip" in wanted.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(asset.zipped, media_type=asset.media_type, headers=headers)
        return Response(asset.body, media_type=asset.media_type, headers=headers)


@cache
def load_assets(folder: Path) -> Assets:
    """The folder's, read once a process."""
    return Assets(folder)


def _load(path: Path) -> Asset:
    body = path.read_bytes()
    zipped = gzip.compress(body, mtime=0) if path.suffix in _TEXT else None
    if zipped is not None and len(zipped) >= len(body):
        zipped = None
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if path.suffix == ".js":
        kind = "text/javascript"
    return Asset(body, zipped, kind, hashlib.sha256(body).hexdigest()[:12])
