"""One leg of a call 通话支路: one INVITE dialog with its media, at either end of the INVITE.

Rules: no BYE before the ACK of our 200 is here (leg_called.py); a late or second 200 to our INVITE is acknowledged and
ended (leg_calling.py). A re-INVITE or UPDATE is answered here and never passed to the other leg (leg_offers.py): hold,
refresh and a moved address concern only the leg they come on, since both legs' media meet at us. What we ask in a dialog is
in reoffer.py. The leg knows nothing of the call around it but its owner.
"""

from collections.abc import Callable

from callqa.sip.calls.routing import encryption_at
from callqa.sip.core import ALLOW, Core
from callqa.sip.events import PLAIN_MEDIA, Address, MediaTerms
from callqa.sip.legs.asking import Authorise, account_at, ask
from callqa.sip.legs.dialog import Dialog, dialog_of_client, dialog_of_server
from callqa.sip.legs.leg_called import Called, Oks
from callqa.sip.legs.leg_calling import Calling
from callqa.sip.legs.leg_offers import Offers
from callqa.sip.legs.leg_owner import LegOwner, LegState, Recode
from callqa.sip.legs.reoffer import Reoffers
from callqa.sip.legs.session_timer import Fields, agree_as_server
from callqa.sip.legs.transaction import Transaction
from callqa.sip.wire.headers import Headers, one_line
from callqa.sip.wire.message import Request, Response, reply, serialise
from callqa.sip.wire.sdes import Keyring
from callqa.sip.wire.sdp import PLAIN, SECURE, Codecs, MediaDirection, Session, build_sdp
from callqa.units import Channel

__all__ = ["Leg", "LegOwner", "LegState"]

SUPPORTED = "100rel, norefersub, replaces, timer"
Asked = Callable[["Leg", Transaction, float], bool]


