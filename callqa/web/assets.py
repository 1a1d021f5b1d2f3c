"""The files under static/, held in memory: each has its hash in its address and may then be kept by the browser for ever.

Files that a page always loads together are one address more (BUNDLES), and the framework's sheet goes out without the rules that
no page of ours can match. Compressed once, at the start. An ASGI application: no thread, no file is touched by a request.
"""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from starlette.datastructures import Headers, QueryParams
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from callqa.web.ranges import etag_matches
from callqa.web.trim_css import trim, words_of

_TEXT = (".css", ".js", ".svg")
_FRAMEWORK = "vendor/tabler/tabler.min.css"
BUNDLES: Mapping[str, tuple[str, ...]] = {
    "base.css": (_FRAMEWORK, "app.css"),
    "base.js": ("app.js", "kept.js"),
    "playing.js": ("waveform.js", "player.js"),
    "scoring.js": ("evaluate.js", "waveform.js", "player.js"),  # the form's keys come before the player's
}
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
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        files[_FRAMEWORK] = _trimmed(files[_FRAMEWORK], folder.parent)
        files |= {name: b"\n".join(files[part] for part in parts) for name, parts in BUNDLES.items()}
        self._all: Mapping[str, Asset] = {name: _asset(name, body) for name, body in files.items()}

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


def _trimmed(sheet: bytes, web: Path) -> bytes:
    """The framework's sheet for the pages of this package."""
    ours = (*web.glob("*.py"), *web.rglob("*.html"), *web.glob("static/*.js"))
    return trim(sheet.decode(), words_of(path.read_text(encoding="utf-8") for path in ours)).encode()


def _asset(name: str, body: bytes) -> Asset:
    suffix = PurePosixPath(name).suffix
    zipped = gzip.compress(body, mtime=0) if suffix in _TEXT else None
    if zipped is not None and len(zipped) >= len(body):
        zipped = None
    kind = "text/javascript" if suffix == ".js" else mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Asset(body, zipped, kind, hashlib.sha256(body).hexdigest()[:12])
