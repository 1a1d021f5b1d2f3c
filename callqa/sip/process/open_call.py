"""One call of the recorder from its first INVITE until its sidecar: what is known of it and where it is written."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

from callqa.sip.events import NOT_WAITED, FactsLearnt, Waited
from callqa.sip.media.spool import Mark, StartedMark
from callqa.sip.media.trouble import TroubleWatch
from callqa.sip.process.capture import CallCapture
from callqa.sip.process.listen import Listener
from callqa.sip.process.pause import OVER
from callqa.sip.wire.sdp import Codecs
from callqa.units import Channel


@dataclass(slots=True)
class OpenCall:
    """One call from its first INVITE until its sidecar."""

    started: StartedMark
    capture: CallCapture
    answered_ns: int | None = None
    seat_extension: str | None = None
    held: set[int] = field(default_factory=set)
    unbound: list[int] = field(default_factory=list)  # ports that were not there
    media_over: bool = False
    paused_ns: int | None = None  # since when packets are relayed but not kept
    pause_reason: tuple[str, str] = ("", "")  # by, reason
    watch: TroubleWatch | None = None  # from the answer on
    deaf: set[int] = field(default_factory=set)  # sides told of that hear nothing
    elsewhere: set[tuple[int, str]] = field(default_factory=set)  # streams, and strangers told of that were heard there
    learnt: FactsLearnt | None = None  # all of them
    sides: dict[int, Channel | None] = field(default_factory=dict)  # of each stream; None: both voices
    waited: Waited = NOT_WAITED
    codecs: dict[int, Codecs] = field(default_factory=dict)  # as last agreed on each leg
    confidential: bool = False  # 保密件: nobody listens in

    @property
    def call_id(self) -> str:
        return self.started.call_id

    def keep(self, kept: bool) -> None:
        """Packets are kept from now on, or only relayed."""
        self.capture.keep(kept)

    def mark(self, mark: Mark) -> None:
        """Queue one mark for the spool."""
        self.capture.mark(mark)

    def at_ms(self, at_ns: int) -> int:
        """UTC milliseconds of a monotonic instant."""
        return self.started.wall_of(at_ns)

    def listen(self, listener: Listener) -> tuple[bytes, ...] | str:
        """Send a listener what is recorded: the records to begin with, or the Chinese reason why not."""
        if self.media_over:
            return OVER
        if self.confidential:
            return "这通电话是保密件，不能监听"
        return "电话还没有接通" if self.answered_ns is None else self.capture.listen(listener)

    def make_confidential(self) -> None:
        """Nobody listens in any more, and whoever did is cut off."""
        self.confidential = True
        self.capture.end_listening()

    def learn(self, event: FactsLearnt) -> None:
        """Keep what a recording client told later; what it did not say again stays."""
        told = {f.name: getattr(event, f.name) for f in fields(event) if getattr(event, f.name) is not None}
        self.learnt = replace(self.learnt, **told) if self.learnt else event
        self.seat_extension = event.seat_extension or self.seat_extension

    @property
    def facts(self) -> dict[str, Any]:
        """Journal facts known by now."""
        s = self.started
        known: dict[str, Any] = {
            "mode": s.mode,
            "direction": s.direction,
            "from_number": s.from_number,
            "to_number": s.to_number,
            "seat_extension": self.seat_extension,
            "ticket_hint": s.ticket_hint,
            "user_to_user": s.user_to_user,
            "withheld": s.withheld,
            "diverted_from": s.diverted_from,
            "started_at_ms": s.wall_ms,
        }
        if self.learnt is not None:
            later = {name: getattr(self.learnt, name) for name in ("direction", "from_number", "to_number")}
            known |= {name: value for name, value in later.items() if value is not None}
        if self.answered_ns is not None:
            known["answered_at_ms"] = s.wall_of(self.answered_ns)
            if s.mode != "siprec":  # a session begins when the call is answered
                known["ring_ms"] = max(0, known["answered_at_ms"] - s.wall_ms - self.waited.notice_ms)
        return known | _facts_of(self.waited)


def _facts_of(waited: Waited) -> dict[str, Any]:
    """What a caller went through, as journal facts; nothing of what did not happen."""
    known = {f.name: getattr(waited, f.name) for f in fields(waited)}
    return {name: value for name, value in known.items() if value}
