"""The scoring form's fields become an EvaluationInput, whatever order and nonsense they come in, and go back again."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.errors import CallqaError
from callqa.scoring.rubric import parse_rubric
from callqa.units import CallType
from callqa.usecases.evaluate_input import CommentInput, DeductionInput, EvaluationInput, FatalInput, SuggestionRef
from callqa.web.evaluate_flow import Stage, in_call_order
from callqa.web.evaluate_form import ShownForm, read_clock, read_form, write_form

GOODBYE = SuggestionRef(4, "S1.4", "b", at_ms=46_600, reason="没有道别")


def test_every_kind_of_field_is_read() -> None:
    read = read_form(
        [
            ("version", "3"),
            ("na:S2.3", "1"),
            ("d:S1.2:c", "1"),
            ("t:S1.2:c", "2"),
            ("at:S1.2:c", "1:05"),
            ("note:S1.2:c", " 语气 "),
            ("at:S1.1:a", "0:07"),
            ("f:F1", "1"),
            ("fat:F1", "0:30"),
            ("fwords:F1", "原话"),
            ("c_at", "0:10"),
            ("c_text", "很好"),
            ("c_at", ""),
            ("c_text", "  "),
            ("s:4", "rejected"),
            ("summary", "总评"),
            ("elapsed_ms", "61000"),
        ],
        (),
    )
    assert read.not_applicable == {"S2.3"}
    assert read.deductions == {"S1.2": {"c": DeductionInput(2, 65_000, "语气")}}  # an unticked option has no say
    assert read.fatals == (FatalInput("F1", 30_000, "原话"),)
    assert read.comments == (CommentInput(10_000, "很好"),)
    assert read.decisions == {4: "rejected"}
    assert (read.summary, read.elapsed_ms) == ("总评", 61_000)


def test_an_accepted_suggestion_counts_as_often_as_it_says() -> None:
    """Two silences, −4 on the page: accepting it deducts four points, not two; who chose another number keeps it."""
    twice = SuggestionRef(5, "S2.3", "a", at_ms=1, reason="静音 2 次", times=2)
    read = read_form([("s:5", "accepted")], [twice])
    assert read.deductions["S2.3"]["a"] == DeductionInput(2, 1, "静音 2 次")
    chosen = read_form([("s:5", "accepted"), ("d:S2.3:a", "1"), ("t:S2.3:a", "1")], [twice])
    assert chosen.deductions["S2.3"]["a"].times == 1


@pytest.mark.parametrize(
    ("found", "times"),
    [
        (((1, "preselect"), (1, "preselect")), 2),
        (((2, "preselect"), (1, "preselect")), 2),  # the option's max_times
        (((1, "preselect"), (1, "hint")), 1),  # it may say the same again
        (((1, "preselect"), (2, "hint")), 2),
        (((1, "hint"), (1, "hint")), 1),
    ],
)
def test_several_accepted_suggestions_of_one_option(found: tuple[tuple[int, str], ...], times: int) -> None:
    refs = [
        SuggestionRef(k, "S1.2", "c", at_ms=k, reason=f"第 {k} 处", level=level, times=n, max_times=2)
        for k, (n, level) in enumerate(found, 1)
    ]
    read = read_form([(f"s:{one.suggestion_id}", "accepted") for one in refs], refs)
    assert read.deductions == {"S1.2": {"c": DeductionInput(times, 1, "第 1 处")}}


def test_an_accepted_suggestion_ticks_its_option_without_scripts() -> None:
    silence = SuggestionRef(5, "S2.3", "a", at_ms=1, reason="静音")
    read = read_form([("s:4", "accepted"), ("s:5", "rejected")], [GOODBYE, silence])
    assert read.deductions == {"S1.4": {"b": DeductionInput(1, 46_600, "没有道别")}}


def test_what_the_person_typed_wins_over_the_suggestion() -> None:
    fields = [("s:4", "accepted"), ("d:S1.4:b", "1"), ("at:S1.4:b", "0:50"), ("note:S1.4:b", "自己写的")]
    assert read_form(fields, [GOODBYE]).deductions["S1.4"]["b"] == DeductionInput(1, 50_000, "自己写的")


@pytest.mark.parametrize(
    ("text", "ms"), [("0:00", 0), ("1:05", 65_000), ("12:34.5", 754_500), ("1:02:03", 3_723_000), ("", None)]
)
def test_clock(text: str, ms: int | None) -> None:
    assert read_clock(text, "评语") == ms


@pytest.mark.parametrize("text", ["1.5", "abc", "1:75", "-1:00", "1:2:3:4"])
def test_a_time_nobody_can_read_is_named(text: str) -> None:
    with pytest.raises(CallqaError, match=r"S1\.1 a 的时间点"):
        read_form([("d:S1.1:a", "1"), ("at:S1.1:a", text)], ())


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=40)), max_size=20))
def test_any_fields_give_a_form_or_one_of_our_errors(pairs: list[tuple[str, str]]) -> None:
    ShownForm.of(pairs)
    with contextlib.suppress(CallqaError):
        read_form(pairs, ())


ITEMS = st.sampled_from(["S1.1", "S1.2", "S3.2", "S6.3"])
SECONDS_MS = st.none() | st.integers(0, 3_600).map(lambda s: s * 1000)
WORDS = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=12)
INPUTS = st.builds(
    EvaluationInput,
    not_applicable=st.frozensets(ITEMS),
    deductions=st.dictionaries(
        ITEMS,
        st.dictionaries(
            st.sampled_from("abc"), st.builds(DeductionInput, st.integers(1, 3), SECONDS_MS, WORDS), min_size=1
        ),
    ),
    fatals=st.lists(
        st.builds(FatalInput, st.sampled_from(["F1", "F2"]), SECONDS_MS, WORDS),
        unique_by=lambda f: f.fatal_id,
        max_size=2,
    ).map(tuple),
    comments=st.lists(st.builds(CommentInput, SECONDS_MS, WORDS.filter(bool)), max_size=3).map(tuple),
    decisions=st.dictionaries(st.integers(1, 99), st.sampled_from(["accepted", "rejected"])),
    summary=WORDS,
    elapsed_ms=st.integers(0, 10**9),
)


@given(INPUTS)
def test_what_is_stored_is_shown_as_it_would_be_typed(stored: EvaluationInput) -> None:
    assert read_form(write_form(stored), ()) == stored


def test_the_form_shows_what_was_typed_even_where_it_cannot_be_read() -> None:
    shown = ShownForm.of([("d:S1.1:a", "1"), ("at:S1.1:a", "早上"), ("c_at", ""), ("c_text", "留着"), ("c_at", "")])
    assert shown.has("d:S1.1:a") and not shown.has("d:S1.1:b")
    assert shown.value("at:S1.1:a") == "早上"
    assert shown.comments == (("", "留着"),)


@pytest.mark.parametrize("call_type", CallType)
def test_the_form_follows_the_call(call_type: CallType) -> None:
    rubric = parse_rubric(
        (Path(__file__).resolve().parents[2] / "scorecards" / "rubric.yaml").read_text(encoding="utf-8")
    )
    order = in_call_order(rubric, call_type)
    ids = [item.item_id for one in order for item in one.items]
    assert sorted(ids) == sorted(item.item_id for item in rubric.items_for(call_type))  # every item once
    assert [one.stage for one in order] == list(Stage)
    assert ids[0] == "S1.1" and ids[-1] == "S6.3"
    assert [i.item_id for i in order[2].items] == ["S1.4"]
