"""What the peer asks inside a dialog about its media: re-INVITE and UPDATE, answered here and never passed to the other leg.

One that crosses ours gets 491. Before the INVITE is answered a second INVITE gets 500 (RFC 3261 §14.2), and so does an UPDATE with an
offer as long as the peer's first offer has no answer it can rely on (RFC 3311 §5.2), or 491 where the first offer was ours; once
both sides have it, through a reliable provisional response, the UPDATE is answered like any later offer. An offer without the agreed codec goes to the other leg first (`recode`), else gets 488 and
changes nothing.
"""

import zlib
from typing import TYPE_CHECKING

from callqa.errors import ProtocolError
from callqa.sip.legs.leg_owner import LegState
from callqa.sip.legs.transaction import Transaction
from callqa.sip.media.codec import heard_of
from callqa.sip.wire.message import Request, Response
from callqa.sip.wire.multipart import sdp_of
from callqa.sip.wire.sdp import EVENTS, Codecs, Session, agreed_codecs, common_codecs, parse_sdp

if TYPE_CHECKING:
    from callqa.sip.legs.leg import Leg


class Offers:
    """The peer's offers on one leg. wait_in_ack: our 200 had the offer, the answer comes with the ACK."""

    def __init__(self, leg: "Leg") -> None:
        self._leg = leg
        self.wait_in_ack = False
        self._recoding: Transaction | None = None

    def receive(self, t: Transaction, now: float) -> None:
        """Handle a re-INVITE or UPDATE."""
        leg, request = self._leg, t.request
        if leg.state is LegState.EARLY and (request.method == "INVITE" or (request.body and not leg.agreed_early)):
            later = (("Retry-After", str(zlib.crc32(leg.core.tokens().encode()) % 10)),)  # 0-10 s, by chance
            ours = request.method == "UPDATE" and not leg.called_us
            leg.core.transactions.reply(t, 491 if ours else 500, now, fields=() if ours else later)
            return
        crossing = leg.reoffers.outstanding or self._recoding is not None or (self.wait_in_ack and request.body)
        if crossing and (request.method == "INVITE" or request.body):
            leg.core.transactions.reply(t, 491, now)
            return
        leg.dialog.refresh_target(request)
        if not request.body:
            if request.method == "INVITE":
                self.wait_in_ack = True
                leg.oks.send(t, leg.sdp(leg.codecs, leg.direction_for(None)), now)
            else:
                leg.respond(t, 200, now)
            return
        session = session_of(request)
        if session is not None and not leg.keyring.fits(session.crypto):
            session = None
        codecs = _still_agreed(leg.codecs, session)
        if codecs and session is not None and leg.state is LegState.EARLY:  # what we offered may be more than one
            codecs = agreed_codecs(leg.codecs, session)
        if session is not None and not codecs and leg.listen_only:
            codecs = heard_of(session.codecs)
            leg.codecs = codecs or leg.codecs
        if session is not None and not codecs and self._ask_other_leg(t, session, now):
            return
        self._answer(t, session, codecs, now)

    def receive_ack(self, ack: Request, now: float) -> None:
        """The answer to an offer of ours should be in it; some peers say nothing more there, and mean what we offered."""
        waited, self.wait_in_ack = self.wait_in_ack, False
        session = session_of(ack) if waited else None
        if session is not None:
            self._take(session, now)
        elif waited:
            self._leg.owner.leg_media(self._leg, now)

    def stop(self, now: float) -> None:
        """The leg is gone."""
        if self._recoding is not None:
            pending, self._recoding = self._recoding, None
            self._leg.core.transactions.reply(pending, 487, now)

    def _ask_other_leg(self, t: Transaction, session: Session, now: float) -> bool:
        """An offer that lacks our codec: whether the other leg is asked to change with it; packets pass unchanged."""
        leg = self._leg
        wanted = common_codecs(session)
        if leg.recode is None or not wanted or leg.state is not LegState.CONFIRMED:
            return False
        self._recoding = t

        def done(agreed: Codecs, at: float) -> None:
            if self._recoding is not t:
                return
            self._recoding = None
            if agreed:
                leg.codecs = agreed
            self._answer(t, session, agreed, at)

        leg.recode(leg, wanted, done, now)
        return True

    def _answer(self, t: Transaction, session: Session | None, codecs: Codecs, now: float) -> None:
        leg, request = self._leg, t.request
        if session is None or not codecs:
            leg.core.transactions.reply(t, 488, now)
            return
        answer = leg.sdp(codecs, leg.direction_for(session), session)
        if request.method == "INVITE":
            leg.oks.send(t, answer, now)
        else:
            leg.respond(t, 200, now, answer)
        self._take(session, now)

    def _take(self, session: Session, now: float) -> None:
        self._leg.session = session
        self._leg.owner.leg_media(self._leg, now)


def _still_agreed(codecs: Codecs, session: Session | None) -> Codecs:
    """The agreed codecs as far as a new offer repeats them: the voice codec it must, under the same payload type."""
    if session is None:
        return ()
    voice = tuple(c for c in codecs if c[1] != EVENTS and c in session.codecs)
    return (*voice, *(c for c in codecs if c[1] == EVENTS and c in session.codecs)) if voice else ()


def session_of(message: Request | Response) -> Session | None:
    """The SDP of a message; None when there is none that can be read."""
    try:
        body = sdp_of(message.headers.first("Content-Type"), message.body)
        return parse_sdp(body) if body else None
    except ProtocolError:
        return None
