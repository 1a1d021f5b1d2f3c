"""Small calls and small rubrics for the tests of operators and scorer."""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from callqa.scoring.facts import CallFacts
from callqa.scoring.operators import REGISTRY
from callqa.scoring.operators.operator import Operator
from callqa.scoring.rubric import Rubric, parse_rubric
from callqa.scoring.scorer import CheckOutcome, score
from callqa.speech import Repair, Span, Speaker, Utterance
from callqa.units import CallType, Direction
from tests.scoring.reference_calls import transcript_of

LEXICONS = """
  agent_id: [工号, 为您服务]
  taboo_shirk: [不归我们管, 干嘛]
  wait_ask: [请稍等]
  wait_back: [久等]
"""


@cache
def rubric_with(checks: str, *, na_when: str = "null", fatal_checks: str = "", options: str = "") -> Rubric:
    """A rubric of two items: S1.1 with the given checks (a YAML list without indent), and S1.2 with none."""
    options = options or (
        "[{code: a, label: 甲, points: 1}, {code: b, label: 乙, points: 2, per: occurrence, max_times: 3}, "
        "{code: e, label: 全, points: 5, exclusive: true}]"
    )
    return parse_rubric(
        f"""
schema: callqa-rubric/1
id: small
version: 1
title: 小标准
full_score: 100
call_types: {{inbound: {{label: 呼入受理}}, callback: {{label: 呼出回访}}}}
scoring:
  rounding: {{decimals: 1, mode: half_up}}
  pass_line: 80
  grades: [{{code: good, label: 良, min: 80}}, {{code: failed, label: 不合格, min: 0}}]
  fatal_policy: {{mode: zero}}
lexicons:{LEXICONS}
required_phrases: {{opening: ["您好，水务热线，工号××为您服务"]}}
sections:
  - id: S1
    title: 一
    items:
      - id: S1.1
        title: 项
        max_points: 5
        applies_to: [inbound, callback]
        options: {options}
        na_when: {na_when}
        checks: [{checks}]
      - {{id: S1.2, title: 项, max_points: 5, applies_to: [inbound, callback], options: [{{code: a, label: 甲, points: 1}}]}}
fatal_items:
  - {{id: F1, title: 致命, applies_to: [inbound], checks: [{fatal_checks}]}}
"""
    )


def call(*lines: str, duration_s: float = 60, **changes: object) -> CallFacts:
    """A call from lines `a 0-5 您好` (a: agent, c: citizen; `a?` doubtful: reliable=False, `a~` confidence 0.3)."""
    utterances = []
    for index, line in enumerate(lines):
        match = re.fullmatch(r"([ac])([?~]?) ([\d.]+)-([\d.]+) (.*)", line)
        assert match, line
        span = Span(round(float(match[3]) * 1000), round(float(match[4]) * 1000))
        speaker = Speaker.AGENT if match[1] == "a" else Speaker.CITIZEN
        confidence = 0.3 if match[2] == "~" else 0.95
        utterances.append(Utterance(index, speaker, span, match[5], match[5], confidence, match[2] != "?"))
    duration_ms = round(duration_s * 1000)
    facts = CallFacts(CallType.INBOUND, Direction.INBOUND, duration_ms, transcript_of(utterances, duration_ms))
    return replace(facts, **changes)  # type: ignore[arg-type]  # test helper


def run_check(check: str, facts: CallFacts, operators: Mapping[str, Operator] = REGISTRY) -> CheckOutcome:
    """Score a call with a rubric of one check; `check` is a YAML flow mapping without id and outcome."""
    return score(
        rubric_with(f"{{id: S1.1-1, {check}, on_hit: {{suggest: b}}, on_miss: {{suggest: a}}}}"), facts, operators
    )


def repaired(facts: CallFacts, n: int, word: str, was: str) -> CallFacts:
    """The call with `word` in its n-th utterance written by the repair."""
    assert facts.transcript is not None
    utterances = list(facts.transcript.utterances)
    at = utterances[n].text.index(word)
    utterances[n] = replace(utterances[n], repairs=(Repair(at, at + len(word), was),))
    return replace(facts, transcript=replace(facts.transcript, utterances=tuple(utterances)))
