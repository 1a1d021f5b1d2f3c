"""Role `bridge`: a back-to-back user agent between a trunk and seat phones, both ways.

Rules: packets pass unchanged, so both legs have exactly the voice codec of whoever answered; targets are offered only
what the caller offered. A caller who gives up cancels all.
Before the answer: what the caller hears is in caller_side.py, who rings in ringing.py, who is to be rung in inbound.py
(seats, queue, overflow) and outbound.py (trunks, another seat). After the answer: talk.py.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from callqa.sip.calls.call import Call, CallFacts, CallView
from callqa.sip.calls.caller_side import CallerSide
from callqa.sip.calls.inbound import SeatSearch
from callqa.sip.calls.outbound import TrunkSearch
from callqa.sip.calls.queue import Queue
from callqa.sip.calls.ringing import Ringing
from callqa.sip.calls.routing import NO_CODEC, NO_PORT, Refusal, Target
from callqa.sip.calls.talk import Talk
from callqa.sip.core import Core
from callqa.sip.events import NOT_WAITED, Address, CallAbandoned, CallRinging, CallUnanswered, Waited
from callqa.sip.legs.leg import Leg
from callqa.sip.legs.transaction import Transaction
from callqa.sip.wire.sdp import Session
from callqa.units import Channel, Direction

if TYPE_CHECKING:
    from callqa.sip.calls.exchange import Exchange


class Search(Protocol):
    """What looks for somebody who takes the call."""

    def provisional(self, leg: Leg, session: Session | None, now: float) -> None: ...

    def answered(self, leg: Leg, session: Session | None, now: float) -> None: ...

    def refused(self, leg: Leg, status: int, now: float) -> None: ...

    def cancel(self, now: float) -> None: ...


class BridgeCall(Talk):
    """Two legs, one call. far: the callee's channel; far_port: our RTP port on that side."""

    def __init__(
        self, core: Core, facts: CallFacts, invite: Transaction, source: Address,
        on_over: Callable[[Call], None], exchange: "Exchange",
    ) -> None:  # fmt: skip
        super().__init__(core, facts, invite.request, on_over, exchange)
        inbound = facts.direction is Direction.INBOUND
        self.caller = Leg.incoming(core, self, Channel.CITIZEN if inbound else Channel.AGENT, invite, source, 0)
        self.caller.dialog.behind_nat = not inbound
        self.caller.seat_extension = facts.seat_extension
        self.far = Channel.AGENT if inbound else Channel.CITIZEN
        self.far_port = 0
        self.side = CallerSide(self)
        self.ringing = Ringing(self)
        self._seats: SeatSearch | None = None
        self._search: Search | None = None
        self._rang = False

    # -- before the answer ------------------------------------------------------------------------------------------

    def start_inbound(self, offer: Session | Refusal | None, queue: Queue, now: float) -> None:
        """Find a seat. offer: None when the INVITE had no SDP; then our offer goes into the 200."""
        self.begin(now)
        if self._can_start(offer, now):
            self._search = self._seats = SeatSearch(self, queue, now)
            self._seats.start(now)

    def start_outbound(
        self, offer: Session | Refusal | None, targets: tuple[Target, ...] | Refusal, now: float
    ) -> None:
        """Call the targets, one after the other; what is wrong with the offer is said before what is wrong with them."""
        self.begin(now)
        if isinstance(targets, Refusal) and not isinstance(offer, Refusal):
            self.refuse(targets, now)
        elif self._can_start(offer, now) and not isinstance(targets, Refusal):
            trunks = TrunkSearch(self, self.refuse)
            self._search = trunks
            trunks.start(targets, now)

    def _can_start(self, offer: Session | Refusal | None, now: float) -> bool:
        """Take the offer and the ports; False when the call was refused."""
        if isinstance(offer, Refusal):
            if offer.status in (415, 488):
                return self._fail(offer, now)
            self.refuse(offer, now)
            return False
        if not self.side.take(offer):
            return self._fail(NO_CODEC, now)
        ports = self.take_ports(2)
        if ports is None:
            return self._fail(NO_PORT, now)
        self.caller.local_port, self.far_port = ports[0], ports[1]
        self.caller.ring(100, b"", now)
        self.open_media(self.caller, now)
        return True

    def _fail(self, refusal: Refusal, now: float) -> bool:
        self.core.fault(now, refusal.reason, self.caller.dialog.observed, self.call_id)
        self.refuse(refusal, now)
        return False

    def leg_provisional(self, leg: Leg, status: int, session: Session | None, now: float) -> None:
        """Somebody's phone rings."""
        if self.over or self.callee is not None or leg not in self.ringing.legs or self._search is None:
            return
        if not self._rang:
            self._rang = True
            self.core.emit(CallRinging(self.call_id, now))
        self._search.provisional(leg, session, now)

    def leg_answered(self, leg: Leg, session: Session | None, now: float) -> None:
        """Somebody answered."""
        if self._search is not None:
            self._search.answered(leg, session, now)

    def leg_refused(self, leg: Leg, status: int, now: float) -> None:
        """Somebody does not take the call."""
        if not self.over and self.callee is None and self._search is not None:
            self._search.refused(leg, status, now)

    def leg_cancelled(self, leg: Leg, now: float) -> None:
        """The caller gave up; where our 200 still waited for his PRACK, the agent has answered him already."""
        self.leg_ended(leg, now)

    def seat_taken(self, extension: str, now: float) -> None:
        """A seat that may ring for us answered another call."""
        if self._seats is not None and self.ringing.of_seat(extension):
            self._seats.seat_taken(extension, now)
        super().seat_taken(extension, now)

    def prompt_over(self, prompt: str, now: float) -> None:
        """What was played to the caller came to its end, or could not be played."""
        if not self.over and self.callee is None and self._seats is not None:
            self._seats.prompt_over(prompt, now)

    def refuse(self, refusal: Refusal, now: float) -> None:
        """Nobody takes the call."""
        self._stop_search(now)
        self.side.refuse(refusal.status, now)
        self.finish(CallUnanswered(self.call_id, now, refusal.reason, refusal.status), now)

    def connect(self, leg: Leg, seat_extension: str | None, now: float) -> None:
        """`leg` answered, and the caller knows: from here on both talk. seat_extension: whose phone it is, if a seat's."""
        self.callee = leg
        self._stop_search(now)
        if self.far is Channel.AGENT:
            self.seat_extension = seat_extension or self.seat_extension
        self.change_media(leg, now)
        self.change_media(self.caller, now)
        self.connected(now, (self.sip_call_id, leg.dialog.call_id))
        self.talks(now)

    def waited(self, now: float) -> Waited:
        """What the caller went through until now."""
        return self._seats.waited(now) if self._seats is not None else NOT_WAITED

    def _give_up(self, now: float, *, lost: bool) -> None:
        """The caller is gone before anybody answered: 呼损 when it was a citizen."""
        self._stop_search(now)
        self.side.gone(now)
        if self._seats is not None:
            self.finish(CallAbandoned(self.call_id, now, self._seats.given_up(lost=lost)), now)
        else:
            self.finish(CallUnanswered(self.call_id, now, "坐席取消呼叫", 487), now)

    def _stop_search(self, now: float) -> None:
        if self._search is not None:
            self._search.cancel(now)
        self.ringing.end(self.ringing.legs, now)

    def view(self) -> CallView:
        """How the live board shows it."""
        view = replace(super().view(), rung=() if self.answered else self.ringing.seats)
        if self.answered or self._seats is None or not self._seats.waits:
            return view
        return replace(view, state="queued", position=self._seats.position)

    # -- before and after the answer --------------------------------------------------------------------------------

    def leg_media(self, leg: Leg, now: float) -> None:
        """Hold, refresh or a new address on one leg."""
        if leg is self.caller and self.callee is None:
            self.side.media(now)
        elif self.ringing.is_heard(leg):
            self.change_media(leg, now)
        else:
            super().leg_media(leg, now)

    def leg_ended(self, leg: Leg, now: float) -> None:
        """BYE."""
        if leg is self.caller and self.callee is None:
            self._give_up(now, lost=False)
        else:
            super().leg_ended(leg, now)

    def leg_lost(self, leg: Leg, now: float) -> None:
        """One side is not there any more."""
        if leg is self.caller and self.callee is None:
            self._give_up(now, lost=True)
        else:
            super().leg_lost(leg, now)

    def turn_away(self, refusal: Refusal, now: float) -> None:
        """Refuse the caller who still hears it ring."""
        self.side.refuse(refusal.status, now)

    def hang_up_legs(self, now: float) -> None:
        """End both legs and whatever still rings."""
        self._stop_search(now)
        self.side.gone(now)
        super().hang_up_legs(now)
