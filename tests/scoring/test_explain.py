"""The reasoning behind a result: where each operator looked, what it wanted, what it found, and why it abstained."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from callqa.scoring.explain import condition_text, explain, gate_text, rule_text
from callqa.scoring.operators import REGISTRY
from callqa.scoring.operators.finding import State
from callqa.scoring.rubric import parse_rubric
from callqa.scoring.scorer import score
from callqa.units import CallType
from tests.scoring.scenes import call, rubric_with

DEFAULT = parse_rubric((Path(__file__).resolve().parents[2] / "scorecards/rubric.yaml").read_text(encoding="utf-8"))
GREETING = "a 0-5 您好，武汉水务热线，工号八零幺为您服务。"
RUDE = call(GREETING, "c 6-12 那找谁呢", "a 13-18 这个不归我们管。", "c 19-22 啊", "a 23-27 请稍等。", duration_s=60)
SHIRK = """{id: S1.1-1, all: [{op: keyword_any, role: agent, params: {lexicon: taboo_shirk}, as: shirk},
 {not: {op: keyword_any, role: agent, params: {words: [转接]}, anchor: shirk, where: after, within: {utt: 3}}}],
 on_hit: {suggest: b}}"""


@pytest.mark.parametrize("call_type", list(CallType))
def test_explaining_changes_nothing(call_type: CallType) -> None:
    facts = replace(RUDE, call_type=call_type)
    assert explain(DEFAULT, facts).outcome == score(DEFAULT, facts)


def test_every_check_that_ran_has_steps_and_they_can_be_stored() -> None:
    explained = explain(DEFAULT, RUDE)
    skipped = ("本项不适用",)
    for result in explained.outcome.results:
        if result.explanation not in skipped and result.explanation != "前置条件不满足，未检":
            assert explained.steps[result.check_id], result
    kept = [step.kept() for steps in explained.steps.values() for step in steps]
    assert json.loads(json.dumps(kept, ensure_ascii=False)) == kept
    for step in kept:
        assert step["looked_at"] and step["wanted"] and step["found"], step


def test_a_step_says_place_thresholds_and_finding() -> None:
    (step,) = explain(rubric_with("{id: S1.1-1, op: keyword_any, role: agent, scope: {from: start, unit: s, within: 15}, "
                                  "params: {words: [转接], min_hits: 2}, on_miss: {suggest: a}}"), RUDE).steps["S1.1-1"]  # fmt: skip
    assert step.looked_at == "坐席，开头 15 秒内：0:00–0:15，2 句"
    assert step.wanted == "转接，不少于 2 处"
    assert (step.state, step.found) == (State.MISS, "没有听到所列词语")


def test_an_anchored_negated_term_says_where_and_that_it_must_not_be() -> None:
    first, second = explain(rubric_with(SHIRK), RUDE).steps["S1.1-1"]
    assert first.quotes[0].quote == "这个不归我们管。" and not first.negated
    assert second.negated and "“shirk”之后 3 句内（0:13 那一处）" in second.looked_at
    assert second.state is State.MISS


def test_abstaining_is_explained() -> None:
    muffled = call(GREETING, "c 6-12 那找谁呢", "a? 13-18 嗯那个", duration_s=60)
    check = "{id: S1.1-1, op: keyword_any, role: agent, params: {words: [转接]}, on_miss: {suggest: a}}"
    (step,) = explain(rubric_with(check), muffled).steps["S1.1-1"]
    assert step.state is State.NOT_CHECKED and "其中 1 句识别不可靠" in step.looked_at and "0:13" in step.found
    (none,) = explain(rubric_with(check), replace(RUDE, transcript=None)).steps["S1.1-1"]
    assert none.looked_at == "没有转写" and none.state is State.NOT_CHECKED


def test_why_an_item_does_not_apply_is_told_with_its_first_check() -> None:
    rubric = rubric_with(
        "{id: S1.1-1, op: ticket_linked, params: {required: true}, on_miss: {suggest: a}}",
        na_when="{op: duration, params: {min_s: 10}}",
    )
    explained = explain(rubric, RUDE)
    assert explained.outcome.not_applicable == {"S1.1"}
    (step,) = explained.steps_of("S1.1-1", "S1.1", first=True)
    assert (step.part, step.looked_at, step.found) == ("na_when", "话单", "通话时长 60.0 秒")


def test_equal_uses_of_two_checks_stay_apart() -> None:
    same = "op: keyword_any, role: agent, params: {words: [工号]}, on_hit: {suggest: b}"
    explained = explain(rubric_with(f"{{id: S1.1-1, {same}}}, {{id: S1.1-2, {same}}}"), RUDE)
    assert [len(explained.steps[key]) for key in ("S1.1-1", "S1.1-2")] == [1, 1]


def test_every_rule_of_the_default_rubric_reads_as_a_chinese_sentence() -> None:
    for item in DEFAULT.items:
        for check in item.checks:
            text = rule_text(check, item)
            assert text.startswith(("条件：", "前置：")) and ("建议“" in text or "提示疑似致命" in text)
    for check in (c for f in DEFAULT.fatal_items for c in f.checks):
        assert "提示疑似致命" in rule_text(check, None)
    shirk = next(c for c in DEFAULT.item("S1.2").checks if c.check_id == "S1.2-5")
    assert condition_text(shirk.condition).startswith(
        "同时满足（〔shirk〕坐席，全程，出现词语"
    ) and "没有（" in condition_text(shirk.condition)
    assert "0.6" in gate_text(DEFAULT) and REGISTRY
