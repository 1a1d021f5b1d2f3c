"""Rows behind the assessment: confirmed fatal findings, second scores, shifts and who was there, cases, earlier reports."""

from collections.abc import Sequence

from sqlalchemy import func
from sqlmodel import Session, col, select

from callqa.store.tables import (
    Call,
    CaseStudy,
    Evaluation,
    EvaluationItem,
    FatalFinding,
    ReportRow,
    RosterEntry,
    SeatLogin,
)

SECOND_DONE = ("submitted", "finalized")


def confirmed_fatals(session: Session, start_ms: int, end_ms: int) -> Sequence[tuple[FatalFinding, Call]]:
    """Findings with a second person in final first scores of calls that started in [start_ms, end_ms), by call."""
    query = (
        select(FatalFinding, Call)
        .join(Evaluation, col(Evaluation.id) == col(FatalFinding.evaluation_id))
        .join(Call, col(Call.call_id) == col(Evaluation.call_id))
        .where(
            Evaluation.kind == "first",
            Evaluation.status == "finalized",
            col(FatalFinding.second_confirmed_by).is_not(None),
            Call.started_at_ms >= start_ms,
            Call.started_at_ms < end_ms,
        )
        .order_by(Call.call_id, FatalFinding.fatal_id)
    )
    return session.exec(query).all()


def second_faults(session: Session, start_ms: int, end_ms: int) -> Sequence[tuple[str, str, int, int]]:
    """(call_id, item_id, evaluator, that of the first score): where another person's card took points off an item too."""
    first = select(Evaluation.call_id, Evaluation.evaluator_id).where(Evaluation.kind == "first").subquery()
    query = (
        select(Evaluation.call_id, EvaluationItem.item_id, Evaluation.evaluator_id, first.c.evaluator_id)
        .join(EvaluationItem, col(EvaluationItem.evaluation_id) == col(Evaluation.id))
        .join(Call, col(Call.call_id) == col(Evaluation.call_id))
        .join(first, first.c.call_id == col(Evaluation.call_id))
        .where(
            Evaluation.kind != "first",
            col(Evaluation.status).in_(SECOND_DONE),
            col(EvaluationItem.points) < col(EvaluationItem.max_points),
            Call.started_at_ms >= start_ms,
            Call.started_at_ms < end_ms,
        )
        .order_by(Evaluation.call_id, EvaluationItem.item_id, col(Evaluation.evaluator_id))
    )
    return session.exec(query).all()


def shifts_between(session: Session, start_ms: int, end_ms: int) -> Sequence[RosterEntry]:
    """Rostered shifts that began in [start_ms, end_ms)."""
    began = col(RosterEntry.start_at_ms)
    return session.exec(select(RosterEntry).where(began >= start_ms, began < end_ms)).all()


def logins_between(session: Session, start_ms: int, end_ms: int) -> Sequence[SeatLogin]:
    """Sign-ins that overlap [start_ms, end_ms); an open one reaches on."""
    ended = func.coalesce(col(SeatLogin.ended_at_ms), end_ms)
    query = select(SeatLogin).where(col(SeatLogin.started_at_ms) < end_ms, ended >= start_ms)
    return session.exec(query).all()


def exemplary_agents(session: Session, start_ms: int, end_ms: int) -> Sequence[str]:
    """The agent of every exemplary case that is kept, of calls of a stretch of time; one entry a case."""
    query = (
        select(Call.agent_no)
        .join(CaseStudy, col(CaseStudy.call_id) == col(Call.call_id))
        .where(
            CaseStudy.kind == "exemplary",
            col(CaseStudy.removed_at_ms).is_(None),
            Call.started_at_ms >= start_ms,
            Call.started_at_ms < end_ms,
        )
    )
    return [agent_no for agent_no in session.exec(query) if agent_no]


def newest_report(session: Session, month: str, *, demo: bool) -> ReportRow | None:
    """A month's newest version of the same kind."""
    query = select(ReportRow).where(ReportRow.month == month, col(ReportRow.demo).is_(demo))
    return session.exec(query.order_by(col(ReportRow.version).desc()).limit(1)).first()
