"""Freeze a month's sampling frame 冻结抽样框: gather the candidates, build the frame, store it with its plan (sampling.md §3.1).

What is frozen stays: a month has one frame that is not void. It does not draw.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sqlmodel import Session

from callqa.errors import StateError
from callqa.periods import Month, say_instant
from callqa.scoring.frame import Frame, FrameCandidate, LeftOut, TicketTrace, build_frame, repeated
from callqa.scoring.plan import SamplingPlan
from callqa.scoring.plan_text import parse_plan
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries import sampling as queries
from callqa.store.queries.confidential import confidential_ids
from callqa.store.tables import Call, CheckRun, SamplingFrame, Ticket

REPEAT_LOOK_BACK_MS = 31 * 86_400_000  # a repeated complaint looks back 30 days (frame.repeated)
UNATTRIBUTED = ""  # key of counts["by_agent"] for calls of no known agent


def freeze(
    db: Database,
    month: Month,
    plan_text: str,
    *,
    actor: str,
    demo: bool = False,
    allow_partial: bool = False,
    now_ms: int,
) -> SamplingFrame:
    """Freeze the month with a plan. Raise RubricError for the plan, StateError when it cannot be frozen (again).

    A month that is not over is only frozen in a demo or with allow_partial, and says so ever after. Outside a demo, demo
    calls count as test calls.
    """
    plan = parse_plan(plan_text)
    partial = _check_time(month, now_ms, allowed=demo or allow_partial)
    with db.read() as session:
        candidates = load_candidates(session, month, demo=demo)
    frame = build_frame(candidates, month, plan)
    if not frame.entries:
        raise StateError(f"{month.label}没有可抽通话（接通 {len(candidates)} 通，均被剔除或属缺口），无法冻结抽样框")
    row = _row(frame, plan, demo=demo, partial=partial, actor=actor, now_ms=now_ms)
    with db.write() as session:
        _refuse_second(session, month)
        session.add(row)
        session.flush()
        detail = {
            "month": row.month,
            "frame_hash": row.frame_hash,
            "plan_hash": row.plan_hash,
            "n": len(frame.entries),
            "strata": {f"{agent}/{stratum}": size for (agent, stratum), size in sorted(frame.sizes.items())},
            "demo": demo,
            "partial": partial,
        }
        audit.append(session, actor=actor, action="sampling.freeze", subject=str(row.id), detail=detail, now_ms=now_ms)
    return row


def load_candidates(session: Session, month: Month, *, demo: bool) -> list[FrameCandidate]:
    """All connected calls of a month as frame candidates, as known now."""
    span = (month.start_ms, month.end_ms)
    tickets = queries.linked_tickets(session, *span)
    around = queries.tickets_accepted(session, month.start_ms - REPEAT_LOOK_BACK_MS, month.end_ms)
    known = {ticket.ticket_no: ticket for ticket in around}
    known.update({ticket.ticket_no: ticket for linked in tickets.values() for ticket in linked})
    repeats = repeated(trace_of(ticket) for ticket in known.values())
    runs = queries.latest_check_runs(session, *span)
    secret = confidential_ids(session)
    return [
        _candidate(call, tickets.get(call.call_id, ()), repeats, runs, demo=demo, secret=call.call_id in secret)
        for call in queries.answered_calls(session, *span)
    ]


def _check_time(month: Month, now_ms: int, *, allowed: bool) -> bool:
    """Whether the frame is partial. Raise StateError where the month is not over and that is not allowed."""
    if now_ms < month.start_ms:
        raise StateError(f"{month.label}还没有开始，不能冻结抽样框")
    if now_ms >= month.end_ms:
        return False
    if not allowed:
        raise StateError(f"{month.label}尚未结束，请在 {say_instant(month.end_ms)} 之后冻结抽样框")
    return True


def _refuse_second(session: Session, month: Month) -> None:
    existing = queries.active_frame(session, str(month))
    if existing is not None:
        raise StateError(
            f"{month.label}的抽样框已于 {say_instant(existing.frozen_at_ms)} 由 {existing.frozen_by} 冻结；"
            "冻结后不再增删，确需重来请在抽检页两人确认作废"
        )


def _candidate(
    call: Call,
    tickets: Sequence[Ticket],
    repeats: frozenset[str],
    runs: Mapping[str, CheckRun],
    *,
    demo: bool,
    secret: bool,
) -> FrameCandidate:
    run = runs.get(call.call_id)
    return FrameCandidate(
        call_id=call.call_id,
        agent_no=call.agent_no if call.attribution_source not in ("pending", "unknown") else None,
        started_at_ms=call.started_at_ms,
        duration_ms=call.duration_ms or 0,
        connected=call.outcome == "answered",
        recording_status=call.recording_status,
        sha256=call.recording_sha256,
        call_type=call.call_type,
        excluded_as=call.excluded_as
        or ("test_call" if call.demo and not demo else None)
        or ("confidential" if secret else None),
        satisfaction=tuple(ticket.satisfaction for ticket in tickets if ticket.satisfaction),
        repeat_complaint=any(ticket.ticket_no in repeats for ticket in tickets),
        urgent_flag=any(ticket.urgent_flag for ticket in tickets),
        suspected_fatal=run is not None and run.suspected_fatal,
    )


def trace_of(ticket: Ticket) -> TicketTrace:
    """What tells whether a ticket repeats an earlier one."""
    return TicketTrace(
        ticket.ticket_no,
        ticket.caller_number,
        ticket.location,
        ticket.matter_category or "",
        ticket.accepted_at_ms,
        ticket.parent_ticket_no,
    )


def _row(frame: Frame, plan: SamplingPlan, *, demo: bool, partial: bool, actor: str, now_ms: int) -> SamplingFrame:
    return SamplingFrame(
        month=frame.month,
        demo=demo,
        partial=partial,
        state="frozen",
        frozen_at_ms=now_ms,
        frozen_by=actor,
        frame_text=frame.text,
        frame_hash=frame.frame_hash,
        plan_json=plan.plan_json,
        plan_hash=plan.plan_hash,
        counts=count_frame(frame),
    )


def count_frame(frame: Frame) -> dict[str, object]:
    """The counts stored with a frame: whole, by agent (with N_h by stratum), and every call left out with its reason."""
    agents = sorted(
        {entry.agent_no for entry in frame.entries}
        | {one.agent_no or UNATTRIBUTED for one in (*frame.exclusions, *frame.gaps)}
    )
    by_agent = {}
    for agent_no in agents:
        sizes = {str(stratum): size for (agent, stratum), size in sorted(frame.sizes.items()) if agent == agent_no}
        exclusions = [one for one in frame.exclusions if (one.agent_no or UNATTRIBUTED) == agent_no]
        gaps = [one for one in frame.gaps if (one.agent_no or UNATTRIBUTED) == agent_no]
        by_agent[agent_no] = {**_counts(sum(sizes.values()), exclusions, gaps), "strata": sizes}
    return {
        **_counts(len(frame.entries), frame.exclusions, frame.gaps),
        "by_agent": by_agent,
        "left_out": {one.call_id: one.code for one in (*frame.exclusions, *frame.gaps)},
    }


def _counts(framed: int, exclusions: Iterable[LeftOut], gaps: Iterable[LeftOut]) -> dict[str, object]:
    excluded, missing = Counter(x.code for x in exclusions), Counter(x.code for x in gaps)
    return {
        "connected": framed + excluded.total() + missing.total(),
        "exclusions": dict(sorted(excluded.items())),
        "gaps": dict(sorted(missing.items())),
        "frame": framed,
    }
