"""Reading a rubric: the default one, and one mistake per bad file with its line and message."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.errors import RubricError
from callqa.scoring.criteria import Level, OperatorCall, Origin, Unit, operator_calls
from callqa.scoring.operators import REGISTRY
from callqa.scoring.rubric import parse_rubric
from callqa.units import CallType

DATA = Path(__file__).parents[1] / "data" / "rubric"
DEFAULT = Path(__file__).parents[2] / "scorecards" / "rubric.yaml"
GOOD = (DATA / "good_small.yaml").read_text(encoding="utf-8")


def test_the_default_rubric_loads_whole() -> None:
    rubric = parse_rubric(DEFAULT.read_text(encoding="utf-8"))
    assert len(rubric.items) == 23 and len(rubric.fatal_items) == 7 and len(rubric.examples) == 4
    assert re.fullmatch("[0-9a-f]{64}", rubric.rubric_hash)
    for call_type in CallType:
        assert sum(item.max_points for item in rubric.items_for(call_type)) == rubric.full_score == 100


def test_the_default_rubric_names_every_operator() -> None:
    text = DEFAULT.read_text(encoding="utf-8")
    for name in REGISTRY:
        assert re.search(rf"^  {name}: ", text, re.MULTILINE), name


def test_values_of_the_small_rubric() -> None:
    rubric = parse_rubric(GOOD)
    item = rubric.item("S1.1")
    assert item.option("a").points == Decimal("2.5")
    assert (item.option("b").per, item.option("b").max_times) == ("occurrence", 2)
    first, second = item.checks
    assert isinstance(first.condition, OperatorCall) and first.condition.scope is not None
    assert (first.condition.scope.origin, first.condition.scope.unit, first.condition.scope.within) == (
        Origin.START,
        Unit.SECONDS,
        15.0,
    )
    assert first.on_miss is not None and first.on_miss.level is Level.PRESELECT and first.line == 36
    assert [call.anchor for call in operator_calls(second.condition)] == [None, "gap"]
    assert rubric.scoring.fatal_policy.mode == "cap"
    assert rubric.lexicon("opening").words == ("您好", "水务热线")
    with pytest.raises(KeyError):
        rubric.item("S9")


def test_the_hash_is_of_the_text() -> None:
    assert parse_rubric(GOOD).rubric_hash != parse_rubric(GOOD + "\n").rubric_hash


@pytest.mark.parametrize("path", sorted(DATA.glob("bad_*.yaml")), ids=lambda path: path.stem)
def test_a_mistake_is_reported_with_its_line(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    expected = re.match(r"# 第 (\d+) 行：(.+)\n", text)
    assert expected is not None
    with pytest.raises(RubricError) as raised:
        parse_rubric(text)
    assert raised.value.line == int(expected[1])
    assert expected[2] in raised.value.message


def test_every_sample_file_is_in_the_readme() -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in DATA.glob("*.yaml") if f"`{path.name}`" not in readme] == []


@pytest.mark.parametrize(
    "text",
    ["", "[]", "1", "a: [", "\x00", "a: 1\n---\nb: 2", "- " * 60, "? [a]\n: 1", "{" * 200, "schema: \ud800"],
)
def test_nonsense_gives_a_rubric_error(text: str) -> None:
    with pytest.raises(RubricError):
        parse_rubric(text)


@settings(max_examples=150)
@given(
    st.integers(0, len(GOOD) - 1),
    st.integers(0, 12),
    st.sampled_from(["", "[", "}", "null", "x", "：", "\n", " ", "1e9", "!!int x"]),
)
def test_a_damaged_rubric_loads_or_gives_a_rubric_error(start: int, length: int, insert: str) -> None:
    text = GOOD[:start] + insert + GOOD[start + length :]
    try:
        parse_rubric(text)
    except RubricError as error:
        assert error.line >= 0 and error.message
