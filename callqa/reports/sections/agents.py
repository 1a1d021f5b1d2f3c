"""四、坐席结果: scores in tiers, not ranks; section rates as a heat map; strengths and problems; forest and trends."""

from collections import Counter

from callqa.reports.cells import fill, fixed, interval, number, percent, share, signed, text
from callqa.reports.document import (
    MISSING,
    Block,
    Cell,
    CellKind,
    Column,
    Figure,
    FigureKind,
    Paragraph,
    Series,
    Table,
    Tone,
)
from callqa.reports.facts import MonthFacts, Score
from callqa.reports.results import (
    CRITICAL_LABELS,
    AgentResult,
    Results,
    agent_estimates,
    quality,
)
from callqa.reports.sections.labels import month_label
from callqa.scoring.statistics import Basis, Estimate, is_significant

_HEAT_FLOOR = 0.7  # a section rate at or below is the deepest colour


def build(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    """Tables 4-1 to 4-3, figures 4-1 and 4-2."""
    return (
        _scores(facts, results),
        _forest(facts, results),
        *_trends(facts, results),
        _sections(facts, results),
        _portraits(facts, results),
    )


def _scores(facts: MonthFacts, results: Results) -> Table:
    ordered = sorted(results.agents, key=lambda a: (a.tier is None, a.tier or 0, a.agent_no))
    return Table(
        "4-1",
        "坐席得分",
        (
            Column("档次", 0.7),
            Column("工号", 1.0),
            Column("通话数", 0.8),
            Column("抽检 n", 0.7),
            Column("质量分", 0.8),
            Column("95% 区间", 1.5),
            Column("本人方差区间", 1.5),
            Column("最终分", 0.8),
            Column("合格率", 0.9),
            Column("致命项", 0.7),
            *(Column(name, 0.7, group="关键差错（通）") for name in CRITICAL_LABELS.values()),
            Column("环比", 1.4),
            Column("近三月合并", 1.0),
            Column("备注", 1.6, "left"),
        ),
        tuple(_score_row(facts, agent) for agent in ordered),
        notes=(
            "按档次、再按工号排列；与同档首位差异区间含 0 者并列同一档，档内不排先后。",
            "质量分区间默认用同类型层合并方差；“本人方差区间”只用本人样本，仅供对照。",
            "每人每月 10 通不足以区分 4 分以内的差距，奖罚应看连续 3 个月的合并结果。",
        ),
    )


def _score_row(facts: MonthFacts, agent: AgentResult) -> tuple[Cell, ...]:
    remark = "；".join(agent.quality.notes)
    return (
        text(f"第 {agent.tier} 档" if agent.tier else ""),
        text(facts.agent_label(agent.agent_no)),
        number(agent.calls),
        number(agent.n),
        number(agent.quality.value, 1),
        interval(agent.quality),
        _muted(interval(agent.own)),
        number(agent.final.value, 1),
        share(agent.passed.value),
        number(agent.fatals, tone=Tone.BAD if agent.fatals else Tone.NONE),
        *(number(count) for _, count in agent.critical),
        text(_change_words(agent.change)),
        number(agent.three_months.value if agent.three_months else None, 1),
        text(remark),
    )


def _muted(cell: Cell) -> Cell:
    return Cell(cell.text, tone=Tone.MUTED)


def _change_words(change: Estimate | None) -> str:
    if change is None or change.value is None:
        return ""
    significant = is_significant(change)
    words = {True: "显著", False: "不显著", None: "不作推断"}[significant]
    return f"{signed(change.value)}（{words}）"


def _sections(facts: MonthFacts, results: Results) -> Table:
    rows = []
    for agent in results.agents:
        scores = [score for call, score in facts.sample.scored if call.agent_no == agent.agent_no]
        cells = [_section_cell(scores, section_id) for section_id, _ in facts.rubric.sections]
        rows.append((text(facts.agent_label(agent.agent_no)), *cells))
    everyone = [score for _, score in facts.sample.scored]
    rows.append((text("团队"), *(_section_cell(everyone, section_id) for section_id, _ in facts.rubric.sections)))
    return Table(
        "4-2",
        "坐席各大类得分率",
        (Column("工号", 1.0), *(Column(title, 1.2) for _, title in facts.rubric.sections)),
        tuple(rows),
        total_rows=1,
        notes=("得分率 = 抽检样本中适用项得分合计 ÷ 满分合计（未加权，供辅导参考）；颜色越深得分率越低。",),
    )


def _section_cell(scores: list[Score], section_id: str) -> Cell:
    items = [
        item
        for score in scores
        for item in score.items
        if item.points is not None and item.item_id.split(".")[0] == section_id
    ]
    most = sum(item.max_points for item in items)
    if not most:
        return Cell(MISSING)
    rate = sum(item.points or 0.0 for item in items) / most
    heat = min(1.0, max(0.0, (rate - _HEAT_FLOOR) / (1 - _HEAT_FLOOR)))
    printed = percent(rate)
    return Cell(printed, CellKind.PERCENT, float(printed.rstrip("%")) / 100, heat=round(heat, 3))


def _portraits(facts: MonthFacts, results: Results) -> Table:
    rows = []
    for agent in results.agents:
        lost: Counter[str] = Counter()
        for call, score in facts.sample.scored:
            if call.agent_no == agent.agent_no:
                lost.update({item.item_id: item.lost for item in score.items if item.lost > 0})
        top = sorted(lost.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
        words = "；".join(f"{item} {facts.rubric.item(item).title}（−{fixed(points)} 分）" for item, points in top)
        slots = [f"agent.{agent.agent_no}.{slot}" for slot in ("strength", "coaching", "followup")]
        rows.append(
            (
                text(facts.agent_label(agent.agent_no)),
                fill(slots[0], facts.texts.get(slots[0])),
                text(words or ("样本内无扣分" if agent.n else "")),
                fill(slots[1], facts.texts.get(slots[1])),
                fill(slots[2], facts.texts.get(slots[2])),
            )
        )
    return Table(
        "4-3",
        "坐席个人小结",
        (
            Column("工号", 0.8),
            Column("主要优点", 1.6, "left"),
            Column("主要问题（扣分前三项）", 2.6, "left"),
            Column("辅导记录", 1.6, "left"),
            Column("上月整改落实", 1.6, "left"),
        ),
        tuple(rows),
    )


def _forest(facts: MonthFacts, results: Results) -> Figure:
    ordered = sorted(results.agents, key=lambda a: (a.tier is None, a.tier or 0, a.agent_no))
    estimates = [a.quality for a in ordered]
    team = results.quality.value
    return Figure(
        "4-1",
        "坐席质量分与 95% 区间",
        FigureKind.FOREST,
        tuple(facts.agent_label(a.agent_no) for a in ordered),
        (
            Series(
                "质量分",
                tuple(None if e.value is None else float(fixed(e.value)) for e in estimates),
                tuple(_bound(e, e.low) for e in estimates),
                tuple(_bound(e, e.high) for e in estimates),
            ),
        ),
        unit="分",
        reference=None if team is None else float(fixed(team)),
        reference_label="" if team is None else f"团队 {fixed(team)}",
        maximum=100,
    )


def _bound(estimate: Estimate, value: float | None) -> float | None:
    return float(fixed(value)) if value is not None and estimate.basis is Basis.INTERVAL else None


def _trends(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    samples = list(facts.recent(6))
    if len(samples) < 2:
        return (Paragraph("图 4-2 坐席近 6 个月折线：无上月数据，暂不绘制。", Tone.MUTED),)
    by_month = [agent_estimates(sample, quality) for sample in samples]
    series = []
    for agent in results.agents:
        values = [estimates[agent.agent_no].value if agent.agent_no in estimates else None for estimates in by_month]
        points = tuple(None if v is None else float(fixed(v)) for v in values)
        series.append(Series(facts.agent_label(agent.agent_no), points))
    return (
        Figure(
            "4-2",
            "坐席近 6 个月质量分",
            FigureKind.LINES,
            tuple(month_label(sample.month) for sample in samples),
            tuple(series),
            unit="分",
            maximum=100,
        ),
    )
