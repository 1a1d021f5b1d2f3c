"""One leg of a call 通话支路: one INVITE dialog with its media, at either end of the INVITE.

Rules: our 200 is sent again until its ACK comes (RFC 3261 §13.3.1.4); no BYE before that ACK; a late or second 200 to
our INVITE is acknowledged and ended. A re-INVITE or UPDATE is answered here and never passed to the other leg: hold, refresh
and a moved address concern only the leg they come on, since both legs' media meet at us. An offer without the agreed
codec goes to the other leg first (`recode`), else gets 488 and changes nothing. The leg knows nothing of the call around it but its owner.
"""

import zlib
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from callqa.errors import ProtocolError
from callqa.sip.core import ALLOW, Core
from callqa.sip.dialog import Dialog, dialog_of_client, dialog_of_server, established
from callqa.sip.events import Address
from callqa.sip.headers import Headers, one_line
from callqa.sip.message import Request, Response, reply, serialise
from callqa.sip.multipart import sdp_of
from callqa.sip.provisional import ReliableReceiver, ReliableSender
from callqa.sip.reoffer import Reoffers
from callqa.sip.sdp import EVENTS, Codecs, MediaDirection, Session, build_sdp, common_codecs, parse_sdp
from callqa.sip.session_timer import Fields, agree_as_client, agree_as_server, asking_longer
from callqa.sip.timers import Alarm
from callqa.sip.transaction import Transaction
from callqa.sip.transaction_table import GIVE_UP_S, T1_S, T2_S
from callqa.units import Channel

SUPPORTED = "100rel, timer"
Recode = Callable[["Leg", Codecs, Callable[[Codecs, float], None], float], None]


class LegState(Enum):
    EARLY = "early"
    ANSWERED = "answered"  # our 200 is out, its ACK is not here
    CONFIRMED = "confirmed"
    GONE = "gone"


class LegOwner(Protocol):
    """What a leg tells the call it belongs to."""

    def leg_provisional(self, leg: "Leg", status: int, session: Session | None, now: float) -> None:
        """Our INVITE got 180, 183 …"""

    def leg_answered(self, leg: "Leg", session: Session | None, now: float) -> None:
        """Our INVITE got its 200; session None: without readable SDP."""

    def leg_refused(self, leg: "Leg", status: int, now: float) -> None:
        """Our INVITE failed; 408 also when nothing came."""

    def leg_cancelled(self, leg: "Leg", now: float) -> None:
        """The peer gave up its INVITE."""

    def leg_media(self, leg: "Leg", now: float) -> None:
        """The peer's media address, codecs or hold may have changed."""

    def leg_ended(self, leg: "Leg", now: float) -> None:
        """The peer sent BYE."""

    def leg_lost(self, leg: "Leg", now: float) -> None:
        """The ACK of our 200 never came."""


