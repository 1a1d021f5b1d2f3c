"""Word lists edited in the rubric's text: nothing else moves; help for every operator."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.errors import RubricError
from callqa.scoring.operators import REGISTRY
from callqa.scoring.rubric import parse_rubric
from callqa.scoring.rubric_text import operator_help, with_words, word_lists

TEXT = (Path(__file__).resolve().parents[2] / "scorecards/rubric.yaml").read_text(encoding="utf-8")


def test_the_lists_are_the_rubrics() -> None:
    assert {one.name: one.words for one in word_lists(TEXT)} == {x.name: x.words for x in parse_rubric(TEXT).lexicons}
    assert all(one.name in TEXT.splitlines()[one.line - 1] for one in word_lists(TEXT))


@pytest.mark.parametrize("name", [one.name for one in word_lists(TEXT)])
def test_replacing_one_list_changes_that_list_alone(name: str) -> None:
    changed = with_words(TEXT, name, ["您好", " 您好 ", "", "第二个"])
    after = {x.name: x.words for x in parse_rubric(changed).lexicons}
    before = {x.name: x.words for x in parse_rubric(TEXT).lexicons}
    assert after == before | {name: ("您好", "第二个")}
    kept = [line for line in TEXT.splitlines() if name not in line]
    assert [line for line in kept if line not in changed.splitlines()] == []


def test_a_block_list_keeps_what_follows_it() -> None:
    text = "lexicons:\n  a:\n    - 甲 # 一\n    - 乙\n  # 说明\n  b: [丙]\nafter: 1\n"
    assert with_words(text, "a", ["丁"]) == "lexicons:\n  a:\n    [丁]\n  # 说明\n  b: [丙]\nafter: 1\n"


@given(
    st.lists(
        st.text(
            st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp"), blacklist_characters="\ufeff"),
            min_size=1,
            max_size=12,
        ),
        min_size=1,
        max_size=40,
    )
)
def test_any_words_come_back_as_they_were_given(words: list[str]) -> None:
    wanted = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    text = "lexicons:\n  a: [甲]\n  b: [乙]\n"
    if not wanted:
        with pytest.raises(RubricError):
            with_words(text, "a", words)
        return
    lists = word_lists(with_words(text, "a", words))
    assert (lists[0].words, lists[1].words) == (wanted, ("乙",))


def test_a_list_that_is_not_there_is_named_with_the_nearest() -> None:
    with pytest.raises(RubricError, match="taboo_insult"):
        with_words(TEXT, "taboo_insults", ["x"])


def test_help_for_every_operator_and_parameter() -> None:
    found = {one.name: {name for name, _, _ in one.params} for one in operator_help()}
    assert found == {name: {spec.name for spec in row.params} for name, row in REGISTRY.items()}
    assert all(text for one in operator_help() for _, text, _ in one.params)
