"""A bridged call before its answer: who is rung, what the caller hears of it, and how it ends unanswered.

Rules: an inbound caller's INVITE rings every target at once; the first 200 wins and the others are cancelled. Targets
are offered only what the caller offered and share one RTP port of ours. Early media is passed on where there is one target
(a trunk). Trunks are tried one after the other, the next where one does not speak or cannot put the call through; what
the far end itself says (busy, no such number) stands. What comes after the answer is in bridge.py.
"""

from typing import TYPE_CHECKING

from callqa.sip.dialling import outgoing_leg
from callqa.sip.events import CallAbandoned, CallRinging, CallUnanswered
from callqa.sip.leg import Leg
from callqa.sip.routing import ALL_BUSY, NO_ANSWER, Refusal, Target
from callqa.sip.sdp import OUR_CODECS, Session, agreed_codecs, common_codecs
from callqa.sip.timers import Alarm
from callqa.units import Direction

if TYPE_CHECKING:
    from callqa.sip.bridge import BridgeCall

TRUNK_SILENT_S = 4.0  # not even 100 Trying: the trunk is away
_TRUNK_STATUSES = frozenset({401, 403, 407, 408})
OUTBOUND_RING_S = 120.0  # networks give up after 60-90 s themselves
_OUTBOUND_REASONS = {
    404: "空号", 408: "无人接听", 480: "无人接听", 486: "对方占线", 484: "号码不全", 600: "对方占线", 603: "对方拒接",
}  # fmt: skip


