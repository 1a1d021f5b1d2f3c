"""Link one call to its ticket, by machine or by a person, and try open calls again when tickets arrive later.

A person's decision on a call and ticket is never overridden: an accepted link stays, a rejected ticket is not proposed
again. Rows of the machine (decided_by empty) are replaced as evidence changes; a row that does not change is not
touched, so that its decided_at_ms says when the present link came about.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from callqa.errors import CallqaError, ConflictError
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Call, Ticket, TicketLink
from callqa.tickets.linking import LinkDecision, LinkState, TicketKey, outbound_type
from callqa.tickets.linking import link as decide
from callqa.units import CallType
from callqa.usecases.attribute import load_call, load_version
from callqa.usecases.link_rows import (
    by_persons,
    candidate_of,
    is_evaluated,
    key_of,
    links_of,
    nearby_tickets,
    note_tried,
    open_calls,
    outbound_with_newer_ticket,
    replace_links,
    same_links,
    settle,
)

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
        rows = links_of(session, call_id)
        decided = by_persons(rows)
        accepted = tuple(r.ticket_no for r in decided if r.state == "linked")
        if accepted:
            return LinkOutcome(call_id, LinkState.LINKED, accepted, changed=False)
        rejected = {r.ticket_no for r in decided if r.state == "rejected"}
        keys = tuple(k for k in nearby_tickets(session, call) if k.ticket_no not in rejected)
        evaluated = is_evaluated(session, call_id)
    candidate = candidate_of(call)
    decision = decide(candidate, keys)
    call_type = call.call_type if evaluated else _call_type(call, decision, keys)
    changed = not same_links(rows, decision) or call_type != call.call_type
    if changed:
        with db.write() as session:
            row = load_version(session, call_id, call.version)
            if {r.ticket_no for r in by_persons(links_of(session, call_id))} != {r.ticket_no for r in decided}:
                raise ConflictError(f"通话 {call_id} 的关联刚被人工处理过，请重试")
            replace_links(session, call_id, decision, now_ms)
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
        rows = {r.ticket_no: r for r in links_of(session, call_id)}
        before = {no: r.state for no, r in rows.items()}
        chosen = rows.get(ticket_no)
        if chosen is None:
            chosen = TicketLink(
                call_id=call_id, ticket_no=ticket_no, state="doubtful", method="manual", score=0, decided_at_ms=now_ms
            )
        if decision == "accept":
            settle(session, chosen, "linked", f"由 {actor} 确认", actor, now_ms)
            chosen.method = "manual"
            for other in rows.values():
                if other is not chosen and other.state == "doubtful":
                    settle(session, other, "rejected", f"{actor} 确认了工单 {ticket_no}", actor, now_ms)
            if not is_evaluated(session, call_id) and call.direction == "outbound":
                call.call_type = _type_with(call, key_of(ticket))
        else:
            settle(session, chosen, "rejected", f"由 {actor} 驳回", actor, now_ms)
        call.version += 1
        session.add(call)
        session.flush()
        after = links_of(session, call_id)
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

    Also gives linked outbound calls their type anew (核实 or 回访) when their ticket came in again: a file exported
    before the ticket was closed makes a callback look like a check. Cheap when nothing was imported. One call's
    conflict never stops the others; it is tried next time.
    """
    with db.read() as session:
        waiting = open_calls(session, now_ms - RELINK_DAYS * 86_400_000, RELINK_BATCH)
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
    looked_at, retyped = _settle_types(db, now_ms)
    if tried or looked_at:
        note_tried(db, [*tried, *looked_at], now_ms)
    both = dict.fromkeys([*changed, *retyped])
    return Relinked(len(tried), counts[LinkState.LINKED], counts[LinkState.DOUBTFUL], tuple(both))


def _settle_types(db: Database, now_ms: int) -> tuple[list[str], list[str]]:
    """(looked at, changed) of linked outbound calls, not scored yet, whose ticket came in after the last look."""
    with db.read() as session:
        pairs = outbound_with_newer_ticket(session, now_ms - RELINK_DAYS * 86_400_000)
    types: dict[str, str] = {}
    for call, ticket in pairs:
        call_type = _type_with(call, key_of(ticket))
        if types.get(call.call_id) != CallType.CALLBACK.value:  # of several tickets, one called back is enough
            types[call.call_id] = call_type
    stored = {call.call_id: call for call, _ in pairs}
    wanted = sorted(i for i, call_type in types.items() if call_type != stored[i].call_type)
    if not wanted:
        return sorted(types), []
    changed: list[str] = []
    with db.write() as session:
        for call_id in wanted:
            row = load_call(session, call_id)
            if row.version == stored[call_id].version:  # else it is looked at again next time
                row.call_type, row.version = types[call_id], row.version + 1
                session.add(row)
                changed.append(call_id)
    return sorted(types.keys() - (set(wanted) - set(changed))), changed


def _call_type(call: Call, decision: LinkDecision, keys: Sequence[TicketKey]) -> str:
    if call.direction != "outbound" or decision.state is not LinkState.LINKED:
        return call.call_type
    key = next(k for k in keys if k.ticket_no == decision.links[0].ticket_no)
    return _type_with(call, key)


def _type_with(call: Call, key: TicketKey) -> str:
    end_ms = call.ended_at_ms or call.answered_at_ms or call.started_at_ms
    return outbound_type(key, started_at_ms=call.started_at_ms, ended_at_ms=end_ms).value
