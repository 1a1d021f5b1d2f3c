"""What a verb says to the person at the terminal (sentences, findings, a progress bar), and the files that person names."""

import sys
import time
from collections.abc import Iterable
from pathlib import Path

from callqa.errors import CallqaError
from callqa.findings import Finding
from callqa.refusals import os_reason

BAR_CHARS = 30
BAR_EVERY_S = 0.2


def say(text: str, *, error: bool = False) -> None:
    """Tell the person at the terminal."""
    print(text, file=sys.stderr if error else sys.stdout, flush=True)


def say_findings(findings: Iterable[Finding]) -> int:
    """Each as it is known, then how many are missing. Returns the exit status: 1 where one is."""
    seen = []
    for finding in findings:
        seen.append(finding)
        say(f"{finding.mark} {finding.subject}：{finding.text}")
        if finding.remedy:
            say(f"    → {finding.remedy}")
    missing = sum(f.level == "missing" for f in seen)
    say(f"\n共 {len(seen)} 项：缺 {missing} 项" if missing else f"\n共 {len(seen)} 项，必需的都具备")
    return 1 if missing else 0


def read_named(path: Path) -> bytes:
    """The content of a file named on the command line. Raise CallqaError where it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError as e:
        raise CallqaError(f"文件 {path} 读不了：不存在；请检查路径和文件名") from e
    except OSError as e:
        raise CallqaError(f"文件 {path} 读不了：{os_reason(e)}") from e


def read_named_text(path: Path, remedy: str) -> str:
    """The same as UTF-8 text, a byte order mark taken off. remedy: what to do where it is none."""
    try:
        return read_named(path).decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise CallqaError(f"文件 {path} 不是 UTF-8 文本；{remedy}") from e


def check_writable(path: Path) -> None:
    """Raise CallqaError where a result cannot be written to `path`: asked before work that takes long."""
    if path.is_dir():
        raise CallqaError(f"{path} 是文件夹；请写明文件名，如 {path / '结果'}")
    if not path.parent.is_dir():
        raise CallqaError(f"文件 {path} 写不了：没有文件夹 {path.parent}；请先建好，或换一个位置")


def write_named(path: Path, data: bytes) -> None:
    """Write a result where the person asked for it. Raise CallqaError where it cannot be written."""
    check_writable(path)
    try:
        path.write_bytes(data)
    except OSError as e:
        raise CallqaError(f"文件 {path} 写不了：{os_reason(e)}；请换一个位置，或检查权限与磁盘空间") from e


class Bar:
    """A line that is written over, at most five times a second; on no terminal one line every tenth part."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._live = sys.stderr.isatty()
        self._due_at = 0.0
        self._tenth = -1

    def show(self, done: int, total: int, text: str) -> None:
        """How far it is. text: what follows the bar."""
        if not self._live:
            tenth = 10 * done // total if total else 0
            if tenth != self._tenth:
                self._tenth = tenth
                say(f"{self._name} {100 * done // total if total else 0}% {text}", error=True)
            return
        now = time.monotonic()
        if now < self._due_at and done < total:
            return
        self._due_at = now + BAR_EVERY_S
        filled = BAR_CHARS * done // total if total else 0
        line = f"\r{self._name} [{'#' * filled}{'.' * (BAR_CHARS - filled)}] {text}\x1b[K"
        print(line, end="", file=sys.stderr, flush=True)  # noqa: T201

    def close(self) -> None:
        """End the line."""
        if self._live:
            print(file=sys.stderr, flush=True)  # noqa: T201
