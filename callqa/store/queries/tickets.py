"""The ticket list, one ticket with its calls, imports, and the calls that wait for a link. Reading only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, exists, func, or_
from sqlmodel import Session, col, select

from callqa.privacy import MAY_BE_PRIVATE
from callqa.searching import fold_text
from callqa.store.queries.call_page import LinkedTicket, tickets_of_call
from callqa.store.queries.calls import link_state_expression
from callqa.store.queries.confidential import is_public
from callqa.store.tables import Agent, Call, Ticket, TicketImport, TicketLink

SORTS = {
    "accepted": col(Ticket.accepted_at_ms),
    "ticket": col(Ticket.ticket_no),
    "due": col(Ticket.due_at_ms),
    "closed": col(Ticket.closed_at_ms),
}


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """What is asked for; empty fields ask for nothing. linked: "yes" | "no"."""

    start_ms: int | None = None
    end_ms: int | None = None
    text: str = ""
    category: str = ""
    matter: str = ""
    linked: str = ""
    agent_no: str = ""
    own_agent_no: str | None = None  # only what concerns this agent; None = everybody's
    numbers: bool = True  # whether text may be part of a citizen's number


@dataclass(frozen=True, slots=True)
class TicketLine:
    """One line of the list."""

    ticket: Ticket
    agent_name: str | None
    calls: int  # linked calls


@dataclass(frozen=True, slots=True)
class LinkedCall:
    """A call that was considered for the ticket, with why."""

    link: TicketLink
    call: Call
    agent_name: str | None


@dataclass(frozen=True, slots=True)
class TicketPage:
    """One ticket with what hangs on it."""

    ticket: Ticket
    agent_name: str | None
    calls: tuple[LinkedCall, ...]
    imported: TicketImport | None
    children: tuple[str, ...]  # tickets that name this one as their parent


@dataclass(frozen=True, slots=True)
class WaitingCall:
    """A call that waits for a person to say which ticket it belongs to."""

    call: Call
    agent_name: str | None
    candidates: tuple[LinkedTicket, ...]


def list_tickets(
    session: Session, wanted: TicketFilter, *, sort: str = "accepted", descending: bool = True, offset: int, limit: int
) -> Sequence[TicketLine]:
    """Lines of one page of the list."""
    calls = (
        select(func.count())
        .where(col(TicketLink.ticket_no) == col(Ticket.ticket_no), TicketLink.state == "linked")
        .scalar_subquery()
    )
    query = select(Ticket, Agent.name, calls).join(
        Agent, col(Agent.agent_no) == col(Ticket.accepted_by_agent_no), isouter=True
    )
    column = SORTS[sort]
    order = column.desc() if descending else column.asc()
    query = _filtered(query, wanted).order_by(order.nulls_last(), col(Ticket.ticket_no)).offset(offset).limit(limit)
    return [TicketLine(*row) for row in session.exec(query)]


def _concerns(agent_no: str) -> ColumnElement[bool]:
    """Tickets the agent accepted, or that are linked or proposed for a call the agent took."""
    own_call = exists().where(
        col(TicketLink.ticket_no) == col(Ticket.ticket_no),
        col(TicketLink.state) != "rejected",
        col(Call.call_id) == col(TicketLink.call_id),
        col(Call.agent_no) == agent_no,
    )
    return or_(col(Ticket.accepted_by_agent_no) == agent_no, own_call)


def concerns_agent(session: Session, ticket_no: str, agent_no: str) -> bool:
    """Whether the ticket is one the agent may see."""
    query = select(Ticket.ticket_no).where(Ticket.ticket_no == ticket_no, _concerns(agent_no))
    return session.exec(query).first() is not None


def count_tickets(session: Session, wanted: TicketFilter) -> int:
    """How many tickets the filter finds."""
    return session.exec(_filtered(select(func.count()).select_from(Ticket), wanted)).one()


def find_ticket_page(session: Session, ticket_no: str) -> TicketPage | None:
    """All of one ticket, or None."""
    ticket = session.get(Ticket, ticket_no)
    if ticket is None:
        return None
    agent = session.get(Agent, ticket.accepted_by_agent_no) if ticket.accepted_by_agent_no else None
    query = (
        select(TicketLink, Call, Agent.name)
        .join(Call, col(Call.call_id) == col(TicketLink.call_id))
        .join(Agent, col(Agent.agent_no) == col(Call.agent_no), isouter=True)
        .where(TicketLink.ticket_no == ticket_no, is_public())
        .order_by(col(Call.started_at_ms))
    )
    return TicketPage(
        ticket=ticket,
        agent_name=agent.name if agent else None,
        calls=tuple(LinkedCall(*row) for row in session.exec(query)),
        imported=session.get(TicketImport, ticket.import_id) if ticket.import_id else None,
        children=tuple(session.exec(select(Ticket.ticket_no).where(Ticket.parent_ticket_no == ticket_no))),
    )


def recent_imports(session: Session, limit: int = 10) -> Sequence[TicketImport]:
    """The last imports, newest first."""
    return session.exec(select(TicketImport).order_by(col(TicketImport.id).desc()).limit(limit)).all()


def find_import(session: Session, import_id: int) -> TicketImport | None:
    """One import, or None."""
    return session.get(TicketImport, import_id)


def calls_waiting_for_link(
    session: Session, own_agent_no: str | None, *, offset: int, limit: int
) -> Sequence[WaitingCall]:
    """Calls with a doubtful link and none certain, newest first."""
    query = (
        select(Call, Agent.name)
        .join(Agent, col(Agent.agent_no) == col(Call.agent_no), isouter=True)
        .where(*_waits(own_agent_no))
        .order_by(col(Call.started_at_ms).desc())
        .offset(offset)
        .limit(limit)
    )
    return [
        WaitingCall(call, name, tuple(t for t in tickets_of_call(session, call.call_id) if t.link.state == "doubtful"))
        for call, name in session.exec(query).all()
    ]


def count_waiting_for_link(session: Session, own_agent_no: str | None) -> int:
    """How many calls wait for a person's decision on their ticket."""
    return session.exec(select(func.count()).select_from(Call).where(*_waits(own_agent_no))).one()


