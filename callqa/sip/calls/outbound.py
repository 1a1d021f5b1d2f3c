"""Where a call of ours is put through: to another seat, all of whose phones ring; or to a number through trunks, one after the other, the next where one does not speak or cannot put the call
through; what the far end itself says (busy, no such number) stands. Its early media is passed on to the caller.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from callqa.sip.calls.routing import NO_ANSWER, TRUNK_SILENT_S, Refusal, Target, is_trunks_fault
from callqa.sip.legs.leg import Leg
from callqa.sip.legs.timers import Alarm
from callqa.sip.wire.sdp import Session

if TYPE_CHECKING:
    from callqa.sip.calls.bridge import BridgeCall

OUTBOUND_RING_S = 120.0  # networks give up after 60-90 s themselves
_REASONS = {
    404: "空号", 408: "无人接听", 480: "无人接听", 486: "对方占线", 484: "号码不全", 600: "对方占线", 603: "对方拒接",
}  # fmt: skip


class TrunkSearch:
    """The search for a number outside. on_failed: it cannot be reached; shown: the number the network is told as ours."""

    def __init__(self, call: "BridgeCall", on_failed: Callable[[Refusal, float], None], shown: str = "") -> None:
        self._call = call
        self._core = call.core
        self._ringing = call.ringing
        self._on_failed = on_failed
        self._shown = shown
        self._later: list[Target] = []  # trunks not tried yet
        self._trunk_name = ""
        self._try_alarm: Alarm | None = None
        self._alarm: Alarm | None = None

    def start(self, targets: tuple[Target, ...], now: float) -> None:
        """Dial the first; of another seat all phones."""
        inside = targets[0].seat_extension is not None
        for target in targets[1:] if inside else ():
            self._ringing.dial(target, now, self._shown)
        self._later = [] if inside else list(targets[1:])
        self._try(targets[0], now)
        self._alarm = self._core.timers.at(now + OUTBOUND_RING_S, self._give_up)

    def provisional(self, leg: Leg, session: Session | None, now: float) -> None:
        """The far end rings, or speaks already."""
        inside = self._ringing.legs[leg].seat_extension is not None
        if session is None or inside or not self._call.side.pass_on(leg, session, now):
            self._call.side.ring_back(now)

    def answered(self, leg: Leg, session: Session | None, now: float) -> None:
        """The far end answered."""
        if self._ringing.answered(leg, session, now) is not None and not self._ringing.legs:
            self._fail(488, now)

    def refused(self, leg: Leg, status: int, now: float) -> None:
        """A trunk or the far end does not take the call."""
        if self._ringing.legs.pop(leg, None) is None or self._ringing.legs:
            return
        if not self._next(status, now):
            self._fail(status, now)

    def cancel(self, now: float) -> None:
        """Stop."""
        for alarm in (self._alarm, self._try_alarm):
            if alarm is not None:
                alarm.cancel()
        self._later.clear()

    def _try(self, target: Target, now: float) -> None:
        """With another trunk to try, one that says nothing is not waited for long."""
        self._trunk_name = target.trunk.name if target.trunk is not None else ""
        leg = self._ringing.dial(target, now, self._shown)
        if self._later:
            self._try_alarm = self._core.timers.at(now + TRUNK_SILENT_S, lambda at: self._silent(leg, at))

    def _silent(self, leg: Leg, now: float) -> None:
        if leg in self._ringing.legs and not leg.heard:
            leg.end(now)
            self.refused(leg, 408, now)

    def _next(self, status: int, now: float) -> bool:
        """Try the next trunk after one that could not put the call through; False when the answer stands."""
        if self._try_alarm is not None:
            self._try_alarm.cancel()
        if not self._later or not is_trunks_fault(status):
            return False
        target = self._later.pop(0)
        name = target.trunk.name if target.trunk else target.uri
        text = f"中继“{self._trunk_name}”没有接通（{status}），改走“{name}”"
        self._core.fault(now, text, None, self._call.call_id)
        self._try(target, now)
        return True

    def _fail(self, status: int, now: float) -> None:
        if status in (401, 403, 407):
            text = f"中继拒绝了呼出（{status}），请检查中继的认证与权限"
            self._core.fault(now, text, None, self._call.call_id)
        passed = status if status >= 400 and status not in (401, 407) else 480
        self._end(Refusal(passed, _REASONS.get(status, f"呼叫失败（{status}）")), now)

    def _give_up(self, now: float) -> None:
        self._ringing.end(self._ringing.legs, now)
        self._end(NO_ANSWER, now)

    def _end(self, refusal: Refusal, now: float) -> None:
        self.cancel(now)
        self._on_failed(refusal, now)
