"""Rows of calls, tickets and links for `link`: what it reads, and how its decision is written. No decision here."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, or_
from sqlmodel import Session, col, select

from callqa.matching import ABROAD
from callqa.store.db import Database
from callqa.store.tables import Call, CallProgress, Evaluation, Ticket, TicketImport, TicketLink
from callqa.tickets.linking import (
    NEARBY_MS,
    LinkCandidate,
    LinkDecision,
    LinkState,
    ScoredLink,
    TicketKey,
    hinted_numbers,
)
from callqa.units import CallType, Direction


def links_of(session: Session, call_id: str) -> list[TicketLink]:
    """All link rows of a call by ticket number."""
    query = select(TicketLink).where(TicketLink.call_id == call_id).order_by(col(TicketLink.ticket_no))
    return list(session.exec(query))


def by_persons(rows: Sequence[TicketLink]) -> tuple[TicketLink, ...]:
    """The rows a person decided on."""
    return tuple(r for r in rows if r.decided_by is not None)


def is_evaluated(session: Session, call_id: str) -> bool:
    """A call that is being scored keeps its type: the items of its form depend on it."""
    return session.exec(select(Evaluation.id).where(Evaluation.call_id == call_id).limit(1)).first() is not None


def candidate_of(call: Call) -> LinkCandidate:
    """The call as linking sees it."""
    direction = Direction(call.direction)
    return LinkCandidate(
        call_id=call.call_id,
        # 核实 follows from the link (see _call_type), so it may not argue for one: running twice gives the same.
        call_type=CallType.INBOUND if direction is Direction.INBOUND else CallType.CALLBACK,
        direction=direction,
        citizen_number=call.citizen_number,
        agent_no=call.agent_no,
        started_at_ms=call.started_at_ms,
        answered_at_ms=call.answered_at_ms,
        ended_at_ms=call.ended_at_ms,
        ticket_hint=call.ticket_hint,
        user_to_user=call.user_to_user,
    )


def key_of(ticket: Ticket) -> TicketKey:
    """The ticket as linking sees it."""
    return TicketKey(
        ticket_no=ticket.ticket_no,
        caller_number=ticket.caller_number,
        contact_phone=ticket.contact_phone,
        accepted_at_ms=ticket.accepted_at_ms,
        accepted_by_agent_no=ticket.accepted_by_agent_no,
        result_received_at_ms=ticket.result_received_at_ms,
        closed_at_ms=ticket.closed_at_ms,
        has_result=bool(ticket.result.strip()),
        callback_done_at_ms=ticket.callback_done_at_ms,
    )


def nearby_tickets(session: Session, call: Call) -> tuple[TicketKey, ...]:
    """Every ticket that can get points: named by the call, with its number, or (inbound) accepted around it."""
    wanted: list[ColumnElement[bool]] = []
    hints = hinted_numbers(call.ticket_hint, call.user_to_user)
    if hints:
        wanted.append(func.upper(col(Ticket.ticket_no)).in_(hints))
    if call.citizen_number:
        for column in (col(Ticket.caller_number), col(Ticket.contact_phone)):
            wanted.append(column.in_(_ways_to_store(call.citizen_number)))
            if len(call.citizen_number) in (7, 8):
                wanted.append(column.like(f"0%{call.citizen_number}"))
    if call.direction == "inbound":
        end_ms = call.ended_at_ms or call.answered_at_ms or call.started_at_ms
        wanted.append(col(Ticket.accepted_at_ms).between(call.started_at_ms - NEARBY_MS, end_ms + NEARBY_MS))
    if not wanted:
        return ()
    return tuple(key_of(t) for t in session.exec(select(Ticket).where(or_(*wanted))))


def _ways_to_store(number: str) -> tuple[str, ...]:
    """A landline may be stored without its area code of three or four digits."""
    if number.startswith("0") and not number.startswith(ABROAD):
        return tuple(n for n in (number, number[3:], number[4:]) if len(n) in (7, 8) or n == number)
    return (number,)


def open_calls(session: Session, since_ms: int, limit: int) -> list[str]:
    """Answered calls without a link whose link stage was last touched before the newest ticket import."""
    newest_ms = session.exec(select(func.max(TicketImport.imported_at_ms))).one()
    if newest_ms is None:
        return []
    linked = select(TicketLink.call_id).where(TicketLink.state == "linked")
    tried = select(CallProgress.call_id).where(
        CallProgress.stage == "link",
        or_(col(CallProgress.state) != "done", col(CallProgress.updated_at_ms) > newest_ms),
    )
    query = (
        select(Call.call_id)
        .where(
            Call.outcome == "answered",
            col(Call.deleted_at_ms).is_(None),
            Call.started_at_ms > since_ms,
            col(Call.call_id).not_in(linked),
            col(Call.call_id).not_in(tried),
        )
        .order_by(col(Call.call_id).desc())
        .limit(limit)
    )
    return list(session.exec(query))


def outbound_with_newer_ticket(session: Session, since_ms: int) -> list[tuple[Call, Ticket]]:
    """Linked outbound calls without a score whose ticket was imported after their link stage was last touched."""
    query = (
        select(Call, Ticket)
        .join(TicketLink, col(TicketLink.call_id) == col(Call.call_id))
        .join(Ticket, col(Ticket.ticket_no) == col(TicketLink.ticket_no))
        .join(TicketImport, col(TicketImport.id) == col(Ticket.import_id))
        .join(CallProgress, col(CallProgress.call_id) == col(Call.call_id))
        .where(
            Call.direction == "outbound",
            Call.started_at_ms > since_ms,
            TicketLink.state == "linked",
            CallProgress.stage == "link",
            col(CallProgress.updated_at_ms) < col(TicketImport.imported_at_ms),
            col(Call.call_id).not_in(select(Evaluation.call_id)),
        )
        .order_by(col(Call.call_id), col(Ticket.ticket_no))
    )
    return list(session.exec(query).all())


# ---------- writing ----------


def same_links(rows: Sequence[TicketLink], decision: LinkDecision) -> bool:
    """Whether the machine's rows already say what the decision says."""
    stored = {(r.ticket_no, r.state, r.method, r.score, tuple(r.reasons)) for r in rows if r.decided_by is None}
    return stored == {(s.ticket_no, decision.state.value, s.method.value, s.score, s.reasons) for s in decision.links}


