"""Who takes an inbound call: the recording notice, seats as the strategy says, the queue, a number outside.

Rules: the notice is heard wholly before any seat is rung, so that nobody is recorded unaware and no agent waits for it to end.
Then seats ring (queue.py says which); a seat that refuses is left out for this call until it has ended another one. A caller
for whom no seat is free waits with music; it goes on while a seat rings for him. Nobody there, nobody answering or too long a wait: the
number outside, where there is one, dialled through the dial plan; the call stays inbound, and is recorded. Else he is refused.
"""

from typing import TYPE_CHECKING

from callqa.sip.calls.caller_side import MUSIC, NOTICE
from callqa.sip.calls.outbound import TrunkSearch
from callqa.sip.calls.routing import (
    ALL_BUSY,
    NO_ANSWER,
    NO_CODEC,
    NOBODY,
    WAITED_TOO_LONG,
    Refusal,
    Target,
    outbound_targets,
)
from callqa.sip.events import CallOverflowed, CallQueued, Waited
from callqa.sip.legs.leg import Leg
from callqa.sip.wire.sdp import Session

if TYPE_CHECKING:
    from callqa.sip.calls.bridge import BridgeCall
    from callqa.sip.calls.queue import Queue

_OVERFLOWS = (NOBODY, NO_ANSWER, WAITED_TOO_LONG)


