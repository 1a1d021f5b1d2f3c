"""Values of a report: round trip, numbers as printed, ratios, the running figures."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.periods import Month
from callqa.reports import cells
from callqa.reports.document import (
    Card,
    Cards,
    Cell,
    CellKind,
    Chapter,
    Column,
    Figure,
    FigureKind,
    MonthlyReport,
    Paragraph,
    Series,
    Table,
    Tone,
    from_json,
    to_json,
)
from callqa.reports.facts import CallFact, TicketFact
from callqa.reports.kpi import build_kpis, is_short_abandon
from callqa.reports.sections import SECTIONS
from callqa.scoring.statistics import Basis, Estimate
from callqa.units import Ratio

MONTH = Month(2026, 10)


def small_report(*, demo: bool = False) -> MonthlyReport:
    """One chapter with a block of every kind."""
    table = Table(
        "2-1",
        "覆盖 & 口径",
        (Column("坐席", 1.3, "left"), Column("<N>", group="层"), Column("比", group="层")),
        (
            (
                Cell("801 王"),
                Cell("12", CellKind.NUMBER, 12.0, call_ids=("C1",)),
                Cell("97.5%", CellKind.PERCENT, 0.975),
            ),
            (Cell("合计"), Cell("—"), Cell("（待补充）", CellKind.FILL, tone=Tone.WARN, slot="x")),
        ),
        total_rows=1,
        notes=("说明 <b>",),
    )
    lines = Series("质量分", (91.0, None, 93.5), (90.0, None, 92.0), (92.0, None, 95.0))
    figures = (
        Figure(
            "3-1", "趋势 <&>", FigureKind.LINES, ("8月", "9月", "10月"), (lines,), "分", maximum=100, marks=("9月",)
        ),
        Figure(
            "4-1",
            "森林",
            FigureKind.FOREST,
            ("801 王", "802 李", "803"),
            (lines,),
            "分",
            92.2,
            "团队 92.2",
            maximum=100,
        ),
        Figure("2-1", "条形", FigureKind.BARS, ("甲", "乙"), (Series("应评", (3.0, 4.0)), Series("已评", (1.0, 4.0)))),
        Figure(
            "3-3",
            "占比",
            FigureKind.STACKED,
            ("8月",),
            (Series("优秀", (60.0,)), Series("合格", (40.0,))),
            "%",
            maximum=100,
        ),
        Figure(
            "5-1",
            "帕累托",
            FigureKind.PARETO,
            ("S1", "S2"),
            (Series("扣分", (5.0, 2.0)), Series("累计", (71.4, 100.0))),
        ),
        Figure("5-2", "空", FigureKind.LINES, (), ()),
    )
    blocks = (
        Cards((Card("质量分", "94.3", ("区间", "环比"), "met", "100%"),)),
        Paragraph("文字", slot="s"),
        table,
        *figures,
    )
    return MonthlyReport(
        title="2026年10月水务热线月度质检报告",
        month="2026-10",
        month_label="2026年10月",
        report_no="SWZJ-202610-01",
        version=1,
        demo=demo,
        hotline_name="水务热线",
        organisation="热线中心",
        cover=(("报告期", "2026年10月"),),
        rubric_label="第 1 版",
        frame_hash="ab" * 32,
        made_at="2026年11月1日 10:00",
        chapters=(Chapter("summary", "一", "摘要", blocks[:2]), Chapter("coverage", "二", "概况", blocks[2:])),
        attachments=(replace(table, no="附件1", title="明细"),),
        blockers=("还有 1 处文字待补充",),
    )


def test_a_report_survives_its_json() -> None:
    report = small_report()
    assert from_json(json.loads(json.dumps(to_json(report)))) == report


def test_json_that_is_no_report_is_refused() -> None:
    for wrong in ({}, {"_": "Table"}, {"_": "os"}, {"_": "Paragraph", "text": "x"}):
        with pytest.raises((ValueError, TypeError)):
            from_json(wrong)


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="row 0 has 1 cells of 2"):
        Table("1-1", "x", (Column("a"), Column("b")), ((Cell("1"),),))


def test_sections_have_unique_keys_and_rising_numbers() -> None:
    assert [s.number for s in SECTIONS] == [
        "一",
        "二",
        "三",
        "四",
        "五",
        "六",
        "七",
        "八",
        "九",
        "十",
        "十一",
        "十二",
        "十三",
        "十四",
        "十五",
    ]
    assert len({s.key for s in SECTIONS}) == len(SECTIONS)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (92.25, "92.3"),
        (92.35, "92.4"),
        (0.0499, "0.0"),
        (-0.04, "0.0"),
        (-1.25, "-1.3"),
        (100, "100.0"),
        (92.2499999999999, "92.3"),
    ],
)
def test_numbers_are_rounded_half_up(value: float, text: str) -> None:
    assert cells.fixed(value) == text


def test_signs_are_shown_and_zero_has_none() -> None:
    assert [cells.signed(v) for v in (1.04, -1.05, 0.01, -0.01)] == ["+1.0", "−1.1", "0.0", "0.0"]


@given(st.floats(-1e6, 1e6, allow_nan=False))
def test_a_number_cell_holds_what_it_prints(value: float) -> None:
    cell = cells.number(value, 1)
    assert cell.number == float(cell.text)


def test_an_empty_denominator_is_a_dash_with_both_numbers() -> None:
    assert cells.ratio_text(Ratio(0, 0)) == "—（0/0）" and cells.ratio_text(Ratio(78, 80)) == "97.5%（78/80）"


def test_an_interval_or_the_reason_for_none() -> None:
    def of(basis: Basis) -> Estimate:
        return Estimate(90.0, 88.04, 91.96, 1.0, 9.0, 10, 100, basis)

    assert cells.interval_text(of(Basis.INTERVAL)) == "88.0–92.0"
    assert cells.interval_text(of(Basis.CENSUS)) == "全检"
    assert cells.interval_text(of(Basis.NO_DIFFERENCE)) == "无差异，不可估"
    assert cells.change(None)[0].text == "—"
    assert [c.text for c in cells.change(Estimate(1.0, -0.5, 2.5, 1, 9, 20, 200, Basis.INTERVAL))] == [
        "+1.0",
        "−0.5 ~ +2.5",
        "变化不显著",
    ]


def call(outcome: str, ring_ms: int | None = 6000, direction: str = "inbound", day: int = 2) -> CallFact:
    return CallFact(direction, outcome, MONTH.start_ms + day * 86_400_000, ring_ms)


def test_running_figures_count_as_defined() -> None:
    calls = [
        call("answered"),
        call("answered", 15_000),
        call("answered", 15_001),
        call("answered", None),
        call("abandoned", 4_999),
        call("unanswered"),
        call("answered", direction="outbound"),
        call("answered", day=40),
    ]
    at = MONTH.start_ms
    tickets = [
        TicketFact(at + 10, at + 10, at + 20, 1, "满意"),
        TicketFact(at + 10, at + 11, None, 3, ""),
        TicketFact(at + 10, None, None, None, ""),
        TicketFact(MONTH.end_ms, at + 5, at + 6, 1, "不满意"),
        TicketFact(at + 1, at - 5, at + 6, 1, ""),
    ]
    kpis = build_kpis(MONTH, calls, tickets)
    got = {code: (k.ratio.numerator, k.ratio.denominator, k.state) for code, k in kpis.items()}
    assert got == {
        "answer_rate": (4, 6, "missed"),
        "answer_within_15s_rate": (2, 3, ""),
        "on_time_close_rate": (2, 4, "missed"),
        "callback_rate": (3, 3, "met"),
        "satisfaction_rate": (1, 2, "missed"),
        "rating_rate": (2, 3, ""),
    }
    assert is_short_abandon(calls[4])
    assert build_kpis(MONTH, calls, [], count_short_abandon=False)["answer_rate"].ratio == Ratio(4, 5)
    assert build_kpis(MONTH, [], [])["answer_rate"].state == "no_data"


def test_a_ticket_that_is_not_due_yet_is_neither_on_time_nor_late() -> None:
    noon = MONTH.start_ms + 12 * 3_600_000
    open_ticket = TicketFact(noon + 1, None, None, 0, "")
    late_ticket = TicketFact(noon - 1, None, None, 0, "")
    rate = build_kpis(MONTH, [], [open_ticket, late_ticket], as_of_ms=noon)["on_time_close_rate"]
    assert rate.ratio == Ratio(0, 1)
    assert build_kpis(MONTH, [], [open_ticket, late_ticket])["on_time_close_rate"].ratio == Ratio(0, 2)
