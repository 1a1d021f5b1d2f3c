"""The files the recorder writes: spools on a failing disk, journal numbers, masters, ports."""

import asyncio
import errno
import json
import os
import subprocess
import sys
import wave

import pytest

from callqa.errors import ConfigError, SpoolError
from callqa.files import DISK
from callqa.journal import JournalKind, read_entries
from callqa.sidecar import load_sidecar
from callqa.sip.media.spool import (
    MAGIC,
    FaultMark,
    PacketRecord,
    encode_mark,
    encode_packet,
    read_records,
    sidecar_path,
)
from callqa.sip.process import identity
from callqa.sip.process.disk import DiskWriter
from callqa.sip.process.finalize import finalise
from callqa.sip.process.identity import call_ids, host_finder
from callqa.sip.process.journal_writer import JournalWriter, noted_calls
from callqa.sip.process.ports import PortMemory, PortPool
from callqa.sip.process.recovery import find_left_over, list_spools
from tests.media.builders import Sender, call, spool_bytes
from tests.ports import own_port
from tests.recorder.harness import LIMIT_S, journal_entries


def mark(n):
    return FaultMark(at_ns=n, text=f"mark {n}")


def test_a_full_disk_costs_packets_but_no_marks_and_no_call(tmp_path):
    """The file stands on a full device for a while; what is written later must be readable."""
    faults = []

    async def story():
        disk = DiskWriter(asyncio.get_running_loop(), lambda path, reason: faults.append(reason))
        file = disk.open(tmp_path / "a.spool")
        file.descriptor = os.open("/dev/full", os.O_WRONLY)
        disk.append_mark(file, MAGIC)
        disk.append_mark(file, encode_mark(mark(1)))
        file.keep(encode_packet(0, 2, b"lost"))
        disk.flush()
        while not faults:
            await asyncio.sleep(0.01)
        file.keep(encode_packet(0, 3, b"lost too"))
        disk.flush()
        full, file.descriptor = file.descriptor, os.open(tmp_path / "a.spool", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        file.keep(encode_packet(0, 4, b"kept"))
        done = asyncio.Event()
        disk.close(file, done.set)
        await done.wait()
        os.close(full)
        disk.stop()

    asyncio.run(story())
    assert faults == ["磁盘已满"]
    records = list(read_records((tmp_path / "a.spool").read_bytes()))
    assert records[0] == mark(1)
    assert records[-1] == PacketRecord(0, 4, b"kept")


def test_half_a_batch_is_cut_back(tmp_path, monkeypatch):
    real_write = os.write
    calls = []

    def failing_write(descriptor, data):
        calls.append(len(data))
        if len(calls) == 2:
            return real_write(descriptor, data[: len(data) // 2])
        if len(calls) == 3:
            raise OSError(5, "Input/output error")
        return real_write(descriptor, data)

    async def story():
        disk = DiskWriter(asyncio.get_running_loop(), lambda path, reason: None)
        file = disk.open(tmp_path / "b.spool")
        monkeypatch.setattr(os, "write", failing_write)
        batches = (MAGIC + encode_packet(0, 1, b"one"), encode_packet(0, 2, b"two"), encode_packet(0, 3, b"three"))
        for n, batch in enumerate(batches):
            file.keep(batch)
            disk.flush()
            async with asyncio.timeout(LIMIT_S):
                while len(calls) < (1, 3, 4)[n]:  # else the writing thread takes what follows with it
                    await asyncio.sleep(0.001)
        done = asyncio.Event()
        disk.close(file, done.set)
        await done.wait()
        disk.stop()

    asyncio.run(story())
    records = list(read_records((tmp_path / "b.spool").read_bytes()))
    assert [r.data for r in records] == [b"one", b"three"]


def test_a_discarded_spool_is_gone(tmp_path):
    async def story():
        disk = DiskWriter(asyncio.get_running_loop(), lambda path, reason: None)
        file = disk.open(tmp_path / "c.spool")
        file.keep(MAGIC)
        disk.flush()
        disk.discard(file)
        disk.stop()

    asyncio.run(story())
    assert list(tmp_path.iterdir()) == []


DAY_1, DAY_2 = 1_795_305_600_000, 1_795_392_000_000  # 2026-11-22 and -23, 00:00 UTC


def test_journal_numbers_run_on_across_days_and_restarts(tmp_path):
    for start in (DAY_1, DAY_2):
        journal = JournalWriter(tmp_path)
        for n in range(3):
            assert journal.append(JournalKind.FAULT, start + n, text="x")
        journal.close()
    assert [e.number for e in journal_entries(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert sorted(p.name for p in tmp_path.glob("*.jsonl")) == ["2026-11-22.jsonl", "2026-11-23.jsonl"]


def test_a_clock_set_back_keeps_the_order_of_numbers(tmp_path):
    journal = JournalWriter(tmp_path)
    for at_ms in (DAY_2, DAY_1, DAY_2 + 1):
        journal.append(JournalKind.FAULT, at_ms, text="x")
    journal.close()
    assert [e.number for e in journal_entries(tmp_path)] == [1, 2, 3]


def test_a_torn_last_line_is_cut_off(tmp_path):
    journal = JournalWriter(tmp_path)
    journal.append(JournalKind.CALL_COMPLETE, DAY_1, "A-1", sidecar="x")
    journal.close()
    with (tmp_path / "2026-11-22.jsonl").open("ab") as f:
        f.write(b'{"number":2,"at_ms":17953')
    journal = JournalWriter(tmp_path)
    journal.append(JournalKind.CALL_COMPLETE, DAY_1, "A-2", sidecar="y")
    journal.close()
    assert [(e.number, e.call_id) for e in read_entries(tmp_path / "2026-11-22.jsonl")] == [(1, "A-1"), (2, "A-2")]
    assert noted_calls(tmp_path, "2026-11-22", JournalKind.CALL_COMPLETE) == {"A-1", "A-2"}
    assert noted_calls(tmp_path, "2026-11-23", JournalKind.CALL_COMPLETE) == set()


def test_entries_the_disk_refused_are_written_later_in_order(tmp_path, monkeypatch):
    journal = JournalWriter(tmp_path)
    journal.append(JournalKind.FAULT, DAY_1, text="before")
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real_write(descriptor, data[:5]))
    assert not journal.append(JournalKind.FAULT, DAY_1, text="refused")
    monkeypatch.setattr(os, "write", real_write)
    assert journal.append(JournalKind.FAULT, DAY_1, text="after")
    journal.close()
    assert [e.facts["text"] for e in journal_entries(tmp_path)] == ["before", "refused", "after"]


def test_a_second_recorder_is_kept_out(tmp_path):
    journal = JournalWriter(tmp_path)
    with pytest.raises(ConfigError, match="另一个录音服务"):
        JournalWriter(tmp_path)
    journal.close()
    JournalWriter(tmp_path).close()


@pytest.mark.parametrize(("number", "said"), [(errno.EROFS, "只读"), (errno.EACCES, "没有权限")])
def test_a_folder_that_never_was_a_journal_is_refused_by_name(tmp_path, monkeypatch, number, said):
    """A disk that passes on the other hand is waited for: tests/simulate/test_start_in_trouble.py."""

    def refuse(path, flags, mode=0o777):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigError, match=said):
        JournalWriter(tmp_path)


def test_a_lock_file_of_somebody_else_is_a_setting_to_be_mended_not_a_sick_disk(tmp_path, monkeypatch):
    JournalWriter(tmp_path).close()
    real_open = os.open

    def refuse(path, flags, mode=0o777):
        if flags & os.O_RDWR:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real_open(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigError, match="没有权限"):
        JournalWriter(tmp_path)


RECORDS = call(Sender(0, 50).records() + Sender(1, 50, seed=2, ssrc=5).records(), 1000)


def test_finalising_writes_master_then_sidecar_once(tmp_path):
    spool = tmp_path / "x.spool"
    spool.write_bytes(spool_bytes(RECORDS))
    story = finalise(tmp_path, spool, recovered=False)
    path = tmp_path / sidecar_path(story.started)
    sidecar = load_sidecar(path)
    assert path.relative_to(tmp_path).as_posix() == "2026/11/22/20261122T000000000Z-T-1.json"
    assert sidecar.answered_at_ms - sidecar.started_at_ms == 3000
    assert sidecar.ended_at_ms - sidecar.answered_at_ms == 1000
    master = tmp_path / sidecar.recording.path
    assert Sender(0, 50).audio() == master.read_bytes()[-16_000:][0::2]
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    finalise(tmp_path, spool, recovered=True)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_call_in_two_laws_becomes_pcm(tmp_path):
    spool = tmp_path / "x.spool"
    records = Sender(0, 50).records() + Sender(1, 50, payload_type=0).records()
    spool.write_bytes(spool_bytes(call(records, 1000)))
    story = finalise(tmp_path, spool, recovered=False)
    sidecar = load_sidecar(tmp_path / sidecar_path(story.started))
    assert sidecar.recording.encoding == "pcm16"
    with wave.open(str(tmp_path / sidecar.recording.path)) as w:
        assert (w.getnchannels(), w.getsampwidth(), w.getframerate(), w.getnframes()) == (2, 2, 8000, 8000)


def test_a_spool_without_a_beginning_is_refused_by_name(tmp_path):
    spool = tmp_path / "x.spool"
    spool.write_bytes(spool_bytes(RECORDS[1:]))
    with pytest.raises(SpoolError, match="no started mark"):
        finalise(tmp_path, spool, recovered=True)


def test_the_finalizer_process_goes_on_after_a_bad_spool(tmp_path):
    good, bad = tmp_path / "good.spool", tmp_path / "bad.spool"
    good.write_bytes(spool_bytes(RECORDS))
    bad.write_bytes(b"RIFF")
    jobs = [{"spool": str(p), "recovered": True} for p in (bad, tmp_path / "none.spool", good)]
    result = subprocess.run(
        [sys.executable, "-m", "callqa.sip.process.finalize", str(tmp_path)],
        input="".join(json.dumps(job) + "\n" for job in jobs),
        capture_output=True,
        text=True,
        timeout=60,
    )
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(bool(a.get("error")), a.get("again")) for a in answers] == [(True, False), (True, False), (False, None)]
    assert load_sidecar(tmp_path / answers[2]["sidecar"]).recovered


def test_what_a_crash_left_is_found(tmp_path):
    spools = tmp_path / "spool"
    spools.mkdir()
    (tmp_path / "journal").mkdir()
    (spools / "empty.spool").write_bytes(b"")
    (spools / "done.spool").write_bytes(spool_bytes(RECORDS))
    finalise(tmp_path, spools / "done.spool", recovered=False)
    other = RECORDS[0].model_copy(update={"call_id": "20261122T000000000Z-T-2"})
    (spools / "cut.spool").write_bytes(spool_bytes([other, *RECORDS[1:]])[:9000])
    left = find_left_over(list_spools(spools), tmp_path, tmp_path / "journal")
    assert [p.name for p in left.unfinished] == ["cut.spool", "done.spool"]  # done, but the journal does not say so
    assert [p.name for p in left.damaged] == ["empty.spool"]


def test_ports_are_really_bound_even_and_rest_before_the_next_call():
    base = own_port()
    pool = PortPool("127.0.0.1", base - 1, base + 3)
    bound = [base, base + 2]
    assert [pool.take() for _ in range(3)] == [*bound, None]
    other = PortPool("127.0.0.1", bound[0], bound[0] + 1)
    assert other.take() is None
    pool.give_back(bound[0])
    assert other.take() == bound[0]
    adopted = other.adopt(bound[0])
    other.give_back(bound[0])
    assert other.take() is None, "an adopted port is its owner's until he closes it"
    adopted.close()
    assert other.take() == bound[0]
    pool.close()
    other.close()


def test_a_run_after_a_kill_leaves_the_ports_of_the_one_before_alone(tmp_path):
    """Phones that were cut off speak on to them."""
    memory, base = PortMemory(tmp_path / "ports", DISK), 20000
    pool = PortPool("127.0.0.1", base, base + 79, start=7, bind=lambda host, port: Bound())
    pool.go_on(memory.load())
    used = [pool.take() for _ in range(20)]
    memory.save(pool.position)
    used += [pool.take() for _ in range(5)]  # in the last second
    after = PortPool("127.0.0.1", base, base + 79, start=7, bind=lambda host, port: Bound())
    after.go_on(PortMemory(tmp_path / "ports", DISK).load())
    assert not {after.take() for _ in range(10)} & set(used)


def test_a_position_that_cannot_be_read_costs_nothing(tmp_path):
    (tmp_path / "ports").write_bytes(b"\xff what")
    memory = PortMemory(tmp_path / "ports", DISK)
    assert memory.load() is None
    assert PortMemory(tmp_path / "none", DISK).load() is None
    PortMemory(tmp_path / "no folder" / "ports", DISK).save(3)
    memory.save(3)
    assert memory.load() == 3


class Bound:
    """A socket."""

    def close(self):
        """Nobody else wants it."""


def test_call_ids_sort_by_time_and_never_repeat():
    now = iter([1_795_305_600_000] * 3 + [1_795_305_599_000, 1_795_305_700_000])
    make = call_ids("K7QD", lambda: next(now))
    made = [make() for _ in range(5)]
    assert made == sorted(set(made))
    assert made[0].startswith("20261122T000000000Z-K7QD-")


def test_our_address_is_the_one_the_peer_can_reach():
    assert host_finder("0.0.0.0", "")("127.0.0.1") == "127.0.0.1"
    assert host_finder("10.1.2.3", "")("127.0.0.1") == "10.1.2.3"
    assert host_finder("0.0.0.0", "192.0.2.7")("127.0.0.1") == "192.0.2.7"
    assert host_finder("0.0.0.0", "")("sip.example.invalid") == "127.0.0.1"


def test_a_route_that_was_missing_once_is_found_when_it_is_back(monkeypatch):
    """The loopback address was kept for good: SDP named 127.0.0.1 to that trunk until the next restart."""
    found, now = [None, "10.1.2.3", "10.9.9.9"], [0.0]
    monkeypatch.setattr(identity, "_route_source", lambda peer: found[0] if len(found) == 1 else found.pop(0))
    find = host_finder("0.0.0.0", "", lambda: now[0])
    assert [find("10.0.0.1") for _ in range(3)] == ["127.0.0.1", "10.1.2.3", "10.1.2.3"]
    now[0] += identity.ROUTE_KEPT_S
    assert find("10.0.0.1") == "10.9.9.9"