class Leg:
    """One leg. local_port: our RTP port. codecs: what is offered, then what is agreed. on_request: is asked first about a
    request in the dialog other than BYE, PRACK, INVITE and UPDATE; gives False for what it does not answer."""

    def __init__(self, core: Core, owner: LegOwner, channel: Channel, dialog: Dialog, local_port: int) -> None:
        self.core = core
        self.owner = owner
        self.channel = channel
        self.dialog = dialog
        self.local_port = local_port
        self.seat_extension: str | None = None  # whose phone it is, where it is a seat's
        self.keys = ""  # what was pressed last, as INFO
        self.state = LegState.EARLY
        self.session: Session | None = None
        self.codecs: Codecs = ()
        self.invite: Transaction | None = None
        self.authorise: Authorise | None = None  # answers the peer's challenges
        self.recode: Recode | None = None  # asks the other leg for other codecs
        self.on_request: Asked | None = None
        self.supported = SUPPORTED
        self.listen_only = False  # we take media and send none
        self.called: Called | None = None
        self.calling: Calling | None = None
        self.oks = Oks(self)
        self.offers = Offers(self)
        self.reoffers = Reoffers(self, self._lost)
        self._bye_wanted = False
        self._sdp_id = int.from_bytes(core.tokens().encode()[:6], "big")
        self._sdp_version = 0
        self._sdp_before: bytes = b""
        self.keyring = Keyring(core.tokens, encryption_at(core.desk, dialog.observed[0]))
        self._now = 0.0  # when the last request came
        core.legs[dialog.key] = self

    # -- how it begins ----------------------------------------------------------------------------------------------

    @classmethod
    def incoming(
        cls, core: Core, owner: LegOwner, channel: Channel, invite: Transaction, source: Address, local_port: int
    ) -> "Leg":
        """The leg of an INVITE that came in."""
        dialog = dialog_of_server(invite.request, core.tokens(), f"<{core.uri(source)}>", source)
        leg = cls(core, owner, channel, dialog, local_port)
        leg.invite, leg.called = invite, Called(leg, invite)
        leg.reoffers.note_allow(invite.request.headers)
        leg.authorise = account_at(core, source[0])
        return leg

    @classmethod
    def outgoing(
        cls, core: Core, owner: LegOwner, channel: Channel, local_port: int, *,
        target: str, peer: Address, caller: str, called: str, fields: tuple[tuple[str, str | None], ...] = (),
        forwards: int = 70,
    ) -> "Leg":  # fmt: skip
        """A leg whose INVITE `dial` will send. caller, called: From and To values without tags; target: Request-URI;
        forwards: its Max-Forwards."""
        contact = f"<{core.uri(peer)}>"
        headers = Headers.of(
            ("Max-Forwards", str(forwards)), ("From", f"{caller};tag={core.tokens()}"), ("To", called),
            ("Call-ID", f"{core.tokens()}@{core.local(peer)[0]}"), ("CSeq", "1 INVITE"), ("Contact", contact),
            ("Allow", one_line(ALLOW)), ("Supported", SUPPORTED), *fields, ("Content-Type", "application/sdp"),
        )  # fmt: skip
        first = Request("INVITE", target, headers)
        leg = cls(core, owner, channel, dialog_of_client(first, contact, peer), local_port)
        leg.calling = Calling(leg, first)
        return leg

    @property
    def talks(self) -> bool:
        """Whether the dialog is confirmed and not over."""
        return self.state is LegState.CONFIRMED

    @property
    def called_us(self) -> bool:
        """Whether the INVITE was the peer's."""
        return self.called is not None

    @property
    def agreed_early(self) -> bool:
        """Whether offer and answer of the INVITE are known to both sides before it is answered: by a reliable response."""
        half = self.called or self.calling
        return half is not None and half.agreed_early

    @property
    def heard(self) -> bool:
        """Whether our INVITE got any answer."""
        return self.calling is not None and self.calling.heard

    @property
    def remote_tags(self) -> frozenset[str]:
        """The peer's tags of the dialogs that the INVITE has made: one, or while several of its phones ring one for each."""
        if self.calling is not None and not self.dialog.remote_tag:
            return self.calling.early_tags
        return frozenset({self.dialog.remote_tag}) - {""}

    @property
    def last_sdp(self) -> bytes:
        """Our SDP as it was last sent."""
        return self._sdp_before

    def said(self, sdp: bytes) -> None:
        """Our SDP was made elsewhere (a recording session has several streams): a refresh of ours repeats it."""
        self._sdp_before = sdp

    def ring(self, status: int, body: bytes, now: float) -> None:
        """Send 100, 180, or 183 with a body."""
        if self.called is not None:
            self.called.ring(status, body, now)
            self._tell_keys(body, now)

    def accept(self, body: bytes, now: float) -> None:
        """Send the 200 and keep sending it until the ACK comes. body: our answer, or our offer where theirs lacked one."""
        if self.called is not None:
            self.called.accept(body, now)
            self._tell_keys(body, now)

    def _tell_keys(self, body: bytes, now: float) -> None:
        """Our key is out: from now on the peer expects encrypted media, early media too."""
        if body and self.keyring.sent:
            self.owner.leg_media(self, now)

    def refuse(self, status: int, now: float, *fields: tuple[str, str | None]) -> None:
        """Answer the INVITE with a failure."""
        if self.called is not None:
            self.called.refuse(status, now, fields)

    def dial(self, body: bytes, now: float) -> None:
        """Send the INVITE with our offer."""
        assert self.calling is not None
        self.calling.dial(body, now)

    # -- how it ends ------------------------------------------------------------------------------------------------

    def end(self, now: float, why: str = "") -> None:
        """End the leg from our side: CANCEL, 487 or BYE, whichever its state asks for. why: a Reason (RFC 3326) for the CANCEL."""
        if self.state is LegState.EARLY and self.called_us:
            self.refuse(487, now)
        elif self.state is LegState.EARLY:
            self.gone()
            if self.invite is not None:
                self.core.transactions.cancel(self.invite, now, why)
        elif self.state is LegState.ANSWERED:
            self._bye_wanted = True
        elif self.state is LegState.CONFIRMED:
            self.gone()
            self.send_bye(now)

    def send_bye(self, now: float) -> None:
        """Send BYE."""
        ask(self, self.dialog.request("BYE"), now)

    def gone(self) -> None:
        """The dialog is over: stop all that is under way in it."""
        self.state = LegState.GONE
        self.oks.stop()
        self.reoffers.stop()
        if self.called is not None:
            self.called.stop()
        self.offers.stop(self._now)
        self.core.forget(self)

    def ack_never_came(self, now: float) -> None:
        """The peer did not confirm our 200."""
        wanted = self._bye_wanted
        self.gone()
        self.send_bye(now)
        if not wanted:
            self.owner.leg_lost(self, now)

    def _lost(self, now: float) -> None:
        """The session timer ran out, or the peer knows nothing of the dialog: BYE, in case somebody is there."""
        if self.state is LegState.CONFIRMED:
            self.gone()
            self.send_bye(now)
            self.owner.leg_lost(self, now)

    # -- what is said -----------------------------------------------------------------------------------------------

    def sdp(
        self, codecs: Codecs, direction: MediaDirection = MediaDirection.SENDRECV, answering: Session | None = None
    ) -> bytes:
        """Our SDP for this leg; its version grows only when something in it changes (RFC 3264 §8)."""
        host = self.core.local(self.dialog.observed)[0]
        if answering is not None:
            crypto, protocol = self.keyring.answer(answering.crypto), answering.protocol
        else:
            crypto = self.keyring.offer(self.terms.keys)
            protocol = self._profile() if crypto else PLAIN[0]

        def build(version: int) -> bytes:
            return build_sdp(
                host,
                self.local_port,
                codecs,
                session_id=self._sdp_id,
                version=version,
                direction=direction,
                answering=answering,
                crypto=crypto,
                protocol=protocol,
            )

        body = build(self._sdp_version)
        if body != self._sdp_before:
            self._sdp_version += 1
            body = self._sdp_before = build(self._sdp_version)
        return body

    def _profile(self) -> str:
        """What an encrypted offer of ours is headed: as the peer had it, else by how much we want it."""
        if self.session is not None and self.session.crypto:
            return self.session.protocol
        return SECURE[0] if self.keyring.wanted == "required" else PLAIN[0]

    @property
    def terms(self) -> MediaTerms:
        """What was agreed of the media besides address and codecs."""
        session = self.session
        if session is None:
            return MediaTerms(keys_due=True) if self.keyring.wanted != "off" else PLAIN_MEDIA
        keys = self.keyring.agreed(session.crypto)
        due = keys is None and bool(session.crypto)
        return MediaTerms(keys, due, session.sends, session.rtcp, session.rtcp_mux)

    def direction_for(self, offer: Session | None) -> MediaDirection:
        """Our direction in the answer to an offer (None: in our own offer)."""
        wanted = offer.direction.reversed if offer else MediaDirection.SENDRECV
        return _LISTENING.get(wanted, wanted) if self.listen_only else wanted

    def respond(self, t: Transaction, status: int, now: float, body: bytes = b"") -> Response:
        """Answer a request of the dialog with our Contact and what we know; a 2xx agrees on the session timer."""
        fields: Fields = (("Contact", self.dialog.contact), ("Allow", one_line(ALLOW)), ("Supported", self.supported))
        if 200 <= status < 300 and t.request.method in ("INVITE", "UPDATE"):
            timer, said = agree_as_server(t.request.headers)
            self.reoffers.set_timer(timer, now)
            fields = (*fields, *said)
        response = reply(t.request, status, to_tag=self.dialog.local_tag, fields=fields, body=body)
        self.core.transactions.respond(t, response, now)
        return response

    def acknowledge(self, dialog: Dialog, cseq: int) -> None:
        """Send the ACK of a 2xx, outside any transaction."""
        t = self.core.transactions
        ack = t.with_via(dialog.request("ACK", cseq=cseq), t.new_branch(), self.core.local(dialog.next_hop))
        self.core.send(serialise(ack), dialog.next_hop)

    # -- what the peer says -----------------------------------------------------------------------------------------

    def waits_for_ack(self, cseq: int) -> bool:
        """Whether our 200 to that INVITE still lacks its ACK."""
        return self.oks.waits_for(cseq)

    def receive_ack(self, ack: Request, now: float) -> None:
        """Take the ACK of our 200."""
        if not self.oks.waits_for(ack.cseq.number):
            return
        self.oks.stop()
        if self.state is LegState.ANSWERED:
            self.state = LegState.CONFIRMED
        if self._bye_wanted:
            self.end(now)
            return
        self.offers.receive_ack(ack, now)

    def receive_cancel(self, now: float) -> None:
        """The peer cancels its INVITE; too late once we answered."""
        if self.called is not None:
            self.called.receive_cancel(now)

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
            self.offers.receive(t, now)
        elif request.method == "PRACK":
            if self.called is not None:
                self.called.receive_prack(t, now)
            else:
                self.core.transactions.reply(t, 481, now)
        elif self.on_request is not None and self.on_request(self, t, now):
            return
        elif request.method in ("INFO", "OPTIONS"):
            self.respond(t, 200, now)
        else:
            self.core.transactions.reply(t, 405, now, fields=(("Allow", one_line(ALLOW)),))

    def _receive_bye(self, now: float) -> None:
        if self.state is LegState.EARLY and self.called_us:
            self.receive_cancel(now)
            return
        if self.state is LegState.EARLY:  # none of its 200s came through, and it gave up (RFC 3261 §13.3.1.4)
            self.end(now)
            self.owner.leg_refused(self, 480, now)
            return
        told = not self._bye_wanted
        self.gone()
        if told:
            self.owner.leg_ended(self, now)


_LISTENING = {MediaDirection.SENDRECV: MediaDirection.RECVONLY, MediaDirection.SENDONLY: MediaDirection.INACTIVE}
