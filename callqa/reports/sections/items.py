"""五、评分项分析: which items cost points, how often (weighted), and which options."""

from dataclasses import dataclass

from callqa.reports.cells import fixed, interval, number, percent, share, signed, text
from callqa.reports.document import MISSING, Block, Cell, Column, Figure, FigureKind, Paragraph, Series, Table, Tone
from callqa.reports.facts import FramedCall, MonthFacts, MonthSample
from callqa.reports.results import Results, comparable, item_hit, item_lost, mean_where, ratio_where
from callqa.reports.sections.labels import month_label
from callqa.scoring.statistics import is_significant, ratio_difference

_LISTED_CALLS = 6  # 表 5-2 names so many calls a row; all are in 附件 1
_PARETO_BARS = 12


@dataclass(frozen=True, slots=True)
class ItemLoss:
    """Points an item cost in the sample: calls it applied to, calls it hit."""

    item_id: str
    applicable: int
    hit: int
    points: float


def ranked_losses(sample: MonthSample) -> list[ItemLoss]:
    """Every item that applied to a scored call, most points lost first."""
    found: dict[str, list[float]] = {}
    for _, score in sample.scored:
        for item in score.items:
            if item.points is not None:
                found.setdefault(item.item_id, []).append(item.lost)
    losses = [ItemLoss(i, len(v), sum(p > 0 for p in v), round(sum(v), 6)) for i, v in found.items()]
    return sorted(losses, key=lambda loss: (-loss.points, loss.item_id))


def build(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    """Tables 5-1 and 5-2, figures 5-1 and 5-2."""
    losses = ranked_losses(facts.sample)
    return (_items(facts, losses), _pareto(facts, losses), *_trends(facts, losses), _options(facts))


def _items(facts: MonthFacts, losses: list[ItemLoss]) -> Table:
    total = sum(loss.points for loss in losses)
    rows, running = [], 0.0
    for loss in losses:
        running += loss.points
        rows.append(_item_row(facts, loss, total, running))
    return Table(
        "5-1",
        "各评分项扣分情况",
        (
            Column("编号", 0.7),
            Column("评分项", 2.0, "left"),
            Column("满分", 0.6),
            Column("适用通数", 0.8),
            Column("扣分通数", 0.8),
            Column("命中率（加权）", 1.0),
            Column("95% 区间", 1.5),
            Column("平均扣分", 0.8),
            Column("占总扣分比", 0.9),
            Column("累计占比", 0.9),
            Column("环比", 1.5),
        ),
        tuple(rows),
        notes=(
            "命中率与平均扣分按抽样框加权，只计该项适用的通话；占总扣分比按抽检样本的扣分值直接合计，可由附件 1 复算。",
        ),
    )


def _item_row(facts: MonthFacts, loss: ItemLoss, total: float, running: float) -> tuple[Cell, ...]:
    info = facts.rubric.item(loss.item_id)
    hit = ratio_where(facts.sample, item_hit(loss.item_id))
    mean = mean_where(facts.sample, item_lost(loss.item_id))
    calls = tuple(
        c.call_id for c, s in facts.sample.scored if any(i.item_id == loss.item_id and i.lost > 0 for i in s.items)
    )
    return (
        text(loss.item_id),
        text(info.title),
        number(info.max_points or None),
        number(loss.applicable),
        number(loss.hit, calls=calls),
        share(hit.value),
        interval(hit, percentage=True),
        number(mean.value, 2),
        share(loss.points / total if total else None),
        share(running / total if total else None),
        _change(facts, loss.item_id),
    )


def _change(facts: MonthFacts, item_id: str) -> Cell:
    """Change of the weighted hit rate, in percentage points."""
    old = facts.past(facts.month.previous())
    if old is None or not comparable(facts.sample, old):
        return Cell(MISSING)
    delta = ratio_difference(ratio_where(facts.sample, item_hit(item_id)), ratio_where(old, item_hit(item_id)))
    if delta.value is None:
        return Cell(MISSING)
    significant = is_significant(delta)
    words = {True: "显著", False: "不显著", None: "不作推断"}[significant]
    return Cell(f"{signed(delta.value * 100)} 点（{words}）", tone=Tone.WARN if significant else Tone.NONE)


def _options(facts: MonthFacts) -> Table:
    found: dict[tuple[str, str], list[tuple[int, FramedCall]]] = {}
    for call, score in facts.sample.scored:
        for deduction in score.deductions:
            key = (deduction.item_id, deduction.option_code)
            found.setdefault(key, []).append((deduction.times, call))
    ordered = sorted(found.items(), key=lambda pair: (-sum(t for t, _ in pair[1]), pair[0]))
    rows = []
    for (item_id, code), hits in ordered:
        calls = tuple(call.call_id for _, call in hits)
        more = f" 等 {len(calls)} 通" if len(calls) > _LISTED_CALLS else ""
        rows.append(
            (
                text(f"{item_id} {facts.rubric.item(item_id).title}"),
                text(f"{code}　{facts.rubric.option_label(item_id, code)}"),
                number(sum(times for times, _ in hits), calls=calls),
                number(len({call.agent_no for _, call in hits})),
                text("、".join(call.call_label for _, call in hits[:_LISTED_CALLS]) + more),
            )
        )
    return Table(
        "5-2",
        "扣分选项明细",
        (
            Column("评分项", 1.6, "left"),
            Column("选项", 2.2, "left"),
            Column("次数", 0.6),
            Column("涉及坐席数", 0.8),
            Column("涉及通话编号", 3.6, "left"),
        ),
        tuple(rows),
        notes=("全部通话编号见附件 1。",),
    )


def _pareto(facts: MonthFacts, losses: list[ItemLoss]) -> Figure:
    shown = [loss for loss in losses if loss.points > 0][:_PARETO_BARS]
    total = sum(loss.points for loss in losses)
    running, cumulative = 0.0, []
    for loss in shown:
        running += loss.points
        cumulative.append(float(fixed(100 * running / total)))
    return Figure(
        "5-1",
        "扣分帕累托图",
        FigureKind.PARETO,
        tuple(f"{loss.item_id} {facts.rubric.item(loss.item_id).title}" for loss in shown),
        (
            Series("扣分合计", tuple(float(fixed(loss.points)) for loss in shown)),
            Series("累计占比", tuple(cumulative)),
        ),
        unit="分",
        minimum=0,
    )


def _trends(facts: MonthFacts, losses: list[ItemLoss]) -> tuple[Block, ...]:
    samples = list(facts.recent(6))
    if len(samples) < 2:
        return (Paragraph("图 5-2 近 6 个月前五项命中率：无上月数据，暂不绘制。", Tone.MUTED),)
    series = []
    for loss in [loss for loss in losses if loss.points > 0][:5]:
        values = [ratio_where(sample, item_hit(loss.item_id)).value for sample in samples]
        points = tuple(None if v is None else float(percent(v).rstrip("%")) for v in values)
        series.append(Series(f"{loss.item_id} {facts.rubric.item(loss.item_id).title}", points))
    return (
        Figure(
            "5-2",
            "近 6 个月扣分前五项的命中率（加权）",
            FigureKind.LINES,
            tuple(month_label(sample.month) for sample in samples),
            tuple(series),
            unit="%",
            minimum=0,
        ),
    )
