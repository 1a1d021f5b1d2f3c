"""Link one call to its ticket, by machine or by a person, and try open calls again when tickets arrive later.

A person's decision on a call and ticket is never overridden: an accepted link stays, a rejected ticket is not proposed
again. Rows of the machine (decided_by empty) are replaced as evidence changes; a row that does not change is not
touched, so that its decided_at_ms says when the present link came about.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, func, or_
from sqlmodel import Session, col, select

from callqa.errors import CallqaError, ConflictError
from callqa.store import audit
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
    outbound_type,
)
from callqa.tickets.linking import link as decide
from callqa.units import CallType, Direction
from callqa.usecases.attribute import load_call, load_version

log = logging.getLogger(__name__)

RELINK_DAYS = 62  # a month's report may still take in tickets of the whole month before
RELINK_BATCH = 500


@dataclass(frozen=True, slots=True)
class LinkOutcome:
    """What is stored now. state: of the call as a whole. changed: whether this run wrote anything."""

    call_id: str
    state: LinkState
    ticket_nos: tuple[str, ...]
    changed: bool


@dataclass(frozen=True, slots=True)
class Relinked:
    """What one round over open calls brought."""

    looked_at: int
    linked: int
    doubtful: int
    changed: tuple[str, ...]  # call_ids whose links changed: their checks should run again


def link(db: Database, call_id: str, *, now_ms: int) -> LinkOutcome:
    """Link one call by header or evidence. Raise ConflictError when the call changed meanwhile."""
    with db.read() as session:
        call = load_call(session, call_id)
        rows = _links(session, call_id)
        decided = _persons(rows)
        accepted = tuple(r.ticket_no for r in decided if r.state == "linked")
        if accepted:
            return LinkOutcome(call_id, LinkState.LINKED, accepted, changed=False)
        rejected = {r.ticket_no for r in decided if r.state == "rejected"}
        keys = tuple(k for k in _nearby_tickets(session, call) if k.ticket_no not in rejected)
        evaluated = _evaluated(session, call_id)
    candidate = _candidate(call)
    decision = decide(candidate, keys)
    call_type = call.call_type if evaluated else _call_type(call, decision, keys)
    changed = not _same(rows, decision) or call_type != call.call_type
    if changed:
        with db.write() as session:
            row = load_version(session, call_id, call.version)
            if {r.ticket_no for r in _persons(_links(session, call_id))} != {r.ticket_no for r in decided}:
                raise ConflictError(f"通话 {call_id} 的关联刚被人工处理过，请重试")
            _replace(session, call_id, decision, now_ms)
            if row.call_type != call_type:
                row.call_type, row.version = call_type, row.version + 1
                session.add(row)
    return LinkOutcome(call_id, decision.state, tuple(s.ticket_no for s in decision.links), changed)


def decide_link(
    db: Database,
    call_id: str,
    ticket_no: str,
    *,
    decision: Literal["accept", "reject"],
    actor: str,
    now_ms: int,
) -> LinkOutcome:
    """Confirm or reject a ticket for a call (any ticket may be confirmed, proposed or not); audited.

    Confirming one rejects the other proposals still waiting; they can be confirmed too, afterwards.
    """
    with db.write() as session:
        call = load_call(session, call_id)
        ticket = session.get(Ticket, ticket_no)
        if ticket is None:
            raise CallqaError(f"没有工单 {ticket_no}；请核对编号，或先导入该工单")
        rows = {r.ticket_no: r for r in _links(session, call_id)}
        before = {no: r.state for no, r in rows.items()}
        chosen = rows.get(ticket_no)
        if chosen is None:
            chosen = TicketLink(
                call_id=call_id, ticket_no=ticket_no, state="doubtful", method="manual", score=0, decided_at_ms=now_ms
            )
        if decision == "accept":
            _settle(session, chosen, "linked", f"由 {actor} 确认", actor, now_ms)
            chosen.method = "manual"
            for other in rows.values():
                if other is not chosen and other.state == "doubtful":
                    _settle(session, other, "rejected", f"{actor} 确认了工单 {ticket_no}", actor, now_ms)
            if not _evaluated(session, call_id) and call.direction == "outbound":
                call.call_type = _type_with(call, _key(ticket))
        else:
            _settle(session, chosen, "rejected", f"由 {actor} 驳回", actor, now_ms)
        call.version += 1
        session.add(call)
        session.flush()
        after = _links(session, call_id)
        audit.append(
            session,
            actor=actor,
            action=f"ticket_link.{decision}",
            subject=call_id,
            detail={"ticket_no": ticket_no, "before": before, "after": {r.ticket_no: r.state for r in after}},
            now_ms=now_ms,
        )
    linked = tuple(r.ticket_no for r in after if r.state == "linked")
    doubtful = tuple(r.ticket_no for r in after if r.state == "doubtful")
    state = LinkState.LINKED if linked else LinkState.DOUBTFUL if doubtful else LinkState.UNLINKED
    return LinkOutcome(call_id, state, linked or doubtful, changed=True)


def relink_open(db: Database, *, now_ms: int) -> Relinked:
    """Link again every answered call without a link that was last tried before the newest ticket import.

    Cheap when nothing was imported. One call's conflict never stops the others; it is tried next time.
    """
    with db.read() as session:
        waiting = _open_calls(session, now_ms)
    counts = {LinkState.LINKED: 0, LinkState.DOUBTFUL: 0, LinkState.UNLINKED: 0}
    changed: list[str] = []
    tried: list[str] = []
    for call_id in waiting:
        try:
            outcome = link(db, call_id, now_ms=now_ms)
        except ConflictError as e:
            log.info("call %s: relink put off: %s", call_id, e)
            continue
        tried.append(call_id)
        counts[outcome.state] += 1
        if outcome.changed:
            changed.append(call_id)
    if tried:
        _note_tried(db, tried, now_ms)
    return Relinked(len(tried), counts[LinkState.LINKED], counts[LinkState.DOUBTFUL], tuple(changed))


# ---------- reading ----------


def _links(session: Session, call_id: str) -> list[TicketLink]:
    query = select(TicketLink).where(TicketLink.call_id == call_id).order_by(col(TicketLink.ticket_no))
    return list(session.exec(query))


def _persons(rows: Sequence[TicketLink]) -> tuple[TicketLink, ...]:
    return tuple(r for r in rows if r.decided_by is not None)


def _evaluated(session: Session, call_id: str) -> bool:
    """A call that is being scored keeps its type: the items of its form depend on it."""
    return session.exec(select(Evaluation.id).where(Evaluation.call_id == call_id).limit(1)).first() is not None


def _candidate(call: Call) -> LinkCandidate:
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


def _key(ticket: Ticket) -> TicketKey:
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


def _nearby_tickets(session: Session, call: Call) -> tuple[TicketKey, ...]:
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
    return tuple(_key(t) for t in session.exec(select(Ticket).where(or_(*wanted))))


def _ways_to_store(number: str) -> tuple[str, ...]:
    """A landline may be stored without its area code of three or four digits."""
    if number.startswith("0"):
        return tuple(n for n in (number, number[3:], number[4:]) if len(n) in (7, 8) or n == number)
    return (number,)


def _open_calls(session: Session, now_ms: int) -> list[str]:
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
            Call.started_at_ms > now_ms - RELINK_DAYS * 86_400_000,
            col(Call.call_id).not_in(linked),
            col(Call.call_id).not_in(tried),
        )
        .order_by(col(Call.call_id).desc())
        .limit(RELINK_BATCH)
    )
    return list(session.exec(query))


# ---------- writing ----------


def _same(rows: Sequence[TicketLink], decision: LinkDecision) -> bool:
    stored = {(r.ticket_no, r.state, r.method, r.score, tuple(r.reasons)) for r in rows if r.decided_by is None}
    return stored == {(s.ticket_no, decision.state.value, s.method.value, s.score, s.reasons) for s in decision.links}


def _replace(session: Session, call_id: str, decision: LinkDecision, now_ms: int) -> None:
    rows = {r.ticket_no: r for r in _links(session, call_id) if r.decided_by is None}
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


def _settle(session: Session, row: TicketLink, state: str, reason: str, actor: str, now_ms: int) -> None:
    row.state, row.decided_by, row.decided_at_ms = state, actor, now_ms
    row.reasons = [*row.reasons, reason]
    session.add(row)


def _note_tried(db: Database, call_ids: Sequence[str], now_ms: int) -> None:
    with db.write() as session:
        for row in session.exec(
            select(CallProgress).where(CallProgress.stage == "link", col(CallProgress.call_id).in_(call_ids))
        ):
            row.updated_at_ms = max(now_ms, row.updated_at_ms)
            session.add(row)


def _call_type(call: Call, decision: LinkDecision, keys: Sequence[TicketKey]) -> str:
    if call.direction != "outbound" or decision.state is not LinkState.LINKED:
        return call.call_type
    key = next(k for k in keys if k.ticket_no == decision.links[0].ticket_no)
    return _type_with(call, key)


def _type_with(call: Call, key: TicketKey) -> str:
    end_ms = call.ended_at_ms or call.answered_at_ms or call.started_at_ms
    return outbound_type(key, started_at_ms=call.started_at_ms, ended_at_ms=end_ms).value
