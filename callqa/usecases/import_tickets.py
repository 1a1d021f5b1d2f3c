"""Import a ticket platform's file: new tickets are added, changed ones get a new version, equal ones stay.

Idempotent by content: the same bytes a second time add nothing and change nothing, also when a newer file came in
between. A column the file lacks never erases what is stored; a blank cell in a column it has does; a text that is the
stored one with stars for some of it (masked by another system, or by our own export) never replaces it. After an import
the worker's `link.relink_open` looks at the calls that still wait for a ticket.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from callqa.errors import ConflictError, ImportRowError
from callqa.privacy import is_masked
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Ticket, TicketImport
from callqa.tickets.importers import TicketFile, TicketInput, read_tickets

_AUDITED_CHANGES = 200  # an audit entry names this many changed tickets; all are counted
_CHUNK = 500  # SQLite takes at most 999 values in older builds


@dataclass(frozen=True, slots=True)
class TicketImportResult:
    """What one import did. errors: in row order. already_imported: the same bytes were imported before."""

    import_id: int
    rows_new: int
    rows_changed: int
    rows_same: int
    errors: tuple[ImportRowError, ...]
    already_imported: bool = False


@dataclass(frozen=True, slots=True)
class _Change:
    """One ticket to write: version None = new; fields = what differs, with the new values."""

    ticket: TicketInput
    version: int | None
    fields: dict[str, Any]


def import_tickets(db: Database, *, file_name: str, data: bytes, actor: str, now_ms: int) -> TicketImportResult:
    """Read and store a ticket file. Raise ImportFileError when it is no ticket table, ConflictError on a race."""
    file = read_tickets(file_name, data)
    sha256 = hashlib.sha256(data).hexdigest()
    with db.read() as session:
        earlier = session.exec(
            select(TicketImport).where(TicketImport.file_sha256 == sha256).order_by(col(TicketImport.id)).limit(1)
        ).first()
        stored = _stored(session, [t.ticket_no for t in file.rows])
    changes = _changes(file, stored, only_new=earlier is not None)
    if earlier is not None and earlier.id is not None and not changes:
        return TicketImportResult(earlier.id, 0, 0, len(file.rows), file.errors, already_imported=True)
    with db.write() as session:
        return _save(session, file, changes, file_name, sha256, actor, now_ms)


def _stored(session: Session, ticket_nos: Sequence[str]) -> dict[str, Ticket]:
    found: dict[str, Ticket] = {}
    for start in range(0, len(ticket_nos), _CHUNK):
        chunk = ticket_nos[start : start + _CHUNK]
        found.update((t.ticket_no, t) for t in session.exec(select(Ticket).where(col(Ticket.ticket_no).in_(chunk))))
    return found


def _changes(file: TicketFile, stored: dict[str, Ticket], *, only_new: bool) -> list[_Change]:
    fields = sorted(file.columns - {"ticket_no"})
    changes = []
    for ticket in file.rows:
        old = stored.get(ticket.ticket_no)
        if old is None:
            changes.append(_Change(ticket, None, _values(ticket, fields)))
        elif not only_new:
            values = _values(ticket, fields)
            if "extra" in values:
                more = {k: v for k, v in values["extra"].items() if not is_masked(v, str(old.extra.get(k, "")))}
                values["extra"] = {**old.extra, **more}
            differing = {name: value for name, value in values.items() if _differs(value, getattr(old, name))}
            if differing:
                changes.append(_Change(ticket, old.version, differing))
    return changes


def _differs(value: Any, stored: Any) -> bool:
    masked = isinstance(value, str) and isinstance(stored, str) and is_masked(value, stored)
    return bool(value != stored) and not masked


def _values(ticket: TicketInput, fields: Iterable[str]) -> dict[str, Any]:
    values = {name: getattr(ticket, name) for name in fields}
    if ticket.extra or "extra" in values:
        values["extra"] = dict(ticket.extra)
    return values


def _save(
    session: Session,
    file: TicketFile,
    changes: Sequence[_Change],
    file_name: str,
    sha256: str,
    actor: str,
    now_ms: int,
) -> TicketImportResult:
    new = [c for c in changes if c.version is None]
    changed = [c for c in changes if c.version is not None]
    record = TicketImport(
        file_name=file_name,
        file_sha256=sha256,
        imported_at_ms=now_ms,
        imported_by=actor,
        rows_new=len(new),
        rows_changed=len(changed),
        rows_same=len(file.rows) - len(changes),
        errors=[{"row": e.row, "column": e.column, "message": e.message} for e in file.errors],
    )
    session.add(record)
    session.flush()
    assert record.id is not None
    current = _stored(session, [c.ticket.ticket_no for c in changes])
    for change in changes:
        _write(session, change, current.get(change.ticket.ticket_no), record.id)
    audit.append(
        session,
        actor=actor,
        action="ticket.import",
        subject=f"ticket_import:{record.id}",
        detail={
            "file_name": file_name,
            "file_sha256": sha256,
            "rows_new": len(new),
            "rows_changed": len(changed),
            "rows_same": record.rows_same,
            "row_errors": len(file.errors),
            "changed": {c.ticket.ticket_no: sorted(c.fields) for c in changed[:_AUDITED_CHANGES]},
        },
        now_ms=now_ms,
    )
    return TicketImportResult(record.id, len(new), len(changed), record.rows_same, file.errors)


def _write(session: Session, change: _Change, row: Ticket | None, import_id: int) -> None:
    if (row is None) != (change.version is None) or (row is not None and row.version != change.version):
        raise ConflictError(f"工单 {change.ticket.ticket_no} 刚被另一次导入修改，请重新导入")
    if row is None:
        row = Ticket(ticket_no=change.ticket.ticket_no, version=0)
    for name, value in change.fields.items():
        setattr(row, name, value)
    row.import_id = import_id
    row.version += 1
    session.add(row)