def unattributed_calls(session: Session, *, limit: int) -> Sequence[Call]:
    """Answered calls of which nobody knows who took them, newest first."""
    newest = col(Call.started_at_ms).desc()
    return session.exec(select(Call).where(*_unattributed()).order_by(newest).limit(limit)).all()


def count_unattributed(session: Session) -> int:
    """How many calls `unattributed_calls` would list."""
    return session.exec(select(func.count()).select_from(Call).where(*_unattributed())).one()


def _unattributed() -> tuple[ColumnElement[bool], ...]:
    return (col(Call.outcome) == "answered", col(Call.attribution_source) == "unknown", is_public())


def _waits(own_agent_no: str | None) -> list[ColumnElement[bool]]:
    conditions = [link_state_expression() == "doubtful", is_public()]
    if own_agent_no is not None:
        conditions.append(col(Call.agent_no) == own_agent_no)
    return conditions


def _searched(wanted: TicketFilter) -> tuple[str, ...]:
    """The columns that text is looked for in. Who sees numbers masked must not guess them, digit by digit, by what is found."""
    plain = (Ticket.ticket_no,)
    if not wanted.numbers and not MAY_BE_PRIVATE.isdisjoint(fold_text(wanted.text)):
        return plain
    words = (*plain, Ticket.title, Ticket.location, Ticket.content, Ticket.citizen_name)
    return (*words, Ticket.caller_number, Ticket.contact_phone) if wanted.numbers else words


def _filtered(query: Any, wanted: TicketFilter) -> Any:  # a select of any row shape
    conditions: list[ColumnElement[bool]] = []
    if wanted.start_ms is not None:
        conditions.append(col(Ticket.accepted_at_ms) >= wanted.start_ms)
    if wanted.end_ms is not None:
        conditions.append(col(Ticket.accepted_at_ms) < wanted.end_ms)
    for column, value in (
        (Ticket.category, wanted.category),
        (Ticket.matter_category, wanted.matter),
        (Ticket.accepted_by_agent_no, wanted.agent_no),
    ):
        if value:
            conditions.append(col(column) == value)
    if wanted.own_agent_no is not None:
        conditions.append(_concerns(wanted.own_agent_no))
    if wanted.linked:
        has_call = exists().where(col(TicketLink.ticket_no) == col(Ticket.ticket_no), col(TicketLink.state) == "linked")
        conditions.append(has_call if wanted.linked == "yes" else ~has_call)
    if wanted.text:
        escaped = wanted.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        part = f"%{escaped}%"
        conditions.append(or_(*(col(column).like(part, escape="\\") for column in _searched(wanted))))
    return query.where(*conditions)
