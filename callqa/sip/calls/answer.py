"""Role `answer`: a PBX calls us as a recording extension; one leg, answered at once, on the citizen's channel.

We only listen, so our SDP says recvonly (a peer that watches for our media then knows that none comes), and every format that can be
decoded is taken, as from a recording client.
"""

from collections.abc import Callable

from callqa.sip.calls.call import Call, CallFacts
from callqa.sip.calls.routing import Refusal
from callqa.sip.core import Core
from callqa.sip.events import Address, CallEnded, CallUnanswered, HangupParty
from callqa.sip.legs.leg import Leg
from callqa.sip.legs.transaction import Transaction
from callqa.sip.media.codec import heard_of
from callqa.sip.wire.sdp import OUR_CODECS, Session
from callqa.units import Channel


class AnswerCall(Call):
    """A single recorded leg."""

    def __init__(
        self, core: Core, facts: CallFacts, invite: Transaction, source: Address, on_over: Callable[[Call], None]
    ) -> None:
        super().__init__(core, facts, invite.request, on_over)
        self.leg = Leg.incoming(core, self, Channel.CITIZEN, invite, source, 0)

    def start(self, offer: Session | Refusal | None, now: float) -> None:
        """Answer. offer: None when the INVITE had no SDP; then ours goes into the 200."""
        self.begin(now)
        if isinstance(offer, Refusal):
            self.core.fault(now, offer.reason, self.leg.dialog.observed, self.call_id)
            self.leg.refuse(offer.status, now)
            self.finish(CallUnanswered(self.call_id, now, offer.reason, offer.status), now)
            return
        codecs = heard_of(offer.codecs) if offer else OUR_CODECS
        ports = self.take_ports(1) if codecs else None
        if not codecs or ports is None:
            status, reason = (503, "没有空闲的媒体端口") if codecs else (488, "没有共同的语音编码")
            self.core.fault(now, reason, self.leg.dialog.observed, self.call_id)
            self.leg.refuse(status, now)
            self.finish(CallUnanswered(self.call_id, now, reason, status), now)
            return
        events = tuple(c for c in codecs[1:] if c[1].startswith("telephone-event"))
        self.leg.local_port, self.leg.session = ports[0], offer
        self.leg.codecs = (codecs[0], *events)
        self.leg.listen_only = True
        self.open_media(self.leg, now)
        self.leg.accept(self.leg.sdp(self.leg.codecs, self.leg.direction_for(offer), offer), now)
        self.connected(now, (self.sip_call_id,))

    def hang_up_legs(self, now: float) -> None:
        """End the leg."""
        self.leg.end(now)

    def leg_media(self, leg: Leg, now: float) -> None:
        """Hold, refresh or a new address."""
        self.change_media(leg, now)

    def leg_ended(self, leg: Leg, now: float) -> None:
        """BYE from the PBX."""
        self.finish(CallEnded(self.call_id, now, HangupParty.CITIZEN), now)

    def leg_lost(self, leg: Leg, now: float) -> None:
        """Our 200 was never acknowledged."""
        self.finish(CallEnded(self.call_id, now, HangupParty.NETWORK), now)

    def leg_cancelled(self, leg: Leg, now: float) -> None:
        """Cannot happen: answered at once."""

    def leg_provisional(self, leg: Leg, status: int, session: Session | None, now: float) -> None:
        """Cannot happen: we never dial."""

    def leg_answered(self, leg: Leg, session: Session | None, now: float) -> None:
        """Cannot happen: we never dial."""

    def leg_refused(self, leg: Leg, status: int, now: float) -> None:
        """Cannot happen: we never dial."""
