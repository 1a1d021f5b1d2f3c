"""The user agent of the recorder: datagrams and deadlines in, datagrams and events out; no socket, no clock.

It decides only what a request is for: a registration, a new call (from a trunk, from a seat, from a stranger), something
inside a dialog. The rest is in registrar.py, bridge.py, answer.py and leg.py.

A recording client's INVITE (siprec.py) is taken from the allow-list of a trunk only. Who any other is from, in this order: the signalling address of a trunk; a seat (its registered address, or its
extension in From: digest is asked then); the allow-list of a trunk; a stranger, who gets 403.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from callqa.desk import Desk, DeskTrunk
from callqa.errors import ProtocolError
from callqa.sip.budget import SOURCES_MOST, Door, Standing
from callqa.sip.calls.answer import AnswerCall
from callqa.sip.calls.bridge import BridgeCall
from callqa.sip.calls.call import Call, CallFacts, CallView
from callqa.sip.calls.exchange import Exchange
from callqa.sip.calls.queue import Queue
from callqa.sip.calls.routing import Refusal, encryption_at, find_trunk
from callqa.sip.core import ALLOW, Core, PortPool, UserAgentSettings
from callqa.sip.events import Address, CallMarked, CallMode, Event, HangupParty
from callqa.sip.feature_codes import FeatureCall, FeatureCode, MarkCode, SignIns, parse_code
from callqa.sip.legs.leg import Leg
from callqa.sip.legs.transaction import Transaction
from callqa.sip.recording.parties import is_recording
from callqa.sip.recording.siprec import RecordingCall, take_recording
from callqa.sip.registrar import Registrar, SavedBinding
from callqa.sip.transfers.pickup import pick_up
from callqa.sip.trunks import Trunks, TrunkView
from callqa.sip.wire.auth import DigestServer
from callqa.sip.wire.headers import one_line, parse_number, plain
from callqa.sip.wire.hop import is_stream, moved, transport_of, usual_port
from callqa.sip.wire.identity import called_number, caller_number, dialled, diverted_from, is_withheld
from callqa.sip.wire.message import Request, Response, is_keepalive, parse_message
from callqa.sip.wire.multipart import content_type, sdp_of
from callqa.sip.wire.sdes import UNENCRYPTED
from callqa.sip.wire.sdp import Session, UnfitMedia, parse_sdp
from callqa.units import Direction

__all__ = ["CallView", "PortPool", "SavedBinding", "SeatView", "UserAgent", "UserAgentSettings"]

SUPPORTED = frozenset({"100rel", "norefersub", "replaces", "siprec", "timer"})  # option tags we can be required to know
_KNOWN_METHODS = frozenset({*ALLOW, "SUBSCRIBE", "NOTIFY", "REFER", "MESSAGE", "PRACK", "PUBLISH"})
ACCEPTED = "application/sdp, application/rs-metadata+xml"
_FORWARDS_MOST = 255
_FORWARDS_USUAL = 70
_SERVED_AT_ONCE = 3  # serving may turn somebody away, which may free something
CLOSING = Refusal(503, "录音服务停止")


@dataclass(frozen=True, slots=True)
class SeatView:
    """A seat for the live board."""

    extension: str
    agent_no: str | None
    registered: bool
    contact: str
    busy: bool
    ringing: bool


class UserAgent:
    """One SIP user agent. `now` is monotonic seconds throughout.

    After every `receive`, `advance` or command: send `datagrams()`, handle `events()` in order, and call `advance` again at
    `next_deadline()`. garbage_count: datagrams that were no SIP message.
    """

    def __init__(
        self,
        settings: UserAgentSettings,
        desk: Desk,
        ports: PortPool,
        call_ids: Callable[[], str],
        tokens: Callable[[], str],
    ) -> None:
        self._core = Core(settings, desk, ports, call_ids, tokens)
        self._trunk_hosts: dict[str, bool] = {}  # by the present desk, for the hosts seen
        self._desk = desk  # the last snapshot, without who signed in by phone since
        self._sign_ins = SignIns(self._core)
        self._trunks = Trunks(self._core)
        self._door = Door(self._standing)
        self._registrar = Registrar(
            self._core,
            DigestServer(settings.nonce_secret or tokens().encode(), offered=settings.digest_algorithms),
            self._door,
        )
        self._calls: dict[str, BridgeCall | AnswerCall | RecordingCall] = {}
        self._exchange = Exchange(self._core, self._registrar, self._trunks, self._calls)
        self._queue = Queue(self._core, self._registrar.contacts, self._exchange.busy, self._trunks.is_up)
        self._closing: Refusal | None = None
        self.garbage_count = 0

    # -- the loop around it -----------------------------------------------------------------------------------------

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """Take one message. Nothing in it can raise. What a source sends beyond its budget is not even read."""
        if not self._door.admits(source, now):
            if self._door.is_news(source, now):
                self._core.fault(
                    now, f"来自 {source[0]} 的 SIP 消息过多，已限速；如果是自己的设备，请加进中继白名单", source
                )
            return
        if is_keepalive(data):
            return
        try:
            message = parse_message(data)
            if isinstance(message, Response):
                self._core.transactions.receive_response(message, source, now)
            else:
                self._receive_request(message, source, now)
        except ProtocolError:
            self.garbage_count += 1
        self._serve_queue(now)

    def stream_opened(self, address: Address) -> None:
        """A connection with that far end is open."""
        self._core.streams.add(address)

    def stream_closed(self, address: Address, now: float) -> None:
        """A connection has closed, or could not be opened."""
        self._core.stream_closed(address, now)
        self._registrar.stream_closed(address)
        self._serve_queue(now)

    def advance(self, now: float) -> None:
        """Do what is due by `now`."""
        self._core.timers.ring(now)
        self._serve_queue(now)

    def next_deadline(self) -> float | None:
        """When `advance` has something to do, or None."""
        return self._core.timers.next_deadline()

    def datagrams(self) -> list[tuple[bytes, Address]]:
        """Datagrams to send since the last call, in order."""
        out, self._core.outbox[:] = list(self._core.outbox), []
        return out

    def events(self) -> list[Event]:
        """What happened since the last call, in order."""
        out, self._core.happened[:] = list(self._core.happened), []
        return out

    # -- commands ---------------------------------------------------------------------------------------------------

    def set_desk(self, desk: Desk, now: float) -> None:
        """Use another desk; calls in progress go on."""
        self._desk = desk
        self._core.set_desk(self._sign_ins.apply(desk))
        self._trunk_hosts.clear()
        self._trunks.set_desk(desk, now)
        self._registrar.keep_only(self._core.extensions, now)
        self._queue.touch()
        self._serve_queue(now)

    def hang_up(self, call_id: str, now: float, party: HangupParty = HangupParty.NETWORK) -> bool:
        """End a call in any state; False when there is none of that id."""
        call = self._calls.get(call_id)
        if call is not None:
            call.stop(now, party)
            self._serve_queue(now)
        return call is not None

    def prompt_over(self, call_id: str, prompt: str, now: float) -> None:
        """A prompt that was to be played once has been, or cannot be: the call goes on."""
        call = self._calls.get(call_id)
        if isinstance(call, BridgeCall):
            call.prompt_over(prompt, now)
            self._serve_queue(now)

    def shut_down(self, now: float) -> None:
        """End every call and take no more: whoever rings or talks is told, and each call has its end on record."""
        self._closing = CLOSING
        for call in list(self._calls.values()):
            call.stop(now, HangupParty.NETWORK, CLOSING)

    def settled(self) -> bool:
        """Whether everybody has confirmed the end of his call."""
        return not self._calls and not self._core.legs and not self._core.transactions.asking

    def media_timeout(self, call_id: str, now: float) -> bool:
        """End a call whose media stopped on both sides."""
        return self.hang_up(call_id, now)

    def registrations(self, now: float, wall_ms: int) -> tuple[SavedBinding, ...]:
        """The registrations as JSON-able values; wall_ms: the wall time at `now`, UTC milliseconds."""
        return self._registrar.save(now, wall_ms)

    def restore_registrations(self, bindings: Iterable[SavedBinding], now: float, wall_ms: int) -> None:
        """Take back saved registrations that have not expired."""
        self._registrar.restore(bindings, now, wall_ms)

    def calls(self) -> tuple[CallView, ...]:
        """Calls in progress, oldest first."""
        return tuple(c.view() for c in self._calls.values())

    def seats(self) -> tuple[SeatView, ...]:
        """All seats of the desk."""
        contacts, busy = self._registrar.contacts(), self._exchange.busy()
        rung = {extension for call in self.calls() for extension in call.rung}
        return tuple(
            SeatView(
                s.extension,
                s.agent_no,
                s.extension in contacts,
                plain(contacts[s.extension][0].uri) if s.extension in contacts else "",
                s.extension in busy,
                s.extension in rung,
            )
            for s in self._core.desk.seats
        )

    def trunks(self) -> tuple[TrunkView, ...]:
        """All trunks of the desk."""
        return self._trunks.views()

    def idle(self) -> bool:
        """Whether no call, leg or transaction is left (registrations may be)."""
        return not self._calls and not self._core.legs and not len(self._core.transactions)

    # -- requests ---------------------------------------------------------------------------------------------------

    def _receive_request(self, request: Request, source: Address, now: float) -> None:
        self._note_alias(request, source)
        if request.method == "ACK":
            self._receive_ack(request, now)
            return
        hops = _forwards(request)
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
            self._receive_invite(t, source, now)
        else:
            self._core.transactions.reply(t, 481, now, to_tag=self._core.tokens())

    def _standing(self, source: Address) -> Standing:
        if self._registrar.seat_at(source) is not None:
            return Standing.PHONE
        known = self._trunk_hosts.get(source[0])
        if known is None:
            if len(self._trunk_hosts) > SOURCES_MOST:
                self._trunk_hosts.clear()
            known = self._trunk_hosts[source[0]] = find_trunk(self._core.desk, source[0]) is not None
        return Standing.TRUNK if known else Standing.STRANGER

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

    # -- new calls --------------------------------------------------------------------------------------------------

    def _receive_invite(self, t: Transaction, source: Address, now: float) -> None:
        desk = self._core.desk
        trunk = find_trunk(desk, source[0])
        from_trunk = trunk is not None and any(_is_trunk(x, source) for x in desk.trunks)
        if trunk is not None and is_recording(t.request):
            call = take_recording(self._core, self._calls.values(), t, source, self._closing, self._let_go, now)
            if call is not None:
                self._calls[call.call_id] = call
                call.start(self._closing, now)
            return
        registered = self._registrar.seat_at(source)
        from_seat = registered or t.request.from_.uri.user in self._core.extensions
        if (registered and is_stream(source)) or (from_seat and not from_trunk):
            self._call_out(t, source, now)
        elif trunk is not None:
            self._call_in(t, source, now)
        else:
            self._core.transactions.reply(t, 403, now, to_tag=self._core.tokens())
            self._core.fault(
                now, f"来自 {source[0]} 的呼叫被拒绝：这个地址不在任何中继的白名单里，也不是已注册的话机", source
            )

    def _call_in(self, t: Transaction, source: Address, now: float) -> None:
        offer = self._closing or self._offer(t.request, source)
        trunk = find_trunk(self._core.desk, source[0])
        facts = CallFacts(
            CallMode.ANSWER if self._core.desk.routing.inbound_mode == "answer" else CallMode.BRIDGE,
            Direction.INBOUND,
            caller_number(t.request, trunk.prefix if trunk else ""),
            called_number(t.request),
            None,
            is_withheld(t.request),
            diverted_from(t.request),
            forwards=_forwards(t.request),
        )
        if self._core.desk.routing.inbound_mode == "answer":
            answer = AnswerCall(self._core, facts, t, source, self._let_go)
            self._calls[answer.call_id] = answer
            answer.start(offer, now)
            return
        self._bridge(facts, t, source).start_inbound(offer, self._queue, now)

    def _call_out(self, t: Transaction, source: Address, now: float) -> None:
        seat = self._registrar.authenticate(t, source, now)
        if seat is None:
            return
        if not self._registrar.is_registered(seat.extension):
            self._core.transactions.reply(t, 403, now, to_tag=self._core.tokens())
            self._core.fault(now, f"分机 {seat.extension} 没有注册就呼出，已拒绝", source)
            return
        offer = self._closing or self._offer(t.request, source)
        number = dialled(t.request)
        code = parse_code(number)
        if code is not None and not isinstance(offer, Refusal):
            self._take_code(code, seat.extension, FeatureCall(self._core, t, source), offer, now)
            return
        replaces = t.request.headers.first("Replaces")
        if replaces is not None and not isinstance(offer, Refusal):
            pick_up(self._core, self._exchange, t, replaces, seat.extension, source, offer, now)
            return
        target = offer if isinstance(offer, Refusal) else self._exchange.reach(number)
        if isinstance(target, Refusal):
            self._core.fault(now, f"分机 {seat.extension} 呼出被拒绝：{target.reason}", source)
        inside = number in self._core.extensions
        ours = "" if inside else self._core.desk.routing.hotline_number
        facts = CallFacts(
            CallMode.BRIDGE,
            Direction.OUTBOUND,
            ours or seat.extension,
            number if inside else called_number(t.request) or number,
            seat.extension,
            forwards=_forwards(t.request),
        )
        self._bridge(facts, t, source).start_outbound(offer, target, now)

    def _offer(self, request: Request, source: Address) -> Session | Refusal | None:
        offer = _offer(request)
        must = isinstance(offer, Session) and encryption_at(self._core.desk, source[0]) == "required"
        return Refusal(488, UNENCRYPTED) if must and isinstance(offer, Session) and not offer.crypto else offer

    def _take_code(
        self, code: FeatureCode | MarkCode, extension: str, dialog: FeatureCall, offer: Session | None, now: float
    ) -> None:
        if isinstance(code, FeatureCode):
            self._core.set_desk(self._sign_ins.take(extension, code, self._desk, now))
            if code.agent_no is None:
                self._exchange.seat_taken(None, extension, now)  # what rings there rings elsewhere
        else:
            call_id = self._exchange.markable(extension, now)
            if call_id is None:
                dialog.refuse(404, now)
                return
            self._core.emit(CallMarked(call_id, now, code.code, extension))
        dialog.confirm(offer, now)

    def _bridge(self, facts: CallFacts, t: Transaction, source: Address) -> BridgeCall:
        call = BridgeCall(self._core, facts, t, source, self._let_go, self._exchange)
        self._calls[call.call_id] = call
        return call

    def _let_go(self, call: Call) -> None:
        self._calls.pop(call.call_id, None)
        if isinstance(call, BridgeCall):
            for leg in (call.caller, call.callee):
                if leg is not None and leg.seat_extension is not None:
                    self._exchange.left(call, leg.seat_extension, call.since)

    def _serve_queue(self, now: float) -> None:
        """Let callers who wait have what just became free. Everything that frees a seat, or mans one, is also an event."""
        for _ in range(_SERVED_AT_ONCE):
            if not self._queue.dirty and not self._core.happened:
                return
            self._queue.serve(now)
            if not self._queue.dirty:
                return


def _forwards(request: Request) -> int:
    """Max-Forwards of a request."""
    text = request.headers.first("Max-Forwards")
    return parse_number(text, "Max-Forwards", _FORWARDS_MOST) if text is not None else _FORWARDS_USUAL


def _is_trunk(trunk: DeskTrunk, source: Address) -> bool:
    """Whether a message comes from the trunk's own signalling address; a connection may come from any port."""
    return source[0] == trunk.host and (is_stream(source) or source[1] == trunk.port)


def _offer(request: Request) -> Session | Refusal | None:
    """The SDP of an INVITE, None when it has no body; what cannot be read is still a call, and a refused one."""
    if not request.body:
        return None
    named = request.headers.first("Content-Type")
    try:
        body = sdp_of(named, request.body)
        if body is None:
            return Refusal(415, f"对方的媒体描述是 {plain(content_type(named))[:60]}，不是 SDP")
        return parse_sdp(body)
    except UnfitMedia as e:
        return Refusal(488, e.reason)
    except ProtocolError:
        return Refusal(488, "对方的媒体描述（SDP）无法读懂")
