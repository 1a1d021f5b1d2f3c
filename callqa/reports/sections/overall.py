"""三、总体质量结果: the team's figures with intervals and changes, by call type and by shift, trend and distribution."""

import itertools
from collections.abc import Callable

from callqa.reports.cells import change, fixed, interval, number, percent, share, state, text
from callqa.reports.document import MISSING, Block, Cell, Column, Figure, FigureKind, Paragraph, Series, Table, Tone
from callqa.reports.facts import FramedCall, MonthFacts, MonthSample, Score
from callqa.reports.kpi import MET, MISSED, NO_DATA
from callqa.reports.results import (
    Measure,
    Results,
    comparable,
    final,
    mean_where,
    month_of,
    passes,
    quality,
    rates,
    ratio_where,
    team_quality,
    whole_strata,
)
from callqa.reports.sections.labels import month_label
from callqa.scoring.statistics import (
    Basis,
    Estimate,
    difference,
    ratio_difference,
    stratified_mean,
    stratified_ratio,
    unweighted_mean,
)
from callqa.units import CALL_TYPE_LABELS

SHIFT_LABELS = {"day": "日班", "night": "夜班", "holiday": "节假日"}
TARGETS = {"pass_rate": (0.95, "≥ 95.0%")}  # 内控
SCORE_BINS = [*range(0, 60, 20), *range(60, 100, 5)]  # 5 分一档 from 60 on; rarely anything below


def build(facts: MonthFacts, results: Results) -> tuple[Block, ...]:
    """Tables 3-1 to 3-3, figures 3-1 to 3-3."""
    return (
        _overall(facts, results),
        _trend(facts),
        _distribution(facts.sample),
        _groups(facts, "3-2", "按通话类型", "类型", [(c.value, label) for c, label in CALL_TYPE_LABELS.items()], _type),
        _groups(facts, "3-3", "按时段与班次", "时段", list(SHIFT_LABELS.items()), lambda call: call.shift),
        *_grades(facts),
    )


def _type(call: FramedCall) -> str:
    return call.call_type


Estimator = Callable[[MonthSample], Estimate]


def _overall(facts: MonthFacts, results: Results) -> Table:
    rows = [
        _row(facts, "quality", "质量分（不含否决）", results.quality, team_quality),
        _row(facts, "final", "最终分（含否决）", results.final, lambda s: stratified_mean(whole_strata(s, final))),
    ]
    measures = {code: measure for code, _, measure in rates(facts.rubric)}
    for code, label, estimate in results.rates:
        rows.append(_row(facts, code, label, estimate, _rate_of(measures[code]), is_rate=True))
    rows.append(_unweighted(facts, results))
    return Table(
        "3-1",
        "总体结果",
        (
            Column("指标", 2.0, "left"),
            Column("本月值"),
            Column("95% 区间", 1.5),
            Column("上月值"),
            Column("差", 0.9),
            Column("差的区间", 1.5),
            Column("是否显著", 1.2),
            Column("去年同月", 1.0),
            Column("目标"),
            Column("达标", 0.9),
        ),
        tuple(rows),
        notes=_notes(facts, results),
    )


def _rate_of(measure: Measure) -> Estimator:
    return lambda sample: stratified_ratio(whole_strata(sample, measure))


def _notes(facts: MonthFacts, results: Results) -> tuple[str, ...]:
    notes = [
        "按抽样框通话量分层加权，代表任取一通电话的期望水平；均值区间用有限总体修正与 Satterthwaite 自由度，"
        "比率区间用 Wilson 法与有效样本量。",
        "比率之差的单位为百分点；差按未取整的值计算，可能与表中两值之差相差 0.1。",
        "未加权均分因风险层多抽而有偏，仅供参考。",
    ]
    notes += [f"质量分：{note}。" for note in results.quality.notes]
    old = facts.past(facts.month.previous())
    if old is None:
        notes.append("无上月数据，不作环比。")
    elif not comparable(facts.sample, old):
        notes.append("本月与上月评分标准版本不同，不作环比。")
    return tuple(notes)


def _row(
    facts: MonthFacts, code: str, label: str, now: Estimate, estimator: Estimator, *, is_rate: bool = False
) -> tuple[Cell, ...]:
    old, year = facts.past(facts.month.previous()), facts.past(month_of(facts, 12))
    before = estimator(old) if old else None
    subtract = ratio_difference if is_rate else difference
    delta = subtract(now, before) if before and old and comparable(facts.sample, old) else None
    show = share if is_rate else _score
    target, words = TARGETS.get(code, (None, ""))
    status = ""
    if target is not None:
        status = NO_DATA if now.value is None else (MET if now.value >= target else MISSED)
    return (
        text(label),
        show(now.value),
        interval(now, percentage=is_rate),
        show(before.value if before else None),
        *change(delta, points=100 if is_rate else 1),
        show(estimator(year).value if year else None),
        text(words),
        state(status),
    )