class SeatSearch:
    """The search of one caller. arrived: when he called, which is his place in the queue; queued_since: None while he has
    not had to wait; declined: seats that refused him, with their status; tried: seats that rang for him in this round."""

    def __init__(self, call: "BridgeCall", queue: "Queue", arrived: float) -> None:
        self.call = call
        self.ringing = call.ringing
        self.arrived = arrived
        self.queued_since: float | None = None
        self.position: int | None = None
        self.declined: dict[str, int] = {}
        self.tried: set[str] = set()
        self.rings_since: float | None = None  # seats ring without a break since then
        self.seat_since = 0.0  # the last seat rings since then
        self.unmanned_since: float | None = None
        self._queue = queue
        self._outside: TrunkSearch | None = None
        self._noticed_at: float | None = None
        self._queued_until: float | None = None
        self._overflow = ("", "")

    def start(self, now: float) -> None:
        """Play the notice, then join those who seek a seat."""
        if self.call.core.desk.routing.notice:
            self.call.side.play(NOTICE, now)
        else:
            self._seek(now)

    def _seek(self, now: float) -> None:
        self._noticed_at = now
        self._queue.join(self)

    def prompt_over(self, prompt: str, now: float) -> None:
        """A prompt came to its end."""
        if not self.call.side.over(prompt):
            return
        if prompt == NOTICE:
            self._seek(now)
        else:
            self.call.side.play(MUSIC, now, loop=True)

    # -- what the queue decides -------------------------------------------------------------------------------------

    def ring(self, seats: dict[str, tuple[Target, ...]], now: float) -> None:
        """Have exactly these seats ring, of those that do not ring yet each contact given."""
        before = self.ringing.seats
        for extension in before:
            if extension not in seats:
                self.ringing.end(self.ringing.of_seat(extension), now)
        for extension in seats:
            if extension in before:
                continue
            self.tried = {extension} if extension in self.tried else self.tried | {extension}
            self.seat_since = now
            for target in seats[extension]:
                self.ringing.dial(target, now)
        self.rings_since = (now if self.rings_since is None else self.rings_since) if seats else None

    def wait(self, position: int, now: float) -> None:
        """He waits at that place, 1 = next."""
        if position == self.position:
            return
        entered, self.position = self.position is None, position
        self.call.core.emit(CallQueued(self.call.call_id, now, position))
        if self.call.core.desk.routing.queue_announce:
            self.call.side.play(f"position:{position}", now)
        elif entered:
            self.call.side.play(MUSIC, now, loop=True)

    def unserved(self) -> Refusal:
        """Why no seat takes him, as far as the seats said so."""
        said = set(self.declined.values())
        return NO_CODEC if said == {488} else ALL_BUSY if said and said <= {486, 600} else NO_ANSWER

    def fail(self, refusal: Refusal, now: float, *, rang: bool = True) -> None:
        """No seat takes the call. rang: seats were there and did not take it, or nobody was; else all were busy."""
        self._queue.leave(self)
        self.ringing.end(self.ringing.legs, now)
        number = self.call.core.desk.routing.overflow_number
        if not number or not (rang or refusal in _OVERFLOWS):
            self.call.refuse(refusal, now)
            return
        targets = outbound_targets(self.call.core.desk, number, self._queue.is_up)
        if isinstance(targets, Refusal):
            text = f"溢出号码 {number} 拨不出去：{targets.reason}；来电已按“{refusal.reason}”拒接"
            self.call.core.fault(now, text, None, self.call.call_id)
            self.call.refuse(refusal, now)
            return
        self.call.since = self._queued_until = now
        self._overflow = (number, refusal.reason)
        self.call.core.emit(CallOverflowed(self.call.call_id, now, number, refusal.reason))
        ours = self.call.core.desk.routing.hotline_number
        self._outside = TrunkSearch(self.call, self._outside_failed, ours)
        self._outside.start(targets, now)

    def _outside_failed(self, refusal: Refusal, now: float) -> None:
        self.call.refuse(Refusal(480, f"溢出转接未接通：{refusal.reason}"), now)

    # -- what legs say ----------------------------------------------------------------------------------------------

    def provisional(self, leg: Leg, session: Session | None, now: float) -> None:
        """A seat's phone only rings, whatever SDP it sends with that; who waits goes on hearing music."""
        if self._outside is not None:
            self._outside.provisional(leg, session, now)
        elif self.queued_since is None:
            self.call.side.ring_back(now)

    def answered(self, leg: Leg, session: Session | None, now: float) -> None:
        """Somebody answered."""
        if self._outside is not None:
            self._outside.answered(leg, session, now)
            return
        wordless = self.ringing.answered(leg, session, now)
        if wordless is not None and wordless.seat_extension:
            self._decline(wordless.seat_extension, 488)
        elif self.call.callee is not None:
            self._queue.leave(self)

    def refused(self, leg: Leg, status: int, now: float) -> None:
        """One phone less; a seat has refused when none of its phones rings any more, or one declined for all (6xx)."""
        if self._outside is not None:
            self._outside.refused(leg, status, now)
            return
        target = self.ringing.legs.pop(leg, None)
        if target is None or target.seat_extension is None:
            return
        others = self.ringing.of_seat(target.seat_extension)
        if status >= 600:
            self.ringing.end(others, now)
        if status >= 600 or not others:
            self._decline(target.seat_extension, status)

    def _decline(self, extension: str, status: int) -> None:
        self.declined[extension] = status
        self._queue.touch()

    def seat_taken(self, extension: str, now: float) -> None:
        """A seat that rang for him has another call now."""
        self.ringing.end(self.ringing.of_seat(extension), now)
        self._queue.touch()

    def cancel(self, now: float) -> None:
        """The search is over, whatever came of it."""
        self._queue.leave(self)
        if self._outside is not None:
            self._outside.cancel(now)

    def given_up(self, *, lost: bool) -> str:
        """Why there will be no answer, after the caller hung up or was lost."""
        if self._outside is None and self.queued_since is not None:
            return "排队中掉线" if lost else "排队中挂机"
        if self._noticed_at is None:
            return "录音告知中掉线" if lost else "录音告知中挂机"
        return "诉求人在接通前掉线" if lost else "诉求人在接通前挂断"

    def waited(self, now: float) -> Waited:
        """What he went through until now."""
        noticed = now if self._noticed_at is None else self._noticed_at
        until = now if self._queued_until is None else self._queued_until
        queued_s = 0.0 if self.queued_since is None else until - self.queued_since
        return Waited(round(1000 * (noticed - self.arrived)), round(1000 * queued_s), self.position, *self._overflow)

    @property
    def waits(self) -> bool:
        """Whether he waits and no seat rings for him."""
        return self._outside is None and self.queued_since is not None and not self.ringing.legs
