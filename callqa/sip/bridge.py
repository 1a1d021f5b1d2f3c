"""Role `bridge`: a back-to-back user agent between a trunk and seat phones, both ways.

Rules: the caller gets his 200 only when somebody answered, with exactly the voice codec of that answer, so that packets
pass unchanged. A 200 that comes too late is acknowledged and ended (leg_calling.py). BYE from either side ends the other; a caller
who gives up cancels all. What happens before the answer is in ringing.py.
"""

from collections.abc import Callable

from callqa.sip.call import Call, CallFacts
from callqa.sip.core import Core
from callqa.sip.events import Address, CallEnded, HangupParty
from callqa.sip.leg import Leg
from callqa.sip.ringing import Ringing
from callqa.sip.routing import Refusal, Target
from callqa.sip.sdp import Codecs, Session, agreed_codecs
from callqa.sip.transaction import Transaction
from callqa.units import Channel, Direction

_PARTIES = {Channel.CITIZEN: HangupParty.CITIZEN, Channel.AGENT: HangupParty.AGENT}


class BridgeCall(Call):
    """Two legs, one call. caller: the leg of the INVITE that came in; callee: who answered; far: the callee's channel."""

    def __init__(
        self, core: Core, facts: CallFacts, invite: Transaction, source: Address,
        on_over: Callable[[Call], None], on_seat_taken: Callable[["BridgeCall", str, float], None],
    ) -> None:  # fmt: skip
        super().__init__(core, facts, invite.request, on_over)
        inbound = facts.direction is Direction.INBOUND
        self.caller = Leg.incoming(core, self, Channel.CITIZEN if inbound else Channel.AGENT, invite, source, 0)
        self.caller.dialog.behind_nat = not inbound
        self.caller.recode = self._recode
        self.callee: Leg | None = None
        self.far = Channel.AGENT if inbound else Channel.CITIZEN
        self._on_seat_taken = on_seat_taken
        self._ringing = Ringing(self)

    # -- before the answer ------------------------------------------------------------------------------------------

    def start(self, offer: Session | None, targets: tuple[Target, ...] | Refusal, now: float) -> None:
        """Ring the targets. offer: None when the INVITE had no SDP; then our offer goes into the 200."""
        self.begin(now)
        self._ringing.start(offer, targets, now)

    def leg_provisional(self, leg: Leg, status: int, session: Session | None, now: float) -> None:
        """Somebody's phone rings."""
        if not self.over and self.callee is None:
            self._ringing.provisional(leg, session, now)

    def leg_answered(self, leg: Leg, session: Session | None, now: float) -> None:
        """Somebody answered."""
        self._ringing.answered(leg, session, now)

    def leg_refused(self, leg: Leg, status: int, now: float) -> None:
        """Somebody does not take the call."""
        if not self.over:
            self._ringing.refused(leg, status, now)

    def leg_cancelled(self, leg: Leg, now: float) -> None:
        """The caller gave up."""
        self._ringing.abandoned(now)

    def seat_taken(self, extension: str, now: float) -> None:
        """A seat that rang for us answered another call."""
        self._ringing.seat_taken(extension, now)

    def connect(self, leg: Leg, seat_extension: str | None, now: float) -> None:
        """`leg` answered, and the caller knows: from here on both talk. seat_extension: whose phone it is, if a seat's."""
        self.callee = leg
        leg.recode = self._recode
        self.seat_extension = seat_extension or self.seat_extension
        self.change_media(leg, now)
        self.change_media(self.caller, now)
        self.connected(now, (self.sip_call_id, leg.dialog.call_id))
        if self.seat_extension is not None:
            self._on_seat_taken(self, self.seat_extension, now)

    # -- after the answer -------------------------------------------------------------------------------------------

    def leg_media(self, leg: Leg, now: float) -> None:
        """Hold, refresh or a new address on one leg."""
        if leg is self.caller or leg is self.callee:
            self.change_media(leg, now)

    def _recode(self, leg: Leg, wanted: Codecs, done: Callable[[Codecs, float], None], now: float) -> None:
        """One side changes its codec: the other must go along, since packets pass unchanged."""
        other = self.callee if leg is self.caller else self.caller
        if other is None:
            done((), now)
            return

        def answered(session: Session | None, at: float) -> None:
            agreed = agreed_codecs(wanted, session) if session else ()
            if agreed:
                other.session, other.codecs = session, agreed
                self.change_media(other, at)
            done(agreed, at)

        other.reoffers.offer(wanted, answered, now)

    def leg_ended(self, leg: Leg, now: float) -> None:
        """BYE from one side ends the other."""
        if leg is not self.caller and leg is not self.callee:
            return
        self.hang_up_legs(now)
        self.finish(CallEnded(self.call_id, now, _PARTIES[leg.channel]), now)

    def leg_lost(self, leg: Leg, now: float) -> None:
        """The caller never acknowledged our 200."""
        self.hang_up_legs(now)
        self.finish(CallEnded(self.call_id, now, HangupParty.NETWORK), now)

    def turn_away(self, refusal: Refusal, now: float) -> None:
        """Refuse the caller who still hears it ring."""
        self.caller.refuse(refusal.status, now)

    def hang_up_legs(self, now: float) -> None:
        """End both legs and whatever still rings."""
        self._ringing.cancel(now)
        self.caller.end(now)
        if self.callee is not None:
            self.callee.end(now)
