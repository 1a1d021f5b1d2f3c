"""Rows behind the monthly report. Reading only; what they mean is decided in `usecases/report_facts.py` and `reports/`."""

from collections.abc import Collection, Sequence
from typing import TypeVar

from sqlmodel import Session, col, select

from callqa.store.queries.sampling import DONE_STATUSES
from callqa.store.tables import (
    Account,
    Appeal,
    Call,
    Deduction,
    Evaluation,
    EvaluationItem,
    EvaluationRevision,
    FatalFinding,
    ReportRow,
    ReportText,
    RosterEntry,
    RubricVersion,
    SamplingFrame,
    SuggestionDecision,
    SuggestionRow,
    Ticket,
)

Part = TypeVar("Part", Appeal, EvaluationItem, EvaluationRevision, Deduction, FatalFinding, SuggestionDecision)


def revealed_frames(session: Session, first_month: str, last_month: str, *, demo: bool) -> Sequence[SamplingFrame]:
    """Frames with a sample, of the months first to last (text order is time order), oldest first."""
    return session.exec(
        select(SamplingFrame)
        .where(
            SamplingFrame.month >= first_month,
            SamplingFrame.month <= last_month,
            SamplingFrame.state == "revealed",
            SamplingFrame.demo == demo,
        )
        .order_by(SamplingFrame.month, col(SamplingFrame.id))
    ).all()


def calls_by_id(session: Session, start_ms: int, end_ms: int) -> dict[str, Call]:
    """Every call that started in [start_ms, end_ms), any outcome, by call_id."""
    rows = session.exec(select(Call).where(Call.started_at_ms >= start_ms, Call.started_at_ms < end_ms))
    return {call.call_id: call for call in rows}


def done_evaluations(session: Session, start_ms: int, end_ms: int) -> dict[str, Evaluation]:
    """The leader's submitted evaluations of the calls of a stretch of time, by call_id."""
    rows = session.exec(
        select(Evaluation)
        .join(Call, col(Call.call_id) == col(Evaluation.call_id))
        .where(
            Evaluation.kind == "first",
            col(Evaluation.status).in_(DONE_STATUSES),
            Call.started_at_ms >= start_ms,
            Call.started_at_ms < end_ms,
        )
    )
    return {evaluation.call_id: evaluation for evaluation in rows}


def parts_of(session: Session, table: type[Part], evaluation_ids: Collection[int]) -> dict[int, list[Part]]:
    """Rows of a part of evaluations (items, deductions, findings, decisions), by evaluation, in order of entry."""
    rows = session.exec(select(table).where(col(table.evaluation_id).in_(evaluation_ids)).order_by(col(table.id)))
    found: dict[int, list[Part]] = {}
    for row in rows:
        found.setdefault(row.evaluation_id, []).append(row)
    return found


def suggestions_of(session: Session, check_run_ids: Collection[int]) -> Sequence[SuggestionRow]:
    """All suggestions of some pre-scores."""
    return session.exec(
        select(SuggestionRow).where(col(SuggestionRow.check_run_id).in_(check_run_ids)).order_by(col(SuggestionRow.id))
    ).all()


def roster_between(session: Session, start_ms: int, end_ms: int) -> Sequence[RosterEntry]:
    """Roster entries that overlap [start_ms, end_ms)."""
    return session.exec(
        select(RosterEntry)
        .where(RosterEntry.start_at_ms < end_ms, RosterEntry.end_at_ms > start_ms)
        .order_by(col(RosterEntry.start_at_ms))
    ).all()


def tickets_touching(session: Session, start_ms: int, end_ms: int) -> Sequence[Ticket]:
    """Tickets due, closed or called back in [start_ms, end_ms)."""
    moments = (col(Ticket.due_at_ms), col(Ticket.closed_at_ms), col(Ticket.callback_done_at_ms))
    inside = [(moment >= start_ms) & (moment < end_ms) for moment in moments]
    return session.exec(select(Ticket).where(inside[0] | inside[1] | inside[2])).all()


def rubric_versions(session: Session) -> dict[str, RubricVersion]:
    """All rubric versions by hash."""
    return {row.rubric_hash: row for row in session.exec(select(RubricVersion))}


def accounts(session: Session) -> dict[int, Account]:
    """All accounts by id."""
    return {row.id: row for row in session.exec(select(Account)) if row.id is not None}


def texts_of(session: Session, month: str) -> dict[str, str]:
    """The leader's texts of a month, by slot; empty ones left out."""
    rows = session.exec(select(ReportText).where(ReportText.month == month))
    return {row.slot: row.text for row in rows if row.text.strip()}


def latest_report(session: Session, month: str) -> ReportRow | None:
    """A month's newest report version."""
    return session.exec(
        select(ReportRow).where(ReportRow.month == month).order_by(col(ReportRow.version).desc()).limit(1)
    ).first()
