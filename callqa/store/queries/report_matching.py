"""Rows behind chapter seven of the monthly report: tickets of a month with their links, states of checks, decisions on hints.

Reading only; columns instead of rows where a month has tens of thousands of them.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, and_, func, or_
from sqlmodel import Session, col, select

from callqa.store.queries.sampling import DONE_STATUSES
from callqa.store.tables import (
    Call,
    CheckResultRow,
    CheckRun,
    Evaluation,
    SuggestionDecision,
    SuggestionRow,
    Ticket,
    TicketLink,
)

_STEPS = (Ticket.accepted_at_ms, Ticket.due_at_ms, Ticket.closed_at_ms, Ticket.callback_done_at_ms)


def tickets_with_a_step(session: Session, start_ms: int, end_ms: int) -> Sequence[Ticket]:
    """Tickets accepted, due, closed or called back in [start_ms, end_ms), and those linked to a call of it."""
    inside = [and_(col(step) >= start_ms, col(step) < end_ms) for step in _STEPS]
    linked = (
        select(TicketLink.ticket_no)
        .join(Call, col(Call.call_id) == col(TicketLink.call_id))
        .where(TicketLink.state == "linked", Call.started_at_ms >= start_ms, Call.started_at_ms < end_ms)
    )
    query = select(Ticket).where(or_(*inside, col(Ticket.ticket_no).in_(linked)))
    return session.exec(query.order_by(Ticket.ticket_no)).all()


def links_around(session: Session, start_ms: int, end_ms: int) -> Sequence[TicketLink]:
    """Links of calls that started in [start_ms, end_ms) and of tickets accepted or called back in it, by call and ticket."""
    inside = [
        and_(col(moment) >= start_ms, col(moment) < end_ms)
        for moment in (Call.started_at_ms, Ticket.accepted_at_ms, Ticket.callback_done_at_ms)
    ]
    query = (
        select(TicketLink)
        .join(Call, col(Call.call_id) == col(TicketLink.call_id))
        .join(Ticket, col(Ticket.ticket_no) == col(TicketLink.ticket_no))
        .where(TicketLink.state != "rejected", or_(*inside))
        .order_by(TicketLink.call_id, TicketLink.ticket_no)
    )
    return session.exec(query).all()


def calls_outside(session: Session, start_ms: int, end_ms: int) -> Sequence[Call]:
    """Calls of another time that are linked to a ticket accepted or called back in [start_ms, end_ms)."""
    accepted, called_back = col(Ticket.accepted_at_ms), col(Ticket.callback_done_at_ms)
    linked = (
        select(TicketLink.call_id)
        .join(Ticket, col(Ticket.ticket_no) == col(TicketLink.ticket_no))
        .where(
            TicketLink.state != "rejected",
            or_(
                and_(accepted >= start_ms, accepted < end_ms),
                and_(called_back >= start_ms, called_back < end_ms),
            ),
        )
    )
    outside = or_(col(Call.started_at_ms) < start_ms, col(Call.started_at_ms) >= end_ms)
    return session.exec(select(Call).where(col(Call.call_id).in_(linked), outside).order_by(Call.call_id)).all()


def check_states(
    session: Session, start_ms: int, end_ms: int, check_ids: Collection[str]
) -> Sequence[tuple[str, str, str, str]]:
    """(call_id, rubric_hash, check_id, state) of the newest pre-score of each call that started in [start_ms, end_ms)."""
    newest = (
        select(func.max(CheckRun.id))
        .join(Call, col(Call.call_id) == col(CheckRun.call_id))
        .where(Call.started_at_ms >= start_ms, Call.started_at_ms < end_ms)
        .group_by(col(CheckRun.call_id))
    )
    query = (
        select(CheckRun.call_id, CheckRun.rubric_hash, CheckResultRow.check_id, CheckResultRow.state)
        .join(CheckResultRow, col(CheckResultRow.check_run_id) == col(CheckRun.id))
        .where(col(CheckRun.id).in_(newest), col(CheckResultRow.check_id).in_(check_ids))
        .order_by(CheckRun.call_id, CheckResultRow.check_id)
    )
    return session.exec(query).all()


def scored_states(
    session: Session, start_ms: int, end_ms: int, check_ids: Collection[str]
) -> Sequence[tuple[str, str, str, str]]:
    """(call_id, rubric_hash, check_id, state) of the pre-score that each submitted first evaluation was made with."""
    query = (
        select(Evaluation.call_id, CheckRun.rubric_hash, CheckResultRow.check_id, CheckResultRow.state)
        .join(CheckRun, col(CheckRun.id) == col(Evaluation.check_run_id))
        .join(CheckResultRow, col(CheckResultRow.check_run_id) == col(CheckRun.id))
        .join(Call, col(Call.call_id) == col(Evaluation.call_id))
        .where(*_done(start_ms, end_ms), col(CheckResultRow.check_id).in_(check_ids))
        .order_by(Evaluation.call_id, CheckResultRow.check_id)
    )
    return session.exec(query).all()


def decisions_on(
    session: Session, start_ms: int, end_ms: int, check_ids: Collection[str]
) -> Sequence[tuple[str, str, str]]:
    """(call_id, check_id, accepted | rejected): what submitted first evaluations made of suggestions of these checks."""
    query = (
        select(Evaluation.call_id, SuggestionRow.check_id, SuggestionDecision.decision)
        .join(SuggestionDecision, col(SuggestionDecision.evaluation_id) == col(Evaluation.id))
        .join(SuggestionRow, col(SuggestionRow.id) == col(SuggestionDecision.suggestion_id))
        .join(Call, col(Call.call_id) == col(Evaluation.call_id))
        .where(*_done(start_ms, end_ms), col(SuggestionRow.check_id).in_(check_ids))
        .order_by(Evaluation.call_id, SuggestionRow.check_id)
    )
    return session.exec(query).all()


def rubrics_used(session: Session, start_ms: int, end_ms: int) -> frozenset[str]:
    """Rubric versions that calls of a stretch of time were pre-scored by."""
    query = (
        select(CheckRun.rubric_hash)
        .join(Call, col(Call.call_id) == col(CheckRun.call_id))
        .where(Call.started_at_ms >= start_ms, Call.started_at_ms < end_ms)
        .distinct()
    )
    return frozenset(session.exec(query))


def first_call_ms(session: Session) -> int | None:
    """When the first call that is known started."""
    return session.exec(select(func.min(Call.started_at_ms))).one()


def _done(start_ms: int, end_ms: int) -> tuple[ColumnElement[bool], ...]:
    return (
        col(Evaluation.kind) == "first",
        col(Evaluation.status).in_(DONE_STATUSES),
        col(Call.started_at_ms) >= start_ms,
        col(Call.started_at_ms) < end_ms,
    )
