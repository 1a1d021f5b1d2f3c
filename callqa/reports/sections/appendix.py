"""十五、附件: where the long lists are; how every figure is defined, what the data lack, what was changed afterwards."""

from callqa.periods import say_short
from callqa.reports.appendix import GapFact
from callqa.reports.cells import fixed, number, percent, signed, text
from callqa.reports.document import Block, Cell, Column, Paragraph, Table, Tone
from callqa.reports.facts import MonthFacts
from callqa.reports.kpi import build_kpis
from callqa.reports.results import Results

CHANGE_LABELS = {"revise": "修改评分", "decide": "申诉裁定", "fatal_confirmed": "致命项第二确认"}
_SAMPLED, _WHOLE, _MACHINE = "抽样推断", "全数", "机器全量"
# Indicators that chapters print beside the contract's (those come from the table of figures itself).
_DEFINED = (
    ("质量分（不含否决）", "各层抽检均值按层内通话数 N 加权；不适用项从分母剔除", _SAMPLED, "第三、四章"),
    ("最终分", "致命项确认后按否决规则；其余同质量分", _SAMPLED, "第三、四章"),
    ("合格率", "最终分不低于合格线的通话（按层加权）", _SAMPLED, "第三、四章"),
    ("致命率", "有经两人确认的致命项的通话（按层加权）", _SAMPLED, "第三章"),
    ("关键差错准确率", "无该类关键差错的通话 ÷ 抽检通话，按诉求人、业务、合规分列", _SAMPLED, "第一章"),
    ("录音—工单一致率", "S6.2 未扣分 ÷ 适用（人工评分，按层加权）", _SAMPLED, "第一章"),
    ("命中率", "该项被扣分的通话 ÷ 适用该项的通话（按层加权）", _SAMPLED, "第五章"),
    ("抽检完成率", "已评 ÷ 应评", _WHOLE, "第二章"),
    ("不一致率", "机器比对不一致 ÷（一致 + 不一致），无法判定的不计", _MACHINE, "表 7-1"),
    ("机器查准率", "人工确认 ÷（确认 + 不认可）", "抽检核实", "表 7-2"),
    ("环节按时率", "用时不超过评分标准所定时限 ÷ 起止时间都有的工单", _WHOLE, "表 7-3"),
    ("录音完整率", "有录音的接通通话 ÷（接通通话 − 整理中）", _WHOLE, "表 7-4"),
    ("AC1、κ", "盲评卡上机器与人工逐通比对“是否扣分”的一致性", "盲评样本", "第九章"),
    ("申诉改判率", "改判的项 ÷ 已裁定的项", _WHOLE, "第十一章"),
    ("工单合格率", "工单类评分项无关键差错 ÷ 抽检有单通话（本人、窗口内）", "抽检全数", "表 14-1"),
)


def build(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    """Where attachments 1 to 3 are, then 4, 5 and 6 as tables."""
    return (
        Paragraph(
            "附件 1 抽检评分明细、附件 2 样本清单、附件 3 评分标准当期版本（全文），以及表 7-1 的不一致清单，见同名 XLSX 文件；"
            "数字与本报告逐一相同。"
        ),
        Paragraph("区间均为 95% 置信水平；全数统计的数不给区间。", Tone.MUTED),
        _definitions(facts),
        _gaps(facts),
        _changes(facts),
    )


def rubric_lines(facts: MonthFacts) -> Table:
    """附件 3, the rubric in force as it was published, line by line."""
    rows = tuple(
        (number(place), Cell(line.rstrip() or " "))
        for place, line in enumerate(facts.appendix.rubric_text.splitlines(), 1)
    )
    columns = (Column("行", 0.4), Column(f"{facts.rubric.label}", 6.0, "left"))
    notes = (f"SHA-256 {facts.rubric.rubric_hash}",)
    return Table("附件3", "评分标准当期版本", columns, rows, notes=notes)


def _definitions(facts: MonthFacts) -> Table:
    rows = [tuple(map(text, row)) for row in _DEFINED]
    for kpi in build_kpis(facts.month, (), ()).values():
        target = "" if kpi.target is None else f"，目标 {percent(float(kpi.target), 0)}"
        rows.append((text(kpi.label), text(f"{kpi.definition}{target}"), text(_WHOLE), text("表 8-1")))
    return Table(
        "15-1",
        "附件 4　指标口径说明",
        (
            Column("指标", 1.4, "left"),
            Column("口径（分子 ÷ 分母）", 4.2, "left"),
            Column("方式", 0.9),
            Column("见", 0.9),
        ),
        tuple(rows),
        notes=(
            "分母为 0 显示“—”，不显示 0% 或 100%。通话按开始时间（北京时间）归月；测试、内部通话不计。"
            "保密件计入总数，不列编号，不进抽样框，机器不比对。",
            f"合格线 {fixed(facts.rubric.pass_line, 0)} 分；等级："
            + "、".join(f"{label} ≥ {fixed(low, 0)}" for _, label, low in facts.rubric.grades)
            + "。",
        ),
    )


def _gaps(facts: MonthFacts) -> Table:
    return Table(
        "15-2",
        "附件 5　数据缺口说明",
        (
            Column("缺口", 1.1),
            Column("起", 1.1),
            Column("止", 1.1),
            Column("通话或件数", 0.8),
            Column("情况", 2.2, "left"),
            Column("影响", 3.0, "left"),
        ),
        tuple(_gap_row(gap) for gap in facts.appendix.gaps),
        notes=(
            "录音缺口为接连未录成的通话的首末开始时间；没有来电的停机时段从通话里看不出来，见录音服务的日志。"
            "工单未导入为有通话而没有一件受理工单的日子，件数是这些日子的通话数。",
        ),
    )


def _gap_row(gap: GapFact) -> tuple[Cell, ...]:
    return (
        text(gap.what),
        text(say_short(gap.from_ms)),
        text(say_short(gap.to_ms)),
        number(gap.count),
        text(gap.words),
        text(gap.effect),
    )


def _changes(facts: MonthFacts) -> Table:
    return Table(
        "15-3",
        "附件 6　修改记录",
        (
            Column("序号", 0.5),
            Column("录音编号", 1.5),
            Column("坐席", 0.8),
            Column("时间", 1.1),
            Column("事由", 1.1),
            Column("经手人", 0.8),
            Column("理由", 2.4, "left"),
            Column("质量分", 1.4),
            Column("最终分", 1.4),
        ),
        tuple(
            (
                number(place),
                text(change.call_label),
                text(facts.agent_label(change.agent_no)),
                text(say_short(change.at_ms)),
                text(CHANGE_LABELS.get(change.kind, change.kind)),
                text(change.by),
                text(change.reason),
                text(_moved(*change.quality)),
                text(_moved(*change.final)),
            )
            for place, change in enumerate(facts.appendix.changes, 1)
        ),
        notes=("本月通话首次提交后的每一次改动，含致命项确认与申诉裁定；原分不覆盖，各版都在。",),
    )


def _moved(before: float, after: float) -> str:
    if fixed(before) == fixed(after):
        return f"{fixed(before)}（不变）"
    return f"{fixed(before)} → {fixed(after)}（{signed(after - before)}）"
