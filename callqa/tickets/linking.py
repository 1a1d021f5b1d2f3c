"""话单与工单关联: which ticket a call belongs to, with the reasons and their figures.

Order:
1. A ticket number the call carried itself (X-Ticket-Id, or inside User-to-User) that names an existing ticket and is
   not contradicted by the phone numbers -> linked, method `header`. Contradicted -> doubtful, with what else fits.
2. Evidence, 0..100 points per ticket: phone number, agent, time (see _EVIDENCE below) -> linked when one ticket is
   clearly ahead, doubtful when the evidence is thin or two tickets are nearly equal, unlinked when there is none.

A ticket may belong to several calls (受理, 核实, 回访), so nothing here looks at other calls. The result does not
depend on the order of the tickets, and a ticket without any evidence never changes it. An inbound call's ticket is
accepted between two minutes before and thirty minutes after it; hours away, the same citizen's ticket is another one.
"""

import contextlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from callqa.matching import number_distance
from callqa.periods import say_duration, say_short
from callqa.units import CallType, Direction

# _EVIDENCE, inbound: number 50 (one digit off 25) + agent 20 (another agent -10) + time 30..10 inside the window
# (-15 within two hours around it: at most doubtful).
# Outbound: number 50 (25) + state of the ticket 20 + callback time 30..10 (called back long before -15) + agent 5.
NUMBER_EQUAL, NUMBER_NEAR = 50.0, 25.0
AGENT_EQUAL, AGENT_OTHER, AGENT_EQUAL_OUTBOUND = 20.0, -10.0, 5.0
TIME_BEST, TIME_LEAST = 30.0, 10.0
TIME_NEARBY = -15.0  # number and agent then stay below LINKED_MIN
STATE_FITS, CALLED_BACK_BEFORE, ACCEPTED_AFTER = 20.0, -15.0, -20.0

LINKED_MIN = 70.0  # number + time inside the call, even when the agent differs; number + agent + time at the edge
DOUBTFUL_MIN = 40.0  # a number alone, or agent + time for a withheld number
CLEAR_LEAD = 15.0  # two tickets nearer than this are for a person to tell apart
MAX_LISTED = 5

BEFORE_CALL_MS = 2 * 60_000  # clocks differ; the ticket form may be opened while the phone rings
AFTER_CALL_MS = 30 * 60_000
CALLBACK_AFTER_MS = 24 * 3_600_000
NEARBY_MS = 2 * 3_600_000  # a ticket this near, but outside the window, is worth a person's look (催办, dropped calls)
OUTBOUND_PAST_MS = 400 * 86_400_000  # work before the flood season is followed up within the year


class LinkState(StrEnum):
    """关联状态."""

    LINKED = "linked"  # 已关联
    DOUBTFUL = "doubtful"  # 待核
    UNLINKED = "unlinked"  # 未关联


class LinkMethod(StrEnum):
    """How a link was found; `manual` is a person's."""

    HEADER = "header"
    EVIDENCE = "evidence"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class LinkCandidate:
    """A call as linking sees it. citizen_number: canonical digits, "" withheld. ticket_hint: X-Ticket-Id as received.

    call_type of an outbound call is CALLBACK until a link or a person says VERIFY.
    """

    call_id: str
    call_type: CallType
    direction: Direction
    citizen_number: str
    agent_no: str | None
    started_at_ms: int
    answered_at_ms: int | None
    ended_at_ms: int | None
    ticket_hint: str | None = None
    user_to_user: str | None = None

    @property
    def end_ms(self) -> int:
        """The call's end; its last known instant while it has none."""
        return self.ended_at_ms or self.answered_at_ms or self.started_at_ms


