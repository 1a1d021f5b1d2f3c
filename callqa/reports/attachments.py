"""附件 as tables for spreadsheets: 1 every scored call item by item, 2 the drawn calls with their ranks, 3 the rubric."""

from callqa.periods import from_ms
from callqa.reports.cells import number, text
from callqa.reports.document import Cell, Column, Table
from callqa.reports.facts import FramedCall, MonthFacts, Score
from callqa.reports.sections import appendix, matching
from callqa.reports.sections.appeals import verdict_words
from callqa.scoring.plan import STRATUM_LABELS
from callqa.units import CALL_TYPE_LABELS, CallType

STATUS_LABELS = {
    "draft": "草稿",
    "submitted": "已提交",
    "released": "已发布",
    "acknowledged": "已确认",
    "appealed": "申诉中",
    "finalized": "已定稿",
}
DRAWN_LABELS = {"sample": "随机样本", "reserve": "递补"}


def build_attachments(facts: MonthFacts) -> tuple[Table, ...]:
    """附件 1 评分明细, 附件 2 样本清单, 附件 3 评分标准, and the whole list behind table 7-1."""
    return _details(facts), _sample(facts), appendix.rubric_lines(facts), matching.build_list(facts)


def _details(facts: MonthFacts) -> Table:
    items = _item_ids(facts)
    heads = [
        "报告期", "录音编号", "工单号", "工号", "座席", "通话类型", "开始时间", "时长秒", "层", "抽取方式", "标准版本",
        "评分人", "评分时间", "评分用时秒",
    ]  # fmt: skip
    tail = ["扣分选项", "不适用项", "致命项", "质量分", "最终分", "等级", "机器建议数", "采纳数", "状态", "申诉结论"]
    columns = [Column(head, 1.6) for head in heads]
    columns += [Column(f"{item_id} {facts.rubric.item(item_id).title}", 1.0, group="各评分项得分") for item_id in items]
    columns += [Column(head, 1.6) for head in tail]
    rows = tuple(_detail_row(facts, call, score, items) for call, score in facts.sample.scored)
    return Table("附件1", "抽检评分明细", tuple(columns), rows)


def _item_ids(facts: MonthFacts) -> list[str]:
    known = [item.item_id for item in facts.rubric.items]
    used = {item.item_id for _, score in facts.sample.scored for item in score.items}
    return known + sorted(used - set(known))


def _detail_row(facts: MonthFacts, call: FramedCall, score: Score, items: list[str]) -> tuple[Cell, ...]:
    points = {item.item_id: item for item in score.items}
    not_applicable = [item.item_id for item in score.items if item.points is None]
    return (
        text(str(facts.month)),
        text(call.call_label),
        text("" if call.confidential else call.ticket_no),
        text(facts.agent_label(call.agent_no)),
        text("" if call.confidential else call.seat),
        text(CALL_TYPE_LABELS[CallType(call.call_type)]),
        *_when(call),
        text(STRATUM_LABELS[call.stratum]),
        text(DRAWN_LABELS.get(call.drawn_as, call.drawn_as)),
        text(score.rubric_hash[:12]),
        text(score.evaluator),
        text(f"{from_ms(score.submitted_at_ms):%Y-%m-%d %H:%M:%S}" if score.submitted_at_ms else ""),
        number(score.elapsed_ms / 1000),
        *(number(points[i].points if i in points else None, 1) for i in items),
        text("；".join(f"{d.item_id}{d.option_code}×{d.times}（−{d.points:g}）" for d in score.deductions)),
        text("、".join(not_applicable)),
        text("、".join(f"{f.fatal_id}{f.standing_words}" for f in score.fatals)),
        number(score.quality_score, 1),
        number(score.final_score, 1),
        text(facts.rubric.grade_label(score.grade)),
        number(score.suggested),
        number(score.accepted),
        text(STATUS_LABELS.get(score.status, score.status)),
        text(verdict_words(facts, call.call_id)),
    )


def _when(call: FramedCall) -> tuple[Cell, Cell]:
    """Its start and its length in seconds."""
    if call.confidential:
        return text(""), text("")
    return text(f"{from_ms(call.started_at_ms):%Y-%m-%d %H:%M:%S}"), number(call.duration_ms / 1000)


def _sample(facts: MonthFacts) -> Table:
    columns = ("录音编号", "工号", "层", "抽取方式", "通话类型", "开始时间", "时长秒", "评分状态", "排序值")
    rows = tuple(
        (
            text(call.call_label),
            text(facts.agent_label(call.agent_no)),
            text(STRATUM_LABELS[call.stratum]),
            text(DRAWN_LABELS.get(call.drawn_as, call.drawn_as)),
            text(CALL_TYPE_LABELS[CallType(call.call_type)]),
            *_when(call),
            text(STATUS_LABELS.get(call.score.status, "") if call.score else "未评分"),
            text("" if call.confidential else call.rank),
        )
        for call in facts.sample.sampled
    )
    return Table("附件2", "样本清单", tuple(Column(c, 1.6) for c in columns), rows)
