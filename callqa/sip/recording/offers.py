"""What a recording client asks in its session: re-INVITE and UPDATE with new streams, metadata, or both. See leg_offers.py."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from callqa.sip.calls.routing import Refusal
from callqa.sip.legs.leg_offers import Offers
from callqa.sip.legs.leg_owner import LegState
from callqa.sip.legs.transaction import Transaction
from callqa.sip.recording.parties import bodies_of
from callqa.sip.wire.message import Request

if TYPE_CHECKING:
    from callqa.sip.legs.leg import Leg


class RecordingOffers(Offers):
    """answer: our SDP to an offer, None where nothing was offered; late: the client's answer to ours, in an ACK."""

    def __init__(
        self,
        leg: "Leg",
        answer: Callable[[Transaction, float], bytes | Refusal | None],
        late: Callable[[bytes, float], None],
    ) -> None:
        super().__init__(leg)
        self._answer_to = answer
        self._late = late

    def receive(self, t: Transaction, now: float) -> None:
        """Handle a re-INVITE or UPDATE."""
        leg, request = self._leg, t.request
        offers = bodies_of(request)[0] is not None
        early = leg.state is LegState.EARLY and (request.method == "INVITE" or offers)
        crossing = leg.reoffers.outstanding or (self.wait_in_ack and offers)
        if early or (crossing and (request.method == "INVITE" or offers)):
            leg.core.transactions.reply(t, 491, now)
            return
        leg.dialog.refresh_target(request)
        answer = self._answer_to(t, now)
        if isinstance(answer, Refusal):
            leg.core.transactions.reply(t, answer.status, now)
        elif request.method == "INVITE":
            self.wait_in_ack = not offers
            leg.oks.send(t, answer or b"", now)
        else:
            leg.respond(t, 200, now, answer or b"")

    def receive_ack(self, ack: Request, now: float) -> None:
        """The answer to an offer of ours may be in it."""
        awaited, self.wait_in_ack = self.wait_in_ack, False
        sdp = bodies_of(ack)[0] if awaited else None
        if sdp is not None:
            self._late(sdp, now)
