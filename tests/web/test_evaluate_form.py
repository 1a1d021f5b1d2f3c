"""The scoring form's fields become an EvaluationInput, whatever order and nonsense they come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.errors import CallqaError
from callqa.usecases.evaluate import CommentInput, DeductionInput, FatalInput
from callqa.web.evaluate_form import SuggestedOption, read_clock, read_form


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


def test_an_accepted_suggestion_ticks_its_option_without_scripts() -> None:
    suggested = [SuggestedOption(4, "S1.4", "b", 46_600, "没有道别"), SuggestedOption(5, "S2.3", "a", 1, "静音")]
    read = read_form([("s:4", "accepted"), ("s:5", "rejected")], suggested)
    assert read.deductions == {"S1.4": {"b": DeductionInput(1, 46_600, "没有道别")}}


def test_what_the_person_typed_wins_over_the_suggestion() -> None:
    suggested = [SuggestedOption(4, "S1.4", "b", 46_600, "没有道别")]
    fields = [("s:4", "accepted"), ("d:S1.4:b", "1"), ("at:S1.4:b", "0:50"), ("note:S1.4:b", "自己写的")]
    assert read_form(fields, suggested).deductions["S1.4"]["b"] == DeductionInput(1, 50_000, "自己写的")


@pytest.mark.parametrize(
    ("text", "ms"), [("0:00", 0), ("1:05", 65_000), ("12:34.5", 754_500), ("1:02:03", 3_723_000), ("", None)]
)
def test_clock(text: str, ms: int | None) -> None:
    assert read_clock(text, "评语") == ms


@pytest.mark.parametrize("text", ["1.5", "abc", "1:75", "-1:00", "1:2:3:4"])
def test_a_time_nobody_can_read_is_named(text: str) -> None:
    with pytest.raises(CallqaError, match="S1.1 a"):
        read_form([("d:S1.1:a", "1"), ("at:S1.1:a", text)], ())


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=40)), max_size=20))
def test_any_fields_give_a_form_or_one_of_our_errors(pairs: list[tuple[str, str]]) -> None:
    try:
        read_form(pairs, ())
    except CallqaError:
        pass
