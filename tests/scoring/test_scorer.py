"""From conditions to suggestions: logic, anchors, levels, occurrences, 不适用, the machine's score."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from callqa.scoring.criteria import Level
from callqa.scoring.facts import CallFacts, TicketFacts
from callqa.scoring.operators.finding import State
from callqa.scoring.rubric import parse_rubric
from callqa.scoring.scorer import CheckOutcome, score
from callqa.speech import Unprompted
from callqa.units import CallType, Channel, Direction
from tests.scoring.scenes import call, repaired, rubric_with

GREETING = "a 0-5 您好，武汉水务热线，工号八零幺为您服务。"
CITIZEN = "c 6-12 你好，我家停水了。"
BASE = call(GREETING, CITIZEN, "a 13-18 请您稍等一下。")

# `会`: hit on BASE. `不`: miss on BASE. `疑`: unsure (no ring time). `未`: not checked (no ticket).
TERMS = {
    "hit": "{op: keyword_any, role: agent, params: {words: [工号]}}",
    "miss": "{op: keyword_any, role: agent, params: {words: [转接]}}",
    "unsure": "{op: ring_time, params: {max_s: 5}}",
    "not_checked": "{op: ticket_fields, params: {required_fields: [title]}}",
}


def state(condition: str, facts: CallFacts = BASE) -> State:
    checks = f"{{id: S1.1-1, {condition}, on_hit: {{suggest: a}}}}"
    return score(rubric_with(checks), facts).results[0].state


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("all: [hit, hit]", "hit"),
        ("all: [hit, miss]", "miss"),
        ("all: [unsure, miss]", "miss"),
        ("all: [hit, unsure]", "unsure"),
        ("all: [unsure, not_checked]", "not_checked"),
        ("any: [miss, hit, unsure]", "hit"),
        ("any: [miss, unsure]", "unsure"),
        ("any: [miss, not_checked, unsure]", "not_checked"),
        ("any: [miss, miss]", "miss"),
        ("not: hit", "miss"),
        ("not: miss", "hit"),
        ("not: unsure", "unsure"),
        ("not: not_checked", "not_checked"),
        ("all: [hit, {not: {any: [miss, miss]}}]", "hit"),
        ("any: [true, miss]", "hit"),
        ("all: [false, hit]", "miss"),
    ],
)
def test_logic_of_four_states(condition: str, expected: str) -> None:
    for name, term in TERMS.items():
        for before in ("[", " "):
            for after in ("]", ",", "}", "\n"):
                condition = (condition + "\n").replace(f"{before}{name}{after}", f"{before}{term}{after}").rstrip("\n")
    assert state(condition) == expected


ANNOUNCED = call(
    GREETING,
    "a 6-8 请稍等。",
    "a 20-22 让您久等了。",
    "c 22.5-26 好的，你说吧，我听着呢。",
    "a 45-47 查到了。",
)
GAP_CHECK = (
    "{id: S1.1-1, all: [{op: silence, params: {min_s: 10}, as: gap}, "
    "{not: {op: keyword_any, role: agent, params: {lexicon: wait_ask}, anchor: gap, where: before, within: {s: 10}}}], "
    "on_hit: {suggest: b}}"
)


def test_an_anchor_is_judged_hit_by_hit() -> None:
    """Two silences, one of them announced: one occurrence, with the right silence as evidence."""
    outcome = score(rubric_with(GAP_CHECK), ANNOUNCED)
    (suggestion,) = outcome.suggestions
    assert suggestion.times == 1 and suggestion.points == 2
    assert (suggestion.evidence[0].start_ms, suggestion.evidence[0].end_ms) == (26_000, 45_000)
    assert suggestion.evidence[0].channel is None and suggestion.evidence[0].operator == "silence"
    assert suggestion.evidence[1].operator == "keyword_any"  # where the announcement was looked for
    assert suggestion.evidence[1].quote == "让您久等了。"


def test_all_announced_is_a_miss() -> None:
    facts = call(GREETING, "a 6-8 请稍等。", "c 20-24 喂？还在吗？")
    assert score(rubric_with(GAP_CHECK), facts).results[0].state is State.MISS


@pytest.mark.parametrize(
    ("where", "within", "expected"),
    [
        ("after", "{utt: 1}", "miss"),
        ("after", "{utt: 2}", "hit"),
        ("before", "{utt: 1}", "miss"),
        ("before", "{utt: 9}", "hit"),
        ("around", "{utt: 2}", "hit"),
        ("after", "{s: 5}", "miss"),
        ("after", "{s: 30}", "hit"),
    ],
)
def test_distances_from_an_anchor(where: str, within: str, expected: str) -> None:
    word = "再见" if where != "before" else "水务热线"
    facts = call(GREETING, "c 6-9 喂。", "a 10-13 这个不归我们管。", "c 14-17 那归谁？", "a 20-24 再见。")
    condition = (
        "all: [{op: keyword_any, role: agent, params: {words: [不归]}, as: it}, "
        f"{{op: keyword_any, role: agent, params: {{words: [{word}]}}, anchor: it, where: {where}, within: {within}}}]"
    )
    assert state(condition, facts) == expected


def test_the_anchors_own_sentence_belongs_to_both_sides() -> None:
    condition = (
        "all: [{op: keyword_any, role: agent, params: {words: [不归]}, as: it}, "
        "{op: keyword_any, role: agent, params: {words: [帮您转]}, anchor: it, where: after, within: {utt: 1}}]"
    )
    assert state(condition, call(GREETING, "a 6-9 不归我们管，我帮您转。")) is State.HIT
    same = condition.replace("after, within: {utt: 1}", "same")
    assert state(same, call(GREETING, "a 6-9 不归我们管，我帮您转。")) is State.HIT


def one(checks: str, facts: CallFacts = BASE, **rubric: str) -> CheckOutcome:
    return score(rubric_with(checks, **rubric), facts)


def test_a_hint_does_not_lower_the_machines_score() -> None:
    check = "{id: S1.1-1, op: keyword_any, role: agent, params: {words: [转接]}, on_miss: {suggest: b%s}}"
    assert one(check % "").auto_score == Decimal("80.0")  # 8 of 10
    hinted = one(check % ", level: hint")
    assert hinted.auto_score == Decimal("100.0")
    assert hinted.suggestions[0].level is Level.HINT


def test_occurrences_are_capped() -> None:
    facts = call(GREETING, *[f"a {start}-{start + 1} 啥事" for start in range(6, 16, 2)])
    outcome = one("{id: S1.1-1, op: keyword_any, role: agent, params: {words: [啥事]}, on_hit: {suggest: b}}", facts)
    assert (outcome.suggestions[0].times, outcome.suggestions[0].points) == (3, 6)
    assert outcome.auto_score == Decimal("50.0")  # the item falls to 0, not below


TWO_LISTS = (
    "{id: S1.1-1, op: keyword_any, role: agent, params: {words: [啥事, 烦死]}, on_hit: {suggest: b}}, "
    "{id: S1.1-2, op: keyword_any, role: agent, params: {words: [急什么, 烦死]}, on_hit: {suggest: b}}"
)


def test_two_checks_of_one_option_add_up() -> None:
    """One impatient sentence and one challenging one are two occurrences, whichever check found which."""
    outcome = one(TWO_LISTS, call(GREETING, "a 6-8 啥事", "a 10-12 急什么"))
    assert [(s.check_id, s.times, s.level) for s in outcome.suggestions] == [
        ("S1.1-1", 1, Level.PRESELECT),
        ("S1.1-2", 1, Level.PRESELECT),
    ]
    assert outcome.auto_score == Decimal("60.0")


def test_one_sentence_counts_once_for_an_option_whichever_of_its_checks_finds_it() -> None:
    both = one(TWO_LISTS, call(GREETING, "a 6-8 啥事，急什么"))
    first, second = both.suggestions
    assert (first.level, second.level) == (Level.PRESELECT, Level.HINT) and "同一处" in second.reason
    assert both.auto_score == Decimal("80.0")
    partly = one(TWO_LISTS, call(GREETING, "a 6-8 烦死", "a 10-12 急什么"))
    assert [(s.times, s.points) for s in partly.suggestions] == [(1, 2), (1, 2)]
    assert "其中 1 处" in partly.suggestions[1].reason
    assert partly.auto_score == Decimal("60.0")


def test_misses_of_one_option_are_each_their_own() -> None:
    """Two fields of a ticket that do not agree lie nowhere in the recording: they are not one event."""
    checks = ", ".join(
        f"{{id: S1.1-{n}, op: keyword_any, role: agent, params: {{words: [{word}]}}, on_miss: {{suggest: b}}}}"
        for n, word in ((1, "转接"), (2, "预约"))
    )
    assert one(checks).auto_score == Decimal("60.0")


def test_min_occurrences() -> None:
    check = (
        "{id: S1.1-1, op: keyword_any, role: agent, params: {words: [啥事]}, on_hit: {suggest: a, min_occurrences: 2}}"
    )
    outcome = one(check, call(GREETING, "a 6-8 啥事"))
    assert outcome.results[0].state is State.MISS and not outcome.suggestions
    assert len(one(check, call(GREETING, "a 6-8 啥事", "a 9-10 啥事")).suggestions) == 1


def test_an_exclusive_option_turns_the_others_into_hints() -> None:
    checks = (
        "{id: S1.1-1, op: keyword_any, role: agent, params: {words: [转接]}, on_miss: {suggest: a}}, "
        "{id: S1.1-2, op: keyword_none, role: agent, params: {words: [转接]}, on_hit: {suggest: e}}"
    )
    outcome = one(checks)
    assert [(s.option_code, s.level) for s in outcome.suggestions] == [("a", Level.HINT), ("e", Level.PRESELECT)]
    assert "涵盖" in outcome.suggestions[0].reason
    assert outcome.auto_score == Decimal("50.0")


def test_not_applicable_items_are_left_out() -> None:
    checks = "{id: S1.1-1, op: keyword_any, role: agent, params: {words: [转接]}, on_miss: {suggest: a}}"
    short = replace(BASE, duration_ms=20_000)
    outcome = one(checks, short, na_when="{not: {op: silence, params: {min_s: 5}}}")
    assert outcome.not_applicable == {"S1.1"} and not outcome.suggestions
    assert outcome.results[0].state is State.NOT_CHECKED and outcome.auto_score == 100


@pytest.mark.parametrize("changes", [{"transcript": None}, {"ring_ms": None}])
def test_doubt_never_makes_an_item_not_applicable(changes: dict[str, None]) -> None:
    na_when = (
        "{not: {op: ring_time, params: {max_s: 5}}}"
        if "ring_ms" in changes
        else "{op: keyword_none, params: {words: [啊啊好]}}"
    )
    facts = replace(BASE, **changes)  # type: ignore[arg-type]  # one of the two fields
    assert one("", facts, na_when=na_when).not_applicable == frozenset()


@pytest.mark.parametrize(
    ("said", "applies"),
    [
        ("c 6-12 你好，有个井盖不见了。", True),
        ("c 6-12 你好，有个紧盖不见了。", True),  # the same sound: not declared absent
        ("c? 6-12 你好，有个请盖不见了。", True),
        ("c 6-12 你好，有个请盖不见了。", False),
        ("c 6-12 你好，我家停水了。", False),
    ],
)
def test_an_item_stays_where_its_matter_may_have_been_said(said: str, applies: bool) -> None:
    na_when = "{not: {op: keyword_any, role: citizen, params: {words: [井盖]}}}"
    outcome = one("", call(GREETING, said), na_when=na_when)
    assert ("S1.1" not in outcome.not_applicable) is applies


@pytest.mark.parametrize(
    ("when", "facts", "state"),
    [
        ("{call_type: inbound}", BASE, "miss"),
        ("{call_type: callback}", BASE, "not_checked"),
        ("{call: {disposition: dropped}}", BASE, "not_checked"),
        ("{call: {disposition: dropped, transferred: false}}", replace(BASE, disposition="dropped"), "miss"),
        ("{ticket: {urgent_flag: true}}", BASE, "not_checked"),
        ("{ticket: {urgent_flag: true}}", replace(BASE, ticket=TicketFacts("T", urgent_flag=True)), "miss"),
        (
            "{ticket: {satisfaction: 满意}}",
            replace(BASE, ticket=TicketFacts("T", satisfaction="不满意")),
            "not_checked",
        ),
    ],
)
def test_preconditions(when: str, facts: CallFacts, state: str) -> None:
    check = f"{{id: S1.1-1, op: keyword_any, role: agent, params: {{words: [转接]}}, when: {when}, on_miss: {{suggest: a}}}}"
    assert one(check, facts).results[0].state == state


@pytest.mark.parametrize(
    ("when", "facts"),
    [
        ("{op: ring_time, params: {max_s: 5}}", BASE),  # no ring time
        ("{call: {hangup_party: agent}}", BASE),  # signalling did not tell
        ("{not: {call: {hangup_party: agent}}}", BASE),
        ("{ticket: {satisfaction: 不满意}}", replace(BASE, ticket=TicketFacts("T"))),  # not rated yet
        ("{not: {ticket: {satisfaction: 不满意}}}", replace(BASE, ticket=TicketFacts("T"))),
        ("{ticket: {urgent_flag: true}}", BASE),  # no ticket
    ],
)
def test_a_precondition_nobody_knows_is_not_called_unmet(when: str, facts: CallFacts) -> None:
    check = f"{{id: S1.1-1, op: keyword_any, role: agent, params: {{words: [转接]}}, when: {when}, on_miss: {{suggest: a}}}}"
    (result,) = one(check, facts).results
    assert result.state is State.NOT_CHECKED and "前置条件无从判断" in result.explanation
    unmet = one(check.replace(when, "{call_type: callback}"), facts).results[0]
    assert unmet.explanation == "前置条件不满足，未检"


def test_an_item_is_not_made_inapplicable_by_repair() -> None:
    na_when = "{not: {op: keyword_any, role: citizen, params: {words: [井盖]}}}"
    said = call(GREETING, "c 6-12 你好，有个门口不见了。")
    assert one("", said, na_when=na_when).not_applicable == {"S1.1"}
    assert one("", repaired(said, 1, "门口", "井盖"), na_when=na_when).not_applicable == frozenset()


FATAL = "{id: F1-1, op: keyword_any, role: agent, params: {lexicon: taboo_shirk}, on_hit: {suggest_fatal: F1}}"


def test_a_suspected_fatal_item_is_no_deduction() -> None:
    outcome = one("", call(GREETING, "a 6-9 不归我们管。"), fatal_checks=FATAL)
    assert outcome.suspected_fatal and outcome.auto_score == 100
    assert (outcome.suggestions[0].fatal_id, outcome.suggestions[0].points) == ("F1", 0)


def test_a_fatal_item_by_sound_alone_is_only_a_hint() -> None:
    outcome = one("", call(GREETING, "a 6-9 不规我们管。"), fatal_checks=FATAL)
    assert outcome.suggestions[0].level is Level.HINT and not outcome.suspected_fatal


def test_no_suggestion_rests_on_repaired_words_alone() -> None:
    check = "{id: F1-1, op: keyword_any, role: agent, params: {words: [不归我们管]}, on_hit: {suggest_fatal: F1}}"
    said = call(GREETING, CITIZEN, "a 13-18 这个不归我们管。")
    rubric = rubric_with("", fatal_checks=check)
    assert score(rubric, said).suspected_fatal
    outcome = score(rubric, repaired(said, 2, "不归", "部规"))
    assert not outcome.suspected_fatal and outcome.suggestions[0].level is Level.HINT, "it sounds like it"
    outcome = score(rubric, repaired(said, 2, "不归", "多跟"))
    assert not outcome.suspected_fatal and not outcome.suggestions
    assert outcome.results[-1].state is State.UNSURE and "同音修正" in outcome.results[-1].explanation
    assert score(rubric, repaired(said, 2, "这个", "遮个")).suspected_fatal, "a repair beside it does not matter"


def test_a_repaired_word_counts_for_the_agent() -> None:
    check = "{id: S1.1-1, op: keyword_any, role: agent, params: {words: [工号]}, on_miss: {suggest: a}}"
    facts = repaired(BASE, 0, "工号", "公号")
    outcome = score(rubric_with(check), facts)
    assert outcome.results[0].state is State.HIT and not outcome.suggestions


def prompted(facts: CallFacts, n: int, without: str) -> CallFacts:
    """The call with its n-th utterance from a prompted decode; one without a prompt wrote `without`."""
    assert facts.transcript is not None
    utterances = list(facts.transcript.utterances)
    utterances[n] = replace(utterances[n], unprompted=Unprompted(without, 0.9, True))
    return replace(facts, transcript=replace(facts.transcript, utterances=tuple(utterances)))


EDGE = "{id: S1.1-1, op: keyword_any, role: agent, scope: {from: %s, unit: s, within: 15}, params: {words: [%s]}, on_miss: {suggest: a}}"


@pytest.mark.parametrize(
    ("edge", "n", "word", "without", "state"),
    [
        ("start", 0, "工号", "您好，武汉水务热线，为您服务。", State.UNSURE),  # heard only with a prompt
        ("start", 0, "欢迎", "您好，武汉水务热线，欢迎您。", State.UNSURE),  # heard only without
        ("start", 0, "工号", "您好，武汉水务阵线，工号八零幺为您服务。", State.HIT),
        ("start", 0, "欢迎", "您好，武汉水务阵线，工号八零幺为您服务。", State.MISS),
        ("end", 2, "稍等", "请您上等一下。", State.UNSURE),
    ],
)
def test_greeting_and_closing_need_a_decode_without_prompt_to_agree(
    edge: str, n: int, word: str, without: str, state: State
) -> None:
    outcome = one(EDGE % (edge, word), prompted(BASE, n, without))
    assert outcome.results[0].state is state
    assert bool(outcome.suggestions) == (state is State.MISS)
    if state is State.UNSURE:
        assert "不带提示" in outcome.results[0].explanation


def test_what_is_said_in_between_needs_no_second_decode() -> None:
    check = "{id: S1.1-1, op: keyword_any, role: agent, params: {words: [稍等]}, on_miss: {suggest: a}}"
    assert one(check, prompted(BASE, 2, "请您上等一下。")).results[0].state is State.HIT


def test_a_fatal_item_of_another_call_type_is_not_suggested() -> None:
    facts = replace(call(GREETING, "a 6-9 不归我们管。"), call_type=CallType.CALLBACK, direction=Direction.OUTBOUND)
    assert not one("", facts, fatal_checks=FATAL).suggestions
    both = "{id: S1.1-1, op: ticket_linked, params: {required: true}, on_miss: {suggest: a, suggest_fatal: F1}}"
    (suggestion,) = one(both, facts).suggestions
    assert (suggestion.option_code, suggestion.fatal_id) == ("a", None)


def test_every_suggestion_carries_evidence_and_the_order_is_the_rubrics() -> None:
    checks = ", ".join(
        f"{{id: S1.1-{n}, op: keyword_any, role: agent, params: {{words: [词{n}]}}, on_miss: {{suggest: a}}}}"
        for n in range(1, 6)
    )
    outcome = one(checks)
    assert [s.check_id for s in outcome.suggestions] == [f"S1.1-{n}" for n in range(1, 6)]
    assert all(s.evidence and s.evidence[0].channel is Channel.AGENT and s.reason for s in outcome.suggestions)
    assert outcome == one(checks)
    assert outcome.auto_score == 90  # the same option once


def test_a_call_without_anything_gives_no_suggestion() -> None:
    facts = CallFacts(CallType.INBOUND, Direction.INBOUND, 0)
    checks = "{id: S1.1-1, op: keyword_any, role: agent, params: {words: [词]}, on_miss: {suggest: a}}"
    outcome = one(checks, facts)
    assert outcome.results[0].state is State.NOT_CHECKED and not outcome.suggestions


@pytest.mark.parametrize(
    ("said", "checks"),
    [
        ("不太满意，没有人来修。", {"S4.4-1"}),
        ("不满意，没人来修。", {"S4.4-1"}),
        ("挺满意的，修好了。", set()),
    ],
)
def test_a_citizen_who_is_not_quite_content_must_be_asked_why(said: str, checks: set[str]) -> None:
    """不满意处理 by the default rubric: it applies, and nobody asked."""
    text = (Path(__file__).parents[2] / "scorecards" / "rubric.yaml").read_text(encoding="utf-8")
    facts = call(
        "a 0-5 您好，水务热线，做个回访，请问您满意吗？", f"c 6-12 {said}", "a 13-17 好的，感谢您的支持，再见。"
    )
    outcome = score(parse_rubric(text), replace(facts, call_type=CallType.CALLBACK, direction=Direction.OUTBOUND))
    assert ("S4.4" in outcome.not_applicable) is (not checks)
    assert {s.check_id for s in outcome.suggestions if s.item_id == "S4.4"} == checks
