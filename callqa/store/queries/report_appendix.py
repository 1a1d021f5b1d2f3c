"""Rows behind the report's appendices: faults noted in a month, imports, calls without transcript, revisions of scores."""

from collections.abc import Sequence

from sqlalchemy import exists, func
from sqlmodel import Session, col, select

from callqa.store.tables import AuditEntry, Call, EvaluationRevision, Ticket, TicketImport, TranscriptRow

MOST_FAULTS = 200


def faults_noted(session: Session, start_ms: int, end_ms: int) -> Sequence[AuditEntry]:
    """What could not be taken in, as it was noted in [start_ms, end_ms); the first MOST_FAULTS."""
    query = select(AuditEntry).where(
        AuditEntry.action == "ingest.fault", AuditEntry.at_ms >= start_ms, AuditEntry.at_ms < end_ms
    )
    return session.exec(query.order_by(col(AuditEntry.sequence)).limit(MOST_FAULTS)).all()


def imports_between(session: Session, start_ms: int, end_ms: int) -> Sequence[TicketImport]:
    """Ticket imports of [start_ms, end_ms), oldest first."""
    at = col(TicketImport.imported_at_ms)
    return session.exec(select(TicketImport).where(at >= start_ms, at < end_ms).order_by(at)).all()


def accepted_moments(session: Session, start_ms: int, end_ms: int) -> Sequence[int]:
    """When the tickets of [start_ms, end_ms) were accepted."""
    at = col(Ticket.accepted_at_ms)
    found = session.exec(select(Ticket.accepted_at_ms).where(at >= start_ms, at < end_ms))
    return [instant for instant in found if instant is not None]


def recorded_without_transcript(session: Session, start_ms: int, end_ms: int) -> int:
    """Answered calls of [start_ms, end_ms) with a recording and no transcript."""
    heard = exists().where(col(TranscriptRow.call_id) == col(Call.call_id))
    query = (
        select(func.count())
        .select_from(Call)
        .where(
            Call.outcome == "answered",
            Call.recording_status == "ok",
            Call.started_at_ms >= start_ms,
            Call.started_at_ms < end_ms,
            ~heard,
        )
    )
    return session.exec(query).one()


def revised(session: Session, evaluation_ids: Sequence[int]) -> dict[int, list[EvaluationRevision]]:
    """The revisions of some scores that have more than their first, in order."""
    found: dict[int, list[EvaluationRevision]] = {}
    query = select(EvaluationRevision).where(col(EvaluationRevision.evaluation_id).in_(evaluation_ids))
    for row in session.exec(query.order_by(col(EvaluationRevision.evaluation_id), col(EvaluationRevision.number))):
        found.setdefault(row.evaluation_id, []).append(row)
    return {evaluation_id: rows for evaluation_id, rows in found.items() if len(rows) > 1}
