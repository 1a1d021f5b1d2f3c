"""What the month's scores say: every estimate of a report, worked out once from the facts (docs/domain/sampling.md §5, §6)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from callqa.periods import Month
from callqa.reports.facts import FramedCall, MonthFacts, MonthSample, RubricSheet, Score
from callqa.scoring.plan import Stratum
from callqa.scoring.statistics import (
    Basis,
    Estimate,
    PartlyApplicable,
    StratumSample,
    agent_mean,
    by_agent,
    difference,
    domain,
    pooled_variances,
    stratified_mean,
    stratified_ratio,
    tiers,
    unweighted_mean,
    with_gap_note,
)

MIN_DOMAIN_CALLS = 5  # fewer scored calls of a subpopulation give no interval, as for an agent
CRITICAL_LABELS = {"customer": "诉求人", "business": "业务", "compliance": "合规"}
Measure = Callable[[FramedCall, Score], float | None]


def strata_of(sample: MonthSample, measure: Measure) -> list[PartlyApplicable]:
    """Every stratum of the frame with the measure of its scored calls; None where the measure does not apply."""
    sizes: dict[tuple[str, Stratum], int] = {}
    values: dict[tuple[str, Stratum], list[float | None]] = {}
    for call in sample.calls:
        sizes[call.agent_no, call.stratum] = sizes.get((call.agent_no, call.stratum), 0) + 1
    for call, score in sample.scored:
        values.setdefault((call.agent_no, call.stratum), []).append(measure(call, score))
    return [PartlyApplicable(a, h, n, tuple(values.get((a, h), ()))) for (a, h), n in sorted(sizes.items())]


def whole_strata(sample: MonthSample, measure: Measure) -> list[StratumSample]:
    """Strata for a measure that every scored call has."""
    return [
        StratumSample(s.agent_no, s.stratum, s.size, tuple(v for v in s.values if v is not None))
        for s in strata_of(sample, measure)
    ]


def quality(call: FramedCall, score: Score) -> float:
    """质量分（不含否决）."""
    return score.quality_score


def final(call: FramedCall, score: Score) -> float:
    """最终分."""
    return score.final_score


def has_grade(*codes: str) -> Measure:
    """1 for a call of one of these grades."""
    return lambda call, score: float(score.grade in codes)


def is_fatal(call: FramedCall, score: Score) -> float:
    """1 for a call with a confirmed fatal finding."""
    return float(bool(score.confirmed_fatals))


def passes(rubric: RubricSheet) -> Measure:
    """1 for a final score at or above the pass line."""
    return lambda call, score: float(score.final_score >= rubric.pass_line)


def has_critical(rubric: RubricSheet, critical: str) -> Callable[[Score], bool]:
    """Whether a call has a deduction or confirmed fatal finding of that class."""
    items = {item.item_id for item in rubric.items if item.critical == critical}
    fatals = {fatal.fatal_id for fatal in rubric.fatals if fatal.critical == critical}
    return lambda score: (
        any(item.item_id in items and item.lost > 0 for item in score.items)
        or any(fatal.fatal_id in fatals for fatal in score.confirmed_fatals)
    )


def without_critical(rubric: RubricSheet, critical: str) -> Measure:
    """1 for a call free of that class of critical error."""
    found = has_critical(rubric, critical)
    return lambda call, score: float(not found(score))


def item_lost(item_id: str) -> Measure:
    """Points lost on an item; None where it does not apply."""

    def measure(call: FramedCall, score: Score) -> float | None:
        item = next((i for i in score.items if i.item_id == item_id), None)
        return None if item is None or item.points is None else item.lost

    return measure


def item_hit(item_id: str) -> Measure:
    """1 where points were lost on an item, None where it does not apply."""
    lost = item_lost(item_id)

    def measure(call: FramedCall, score: Score) -> float | None:
        points = lost(call, score)
        return None if points is None else float(points > 0)

    return measure


def mean_where(sample: MonthSample, measure: Measure) -> Estimate:
    """Mean over the calls the measure applies to; no interval under MIN_DOMAIN_CALLS."""
    return _enough(stratified_mean(domain(strata_of(sample, measure))))


def ratio_where(sample: MonthSample, measure: Measure) -> Estimate:
    """Weighted share over the calls the measure applies to."""
    return _enough(stratified_ratio(domain(strata_of(sample, measure))))


def _enough(estimate: Estimate) -> Estimate:
    if estimate.basis is not Basis.INTERVAL or estimate.n >= MIN_DOMAIN_CALLS:
        return estimate
    return Estimate(
        estimate.value, None, None, None, None, estimate.n, estimate.size, Basis.TOO_FEW, notes=("样本不足，不作推断",)
    )


@dataclass(frozen=True, slots=True)
class AgentResult:
    """One agent's month. tier: 档次, None without one; own: the interval from the agent's own variances."""

    agent_no: str
    calls: int
    n: int
    quality: Estimate
    own: Estimate
    final: Estimate
    passed: Estimate
    fatals: int
    critical: tuple[tuple[str, int], ...]
    change: Estimate | None
    three_months: Estimate | None
    tier: int | None


@dataclass(frozen=True, slots=True)
class Results:
    """The team's and the agents' estimates of one month."""

    quality: Estimate
    final: Estimate
    rates: tuple[tuple[str, str, Estimate], ...]  # code, label, weighted share
    unweighted: float | None
    agents: tuple[AgentResult, ...]


def build_results(facts: MonthFacts) -> Results:
    """All estimates of the month."""
    sample = facts.sample
    return Results(
        quality=with_gap_note(team_quality(sample), *_gaps(sample)),
        final=with_gap_note(stratified_mean(whole_strata(sample, final)), *_gaps(sample)),
        rates=tuple((code, label, stratified_ratio(whole_strata(sample, m))) for code, label, m in rates(facts.rubric)),
        unweighted=unweighted_mean(whole_strata(sample, quality)),
        agents=_agents(facts),
    )


def team_quality(sample: MonthSample) -> Estimate:
    """团队质量分."""
    return stratified_mean(whole_strata(sample, quality))


def rates(rubric: RubricSheet) -> list[tuple[str, str, Measure]]:
    """The rates of table 3-1: each grade above the pass line, then pass, fail and fatal."""
    above = [(code, f"{label}率", has_grade(code)) for code, label, low in rubric.grades if low > rubric.pass_line]
    return [
        *above,
        ("pass_rate", "合格率", passes(rubric)),
        ("fail_rate", "不合格率", lambda call, score: float(score.final_score < rubric.pass_line)),
        ("fatal_rate", "致命率", is_fatal),
    ]


def agent_estimates(sample: MonthSample, measure: Measure) -> dict[str, Estimate]:
    """Each agent's mean with pooled variances (§5.2)."""
    strata = whole_strata(sample, measure)
    pool = pooled_variances(strata)
    return {agent_no: agent_mean(own, pool) for agent_no, own in by_agent(strata).items()}


