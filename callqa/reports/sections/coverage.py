"""二、抽检工作概况: frame and coverage, strata, must-review calls, and what anyone needs to verify the draw."""

from collections.abc import Mapping

from callqa.periods import from_ms, say_duration, say_instant
from callqa.reports.cells import fixed, number, ratio, text
from callqa.reports.document import Block, Cell, Column, Figure, FigureKind, Series, Table, Tone
from callqa.reports.facts import FramedCall, MonthFacts, MonthSample
from callqa.reports.results import Results
from callqa.scoring.plan import EXCLUSION_LABELS, GAP_LABELS, STRATUM_LABELS, Stratum
from callqa.units import Ratio


def build(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    """Tables 2-1 to 2-4, figures 2-1 and 2-2."""
    return (
        _coverage(facts),
        _strata(facts),
        _completion(facts),
        _hours(facts.sample),
        _must_review(facts),
        _verification(facts),
    )


def _part(counts: Mapping[str, object], key: str) -> Mapping[str, int]:
    part = counts.get(key, {})
    return part if isinstance(part, Mapping) else {}


def _whole(counts: Mapping[str, object], key: str) -> int:
    value = counts.get(key, 0)
    return value if isinstance(value, int) else 0


def _coverage(facts: MonthFacts) -> Table:
    sample = facts.sample
    by_agent: Mapping[str, object] = _part(sample.counts, "by_agent")
    rows = []
    for agent_no in sorted(by_agent, key=lambda a: (a == "", a)):
        counts = by_agent[agent_no]
        own = [call for call in sample.calls if call.agent_no == agent_no]
        label = facts.agent_label(agent_no) if agent_no else "未归属"
        planned = sum(n for (agent, _), n in sample.planned.items() if agent == agent_no)
        reserves = sample.reserves_used.get(agent_no, 0)
        rows.append(_coverage_row(label, counts if isinstance(counts, Mapping) else {}, own, planned, reserves))
    used = sum(sample.reserves_used.values())
    rows.append(_coverage_row("合计", sample.counts, sample.calls, sum(sample.planned.values()), used))
    connected, framed = _whole(sample.counts, "connected"), _whole(sample.counts, "frame")
    excluded, missing = sum(_part(sample.counts, "exclusions").values()), sum(_part(sample.counts, "gaps").values())
    check = "相符" if connected == excluded + missing + framed else "不符，请核查"
    return Table(
        "2-1",
        "抽样框与覆盖",
        (
            Column("坐席", 1.3),
            Column("接通通话", 1.0),
            *(Column(label, 0.9, group="剔除") for label in EXCLUSION_LABELS.values()),
            *(Column(label, 0.9, group="框缺口") for label in GAP_LABELS.values()),
            Column("抽样框 N", 1.0),
            Column("应抽", 0.8),
            Column("实抽", 0.8),
            Column("递补启用", 0.8),
            Column("抽样比", 1.0),
            Column("抽检总时长", 1.6),
        ),
        tuple(rows),
        total_rows=1,
        notes=(
            f"校验：接通 {connected} = 剔除 {excluded} + 框缺口 {missing} + 抽样框 {framed}（{check}）。",
            "实抽指已提交评分的通话；应抽按方案每坐席每月配额计，可抽不足配额者全检。",
        ),
    )


def _coverage_row(
    label: str,
    counts: Mapping[str, object],
    calls: tuple[FramedCall, ...] | list[FramedCall],
    planned: int,
    reserves: int,
) -> tuple[Cell, ...]:
    exclusions, gaps = _part(counts, "exclusions"), _part(counts, "gaps")
    scored = [call for call in calls if call.drawn_as and call.score]
    framed = _whole(counts, "frame")
    return (
        text(label),
        number(_whole(counts, "connected")),
        *(number(exclusions.get(code, 0)) for code in EXCLUSION_LABELS),
        *(number(gaps.get(code, 0), tone=Tone.BAD if gaps.get(code) else Tone.NONE) for code in GAP_LABELS),
        number(framed),
        number(planned),
        number(len(scored), calls=tuple(call.call_id for call in scored)),
        number(reserves),
        text(Ratio(len(scored), framed).percent()),
        text(say_duration(sum(call.duration_ms for call in scored)) if scored else ""),
    )


def _strata(facts: MonthFacts) -> Table:
    sample = facts.sample
    rows = []
    for agent_no in sample.agents:
        rows.append(_strata_row(facts.agent_label(agent_no), [c for c in sample.calls if c.agent_no == agent_no]))
    rows.append(_strata_row("合计", list(sample.calls)))
    heads = [
        Column(label, 1.0, group=f"{STRATUM_LABELS[stratum]}层")
        for stratum in Stratum
        for label in ("N", "n", "抽样比")
    ]
    return Table(
        "2-2",
        "分层抽检",
        (Column("坐席", 1.3), *heads),
        tuple(rows),
        total_rows=1,
        notes=("N 为抽样框内通话数，n 为已提交评分数；风险层有意多抽，均值与比率一律按 N 加权。",),
    )


def _strata_row(label: str, calls: list[FramedCall]) -> tuple[Cell, ...]:
    cells: list[Cell] = [text(label)]
    for stratum in Stratum:
        inside = [call for call in calls if call.stratum is stratum]
        scored = tuple(call.call_id for call in inside if call.drawn_as and call.score)
        cells += [
            number(len(inside)),
            number(len(scored), calls=scored),
            text(Ratio(len(scored), len(inside)).percent()),
        ]
    return tuple(cells)


def _must_review(facts: MonthFacts) -> Table:
    rows = tuple(
        (
            text(row.trigger),
            number(row.due),
            ratio(Ratio(row.on_time, row.due)),
            number(row.fatal, tone=Tone.BAD if row.fatal else Tone.NONE),
            number(row.failed),
        )
        for row in facts.must_review
    )
    return Table(
        "2-3",
        "定向必检",
        (
            Column("触发原因", 2.4, "left"),
            Column("通数"),
            Column("按时完成", 1.4),
            Column("发现致命数"),
            Column("发现不合格数"),
        ),
        rows,
        notes=("定向必检只作个案处理，不进入均值与比率推断；与随机样本重合的通话沿用同一份评分。",),
    )


def _verification(facts: MonthFacts) -> Table:
    sample, drawing = facts.sample, facts.sample.drawing
    rows = [
        ("抽样框哈希", sample.frame_hash),
        ("方案哈希", sample.plan_hash),
        ("冻结时间", say_instant(drawing.frozen_at_ms)),
        ("承诺时间", say_instant(drawing.committed_at_ms)),
        ("甲方承诺值（班长）", f"{drawing.commit_a}（{drawing.commit_a_by}）" if drawing.commit_a else ""),
        ("乙方承诺值（采购人）", f"{drawing.commit_b}（{drawing.commit_b_by}）" if drawing.commit_b else ""),
        ("揭示时间", say_instant(drawing.revealed_at_ms)),
        ("甲方随机串", drawing.nonce_a),
        ("乙方随机串", drawing.nonce_b),
        ("种子", drawing.seed),
        ("双方承诺", "未经双方承诺（两串随机数由同一人提交）" if drawing.by_one_person else "双方分别承诺"),
        ("作废重抽次数", str(facts.void_frames)),
        ("冻结后到达通数", str(facts.late_calls)),
        (
            "验证方法",
            "取抽样框文件、方案 JSON 与两个随机串，运行 verify_draw.py（只用 Python 自带库），"
            "所得种子与样本应与本表及附件 2 逐字相同",
        ),
    ]
    return Table(
        "2-4",
        "抽样可验证信息",
        (Column("项目", 1.0, "left"), Column("内容", 4.2, "left")),
        tuple((text(label), text(value)) for label, value in rows),
    )


def _completion(facts: MonthFacts) -> Figure:
    sample = facts.sample
    labels, planned, done = [], [], []
    for agent_no in sample.agents:
        own = [call for call in sample.sampled if call.agent_no == agent_no]
        scored = sum(call.score is not None for call in own)
        labels.append(f"{facts.agent_label(agent_no)} {Ratio(scored, len(own)).percent(0)}")
        planned.append(float(len(own)))
        done.append(float(scored))
    return Figure(
        "2-1",
        "各坐席抽检通数与完成率",
        FigureKind.BARS,
        tuple(labels),
        (Series("应评", tuple(planned)), Series("已评", tuple(done))),
        unit="通",
        minimum=0,
    )


def _hours(sample: MonthSample) -> Figure:
    everything, drawn = [0] * 24, [0] * 24
    for call in sample.calls:
        hour = from_ms(call.started_at_ms).hour
        everything[hour] += 1
        drawn[hour] += bool(call.drawn_as)
    return Figure(
        "2-2",
        "抽检通话与全部通话按 0–23 时的分布",
        FigureKind.LINES,
        tuple(str(hour) for hour in range(24)),
        (_shares("抽样框通话", everything), _shares("抽检通话", drawn)),
        unit="%",
        minimum=0,
    )


def _shares(name: str, counts: list[int]) -> Series:
    total = sum(counts)
    return Series(f"{name}（{total} 通）", tuple(float(fixed(100 * c / total)) if total else None for c in counts))
