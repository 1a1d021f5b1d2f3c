"""未接来电回拨: which missed calls make an entry of the work list, and how what happens afterwards moves it.

An entry is one number on one day of the hotline (a withheld number: one call). It is derived from the calls of that
number and from what people wrote down, in order of time, so it comes out the same in whatever order they arrive:

- a missed call (unanswered, abandoned) opens it, or opens it again;
- a call of ours that was answered closes it, one that was not is an attempt;
- the citizen's next call that was answered closes it as not needed (诉求人再次来电已接通);
- a person may write down an attempt, close it as reached or not needed, give it up with a reason, or reopen it.

What the table does not know in a state changes nothing and is no part of the entry.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from callqa.periods import from_ms


class FollowupState(StrEnum):
    """How an entry stands."""

    WANTED = "wanted"
    DONE = "done"
    GIVEN_UP = "given_up"
    NOT_NEEDED = "not_needed"
    NO_NUMBER = "no_number"


class EventKind(StrEnum):
    """What happened about an entry."""

    MISSED = "missed"
    REACHED = "reached"  # our call was answered, or a person says so
    NOT_REACHED = "not_reached"  # our call was not answered
    CALLED_AGAIN = "called_again"  # the citizen called again and was answered
    TRIED = "tried"  # a person writes down an attempt made elsewhere
    GIVEN_UP = "given_up"
    NOT_NEEDED = "not_needed"
    REOPENED = "reopened"


_S, _E = FollowupState, EventKind
NEXT: dict[tuple[FollowupState, EventKind], FollowupState] = {
    (_S.WANTED, _E.MISSED): _S.WANTED,
    (_S.WANTED, _E.REACHED): _S.DONE,
    (_S.WANTED, _E.NOT_REACHED): _S.WANTED,
    (_S.WANTED, _E.CALLED_AGAIN): _S.NOT_NEEDED,
    (_S.WANTED, _E.TRIED): _S.WANTED,
    (_S.WANTED, _E.GIVEN_UP): _S.GIVEN_UP,
    (_S.WANTED, _E.NOT_NEEDED): _S.NOT_NEEDED,
    (_S.GIVEN_UP, _E.MISSED): _S.WANTED,
    (_S.GIVEN_UP, _E.REACHED): _S.DONE,
    (_S.GIVEN_UP, _E.NOT_REACHED): _S.GIVEN_UP,
    (_S.GIVEN_UP, _E.CALLED_AGAIN): _S.NOT_NEEDED,
    (_S.GIVEN_UP, _E.REOPENED): _S.WANTED,
    (_S.DONE, _E.MISSED): _S.WANTED,
    (_S.DONE, _E.REOPENED): _S.WANTED,
    (_S.NOT_NEEDED, _E.MISSED): _S.WANTED,
    (_S.NOT_NEEDED, _E.REOPENED): _S.WANTED,
    (_S.NO_NUMBER, _E.TRIED): _S.NO_NUMBER,
    (_S.NO_NUMBER, _E.NOT_NEEDED): _S.NOT_NEEDED,
}
MANUAL = frozenset({_E.REACHED, _E.TRIED, _E.GIVEN_UP, _E.NOT_NEEDED, _E.REOPENED})
ATTEMPTS = frozenset({_E.REACHED, _E.NOT_REACHED, _E.TRIED})


@dataclass(frozen=True, slots=True)
class FollowupFact:
    """One thing that happened. call_id: None = written down by a person. reason: of a missed call, or the note."""

    at_ms: int
    kind: EventKind
    call_id: str | None = None
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one entry stands. facts: those that belong to it, in order. closed_by: what closed it, None while open."""

    state: FollowupState
    facts: tuple[FollowupFact, ...]
    closed_by: FollowupFact | None = None

    @property
    def missed(self) -> tuple[FollowupFact, ...]:
        return tuple(f for f in self.facts if f.kind is EventKind.MISSED)

    @property
    def n_attempts(self) -> int:
        return sum(f.kind in ATTEMPTS for f in self.facts)


def fact_of_call(
    call_id: str, direction: str, outcome: str, started_at_ms: int, ended_at_ms: int | None, reason: str = ""
) -> FollowupFact | None:
    """What a call is to its number's entries; None while it is not decided. A call is missed when it ends."""
    if outcome == "in_progress":
        return None
    answered = outcome == "answered"
    if direction == "inbound":
        if answered:
            return FollowupFact(started_at_ms, EventKind.CALLED_AGAIN, call_id)
        return FollowupFact(ended_at_ms or started_at_ms, EventKind.MISSED, call_id, reason=reason)
    return FollowupFact(started_at_ms, EventKind.REACHED if answered else EventKind.NOT_REACHED, call_id, reason=reason)


def day_of(at_ms: int) -> date:
    """The hotline's day that an instant falls in."""
    return from_ms(at_ms).date()


def days_missed(facts: Iterable[FollowupFact]) -> tuple[date, ...]:
    """The days on which one number was missed, in order; each is an entry."""
    return tuple(sorted({day_of(f.at_ms) for f in facts if f.kind is EventKind.MISSED}))


def stand_of_day(day: date, calls: Sequence[FollowupFact], written: Sequence[FollowupFact] = ()) -> Standing:
    """How the entry of one number and day stands. calls: all calls of the number, any order; written: its own notes."""
    first_ms = min(f.at_ms for f in calls if f.kind is EventKind.MISSED and day_of(f.at_ms) == day)
    mine = [
        f for f in calls if f.at_ms >= first_ms and (f.kind is not EventKind.MISSED or day_of(f.at_ms) == day)
    ]  # a miss of another day has an entry of its own
    return _walk(FollowupState.WANTED, [*mine, *written])


def stand_of_withheld(missed: FollowupFact, written: Sequence[FollowupFact] = ()) -> Standing:
    """How the entry of a call with a withheld number stands: nobody can be called back."""
    after = _walk(FollowupState.NO_NUMBER, written)
    return replace(after, facts=(missed, *after.facts))


def _walk(state: FollowupState, facts: Sequence[FollowupFact]) -> Standing:
    taken: list[FollowupFact] = []
    closed_by: FollowupFact | None = None
    for fact in sorted(facts, key=lambda f: (f.at_ms, f.kind is not EventKind.MISSED, f.call_id or "")):
        then = NEXT.get((state, fact.kind))
        if then is None:
            continue
        taken.append(fact)
        if then in (FollowupState.WANTED, FollowupState.NO_NUMBER):
            closed_by = None
        elif then is not state:
            closed_by = fact
        state = then
    return Standing(state, tuple(taken), closed_by)
