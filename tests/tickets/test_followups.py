"""未接来电回拨: an entry comes out the same whatever order its calls arrive in, and follows its table."""

import itertools
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.tickets.followups import (
    NEXT,
    EventKind,
    FollowupFact,
    FollowupState,
    day_of,
    days_missed,
    fact_of_call,
    stand_of_day,
    stand_of_withheld,
)

NOON_MS = 1_793_678_400_000  # 2026-11-03 12:00 in Shanghai
DAY = date(2026, 11, 3)
MINUTE_MS = 60_000

MISSED, REACHED, NOT_REACHED = EventKind.MISSED, EventKind.REACHED, EventKind.NOT_REACHED
AGAIN, TRIED, GIVEN_UP = EventKind.CALLED_AGAIN, EventKind.TRIED, EventKind.GIVEN_UP


def fact(minute: int, kind: EventKind, call_id: str | None = "") -> FollowupFact:
    return FollowupFact(NOON_MS + minute * MINUTE_MS, kind, f"C{minute:04d}" if call_id == "" else call_id)


def stand(*told: tuple[int, EventKind], written: tuple[tuple[int, EventKind], ...] = ()):
    calls = [fact(minute, kind) for minute, kind in told]
    return stand_of_day(DAY, calls, [fact(minute, kind, None) for minute, kind in written])


def test_a_missed_call_is_wanted_until_we_reach_the_citizen() -> None:
    assert stand((0, MISSED)).state is FollowupState.WANTED
    tried = stand((0, MISSED), (5, NOT_REACHED))
    assert (tried.state, tried.n_attempts, tried.closed_by) == (FollowupState.WANTED, 1, None)
    done = stand((0, MISSED), (5, NOT_REACHED), (9, REACHED))
    assert (done.state, done.n_attempts) == (FollowupState.DONE, 2)
    assert done.closed_by is not None and done.closed_by.call_id == "C0009"


def test_the_citizens_next_answered_call_makes_it_not_needed() -> None:
    standing = stand((0, MISSED), (3, MISSED), (8, AGAIN))
    assert (standing.state, len(standing.missed)) == (FollowupState.NOT_NEEDED, 2)
    assert standing.closed_by is not None and standing.closed_by.kind is AGAIN


def test_a_call_before_the_miss_is_no_part_of_it() -> None:
    standing = stand((-10, REACHED), (-5, AGAIN), (0, MISSED))
    assert (standing.state, len(standing.facts)) == (FollowupState.WANTED, 1)


def test_missed_again_after_it_was_done_opens_it_again() -> None:
    standing = stand((0, MISSED), (5, REACHED), (60, MISSED))
    assert (standing.state, standing.closed_by, len(standing.missed)) == (FollowupState.WANTED, None, 2)


def test_calls_after_it_is_closed_are_about_something_else() -> None:
    standing = stand((0, MISSED), (5, REACHED), (50, NOT_REACHED), (55, REACHED), (58, AGAIN))
    assert (standing.n_attempts, len(standing.facts)) == (1, 2)


def test_each_day_is_an_entry_and_one_call_closes_both() -> None:
    calls = [fact(0, MISSED), fact(13 * 60, MISSED), fact(13 * 60 + 5, REACHED)]
    assert days_missed(calls) == (DAY, date(2026, 11, 4))
    assert [stand_of_day(day, calls).state for day in days_missed(calls)] == [FollowupState.DONE] * 2
    assert len(stand_of_day(DAY, calls).missed) == 1


def test_given_up_by_a_person_and_reached_after_all() -> None:
    given_up = stand((0, MISSED), written=((5, TRIED), (9, GIVEN_UP)))
    assert (given_up.state, given_up.n_attempts) == (FollowupState.GIVEN_UP, 1)
    assert stand((0, MISSED), (20, REACHED), written=((9, GIVEN_UP),)).state is FollowupState.DONE
    reopened = stand((0, MISSED), written=((9, GIVEN_UP), (12, EventKind.REOPENED)))
    assert (reopened.state, reopened.closed_by) == (FollowupState.WANTED, None)


def test_a_withheld_number_cannot_be_called_back() -> None:
    missed = fact(0, MISSED)
    assert stand_of_withheld(missed).state is FollowupState.NO_NUMBER
    set_aside = stand_of_withheld(missed, [fact(5, EventKind.NOT_NEEDED, None)])
    assert (set_aside.state, len(set_aside.missed)) == (FollowupState.NOT_NEEDED, 1)
    assert stand_of_withheld(missed, [fact(5, REACHED, None)]).state is FollowupState.NO_NUMBER


@pytest.mark.parametrize(
    ("direction", "outcome", "kind"),
    [
        ("inbound", "unanswered", MISSED),
        ("inbound", "abandoned", MISSED),
        ("inbound", "answered", AGAIN),
        ("outbound", "answered", REACHED),
        ("outbound", "unanswered", NOT_REACHED),
        ("outbound", "abandoned", NOT_REACHED),
        ("inbound", "in_progress", None),
    ],
)
def test_what_a_call_is(direction: str, outcome: str, kind: EventKind | None) -> None:
    found = fact_of_call("C", direction, outcome, 1000, 2000)
    assert (found.kind if found else None) is kind
    if kind is MISSED:
        assert found is not None and found.at_ms == 2000, "a call is missed when it ends"


def test_every_state_is_reached_and_left() -> None:
    left = {state for state, _ in NEXT}
    assert left == set(FollowupState)
    assert set(NEXT.values()) == set(FollowupState)


told = st.tuples(st.integers(-300, 300), st.sampled_from([MISSED, REACHED, NOT_REACHED, AGAIN]))


@given(st.lists(told, min_size=1, max_size=6, unique_by=lambda t: t[0]))
@settings(max_examples=60)
def test_order_of_arrival_changes_nothing(events: list[tuple[int, EventKind]]) -> None:
    calls = [fact(minute, kind) for minute, kind in [*events, (0 if all(m for m, _ in events) else 301, MISSED)]]
    expected = stand_of_day(DAY, calls)
    assert all(
        stand_of_day(DAY, list(order)) == expected for order in itertools.islice(itertools.permutations(calls), 200)
    )
    open_now = expected.state is FollowupState.WANTED
    last = max((f for f in expected.facts), key=lambda f: f.at_ms)
    assert open_now == (last.kind in (MISSED, NOT_REACHED))
    assert all(day_of(f.at_ms) == DAY for f in expected.missed)
