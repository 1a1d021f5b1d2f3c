"""今日: inbound calls of the Shanghai day, answered or not, counted from the journal's entries as they are written; and the day's
recordings."""

import logging
from collections.abc import Iterable
from pathlib import Path

from callqa.files import Files
from callqa.journal import JournalEntry, JournalKind
from callqa.live import LiveToday
from callqa.periods import from_ms
from callqa.sip.process.clock import Clock

log = logging.getLogger(__name__)

_MISSED = (JournalKind.CALL_UNANSWERED, JournalKind.CALL_ABANDONED)
# What the lines hold that matter here: of a busy day's journal they are a fifth.
COUNTED_MARKS = tuple(f'"{kind.value}"'.encode() for kind in (JournalKind.CALL_ANSWERED, *_MISSED))


class Today:
    """The day of the last entry; a new day begins with its first."""

    def __init__(self) -> None:
        self._day = ""
        self._answered: set[str] = set()
        self._missed: set[str] = set()
        self._longest_ms = 0

    def take_all(self, entries: Iterable[JournalEntry]) -> None:
        """Entries of earlier runs, in order."""
        for entry in entries:
            self.take(entry)

    def take(self, entry: JournalEntry) -> None:
        """Count one entry; each call once."""
        answered, missed = entry.kind is JournalKind.CALL_ANSWERED, entry.kind in _MISSED
        if not (answered or missed) or entry.facts.get("direction") != "inbound" or not entry.call_id:
            return
        day = _day(entry.at_ms)
        if day < self._day:
            return  # the clock was set back: what is counted stays
        if day > self._day:
            self._day, self._answered, self._missed, self._longest_ms = day, set(), set(), 0
        (self._answered if answered else self._missed).add(entry.call_id)
        wait_ms = entry.facts.get("ring_ms")
        if isinstance(wait_ms, int):
            self._longest_ms = max(self._longest_ms, wait_ms)

    def at(self, now_ms: int) -> LiveToday:
        """The day so far; nothing yet on a new day."""
        if _day(now_ms) != self._day:
            return LiveToday()
        missed = len(self._missed - self._answered)
        return LiveToday(answered=len(self._answered), missed=missed, longest_wait_ms=self._longest_ms)


def _day(at_ms: int) -> str:
    return f"{from_ms(at_ms):%Y-%m-%d}"


class RecordedToday:
    """How many recordings the folder of the day holds."""

    def __init__(self, recordings_dir: Path, files: Files, clock: Clock) -> None:
        self.count = 0
        self._folder = recordings_dir
        self._files = files
        self._clock = clock
        self._day = ""

    def look(self) -> None:
        """Count the files of the day; none where the disk does not let us."""
        self._day, self.count = self._today(), 0
        try:
            self.count = len(self._files.list(self._folder / self._day, "[0-9]*.json"))
        except OSError as e:
            log.error("recordings: %s", e)

    def add(self, sidecar: str) -> None:
        """One more. Looking through the folder after every call would cost more with every call of the day."""
        if self._day != self._today():
            self.look()
        elif sidecar.startswith(self._day):
            self.count += 1

    def _today(self) -> str:
        """Today's folder below the recordings."""
        return f"{from_ms(self._clock.wall_ms()):%Y/%m/%d}"
