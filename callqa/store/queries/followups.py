"""未接来电回拨: the work list, one entry with what happened about it, and the month's figures. Reading only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func
from sqlmodel import Session, col, select

from callqa.store.tables import Account, Agent, Call, FollowupEvent, MissedCallFollowup, SeatLogin

SORTS = {
    "time": col(MissedCallFollowup.missed_at_ms),
    "missed": col(MissedCallFollowup.n_missed),
    "attempts": col(MissedCallFollowup.n_attempts),
    "number": col(MissedCallFollowup.number),
    "done": col(MissedCallFollowup.done_at_ms),
}
STATES = ("wanted", "done", "given_up", "not_needed", "no_number")


@dataclass(frozen=True, slots=True)
class FollowupFilter:
    """What is asked for; empty fields ask for nothing. Times are of the first missed call."""

    start_ms: int | None = None
    end_ms: int | None = None
    state: str = ""
    number: str = ""
    assigned_to: str = ""  # "-" = nobody


@dataclass(frozen=True, slots=True)
class FollowupLine:
    """An entry with names. closed_by: who closed it, as a label's parts (工号 or None, name)."""

    entry: MissedCallFollowup
    assigned_name: str | None
    closing_agent_no: str | None
    closing_name: str | None  # of the agent whose call closed it, or of the person who did


@dataclass(frozen=True, slots=True)
class FollowupAct:
    """One thing that happened. call: of a call; agent_no: who made or took it, as far as is known."""

    event: FollowupEvent
    call: Call | None
    agent_no: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class FollowupFigures:
    """Entries of a period by state, and how long it took until the citizen was reached."""

    wanted: int
    done: int
    given_up: int
    not_needed: int
    no_number: int
    missed_calls: int

    @property
    def due(self) -> int:
        """Entries that we had to call back: done, still wanted, or given up."""
        return self.wanted + self.done + self.given_up


def count_open(session: Session) -> int:
    """How many entries wait to be called back."""
    query = select(func.count()).select_from(MissedCallFollowup).where(MissedCallFollowup.state == "wanted")
    return session.exec(query).one()


def count_followups(session: Session, wanted: FollowupFilter) -> int:
    """How many entries the filter finds."""
    return session.exec(select(func.count()).select_from(MissedCallFollowup).where(*_conditions(wanted))).one()


def list_followups(
    session: Session, wanted: FollowupFilter, *, sort: str = "time", descending: bool = True, offset: int, limit: int
) -> Sequence[FollowupLine]:
    """Entries of one page of the list."""
    column = SORTS[sort]
    query = (
        select(MissedCallFollowup)
        .where(*_conditions(wanted))
        .order_by((column.desc() if descending else column.asc()).nulls_last(), col(MissedCallFollowup.id).desc())
        .offset(offset)
        .limit(limit)
    )
    return _with_names(session, session.exec(query).all())


def find_followup(session: Session, followup_id: int) -> FollowupLine | None:
    """One entry, or None."""
    entry = session.get(MissedCallFollowup, followup_id)
    return None if entry is None else _with_names(session, [entry])[0]


def acts_of(session: Session, entry: MissedCallFollowup) -> Sequence[FollowupAct]:
    """What happened about an entry, in order."""
    events = session.exec(
        select(FollowupEvent)
        .where(FollowupEvent.followup_id == entry.id)
        .order_by(col(FollowupEvent.at_ms), col(FollowupEvent.id))
    ).all()
    agents = dict(session.exec(select(Agent.agent_no, Agent.name)).all())
    people = dict(session.exec(select(Account.username, Account.display_name)).all())
    acts = []
    for event in events:
        call = session.get(Call, event.call_id) if event.call_id else None
        if call is None:
            acts.append(FollowupAct(event, None, None, people.get(event.by, event.by)))
            continue
        agent_no = call.agent_no or _who_sat_there(session, call)
        acts.append(FollowupAct(event, call, agent_no, agents.get(agent_no or "")))
    return acts


def followup_figures(session: Session, start_ms: int, end_ms: int) -> FollowupFigures:
    """Entries first missed in [start_ms, end_ms), by state."""
    found = session.exec(
        select(MissedCallFollowup.state, func.count(), func.sum(MissedCallFollowup.n_missed))
        .where(*_conditions(FollowupFilter(start_ms, end_ms)))
        .group_by(col(MissedCallFollowup.state))
    ).all()
    counts = {state: n for state, n, _ in found}
    return FollowupFigures(
        missed_calls=sum(int(n) for _, _, n in found), **{state: counts.get(state, 0) for state in STATES}
    )


def entry_of_call(session: Session, call_id: str) -> MissedCallFollowup | None:
    """The entry a call belongs to as one that was missed, or None."""
    return session.exec(
        select(MissedCallFollowup)
        .join(FollowupEvent, col(FollowupEvent.followup_id) == col(MissedCallFollowup.id))
        .where(FollowupEvent.call_id == call_id, FollowupEvent.kind == "missed")
    ).first()


def _conditions(wanted: FollowupFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.start_ms is not None:
        conditions.append(col(MissedCallFollowup.missed_at_ms) >= wanted.start_ms)
    if wanted.end_ms is not None:
        conditions.append(col(MissedCallFollowup.missed_at_ms) < wanted.end_ms)
    if wanted.state:
        conditions.append(col(MissedCallFollowup.state) == wanted.state)
    if wanted.number:
        escaped = wanted.number.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        conditions.append(col(MissedCallFollowup.number).like(f"%{escaped}%", escape="\\"))
    if wanted.assigned_to == "-":
        conditions.append(col(MissedCallFollowup.assigned_to).is_(None))
    elif wanted.assigned_to:
        conditions.append(col(MissedCallFollowup.assigned_to) == wanted.assigned_to)
    return conditions


def _with_names(session: Session, entries: Sequence[MissedCallFollowup]) -> list[FollowupLine]:
    agents: dict[str, str] = dict(session.exec(select(Agent.agent_no, Agent.name)).all())
    people: dict[str, str] = dict(session.exec(select(Account.username, Account.display_name)).all())
    closing = [e.closing_call_id for e in entries if e.closing_call_id]
    calls: dict[Any, Call] = {c.call_id: c for c in session.exec(select(Call).where(col(Call.call_id).in_(closing)))}
    lines = []
    for entry in entries:
        call = calls.get(entry.closing_call_id)
        agent_no = (call.agent_no or _who_sat_there(session, call)) if call else None
        name = agents.get(agent_no or "") if call else people.get(entry.done_by, entry.done_by) or None
        lines.append(FollowupLine(entry, agents.get(entry.assigned_to or ""), agent_no, name))
    return lines


def _who_sat_there(session: Session, call: Call) -> str | None:
    """Who was signed in at the seat of a call that nobody attributed: calls without audio are not."""
    if not call.seat_extension:
        return None
    return session.exec(
        select(SeatLogin.agent_no)
        .where(
            SeatLogin.seat_extension == call.seat_extension,
            col(SeatLogin.started_at_ms) <= call.started_at_ms,
            col(SeatLogin.ended_at_ms).is_(None) | (col(SeatLogin.ended_at_ms) > call.started_at_ms),
        )
        .order_by(col(SeatLogin.started_at_ms).desc())
    ).first()
