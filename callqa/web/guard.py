"""ASGI middleware: the origin check on every unsafe method, and the security headers on every answer.

Pure ASGI, so that streamed answers (audio, events) pass untouched. It knows nothing of persons or pages.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_BODY_BYTES = 32 * 1024 * 1024  # the largest upload is a month's ticket file; ten times that is 30 MB

STATIC_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Nothing from elsewhere; no inline script, no inline style.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; font-src 'self'; media-src 'self'; "
        "img-src 'self' data:; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


def same_origin(headers: Headers) -> bool:
    """Whether a request that changes something comes from our own pages.

    Browsers of the last years send Sec-Fetch-Site; all send Origin on POST. A request with neither is refused.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin", "")
    return bool(origin) and origin != "null" and urlsplit(origin).netloc == headers.get("host", "")


class Guard:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in STATIC_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = _refusal(scope["method"], Headers(scope=scope))
        if "\0" in scope["path"] or b"%00" in scope["query_string"] or b"\0" in scope["query_string"]:
            refusal = PlainTextResponse("地址里有不能用的字符。请从本系统页面内重新打开。", status_code=400)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


def _refusal(method: str, headers: Headers) -> PlainTextResponse | None:
    if method in SAFE_METHODS:
        return None
    if not same_origin(headers):
        return PlainTextResponse("请求不是从本系统页面发出的，已拒绝。请在本系统页面内重新操作。", status_code=403)
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        return PlainTextResponse("文件太大：一次最多上传 32 MB。请拆分后再导入。", status_code=413)
    return None
