"""What an operator should know of the recorder: into log and journal at once, on the live board for a day."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from callqa.journal import JournalKind
from callqa.live import LiveFault
from callqa.sip.process.journal_writer import JournalWriter

log = logging.getLogger(__name__)

JOURNAL_WAITS = "流水写盘失败，稍后会补写；请检查磁盘空间"
SHOWN_MS = 24 * 3_600_000
MOST_SHOWN = 20
SAME_AGAIN_MS = 60_000  # the same sentence is not journalled again sooner
GOES_ON_MS = 5_000  # told again so soon, of the same call and source, it is the same trouble going on: not counted


@dataclass(slots=True)
class _Shown:
    at_ms: int
    times: int
    about: tuple[str | None, str | None]  # call, source


class FaultBook:
    """Faults of the last day. changed is called when the board should be sent again; clock: UTC milliseconds now."""

    def __init__(self, journal: JournalWriter, changed: Callable[[], None], clock: Callable[[], int]) -> None:
        self._journal = journal
        self._changed = changed
        self._clock = clock
        self._shown: dict[str, _Shown] = {}  # the latest last

    def tell(self, text: str, *, call_id: str | None = None, source: str | None = None) -> None:
        """Report one fault; text is a Chinese sentence."""
        now_ms, about = self._clock(), (call_id, source)
        before = self._shown.pop(text, None)
        if before is not None and now_ms - before.at_ms >= SHOWN_MS:
            before = None
        goes_on = before is not None and before.about == about and now_ms - before.at_ms < GOES_ON_MS
        times = before.times + (not goes_on) if before else 1
        self._shown[text] = _Shown(now_ms, times, about)
        while len(self._shown) > MOST_SHOWN:
            del self._shown[next(iter(self._shown))]
        if not goes_on:
            self._changed()
        if before is not None and now_ms - before.at_ms < SAME_AGAIN_MS:
            return
        log.warning("fault (call %s, source %s): %s", call_id, source, text)
        facts = {"text": text} | ({"source": source} if source else {})
        self._journal.append(JournalKind.FAULT, now_ms, call_id, **facts)

    def shown(self) -> tuple[LiveFault, ...]:
        """The faults of the last 24 hours, newest first."""
        limit_ms = self._clock() - SHOWN_MS
        return tuple(
            LiveFault(at_ms=fault.at_ms, text=text, times=fault.times)
            for text, fault in reversed(self._shown.items())
            if fault.at_ms > limit_ms
        )
