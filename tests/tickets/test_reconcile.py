"""Every answered call has a recording or a stated reason: what a PBX's list finds otherwise."""

from dataclasses import replace

import pytest

from callqa.tickets.importers.cdr import CdrRow
from callqa.tickets.reconcile import OurCall, Verdict, missing_spans, reconcile, same_number

NOON_MS = 1_793_678_400_000
MINUTE_MS = 60_000
HOTLINE = "02784770000"


def number_of(n: int) -> str:
    return f"138000{n:05d}"


def ours(n: int, *, minute: float | None = None, **values) -> OurCall:
    at_ms = NOON_MS + round((n * 5 if minute is None else minute) * MINUTE_MS)
    call = OurCall(f"C{n}", at_ms, at_ms + 6000, at_ms + 66_000, "answered", number_of(n), "8001", "ok", "")
    return replace(call, **values)


def theirs(n: int, *, minute: float | None = None, ahead_ms: int = 0, **values) -> CdrRow:
    at_ms = NOON_MS + round((n * 5 if minute is None else minute) * MINUTE_MS) + ahead_ms
    row = CdrRow(
        n + 2, at_ms, at_ms + 6000, at_ms + 66_000, 60_000, number_of(n), HOTLINE, "", True, "ANSWERED", f"P{n}"
    )
    return replace(row, **values)


def verdicts(result) -> dict[str, str]:
    return {(line.row.pbx_id if line.row else line.call.call_id): str(line.verdict) for line in result.lines}


def test_each_row_is_recorded_or_has_a_reason_or_is_missing() -> None:
    calls = [
        ours(0),
        ours(1, recording_status="missing", reason="媒体加密，没有密钥"),
        ours(2, outcome="unanswered", answered_at_ms=None, recording_status="none", reason="无人接听"),
        ours(3, recording_status="pending"),
        ours(4, recording_status="missing", reason=""),
        ours(7),
        ours(8, outcome="abandoned", answered_at_ms=None, recording_status="none", reason="诉求人先挂断"),
    ]
    missed = {"answered": False, "answered_at_ms": None, "talk_ms": 0}
    rows = [theirs(0), theirs(1), theirs(2, **missed), theirs(3), theirs(4), theirs(5), theirs(6, **missed), theirs(8)]
    result = reconcile(rows, calls)
    assert verdicts(result) == {
        "P0": "recorded", "P1": "stated", "P2": "unanswered", "P3": "pending", "P4": "missing", "P5": "missing",
        "P6": "not_here", "C7": "extra", "P8": "differs",
    }  # fmt: skip
    assert [line.row.pbx_id for line in result.missing if line.row] == ["P4", "P5"]


@pytest.mark.parametrize("ahead_ms", [0, 37_000, -412_000, 8 * 3_600_000, -8 * 3_600_000 + 5_000])
def test_a_wrong_clock_is_found_and_taken_off(ahead_ms: int) -> None:
    calls = [ours(n) for n in range(12)]
    rows = [theirs(n, ahead_ms=ahead_ms + (n % 3 - 1) * 900) for n in range(12) if n != 7]
    result = reconcile(rows, calls)
    assert abs(result.offset_ms - ahead_ms) <= 900
    assert result.n_pairs == 11
    assert result.count(Verdict.RECORDED) == 11
    assert verdicts(result)["C7"] == "extra"
    assert all(abs(line.off_ms or 0) < 3000 for line in result.lines)


def test_a_citizen_who_calls_all_day_does_not_make_a_clock_wrong() -> None:
    again = {"citizen_number": number_of(0)}
    calls = [ours(n, **again) for n in range(10)] + [ours(n, minute=60 + n) for n in range(20, 24)]
    rows = [theirs(n, from_number=number_of(0)) for n in range(10)]
    rows += [theirs(n, minute=60 + n) for n in range(20, 24)]
    result = reconcile(rows, calls)
    assert result.offset_ms == 0 and result.count(Verdict.RECORDED) == 14
    pairs = {line.row.pbx_id[1:]: line.call.call_id[1:] for line in result.lines}
    assert all(a == b for a, b in pairs.items())


