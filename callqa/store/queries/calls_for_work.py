"""Which calls the worker has to do something about. Reading only; the reconciler in `pipeline` acts on it."""

from collections.abc import Collection, Sequence

from sqlalchemy import func, or_
from sqlmodel import Session, col, select

from callqa.store.tables import Call, CallProgress, Ticket, TicketImport, TicketLink, TranscriptRow


def calls_with_wanted_stages(session: Session, limit: int) -> Sequence[tuple[str, int]]:
    """(call_id, attempts of all its stages) of calls with a stage wanted, oldest call first.

    A check alone is only work once the transcription is done: until then there is nothing to check.
    """
    wanted = select(CallProgress.call_id).where(
        CallProgress.state == "wanted",
        or_(
            col(CallProgress.stage) != "check",
            col(CallProgress.call_id).in_(
                select(CallProgress.call_id).where(CallProgress.stage == "transcribe", CallProgress.state == "done")
            ),
        ),
    )
    query = (
        select(CallProgress.call_id, func.sum(CallProgress.attempts))
        .where(col(CallProgress.call_id).in_(wanted))
        .group_by(col(CallProgress.call_id))
        .order_by(col(CallProgress.call_id))  # call_ids sort by time
        .limit(limit)
    )
    return [(call_id, int(attempts)) for call_id, attempts in session.exec(query)]


def calls_to_transcribe(session: Session, limit: int) -> Sequence[str]:
    """Calls whose transcription is wanted, oldest first."""
    query = select(CallProgress.call_id).where(CallProgress.stage == "transcribe", CallProgress.state == "wanted")
    return session.exec(query.order_by(col(CallProgress.call_id)).limit(limit)).all()


def calls_whose_ticket_changed(session: Session, since_ms: int, limit: int) -> Sequence[str]:
    """Calls checked before their present link was decided, its ticket was imported again or a person corrected the
    transcript. Only links, imports and corrections from since_ms on are looked at."""
    checked = (
        select(CallProgress.call_id)
        .join(TicketLink, col(TicketLink.call_id) == col(CallProgress.call_id))
        .where(CallProgress.stage == "check", CallProgress.state == "done")
        .limit(limit)
    )
    newly_linked = checked.where(
        col(TicketLink.decided_at_ms) >= since_ms, col(TicketLink.decided_at_ms) > col(CallProgress.updated_at_ms)
    )
    newly_imported = (
        checked.join(Ticket, col(Ticket.ticket_no) == col(TicketLink.ticket_no))
        .join(TicketImport, col(TicketImport.id) == col(Ticket.import_id))
        .where(
            TicketLink.state == "linked",
            col(TicketImport.imported_at_ms) >= since_ms,
            col(TicketImport.imported_at_ms) > col(CallProgress.updated_at_ms),
        )
    )
    newly_corrected = (
        select(CallProgress.call_id)
        .join(TranscriptRow, col(TranscriptRow.call_id) == col(CallProgress.call_id))
        .where(
            CallProgress.stage == "check",
            CallProgress.state == "done",
            TranscriptRow.author != "",
            col(TranscriptRow.created_at_ms) >= since_ms,
            col(TranscriptRow.created_at_ms) > col(CallProgress.updated_at_ms),
        )
        .limit(limit)
    )
    return sorted({*session.exec(newly_linked), *session.exec(newly_imported), *session.exec(newly_corrected)})


def newest_accepted_ms(session: Session, now_ms: int) -> int | None:
    """When the newest ticket that is here was accepted; a date in the future is a slip of the pen and counts for nothing."""
    return session.exec(select(func.max(Ticket.accepted_at_ms)).where(col(Ticket.accepted_at_ms) <= now_ms)).one()


def calls_whose_tickets_came(
    session: Session, since_ms: int, limit: int, *, now_ms: int, wait_ms: int
) -> Sequence[str]:
    """Calls without a ticket that were checked when none could be expected, and now one is: tickets accepted after their end
    were imported since the check, or wait_ms have passed since their end. Only imports and ends of waiting from since_ms on
    are looked at."""
    imported_ms = session.exec(select(func.max(TicketImport.imported_at_ms))).one()
    ended = func.coalesce(col(Call.ended_at_ms), col(Call.started_at_ms))
    linked = select(TicketLink.call_id).where(TicketLink.state == "linked")
    checked_early = (
        select(CallProgress.call_id)
        .join(Call, col(Call.call_id) == col(CallProgress.call_id))
        .where(
            CallProgress.stage == "check",
            CallProgress.state == "done",
            col(CallProgress.updated_at_ms) < ended + wait_ms,
            col(CallProgress.call_id).not_in(linked),
        )
        .limit(limit)
    )
    found = {*session.exec(checked_early.where(ended + wait_ms <= now_ms, ended + wait_ms >= since_ms))}
    newest_ms = newest_accepted_ms(session, now_ms)
    if imported_ms is not None and imported_ms >= since_ms and newest_ms is not None:
        new = checked_early.where(col(CallProgress.updated_at_ms) < imported_ms, ended <= newest_ms)
        found |= {*session.exec(new)}
    return sorted(found)


def calls_awaiting_a_recording(session: Session, ended_before_ms: int) -> Sequence[Call]:
    """Answered calls that ended before that instant and whose master never came."""
    return session.exec(
        select(Call).where(
            Call.outcome == "answered",
            Call.recording_status == "pending",
            col(Call.ended_at_ms).is_not(None),
            col(Call.ended_at_ms) < ended_before_ms,
        )
    ).all()


def recorded_calls(session: Session, call_ids: Collection[str]) -> Sequence[Call]:
    """Those of the calls whose master is in place and agrees with its hash."""
    return session.exec(
        select(Call).where(
            col(Call.call_id).in_(call_ids), Call.recording_status == "ok", col(Call.deleted_at_ms).is_(None)
        )
    ).all()


def known_call_ids(session: Session, call_ids: Collection[str]) -> set[str]:
    """Those of the ids that are complete already: nothing to fetch from their sidecar."""
    return set(
        session.exec(
            select(Call.call_id).where(
                col(Call.call_id).in_(call_ids), col(Call.recording_status).in_(("ok", "missing", "corrupt"))
            )
        )
    )
