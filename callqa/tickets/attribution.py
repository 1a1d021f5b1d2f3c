"""坐席归属: which agent took a call, decided from who was signed in at the seat when it was answered.

Order: exactly one agent signed in at the seat -> login. Nobody, or several at once (two open sign-ins) -> the roster,
if exactly one agent is planned there and no sign-in contradicts it. Otherwise unknown: a person decides, nobody is
guessed. The moment is the answer, not the first ring: the phone is picked up by whoever sits there then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from callqa.periods import from_ms, say_instant

SHIFT_LABELS = {"day": "白班", "night": "夜班", "holiday": "节假日班"}


class AttributionSource(StrEnum):
    """attribution_source; `manual` is set by a person only."""

    LOGIN = "login"
    ROSTER = "roster"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CallSpan:
    """The call as far as attribution needs it. seat_extension: None when it rang at no seat of ours."""

    call_id: str
    seat_extension: str | None
    started_at_ms: int
    answered_at_ms: int | None


@dataclass(frozen=True, slots=True)
class SeatLoginSpan:
    """One sign-in [started_at_ms, ended_at_ms); ended None = still signed in."""

    seat_extension: str
    agent_no: str
    started_at_ms: int
    ended_at_ms: int | None

    def covers(self, at_ms: int) -> bool:
        return self.started_at_ms <= at_ms and (self.ended_at_ms is None or at_ms < self.ended_at_ms)


@dataclass(frozen=True, slots=True)
class RosterSpan:
    """One planned shift [start_at_ms, end_at_ms); seat None = planned for the shift, not for a seat."""

    agent_no: str
    seat_extension: str | None
    shift: str
    start_at_ms: int
    end_at_ms: int

    def covers(self, at_ms: int) -> bool:
        return self.start_at_ms <= at_ms < self.end_at_ms


@dataclass(frozen=True, slots=True)
class Attribution:
    """The decision. reason: one Chinese sentence with the facts it rests on."""

    agent_no: str | None
    source: AttributionSource
    reason: str


def attribute(call: CallSpan, logins: Sequence[SeatLoginSpan], roster: Sequence[RosterSpan]) -> Attribution:
    """Decide who took the call. Pass the sign-ins of all seats around the call: another seat's can contradict."""
    at_ms = call.answered_at_ms
    if at_ms is None:
        return _unknown("通话未接通，不作归属")
    if not call.seat_extension:
        return _unknown("通话没有席位信息，请人工指定")
    seat = call.seat_extension
    present = [s for s in logins if s.covers(at_ms)]
    here = sorted({s.agent_no for s in present if s.seat_extension == seat})
    if len(here) == 1:
        since_ms = max(s.started_at_ms for s in present if s.seat_extension == seat)
        reason = f"接通时（{_clock(at_ms)}）席位 {seat} 由工号 {here[0]} 签入（自 {say_instant(since_ms)} 起）"
        return Attribution(here[0], AttributionSource.LOGIN, reason)
    why = f"接通时席位 {seat} 有 {len(here)} 人同时签入（{'、'.join(here)}）" if here else _nobody(call, at_ms, logins)
    return _by_roster(seat, at_ms, why, here, present, roster)


def _by_roster(
    seat: str,
    at_ms: int,
    why: str,
    here: Sequence[str],
    present: Sequence[SeatLoginSpan],
    roster: Sequence[RosterSpan],
) -> Attribution:
    now = [r for r in roster if r.covers(at_ms)]
    at_seat = [r for r in now if r.seat_extension == seat]
    planned = at_seat or [r for r in now if r.seat_extension is None]
    agents = sorted({r.agent_no for r in planned})
    if not agents:
        return _unknown(f"{why}，当时也没有该席位的排班，请人工指定")
    if len(agents) > 1:
        return _unknown(f"{why}，排班有 {len(agents)} 人（{'、'.join(agents)}），无法确定，请人工指定")
    agent_no = agents[0]
    elsewhere = sorted({s.seat_extension for s in present if s.agent_no == agent_no and s.seat_extension != seat})
    if elsewhere:
        return _unknown(f"{why}，排班为工号 {agent_no}，但其当时签入在席位 {'、'.join(elsewhere)}，请人工指定")
    if here and agent_no not in here:
        return _unknown(f"{why}，排班却为工号 {agent_no}，互相矛盾，请人工指定")
    shift = SHIFT_LABELS.get(sorted(r.shift for r in planned)[0], "班次")
    scope = f"席位 {seat}" if at_seat else "当班"
    return Attribution(agent_no, AttributionSource.ROSTER, f"{why}，按排班{shift}{scope}只有工号 {agent_no}")


def _nobody(call: CallSpan, at_ms: int, logins: Sequence[SeatLoginSpan]) -> str:
    """Nobody was signed in: say so, and name the nearest later sign-in, for the person who will decide."""
    later = [s for s in logins if s.seat_extension == call.seat_extension and 0 < s.started_at_ms - at_ms <= 3_600_000]
    text = f"接通时（{_clock(at_ms)}）席位 {call.seat_extension} 无人签入"
    if later:
        first = min(later, key=lambda s: (s.started_at_ms, s.agent_no))
        text += f"（工号 {first.agent_no} 在接通后 {(first.started_at_ms - at_ms) // 1000} 秒签入）"
    return text


def _clock(at_ms: int) -> str:
    return f"{from_ms(at_ms):%H:%M:%S}"


def _unknown(reason: str) -> Attribution:
    return Attribution(None, AttributionSource.UNKNOWN, reason)
