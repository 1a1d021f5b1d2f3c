"""Spool files written by a thread of their own, so that a slow disk never holds up a packet.

The event loop appends records to memory; every FLUSH_S they go to the writing thread. A second thread syncs what was
written once a second, and syncs and closes files that are done. A kill -9 loses at most what was not yet handed over and
written: FLUSH_S and a little. A write that fails is told as a fault and the file is cut back to its last whole
record: packets are dropped then, marks are tried again, and the call goes on. A file whose marks are not all written is
not closed: a call that came and went while the disk was full still gets its sidecar, which says so, when there is room.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from callqa.refusals import os_reason

log = logging.getLogger(__name__)

FLUSH_S = 0.1  # a write costs as much as four packets: five times as seldom, half of what a crash may take
SYNC_S = 1.0
CLOSE_AGAIN_S = 2.0  # a file that cannot be finished (disk full) is tried again so often
# Six minutes of twenty calls: a disk that stands still longer than that is broken.
MAX_WAITING_BYTES = 128 << 20


class SpoolFile:
    """One open spool. The loop owns `records` and `marks`; the writing thread the rest until it passes the file on."""

    __slots__ = ("carry", "descriptor", "dirty", "failed", "marks", "path", "records", "whole_bytes")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[bytes] = []
        self.marks: list[bytes] = []  # those of `records` that must not get lost
        self.carry: list[bytes] = []
        self.descriptor = -1
        self.whole_bytes = 0
        self.dirty = False
        self.failed = False


_Job = Callable[[], None] | None
_Batch = tuple[SpoolFile, bytes, list[bytes]]  # records to append, and those of them that must not get lost


class DiskWriter:
    """The writing and the syncing thread. on_fault(path, reason) is called in the loop, once per trouble and file."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_fault: Callable[[Path, str], None]) -> None:
        self._loop = loop
        self._on_fault = on_fault
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._open: dict[SpoolFile, None] = {}
        self._touched: dict[SpoolFile, None] = {}
        self._queued_bytes = 0  # counted in the loop
        self._taken_bytes = 0  # counted in the writing thread
        self._timer: asyncio.TimerHandle | None = None
        self._endings: SimpleQueue[_Job] = SimpleQueue()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._write_forever, name="spool-write", daemon=True),
            threading.Thread(target=self._sync_forever, name="spool-sync", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def open(self, path: Path) -> SpoolFile:
        """A new spool; it is created with its first records."""
        file = SpoolFile(path)
        self._open[file] = None
        return file

    def append(self, file: SpoolFile, record: bytes) -> None:
        """Queue one packet record."""
        file.records.append(record)
        if file not in self._touched:
            self._touch(file)

    def append_mark(self, file: SpoolFile, record: bytes) -> None:
        """Queue one record that is tried again should the disk fail."""
        file.marks.append(record)
        self.append(file, record)

    def close(self, file: SpoolFile, then: Callable[[], None]) -> None:
        """Write what is left, sync, close; then call `then` in the loop."""
        batch = self._take(file)
        if batch is not None:
            self._jobs.put(lambda: self._write(*batch))
        self._jobs.put(lambda: self._pass_on(file, lambda: self._close(file, then)))

    def discard(self, file: SpoolFile) -> None:
        """Close and delete: nobody answered, there is nothing to record."""
        file.records, file.marks = [], []
        self._jobs.put(lambda: self._endings.put(lambda: self._discard(file)))

    def stop(self) -> None:
        """Write and sync everything, then end both threads. Blocks for as long as the disk needs."""
        if self._timer is not None:
            self._timer.cancel()
        self._stopping = True
        self.flush()
        for file in list(self._open):
            self.close(file, lambda: None)
        self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def flush(self) -> None:
        """Hand everything queued to the writing thread."""
        self._timer = None
        touched, self._touched = self._touched, {}
        batches = [batch for file in touched if (batch := self._take(file)) is not None]
        if batches:
            self._jobs.put(lambda: self._write_all(batches))

    # -- in the loop ------------------------------------------------------------------------------------------------

    def _touch(self, file: SpoolFile) -> None:
        self._touched[file] = None
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_S, self.flush)

    def _take(self, file: SpoolFile) -> _Batch | None:
        """What is queued for a file, taken from it."""
        records, marks = file.records, file.marks
        file.records, file.marks = [], []
        if not records:
            return None
        if self._queued_bytes - self._taken_bytes > MAX_WAITING_BYTES:
            if not file.failed:
                self._trouble(file, "磁盘写入太慢，积压过多")
            file.failed = True
            records = marks
        data = b"".join(records)
        self._queued_bytes += len(data)
        return file, data, marks

    def _trouble(self, file: SpoolFile, reason: str) -> None:
        log.error("spool %s: %s", file.path.name, reason)
        self._on_fault(file.path, reason)

    def _close_later(self, file: SpoolFile, ending: Callable[[], None]) -> None:
        self._loop.call_later(CLOSE_AGAIN_S, lambda: self._jobs.put(lambda: self._pass_on(file, ending)))

    # -- in the threads ---------------------------------------------------------------------------------------------

    def _in_loop(self, call: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    def _write_forever(self) -> None:
        while (job := self._jobs.get()) is not None:
            _run(job)
        self._endings.put(None)

    def _write_all(self, batches: list[_Batch]) -> None:
        for file, data, marks in batches:
            _run(partial(self._write, file, data, marks))

    def _write(self, file: SpoolFile, data: bytes, marks: list[bytes]) -> None:
        self._taken_bytes += len(data)
        try:
            self._append(file, b"".join(file.carry) + data)
            file.carry = []
            file.failed = False
        except OSError as e:
            reason = os_reason(e)
            file.carry += marks
            if file.descriptor >= 0:
                _cut_back(file)
            if not file.failed:
                self._in_loop(lambda: self._trouble(file, reason))
            file.failed = True

    def _append(self, file: SpoolFile, data: bytes) -> None:
        if file.descriptor < 0:
            file.descriptor = os.open(file.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        written = 0
        while written < len(data):
            written += os.write(file.descriptor, data[written:] if written else data)
        file.whole_bytes += written
        file.dirty = True

    def _pass_on(self, file: SpoolFile, ending: Callable[[], None]) -> None:
        """The last write of a file, in the writing thread; the syncing thread ends it."""
        if file.carry:
            self._write(file, b"", [])
        if file.carry and not self._stopping:
            self._in_loop(lambda: self._close_later(file, ending))
            return
        self._endings.put(ending)

    def _close(self, file: SpoolFile, then: Callable[[], None]) -> None:
        self._open.pop(file, None)
        if file.descriptor >= 0:
            self._sync(file)
            _close_descriptor(file)
        self._in_loop(then)

    def _discard(self, file: SpoolFile) -> None:
        self._open.pop(file, None)
        if file.descriptor >= 0:
            _close_descriptor(file)
        try:
            file.path.unlink(missing_ok=True)
        except OSError as e:  # nothing is lost by it: the next start finds the spool, and the journal knows the call
            log.warning("spool %s cannot be deleted: %s", file.path.name, e)

    def _sync_forever(self) -> None:
        due = time.monotonic() + SYNC_S
        while True:
            try:
                ending = self._endings.get(timeout=max(0.0, due - time.monotonic()))
                if ending is None:
                    return
                _run(ending)
            except Empty:
                due = time.monotonic() + SYNC_S
                for file in list(self._open):
                    if file.descriptor >= 0 and file.dirty:
                        file.dirty = False
                        self._sync(file)

    def _sync(self, file: SpoolFile) -> None:
        try:
            os.fdatasync(file.descriptor)
        except OSError as e:
            reason = os_reason(e)
            self._in_loop(lambda: self._trouble(file, reason))


def _run(job: Callable[[], None]) -> None:
    try:
        job()
    except Exception:  # the worker loop: trouble with one file must not stop the writing of all others
        log.exception("spool thread")


def _close_descriptor(file: SpoolFile) -> None:
    descriptor, file.descriptor = file.descriptor, -1
    try:
        os.close(descriptor)
    except OSError as e:
        log.error("spool %s: %s", file.path.name, e)


def _cut_back(file: SpoolFile) -> None:
    """Take half a batch off the end again, so that later records can be read."""
    try:
        os.ftruncate(file.descriptor, file.whole_bytes)
    except OSError:
        log.exception("spool %s cannot be cut back to %d bytes", file.path.name, file.whole_bytes)
