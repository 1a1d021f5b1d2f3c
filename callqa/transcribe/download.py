"""One file over HTTP, resumable: what has arrived stays in NAME.part and the next attempt goes on from there (RFC 9110 §14).

A part belongs to one version of the file: its validator (ETag or Last-Modified) lies beside it, and a server that now has
another version, ignores ranges or answers with the wrong range makes it start over. The whole file takes its name only after its
length and its SHA-256 fit: the one that was given, or else the one that the server tells.
"""

import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import IO, Any, Final

from callqa.errors import EngineError
from callqa.refusals import os_reason
from callqa.transcribe.addresses import (
    TIMEOUT_S,
    Redirects,
    certificate_reason,
    is_same_server,
    network_reason,
    opener,
    told_sha256,
)

IDLE_ATTEMPTS: Final = 4  # broken-off attempts in a row that brought nothing
PAUSES_S: Final = (1.0, 3.0, 10.0)
_CHUNK: Final = 1 << 20
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_LENGTH = re.compile("[0-9]{1,18}")
KEPT: Final = "已下载的部分保留着，再运行一次会接着下载"

Progress = Callable[[int, int], None]  # bytes so far, bytes in all (0: the server does not say)


class _Gone(Exception):
    """404 or 410: the server does not have the file."""


class _BrokenOff(Exception):
    """The connection ended too soon; what came is in the part. reason: Chinese."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a download reaches the world by, so that tests need neither time nor a full disk."""

    pause: Callable[[float], None]
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free
    reserve_bytes: int = 1 << 30  # what must stay free beside the file
    idle_attempts: int = IDLE_ATTEMPTS


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to download. sha256: 64 hex digits or "" when nobody knows it; most_bytes: more is refused."""

    url: str
    target: Path
    most_bytes: int
    sha256: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Arrived:
    """What came. told: whether its SHA-256 is one that the server told."""

    sha256: str
    told: bool


@dataclass(slots=True)
class _Part:
    """What has arrived: a file and the validator of the version it is of. told: its SHA-256 by the server, or ""."""

    path: Path
    validator: str = ""
    total: int = 0
    told: str = ""
    _note: Path = field(init=False)

    def __post_init__(self) -> None:
        self._note = self.path.with_name(self.path.name + ".json")
        try:
            told = json.loads(self._note.read_text(encoding="utf-8"))
            self.validator, self.total = str(told["validator"]), int(told["total"])
        except (OSError, ValueError, KeyError, TypeError):
            self.drop()  # a part nobody vouches for

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def is_of(self, validator: str, total: int) -> bool:
        return self.validator == validator and self.total in (0, total)

    def begin(self, validator: str, total: int) -> None:
        """Start over with this version of the file."""
        self.validator, self.total = validator, total
        self.path.write_bytes(b"")
        self._note.write_text(json.dumps({"validator": validator, "total": total}), encoding="utf-8")

    def drop(self) -> None:
        """Forget what has arrived."""
        self.validator, self.total = "", 0
        for path in (self.path, self._note):
            path.unlink(missing_ok=True)


def download(wanted: Wanted, tools: Tools, progress: Progress = lambda done, total: None) -> Arrived | None:
    """Bring the file to its target and return its SHA-256, checked; None when it is optional and the server has none.

    A target that is there is not fetched again. Raise EngineError, in Chinese, when it cannot be had; the part is kept
    unless it is known to be wrong.
    """
    if wanted.target.exists():
        return _accepted(wanted, wanted.target, "")
    try:
        part = _Part(wanted.target.with_name(wanted.target.name + ".part"))
        _fill(wanted, part, tools, progress)
        arrived = _accepted(wanted, part.path, part.told)
        part.path.rename(wanted.target)
        part.drop()
    except _Gone:
        if wanted.optional:
            return None
        raise EngineError(
            f"{wanted.url} 不存在（404）。请核对地址：它应是放着模型各文件的文件夹或模型库的页面。"
        ) from None
    except OSError as e:
        raise EngineError(f"写不进 {wanted.target.parent}：{os_reason(e)}。{KEPT}。") from e
    return arrived


def _fill(wanted: Wanted, part: _Part, tools: Tools, progress: Progress) -> None:
    idle, best = 0, part.size
    while True:
        try:
            _attempt(wanted, part, tools, progress)
            return
        except _BrokenOff as e:
            idle = 0 if part.size > best else idle + 1  # starting over again and again is no progress
            best = max(best, part.size)
            if idle >= tools.idle_attempts:
                raise EngineError(f"{wanted.url} 下载中断：{e}。{f'{KEPT}。' if part.size else ''}") from e
            tools.pause(PAUSES_S[min(idle, len(PAUSES_S) - 1)])


def _attempt(wanted: Wanted, part: _Part, tools: Tools, progress: Progress) -> None:
    """One request. Returns when the part holds the whole file; raises _BrokenOff otherwise."""
    have = part.size
    headers = {"User-Agent": "callqa", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": part.validator} if part.validator else {})
    redirects = Redirects()
    try:
        with opener(redirects).open(urllib.request.Request(wanted.url, headers=headers), timeout=TIMEOUT_S) as answer:
            part.told = redirects.told or told_sha256(answer.headers, is_same_server(wanted.url, answer.url))
            total = _settle(answer, part, have)
            _check_room(wanted, total, part, tools)
            _receive(answer, part, total, wanted, progress)
    except urllib.error.HTTPError as e:
        with e:
            if (
                have
                and e.code == 416
                and e.headers.get("Content-Range", "") == f"bytes */{have}"
                and part.total in (0, have)
            ):
                part.told = redirects.told or told_sha256(e.headers, is_same_server(wanted.url, e.url))
                return  # nothing is left to send
            if e.code == 416:
                part.drop()
                raise _BrokenOff("服务器的文件变了，从头下载") from e
            _refuse(wanted, e.code)
    except urllib.error.URLError as e:
        if isinstance(e.reason, ssl.SSLCertVerificationError):  # another attempt would meet the same certificate
            raise EngineError(f"{wanted.url} 下载不了：{certificate_reason(e.reason)}。") from e
        raise _BrokenOff(network_reason(e.reason)) from e
    except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as e:
        raise _BrokenOff(network_reason(e)) from e
    except ValueError as e:  # urllib's, of a Location that is no address
        raise EngineError(f"{wanted.url} 下载不了：服务器把它转到一个看不懂的地址。请直接给出文件夹的地址。") from e


def _settle(answer: Any, part: _Part, have: int) -> int:
    """Say from where the answer goes on (the part is cut to that) and return the whole length, 0 where it is not told."""
    validator = _validator(answer.headers)
    told = _RANGE.fullmatch(answer.headers.get("Content-Range", "")) if answer.status == 206 else None
    if told is not None and int(told[1]) == have:
        total = 0 if told[3] == "*" else int(told[3])
        if part.is_of(validator, total):
            return total
    if answer.status == 206:  # another range, or another version, than what we have: it cannot be joined
        part.drop()
        raise _BrokenOff("服务器给的片段与已有的接不上，从头下载")
    length = answer.headers.get("Content-Length", "")
    total = int(length) if _LENGTH.fullmatch(length) else 0
    part.begin(validator, total)
    return total


def _check_room(wanted: Wanted, total: int, part: _Part, tools: Tools) -> None:
    if total > wanted.most_bytes:
        part.drop()
        raise EngineError(
            f"{wanted.url} 有 {total / 1e9:.2f} GB，超过 {wanted.most_bytes / 1e9:.2f} GB 的上限，不像模型文件；没有下载。"
        )
    needed = total - part.size + tools.reserve_bytes
    free = tools.free_bytes(wanted.target.parent)
    if free < needed:
        raise EngineError(
            f"磁盘空间不够：{wanted.target.parent} 剩 {free / 1e9:.1f} GB，下载 {wanted.target.name} 并留有余量要 "
            f"{needed / 1e9:.1f} GB。请清理磁盘，或把设置 paths.var 指向更大的磁盘。{KEPT}。"
        )


def _receive(answer: Any, part: _Part, total: int, wanted: Wanted, progress: Progress) -> None:
    size = part.size
    with part.path.open("ab") as out:
        while block := answer.read(_CHUNK):
            size += len(block)
            if size > wanted.most_bytes:
                out.close()
                part.drop()
                raise EngineError(f"{wanted.url} 超过 {wanted.most_bytes / 1e9:.2f} GB 的上限，不像模型文件；已停止。")
            out.write(block)
            progress(size, total)
        _sync(out)
    if total and size < total:
        raise _BrokenOff(f"只收到 {size} / {total} 字节")
    if total and size > total:
        part.drop()
        raise _BrokenOff(f"收到 {size} 字节，比服务器说的 {total} 多，从头下载")


def _accepted(wanted: Wanted, path: Path, told: str) -> Arrived:
    """The file's SHA-256. Raise EngineError, and take the file away, when it is another than wanted or told by the server."""
    with path.open("rb") as f:
        found = hashlib.file_digest(f, "sha256").hexdigest()
    if wanted.sha256 and found != wanted.sha256:
        path.unlink()
        raise EngineError(
            f"{wanted.target.name} 的校验和不符：应为 {wanted.sha256[:16]}…，收到的是 {found[:16]}…。"
            "文件已删除。请核对校验和与地址，再运行一次。"
        )
    if not wanted.sha256 and told and found != told:
        path.unlink()
        raise EngineError(
            f"{wanted.target.name} 的校验和不符：服务器说应为 {told[:16]}…，收到的是 {found}。文件已删除。"
            "请再运行一次；仍然如此就换一个镜像，或向发布方核对，确认收到的无误后用 --sha256 写明它。"
        )
    return Arrived(found, found == told)


def _refuse(wanted: Wanted, status: int) -> None:
    if status in (404, 410):
        raise _Gone
    if status in (401, 403):
        raise EngineError(
            f"{wanted.url} 拒绝访问（{status}）。这个模型可能要登录或同意许可；请换一个公开的镜像，或自行下载。"
        )
    if status >= 500 or status in (408, 425, 429):
        raise _BrokenOff(f"服务器暂时不能提供（{status}）")
    if 300 <= status < 400:
        raise EngineError(
            f"{wanted.url} 被转来转去，或转到了别处（{status}）；只跟随到 http 与 https。请直接给出文件夹的地址。"
        )
    raise EngineError(f"{wanted.url} 下载不了：服务器答复 {status}。请核对地址。")


def _validator(headers: Message) -> str:
    """A strong ETag, else the date; "" when there is neither. A weak ETag vouches for no byte range."""
    etag = headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")


def _sync(out: IO[bytes]) -> None:
    out.flush()
    os.fsync(out.fileno())
