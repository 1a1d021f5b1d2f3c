"""六、致命项与不合格个案: each case with its evidence; suspected fatal findings and what became of them."""

from callqa.periods import say_offset, say_short
from callqa.reports.cells import fill, number, ratio, text
from callqa.reports.document import Block, Cell, Column, Paragraph, Table, Tone
from callqa.reports.facts import FatalFact, FramedCall, MonthFacts, Score
from callqa.reports.results import Results
from callqa.units import CALL_TYPE_LABELS, CallType, Ratio

_MAIN_DEDUCTIONS = 3


def build(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    """Tables 6-1 to 6-3."""
    return (
        _fatals(facts),
        Paragraph(
            "抽检 0 致命不等于没有致命：致命项主要靠全量机器预检与定向必检发现，随机样本只用于估计水平。", Tone.MUTED
        ),
        _failed(facts),
        _suspects(facts),
    )


def unchecked(facts: MonthFacts) -> int:
    """Machine hints of a fatal item that nobody has looked at; must be 0 to finalise."""
    return sum(row.hinted - row.checked for row in facts.suspects)


def _second(fatal: FatalFact) -> Cell:
    """What the second person said, if anything."""
    if fatal.refused_by is not None:
        return Cell(f"{fatal.refused_by}不认可，不计入")
    return text(fatal.second_confirmed_by or "") if fatal.is_confirmed else Cell("待确认", tone=Tone.WARN)


def _fatals(facts: MonthFacts) -> Table:
    found = [(call, fatal) for call, score in facts.sample.scored for fatal in score.fatals]
    rows = []
    for index, (call, fatal) in enumerate(found, 1):
        slot = f"fatal.{call.call_id}.{fatal.fatal_id}"
        rows.append(
            (
                number(index),
                text(call.call_label),
                text("—" if call.confidential else say_short(call.started_at_ms)),
                text(facts.agent_label(call.agent_no)),
                text(_type(call)),
                text(f"{fatal.fatal_id} {facts.rubric.fatal(fatal.fatal_id).title}"),
                text("—" if call.confidential else say_offset(fatal.at_ms)),
                text("—" if call.confidential else fatal.words),
                text("机器提示" if fatal.hinted else "随机抽检"),
                text(fatal.confirmed_by),
                _second(fatal),
                text(fatal.appeal),
                text("—") if call.confidential else fill(slot, facts.texts.get(slot)),
            )
        )
    return Table(
        "6-1",
        "致命项",
        (
            Column("序号", 0.5),
            Column("录音编号", 1.5),
            Column("时间", 1.3),
            Column("工号", 0.8),
            Column("通话类型", 0.9),
            Column("致命项", 1.6, "left"),
            Column("时间点", 0.7),
            Column("事实摘要", 2.0, "left"),
            Column("发现途径", 0.9),
            Column("确认人", 0.8),
            Column("第二确认人", 0.9),
            Column("申诉结果", 0.8),
            Column("处理", 1.2, "left"),
        ),
        tuple(rows),
        notes=("经两人确认的方计入致命项；“待确认”与第二人不认可的不影响最终分。申诉改判的致命项已撤销，不在本表。",),
    )


def _failed(facts: MonthFacts) -> Table:
    found = [(c, s) for c, s in facts.sample.scored if s.final_score < facts.rubric.pass_line]
    found.sort(key=lambda pair: (pair[1].final_score, pair[0].call_id))
    rows = []
    for index, (call, score) in enumerate(found, 1):
        slot = f"failed.{call.call_id}"
        words, moments = _main_deductions(facts, score)
        rows.append(
            (
                number(index),
                text(call.call_label),
                text(facts.agent_label(call.agent_no)),
                number(score.final_score, 1),
                text(words),
                text("—" if call.confidential else moments),
                text("—") if call.confidential else fill(slot, facts.texts.get(slot)),
            )
        )
    return Table(
        "6-2",
        "不合格通话",
        (
            Column("序号", 0.5),
            Column("录音编号", 1.6),
            Column("工号", 0.8),
            Column("最终分", 0.8),
            Column("主要扣分", 4.0, "left"),
            Column("证据时间点", 1.8),
            Column("处理", 1.6, "left"),
        ),
        tuple(rows),
    )


def _main_deductions(facts: MonthFacts, score: Score) -> tuple[str, str]:
    """The heaviest deductions in words, fatal findings first, and their moments."""
    words = [f"致命 {f.fatal_id} {facts.rubric.fatal(f.fatal_id).title}" for f in score.confirmed_fatals]
    moments = [say_offset(f.at_ms) for f in score.confirmed_fatals]
    for d in sorted(score.deductions, key=lambda d: (-d.points, d.item_id))[:_MAIN_DEDUCTIONS]:
        words.append(f"{d.item_id} {facts.rubric.option_label(d.item_id, d.option_code)}（−{d.points:g}）")
        if d.at_ms is not None:
            moments.append(say_offset(d.at_ms))
    return "；".join(words), "、".join(dict.fromkeys(moments))


def _suspects(facts: MonthFacts) -> Table:
    rows = []
    for row in facts.suspects:
        left = row.hinted - row.checked
        rows.append(
            (
                text(f"{row.fatal_id} {facts.rubric.fatal(row.fatal_id).title}"),
                number(row.hinted),
                number(row.checked),
                number(row.confirmed),
                ratio(Ratio(row.confirmed, row.checked)),
                number(left, tone=Tone.BAD if left else Tone.GOOD),
            )
        )
    return Table(
        "6-3",
        "疑似致命处置",
        (
            Column("致命项", 3.0, "left"),
            Column("机器提示数"),
            Column("已核实数"),
            Column("确认数"),
            Column("查准率", 1.4),
            Column("未处理数"),
        ),
        tuple(rows),
        notes=("未处理数须为 0 才能定稿。",),
    )


def _type(call: FramedCall) -> str:
    return CALL_TYPE_LABELS[CallType(call.call_type)]