def _score(value: float | None) -> Cell:
    return number(value, 1)


def _unweighted(facts: MonthFacts, results: Results) -> tuple[Cell, ...]:
    old = facts.past(facts.month.previous())
    before = unweighted_mean(whole_strata(old, quality)) if old else None
    dash = Cell(MISSING)
    return (
        text("未加权均分（仅供参考，有偏）", Tone.MUTED),
        number(results.unweighted, 1),
        Cell("不作推断", tone=Tone.MUTED),
        number(before, 1),
        *(dash,) * 6,
    )


def _groups(
    facts: MonthFacts, no: str, title: str, head: str, keys: list[tuple[str, str]], key_of: Callable[[FramedCall], str]
) -> Table:
    """One row a subpopulation: N in the frame, n scored, its weighted mean and pass rate."""
    sample = facts.sample
    rows = []
    passing = passes(facts.rubric)
    for key, label in keys:
        framed = sum(key_of(call) == key for call in sample.calls)
        inside = [(call, score) for call, score in sample.scored if key_of(call) == key]
        mean = mean_where(sample, _within(quality, key, key_of))
        passed = ratio_where(sample, _within(passing, key, key_of))
        fatals = sum(len(score.confirmed_fatals) for _, score in inside)
        rows.append(
            (
                text(label),
                number(framed),
                number(len(inside), calls=tuple(call.call_id for call, _ in inside)),
                number(mean.value, 1),
                interval(mean),
                share(passed.value),
                interval(passed, percentage=True),
                number(fatals, tone=Tone.BAD if fatals else Tone.NONE),
            )
        )
    return Table(
        no,
        title,
        (
            Column(head, 1.4, "left"),
            Column("N"),
            Column("n"),
            Column("质量分"),
            Column("95% 区间", 1.5),
            Column("合格率"),
            Column("95% 区间", 1.7),
            Column("致命数"),
        ),
        tuple(rows),
        notes=(
            "子总体均值为比率估计，各层内子总体通数按样本推算；n 不足 5 的不作推断。",
            *(
                ("班次按排班表，无排班时 8–20 时为日班、其余为夜班；汛期响应时段未登记，不单列。",)
                if no == "3-3"
                else ()
            ),
        ),
    )


def _within(measure: Measure, key: str, key_of: Callable[[FramedCall], str]) -> Measure:
    def inside(call: FramedCall, score: Score) -> float | None:
        return measure(call, score) if key_of(call) == key else None

    return inside


def _trend(facts: MonthFacts) -> Figure:
    samples = list(facts.recent(12))
    estimates = [team_quality(sample) for sample in samples]
    changed = [month_label(new.month) for old, new in itertools.pairwise(samples) if not comparable(new, old)]
    return Figure(
        "3-1",
        "近 12 个月团队质量分（带 95% 区间）",
        FigureKind.LINES,
        tuple(month_label(sample.month) for sample in samples),
        (
            Series(
                "质量分",
                tuple(_rounded(e.value) for e in estimates),
                tuple(_rounded(e.low if e.basis is Basis.INTERVAL else e.value) for e in estimates),
                tuple(_rounded(e.high if e.basis is Basis.INTERVAL else e.value) for e in estimates),
            ),
        ),
        unit="分",
        maximum=100,
        marks=tuple(changed),
        notes=("无上月数据，仅示本月。",) if len(samples) == 1 else (),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(fixed(value))


def _distribution(sample: MonthSample) -> Figure:
    edges = [*SCORE_BINS, 100]
    labels = [f"{low}–{high}" for low, high in itertools.pairwise(edges)]
    counts = [0.0] * len(labels)
    for _, score in sample.scored:
        place = max(i for i, low in enumerate(SCORE_BINS) if score.quality_score >= low)
        counts[place] += 1
    return Figure(
        "3-2",
        "抽检质量分分布（通数，未加权）",
        FigureKind.BARS,
        tuple(labels),
        (Series("通数", tuple(counts)),),
        unit="通",
        minimum=0,
        notes=("每档含下限不含上限，末档含 100 分。",),
    )


def _grades(facts: MonthFacts) -> tuple[Block, ...]:
    samples = [sample for sample in facts.recent(6) if sample.scored]
    if not samples:
        return (Paragraph("图 3-3 等级占比：尚无已提交的评分。", Tone.MUTED),)
    series = []
    for code, name, _ in facts.rubric.grades:
        measure = _grade(code)
        values = [stratified_ratio(whole_strata(sample, measure)).value for sample in samples]
        series.append(Series(name, tuple(None if v is None else float(percent(v).rstrip("%")) for v in values)))
    return (
        Figure(
            "3-3",
            "近 6 个月等级占比（加权）",
            FigureKind.STACKED,
            tuple(month_label(sample.month) for sample in samples),
            tuple(series),
            unit="%",
            minimum=0,
            maximum=100,
        ),
    )


def _grade(code: str) -> Measure:
    return lambda call, score: float(score.grade == code)
