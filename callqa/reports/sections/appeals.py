"""十一、申诉: what agents appealed and what became of it; how released scores were answered. Counted whole, so no intervals."""

from collections.abc import Callable, Sequence
from statistics import median

from callqa.periods import say_short
from callqa.reports.appeals import (
    MIN_SHARE,
    VERDICT_LABELS,
    Answer,
    AppealCase,
    AppealedItem,
    MonthAppeals,
    Verdict,
    revised,
)
from callqa.reports.cells import fixed, number, ratio_text, signed, text
from callqa.reports.document import MISSING, Block, Cell, Column, Paragraph, Table, Tone
from callqa.reports.facts import MonthFacts
from callqa.reports.results import Results
from callqa.scoring.evaluation import OUTCOME_LABELS, Outcome
from callqa.units import Ratio

_REASON_CHARS = 60
_TONES = {Outcome.OPEN: Tone.WARN, Outcome.REVISED: Tone.GOOD, Outcome.WITHDRAWN: Tone.MUTED}


def build(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    """Tables 11-1 to 11-3."""
    told = Paragraph(
        "本章按通话所属月份统计已发布的评分（含定向必检），不论何时申诉。各数是全数统计，不是抽样，故不给区间、不作推断；"
        f"不足 {MIN_SHARE} 件的只列件数，不折成百分比。",
        Tone.MUTED,
    )
    return told, _list(facts), _summary(facts), _items(facts)


def verdict_words(facts: MonthFacts, call_id: str) -> str:
    """What became of the appeals of a call's score, in order; "" without one."""
    found = [VERDICT_LABELS[case.verdict] for case in facts.appeals.cases if case.call_id == call_id]
    return "、".join(found)


def small_share(value: Ratio) -> str:
    """`20.0%（1/5）`, but `1/4` where there are too few to speak of a percentage, and a dash with both where there are none."""
    few = 0 < value.denominator < MIN_SHARE
    return f"{value.numerator}/{value.denominator}" if few else ratio_text(value)


def spread(values: Sequence[float], say: Callable[[float], str]) -> str:
    """The median, with every value in order where there are fewer than MIN_SHARE, else with the extremes."""
    if not values:
        return MISSING
    ordered = sorted(values)
    rest = (
        f"：{'、'.join(map(say, ordered))}"
        if len(ordered) < MIN_SHARE
        else f"，{say(ordered[0])} 至 {say(ordered[-1])}"
    )
    return f"中位数 {say(median(ordered))}（n = {len(ordered)}{rest}）"


def _list(facts: MonthFacts) -> Table:
    rows = tuple(_row(facts, case, item) for case in facts.appeals.cases for item in case.items)
    return Table(
        "11-1",
        "申诉",
        (
            Column("录音编号", 1.6),
            Column("工号", 0.8),
            Column("申诉项", 1.6, "left"),
            Column("理由摘要", 2.6, "left"),
            Column("提出时间", 1.3),
            Column("受理人", 0.9),
            Column("结论", 0.8),
            Column("该项得分", 1.0),
            Column("质量分", 1.2),
            Column("最终分", 1.2),
            Column("用时（天）", 0.7),
        ),
        rows,
        notes=(
            "一次申诉可含数项，一并裁定；得分为裁定前 → 裁定后，只计裁定本身引起的变化。",
            "受理人标“本人”的，是没有第二个人可以裁定，由评分人自己裁定。",
        ),
    )


def _row(facts: MonthFacts, case: AppealCase, item: AppealedItem) -> tuple[Cell, ...]:
    secret = case.confidential
    scores = case.scores
    title = facts.rubric.fatal(item.item_id).title if item.fatal else facts.rubric.item(item.item_id).title
    late = case.is_late(facts.made_at_ms)
    return (
        text("保密件" if secret else case.call_id),
        text(facts.agent_label(case.agent_no)),
        text(f"{item.item_id} {title}"),
        text("" if secret else _shortened(item.reason)),
        text("" if secret else say_short(case.opened_at_ms)),
        text(case.decided_by + ("（本人）" if case.alone else "")),
        Cell(OUTCOME_LABELS[item.outcome], tone=_TONES.get(item.outcome, Tone.NONE)),
        text(_points(item)),
        text(_moved(scores.quality_before, scores.quality_after) if scores else ""),
        text(_moved(scores.final_before, scores.final_after) if scores else ""),
        number(case.days, 1, tone=Tone.WARN if late else Tone.NONE),
    )


def _points(item: AppealedItem) -> str:
    """`3.0 → 5.0`; a fatal item has no points, it stands or falls."""
    if item.outcome in (Outcome.OPEN, Outcome.WITHDRAWN):
        return ""
    if item.fatal:
        return "撤销" if item.outcome is Outcome.REVISED else "仍计"
    names = ["不适用" if points is None else fixed(points) for points in (item.points_before, item.points_after)]
    return names[0] if names[0] == names[1] else " → ".join(names)


def _moved(before: float, after: float) -> str:
    return fixed(before) if fixed(before) == fixed(after) else f"{fixed(before)} → {fixed(after)}"


def _shortened(reason: str) -> str:
    words = " ".join(reason.split())
    return words if len(words) <= _REASON_CHARS else words[: _REASON_CHARS - 1] + "…"


def _summary(facts: MonthFacts) -> Table:
    now = _figures(facts.appeals, facts.made_at_ms)
    before = _figures(facts.previous_appeals, facts.made_at_ms) if facts.previous_appeals.answers else None
    rows = tuple(
        (text(label), text(value), text(before[index][1] if before else ""), text(definition))
        for index, (label, value, definition) in enumerate(now)
    )
    notes = ["五种答复（本人确认、逾期视为确认、等待答复、待裁定、裁定定稿）合计等于已发布评分。"]
    if facts.appeals.unreleased:
        notes.append(f"另有 {facts.appeals.unreleased} 份评分已提交、尚未发布给坐席，不在本表。")
    if before is None:
        notes.append("上月没有已发布的评分。")
    return Table(
        "11-2",
        "答复与申诉汇总",
        (
            Column("指标", 1.6, "left"),
            Column("本月", 2.2),
            Column("上月", 2.2),
            Column("口径", 3.4, "left"),
        ),
        rows,
        notes=tuple(notes),
    )


def _figures(month: MonthAppeals, now_ms: int) -> list[tuple[str, str, str]]:
    """Label, value as printed, definition."""
    return [
        ("已发布评分（份）", str(len(month.answers)), "本月通话的首次评分，坐席可见"),
        ("本人确认", small_share(month.share(Answer.ACKNOWLEDGED)), "坐席在期限内确认 ÷ 已发布"),
        ("逾期视为确认", small_share(month.share(Answer.LAPSED)), "期限内没有答复 ÷ 已发布"),
        ("等待答复（份）", str(month.said(Answer.WAITING)), "期限还没有到；保密件不因逾期视为确认"),
        ("待裁定（份）", str(month.said(Answer.APPEALED)), "已申诉，还没有裁定；须为 0 才能定稿"),
        ("裁定定稿（份）", str(month.said(Answer.DECIDED)), "申诉已裁定，分数随之定稿"),
        ("提出过申诉的评分", small_share(month.appealed), "不论结果 ÷ 已发布"),
        ("申诉", f"{len(month.cases)} 次 / {len(month.items)} 项", "同一份评分同一时间提出的为一次"),
        *(
            (f"结论：{VERDICT_LABELS[verdict]}（次）", small_share(month.of_decided(verdict)), words)
            for verdict, words in (
                (Verdict.REVISED, "所诉各项全部改判 ÷ 已裁定"),
                (Verdict.PARTLY, "有改判、有维持 ÷ 已裁定"),
                (Verdict.UPHELD, "各项都维持原判 ÷ 已裁定"),
            )
        ),
        ("撤回（次）", str(month.ended(Verdict.WITHDRAWN)), "坐席在裁定前收回"),
        ("按项改判率", small_share(month.revised_items), "改判的项 ÷ 已裁定的项"),
        (
            "裁定用时（天）",
            spread(month.days, fixed),
            "从提出到裁定；不足 5 次的逐一列出",
        ),
        (
            "裁定超期（次）",
            small_share(month.late(now_ms)),
            "比坐席答复的期限还久（含至今未裁定的）÷ 已裁定与待裁定",
        ),
        ("评分人本人裁定（次）", small_share(month.alone), "没有第二个人可以裁定 ÷ 已裁定"),
        ("质量分变化", spread(month.quality_changes, signed), "裁定后 − 裁定前，只计已裁定的，维持的为 0"),
        ("最终分变化", spread(month.final_changes, signed), "同上，含致命项的撤销"),
    ]


def _items(facts: MonthFacts) -> Table:
    found: dict[str, list[AppealedItem]] = {}
    for item in facts.appeals.items:
        found.setdefault(item.item_id, []).append(item)
    rows = tuple(
        _item_row(facts, item_id, items)
        for item_id, items in sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    )
    return Table(
        "11-3",
        "申诉按项分布",
        (
            Column("评分项", 2.4, "left"),
            Column("申诉（项）"),
            *(Column(OUTCOME_LABELS[outcome]) for outcome in _OUTCOMES),
            Column("改判率", 1.3),
            Column("退回分值合计", 1.1),
        ),
        rows,
        notes=("改判率 = 改判 ÷（改判 + 维持）；退回分值为裁定后得分 − 裁定前得分，致命项与改为不适用的不计。",),
    )


_OUTCOMES = (Outcome.REVISED, Outcome.UPHELD, Outcome.WITHDRAWN, Outcome.OPEN)


def _item_row(facts: MonthFacts, item_id: str, items: list[AppealedItem]) -> tuple[Cell, ...]:
    title = facts.rubric.fatal(item_id).title if items[0].fatal else facts.rubric.item(item_id).title
    given_back = [
        item.points_after - item.points_before
        for item in items
        if item.outcome is Outcome.REVISED and item.points_after is not None and item.points_before is not None
    ]
    return (
        text(f"{item_id} {title}"),
        number(len(items)),
        *(number(sum(item.outcome is outcome for item in items)) for outcome in _OUTCOMES),
        text(small_share(revised(items))),
        text(signed(sum(given_back)) if given_back else ""),
    )
