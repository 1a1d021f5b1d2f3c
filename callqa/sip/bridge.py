"""Role `bridge`: a back-to-back user agent between a trunk and seat phones, both ways.

Rules: the caller's INVITE rings every target at once; the first 200 wins and the others are cancelled; a 200 that
comes too late is acknowledged and ended (leg_calling.py). The caller gets his 200 only when somebody answered, with exactly the
voice codec of that answer, so that packets pass unchanged; targets are offered only what the caller offered. All
targets share one RTP port of ours. Early media is passed on where there is one target (a trunk). Trunks are tried one after the other, the next where one
does not speak or cannot put the call through; what the far end itself says (busy, no such number) stands.
BYE from either side ends the other; a caller who gives up cancels all.
"""

from collections.abc import Callable

from callqa.sip.call import Call, CallFacts
from callqa.sip.core import Core
from callqa.sip.events import Address, CallAbandoned, CallEnded, CallRinging, CallUnanswered, HangupParty
from callqa.sip.headers import quote
from callqa.sip.leg import Leg
from callqa.sip.routing import ALL_BUSY, NO_ANSWER, Refusal, Target
from callqa.sip.sdp import OUR_CODECS, Codecs, Session, agreed_codecs, common_codecs
from callqa.sip.timers import Alarm
from callqa.sip.transaction import Transaction
from callqa.sip.trunks import credentials, domain
from callqa.units import Channel, Direction

TRUNK_SILENT_S = 4.0  # not even 100 Trying: the trunk is away
_TRUNK_STATUSES = frozenset({401, 403, 407, 408})
OUTBOUND_RING_S = 120.0  # networks give up after 60-90 s themselves
_OUTBOUND_REASONS = {
    404: "空号", 408: "无人接听", 480: "无人接听", 486: "对方占线", 484: "号码不全", 600: "对方占线", 603: "对方拒接",
}  # fmt: skip
_PARTIES = {Channel.CITIZEN: HangupParty.CITIZEN, Channel.AGENT: HangupParty.AGENT}


