"""INVITEs that begin something: who each is from, and what it becomes (bridge.py, answer.py, siprec.py, a feature code).

A recording client's INVITE (siprec.py) is taken from the allow-list of a trunk only. Who any other is from, in this order: the
signalling address of a trunk; a seat (its registered address, or its extension in From: digest is asked then); the allow-list of
a trunk; a stranger, who gets 403.
"""

from callqa.desk import Desk, DeskTrunk
from callqa.errors import ProtocolError
from callqa.sip.calls.answer import AnswerCall
from callqa.sip.calls.bridge import BridgeCall
from callqa.sip.calls.call import Call, CallFacts
from callqa.sip.calls.exchange import Exchange
from callqa.sip.calls.queue import Queue
from callqa.sip.calls.routing import Refusal, encryption_at, find_trunk
from callqa.sip.core import Core
from callqa.sip.events import Address, CallMarked, CallMode
from callqa.sip.feature_codes import FeatureCall, FeatureCode, MarkCode, PickUpCode, SignIns, parse_code
from callqa.sip.legs.transaction import Transaction
from callqa.sip.recording.parties import is_recording
from callqa.sip.recording.siprec import RecordingCall, take_recording
from callqa.sip.registrar import Registrar
from callqa.sip.transfers.pickup import Newcomer, pick_up, pick_up_ringing
from callqa.sip.wire.headers import plain
from callqa.sip.wire.hop import is_stream
from callqa.sip.wire.identity import called_number, caller_number, dialled, diverted_from, is_withheld
from callqa.sip.wire.message import Request
from callqa.sip.wire.multipart import content_type, sdp_of
from callqa.sip.wire.sdes import UNENCRYPTED
from callqa.sip.wire.sdp import Session, UnfitMedia, parse_sdp
from callqa.units import Direction

CallInProgress = BridgeCall | AnswerCall | RecordingCall


class NewCalls:
    """calls: all in progress; new ones are added, and go when they are over. closing: why no more are taken; snapshot: the desk
    without who signed in by phone since."""

    def __init__(
        self, core: Core, registrar: Registrar, exchange: Exchange, queue: Queue, calls: dict[str, CallInProgress]
    ) -> None:
        self.closing: Refusal | None = None
        self.snapshot = core.desk
        self._core = core
        self._registrar = registrar
        self._exchange = exchange
        self._queue = queue
        self._calls = calls
        self._sign_ins = SignIns(core)

    def set_desk(self, desk: Desk) -> None:
        """Use another snapshot, with who signed in by phone."""
        self.snapshot = desk
        self._core.set_desk(self._sign_ins.apply(desk))

    def receive(self, t: Transaction, source: Address, now: float) -> None:
        """Take one INVITE outside any dialog."""
        desk = self._core.desk
        trunk = find_trunk(desk, source[0])
        from_trunk = trunk is not None and any(_is_trunk(x, source) for x in desk.trunks)
        if trunk is not None and is_recording(t.request):
            call = take_recording(self._core, self._calls.values(), t, source, self.closing, self._let_go, now)
            if call is not None:
                self._calls[call.call_id] = call
                call.start(self.closing, now)
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
        offer = self.closing or self._offer(t.request, source)
        trunk = find_trunk(self._core.desk, source[0])
        facts = CallFacts(
            CallMode.ANSWER if self._core.desk.routing.inbound_mode == "answer" else CallMode.BRIDGE,
            Direction.INBOUND,
            caller_number(t.request, trunk.prefix if trunk else ""),
            called_number(t.request),
            None,
            is_withheld(t.request),
            diverted_from(t.request),
            forwards=t.request.forwards,
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
        offer = self.closing or self._offer(t.request, source)
        number = dialled(t.request)
        code = parse_code(number)
        replaces = t.request.headers.all("Replaces")
        if not isinstance(offer, Refusal):
            who = Newcomer(t, seat.extension, source, offer)
            if isinstance(code, PickUpCode):
                pick_up_ringing(self._core, self._exchange, code.extension, who, now)
                return
            if code is not None:
                self._take_code(code, seat.extension, FeatureCall(self._core, t, source), offer, now)
                return
            if replaces:
                pick_up(self._core, self._exchange, replaces, who, now)
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
            forwards=t.request.forwards,
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
            self._core.set_desk(self._sign_ins.take(extension, code, self.snapshot, now))
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
