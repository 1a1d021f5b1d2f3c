"""Faults on the live board: when, how often, and for how long."""

from pathlib import Path

import pytest

from callqa.live import LiveFault
from callqa.sip.process.faults import GOES_ON_MS, MOST_SHOWN, SAME_AGAIN_MS, SHOWN_MS, FaultBook
from callqa.sip.process.journal_writer import JournalWriter

AT_MS = 1_795_327_500_000  # 2026-11-22 14:05 in China
WRONG = "话机 8001 的密码不对"


class Desk:
    """A fault book with a clock that stands still until it is moved."""

    def __init__(self, folder: Path) -> None:
        self.now_ms, self.boards = AT_MS, 0
        self.journal_folder = folder
        self.journal = JournalWriter(folder)
        self.book = FaultBook(self.journal, self._changed, lambda: self.now_ms)

    def _changed(self) -> None:
        self.boards += 1

    def told(self, pause_ms: int, text: str = WRONG, **about: str) -> tuple[LiveFault, ...]:
        self.now_ms += pause_ms
        self.book.tell(text, **about)
        return self.book.shown()

    def journalled(self) -> int:
        return sum(path.read_text("utf-8").count(WRONG) for path in self.journal_folder.glob("*.jsonl"))


@pytest.fixture
def desk(tmp_path: Path):
    made = Desk(tmp_path)
    yield made
    made.journal.close()


def test_a_fault_has_its_last_time_and_its_repeats(desk: Desk) -> None:
    assert desk.told(0) == (LiveFault(at_ms=AT_MS, text=WRONG, times=1),)
    assert desk.told(10_000)[0].times == 2
    assert desk.told(10_000) == (LiveFault(at_ms=AT_MS + 20_000, text=WRONG, times=3),)
    assert desk.boards == 3
    assert desk.journalled() == 1, "the journal takes it once a minute"
    desk.told(SAME_AGAIN_MS)
    assert desk.journalled() == 2


def test_what_goes_on_every_second_is_one_fault(desk: Desk) -> None:
    for _ in range(60):
        (fault,) = desk.told(1000)
    assert (fault.times, fault.at_ms, desk.boards) == (1, desk.now_ms, 1)
    assert desk.told(GOES_ON_MS)[0].times == 2


def test_the_same_of_another_call_is_another_time(desk: Desk) -> None:
    desk.told(0, call_id="C1")
    assert desk.told(0, call_id="C2")[0].times == 2


def test_it_leaves_the_board_after_a_day_and_stays_in_the_journal(desk: Desk) -> None:
    desk.told(0)
    desk.told(10_000)
    desk.now_ms += SHOWN_MS - 1
    assert desk.book.shown()
    desk.now_ms += 1
    assert desk.book.shown() == ()
    assert desk.journalled() == 1
    assert desk.told(0)[0].times == 1, "counted anew"


def test_the_newest_come_first_and_there_is_an_end(desk: Desk) -> None:
    for n in range(MOST_SHOWN + 5):
        desk.told(1, f"{n}")
    assert [fault.text for fault in desk.book.shown()] == [str(n) for n in range(MOST_SHOWN + 4, 4, -1)]