class Ringing:
    """The legs dialled for one call and not decided yet."""

    def __init__(self, call: "BridgeCall") -> None:
        self._call = call
        self._core = call.core
        self._caller = call.caller
        self._inbound = call.facts.direction is Direction.INBOUND
        self._legs: dict[Leg, Target] = {}
        self._offer: Session | None = None
        self._port = 0
        self._statuses: list[int] = []
        self._rung = False
        self._rings_back = False
        self._alarm: Alarm | None = None
        self._later: list[Target] = []  # trunks not tried yet
        self._try_alarm: Alarm | None = None
        self._trunk_name = ""

    def start(self, offer: Session | None, targets: tuple[Target, ...] | Refusal, now: float) -> None:
        """Ring the targets. offer: None when the INVITE had no SDP; then our offer goes into the 200."""
        call = self._call
        self._offer = self._caller.session = offer
        offered = common_codecs(offer) if offer else OUR_CODECS
        if isinstance(targets, Refusal):
            (self._fail if targets.status in (415, 488) else self._refuse)(targets, now)
            return
        if not offered:
            self._fail(Refusal(488, "没有共同的语音编码"), now)
            return
        ports = call.take_ports(2)
        if ports is None:
            self._fail(Refusal(503, "没有空闲的媒体端口"), now)
            return
        self._caller.local_port, self._port, self._caller.codecs = ports[0], ports[1], offered
        self._caller.ring(100, b"", now)
        call.open_media(self._caller, now)
        at_once, self._later = (targets, []) if self._inbound else (targets[:1], list(targets[1:]))
        for i, target in enumerate(at_once):
            leg = self._leg_to(target)
            if i == 0:
                call.open_media(leg, now)
            leg.dial(leg.sdp(offered), now)
        self._watch_trunk(now)
        limit_s = float(self._core.desk.routing.ring_timeout_s) if self._inbound else OUTBOUND_RING_S
        self._alarm = self._core.timers.at(now + limit_s, self._ring_timeout)

    def _leg_to(self, target: Target) -> Leg:
        call = self._call
        self._trunk_name = target.trunk.name if target.trunk is not None else ""
        leg = outgoing_leg(self._core, call, call, call.far, target, self._port, self._caller.codecs)
        self._legs[leg] = target
        return leg

    def _watch_trunk(self, now: float) -> None:
        """With another trunk to try, one that says nothing is not waited for long."""
        if self._later:
            (leg,) = self._legs
            self._try_alarm = self._core.timers.at(now + TRUNK_SILENT_S, lambda at: self._trunk_silent(leg, at))

    def _trunk_silent(self, leg: Leg, now: float) -> None:
        if leg in self._legs and not leg.heard:
            leg.end(now)
            self.refused(leg, 408, now)

    def _next_trunk(self, status: int, now: float) -> bool:
        """Try the next trunk after one that could not put the call through; False when the answer stands."""
        if not self._later or not (status in _TRUNK_STATUSES or 500 <= status < 600):
            return False
        target = self._later.pop(0)
        text = (
            f"中继“{self._trunk_name}”没有接通（{status}），改走“{target.trunk.name if target.trunk else target.uri}”"
        )
        self._core.fault(now, text, None, self._call.call_id)
        if self._try_alarm is not None:
            self._try_alarm.cancel()
        leg = self._leg_to(target)
        leg.dial(leg.sdp(leg.codecs), now)
        self._watch_trunk(now)
        return True

    def provisional(self, leg: Leg, session: Session | None, now: float) -> None:
        """Pass ringing back; early media only from a single target."""
        if leg not in self._legs:
            return
        if not self._rung:
            self._rung = True
            self._core.emit(CallRinging(self._call.call_id, now))
        if session is not None and self._legs[leg].seat_extension is None:
            self._early_media(leg, session, now)
        else:
            self._ring_back(now)

    def _ring_back(self, now: float) -> None:
        """A seat's phone only rings, whatever SDP it sends with that."""
        if not self._rings_back:
            self._rings_back = True
            self._caller.ring(180, b"", now)

    def _early_media(self, leg: Leg, session: Session, now: float) -> None:
        agreed = agreed_codecs(leg.codecs, session)
        if not agreed or self._offer is None:
            self._ring_back(now)
            return
        leg.session = session
        self._call.change_media(leg, now)
        self._caller.ring(183, self._caller.sdp(agreed, answering=self._offer), now)

    def answered(self, leg: Leg, session: Session | None, now: float) -> None:
        """The first answer connects the call. Some networks describe the media only with their early media."""
        session = session or leg.session
        target = self._legs.pop(leg, None)
        agreed = agreed_codecs(leg.codecs, session) if session else ()
        if self._call.over or self._call.callee is not None or target is None:
            leg.end(now)
            return
        if not agreed:
            leg.end(now)
            text = f"{target.seat_extension or '中继'} 接听时没有共同的语音编码"
            self._core.fault(now, text, leg.dialog.observed, self._call.call_id)
            self._one_less(488, now)
            return
        self.cancel(now)
        leg.session, leg.codecs, self._caller.codecs = session, agreed, agreed
        self._caller.accept(self._caller.sdp(agreed, self._caller.direction_for(self._offer), self._offer), now)
        self._call.connect(leg, target.seat_extension, now)

    def refused(self, leg: Leg, status: int, now: float) -> None:
        """One target less."""
        if self._legs.pop(leg, None) is not None and not self._next_trunk(status, now):
            self._one_less(status, now)

    def seat_taken(self, extension: str, now: float) -> None:
        """A seat that rang for us answered another call: stop ringing it."""
        for leg in [x for x, t in self._legs.items() if t.seat_extension == extension]:
            del self._legs[leg]
            leg.end(now)
            self._one_less(486, now)

    def _one_less(self, status: int, now: float) -> None:
        self._statuses.append(status)
        if self._legs or self._call.over or self._call.callee is not None:
            return
        if self._inbound:
            busy = all(s in (486, 600) for s in self._statuses)
            refusal = (
                Refusal(488, "没有共同的语音编码") if set(self._statuses) == {488} else ALL_BUSY if busy else NO_ANSWER
            )
        else:
            if status in (401, 403, 407):
                self._core.fault(now, f"中继拒绝了呼出（{status}），请检查中继的认证与权限", None, self._call.call_id)
            passed = status if status >= 400 and status not in (401, 407) else 480
            refusal = Refusal(passed, _OUTBOUND_REASONS.get(status, f"呼叫失败（{status}）"))
        self._refuse(refusal, now)

    def _ring_timeout(self, now: float) -> None:
        if not self._call.over and self._call.callee is None:
            self.cancel(now)
            self._refuse(NO_ANSWER, now)

    def abandoned(self, now: float) -> None:
        """The caller gave up: 呼损 when it was a citizen."""
        self.cancel(now)
        if self._inbound:
            self._call.finish(CallAbandoned(self._call.call_id, now, "诉求人在接通前挂断"), now)
        else:
            self._call.finish(CallUnanswered(self._call.call_id, now, "坐席取消呼叫", 487), now)

    def cancel(self, now: float) -> None:
        """Stop ringing everybody."""
        for alarm in (self._alarm, self._try_alarm):
            if alarm is not None:
                alarm.cancel()
        self._later.clear()
        legs, self._legs = list(self._legs), {}
        for leg in legs:
            leg.end(now)

    def _fail(self, refusal: Refusal, now: float) -> None:
        self._core.fault(now, refusal.reason, self._caller.dialog.observed, self._call.call_id)
        self._refuse(refusal, now)

    def _refuse(self, refusal: Refusal, now: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._caller.refuse(refusal.status, now)
        self._call.finish(CallUnanswered(self._call.call_id, now, refusal.reason, refusal.status), now)
