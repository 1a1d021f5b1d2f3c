"""Values of chapter seven: steps against their limits, runs of lost recordings, times as people say them."""

import pytest

from callqa.periods import Month
from callqa.reports.matching import ByHand, KeptCall, Spent, Step, TicketTimes, completeness, process_steps, say_span
from callqa.reports.sections.matching import _by_hand, _late_words, _spans_words
from callqa.units import Ratio

MONTH = Month(2026, 10)
AT, HOUR, DAY = MONTH.start_ms, 3_600_000, 86_400_000


def kept(*statuses: str) -> list[KeptCall]:
    """One call an hour from 09:00 of the first."""
    return [KeptCall("801", "8001", AT + (9 + i) * HOUR, status) for i, status in enumerate(statuses)]


def test_recordings_are_counted_and_runs_without_one_are_named() -> None:
    found = completeness(kept("ok", "missing", "corrupt", "ok", "pending", "missing"))
    assert (found.calls, found.ok, found.corrupt, found.missing, found.pending) == (6, 2, 1, 2, 1)
    assert found.complete == Ratio(2, 5)
    assert found.spans == ((AT + 10 * HOUR, AT + 11 * HOUR, 2), (AT + 14 * HOUR, AT + 14 * HOUR, 1))
    assert _spans_words(found) == "10月01日 10:00–11:00（2 通）；10月01日 14:00"


def test_a_confidential_call_counts_but_its_time_is_not_told() -> None:
    calls = [*kept("ok"), KeptCall("801", "8001", AT, "missing", secret=True)]
    found = completeness(calls)
    assert (found.missing, found.spans, found.hidden) == (1, (), 1)
    assert _spans_words(found) == "另有保密件 1 通"


def test_no_calls_have_no_rate() -> None:
    found = completeness([])
    assert found.complete.value is None and found.spans == ()


def test_without_a_rule_a_step_is_timed_but_not_judged() -> None:
    ticket = TicketTimes("T1", accepted_at_ms=AT, dispatched_at_ms=AT + HOUR)
    dispatch = process_steps([ticket], {}, MONTH, MONTH.end_ms)[1]
    assert dispatch.median_ms == HOUR and dispatch.judged == () and dispatch.on_time.value is None


def test_the_limit_itself_is_in_time_and_a_moment_more_is_late() -> None:
    limits = {("ticket_created_at", "dispatched_at"): HOUR}
    tickets = [TicketTimes(f"T{ms}", accepted_at_ms=AT, dispatched_at_ms=AT + HOUR + ms) for ms in (0, 1)]
    dispatch = process_steps(tickets, limits, MONTH, MONTH.end_ms)[1]
    assert [one.ticket_no for one in dispatch.late] == ["T1"] and dispatch.on_time == Ratio(1, 2)


def test_a_ticket_belongs_to_the_month_of_shanghai() -> None:
    """A ticket accepted at 23:59:59.999 of 30 September in Shanghai is 15:59:59.999 UTC of that day, and not October's."""
    tickets = [TicketTimes(str(at), accepted_at_ms=at) for at in (AT - 1, AT, MONTH.end_ms - 1, MONTH.end_ms)]
    assert process_steps(tickets, {}, MONTH, MONTH.end_ms)[1].untimed == 2


def test_what_is_not_due_yet_is_neither_in_time_nor_late() -> None:
    tickets = [TicketTimes("T1", accepted_at_ms=AT, due_at_ms=AT + DAY), TicketTimes("T2", due_at_ms=AT + HOUR)]
    closing = process_steps(tickets, {}, MONTH, AT + 2 * HOUR)[3]
    assert [one.ticket_no for one in closing.late] == ["T2"] and closing.on_time == Ratio(0, 1)


def test_late_tickets_are_listed_slowest_first_and_secret_ones_only_counted() -> None:
    tickets = tuple(Spent(f"T{n:02d}", n * HOUR, late=True) for n in range(1, 23))
    words = _late_words(Step("x", "", "", (*tickets, Spent("X1", HOUR, late=True, secret=True)), 0))
    assert words.startswith("T22 T21 ") and words.endswith("T03 等 22 件（另有保密件 1 件）") and "X1" not in words


def test_quartiles_of_the_limit_used() -> None:
    shares = (0.1, 0.2, 0.3, 0.4, 0.5)
    step = Step("x", "", "", tuple(Spent(str(s), 1, late=False, share=s) for s in shares), 0)
    assert step.shares == (0.2, 0.3, 0.4)
    assert Step("x", "", "", step.tickets[:3], 0).shares is None


@pytest.mark.parametrize(
    ("confirmed", "refused", "interval"),
    [(0, 0, "—"), (3, 26, "样本不足，不作推断"), (15, 15, "33.2%–66.8%")],
)
def test_precision_has_an_interval_only_where_enough_was_judged(confirmed: int, refused: int, interval: str) -> None:
    """15 of 30 by Wilson: (0.5 ± 1.96 √(0.25/30 + 1.96²/3600) / …) = 0.332 to 0.668."""
    table = _by_hand((ByHand("地点", 60, 40, confirmed, refused),))
    assert [cell.text for cell in table.rows[0]][5:] == [
        str(40 - confirmed - refused),
        f"{Ratio(confirmed, confirmed + refused).percent()}（{confirmed}/{confirmed + refused}）",
        interval,
    ]


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0秒"),
        (59_999, "59秒"),
        (60_000, "1分钟"),
        (600_000, "10分钟"),
        (HOUR - 1, "1小时"),
        (5 * HOUR + 30 * 60_000, "5小时30分"),
        (24 * HOUR, "24小时"),
        (48 * HOUR, "2天"),
        (51 * HOUR, "2天3小时"),
    ],
)
def test_spans_are_said_in_two_units(ms: int, words: str) -> None:
    assert say_span(ms) == words
