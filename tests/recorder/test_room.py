"""A disk nearly full: raw media of calls whose master is safe goes, the oldest first, and nothing else."""

import errno
import json

import pytest

from callqa.files import Files
from callqa.journal import JournalKind
from callqa.sidecar import load_sidecar
from callqa.sip.media.spool import sidecar_path
from callqa.sip.process import room
from callqa.sip.process.finalize import finalise
from callqa.sip.process.room import make_room
from tests.media.builders import Sender, call, spool_bytes
from tests.simulate import story
from tests.simulate.files import MemoryFiles
from tests.simulate.invariants import entries, sidecars
from tests.simulate.loop import SECOND_NS
from tests.simulate.plan import CallPlan, Plan, Trouble
from tests.simulate.world import SETTINGS, World

RECORDS = call(Sender(0, 50).records() + Sender(1, 50, seed=2, ssrc=5).records(), 1000)
IDS = [f"20261122T00000{n}000Z-T-{n}" for n in range(5)]


class SmallDisk(Files):
    """A disk of so many bytes that holds spools alone."""

    def __init__(self, size):
        self.disk_bytes = size

    def free_bytes(self, folder):
        return self.disk_bytes - sum(path.stat().st_size for path in folder.glob("*.spool"))


@pytest.fixture
def home(tmp_path):
    """Five calls, recorded and marked."""
    (tmp_path / "spool").mkdir()
    for call_id in IDS:
        spool = tmp_path / "spool" / f"{call_id}.spool"
        spool.write_bytes(spool_bytes([RECORDS[0].model_copy(update={"call_id": call_id}), *RECORDS[1:]]))
        finalise(tmp_path, spool, recovered=False)
        note = {"call_id": call_id, "recording_sha256": sidecar_of(tmp_path, call_id).recording.sha256}
        marker(tmp_path, call_id).write_text(json.dumps(note | {"archived_at_ms": 1}))
    return tmp_path


def sidecar_of(home, call_id):
    return load_sidecar(home / sidecar_path(RECORDS[0].model_copy(update={"call_id": call_id})))


def marker(home, call_id):
    return home / "spool" / f"{call_id}.archived"


def kept(home):
    return [path.stem for path in sorted((home / "spool").glob("*.spool"))]


def disk(home, free_spools=0):
    """A disk full but for so many spools; and the bytes of one."""
    sizes = [path.stat().st_size for path in (home / "spool").glob("*.spool")]
    return SmallDisk(sum(sizes) + free_spools * max(sizes)), max(sizes)


def test_the_oldest_go_first_and_only_as_many_as_are_needed(home):
    files, spool_bytes_ = disk(home)
    made = make_room(home / "spool", home, 2 * spool_bytes_ - 1, files)
    assert made.call_ids == tuple(IDS[:2])
    assert made.enough
    assert made.bytes == files.free_bytes(home / "spool")
    assert kept(home) == IDS[2:]
    assert not marker(home, IDS[0]).exists()
    assert make_room(home / "spool", home, spool_bytes_, files).call_ids == ()


def test_a_spool_that_may_still_be_needed_stays_however_full_the_disk(home):
    """Unmarked; master gone; master cut short; another hash than was verified; a mark that cannot be read."""
    marker(home, IDS[0]).unlink()
    (home / sidecar_of(home, IDS[1]).recording.path).unlink()
    master = home / sidecar_of(home, IDS[2]).recording.path
    master.write_bytes(master.read_bytes()[:-1])
    marker(home, IDS[3]).write_text(json.dumps({"call_id": IDS[3], "recording_sha256": "0" * 64}))
    marker(home, IDS[4]).write_text("{")
    files, _ = disk(home)
    made = make_room(home / "spool", home, 1 << 40, files)
    assert (made.call_ids, made.enough) == ((), False)
    assert kept(home) == IDS


def test_a_call_without_its_sidecar_keeps_its_spool(home):
    (home / sidecar_path(RECORDS[0].model_copy(update={"call_id": IDS[0]}))).unlink()
    files, _ = disk(home)
    assert make_room(home / "spool", home, 1 << 40, files).call_ids == tuple(IDS[1:])
    assert kept(home) == IDS[:1]


def test_a_round_has_an_end(home, monkeypatch):
    monkeypatch.setattr(room, "MOST_AT_ONCE", 2)
    files, _ = disk(home)
    rounds = [make_room(home / "spool", home, 1 << 40, files) for _ in range(4)]
    assert [r.call_ids for r in rounds] == [tuple(IDS[:2]), tuple(IDS[2:4]), (IDS[4],), ()]
    assert not any(r.enough for r in rounds)


# -- the whole recorder, its disk full while a call lasts ---------------------------------------------------------------


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "not marked"])
def test_a_recorder_on_a_full_disk_frees_what_is_marked_and_says_so(monkeypatch, marked):
    first = CallPlan(0.0, True, 0, 0.2, None, 0, talk_s=2.0, ends="caller")
    second = CallPlan(4.0, True, 0, 0.2, None, 0, talk_s=5.0, ends="caller")
    plan = Plan(5, calls=(first, second), slow_disk=0.0, trouble=Trouble(5.0, 3.0, errno.ENOSPC, ""))
    worlds: list[World] = []
    play = story._play

    def mark(world):
        for sidecar in sidecars(world).values():
            note = {"call_id": sidecar.call_id, "recording_sha256": sidecar.recording.sha256, "archived_at_ms": 1}
            MemoryFiles(world.disk).put(SETTINGS.spool_dir / f"{sidecar.call_id}.archived", json.dumps(note).encode())

    def plays(world):
        worlds.append(world)
        if marked:
            world.work.after(4 * SECOND_NS, mark, world)
        play(world)

    monkeypatch.setattr(story, "_play", plays)
    told = story.tell(plan)
    (world,) = worlds
    made = sorted(sidecars(world).values(), key=lambda s: s.started_at_ms)
    assert len(made) == 2
    spools = [name for name in world.disk.folders[str(SETTINGS.spool_dir)] if name.endswith(".spool")]
    freed = [e for e in entries(world) if e.kind is JournalKind.SPOOLS_FREED]
    texts = [e.facts["text"] for e in entries(world) if e.kind is JournalKind.FAULT]
    if marked:
        assert [v for v in told.violations if "keeps its spool" not in v] == []
        assert spools == [f"{made[1].call_id}.spool"]
        assert [e.facts["call_ids"] for e in freed] == [[made[0].call_id]]
        assert freed[0].facts["bytes"] > 10_000
        assert any("已从最早的起删除归档通话的原始媒体暂存" in text for text in texts)
    else:
        assert told.violations == ()
        assert len(spools) == 2
        assert freed == []
    assert any("没有可以释放的原始媒体暂存" in text for text in texts)
