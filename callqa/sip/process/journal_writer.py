"""Appends to the journal: numbers that run on across restarts, a line at once on the file, a new file each UTC day.

After a power cut numbers go on from far above the last: the worker may have read, and noted for good, entries that the disk
never got, and would take new entries of the same numbers for those.

A torn last line (crash in mid-write) is no entry and is cut off before the next is appended. An entry that the disk
refuses is kept and tried again with the next one, so numbers stay in order and nothing is passed over.

A disk that is full or read-only when the recorder starts is no reason not to start: entries wait until it takes them, and the
first of them until `.boot` is there.
"""

import errno
import logging
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from callqa.errors import ConfigError
from callqa.files import DISK, Files
from callqa.journal import JournalEntry, JournalKind, decode_line, encode_entry
from callqa.refusals import os_reason

log = logging.getLogger(__name__)

LOCK_NAME = ".lock"
BOOT_NAME = ".boot"
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
# Entries kept while the disk refuses: days of them; more would be a broken machine filling its memory.
MAX_WAITING = 10_000
# More than can lie between two syncs.
SKIPPED_AT_BOOT = 2 * MAX_WAITING
# What a disk that served an earlier run may say at the start of this one; anything else is a folder that was never fit.
PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


class JournalWriter:
    """The one writer of a journal folder; a lock file keeps a second recorder out."""

    def __init__(self, folder: Path, files: Files = DISK) -> None:
        """Raise ConfigError when another recorder writes here or the folder cannot be used, and never was."""
        self._folder = folder
        self._files = files
        self._waiting: deque[tuple[int, bytes]] = deque()  # (at_ms, line)
        self._day = ""
        self._descriptor = -1
        self._dirty = False
        self._named = True  # the name of the present file is on the disk
        self._boot_note = b""  # what `.boot` has yet to say
        self.on_entry: Callable[[JournalEntry], None] = lambda _: None
        try:
            files.make_folder(folder)
            self._lock = self._open_lock()
        except OSError as e:
            raise ConfigError(f"流水文件夹 {folder} 不能写：{os_reason(e)}；请检查权限或设置 paths.recordings") from e
        try:
            files.lock(self._lock)
        except OSError as e:
            files.close(self._lock)
            raise ConfigError(
                f"另一个录音服务正在使用 {folder}；请先停掉它，或在 callqa.toml 里改 paths.recordings"
            ) from e
        try:
            self._number = self._number_to_go_on_from()
            self._reopen()
        except OSError as e:
            files.close(self._lock)
            raise ConfigError(
                f"流水文件 {e.filename} 不能读写：{os_reason(e)}；请检查权限或设置 paths.recordings"
            ) from e

    def append(self, kind: JournalKind, at_ms: int, call_id: str | None = None, /, **facts: Any) -> bool:
        """Append one entry. False when the disk refuses; it is then tried again with the next."""
        self._number += 1
        clean = {name: _encodable(value) for name, value in facts.items()}
        entry = JournalEntry(number=self._number, at_ms=at_ms, kind=kind, call_id=call_id, facts=clean)
        self.on_entry(entry)
        self._waiting.append((at_ms, encode_entry(entry)))  # encoded here: nothing in the queue can fail but the disk
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
        return self.write_waiting()

    def write_waiting(self) -> bool:
        """Write everything not yet written. True when nothing is left over."""
        try:
            while self._waiting:
                self._write(*self._waiting[0])
                self._waiting.popleft()
        except OSError as e:
            log.error("journal: %s", e)
            return False
        return True

    def sync(self) -> None:
        """Bring what was written to the disk; meant for a thread. Errors are logged, the next write tells of them."""
        descriptor = self._descriptor
        if descriptor >= 0 and self._dirty:
            self._dirty = False
            try:
                self._files.sync(descriptor)
                if not self._named:
                    self._files.sync_folder(self._folder)
                    self._named = True
            except OSError as e:
                log.error("journal: %s", e)

    def close(self) -> None:
        """Write, sync and let the folder go."""
        self.write_waiting()
        self.sync()
        if self._descriptor >= 0:
            self._files.close(self._descriptor)
            self._descriptor = -1
        self._files.close(self._lock)

    def _open_lock(self) -> int:
        """The lock file; on a disk that has become read-only the one of an earlier run, which can be locked all the same."""
        path = self._folder / LOCK_NAME
        try:
            return self._files.open(path, os.O_RDWR | os.O_CREAT)
        except OSError as e:
            if e.errno not in PASSING or not self._files.exists(path):
                raise
            return self._files.open(path, os.O_RDONLY)

    def _write(self, at_ms: int, line: bytes) -> None:
        self._put_boot()
        day = datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
        if day > self._day or self._is_gone():  # a clock set back stays in the newer file: files are in order of number
            if self._descriptor >= 0:
                self.sync()
                self._files.close(self._descriptor)
                self._descriptor = -1
            day = max(day, self._day)
            self._files.make_folder(self._folder)
            self._descriptor = self._open_whole(self._folder / f"{day}.jsonl")
            self._day = day
        size = self._files.size(self._descriptor)
        if self._files.write(self._descriptor, line) != len(line):
            self._files.truncate(self._descriptor, size)
            raise OSError("an entry was written in part")
        self._dirty = True

    def _is_gone(self) -> bool:
        """Whether the file was deleted under us: what is written to it would be nowhere."""
        return self._descriptor < 0 or self._files.is_deleted(self._descriptor)

    def _last_number(self) -> int:
        """The number of the last whole entry of all files; later days are never passed over."""
        damaged = 0
        for path in reversed(day_files(self._folder, self._files)):
            self._day = max(self._day, path.stem)
            for line in reversed(self._files.read(path).split(b"\n")[:-1]):
                entry = decode_line(line)
                if entry is not None:
                    return entry.number + damaged
                damaged += 1  # it had a number, and the worker may have read it before it was damaged
        return damaged

    def _number_to_go_on_from(self) -> int:
        """The last number, or far above it after the machine was started anew. What `.boot` says was given out then counts
        too: those lines may be gone as well."""
        last, boot, path = self._last_number(), self._files.boot(), self._folder / BOOT_NAME
        before, _, given = (self._files.read(path) if self._files.exists(path) else b"").partition(b" ")
        if before == boot:
            return last
        if before:
            last = max(last, int(given) if given.isdigit() else 0) + SKIPPED_AT_BOOT
        self._boot_note = b"%s %d" % (boot, last)
        return last

    def _put_boot(self) -> None:
        """Before any number of this run is on the disk: the worker might read it, and a power cut take it."""
        if self._boot_note:
            self._files.put(self._folder / BOOT_NAME, self._boot_note)
            self._boot_note = b""

    def _reopen(self) -> None:
        """Get ready to write; a disk that is full or read-only is asked again with every entry."""
        try:
            self._put_boot()
            if self._day:
                self._descriptor = self._open_whole(self._folder / f"{self._day}.jsonl")
                self._dirty = True
                self.sync()  # a run that was killed may have left lines that are not on the disk
        except OSError as e:
            if e.errno not in PASSING:
                raise
            log.error("journal: cannot be written yet: %s", e)

    def _open_whole(self, path: Path) -> int:
        """Open for appending, with a torn last line cut off."""
        self._named = False
        descriptor = self._files.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            data = self._files.read(path)
            if data and not data.endswith(b"\n"):
                whole = data.rfind(b"\n") + 1
                log.warning("journal %s: cut off a torn last line of %d bytes", path.name, len(data) - whole)
                self._files.truncate(descriptor, whole)
        except OSError:
            self._files.close(descriptor)  # it is opened again with every try
            raise
        return descriptor


def _encodable(value: Any) -> Any:
    """Half a surrogate pair has no UTF-8 and would stop the journal."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def day_files(folder: Path, files: Files = DISK) -> list[Path]:
    """The journal's files, oldest first; a copy somebody left beside them is none."""
    return [path for path in files.list(folder, "*.jsonl") if _DAY.fullmatch(path.stem)]


def entries_of(path: Path, *marks: bytes, files: Files = DISK) -> Iterator[JournalEntry]:
    """The whole entries of one file; with marks only those whose line holds one of them."""
    for line in files.read(path).split(b"\n"):
        entry = decode_line(line) if not marks or any(mark in line for mark in marks) else None
        if entry is not None:
            yield entry


def noted_calls(folder: Path, since_day: str, *kinds: JournalKind, files: Files = DISK) -> set[str]:
    """call_ids with an entry of one of `kinds` in the files of `since_day` (YYYY-MM-DD) and later."""
    marks = [f'"{kind.value}"'.encode() for kind in kinds]
    return {
        entry.call_id
        for path in day_files(folder, files)
        if path.stem >= since_day
        for entry in entries_of(path, *marks, files=files)
        if entry.kind in kinds and entry.call_id
    }