def test_too_few_calls_say_nothing_of_a_clock() -> None:
    result = reconcile([theirs(0, ahead_ms=20_000)], [ours(0)])
    assert (result.offset_ms, result.n_pairs, result.count(Verdict.RECORDED)) == (0, 0, 1)


def test_a_call_of_the_same_number_at_another_time_is_another_call() -> None:
    result = reconcile([theirs(0)], [ours(0, minute=20)])
    assert verdicts(result)["P0"] == "missing"


def test_withheld_numbers_pair_by_seat_or_length_of_talk() -> None:
    calls = [ours(0, citizen_number="", seat_extension="8001"), ours(1, citizen_number="", seat_extension="")]
    rows = [theirs(0, from_number="", seat_extension="8001", talk_ms=None), theirs(1, from_number="")]
    assert reconcile(rows, calls).count(Verdict.RECORDED) == 2
    on_time = [theirs(0, talk_ms=5000)]  # the PBX knows the number that we may not see
    assert reconcile(on_time, calls[:1]).count(Verdict.RECORDED) == 1
    assert reconcile([replace(on_time[0], started_at_ms=NOON_MS + 9000, answered_at_ms=None)], calls[:1]).missing
    wrong_seat = [theirs(0, from_number="", seat_extension="8009", talk_ms=5000)]
    assert reconcile(wrong_seat, calls[:1]).count(Verdict.MISSING) == 1


def test_an_unanswered_leg_never_takes_the_recording_of_the_answered_one() -> None:
    """The PBX rings two seats: two rows of one call, one of them not answered."""
    rows = [theirs(0, answered=False, answered_at_ms=None, talk_ms=0, pbx_id="RANG"), theirs(0)]
    assert verdicts(reconcile(rows, [ours(0)])) == {"RANG": "not_here", "P0": "recorded"}


def test_a_second_leg_of_a_recorded_call_is_a_part_of_it() -> None:
    transferred = theirs(0, pbx_id="LEG2", minute=0.6, talk_ms=20_000)
    assert verdicts(reconcile([theirs(0), transferred], [ours(0)])) == {"P0": "recorded", "LEG2": "part"}


def test_a_menu_before_us_shifts_the_start_but_not_the_answer() -> None:
    row = theirs(0, minute=-2, answered_at_ms=NOON_MS + 6000)
    assert verdicts(reconcile([row], [ours(0)])) == {"P0": "recorded"}


def test_seats_talking_to_each_other_are_no_hotline_calls() -> None:
    row = theirs(0, from_number="8001", to_number="8002")
    seats = frozenset({"8001", "8002"})
    assert reconcile([row], [], seats=seats).lines[0].verdict is Verdict.INTERNAL
    assert reconcile([row], []).lines[0].verdict is Verdict.MISSING


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("84770000", "02784770000", True),
        ("13871206358", "913871206358", True),
        ("13871206358", "13871206359", False),
        ("110", "110", True),
        ("10", "110", False),
        ("", "", False),
    ],
)
def test_same_number(a: str, b: str, same: bool) -> None:
    assert same_number(a, b) is same


def test_a_run_of_missing_calls_tells_when_nothing_was_recorded() -> None:
    rows = [theirs(n) for n in range(10)]
    result = reconcile(rows, [ours(n) for n in (0, 1, 5, 6, 8, 9)])
    assert missing_spans(result) == ((NOON_MS + 10 * MINUTE_MS, NOON_MS + 20 * MINUTE_MS, 3),)


def test_a_months_calls_take_moments() -> None:
    """Bounded work: the time of the test run is the witness, no clock is read here."""
    calls = [ours(n % 3000, minute=n / 3) for n in range(4_000)]
    rows = [theirs(n % 3000, minute=n / 3) for n in range(4_000)]
    assert reconcile(rows, calls).count(Verdict.RECORDED) == 4_000