class BridgeCall(Call):
    """Two legs, one call. caller: the leg of the INVITE that came in; ringing: legs dialled and not decided yet."""

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
        self.ringing: dict[Leg, Target] = {}
        self._far = Channel.AGENT if inbound else Channel.CITIZEN
        self._on_seat_taken = on_seat_taken
        self._offer: Session | None = None
        self._statuses: list[int] = []
        self._rung = False
        self._rings_back = False
        self._alarm: Alarm | None = None
        self._later: list[Target] = []  # trunks not tried yet
        self._try_alarm: Alarm | None = None
        self._trunk_name = ""

    def start(self, offer: Session | None, targets: tuple[Target, ...] | Refusal, now: float) -> None:
        """Ring the targets. offer: None when the INVITE had no SDP; then our offer goes into the 200."""
        self.begin(now)
        self._offer = self.caller.session = offer
        offered = common_codecs(offer) if offer else OUR_CODECS
        if isinstance(targets, Refusal):
            (self._fail if targets.status in (415, 488) else self._refuse)(targets, now)
            return
        if not offered:
            self._fail(Refusal(488, "没有共同的语音编码"), now)
            return
        ports = self.take_ports(2)
        if ports is None:
            self._fail(Refusal(503, "没有空闲的媒体端口"), now)
            return
        self.caller.local_port, self.caller.codecs = ports[0], offered
        self.caller.ring(100, b"", now)
        self.open_media(self.caller, now)
        inbound = self.facts.direction is Direction.INBOUND
        at_once, self._later = (targets, []) if inbound else (targets[:1], list(targets[1:]))
        for i, target in enumerate(at_once):
            leg = self._dial(target, ports[1], offered)
            if i == 0:
                self.open_media(leg, now)
            leg.dial(leg.sdp(offered), now)
        self._watch_trunk(now)
        limit_s = float(self.core.desk.routing.ring_timeout_s) if inbound else OUTBOUND_RING_S
        self._alarm = self.core.timers.at(now + limit_s, self._ring_timeout)

    def _watch_trunk(self, now: float) -> None:
        """With another trunk to try, one that says nothing is not waited for long."""
        if self._later:
            (leg,) = self.ringing
            self._try_alarm = self.core.timers.at(now + TRUNK_SILENT_S, lambda at: self._trunk_silent(leg, at))

    def _trunk_silent(self, leg: Leg, now: float) -> None:
        if leg in self.ringing and not leg.heard:
            leg.end(now)
            self.leg_refused(leg, 408, now)

    def _next_trunk(self, status: int, now: float) -> bool:
        """Try the next trunk after one that could not put the call through; False when the answer stands."""
        if not self._later or not (status in _TRUNK_STATUSES or 500 <= status < 600):
            return False
        target, port = self._later.pop(0), self._ports[1]
        text = (
            f"中继“{self._trunk_name}”没有接通（{status}），改走“{target.trunk.name if target.trunk else target.uri}”"
        )
        self.core.fault(now, text, None, self.call_id)
        if self._try_alarm is not None:
            self._try_alarm.cancel()
        leg = self._dial(target, port, self.caller.codecs)
        leg.dial(leg.sdp(leg.codecs), now)
        self._watch_trunk(now)
        return True

    def _dial(self, target: Target, port: int, offered: Codecs) -> Leg:
        f = self.facts
        shown = f.from_number or "anonymous"
        caller = f"{quote(f.from_number or '未知号码')} <{self.core.uri(target.peer, shown)}>"
        called = (
            f"<{self.core.uri(target.peer, target.seat_extension)}>" if target.seat_extension else f"<{target.uri}>"
        )
        fields: tuple[tuple[str, str | None], ...] = (
            ("X-Ticket-Id", self.ticket_hint), ("User-to-User", self.user_to_user),
        )  # fmt: skip
        trunk = target.trunk
        if trunk is not None and trunk.username:  # the account calls; the number goes beside it
            caller = f"{quote(f.from_number)} <sip:{trunk.username}@{domain(trunk)}>"
            fields += (("P-Preferred-Identity", f"<sip:{f.from_number}@{domain(trunk)}>" if f.from_number else None),)
        routes = self.core.service_routes(trunk.name) if trunk is not None else ()
        fields = (*(("Route", r) for r in routes), *fields)
        self._trunk_name = trunk.name if trunk is not None else ""
        leg = Leg.outgoing(
            self.core,
            self,
            self._far,
            port,
            target=target.uri,
            peer=target.peer,
            caller=caller,
            called=called,
            fields=fields,
        )
        if trunk is not None and trunk.username:
            leg.authorise = lambda r, request: credentials(trunk, r, "INVITE", request.uri, self.core.tokens())
        leg.codecs = offered
        leg.dialog.behind_nat = target.seat_extension is not None
        self.ringing[leg] = target
        return leg

    # -- before the answer ------------------------------------------------------------------------------------------

    def leg_provisional(self, leg: Leg, status: int, session: Session | None, now: float) -> None:
        """Pass ringing back; early media only from a single target."""
        if self.over or self.callee is not None or leg not in self.ringing:
            return
        if not self._rung:
            self._rung = True
            self.core.emit(CallRinging(self.call_id, now))
        if session is not None and self.ringing[leg].seat_extension is None:
            self._early_media(leg, session, now)
        else:
            self._ring_back(now)

    def _ring_back(self, now: float) -> None:
        """A seat's phone only rings, whatever SDP it sends with that."""
        if not self._rings_back:
            self._rings_back = True
            self.caller.ring(180, b"", now)

    def _early_media(self, leg: Leg, session: Session, now: float) -> None:
        agreed = agreed_codecs(leg.codecs, session)
        if not agreed or self._offer is None:
            self._ring_back(now)
            return
        leg.session = session
        self.change_media(leg, now)
        self.caller.ring(183, self.caller.sdp(agreed, answering=self._offer), now)

    def leg_answered(self, leg: Leg, session: Session | None, now: float) -> None:
        """The first answer connects the call. Some networks describe the media only with their early media."""
        session = session or leg.session
        target = self.ringing.pop(leg, None)
        agreed = agreed_codecs(leg.codecs, session) if session else ()
        if self.over or self.callee is not None or target is None:
            leg.end(now)
            return
        if not agreed:
            leg.end(now)
            self.core.fault(
                now, f"{target.seat_extension or '中继'} 接听时没有共同的语音编码", leg.dialog.observed, self.call_id
            )
            self._one_less(488, now)
            return
        self.callee = leg
        leg.recode = self._recode
        self._cancel_ringing(now)
        leg.session, leg.codecs, self.caller.codecs = session, agreed, agreed
        self.seat_extension = target.seat_extension or self.seat_extension
        self.caller.accept(self.caller.sdp(agreed, self.caller.direction_for(self._offer), self._offer), now)
        self.change_media(leg, now)
        self.change_media(self.caller, now)
        self.connected(now, (self.sip_call_id, leg.dialog.call_id))
        if self.seat_extension is not None:
            self._on_seat_taken(self, self.seat_extension, now)

    def leg_refused(self, leg: Leg, status: int, now: float) -> None:
        """One target less."""
        if self.ringing.pop(leg, None) is not None and not self.over and not self._next_trunk(status, now):
            self._one_less(status, now)

    def seat_taken(self, extension: str, now: float) -> None:
        """A seat that rang for us answered another call: stop ringing it."""
        for leg in [x for x, t in self.ringing.items() if t.seat_extension == extension]:
            del self.ringing[leg]
            leg.end(now)
            self._one_less(486, now)

    def _one_less(self, status: int, now: float) -> None:
        self._statuses.append(status)
        if self.ringing or self.over or self.callee is not None:
            return
        if self.facts.direction is Direction.INBOUND:
            busy = all(s in (486, 600) for s in self._statuses)
            refusal = (
                Refusal(488, "没有共同的语音编码") if set(self._statuses) == {488} else ALL_BUSY if busy else NO_ANSWER
            )
        else:
            if status in (401, 403, 407):
                self.core.fault(now, f"中继拒绝了呼出（{status}），请检查中继的认证与权限", None, self.call_id)
            passed = status if status >= 400 and status not in (401, 407) else 480
            refusal = Refusal(passed, _OUTBOUND_REASONS.get(status, f"呼叫失败（{status}）"))
        self._refuse(refusal, now)

    def _ring_timeout(self, now: float) -> None:
        if not self.over and self.callee is None:
            self._cancel_ringing(now)
            self._refuse(NO_ANSWER, now)

    def leg_cancelled(self, leg: Leg, now: float) -> None:
        """The caller gave up: 呼损 when it was a citizen."""
        self._cancel_ringing(now)
        if self.facts.direction is Direction.INBOUND:
            self.finish(CallAbandoned(self.call_id, now, "诉求人在接通前挂断"), now)
        else:
            self.finish(CallUnanswered(self.call_id, now, "坐席取消呼叫", 487), now)

    def _cancel_ringing(self, now: float) -> None:
        for alarm in (self._alarm, self._try_alarm):
            if alarm is not None:
                alarm.cancel()
        self._later.clear()
        ringing, self.ringing = list(self.ringing), {}
        for leg in ringing:
            leg.end(now)

    def _fail(self, refusal: Refusal, now: float) -> None:
        self.core.fault(now, refusal.reason, self.caller.dialog.observed, self.call_id)
        self._refuse(refusal, now)

    def _refuse(self, refusal: Refusal, now: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self.caller.refuse(refusal.status, now)
        self.finish(CallUnanswered(self.call_id, now, refusal.reason, refusal.status), now)

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
        self._cancel_ringing(now)
        self.caller.end(now)
        if self.callee is not None:
            self.callee.end(now)
