"""What a request is for, before anything looks at its purpose refused where it must be (RFC 3261 §8.2): a registration, something
inside a dialog, a new call. Responses are the transactions' own.
"""

from callqa.sip.calls.routing import find_trunk
from callqa.sip.core import ALLOW, Core
from callqa.sip.events import Address
from callqa.sip.legs.leg import Leg
from callqa.sip.legs.transaction import Transaction
from callqa.sip.new_calls import NewCalls
from callqa.sip.recording.parties import is_recording
from callqa.sip.registrar import Registrar
from callqa.sip.wire.headers import one_line
from callqa.sip.wire.hop import is_stream, moved, transport_of, usual_port
from callqa.sip.wire.message import Request

SUPPORTED = frozenset({"100rel", "norefersub", "replaces", "siprec", "timer"})  # option tags we can be required to know
_KNOWN_METHODS = frozenset({*ALLOW, "SUBSCRIBE", "NOTIFY", "REFER", "MESSAGE", "PRACK", "PUBLISH"})
ACCEPTED = "application/sdp, application/rs-metadata+xml"


class Requests:
    """Takes every request of one user agent."""

    def __init__(self, core: Core, registrar: Registrar, new_calls: NewCalls) -> None:
        self._core = core
        self._registrar = registrar
        self._new_calls = new_calls

    def receive(self, request: Request, source: Address, now: float) -> None:
        """Take one request. ProtocolError where a header that matters cannot be read."""
        self._note_alias(request, source)
        if request.method == "ACK":
            self._receive_ack(request, now)
            return
        hops = request.forwards
        t = self._core.transactions.receive_request(request, source, now)
        if t is None:
            return
        refusal = self._unfit(t, hops)
        if refusal is not None:
            status, fields = refusal
            self._core.transactions.reply(t, status, now, to_tag=self._core.tokens(), fields=fields)
        elif request.method == "OPTIONS":
            fields = (("Allow", one_line(ALLOW)), ("Accept", ACCEPTED))
            self._core.transactions.reply(t, 200, now, to_tag=self._core.tokens(), fields=fields)
        elif request.method == "CANCEL":
            self._receive_cancel(t, now)
        elif request.to_tag:
            self._receive_in_dialog(t, source, now)
        elif request.method == "REGISTER":
            self._registrar.receive(t, source, now)
        elif request.method == "INVITE":
            self._new_calls.receive(t, source, now)
        else:
            self._core.transactions.reply(t, 481, now, to_tag=self._core.tokens())

    def _note_alias(self, request: Request, source: Address) -> None:
        """RFC 5923: a peer that we trust takes our requests on the connection it opened."""
        via = request.via
        if not is_stream(source) or not any(n == "alias" for n, _ in via.params):
            return
        if via.host.strip("[]") == source[0] and (
            find_trunk(self._core.desk, source[0]) or self._registrar.seat_at(source)
        ):
            self._core.aliases[moved(source, source[0], via.port or usual_port(transport_of(source)))] = source

    def _unfit(self, t: Transaction, hops: int) -> tuple[int, tuple[tuple[str, str | None], ...]] | None:
        """Status and fields where a request is refused before anything looks at its purpose (RFC 3261 §8.2)."""
        request = t.request
        if request.method not in ALLOW:
            return (405 if request.method in _KNOWN_METHODS else 501), (("Allow", one_line(ALLOW)),)
        if (
            hops == 0
            and request.method == "INVITE"
            and not request.to_tag
            and self._core.desk.routing.inbound_mode != "answer"
            and not is_recording(request)
        ):
            return 483, ()  # it would go on from here (RFC 7332); everything else ends here, whatever its hops
        if self._core.transactions.is_merged(t):
            return 482, ()
        strange = [o for o in request.headers.tokens("Require") if o.lower() not in SUPPORTED]
        if strange and request.method != "CANCEL":
            return 420, (("Unsupported", one_line(strange)),)
        return None

    def _receive_ack(self, ack: Request, now: float) -> None:
        leg = self._core.legs.get((ack.call_id, ack.to_tag))
        if leg is None:
            # pyVoIP acknowledges our 200 with a fresh To tag: the Call-ID and the CSeq number still tell.
            leg = next(
                (
                    x
                    for x in self._core.legs.values()
                    if x.dialog.call_id == ack.call_id and x.waits_for_ack(ack.cseq.number)
                ),
                None,
            )
        if leg is not None:
            leg.receive_ack(ack, now)
        self._core.transactions.receive_ack(ack, now)

    def _receive_cancel(self, t: Transaction, now: float) -> None:
        invite = self._core.transactions.find_invite(t.request)
        if invite is None:
            self._core.transactions.reply(t, 481, now, to_tag=self._core.tokens())
            return
        leg = self._leg_of(invite)
        self._core.transactions.reply(t, 200, now, to_tag=leg.dialog.local_tag if leg else self._core.tokens())
        if leg is not None:
            leg.receive_cancel(now)

    def _leg_of(self, invite: Transaction) -> Leg | None:
        return next((x for x in self._core.legs.values() if x.invite is invite), None)

    def _receive_in_dialog(self, t: Transaction, source: Address, now: float) -> None:
        leg = self._core.legs.get((t.request.call_id, t.request.to_tag))
        if leg is None or (leg.dialog.remote_tag and leg.dialog.remote_tag != t.request.from_tag):
            self._core.transactions.reply(t, 481, now)
            return
        leg.receive(t, source, now)
