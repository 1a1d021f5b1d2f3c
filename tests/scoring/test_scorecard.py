"""计分: the rubric's own examples, and the laws a sum must keep."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.errors import CallqaError
from callqa.scoring.criteria import Example
from callqa.scoring.rubric import parse_rubric
from callqa.scoring.scorecard import total
from callqa.units import CallType

ROOT = Path(__file__).parents[1]
RUBRIC = parse_rubric((ROOT.parent / "scorecards" / "rubric.yaml").read_text(encoding="utf-8"))
SMALL = parse_rubric((ROOT / "data" / "rubric" / "good_small.yaml").read_text(encoding="utf-8"))
IDS = [item.item_id for item in RUBRIC.items_for(CallType.INBOUND)]


@pytest.mark.parametrize("example", RUBRIC.examples, ids=lambda example: example.name)
def test_examples_of_the_rubric(example: Example) -> None:
    card = total(
        RUBRIC,
        example.call_type,
        not_applicable=example.not_applicable,
        deductions={item_id: dict.fromkeys(codes, 1) for item_id, codes in example.deductions},
        confirmed_fatals=example.confirmed_fatals,
    )
    assert (card.quality_score, card.final_score, card.grade) == (
        example.quality_score,
        example.final_score,
        example.grade,
    )


def inbound(deductions: dict[str, dict[str, int]], na: tuple[str, ...] = (), fatals: tuple[str, ...] = ()):  # type: ignore[no-untyped-def]
    return total(RUBRIC, CallType.INBOUND, not_applicable=na, deductions=deductions, confirmed_fatals=fatals)


def points_of(deductions: dict[str, dict[str, int]], item_id: str) -> Decimal | None:
    return next(item.points for item in inbound(deductions).items if item.item_id == item_id)


def test_an_item_never_falls_below_its_floor() -> None:
    assert points_of({"S1.2": {"a": 1, "c": 2, "d": 1}}, "S1.2") == 0


def test_times_are_capped_and_zero_times_is_nothing() -> None:
    assert points_of({"S1.2": {"b": 9}}, "S1.2") == 3
    assert points_of({"S1.2": {"b": 0}}, "S1.2") == 5


def test_an_exclusive_option_stands_alone() -> None:
    assert points_of({"S2.1": {"a": 1, "b": 1, "c": 1}}, "S2.1") == 2


def test_rounding_is_half_up() -> None:
    """95 points apply, 0.05 of a tenth decides: 100 × 2.5 ÷ 5 = 50; 23 ÷ 95 is rounded once, at the end."""
    card = total(SMALL, CallType.INBOUND, not_applicable=(), deductions={"S1.1": {"a": 1}}, confirmed_fatals=())
    assert card.quality_score == Decimal("50.0") and card.grade == "failed"
    assert inbound({"S2.1": {"a": 1}}, ("S2.3",)).quality_score == Decimal("98.9")  # 98.947


def test_fatal_caps_or_zeroes_the_final_score_only() -> None:
    assert (inbound({}, fatals=("F1",)).final_score, inbound({}, fatals=("F1",)).quality_score) == (0, 100)
    capped = total(SMALL, CallType.INBOUND, not_applicable=(), deductions={}, confirmed_fatals=("F1",))
    assert (capped.final_score, capped.quality_score, capped.grade) == (59, 100, "failed")
    low = total(SMALL, CallType.INBOUND, not_applicable=(), deductions={"S1.1": {"a": 1}}, confirmed_fatals=("F1",))
    assert low.final_score == 50


@pytest.mark.parametrize(
    ("deductions", "na", "fatals", "message"),
    [
        ({"S4.1": {"a": 1}}, (), (), "S4.1"),  # a callback's item
        ({"S1.1": {"z": 1}}, (), (), "没有扣分选项 z"),
        ({"S1.1": {"a": -1}}, (), (), "负数"),
        ({}, ("S9",), (), "S9"),
        ({}, (), ("F9",), "F9"),
        ({}, tuple(IDS), (), "无法计分"),
    ],
)
def test_names_that_do_not_exist(
    deductions: dict[str, dict[str, int]], na: tuple[str, ...], fatals: tuple[str, ...], message: str
) -> None:
    with pytest.raises(CallqaError, match=message):
        inbound(deductions, na, fatals)


def test_too_much_not_applicable_warns() -> None:
    assert not inbound({}, ("S2.3",)).na_warning
    card = inbound({}, ("S3.1", "S3.4", "S2.2", "S6.1", "S6.2", "S6.3"))
    assert card.na_ratio == Decimal("0.45") and card.na_warning


choices = st.fixed_dictionaries(
    {},
    optional={
        item.item_id: st.dictionaries(st.sampled_from([o.code for o in item.options]), st.integers(0, 4), max_size=4)
        for item in RUBRIC.items_for(CallType.INBOUND)
    },
)


@settings(max_examples=100)
@given(choices, st.sets(st.sampled_from(IDS), max_size=8))
def test_the_total_is_the_sum_of_its_items(deductions: dict[str, dict[str, int]], na: set[str]) -> None:
    card = inbound(deductions, tuple(na))
    counted = [item for item in card.items if item.points is not None]
    exact = 100 * sum(item.points for item in counted) / sum(item.max_points for item in counted)
    assert abs(card.quality_score - exact) <= Decimal("0.05")
    assert all(0 <= item.points <= item.max_points for item in counted)
    assert {item.item_id for item in card.items} - {item.item_id for item in counted} == na
    assert 0 <= card.final_score == card.quality_score <= 100


@settings(max_examples=60)
@given(choices, st.sampled_from(IDS), st.data())
def test_one_more_deduction_never_raises_the_score_unless_exclusive(
    deductions: dict[str, dict[str, int]], item_id: str, data: st.DataObject
) -> None:
    options = [option for option in RUBRIC.item(item_id).options if not option.exclusive]
    option = data.draw(st.sampled_from(options))
    more = {**deductions, item_id: {**deductions.get(item_id, {}), option.code: 4}}
    assert inbound(more).quality_score <= inbound(deductions).quality_score
