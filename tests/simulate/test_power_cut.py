"""A power cut takes a second of a call and no more: spools and journal are synced well within it, off the loop."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from callqa.files import Files
from callqa.sip.process import disk
from callqa.sip.process.worker import next_due
from tests.simulate import invariants, sound
from tests.simulate.files import Inode
from tests.simulate.loop import SECOND_NS, Clockwork, SimLoop
from tests.simulate.plan import BlowPlan, CallPlan, Plan
from tests.simulate.story import tell

# When the call comes and when the power goes: all phases of the beat that syncs, and of the hand-over in it.
PHASES_S = [(0.1 * (7 * i % 32) / 32, 1.6 + 0.079 * i) for i in range(32)]


def _plan(at_s: float, cut_s: float) -> Plan:
    call = CallPlan(at_s, True, 0, 0.2, None, 0, talk_s=5.0, ends="caller")
    return Plan(7, calls=(call,), slow_disk=0.0, blow=BlowPlan(cut_s, True, None, 1.0))


@pytest.fixture(autouse=True)
def harsh(monkeypatch):
    """A disk that has nothing but what was synced. Left to chance it keeps some of the rest, the same share in every story of
    one seed: a recorder that synced every one and a half seconds passed."""
    monkeypatch.setattr(
        Inode,
        "after_power_cut",
        lambda self, rng: bytes(self.data[: self.safe_size]) if self.safe is None else self.safe,
    )


def _violations() -> list[str]:
    return [v for at_s, cut_s in PHASES_S for v in tell(_plan(at_s, cut_s)).violations]


def test_a_power_cut_takes_a_second_and_no_more():
    assert (sound.POWER_LOSES_NS, invariants.SPOOL_UNSYNCED_NS, invariants.JOURNAL_UNSYNCED_NS) == (SECOND_NS,) * 3
    assert _violations() == []


def test_a_recorder_that_syncs_but_once_a_second_is_found_out(monkeypatch):
    """A record waits for its hand-over too, and the disk for its turn."""
    monkeypatch.setattr(disk, "SYNC_S", 1.0)
    assert any("audio that came is recorded" in v for v in _violations())


def test_a_power_cut_does_take_something(monkeypatch):
    """Else the simulated disk would keep what was never synced, and the tests above could not fail."""
    monkeypatch.setattr(sound, "POWER_LOSES_NS", SECOND_NS // 4)
    assert any("audio that came is recorded" in v for v in _violations())


def test_the_journal_is_synced_before_the_spools_and_by_the_same_beat():
    """Behind other work of a second it came up to 1.2 s after its line."""
    done: list[str] = []
    beats: dict[str, tuple[Callable[[], None] | None, float]] = {}

    class Kept:
        def put(self, job: Callable[[], None]) -> None:
            job()

        def finish(self) -> None:
            pass

    def worker(name: str, at_times: Callable[[], None] | None, every_s: float) -> Kept:
        beats[name] = (at_times, every_s)
        return Kept()

    class Noting(Files):
        def open(self, path, flags, mode=0o640):
            return 7

        def write(self, descriptor, data):
            return len(data)

        def sync(self, descriptor):
            done.append("spool")

        def sync_folder(self, folder):
            pass

    loop = SimLoop(Clockwork(random.Random(1)))
    writer = disk.DiskWriter(loop, lambda path, reason: None, Noting(), worker, lambda: done.append("journal"))
    writer.open(Path("/a.spool")).keep(b"x")
    writer.flush()
    beat, every_s = beats["spool-sync"]
    assert beat is not None
    beat()
    assert done == ["journal", "spool"]
    assert disk.FLUSH_S + every_s <= 0.7, "0.3 s of the second are the disk's"


@pytest.mark.parametrize(
    ("took_s", "next_s"), [(0.0, 10.6), (0.3, 10.6), (0.6, 10.6), (0.9, 10.9)], ids=["at once", "slow", "full", "late"]
)
def test_a_slow_sync_does_not_put_off_the_next(took_s, next_s):
    """Counted from its end, a sync of 0.3 s would leave 0.3 s more on no disk."""
    assert next_due(10.0, 0.6, 10.0 + took_s) == pytest.approx(next_s)