class Leg:
    """One leg. local_port: our RTP port. codecs: what is offered, then what is agreed."""

    def __init__(self, core: Core, owner: LegOwner, channel: Channel, dialog: Dialog, local_port: int) -> None:
        self.core = core
        self.owner = owner
        self.channel = channel
        self.dialog = dialog
        self.local_port = local_port
        self.state = LegState.EARLY
        self.heard = False  # our INVITE got any answer
        self.session: Session | None = None
        self.codecs: Codecs = ()
        self.invite: Transaction | None = None
        self.authorise: Callable[[Response, Request], tuple[str, str] | None] | None = None
        self.listen_only = False  # we take media and send none
        self._incoming = False
        self._first: Request | None = None  # our INVITE as first sent, without Via and body
        self._asked_longer = False  # after a 422
        self._established = False  # our INVITE got a 2xx
        self._bye_wanted = False
        self._offer_in_ack = False
        self._pending_ok: tuple[bytes, int] | None = None  # our 200 and its CSeq number
        self._alarms: list[Alarm] = []
        self._sdp_id = int.from_bytes(core.tokens().encode()[:6], "big")
        self._sdp_version = 0
        self._sdp_before: bytes = b""
        self.recode: Recode | None = None  # asks the other leg for other codecs
        self._finishing: ReliableSender | None = None  # its PRACK is what our 200 waits for
        self._recoding: Transaction | None = None
        self._now = 0.0  # when the last request came
        self._reliable: ReliableSender | None = None
        self._provisional = ReliableReceiver()
        self.reoffers = Reoffers(self, self._lost)
        core.legs[dialog.key] = self

    # -- the peer calls us ------------------------------------------------------------------------------------------

    @classmethod
    def incoming(
        cls, core: Core, owner: LegOwner, channel: Channel, invite: Transaction, source: Address, local_port: int
    ) -> "Leg":
        """The leg of an INVITE that came in."""
        dialog = dialog_of_server(invite.request, core.tokens(), f"<{core.uri(source)}>", source)
        leg = cls(core, owner, channel, dialog, local_port)
        leg.invite, leg._incoming = invite, True
        leg.reoffers.note_allow(invite.request.headers)
        # With a late offer the first reliable response would have to carry ours: then only 100 and 200 are sent.
        if any(o.lower() == "100rel" for o in invite.request.headers.tokens("Require")):
            first = 1 + zlib.crc32(core.tokens().encode()) % 1_000_000
            leg._reliable = ReliableSender(core.timers, first, leg._send_reliable, leg._never_acknowledged)
        return leg

    @property
    def talks(self) -> bool:
        """Whether the dialog is confirmed and not over."""
        return self.state is LegState.CONFIRMED

    @property
    def called_us(self) -> bool:
        """Whether the INVITE was the peer's."""
        return self._incoming

    @property
    def last_sdp(self) -> bytes:
        """Our SDP as it was last sent."""
        return self._sdp_before

    def ring(self, status: int, body: bytes, now: float) -> None:
        """Send 100, 180, or 183 with a body."""
        if self.invite is None or self.state is not LegState.EARLY:
            return
        if status == 100:
            self.core.transactions.reply(self.invite, 100, now)  # without our tag: it makes no dialog
        elif self._reliable is not None:
            if self.invite.request.body:
                self._reliable.ring(status, body, now)
        else:
            self._respond(self.invite, status, now, body)

    def accept(self, body: bytes, now: float) -> None:
        """Send the 200 and keep sending it until the ACK comes. body: our answer, or our offer where theirs lacked one."""
        if self.invite is None or self.state is not LegState.EARLY:
            return
        if self._reliable is not None:
            sender, self._reliable = self._reliable, None
            self._finishing = sender
            sender.when_free(lambda at: self.accept(body, at), now)
            return
        self.state = LegState.ANSWERED
        self._offer_in_ack = not self.invite.request.body
        self._send_ok(self.invite, body, now)

    def _send_reliable(self, number: int, status: int, body: bytes, now: float) -> None:
        assert self.invite is not None
        fields: Fields = (
            ("Contact", self.dialog.contact), ("Allow", one_line(ALLOW)), ("Require", "100rel"), ("RSeq", str(number)),
        )  # fmt: skip
        response = reply(self.invite.request, status, to_tag=self.dialog.local_tag, fields=fields, body=body)
        self.core.transactions.respond(self.invite, response, now)

    def _never_acknowledged(self, now: float) -> None:
        if self.state is LegState.EARLY:
            self.refuse(504, now)
            self.owner.leg_cancelled(self, now)

    def _receive_prack(self, t: Transaction, now: float) -> None:
        sender = self._finishing or self._reliable
        cseq = self.invite.request.cseq.number if self.invite is not None else -1
        known = sender is not None and sender.acknowledge(t.request, cseq, now)
        self.core.transactions.reply(t, 200 if known else 481, now)
        if known and sender is not None:
            sender.go_on(now)

    def _lost(self, now: float) -> None:
        """The session timer ran out, or the peer knows nothing of the dialog: BYE, in case somebody is there."""
        if self.state is LegState.CONFIRMED:
            self._gone()
            self._send_bye(now)
            self.owner.leg_lost(self, now)

    def refuse(self, status: int, now: float, *fields: tuple[str, str | None]) -> None:
        """Answer the INVITE with a failure."""
        if status == 415:
            fields = (*fields, ("Accept", "application/sdp"))
        if self.invite is not None and self.state is LegState.EARLY:
            self._gone()
            self.core.transactions.respond(
                self.invite, reply(self.invite.request, status, to_tag=self.dialog.local_tag, fields=fields), now
            )

    # -- we call the peer -------------------------------------------------------------------------------------------

    @classmethod
    def outgoing(
        cls, core: Core, owner: LegOwner, channel: Channel, local_port: int, *,
        target: str, peer: Address, caller: str, called: str, fields: tuple[tuple[str, str | None], ...] = (),
    ) -> "Leg":  # fmt: skip
        """A leg whose INVITE `dial` will send. caller, called: From and To values without tags; target: Request-URI."""
        contact = f"<{core.uri(peer)}>"
        headers = Headers.of(
            ("Max-Forwards", "70"), ("From", f"{caller};tag={core.tokens()}"), ("To", called),
            ("Call-ID", f"{core.tokens()}@{core.local(peer)[0]}"), ("CSeq", "1 INVITE"), ("Contact", contact),
            ("Allow", one_line(ALLOW)), ("Supported", SUPPORTED), *fields, ("Content-Type", "application/sdp"),
        )  # fmt: skip
        leg = cls(core, owner, channel, dialog_of_client(Request("INVITE", target, headers), contact, peer), local_port)
        leg._first = Request("INVITE", target, headers)
        return leg

    def dial(self, body: bytes, now: float) -> None:
        """Send the INVITE with our offer."""
        assert self._first is not None
        request = Request("INVITE", self._first.uri, self._first.headers, body)
        self.invite = self.core.transactions.request(
            request,
            self.dialog.observed,
            self.core.local(self.dialog.observed),
            now,
            on_response=self._on_response,
            on_timeout=self._on_timeout,
        )

    def _on_timeout(self, now: float) -> None:
        if self.state is LegState.EARLY:
            self._gone()
            self.owner.leg_refused(self, 408, now)

    def _on_response(self, response: Response, source: Address, now: float) -> None:
        self.heard = True
        if response.status < 200:
            if self.state is LegState.EARLY and response.status > 100 and self._is_news(response, source, now):
                self.dialog.observed = source
                self.owner.leg_provisional(self, response.status, _session(response), now)
        elif response.status < 300:
            self._on_ok(response, source, now)
        elif self.state is LegState.EARLY:
            if response.status in (401, 407) and self._dial_with_credentials(response, now):
                return
            if response.status == 422 and not self._asked_longer:
                self._asked_longer = True
                self._dial_again(asking_longer(response.headers), now)
                return
            self._gone()
            self.owner.leg_refused(self, response.status, now)

    def _is_news(self, response: Response, source: Address, now: float) -> bool:
        """Acknowledge a reliable provisional response; False for one that came before."""
        rseq = response.headers.first("RSeq")
        if rseq is None or not any(t.lower() == "100rel" for t in response.headers.tokens("Require")):
            return True
        number = self._provisional.is_new(response.to_tag, rseq.strip())
        if number is None:
            return False
        fork = self._fork(response, source)
        self.dialog.local_cseq += 1
        fields = (("RAck", f"{number} {response.cseq}"),)
        prack = fork.request("PRACK", cseq=self.dialog.local_cseq, fields=fields)
        self.core.transactions.request(prack, fork.next_hop, self.core.local(fork.next_hop), now)
        return True

    def _dial_with_credentials(self, response: Response, now: float) -> bool:
        if self.authorise is None or self._first is None:
            return False
        credentials = self.authorise(response, self._first)
        if credentials is None:
            return False
        self.authorise = None
        self._dial_again((credentials,), now)
        return True

    def _dial_again(self, fields: Fields, now: float) -> None:
        assert self._first is not None and self.invite is not None
        self.dialog.local_cseq += 1
        headers = self._first.headers.replaced("CSeq", f"{self.dialog.local_cseq} INVITE").plus(*fields)
        self._first = Request("INVITE", self._first.uri, headers)
        self.dial(self.invite.request.body, now)

    def _on_ok(self, response: Response, source: Address, now: float) -> None:
        if self._established and self.dialog.remote_tag != response.to_tag:
            self._end_other_fork(response, source, now)
            return
        first, self._established = not self._established, True
        if first:
            established(self.dialog, response, source)
            self.reoffers.note_allow(response.headers)
        self.acknowledge(self.dialog, response.cseq.number)
        if not first:
            return  # the peer did not get our ACK
        if self.state is not LegState.EARLY:  # cancelled, and the 200 won the race
            self._send_bye(now)
            return
        self.state = LegState.CONFIRMED
        self.reoffers.set_timer(agree_as_client(response.headers), now)
        self.owner.leg_answered(self, _session(response), now)

    def _fork(self, response: Response, source: Address) -> Dialog:
        """The dialog of one of several answers to our INVITE."""
        d = self.dialog
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
        self.acknowledge(other, response.cseq.number)
        core = self.core
        core.transactions.request(other.request("BYE"), other.next_hop, core.local(other.next_hop), now)

    def acknowledge(self, dialog: Dialog, cseq: int) -> None:
        """Send the ACK of a 2xx, outside any transaction."""
        t = self.core.transactions
        ack = t.with_via(dialog.request("ACK", cseq=cseq), t.new_branch(), self.core.local(dialog.next_hop))
        self.core.send(serialise(ack), dialog.next_hop)

    # -- both -------------------------------------------------------------------------------------------------------

    def end(self, now: float) -> None:
        """End the leg from our side: CANCEL, 487 or BYE, whichever its state asks for."""
        if self.state is LegState.EARLY and self._incoming:
            self.refuse(487, now)
        elif self.state is LegState.EARLY:
            self._gone()
            if self.invite is not None:
                self.core.transactions.cancel(self.invite, now)
        elif self.state is LegState.ANSWERED:
            self._bye_wanted = True
        elif self.state is LegState.CONFIRMED:
            self._gone()
            self._send_bye(now)

    def _send_bye(self, now: float) -> None:
        hop = self.dialog.next_hop
        self.core.transactions.request(self.dialog.request("BYE"), hop, self.core.local(hop), now)

    def _gone(self) -> None:
        self.state = LegState.GONE
        self._stop_ok()
        self.reoffers.stop()
        for sender in (self._reliable, self._finishing):
            if sender is not None:
                sender.stop()
        if self._recoding is not None:
            pending, self._recoding = self._recoding, None
            self.core.transactions.reply(pending, 487, self._now)
        self.core.legs.pop(self.dialog.key, None)

    def sdp(
        self, codecs: Codecs, direction: MediaDirection = MediaDirection.SENDRECV, answering: Session | None = None
    ) -> bytes:
        """Our SDP for this leg; its version grows only when something in it changes (RFC 3264 §8)."""
        host = self.core.local(self.dialog.observed)[0]

        def build(version: int) -> bytes:
            return build_sdp(
                host,
                self.local_port,
                codecs,
                session_id=self._sdp_id,
                version=version,
                direction=direction,
                answering=answering,
            )

        body = build(self._sdp_version)
        if body != self._sdp_before:
            self._sdp_version += 1
            body = self._sdp_before = build(self._sdp_version)
        return body

    def _respond(self, t: Transaction, status: int, now: float, body: bytes = b"") -> Response:
        fields: Fields = (("Contact", self.dialog.contact), ("Allow", one_line(ALLOW)), ("Supported", SUPPORTED))
        if 200 <= status < 300 and t.request.method in ("INVITE", "UPDATE"):
            timer, said = agree_as_server(t.request.headers)
            self.reoffers.set_timer(timer, now)
            fields = (*fields, *said)
        response = reply(t.request, status, to_tag=self.dialog.local_tag, fields=fields, body=body)
        self.core.transactions.respond(t, response, now)
        return response

    def _send_ok(self, t: Transaction, body: bytes, now: float) -> None:
        response = self._respond(t, 200, now, body)
        self._stop_ok()
        self._pending_ok = (serialise(response), t.request.cseq.number)
        self._alarms.append(self.core.timers.at(now + GIVE_UP_S, self._no_ack))
        self._again(t.peer, T1_S, now)

    def _again(self, peer: Address, after_s: float, now: float) -> None:
        def ring(at: float) -> None:
            if self._pending_ok is not None:
                self.core.send(self._pending_ok[0], peer)
                self._again(peer, min(2 * after_s, T2_S), at)

        self._alarms.append(self.core.timers.at(now + after_s, ring))

    def _stop_ok(self) -> None:
        self._pending_ok = None
        for alarm in self._alarms:
            alarm.cancel()
        self._alarms.clear()

    def _no_ack(self, now: float) -> None:
        wanted = self._bye_wanted
        self._gone()
        self._send_bye(now)
        if not wanted:
            self.owner.leg_lost(self, now)

    def waits_for_ack(self, cseq: int) -> bool:
        """Whether our 200 to that INVITE still lacks its ACK."""
        return self._pending_ok is not None and self._pending_ok[1] == cseq

    def receive_ack(self, ack: Request, now: float) -> None:
        """Take the ACK of our 200."""
        if not self.waits_for_ack(ack.cseq.number):
            return
        self._stop_ok()
        if self.state is LegState.ANSWERED:
            self.state = LegState.CONFIRMED
        if self._bye_wanted:
            self.end(now)
            return
        session = _session(ack) if self._offer_in_ack else None
        self._offer_in_ack = False
        if session is not None:
            self._take(session, now)

    def receive_cancel(self, now: float) -> None:
        """The peer cancels its INVITE; too late once we answered."""
        if self.state is LegState.EARLY:
            self.refuse(487, now)
            self.owner.leg_cancelled(self, now)

    def receive(self, t: Transaction, source: Address, now: float) -> None:
        """Handle a request inside the dialog, other than ACK and CANCEL."""
        request = t.request
        self._now = now
        if not self.dialog.accepts(request):
            self.core.transactions.reply(t, 500, now)
            return
        self.dialog.observed = source
        if request.method == "BYE":
            self.core.transactions.reply(t, 200, now)
            self._receive_bye(now)
        elif request.method in ("INVITE", "UPDATE"):
            self._receive_offer(t, now)
        elif request.method in ("INFO", "OPTIONS"):
            self._respond(t, 200, now)
        elif request.method == "PRACK":
            self._receive_prack(t, now)
        else:
            self.core.transactions.reply(t, 405, now, fields=(("Allow", one_line(ALLOW)),))

    def _receive_bye(self, now: float) -> None:
        if self.state is LegState.EARLY and self._incoming:
            self.receive_cancel(now)
            return
        told = not self._bye_wanted
        self._gone()
        if told:
            self.owner.leg_ended(self, now)

    def _receive_offer(self, t: Transaction, now: float) -> None:
        request = t.request
        early = self.state is LegState.EARLY and (request.method == "INVITE" or request.body)
        crossing = self.reoffers.outstanding or self._recoding is not None or (self._offer_in_ack and request.body)
        if early or (crossing and (request.method == "INVITE" or request.body)):
            self.core.transactions.reply(t, 491, now)
            return
        self.dialog.refresh_target(request)
        if not request.body:
            if request.method == "INVITE":
                self._offer_in_ack = True
                self._send_ok(t, self.sdp(self.codecs, self.direction_for(None)), now)
            else:
                self._respond(t, 200, now)
            return
        session = _session(request)
        codecs = _still_agreed(self.codecs, session)
        if session is not None and not codecs and self._ask_other_leg(t, session, now):
            return
        self._answer_offer(t, session, codecs, now)

    def _ask_other_leg(self, t: Transaction, session: Session, now: float) -> bool:
        """An offer that lacks our codec: whether the other leg is asked to change with it; packets pass unchanged."""
        wanted = common_codecs(session)
        if self.recode is None or not wanted or self.state is not LegState.CONFIRMED:
            return False
        self._recoding = t

        def done(agreed: Codecs, at: float) -> None:
            if self._recoding is not t:
                return
            self._recoding = None
            if agreed:
                self.codecs = agreed
            self._answer_offer(t, session, agreed, at)

        self.recode(self, wanted, done, now)
        return True

    def _answer_offer(self, t: Transaction, session: Session | None, codecs: Codecs, now: float) -> None:
        request = t.request
        if session is None or not codecs:
            self.core.transactions.reply(t, 488, now)
            return
        answer = self.sdp(codecs, self.direction_for(session), session)
        if request.method == "INVITE":
            self._send_ok(t, answer, now)
        else:
            self._respond(t, 200, now, answer)
        self._take(session, now)

    def direction_for(self, offer: Session | None) -> MediaDirection:
        """Our direction in the answer to an offer (None: in our own offer)."""
        wanted = offer.direction.reversed if offer else MediaDirection.SENDRECV
        return _LISTENING.get(wanted, wanted) if self.listen_only else wanted

    def _take(self, session: Session, now: float) -> None:
        self.session = session
        self.owner.leg_media(self, now)


_LISTENING = {MediaDirection.SENDRECV: MediaDirection.RECVONLY, MediaDirection.SENDONLY: MediaDirection.INACTIVE}


def _still_agreed(codecs: Codecs, session: Session | None) -> Codecs:
    """The agreed codecs as far as a new offer repeats them: the voice codec it must, under the same payload type."""
    if session is None:
        return ()
    voice = tuple(c for c in codecs if c[1] != EVENTS and c in session.codecs)
    return (*voice, *(c for c in codecs if c[1] == EVENTS and c in session.codecs)) if voice else ()


def _session(message: Request | Response) -> Session | None:
    try:
        body = sdp_of(message.headers.first("Content-Type"), message.body)
        return parse_sdp(body) if body else None
    except ProtocolError:
        return None
