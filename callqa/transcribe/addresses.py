"""Which addresses are opened, how far a server may pass a request on, and what it tells of a file beside its bytes.

Only http and https, and never from https to http. Model libraries tell the SHA-256 of a large file as `X-Linked-ETag` before they
pass the request on to their store; of the store's own ETag nobody knows what it hashes.
"""

import http.client
import re
import socket
import ssl
import urllib.request
from email.message import Message
from typing import IO, Final
from urllib.parse import urlsplit

from callqa.errors import EngineError
from callqa.refusals import os_reason

TIMEOUT_S: Final = 30.0
MAX_REDIRECTS: Final = 8
_SHA256 = re.compile(r'(?:W/)?"?([0-9a-fA-F]{64})"?')


def check_scheme(url: str) -> None:
    """Raise EngineError for anything but http and https."""
    if not url.lower().startswith(("http://", "https://")):
        raise EngineError(
            f"地址 {url[:200]} 不是 http 或 https，拒绝打开。本机的模型文件夹请直接写进设置 speech.model_dir。"
        )


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http and https only, and from https only to https. told: SHA-256 of the file by who passed the request on."""

    max_redirections = MAX_REDIRECTS

    def __init__(self) -> None:
        self.told = ""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        try:
            self._check(req.full_url, newurl)
        except EngineError:
            fp.close()  # nobody else will
            raise
        self.told = self.told or told_sha256(headers, own=False)
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        if made is not None:
            for name in ("Range", "If-range"):  # urllib keeps them, we rely on it
                if req.has_header(name) and not made.has_header(name):
                    made.add_header(name, req.get_header(name) or "")
        return made

    @staticmethod
    def _check(url: str, newurl: str) -> None:
        check_scheme(newurl)
        if url.startswith("https:") and not newurl.startswith("https:"):
            raise EngineError(f"{url} 转到了不加密的 {newurl}，拒绝跟随。请直接给出可信的地址。")


def opener(redirects: Redirects) -> urllib.request.OpenerDirector:
    """HTTP and HTTPS (by the system's proxy settings) and nothing else: no file:, ftp: or data:."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        redirects,
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def told_sha256(headers: Message, own: bool) -> str:
    """The file's SHA-256 as a server tells it, "" where it does not. own: of the server that was asked, whose ETag may be one."""
    for name in ("X-Linked-ETag", "ETag") if own else ("X-Linked-ETag",):
        if found := _SHA256.fullmatch(headers.get(name, "").strip()):
            return found[1].lower()
    return ""


def is_same_server(asked: str, answered: str) -> bool:
    return urlsplit(asked).netloc.lower() == urlsplit(answered).netloc.lower()


def network_reason(error: object) -> str:
    if isinstance(error, socket.gaierror):
        return "找不到这台服务器（域名解析失败）；请核对地址、网络与代理"
    if isinstance(error, ssl.SSLError):
        return f"HTTPS 证书验证不过（{error.reason or error}）"
    if isinstance(error, TimeoutError):
        return f"{TIMEOUT_S:.0f} 秒没有回音"
    if isinstance(error, ConnectionRefusedError):
        return "服务器拒绝连接"
    return os_reason(error) if isinstance(error, OSError) else str(error) or type(error).__name__
