"""The calling half of a leg: our INVITE, its answers, and every dialog but one that they make.

A late or second 200 is acknowledged and ended; credentials and a longer session timer are tried once each.
"""

from typing import TYPE_CHECKING

from callqa.sip.events import Address
from callqa.sip.legs.asking import CHALLENGED, ask
from callqa.sip.legs.dialog import Dialog, established
from callqa.sip.legs.leg_offers import session_of
from callqa.sip.legs.leg_owner import LegState
from callqa.sip.legs.provisional import ReliableReceiver
from callqa.sip.legs.session_timer import Fields, agree_as_client, asking_longer
from callqa.sip.wire.message import Request, Response
from callqa.sip.wire.sdes import UNENCRYPTED
from callqa.sip.wire.sdp import SECURE

if TYPE_CHECKING:
    from callqa.sip.legs.leg import Leg

EARLY_MOST = 32  # forks of one INVITE whose early dialogs are told apart


class Calling:
    """Our INVITE on one leg. first: it as it was first sent, without Via and body. heard: it got any answer."""

    def __init__(self, leg: "Leg", first: Request) -> None:
        self._leg = leg
        self._first = first
        self.heard = False
        self.agreed_early = False  # the peer's answer to our offer came in a response that we confirmed
        self._asked_longer = False  # after a 422
        self._authorised = False  # after a 401 or 407
        self._established = False  # it got a 2xx
        self.early_tags: frozenset[str] = frozenset()  # of the early dialogs (RFC 3261 §12.1)
        self._provisional = ReliableReceiver()

    def dial(self, body: bytes, now: float) -> None:
        """Send the INVITE with our offer."""
        leg = self._leg
        peer = leg.dialog.observed
        leg.invite = leg.core.transactions.request(
            Request("INVITE", self._first.uri, self._first.headers, body),
            peer,
            leg.core.local(peer),
            now,
            on_response=self._on_response,
            on_timeout=self._on_timeout,
        )

    def _on_timeout(self, now: float) -> None:
        leg = self._leg
        if leg.state is LegState.EARLY:
            leg.gone()
            leg.owner.leg_refused(leg, 408, now)

    def _on_response(self, response: Response, source: Address, now: float) -> None:
        leg = self._leg
        self.heard = True
        if response.status < 200:
            if response.status > 100 and response.to_tag and len(self.early_tags) < EARLY_MOST:
                self.early_tags |= {response.to_tag}
            if leg.state is LegState.EARLY and response.status > 100 and self._is_news(response, source, now):
                leg.dialog.observed = source
                leg.owner.leg_provisional(leg, response.status, session_of(response), now)
        elif response.status < 300:
            self._on_ok(response, source, now)
        elif leg.state is LegState.EARLY:
            if response.status in CHALLENGED and self._dial_with_credentials(response, now):
                return
            if response.status == 422 and not self._asked_longer:
                self._asked_longer = True
                self._dial_again(asking_longer(response.headers), now)
                return
            leg.gone()
            leg.owner.leg_refused(leg, response.status, now)

    def _is_news(self, response: Response, source: Address, now: float) -> bool:
        """Acknowledge a reliable provisional response; False for one that came before."""
        rseq = response.headers.first("RSeq")
        if rseq is None or not any(t.lower() == "100rel" for t in response.headers.tokens("Require")):
            return True
        number = self._provisional.is_new(response.to_tag, rseq.strip())
        if number is None:
            return False
        self.agreed_early |= bool(response.body)
        leg, fork = self._leg, self._fork(response, source)
        leg.dialog.local_cseq += 1
        fields = (("RAck", f"{number} {response.cseq}"),)
        prack = fork.request("PRACK", cseq=leg.dialog.local_cseq, fields=fields)
        ask(leg, prack, now, fork=fork)
        return True

    def _dial_with_credentials(self, response: Response, now: float) -> bool:
        authorise = self._leg.authorise
        credentials = authorise(response, self._first) if authorise is not None and not self._authorised else None
        if credentials is None:
            return False
        self._authorised = True
        self._dial_again((credentials,), now)
        return True

    def _dial_again(self, fields: Fields, now: float) -> None:
        leg = self._leg
        assert leg.invite is not None
        leg.dialog.local_cseq += 1
        headers = self._first.headers.replaced("CSeq", f"{leg.dialog.local_cseq} INVITE").plus(*fields)
        self._first = Request("INVITE", self._first.uri, headers)
        self.dial(leg.invite.request.body, now)

    def _on_ok(self, response: Response, source: Address, now: float) -> None:
        leg = self._leg
        if self._established and leg.dialog.remote_tag != response.to_tag:
            self._end_other_fork(response, source, now)
            return
        first, self._established = not self._established, True
        if first:
            established(leg.dialog, response, source)
            leg.reoffers.note_allow(response.headers)
        leg.acknowledge(leg.dialog, response.cseq.number)
        if not first:
            return  # the peer did not get our ACK
        if leg.state is not LegState.EARLY:  # cancelled, and the 200 won the race
            leg.send_bye(now)
            return
        leg.state = LegState.CONFIRMED
        leg.reoffers.set_timer(agree_as_client(response.headers), now)
        session = session_of(response)
        if session is not None and leg.keyring.agreed(session.crypto) is None:
            if not leg.keyring.fits(()):
                leg.core.fault(now, UNENCRYPTED, source)
                session = None
            elif session.protocol in SECURE:  # with keys that answer none of ours
                session = None
        leg.owner.leg_answered(leg, session, now)

    def _fork(self, response: Response, source: Address) -> Dialog:
        """The dialog of one of several answers to our INVITE."""
        d = self._leg.dialog
        other = Dialog(
            d.call_id,
            d.local,
            d.local_tag,
            d.remote,
            "",
            d.target,
            d.contact,
            source,
            local_cseq=d.local_cseq,
            behind_nat=d.behind_nat,
        )
        established(other, response, source)
        return other

    def _end_other_fork(self, response: Response, source: Address, now: float) -> None:
        other = self._fork(response, source)
        self._leg.acknowledge(other, response.cseq.number)
        ask(self._leg, other.request("BYE"), now, fork=other)
