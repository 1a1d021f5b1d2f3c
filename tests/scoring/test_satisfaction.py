"""满意度 as people say it, and whether a ticket's level agrees."""

from dataclasses import replace

import pytest

from callqa.scoring.facts import TicketFacts
from callqa.scoring.satisfaction import levels_said
from tests.scoring.scenes import call, run_check


@pytest.mark.parametrize(
    ("said", "levels"),
    [
        ("满意。", "满意"),
        ("满意满意！", "满意"),
        ("非常满意", "非常满意"),
        ("我们非常的满意，谢谢", "非常满意"),
        ("挺满意的", "非常满意 满意"),
        ("很满意很满意", "非常满意 满意"),
        ("基本满意吧", "基本满意"),
        ("基本上还算满意", "基本满意"),
        ("比较满意", "满意 基本满意"),
        ("还算满意", "满意 基本满意"),
        ("不满意！", "不满意"),
        ("不太满意", "不满意"),
        ("不是很满意", "不满意"),
        ("我不怎么满意", "不满意"),
        ("谈不上满意", "不满意"),
        ("怎么可能满意", "不满意"),
        ("没有满意", "不满意"),
        ("非常不满意", "非常不满意"),
        ("很不满意", "不满意 非常不满意"),
        ("也不是不满意，就是慢了点", "满意 基本满意"),
        ("没什么不满意的", "满意 基本满意"),
        ("开始不满意，现在满意了", ""),  # praise and blame
        ("不错，满意", "满意"),
        ("还行吧", ""),
    ],
)
def test_what_is_said(said: str, levels: str) -> None:
    assert levels_said(said) == frozenset(levels.split())


@pytest.mark.parametrize(
    ("said", "written", "state"),
    [
        ("不太满意", "满意", "miss"),  # noted as 满意: what F6 is about
        ("不太满意", "不满意", "hit"),
        ("不太满意", "非常不满意", "miss"),
        ("挺满意的", "非常满意", "hit"),
        ("挺满意的", "满意", "hit"),
        ("挺满意的", "基本满意", "miss"),
        ("也不是不满意", "满意", "hit"),
        ("开始不满意，现在满意了", "满意", "unsure"),
    ],
)
def test_a_ticket_agrees_with_what_was_said(said: str, written: str, state: str) -> None:
    facts = call("a 0-5 您好，我是水务热线，做个回访，请问您满意吗？", f"c 6-12 {said}，谢谢你们打电话。")
    facts = replace(facts, ticket=TicketFacts("T1", satisfaction=written))
    result = run_check("op: ticket_match, params: {fields: [satisfaction], min_score: 90}", facts).results[0]
    assert result.state == state, result.explanation