def comparable(new: MonthSample, old: MonthSample) -> bool:
    """评分标准换版的月份不作环比."""
    return new.rubrics == old.rubrics


def _agents(facts: MonthFacts) -> tuple[AgentResult, ...]:
    sample = facts.sample
    strata = by_agent(whole_strata(sample, quality))
    pooled = agent_estimates(sample, quality)
    finals = agent_estimates(sample, final)
    passed = by_agent(whole_strata(sample, passes(facts.rubric)))
    old = facts.past(facts.month.previous())
    before = agent_estimates(old, quality) if old and comparable(sample, old) else {}
    merged = _three_months(facts)
    tier = tiers(pooled)
    scored = {agent: [s for c, s in sample.scored if c.agent_no == agent] for agent in strata}
    return tuple(
        AgentResult(
            agent_no=agent,
            calls=sum(call.agent_no == agent for call in sample.calls),
            n=len(scored[agent]),
            quality=pooled[agent],
            own=stratified_mean(own),
            final=finals[agent],
            passed=stratified_ratio(passed[agent]),
            fatals=sum(len(score.confirmed_fatals) for score in scored[agent]),
            critical=tuple(
                (code, sum(map(has_critical(facts.rubric, code), scored[agent]))) for code in CRITICAL_LABELS
            ),
            change=difference(pooled[agent], before[agent]) if agent in before else None,
            three_months=merged.get(agent),
            tier=tier.get(agent),
        )
        for agent, own in strata.items()
    )


def _three_months(facts: MonthFacts) -> dict[str, Estimate]:
    """连续 3 个月合并分: the three months' strata together, each month's calls with their own weight."""
    months = [facts.sample, facts.past(facts.month.previous()), facts.past(facts.month.previous().previous())]
    samples = [sample for sample in months if sample is not None and comparable(facts.sample, sample)]
    return _merged(samples) if len(samples) == 3 else {}


def merged_quality(samples: Iterable[MonthSample]) -> dict[str, float | None]:
    """Each agent's mean over months together, by agent."""
    return {agent: estimate.value for agent, estimate in _merged(samples).items()}


def _merged(samples: Iterable[MonthSample]) -> dict[str, Estimate]:
    strata: dict[str, list[StratumSample]] = {}
    for sample in samples:
        for stratum in whole_strata(sample, quality):
            strata.setdefault(stratum.agent_no, []).append(stratum)
    pool = pooled_variances(s for own in strata.values() for s in own)
    return {agent: agent_mean(own, pool) for agent, own in strata.items()}


def _gaps(sample: MonthSample) -> tuple[int, int]:
    gaps = sample.counts.get("gaps")
    connected = sample.counts.get("connected")
    missing = sum(gaps.values()) if isinstance(gaps, dict) else 0
    return missing, connected if isinstance(connected, int) else 0


def month_of(facts: MonthFacts, back: int) -> Month:
    """The month so many months before the report's."""
    month = facts.month
    for _ in range(back):
        month = month.previous()
    return month
