"""Give the tickets that a filter finds as a table that can be imported again. Every export is in the audit chain."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from callqa.store.db import Database
from callqa.store.queries.tickets import TicketFilter, count_tickets, list_tickets
from callqa.store.tables import Ticket
from callqa.tickets.export import tickets_csv, tickets_xlsx
from callqa.tickets.importers import TicketInput
from callqa.usecases.note_access import note_access

ACTION = "ticket.export"
_NUMBERS = ("caller_number", "contact_phone")
_WRITTEN = ("title", "citizen_name", "location", "content", "handling_unit", "result", "verify_note")


class TableKind(StrEnum):
    """What kind of file; the value is the end of its name."""

    CSV = "csv"
    XLSX = "xlsx"


_WRITERS = {TableKind.CSV: tickets_csv, TableKind.XLSX: tickets_xlsx}


@dataclass(frozen=True, slots=True)
class Masking:
    """How numbers are hidden: in a cell that is one, and in what people wrote."""

    number: Callable[[str], str]
    written: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class TicketExport:
    """A file's bytes. n_rows: tickets in it; n_found: tickets the filter finds."""

    data: bytes
    n_rows: int
    n_found: int


def export_tickets(
    db: Database,
    wanted: TicketFilter,
    *,
    kind: TableKind,
    limit: int,
    actor: str,
    now_ms: int,
    asked: str = "",
    sort: str = "accepted",
    descending: bool = True,
    masking: Masking | None = None,
) -> TicketExport:
    """At most `limit` tickets in the order given. asked: the filter as text, for the audit chain; masking: for
    who may not see whole numbers; the file then says that it is masked, and no import takes it."""
    with db.read() as session:
        n_found = count_tickets(session, wanted)
        lines = list_tickets(session, wanted, sort=sort, descending=descending, offset=0, limit=limit)
        tickets = [_as_input(line.ticket) for line in lines]
    if masking:
        tickets = [_masked(ticket, masking) for ticket in tickets]
    data = _WRITERS[kind](tickets, masked=masking is not None)
    detail = {"rows": len(tickets), "found": n_found, "kind": str(kind), "masked": masking is not None}
    note_access(db, actor=actor, action=ACTION, subject=asked, detail=detail, now_ms=now_ms)
    return TicketExport(data, len(tickets), n_found)


def _as_input(ticket: Ticket) -> TicketInput:
    """As it was read from a file. Not checked again: what is stored is given as it is."""
    facts = {name: getattr(ticket, name) for name in TicketInput.model_fields if name != "extra"}
    extra = tuple((str(name), str(value)) for name, value in ticket.extra.items())
    return TicketInput.model_construct(**facts, extra=extra)


def _masked(ticket: TicketInput, masking: Masking) -> TicketInput:
    hidden = {name: masking.number(number) for name in _NUMBERS if (number := getattr(ticket, name))}
    written = {name: masking.written(getattr(ticket, name)) for name in _WRITTEN}
    extra = tuple((name, masking.written(value)) for name, value in ticket.extra)
    return ticket.model_copy(update={**hidden, **written, "extra": extra})
