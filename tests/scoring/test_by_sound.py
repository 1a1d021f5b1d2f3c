"""仅凭读音相符的只作提示: also where likeness is only a part of what a result needs; and what repair or doubt adds to it."""

import pytest

from callqa.scoring.criteria import Level
from callqa.scoring.facts import CallFacts
from callqa.scoring.operators.finding import State
from callqa.scoring.scorer import CheckOutcome, score
from tests.scoring.scenes import call, repaired, rubric_with

GREETING = "a 0-5 您好，武汉水务热线，工号八零幺为您服务。"
TWO = call(GREETING, "c 6-8 警盖不见了。", "c 9-12 路面漏电。", "c 13-15 你们快来啊。")  # 井盖 by sound, 漏电 as read
READ = call(GREETING, "c 6-8 井盖不见了。", "c 9-12 路面漏电。", "c 13-15 你们快来啊。")


def hit(condition: str, facts: CallFacts, more: str = "") -> CheckOutcome:
    outcome = score(rubric_with(f"{{id: S1.1-1, {condition}, on_hit: {{suggest: b{more}}}}}"), facts)
    assert outcome.results[0].state is State.HIT, outcome.results[0].explanation
    return outcome


WORD = "{op: keyword_any, role: citizen, params: {words: [%s]}}"


@pytest.mark.parametrize(
    ("condition", "more"),
    [
        ("op: keyword_any, role: citizen, params: {words: [井盖, 漏电], min_hits: 2}", ""),
        ("op: keyword_all, role: citizen, params: {groups: [[井盖], [漏电]]}", ""),
        (f"all: [{WORD % '漏电'}, {WORD % '井盖'}]", ""),
        (
            "all: [{op: keyword_any, role: citizen, params: {words: [漏电]}, as: it}, {op: keyword_any, role: citizen, "
            "params: {words: [井盖]}, anchor: it, where: before, within: {utt: 2}}]",
            "",
        ),
        (f"any: [{{all: [{WORD % '漏电'}, {WORD % '井盖'}]}}, {WORD % '转接'}]", ""),
    ],
)
def test_what_needs_one_word_by_sound_is_a_hint(condition: str, more: str) -> None:
    assert [s.level for s in hit(condition, TWO, more).suggestions] == [Level.HINT]
    assert [s.level for s in hit(condition, READ, more).suggestions] == [Level.PRESELECT]


def test_a_suspected_fatal_item_is_not_made_of_one_word_and_a_likeness() -> None:
    check = "{id: F1-1, op: keyword_any, role: citizen, params: {words: [井盖, 漏电], min_hits: 2}, on_hit: {suggest_fatal: F1}}"
    assert not score(rubric_with("", fatal_checks=check), TWO).suspected_fatal
    assert score(rubric_with("", fatal_checks=check), READ).suspected_fatal


def test_either_of_two_is_certain_by_the_one_that_was_read() -> None:
    (suggestion,) = hit(f"any: [{WORD % '井盖'}, {WORD % '漏电'}]", TWO).suggestions
    assert (suggestion.level, suggestion.times, suggestion.evidence[0].quote) == (Level.PRESELECT, 1, "路面漏电。")


def test_occurrences_by_sound_do_not_add_points_to_those_that_were_read() -> None:
    condition = (
        "all: [{op: keyword_any, role: citizen, params: {words: [漏电, 井盖]}, as: it}, "
        "{op: keyword_any, role: citizen, params: {words: [快来]}, anchor: it, where: after}]"
    )
    assert hit(condition, READ).suggestions[0].times == 2
    assert (hit(condition, TWO).suggestions[0].times, hit(condition, TWO).suggestions[0].level) == (1, Level.PRESELECT)


OFTEN = (
    '{id: S1.1-1, op: regex, role: citizen, params: {pattern: "再说一遍"}, on_hit: {suggest: a, min_occurrences: 2}}'
)


@pytest.mark.parametrize(
    ("second", "state"),
    [("c 9-11 再说一遍", "hit"), ("c? 9-11 再说一遍", "unsure"), ("c 9-11 好的好的", "miss")],
)
def test_a_second_time_that_was_not_read_clearly_is_doubt_and_no_miss(second: str, state: str) -> None:
    outcome = score(rubric_with(OFTEN), call(GREETING, "c 6-8 你再说一遍", second))
    assert outcome.results[0].state == state
    assert bool(outcome.suggestions) is (state == "hit")


def test_an_occurrence_that_only_repair_wrote_adds_no_points() -> None:
    condition = "op: keyword_any, role: citizen, params: {words: [井盖, 漏电]}"
    assert hit(condition, READ).suggestions[0].times == 2
    (suggestion,) = hit(condition, repaired(READ, 1, "井盖", "门板")).suggestions
    assert (suggestion.times, suggestion.level, suggestion.evidence[0].quote) == (1, Level.PRESELECT, "路面漏电。")
