"""The rows of 未接来电回拨, derived again whenever a call of their number changes; inside the caller's transaction."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlalchemy import or_
from sqlmodel import Session, col, select

from callqa.periods import SHANGHAI, to_ms
from callqa.store.tables import Call, FollowupEvent, MissedCallFollowup
from callqa.tickets.followups import (
    EventKind,
    FollowupFact,
    FollowupState,
    Standing,
    day_of,
    days_missed,
    fact_of_call,
    stand_of_day,
    stand_of_withheld,
)

# An entry given up is still closed by a call within this time; later calls are about something else.
GIVEN_UP_LIVES_MS = 31 * 86_400_000
NOT_A_MISS = ("test_call", "internal_call")  # excluded_as


def follow_up(session: Session, call: Call) -> None:
    """Bring the entries that this call bears on up to date. A call still in progress bears on none."""
    if call.outcome == "in_progress":
        return
    session.flush()
    if not call.citizen_number or call.withheld:
        _follow_withheld(session, call)
        return
    fact = _fact(call)
    missed = fact is not None and fact.kind is EventKind.MISSED
    entries = _entries_of(session, call.citizen_number, call.started_at_ms)
    if not missed and not entries:
        return  # the usual call: nothing was missed
    first = min([day_of(call.started_at_ms), *(day_of(e.missed_at_ms) for e in entries)])
    refresh_number(session, call.citizen_number, first)


def refresh_number(session: Session, number: str, first: date) -> None:
    """Derive the entries of one number from a day on."""
    facts = _facts_of_number(session, number, first)
    found = {e.key: e for e in session.exec(select(MissedCallFollowup).where(MissedCallFollowup.number == number))}
    kept: set[str] = set()
    for day in days_missed(facts):
        key = f"{day.isoformat()}/{number}"
        kept.add(key)
        entry = found.get(key)
        standing = stand_of_day(day, facts, _written(session, entry))
        _save(session, entry, key, number, standing)
    for key, entry in found.items():
        if key not in kept and day_of(entry.missed_at_ms) >= first:
            _drop(session, entry)


def refresh_entry(session: Session, entry: MissedCallFollowup) -> None:
    """Derive one entry again, after a person wrote something down."""
    if entry.number:
        refresh_number(session, entry.number, day_of(entry.missed_at_ms))
        return
    call = session.get(Call, entry.first_call_id)
    if call is not None and call.deleted_at_ms is None:
        _follow_withheld(session, call)


def _follow_withheld(session: Session, call: Call) -> None:
    entry = session.exec(select(MissedCallFollowup).where(MissedCallFollowup.key == call.call_id)).first()
    fact = _fact(call)
    if fact is not None and fact.kind is EventKind.MISSED and call.excluded_as not in NOT_A_MISS:
        _save(session, entry, call.call_id, "", stand_of_withheld(fact, _written(session, entry)))
    elif entry is not None:
        _drop(session, entry)


def _entries_of(session: Session, number: str, at_ms: int) -> Sequence[MissedCallFollowup]:
    """Entries that a call of the number at at_ms may change: those of its day, and earlier ones not closed before it."""
    day_ms = _start_of(day_of(at_ms))
    query = select(MissedCallFollowup).where(
        MissedCallFollowup.number == number,
        or_(
            col(MissedCallFollowup.last_missed_at_ms) >= day_ms,
            col(MissedCallFollowup.state) == FollowupState.WANTED.value,
            col(MissedCallFollowup.done_at_ms) >= at_ms,
            (col(MissedCallFollowup.state) == FollowupState.GIVEN_UP.value)
            & (col(MissedCallFollowup.last_missed_at_ms) >= at_ms - GIVEN_UP_LIVES_MS),
        ),
    )
    return session.exec(query).all()


def _facts_of_number(session: Session, number: str, first: date) -> list[FollowupFact]:
    # A call that began before midnight may be missed after it.
    since_ms = _start_of(first - timedelta(days=1))
    calls = session.exec(
        select(Call).where(
            Call.citizen_number == number,
            col(Call.started_at_ms) >= since_ms,
            col(Call.withheld).is_(False),
            or_(col(Call.excluded_as).is_(None), col(Call.excluded_as).not_in(NOT_A_MISS)),
        )
    )
    facts = [fact for fact in map(_fact, calls) if fact is not None]
    return [f for f in facts if f.kind is not EventKind.MISSED or day_of(f.at_ms) >= first]


def _fact(call: Call) -> FollowupFact | None:
    """What the call is to its number's entries. An imported one that nobody took is history: whether it was called back
    then is not known here."""
    fact = fact_of_call(
        call.call_id, call.direction, call.outcome, call.started_at_ms, call.ended_at_ms, call.outcome_reason
    )
    return None if fact is not None and fact.kind is EventKind.MISSED and call.mode == "import" else fact


def _start_of(day: date) -> int:
    return to_ms(datetime.combine(day, time.min, SHANGHAI))


def _written(session: Session, entry: MissedCallFollowup | None) -> list[FollowupFact]:
    """What people wrote down about an entry."""
    if entry is None:
        return []
    query = select(FollowupEvent).where(FollowupEvent.followup_id == entry.id, col(FollowupEvent.call_id).is_(None))
    return [FollowupFact(e.at_ms, EventKind(e.kind), None, e.by, e.note) for e in session.exec(query)]


def _save(session: Session, entry: MissedCallFollowup | None, key: str, number: str, standing: Standing) -> None:
    missed, closed = standing.missed, standing.closed_by
    first_call = session.get(Call, missed[0].call_id or "")
    values: dict[str, Any] = {
        "first_call_id": missed[0].call_id,
        "missed_at_ms": missed[0].at_ms,
        "last_missed_at_ms": missed[-1].at_ms,
        "n_missed": len(missed),
        "n_attempts": standing.n_attempts,
        "reason": missed[-1].reason,
        "state": standing.state.value,
        "closed_as": closed.kind.value if closed else "",
        "closing_call_id": closed.call_id if closed else None,
        "done_by": closed.by if closed else "",
        "done_at_ms": closed.at_ms if closed else None,
        "note": closed.reason if closed and closed.call_id is None else "",
        "demo": bool(first_call and first_call.demo),
    }
    if entry is None:
        entry = MissedCallFollowup(key=key, number=number, **values)
        session.add(entry)
        session.flush()
    elif any(getattr(entry, name) != value for name, value in values.items()):
        for name, value in values.items():
            setattr(entry, name, value)
        entry.version += 1
        session.add(entry)
    _save_events(session, entry, standing)


def _save_events(session: Session, entry: MissedCallFollowup, standing: Standing) -> None:
    assert entry.id is not None
    stored = {
        e.call_id: e
        for e in session.exec(select(FollowupEvent).where(FollowupEvent.followup_id == entry.id))
        if e.call_id is not None
    }
    for fact in standing.facts:
        if fact.call_id is None:
            continue
        event = stored.pop(fact.call_id, None) or FollowupEvent(
            followup_id=entry.id, at_ms=fact.at_ms, kind=fact.kind.value, call_id=fact.call_id
        )
        event.at_ms, event.kind, event.note = fact.at_ms, fact.kind.value, fact.reason
        session.add(event)
    for gone in stored.values():
        session.delete(gone)
    session.flush()


def _drop(session: Session, entry: MissedCallFollowup) -> None:
    """The call was not missed after all (its recording was found later, or it is marked as a test)."""
    for event in session.exec(select(FollowupEvent).where(FollowupEvent.followup_id == entry.id)):
        session.delete(event)
    session.flush()
    session.delete(entry)
    session.flush()