@dataclass(frozen=True, slots=True)
class TicketKey:
    """A ticket as linking sees it; ticket_no is unique among those passed."""

    ticket_no: str
    caller_number: str
    contact_phone: str
    accepted_at_ms: int | None
    accepted_by_agent_no: str = ""
    result_received_at_ms: int | None = None
    closed_at_ms: int | None = None
    has_result: bool = False
    callback_done_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ScoredLink:
    """One ticket that may be the call's, 0..100, and why in Chinese sentences."""

    ticket_no: str
    score: float
    method: LinkMethod
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LinkDecision:
    """linked: exactly one link. doubtful: one to five, best first. unlinked: none. notes: what concerns no ticket."""

    state: LinkState
    links: tuple[ScoredLink, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Point:
    points: float
    reason: str


def link(candidate: LinkCandidate, tickets: Sequence[TicketKey]) -> LinkDecision:
    """Decide which ticket the call belongs to; see the module's head for the order of evidence."""
    named, notes = _named_ticket(candidate, tickets)
    if named is not None and _number(candidate, named) is not None:
        return LinkDecision(LinkState.LINKED, (_header_link(candidate, named),), notes)
    scored = [s for t in tickets if t is not named and (s := _evidence(candidate, t)) is not None]
    scored = sorted((s for s in scored if s.score >= DOUBTFUL_MIN), key=lambda s: (-s.score, s.ticket_no))
    scored = [s for s in scored if s.score > scored[0].score - CLEAR_LEAD][:MAX_LISTED]
    if named is not None:
        contradiction = ScoredLink(
            named.ticket_no,
            DOUBTFUL_MIN,
            LinkMethod.HEADER,
            (f"信令带工单号 {named.ticket_no}", f"但对方号码 {candidate.citizen_number} 与该工单的号码不符"),
        )
        return LinkDecision(LinkState.DOUBTFUL, (contradiction, *scored)[:MAX_LISTED], notes)
    if not scored:
        return LinkDecision(LinkState.UNLINKED, (), notes)
    if len(scored) == 1 and scored[0].score >= LINKED_MIN:
        return LinkDecision(LinkState.LINKED, (_with(scored[0], notes),), notes)
    why = (
        f"有 {len(scored)} 张工单证据相近，请人工选择"
        if len(scored) > 1
        else f"证据 {scored[0].score:.0f} 分，不足 {LINKED_MIN:.0f} 分，请人工确认"
    )
    return LinkDecision(LinkState.DOUBTFUL, tuple(_with(s, (why, *notes)) for s in scored), notes)


def _with(scored: ScoredLink, notes: tuple[str, ...]) -> ScoredLink:
    return ScoredLink(scored.ticket_no, scored.score, scored.method, (*scored.reasons, *notes))


# ---------- 1. what the call itself names ----------

_MAX_UUI_CHARS = 1024  # RFC 7433 leaves it open; ISDN carries 128 octets


def hinted_numbers(ticket_hint: str | None, user_to_user: str | None) -> tuple[str, ...]:
    """Ticket numbers a call may be naming, folded for comparison: X-Ticket-Id first, then words of User-to-User."""
    hint = fold_ticket_no(ticket_hint or "")
    words: list[str] = [hint] if hint else []
    text = (user_to_user or "")[:_MAX_UUI_CHARS]
    body, _, parameters = text.partition(";")
    if "encoding=hex" in parameters.lower() or re.fullmatch(r"(?:[0-9A-Fa-f]{2}){4,}", body.strip()):
        with contextlib.suppress(ValueError):  # not hex after all: the plain words below are still looked at
            text += " " + bytes.fromhex(body.strip()).decode("utf-8", errors="replace")
    words += [fold_ticket_no(w) for w in re.split(r"[^\w\-./]+|[:=]", text) if len(w) >= 4]
    return tuple(dict.fromkeys(words))


def fold_ticket_no(text: str) -> str:
    """One form for comparing ticket numbers: NFKC, no spaces, upper case."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text[:256])).strip("\"'<>").upper()


def _named_ticket(candidate: LinkCandidate, tickets: Sequence[TicketKey]) -> tuple[TicketKey | None, tuple[str, ...]]:
    by_number = {fold_ticket_no(t.ticket_no): t for t in sorted(tickets, key=lambda t: t.ticket_no)}
    for word in hinted_numbers(candidate.ticket_hint, candidate.user_to_user):
        if word in by_number:
            return by_number[word], ()
    hint = fold_ticket_no(candidate.ticket_hint or "")
    return None, ((f"信令带工单号 {hint[:64]}，但没有这张工单",) if hint else ())


def _header_link(candidate: LinkCandidate, ticket: TicketKey) -> ScoredLink:
    reasons = [f"信令带工单号 {ticket.ticket_no}，该工单存在"]
    point = _number(candidate, ticket)
    if point is not None and point.reason:
        reasons.append(point.reason)
    return ScoredLink(ticket.ticket_no, 100.0, LinkMethod.HEADER, tuple(reasons))


# ---------- 2. evidence ----------


def _evidence(candidate: LinkCandidate, ticket: TicketKey) -> ScoredLink | None:
    """Points and reasons of one ticket; None when something rules it out or nothing speaks for it."""
    number = _number(candidate, ticket)
    if number is None or ticket.accepted_at_ms is None:
        return None
    if candidate.direction is Direction.OUTBOUND:
        if not number.points or candidate.started_at_ms - ticket.accepted_at_ms > OUTBOUND_PAST_MS:
            return None
        points = [number, *_outbound(candidate, ticket, ticket.accepted_at_ms)]
    else:
        time = _inbound_time(candidate, ticket.accepted_at_ms)
        if time is None:
            return None
        points = [number, _agent(candidate, ticket), time]
    score = min(100.0, max(0.0, sum(p.points for p in points)))
    return ScoredLink(
        ticket.ticket_no, round(score, 1), LinkMethod.EVIDENCE, tuple(p.reason for p in points if p.reason)
    )


def _number(candidate: LinkCandidate, ticket: TicketKey) -> _Point | None:
    """Points for the phone number; 0 points when one side is unknown; None when they are two different numbers."""
    sides = (("来电号码", ticket.caller_number), ("联系电话", ticket.contact_phone))
    known = [(d, name, n) for name, n in sides if (d := number_distance(candidate.citizen_number, n)) is not None]
    if not known:
        return _Point(0, "对方号码未知" if not candidate.citizen_number else "工单没有号码")
    distance, name, number = min(known, key=lambda k: k[0])
    if distance == 0:
        return _Point(NUMBER_EQUAL, f"对方号码 {candidate.citizen_number} 与工单{name}相同（+{NUMBER_EQUAL:.0f}）")
    if distance == 1 and len(number) >= 7:
        text = f"对方号码 {candidate.citizen_number} 与工单{name} {number} 只差 1 位（+{NUMBER_NEAR:.0f}）"
        return _Point(NUMBER_NEAR, text)
    return None


def _agent(candidate: LinkCandidate, ticket: TicketKey) -> _Point:
    if not candidate.agent_no or not ticket.accepted_by_agent_no:
        return _Point(0, "")
    if candidate.agent_no == ticket.accepted_by_agent_no:
        return _Point(AGENT_EQUAL, f"通话坐席与受理工号同为 {candidate.agent_no}（+{AGENT_EQUAL:.0f}）")
    text = f"通话坐席 {candidate.agent_no} 与受理工号 {ticket.accepted_by_agent_no} 不同（{AGENT_OTHER:.0f}）"
    return _Point(AGENT_OTHER, text)


def _inbound_time(candidate: LinkCandidate, accepted_at_ms: int) -> _Point | None:
    """Best inside the call, falling to both ends of the window, against it nearby; None farther off."""
    start_ms, end_ms = candidate.started_at_ms, candidate.end_ms
    if start_ms <= accepted_at_ms <= end_ms:
        return _Point(TIME_BEST, f"受理时间 {say_short(accepted_at_ms)} 在通话之中（+{TIME_BEST:.0f}）")
    early = accepted_at_ms < start_ms
    away_ms = start_ms - accepted_at_ms if early else accepted_at_ms - end_ms
    limit_ms = BEFORE_CALL_MS if early else AFTER_CALL_MS
    if away_ms > NEARBY_MS:
        return None
    near = away_ms <= limit_ms
    points = round(TIME_BEST - (TIME_BEST - TIME_LEAST) * away_ms / limit_ms, 1) if near else TIME_NEARBY
    where = "通话开始前" if early else "通话结束后"
    return _Point(points, f"受理时间 {say_short(accepted_at_ms)} 在{where} {say_duration(away_ms)}（{points:+g}）")


def _outbound(candidate: LinkCandidate, ticket: TicketKey, accepted_at_ms: int) -> list[_Point]:
    """Ticket's state, time of its callback, agent, for a call we placed."""
    points = [_state(candidate, ticket), _callback_time(candidate, ticket.callback_done_at_ms)]
    if accepted_at_ms > candidate.started_at_ms + BEFORE_CALL_MS:
        text = f"受理时间 {say_short(accepted_at_ms)} 晚于本次呼出（{ACCEPTED_AFTER:.0f}）"
        points.append(_Point(ACCEPTED_AFTER, text))
    if candidate.agent_no and candidate.agent_no == ticket.accepted_by_agent_no:
        points.append(_Point(AGENT_EQUAL_OUTBOUND, f"受理工号也是 {candidate.agent_no}（+{AGENT_EQUAL_OUTBOUND:.0f}）"))
    return points


def finished_before(ticket: TicketKey, at_ms: int) -> bool:
    """Whether the ticket had a result or was closed by then. A result without any time counts as there."""
    done = [t for t in (ticket.result_received_at_ms, ticket.closed_at_ms) if t is not None]
    return min(done) <= at_ms if done else ticket.has_result


def outbound_type(ticket: TicketKey, *, started_at_ms: int, ended_at_ms: int) -> CallType:
    """通话类型 of an outbound call once its ticket is known: an open ticket is verified, a finished one called back."""
    done_at_ms = ticket.callback_done_at_ms
    called_back = done_at_ms is not None and started_at_ms - BEFORE_CALL_MS <= done_at_ms <= ended_at_ms + AFTER_CALL_MS
    return CallType.CALLBACK if called_back or finished_before(ticket, ended_at_ms) else CallType.VERIFY


def _state(candidate: LinkCandidate, ticket: TicketKey) -> _Point:
    """A finished ticket is called back, an open one verified. Before linking every outbound call counts as 回访,
    so an open ticket is no contradiction there; a call known as 核实 does contradict a finished ticket."""
    done = [t for t in (ticket.result_received_at_ms, ticket.closed_at_ms) if t is not None]
    if not finished_before(ticket, candidate.end_ms):
        return _Point(STATE_FITS, f"工单在呼出时尚在办理，可为核实（{STATE_FITS:+.0f}）")
    when = f"（{say_short(min(done))}）" if done else ""
    if candidate.call_type is CallType.VERIFY:
        return _Point(0, f"工单在核实前已有办理结果{when}")
    return _Point(STATE_FITS, f"工单在呼出前已有办理结果{when}，可为回访（{STATE_FITS:+.0f}）")


def _callback_time(candidate: LinkCandidate, done_at_ms: int | None) -> _Point:
    if candidate.call_type is CallType.VERIFY or done_at_ms is None:
        return _Point(0, "")
    said = f"工单回访时间 {say_short(done_at_ms)} "
    start_ms, end_ms = candidate.started_at_ms - BEFORE_CALL_MS, candidate.end_ms + AFTER_CALL_MS
    if start_ms <= done_at_ms <= end_ms:
        return _Point(TIME_BEST, f"{said}就在本次通话前后（+{TIME_BEST:.0f}）")
    if done_at_ms < start_ms:
        return _Point(CALLED_BACK_BEFORE, f"{said}早于本次通话，此前已回访过（{CALLED_BACK_BEFORE:.0f}）")
    if done_at_ms <= candidate.end_ms + CALLBACK_AFTER_MS:
        return _Point(TIME_LEAST, f"{said}在通话后一日之内（+{TIME_LEAST:.0f}）")
    return _Point(0, f"{said}在通话一日之后")
