"""A disk that is full or read-only when the recorder comes back: it takes calls all the same, and says what it could not keep."""

import errno
import random
from pathlib import Path

import pytest

from callqa.journal import JournalKind
from callqa.sip.process.journal_writer import JournalWriter
from tests.simulate import story
from tests.simulate.files import Disk, MemoryFiles
from tests.simulate.invariants import entries, sidecars
from tests.simulate.plan import BlowPlan, CallPlan, Plan, Trouble
from tests.simulate.world import World

AT_MS = 1_795_305_600_000
REFUSALS = {"full": errno.ENOSPC, "read-only": errno.EROFS}


@pytest.fixture
def worlds(monkeypatch):
    """The worlds of the stories told."""
    made: list[World] = []
    play = story._play
    monkeypatch.setattr(story, "_play", lambda world: (made.append(world), play(world)))
    return made


def _plan(number: int, where: str, *, power: bool) -> Plan:
    """Struck in the first call, back in a second, the disk in trouble until well into the second call."""
    first = CallPlan(0.0, True, 0, 0.2, None, 0, talk_s=4.0, ends="caller")
    second = CallPlan(4.5, True, 0, 0.2, None, 0, talk_s=6.0, ends="caller")
    return Plan(
        11, calls=(first, second), slow_disk=0.0, blow=BlowPlan(2.0, power, None, 1.0),
        trouble=Trouble(1.9, 6.0, number, where),
    )  # fmt: skip


@pytest.mark.parametrize("where", ["", "journal", "state", "spool"])
@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("power", [True, False], ids=["power cut", "kill"])
def test_a_recorder_comes_back_on_a_disk_in_trouble_and_takes_calls(worlds, where, kind, power):
    told = story.tell(_plan(REFUSALS[kind], where, power=power))
    assert told.violations == ()
    (world,) = worlds
    assert told.answered == 2, "the second call came while the disk refused"
    assert len(world.lives) == 3, "before, after, and once more with nothing to do"
    second = [s for s in sidecars(world).values() if world.attempts[1].is_of(s.from_number, s.to_number)]
    assert len(second) == 1
    numbers = [e.number for e in entries(world)]
    assert numbers == sorted(set(numbers))
    if where in ("", "spool"):
        assert second[0].faults, "what could not be written is stated"


def test_no_entry_is_on_the_disk_before_the_note_of_its_boot():
    """The worker might read it and a power cut take it: the run after would give its number to another."""
    disk = Disk(random.Random(1), lambda: 0)
    folder = Path("/journal")
    before = MemoryFiles(disk)
    journal = JournalWriter(folder, before)
    journal.append(JournalKind.FAULT, AT_MS, text="before")
    journal.close()
    disk.cut_power()

    def full(operation: str, path: str) -> None:
        if operation == "create":
            raise OSError(errno.ENOSPC, "trouble", path)

    disk.trouble = full
    files = MemoryFiles(disk)
    journal = JournalWriter(folder, files)
    assert not journal.append(JournalKind.FAULT, AT_MS, text="after")
    (day,) = files.list(folder, "*.jsonl")
    assert files.read(day).count(b"\n") == 1
    disk.trouble = lambda operation, path: None
    assert journal.write_waiting()
    assert files.read(day).count(b"\n") == 2
    assert files.read(folder / ".boot").startswith(b"%d " % disk.boots)
    journal.close()


def test_the_door_opens_once_the_disk_lets_it(worlds):
    told = story.tell(_plan(errno.EROFS, "live", power=False))
    assert told.violations == ()
    (world,) = worlds
    assert all(run.recorder._door.is_open for run in world.lives)
    texts = [e.facts["text"] for e in entries(world) if e.kind == "fault"]
    assert any("接口开不了（所在磁盘是只读的）" in text for text in texts)
