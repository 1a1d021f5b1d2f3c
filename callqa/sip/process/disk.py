"""Spool files written by a thread of their own, so that a slow disk never holds up a packet.

The event loop appends records to memory; every FLUSH_S they go to the writing thread, which takes all that waits at once and writes
each file once: after a slow write it has caught up with the next. A second thread syncs what was written every SYNC_S, the
journal first and then the spools, many files by one call, and syncs and closes files that are done. A
kill -9 loses at most what was not yet handed over and written: FLUSH_S and a little. A power cut takes at most a second: FLUSH_S,
SYNC_S, and what the threads and the disk take for it. A write that fails is told as a fault and the file is cut back to its last whole
record: packets are dropped then, marks are tried again, and the call goes on. A file whose marks are not all written is
not closed: a call that came and went while the disk was full still gets its sidecar, which says so, when there is room.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from callqa.files import DISK, Files
from callqa.refusals import os_reason
from callqa.sip.process.worker import Worker, WorkerThread

log = logging.getLogger(__name__)

FLUSH_S = 0.1  # a write costs as much as four packets: five times as seldom, half of what a crash may take
SYNC_S = 0.6  # of the second that a power cut may take, 0.3 s are left for the disk; a sync more in a second costs it nothing
# From so many spools on, one syncfs brings all of them to the disk: of 200, each with 16 KB a second, it takes 0.4 ms of CPU and
# 1 ms of the kernel's threads, where 200 fdatasync take 13 and 5. It waits for what others write there as well, so after one that
# took too long they are synced one by one again for a while.
TOGETHER_FROM = 16
TOGETHER_LIMIT_S = 0.5
TOGETHER_AGAIN_S = 60.0
CLOSE_AGAIN_S = 2.0  # a file that cannot be finished (disk full) is tried again so often
# Six minutes of twenty calls: a disk that stands still longer than that is broken.
MAX_WAITING_BYTES = 128 << 20


class SpoolFile:
    """One open spool. The loop owns `records` and `marks`; the writing thread the rest until it passes the file on.

    keep: queue one packet record; every packet comes here, so it is the list's own method."""

    __slots__ = (
        "carry", "descriptor", "dirty", "failed", "keep", "marks", "named", "path", "records", "sealed", "told", "torn", "whole_bytes",
    )  # fmt: skip

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[bytes] = []
        self.keep = self.records.append
        self.marks: list[bytes] = []  # those of `records` that must not get lost
        self.carry: list[bytes] = []
        self.descriptor = -1
        self.whole_bytes = 0
        self.dirty = False
        self.named = False  # its name is on the disk
        self.failed = False
        self.told = False  # of a trouble, since the last look: a mark that says so may be on its way
        self.torn = False  # half a record stands at its end
        self.sealed = False  # nothing is written any more


Workers = Callable[[str, Callable[[], None] | None, float], Worker]
_Batch = tuple[SpoolFile, bytes, list[bytes]]  # records to append, and those of them that must not get lost


