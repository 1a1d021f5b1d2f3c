"""十二、典型案例 and 十三、问题分析与改进: excerpts to hear, what the leader makes of the month, actions and their outcome."""

from callqa.reports.appeals import MIN_SHARE
from callqa.reports.cells import fill, number, ratio_text, text
from callqa.reports.document import Block, Cell, Column, Paragraph, Table, Tone
from callqa.reports.facts import MonthFacts
from callqa.reports.improving import ActionFact
from callqa.reports.results import Results
from callqa.units import Ratio

CASE_LABELS = {"exemplary": "优秀", "problem": "问题"}
SPEAKERS = {"citizen": "诉求人", "agent": "坐席"}
STATES = {"open": ("进行中", Tone.WARN), "done": ("完成", Tone.GOOD), "dropped": ("不再进行", Tone.MUTED)}
CAUSES = "improve.causes"


def build_cases(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    """Table 12-1."""
    rows = tuple(
        (
            text(CASE_LABELS[case.kind]),
            text(case.call_id),
            text(case.title),
            text(f"{case.item_id} {facts.rubric.item(case.item_id).title}" if case.item_id else ""),
            text("　".join(f"{SPEAKERS.get(speaker, speaker)}：{words}" for speaker, words in case.lines)),
            text(case.lesson),
        )
        for case in facts.cases
    )
    return (
        Table(
            "12-1",
            "典型案例",
            (
                Column("类别", 0.6),
                Column("录音编号", 1.3),
                Column("标题", 1.4, "left"),
                Column("评分项", 1.2, "left"),
                Column("对话摘录（脱敏）", 3.4, "left"),
                Column("要点", 2.0, "left"),
            ),
            rows,
            notes=("案例库中本月通话的案例；姓名、地点、号码在列入时已遮去。保密件不列。",),
        ),
    )


def build_actions(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    """The leader's analysis, tables 13-1 and 13-2."""
    written = fill(CAUSES, facts.texts.get(CAUSES))
    month = str(facts.month)
    return (
        Paragraph(written.text, written.tone, CAUSES, "本月问题与原因"),
        _table(facts, "13-1", "本月整改措施", [a for a in facts.actions if a.month == month]),
        _table(facts, "13-2", "以前各月整改跟踪", [a for a in facts.actions if a.month < month]),
    )


def _table(facts: MonthFacts, no: str, title: str, actions: list[ActionFact]) -> Table:
    return Table(
        no,
        title,
        (
            Column("序号", 0.5),
            Column("措施", 2.6, "left"),
            Column("对象", 0.8),
            Column("评分项", 1.5, "left"),
            Column("期限", 1.0),
            Column("状态", 0.8),
            Column("最近跟进", 2.0, "left"),
            Column("当月扣分", 1.1),
            Column("次月扣分", 1.1),
        ),
        tuple(_row(facts, index, action) for index, action in enumerate(actions, 1)),
        notes=(
            f"扣分为该项被扣分的评分 ÷ 适用该项的评分（含定向必检，未加权），不足 {MIN_SHARE} 份的只列份数；"
            "通数少，前后之差不作推断，只供看方向。",
        ),
    )


def _row(facts: MonthFacts, index: int, action: ActionFact) -> tuple[Cell, ...]:
    label, tone = STATES[action.state]
    return (
        number(index),
        text(action.text),
        text(facts.agent_label(action.agent_no) if action.agent_no else "全班"),
        text(f"{action.item_id} {facts.rubric.item(action.item_id).title}" if action.item_id else ""),
        text(action.due_on),
        Cell(label, tone=tone),
        text(action.last_note),
        text(_share(action.before)),
        text(_share(action.after)),
    )


def _share(value: Ratio | None) -> str:
    if value is None or not value.denominator:
        return ""
    few = value.denominator < MIN_SHARE
    return f"{value.numerator}/{value.denominator}" if few else ratio_text(value)
