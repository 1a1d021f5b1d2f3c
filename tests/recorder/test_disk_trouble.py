"""Disks that refuse: what is written later is whole, no thread dies of it, and every call still ends in a file."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from callqa.files import DISK, Files
from callqa.sidecar import load_sidecar, write_atomically
from callqa.sip.media.spool import (
    MAGIC,
    FaultMark,
    PacketRecord,
    encode_mark,
    encode_packet,
    read_records,
    sidecar_path,
)
from callqa.sip.process.disk import TOGETHER_FROM, DiskWriter
from callqa.sip.process.finalize import finalise
from callqa.sip.process.finalizer import Finalised, Finalizer
from tests.media.builders import Sender, call
from tests.recorder.harness import LIMIT_S

RECORDS = call(Sender(0, 50).records() + Sender(1, 50, seed=2, ssrc=5).records(), 1000)


class FullDisk:
    """os.write that fails while `full`, after half of what it was given when `half`."""

    def __init__(self, monkeypatch):
        self.full = False
        self.refused = 0
        self._write = os.write
        monkeypatch.setattr(os, "write", self)

    def __call__(self, descriptor, data):
        if not self.full:
            return self._write(descriptor, data)
        self.refused += 1
        raise OSError(errno.ENOSPC, "No space left on device")


async def closed(disk, file):
    done = asyncio.Event()
    disk.close(file, done.set)
    async with asyncio.timeout(LIMIT_S):
        await done.wait()


def test_a_call_within_a_full_disk_still_gets_its_sidecar_once_there_is_room(tmp_path, monkeypatch):
    """Started, answered and ended while nothing could be written: its marks were thrown away with the open file."""
    monkeypatch.setattr("callqa.sip.process.disk.CLOSE_AGAIN_S", 0.01)
    device = FullDisk(monkeypatch)
    path = tmp_path / "a.spool"

    async def story():
        def tell(where: Path, reason: str) -> None:
            disk.append_mark(file, encode_mark(FaultMark(at_ns=10**10, text=f"录音写盘失败（{reason}），录音有缺口")))

        disk = DiskWriter(asyncio.get_running_loop(), tell)
        file = disk.open(path)
        device.full = True
        disk.append_mark(file, MAGIC)
        for record in RECORDS:
            if isinstance(record, PacketRecord):
                file.keep(encode(record))
            else:
                disk.append_mark(file, encode(record))
        disk.flush()
        while not device.refused:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0)  # the fault is told in the loop
        done = asyncio.Event()
        disk.close(file, done.set)
        before = device.refused
        while device.refused < before + 3:
            assert not done.is_set()
            await asyncio.sleep(0.005)
        device.full = False
        async with asyncio.timeout(LIMIT_S):
            await done.wait()
        disk.stop()

    asyncio.run(story())
    told = finalise(tmp_path, path, recovered=False)
    sidecar = load_sidecar(tmp_path / sidecar_path(told.started))
    assert sidecar.ended_at_ms - sidecar.answered_at_ms == 1000
    assert sidecar.recording is None
    assert any("磁盘已满" in fault for fault in sidecar.faults)


def test_a_recorder_stopped_on_a_full_disk_stops(tmp_path, monkeypatch):
    device = FullDisk(monkeypatch)

    async def story():
        disk = DiskWriter(asyncio.get_running_loop(), lambda path, reason: None)
        file = disk.open(tmp_path / "a.spool")
        device.full = True
        disk.append_mark(file, MAGIC)
        disk.close(file, lambda: None)
        disk.stop()

    asyncio.run(story())
    assert device.refused


def test_a_spool_that_cannot_be_deleted_or_closed_stops_no_other(tmp_path, monkeypatch):
    """Either killed the thread that finishes files: no call after it was ever finalised."""
    real_unlink, real_close = Path.unlink, os.close

    def refuse(path, missing_ok=False):
        if path.name == "a.spool":
            raise OSError(errno.EROFS, "Read-only file system")
        real_unlink(path, missing_ok)

    def close_badly(descriptor):
        real_close(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    async def story():
        disk = DiskWriter(asyncio.get_running_loop(), lambda path, reason: None)
        monkeypatch.setattr(Path, "unlink", refuse)
        first = disk.open(tmp_path / "a.spool")
        first.keep(MAGIC)
        disk.flush()
        disk.discard(first)
        second = disk.open(tmp_path / "b.spool")
        second.keep(MAGIC)
        monkeypatch.setattr(os, "close", close_badly)
        await closed(disk, second)
        monkeypatch.setattr(os, "close", real_close)
        third = disk.open(tmp_path / "c.spool")
        third.keep(MAGIC + encode_packet(0, 1, b"x"))
        await closed(disk, third)
        disk.stop()

    asyncio.run(story())
    assert len(list(read_records((tmp_path / "c.spool").read_bytes()))) == 1


class AtOnce:
    """A helper that is done before it begins."""

    async def begin(self):
        pass

    async def ask(self, spool, recovered):
        return Finalised(call_id=spool.stem)

    async def end(self, *, kill=False):
        pass


def test_a_result_nobody_can_take_does_not_end_the_finalizer(tmp_path):
    async def story():
        done = []

        def on_done(spool, recovered, result):
            done.append(spool.name)
            if len(done) == 1:
                raise OSError(errno.EROFS, "Read-only file system")

        finalizer = Finalizer(AtOnce(), on_done)
        for name in ("a.spool", "b.spool"):
            finalizer.submit(tmp_path / name)
        await finalizer.stop(5)
        return done

    assert asyncio.run(story()) == ["a.spool", "b.spool"]


def test_a_failed_write_leaves_no_half_file_behind(tmp_path, monkeypatch):
    """On a full disk every restart left another half master, and so kept it full."""

    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "master", b"x" * 1000)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_finalizer_had_half_written_is_cleared(tmp_path):
    spool = tmp_path / "x.spool"
    spool.write_bytes(MAGIC + b"".join(encode(r) for r in RECORDS))
    path = tmp_path / sidecar_path(RECORDS[0])
    path.parent.mkdir(parents=True)
    half = path.parent / f".{path.stem}.wav.12345.tmp"
    half.write_bytes(b"RIFF")
    other = path.parent / ".20261122T000000000Z-T-2.wav.12345.tmp"
    other.write_bytes(b"RIFF")
    finalise(tmp_path, spool, recovered=True)
    assert sorted(p.name for p in path.parent.iterdir()) == sorted((other.name, path.name, f"{path.stem}.wav"))


def encode(record):
    if isinstance(record, PacketRecord):
        return encode_packet(record.channel, record.arrival_ns, record.data)
    return encode_mark(record)


class CountingFiles(Files):
    """together: what becomes of a sync of everything at once."""

    def __init__(self, together):
        self.together = together
        self.alone = self.at_once = 0

    def sync(self, descriptor):
        self.alone += 1

    def sync_disk(self, descriptor):
        self.at_once += 1
        if self.together is not None:
            raise self.together


class ByHand:
    """A worker that works when it is told to."""

    def __init__(self, name, at_times, every_s):
        self.jobs, self.at_times = [], at_times

    def put(self, job):
        self.jobs.append(job)

    def finish(self):
        while self.jobs:
            self.jobs.pop(0)()


@pytest.mark.parametrize(
    ("n", "together", "alone", "at_once"),
    [
        (TOGETHER_FROM - 1, None, 2 * (TOGETHER_FROM - 1), 0),
        (TOGETHER_FROM, None, 0, 2),
        (TOGETHER_FROM, OSError(errno.EIO, "Input/output error"), 2 * TOGETHER_FROM, 1),
    ],
)
def test_many_spools_are_synced_by_one_call_and_one_by_one_while_it_fails(tmp_path, n, together, alone, at_once):
    workers = []

    def worker(*what):
        workers.append(ByHand(*what))
        return workers[-1]

    async def story():
        files = CountingFiles(together)
        disk = DiskWriter(asyncio.get_running_loop(), lambda path, reason: None, files, worker)
        writing, syncing = workers
        opened = [disk.open(tmp_path / f"{i}.spool") for i in range(n)]
        for _ in range(2):
            for file in opened:
                file.keep(MAGIC)
            disk.flush()
            writing.finish()
            syncing.at_times()
        assert (files.alone, files.at_once) == (alone, at_once)
        assert all(file.named and not file.dirty for file in opened)
        syncing.at_times()  # nothing new
        assert (files.alone, files.at_once) == (alone, at_once)
        disk.stop()

    asyncio.run(story())


def test_the_system_syncs_a_disk(tmp_path):
    descriptor = DISK.open(tmp_path / "a", os.O_WRONLY | os.O_CREAT)
    DISK.write(descriptor, b"x")
    DISK.sync_disk(descriptor)
    DISK.close(descriptor)
    with pytest.raises(OSError, match="syncfs") as refused:
        DISK.sync_disk(descriptor)
    assert refused.value.errno == errno.EBADF


def test_a_disk_that_was_slow_gets_all_that_waits_by_one_write_a_file(tmp_path, monkeypatch):
    """One job for each time it was handed over, each as slow as the one before: a crash took more the longer it went on."""
    writes = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: writes.append(data) or write(descriptor, data))
    workers = []

    def worker(*wanted):
        workers.append(ByHand(*wanted))
        return workers[-1]

    async def story():
        disk = DiskWriter(asyncio.get_running_loop(), lambda path, reason: None, workers=worker)
        one, other = disk.open(tmp_path / "a.spool"), disk.open(tmp_path / "b.spool")
        for n in range(5):
            one.keep(b"%d" % n)
            other.keep(b"%d" % (n + 5))
            disk.flush()
        one.keep(b"!")
        disk.close(one, lambda: None)
        writing = workers[0]
        assert len(writing.jobs) == 2  # all that waits, and the end of one file
        writing.finish()
        assert writes == [b"01234!", b"56789"]
        other.keep(b"?")
        disk.flush()
        writing.finish()
        assert writes[2:] == [b"?"]
        disk.stop()

    asyncio.run(story())
    assert (tmp_path / "a.spool").read_bytes() == b"01234!"
    assert (tmp_path / "b.spool").read_bytes() == b"56789?"
