"""Which events may follow which, as callqa/sip/events.py says."""

from collections.abc import Callable

from callqa.sip.events import (
    CallAbandoned,
    CallAnswered,
    CallEnded,
    CallRinging,
    CallStarted,
    CallUnanswered,
    Event,
    MediaClosed,
    SipFault,
)

_ENDS = (CallEnded, CallUnanswered, CallAbandoned)


class EventOrder:
    """wrong(invariant, detail) is called for every event out of order."""

    def __init__(self, wrong: Callable[[str, str], None]) -> None:
        self._wrong = wrong
        self._seen: dict[str, list[str]] = {}

    def take(self, event: Event) -> None:
        call_id = getattr(event, "call_id", None)
        if call_id is None or isinstance(event, SipFault):
            return
        name = type(event).__name__
        before = self._seen.setdefault(call_id, [])
        reason = self._illegal(event, before)
        if reason:
            self._wrong("events in their order", f"{call_id}: {name} {reason}, after {before}")
        before.append(name)

    @staticmethod
    def _illegal(event: Event, before: list[str]) -> str:
        if isinstance(event, CallStarted):
            return "twice" if before else ""
        if not before:
            return "before CallStarted"
        if "MediaClosed" in before:
            return "after MediaClosed"
        ended = any(kind.__name__ in before for kind in _ENDS)
        if isinstance(event, _ENDS):
            if ended:
                return "after an end"
            if isinstance(event, CallEnded) != ("CallAnswered" in before):
                return "does not fit whether it was answered"
        if isinstance(event, CallAnswered) and ("CallAnswered" in before or ended):
            return "twice or after the end"
        if isinstance(event, CallRinging) and ("CallAnswered" in before or ended):
            return "too late"
        if isinstance(event, MediaClosed) and not ended:
            return "before the end"
        return ""

    def unfinished(self) -> list[str]:
        """Calls whose media was not closed."""
        return [call_id for call_id, names in self._seen.items() if names[-1] != "MediaClosed"]
