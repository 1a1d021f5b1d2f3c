"""Import a roster: the file is the truth for the agents and days it names; others stay as they are.

A line for an unknown agent or seat, or with another name than the agent's, is an error of that line: a roster never
creates people. An agent's older shifts on a day the file names are replaced.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from callqa.errors import ImportRowError
from callqa.matching import name_similarity
from callqa.periods import from_ms
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Agent, RosterEntry, Seat
from callqa.tickets.importers import RosterInput, read_roster
from callqa.tickets.importers.roster import TITLES


@dataclass(frozen=True, slots=True)
class RosterImportResult:
    """What one import did. errors: in row order."""

    rows_new: int
    rows_changed: int
    rows_same: int
    rows_removed: int
    errors: tuple[ImportRowError, ...]


def import_roster(db: Database, *, file_name: str, data: bytes, actor: str, now_ms: int) -> RosterImportResult:
    """Read and store a roster file. Raise ImportFileError when it is no roster."""
    file = read_roster(file_name, data)
    with db.write() as session:  # one transaction: people and seats it was checked against are those it is stored with
        agents = {a.agent_no: a for a in session.exec(select(Agent))}
        seats = {s.extension for s in session.exec(select(Seat))}
        rows: list[RosterInput] = []
        errors = list(file.errors)
        for row in file.rows:
            problem = _problem(row, agents, seats)
            if problem is None:
                rows.append(row)
            else:
                errors.append(problem)
        result = _save(session, rows, tuple(sorted(errors, key=lambda e: e.row)))
        if result.rows_new or result.rows_changed or result.rows_removed:
            audit.append(
                session,
                actor=actor,
                action="roster.import",
                subject=file_name,
                detail={
                    "rows_new": result.rows_new,
                    "rows_changed": result.rows_changed,
                    "rows_removed": result.rows_removed,
                    "row_errors": len(errors),
                },
                now_ms=now_ms,
            )
    return result


def _problem(row: RosterInput, agents: dict[str, Agent], seats: set[str]) -> ImportRowError | None:
    agent = agents.get(row.agent_no)
    if agent is None:
        return ImportRowError(
            row.row, TITLES["agent_no"], f"没有工号 {row.agent_no}；请先在“人员与席位”登记，或改正工号"
        )
    if row.name and name_similarity(row.name, agent.name) < 90:
        message = f"工号 {row.agent_no} 登记的是“{agent.name}”，这里写的是“{row.name}”；请核对是哪一位"
        return ImportRowError(row.row, TITLES["name"], message)
    if row.seat_extension is not None and row.seat_extension not in seats:
        return ImportRowError(
            row.row, TITLES["seat_extension"], f"没有席位 {row.seat_extension}；请先登记，或改正席位号"
        )
    return None


def _save(session: Session, rows: Sequence[RosterInput], errors: tuple[ImportRowError, ...]) -> RosterImportResult:
    named_days = {(r.agent_no, r.day) for r in rows}
    stored: dict[tuple[str, int], RosterEntry] = {}
    if rows:
        first_ms = min(r.start_at_ms for r in rows) - 86_400_000
        last_ms = max(r.start_at_ms for r in rows) + 86_400_000
        query = select(RosterEntry).where(col(RosterEntry.start_at_ms).between(first_ms, last_ms))
        for entry in session.exec(query):
            if (entry.agent_no, f"{from_ms(entry.start_at_ms):%Y-%m-%d}") in named_days:
                stored[entry.agent_no, entry.start_at_ms] = entry
    new = changed = same = 0
    for row in rows:
        old = stored.pop((row.agent_no, row.start_at_ms), None)
        if old is None:
            new += 1
            old = RosterEntry(agent_no=row.agent_no, start_at_ms=row.start_at_ms, end_at_ms=0, shift=row.shift)
        elif (old.seat_extension, old.shift, old.end_at_ms) == (row.seat_extension, row.shift, row.end_at_ms):
            same += 1
            continue
        else:
            changed += 1
        old.seat_extension, old.shift, old.end_at_ms = row.seat_extension, row.shift, row.end_at_ms
        session.add(old)
    for gone in stored.values():
        session.delete(gone)
    return RosterImportResult(new, changed, same, len(stored), errors)
