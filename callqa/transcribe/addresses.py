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
from typing import IO, Any, Final
from urllib.parse import urlsplit

from callqa.errors import EngineError
from callqa.refusals import os_reason

TIMEOUT_S: Final = 30.0
MAX_REDIRECTS: Final = 8
_SHA256 = re.compile(r'(?:W/)?"?([0-9a-fA-F]{64})"?')


def check_scheme(url: str) -> None:
    """Raise EngineError for anything but http and https, and for what is no address."""
    if not url.lower().startswith(("http://", "https://")):
        raise EngineError(
            f"地址 {url[:200]} 不是 http 或 https，拒绝打开。本机的模型文件夹请直接写进设置 speech.model_dir。"
        )
    try:
        readable = bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:  # a bracket that does not close, a port that is no number
        readable = False
    if not readable:
        raise EngineError(f"地址 {url[:200]} 看不懂；请写成 https://服务器/文件夹，端口是数字。")


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http and https only, and from https only to https. told: SHA-256 of the file by who passed the request on."""

    max_redirections = MAX_REDIRECTS

    def __init__(self) -> None:
        self.told = ""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except (ValueError, http.client.HTTPException):  # of a Location that is no address
            fp.close()  # nobody else will
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

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


_CERTIFICATE: Final = {  # X509_V_ERR_... of OpenSSL
    10: "已过期",
    18: "是自签的",
    19: "由本机不认识的根证书签发",
    20: "由本机不认识的根证书签发",
    62: "与地址里的主机名不符",
    64: "与地址里的 IP 不符",
}


def certificate_reason(error: ssl.SSLCertVerificationError) -> str:
    """What is wrong with a server's certificate, and what to do."""
    what = _CERTIFICATE.get(error.verify_code, f"验证不过（{error.verify_message}）")
    return f"HTTPS 证书{what}；请核对地址，内部服务器的根证书可装进系统或用环境变量 SSL_CERT_FILE 指明"


def network_reason(error: object) -> str:
    """Why a connection broke off, for people."""
    if isinstance(error, socket.gaierror):
        return "找不到这台服务器（域名解析失败）；请核对地址、网络与代理"
    if isinstance(error, ssl.SSLError):
        return "加密连接建不起来，对方多半不是 HTTPS 服务；请核对地址是 http 还是 https 以及端口"
    if isinstance(error, TimeoutError):
        return f"{TIMEOUT_S:.0f} 秒没有回音"
    if isinstance(error, ConnectionRefusedError):
        return "服务器拒绝连接"
    if isinstance(error, http.client.IncompleteRead):
        return "没有传完连接就断了"
    if isinstance(error, http.client.HTTPException) and not isinstance(error, ConnectionError):
        return "答复看不懂，对方多半不是 HTTP 服务；请核对地址是 http 还是 https 以及端口"
    return os_reason(error) if isinstance(error, OSError) else str(error) or type(error).__name__
