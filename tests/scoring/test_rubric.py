"""Reading a rubric: the default one, and one mistake per bad file with its line and message."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.errors import RubricError
from callqa.scoring.condition_tree import OperatorCall, Origin, Refused, Unit, operator_calls
from callqa.scoring.criteria import Level
from callqa.scoring.operators import REGISTRY
from callqa.scoring.rubric import parse_rubric, parse_stored, read_rubric
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


REFUSED_RULES = {
    "bad_anchor_in_any": "S1.1-2",
    "bad_empty_scope": "S1.1-1",
    "bad_endless_regex": "S1.1-2",
    "bad_filler": "S1.1-1",
    "bad_miss_count": "S1.1-1",
    "bad_operator": "S1.1-2",
    "bad_ticket_value": "na_when",
    "bad_example": "",
    "bad_key": "",
}


@pytest.mark.parametrize("name", REFUSED_RULES)
def test_a_stored_version_loads_without_the_rules_that_are_refused_today(name: str) -> None:
    text = (DATA / f"{name}.yaml").read_text(encoding="utf-8")
    line = int(re.match(r"# 第 (\d+) 行", text)[1])  # type: ignore[index]
    rubric = parse_stored(text)
    item = rubric.item("S1.1")
    whole = parse_rubric(GOOD)
    assert (item.options, item.max_points, rubric.scoring) == (
        whole.item("S1.1").options,
        whole.item("S1.1").max_points,
        whole.scoring,
    )
    conditions = {check.check_id: check.condition for check in item.checks} | {"na_when": item.na_when}
    refused = {rule: c.why for rule, c in conditions.items() if isinstance(c, Refused)}
    assert set(refused) == {REFUSED_RULES[name]} - {""}
    assert all(f"第 {line} 行" in why for why in refused.values())


def test_a_stored_version_whose_points_cannot_be_read_is_not_guessed() -> None:
    with pytest.raises(RubricError):
        parse_stored((DATA / "bad_points.yaml").read_text(encoding="utf-8"))


def mistakes_of(*changes: tuple[str, str]) -> list[tuple[int, str]]:
    """(line, message) of every mistake of the small rubric with these changes."""
    text = GOOD
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    rubric, mistakes = read_rubric(text)
    assert (rubric is None) == bool(mistakes)
    return sorted((m.line, m.message) for m in mistakes)


def test_every_mistake_is_reported_at_once_and_none_twice() -> None:
    found = mistakes_of(
        ("full_score: 100", "full_score: 许多"),
        ("  item_floor: 0\n", "  item_flor: 0\n"),
        ("min: 0}", "min: 1}"),
        ("max_edit: 1", "max_edit: 很少"),
        ("keyword_any: {kind", "keyword_eny: {kind"),
        ("opening: [您好, 水务热线]", "opening: []"),  # the rule that names this list is right
        ("points: 2.5, per: call}", "points: 9, per: call}"),  # and the one that suggests this option
        ("auto: full", "auto: fully"),
        ("op: silence, params: {min_s: 10}", "op: silence, params: {min_x: 10}"),
        ("title: 辱骂, applies_to: [inbound]", "title: 辱骂, applies_to: [inbond]"),
        ("op: duration", "op: durations"),
        ("deductions: {S1.1: [a]}", "deductions: {S1.1: [z]}"),  # examples wait until the rest is right
    )
    assert [line for line, _ in found] == [5, 9, 13, 17, 19, 21, 31, 34, 39, 43, 43], found


def test_mistakes_in_names_are_not_repeated_where_they_are_used() -> None:
    assert mistakes_of(("  - {id: F1, title: 辱骂", "  - {id: F1, titel: 辱骂")) == [
        (43, "致命项没有“titel”这一项；是否想写“title”？"),
        (43, "致命项缺少“title”"),
    ]
    options = ("        options:\n", "        options: 没有\n        standard:\n")
    assert [line for line, _ in mistakes_of(options)] == [30, 32]  # the standard is a list now; the rules say nothing
    assert [line for line, _ in mistakes_of(("deductions: {S1.1: [a]}", "deductions: {S1.1: [z]}"))] == [48]
    assert mistakes_of() == []


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
