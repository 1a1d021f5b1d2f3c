"""What an operator should know of the recorder: into log and journal at once, on the live board for a while."""

import logging
import time
from collections.abc import Callable

from callqa.journal import JournalKind
from callqa.sip.process.journal_writer import JournalWriter

log = logging.getLogger(__name__)

SHOWN_S = 600.0
MOST_SHOWN = 20
SAME_AGAIN_S = 60.0  # the same sentence is not journalled again sooner


class FaultBook:
    """Faults of the last minutes. changed is called when the board should be sent again."""

    def __init__(self, journal: JournalWriter, changed: Callable[[], None]) -> None:
        self._journal = journal
        self._changed = changed
        self._shown: dict[str, float] = {}

    def tell(self, text: str, *, call_id: str | None = None, source: str | None = None) -> None:
        """Report one fault; text is a Chinese sentence."""
        now = time.monotonic()
        before = self._shown.pop(text, None)
        self._shown[text] = now
        while len(self._shown) > MOST_SHOWN:
            del self._shown[next(iter(self._shown))]
        if before is not None and now - before < SAME_AGAIN_S:
            return
        log.warning("fault (call %s, source %s): %s", call_id, source, text)
        facts = {"text": text} | ({"source": source} if source else {})
        self._journal.append(JournalKind.FAULT, time.time_ns() // 1_000_000, call_id, **facts)
        self._changed()

    def shown(self) -> tuple[str, ...]:
        """The faults of the last ten minutes, newest first."""
        limit = time.monotonic() - SHOWN_S
        return tuple(text for text, at in reversed(self._shown.items()) if at > limit)
