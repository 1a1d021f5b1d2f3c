"""量化考核: the rules' text with its mistakes, and what they make of an agent, counted by hand."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from callqa.errors import RubricError
from callqa.scoring.assessment import AgentFacts, Asks, Atom, Evidence, Part, assess, tiers_differ
from callqa.scoring.assessment_text import parse_assessment
from callqa.units import Ratio

TEXT = (Path(__file__).parents[2] / "scorecards" / "assessment.yaml").read_text(encoding="utf-8")
RULES = parse_assessment(TEXT)
WHOLE = Evidence("C1", "0:21", "F2 无故挂断", "孙澜")
FACTS = AgentFacts(
    agent_no="801",
    window=3,
    due=30,
    open=0,
    quality=Decimal("92.0"),
    rates={
        Part.TICKETS: Ratio(18, 20),
        Part.SATISFACTION: Ratio(9, 10),
        Part.PROCESS: Ratio(40, 50),
        Part.ATTENDANCE: Ratio(20, 20),
    },
    times={},
    fatals=0,
    tier=1,
    tiers_differ=True,
)


def test_the_composite_is_the_weighted_sum() -> None:
    """0.60 × 92 + 0.15 × 90 + 0.10 × 90 + 0.10 × 80 + 0.05 × 100 = 55.2 + 13.5 + 9 + 8 + 5 = 90.7."""
    found = assess(RULES, FACTS)
    assert (found.held, found.composite, found.merged) == ("", Decimal("90.7"), ())
    assert found.band is not None and (found.band.label, found.band.coefficient, found.band.amount) == (
        "良好",
        Decimal("1.05"),
        None,
    )
    assert found.measures == ()


def test_parts_without_data_and_too_few_ratings_go_to_quality() -> None:
    """0.75 × 92 + 0.15 × 90 + 0.10 × 80 = 69 + 13.5 + 8 = 90.5."""
    rates = {**FACTS.rates, Part.SATISFACTION: Ratio(0, 4), Part.ATTENDANCE: Ratio(0, 0)}
    found = assess(RULES, replace(FACTS, rates=rates))
    assert found.composite == Decimal("90.5") and found.merged == (Part.SATISFACTION, Part.ATTENDANCE)


def test_five_ratings_are_enough() -> None:
    found = assess(RULES, replace(FACTS, rates={**FACTS.rates, Part.SATISFACTION: Ratio(0, 5)}))
    assert found.merged == () and found.composite == Decimal("81.7")


def test_additions_have_caps_and_the_whole_has_one() -> None:
    """Three letters of praise give 4, not 6; two cases 2, not 4; 90.7 + 4 + 2 + 3 = 99.7; and never above 105."""
    times = {"praise": 3, "exemplary_case": 2, "hazard_good_catch": 1}
    found = assess(RULES, replace(FACTS, times=times))
    assert (found.adjusted, found.composite) == (Decimal(9), Decimal("99.7"))
    best = replace(FACTS, quality=Decimal(100), rates=dict.fromkeys(FACTS.rates, Ratio(9, 9)), times=times)
    assert assess(RULES, best).composite == Decimal("105.0")


def test_fatal_findings_take_away_each_time() -> None:
    """90.7 − 10 − 2 × 20 = 40.7; two in a month is a measure of its own."""
    times = {"fatal_customer": 1, "fatal_compliance": 2}
    found = assess(RULES, replace(FACTS, times=times, fatals=3, evidence=(WHOLE,) * 3))
    assert found.composite == Decimal("40.7") and found.band is not None and found.band.label == "不合格"
    assert found.measures == ("一对一辅导", "次月抽检加倍", "调离岗位，报采购人备案")
    assert not found.on_hold


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"window": 2}, "可比数据只有 2 个月（须 3 个月），不作奖罚"),
        ({"due": 19}, "样本不足（19/20 通），仅辅导"),
        ({"open": 1}, "还有 1 份评分未定稿，暂不考核"),
        ({"quality": None}, "没有质检分"),
    ],
)
def test_without_what_the_rules_require_nobody_is_assessed(changes: dict, words: str) -> None:
    found = assess(RULES, replace(FACTS, **changes))
    assert (found.held, found.composite, found.band, found.measures) == (words, None, None, ())


POOR = replace(FACTS, quality=Decimal(60))  # 0.6 × 60 + 35.5 = 71.5


@pytest.mark.parametrize("missing", ["call_label", "at", "item", "second"])
def test_a_penalty_waits_until_every_piece_of_evidence_is_whole(missing: str) -> None:
    found = assess(RULES, replace(POOR, evidence=(WHOLE, replace(WHOLE, **{missing: ""}))))
    assert found.band is not None and found.band.takes_away and (found.on_hold, found.lacking) == (True, 1)
    assert not assess(RULES, replace(POOR, evidence=(WHOLE,))).on_hold


def test_a_penalty_without_any_evidence_waits_and_a_reward_never_does() -> None:
    assert assess(RULES, POOR).on_hold
    assert not assess(RULES, replace(FACTS, evidence=(replace(WHOLE, second=""),))).on_hold


@pytest.mark.parametrize(
    ("past", "measure"),
    [
        ((), False),
        (("合格", "不合格"), False),
        (("不合格",), True),
        (("不合格", "合格"), True),
        ((None, "不合格"), False),
    ],
)
def test_months_on_end_count_only_without_a_hole(past: tuple[str | None, ...], measure: bool) -> None:
    found = assess(RULES, replace(POOR, past_grades=past))
    assert ("停岗培训" in found.measures) is measure


def test_praise_for_the_first_tier_needs_tiers_that_differ() -> None:
    best = replace(FACTS, quality=Decimal(100), rates=dict.fromkeys(FACTS.rates, Ratio(9, 9)))
    assert assess(RULES, best).measures == ("通报表扬",)
    assert assess(RULES, replace(best, tiers_differ=False)).measures == ()
    assert assess(RULES, replace(best, tier=2)).measures == ()
    assert tiers_differ([1, 2, None]) and not tiers_differ([1, 1, None]) and not tiers_differ([])


def test_amounts_are_those_of_the_rules_and_no_others() -> None:
    rules = parse_assessment(TEXT.replace("coefficient: 1.05}", "coefficient: 1.05, amount: 300}"))
    band = assess(rules, FACTS).band
    assert band is not None and band.amount == Decimal(300)
    assert all(each.amount is None for each in RULES.bands)


def test_conditions_are_read() -> None:
    assert [measure.any_of for measure in RULES.measures] == [
        ((Atom(Asks.GRADE, "不合格"),),),
        ((Atom(Asks.GRADE, "不合格", 2),),),
        ((Atom(Asks.GRADE, "不合格", 3),), (Atom(Asks.FATALS, times=2),)),
        ((Atom(Asks.GRADE, "优秀"), Atom(Asks.FIRST_TIER)),),
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("callqa-assessment/1", "callqa-assessment/2", "schema不能是"),
        ("quality_score: 0.60", "quality_score: 0.70", "权重之和为 1.10"),
        ("status: finalized", "status: submitted", "requires.status不能是"),
        ("appeal_window_closed: true", "appeal_window_closed: false", "只能写 true"),
        ("min_samples: 20", "min_samples: 0", "不能小于 1"),
        ("window_months: 3", "window_months: 1.5", "应是整数"),
        ("{min: 0,  label", "{min: 10,  label", "下限应为 0"),
        ("label: 良好", "label: 优秀", "都不能重复"),
        ("cap: 4,", "cap: -4,", "同号"),
        ("code: praise,            points: 2,   cap: 4", "code: valid_complaint, points: -5", "没有第二确认的来源"),
        ("code: hazard_good_catch", "code: praise", "写了两次"),
        ("优秀且团队第一档", "优秀且团队前三名", "看不懂条件“团队前三名”"),
        ("不合格连续 2 个月", "差评连续 2 个月", "看不懂条件“差评连续 2 个月”"),
        ("measures:", "measure:", "measures"),
    ],
)
def test_a_mistake_is_refused_with_its_line(old: str, new: str, words: str) -> None:
    assert old in TEXT
    with pytest.raises(RubricError, match=words) as refused:
        parse_assessment(TEXT.replace(old, new, 1))
    assert refused.value.line > 0