def replace_links(session: Session, call_id: str, decision: LinkDecision, now_ms: int) -> None:
    """Make the machine's rows of a call those of the decision; a person's rows stay."""
    rows = {r.ticket_no: r for r in links_of(session, call_id) if r.decided_by is None}
    for scored in decision.links:
        row = rows.pop(scored.ticket_no, None) or TicketLink(
            call_id=call_id, ticket_no=scored.ticket_no, state="doubtful", method="evidence", score=0, decided_at_ms=0
        )
        _fill(row, decision.state, scored, now_ms)
        session.add(row)
    for gone in rows.values():
        session.delete(gone)


def _fill(row: TicketLink, state: LinkState, scored: ScoredLink, now_ms: int) -> None:
    row.state, row.method, row.score = state.value, scored.method.value, scored.score
    row.reasons = list(scored.reasons)
    row.decided_at_ms = now_ms


def settle(session: Session, row: TicketLink, state: str, reason: str, actor: str, now_ms: int) -> None:
    """Write a person's decision on one row."""
    row.state, row.decided_by, row.decided_at_ms = state, actor, now_ms
    row.reasons = [*row.reasons, reason]
    session.add(row)


def note_tried(db: Database, call_ids: Sequence[str], now_ms: int) -> None:
    """Note that the links of these calls were looked at now."""
    with db.write() as session:
        for row in session.exec(
            select(CallProgress).where(CallProgress.stage == "link", col(CallProgress.call_id).in_(call_ids))
        ):
            row.updated_at_ms = max(now_ms, row.updated_at_ms)
            session.add(row)