class DiskWriter:
    """The writing and the syncing worker. on_fault(path, reason) is called in the loop, once per trouble and file.

    workers: makes a worker from its name and what it does from time to time, and how often. sync_journal: brings the journal to
    the disk; it is called in the syncing thread.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_fault: Callable[[Path, str], None],
        files: Files = DISK,
        workers: Workers = WorkerThread,
        sync_journal: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._on_fault = on_fault
        self._files = files
        self._sync_journal = sync_journal
        self._open: dict[SpoolFile, None] = {}
        self._waiting: deque[_Batch] = deque()  # filled in the loop, emptied in the writing thread
        self._asked = False  # the writing thread has a job to come that empties it
        self._queued_bytes = 0  # counted in the loop
        self._taken_bytes = 0  # counted in the writing thread
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = False
        self._one_by_one_until = 0.0
        self._writing = workers("spool-write", None, 0.0)
        self._syncing = workers("spool-sync", self._sync_all, SYNC_S)

    def open(self, path: Path) -> SpoolFile:
        """A new spool; it is created with its first records."""
        file = SpoolFile(path)
        self._open[file] = None
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_S, self._tick)
        return file

    def append_mark(self, file: SpoolFile, record: bytes) -> None:
        """Queue one record that is tried again should the disk fail."""
        file.marks.append(record)
        file.keep(record)

    def close(self, file: SpoolFile, then: Callable[[], None]) -> None:
        """Write what is left, sync, close; then call `then` in the loop."""
        if file.records:
            self._hand_over([self._take(file)])
        self._writing.put(lambda: self._pass_on(file, lambda: self._close(file, then)))

    def discard(self, file: SpoolFile) -> None:
        """Close and delete: nobody answered, there is nothing to record."""
        file.records.clear()
        file.marks = []
        self._writing.put(lambda: self._syncing.put(lambda: self._discard(file)))

    def stop(self) -> None:
        """Write and sync everything, then end both threads. Blocks for as long as the disk needs."""
        if self._timer is not None:
            self._timer.cancel()
        self._stopping = True
        self.flush()
        for file in list(self._open):
            self.close(file, lambda: None)
        self._writing.finish()
        self._syncing.finish()

    def flush(self) -> None:
        """Hand everything queued to the writing thread."""
        batches = [self._take(file) for file in list(self._open) if file.records]
        if batches:
            self._hand_over(batches)

    # -- in the loop ------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._timer = self._loop.call_later(FLUSH_S, self._tick) if self._open else None
        self.flush()

    def _hand_over(self, batches: list[_Batch]) -> None:
        self._waiting.extend(batches)
        if not self._asked:
            self._asked = True
            self._writing.put(self._write_waiting)

    def _take(self, file: SpoolFile) -> _Batch:
        """What is queued for a file, taken from it."""
        marks, file.marks = file.marks, []
        data = b"".join(file.records)
        file.records.clear()
        if self._queued_bytes - self._taken_bytes > MAX_WAITING_BYTES:
            if not file.failed:
                self._trouble(file, "磁盘写入太慢，积压过多")
            file.failed = True
            data = b"".join(marks)
        self._queued_bytes += len(data)
        return file, data, marks

    def _trouble(self, file: SpoolFile, reason: str) -> None:
        log.error("spool %s: %s", file.path.name, reason)
        self._on_fault(file.path, reason)

    def _close_later(self, file: SpoolFile, ending: Callable[[], None]) -> None:
        self._loop.call_later(CLOSE_AGAIN_S, lambda: self._writing.put(lambda: self._pass_on(file, ending)))

    # -- in the threads ---------------------------------------------------------------------------------------------

    def _in_loop(self, call: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    def _write_waiting(self) -> None:
        """Write all that was handed over, however many times, each file once."""
        self._asked = False  # before the look: what is handed over from now on asks again
        together: dict[SpoolFile, tuple[list[bytes], list[bytes]]] = {}
        while self._waiting:
            file, data, marks = self._waiting.popleft()
            all_data, all_marks = together.setdefault(file, ([], []))
            all_data.append(data)
            all_marks += marks
        for file, (all_data, all_marks) in together.items():
            try:
                self._write(file, all_data[0] if len(all_data) == 1 else b"".join(all_data), all_marks)
            except Exception:  # the worker loop: trouble with one file must not stop the writing of all others
                log.exception("spool %s", file.path.name)

    def _write(self, file: SpoolFile, data: bytes, marks: list[bytes]) -> None:
        self._taken_bytes += len(data)
        if file.sealed:
            return
        try:
            if file.torn:
                self._cut_back(file)
            if file.carry:
                data = b"".join((*file.carry, data))
            self._append(file, data)
            file.carry = []
            file.failed = False
        except OSError as e:
            reason = os_reason(e)
            file.carry += marks
            if file.descriptor >= 0 and not file.torn:
                self._cut_back_if_possible(file)
            if not file.failed:
                file.told = True
                self._in_loop(lambda: self._trouble(file, reason))
            file.failed = True

    def _append(self, file: SpoolFile, data: bytes) -> None:
        if file.descriptor < 0:
            file.descriptor = self._files.open(file.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        written = 0
        while written < len(data):
            written += self._files.write(file.descriptor, data[written:] if written else data)
        file.whole_bytes += written
        file.dirty = True

    def _pass_on(self, file: SpoolFile, ending: Callable[[], None]) -> None:
        """The last write of a file, in the writing thread; the syncing thread ends it."""
        if file.carry:
            self._write(file, b"", [])
        if (file.carry or file.told) and not self._stopping:
            file.told = False
            self._in_loop(lambda: self._close_later(file, ending))
            return
        file.sealed = True
        self._syncing.put(ending)

    def _close(self, file: SpoolFile, then: Callable[[], None]) -> None:
        self._open.pop(file, None)
        if file.descriptor >= 0:
            self._sync(file)
            self._close_descriptor(file)
        self._in_loop(then)

    def _discard(self, file: SpoolFile) -> None:
        self._open.pop(file, None)
        if file.descriptor >= 0:
            self._close_descriptor(file)
        try:
            self._files.unlink(file.path)
        except OSError as e:  # nothing is lost by it: the next start finds the spool, and the journal knows the call
            log.warning("spool %s cannot be deleted: %s", file.path.name, e)

    def _sync_all(self) -> None:
        self._sync_journal()  # it tells whose the spools are
        dirty = [file for file in list(self._open) if file.descriptor >= 0 and file.dirty]
        for file in dirty:
            file.dirty = False
        if len(dirty) >= TOGETHER_FROM and self._sync_together(dirty):
            return
        for file in dirty:
            self._sync(file)

    def _sync_together(self, dirty: list[SpoolFile]) -> bool:
        """One call for all spools: they are on one file system. False when it failed, or is better not tried."""
        began = self._loop.time()
        if began < self._one_by_one_until:
            return False
        try:
            self._files.sync_disk(dirty[0].descriptor)
        except OSError as e:  # which of them has the trouble, each tells itself
            log.warning("spools cannot be synced together: %s", os_reason(e))
            self._one_by_one_until = began + TOGETHER_AGAIN_S
            return False
        if self._loop.time() - began > TOGETHER_LIMIT_S:
            self._one_by_one_until = began + TOGETHER_AGAIN_S
        for file in dirty:
            file.named = True
        return True

    def _sync(self, file: SpoolFile) -> None:
        try:
            self._files.sync(file.descriptor)
            if not file.named:  # else a power cut could leave the bytes without a name
                self._files.sync_folder(file.path.parent)
                file.named = True
        except OSError as e:
            reason = os_reason(e)
            self._in_loop(lambda: self._trouble(file, reason))

    def _close_descriptor(self, file: SpoolFile) -> None:
        descriptor, file.descriptor = file.descriptor, -1
        try:
            self._files.close(descriptor)
        except OSError as e:
            log.error("spool %s: %s", file.path.name, e)

    def _cut_back(self, file: SpoolFile) -> None:
        """Take half a batch off the end again, so that later records can be read."""
        self._files.truncate(file.descriptor, file.whole_bytes)
        file.torn = False

    def _cut_back_if_possible(self, file: SpoolFile) -> None:
        file.torn = True  # until it is cut back, before the next write at the latest
        try:
            self._cut_back(file)
        except OSError as e:
            log.error("spool %s cannot be cut back to %d bytes: %s", file.path.name, file.whole_bytes, e)
