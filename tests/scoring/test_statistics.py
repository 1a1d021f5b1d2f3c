"""The worked examples of docs/domain/sampling.md §5.5 and §6, the cases without an interval, and a small coverage check."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.scoring.plan import Stratum
from callqa.scoring.statistics import (
    Basis,
    StratumSample,
    agent_mean,
    by_agent,
    difference,
    exact_ratio,
    is_significant,
    n_effective,
    pooled_variances,
    ratio_difference,
    stratified_mean,
    stratified_ratio,
    t_quantile,
    tiers,
    unweighted_mean,
    wilson,
    with_gap_note,
)

NORMAL = StratumSample("801", Stratum.NORMAL, 180, (96, 91, 88, 100, 94))
CALLBACK = StratumSample("801", Stratum.CALLBACK, 90, (98, 95))
RISK = StratumSample("801", Stratum.RISK, 12, (72, 85, 90))
EXAMPLE = [NORMAL, CALLBACK, RISK]


def map_values(strata: Iterable[StratumSample], change: Callable[[float], float]) -> list[StratumSample]:
    return [replace(s, values=tuple(change(value) for value in s.values)) for s in strata]


def test_the_example_worked_by_hand() -> None:
    estimate = stratified_mean(EXAMPLE)
    assert estimate.value == pytest.approx(94.1738, abs=5e-5)
    assert estimate.variance == pytest.approx(1.942659, abs=5e-7)
    assert estimate.se == pytest.approx(1.393793, abs=5e-7)
    assert estimate.df == pytest.approx(4.990964, abs=5e-7)
    assert t_quantile(4.990964) == pytest.approx(2.571982, abs=5e-7)
    assert (estimate.low, estimate.high) == (pytest.approx(90.589, abs=5e-4), pytest.approx(97.759, abs=5e-4))
    assert unweighted_mean(EXAMPLE) == pytest.approx(90.9)
    assert (estimate.n, estimate.size, estimate.basis) == (10, 282, Basis.INTERVAL)


@pytest.mark.parametrize(
    ("hits", "n", "size", "wilson_percent", "exact_percent"),
    [
        (3, 80, 1950, (1.28, 10.45), (0.82, 10.41)),
        (0, 80, 1950, (0, 4.58), (0, 4.41)),
        (0, 10, 240, (0, 27.75), (0, 30.00)),
    ],
)
def test_the_published_intervals_of_rates(
    hits: int, n: int, size: int, wilson_percent: tuple[float, float], exact_percent: tuple[float, float]
) -> None:
    assert [100 * v for v in wilson(hits / n, n)] == pytest.approx(wilson_percent, abs=0.006)
    assert [100 * v for v in exact_ratio(hits, n, size)] == pytest.approx(exact_percent, abs=0.006)


def test_exact_interval_of_a_census_is_the_share_itself() -> None:
    assert exact_ratio(3, 40, 40) == (3 / 40, 3 / 40)


def test_a_stratum_of_one_call_is_merged_with_the_fullest_of_the_same_agent() -> None:
    single = StratumSample("801", Stratum.RISK, 12, (72,))
    estimate = stratified_mean([NORMAL, CALLBACK, single])
    values = (96, 91, 88, 100, 94, 72)
    mean = sum(values) / 6
    s2 = sum((v - mean) ** 2 for v in values) / 5
    merged = (192 / 282) ** 2 * (1 - 6 / 192) * s2 / 6
    alone = (90 / 282) ** 2 * (1 - 2 / 90) * 4.5 / 2
    assert estimate.variance == pytest.approx(merged + alone)
    assert estimate.value == pytest.approx((180 * 93.8 + 90 * 96.5 + 12 * 72) / 282)  # each stratum's own weight
    assert any("合并" in note for note in estimate.notes)


def test_a_fully_taken_single_call_is_not_merged() -> None:
    one = StratumSample("801", Stratum.RISK, 1, (72,))
    assert stratified_mean([NORMAL, one]).variance == pytest.approx((180 / 181) ** 2 * (1 - 5 / 180) * 21.2 / 5)


def test_census_has_no_sampling_error() -> None:
    whole = [replace(NORMAL, size=5), replace(CALLBACK, size=2)]
    estimate = stratified_mean(whole)
    assert estimate.basis is Basis.CENSUS and estimate.low == estimate.high == estimate.value
    assert estimate.value == pytest.approx((96 + 91 + 88 + 100 + 94 + 98 + 95) / 7)
    assert agent_mean(whole, pooled_variances(whole)).notes == ("全检，无抽样误差",)


def test_equal_scores_have_no_interval_rather_than_none_wide() -> None:
    same = [replace(NORMAL, values=(100.0,) * 5), replace(CALLBACK, values=(100.0, 100.0))]
    estimate = stratified_mean(same)
    assert (estimate.value, estimate.low, estimate.basis) == (100, None, Basis.NO_DIFFERENCE)
    assert estimate.notes == ("样本内无差异，区间不可估",)


def test_an_agent_with_fewer_than_five_calls_gets_a_score_only() -> None:
    few = [StratumSample("801", Stratum.NORMAL, 40, (90, 95, 100, 80))]
    estimate = agent_mean(few, pooled_variances(EXAMPLE))
    assert estimate.basis is Basis.TOO_FEW and estimate.low is None and estimate.value == pytest.approx(91.25)
    assert tiers({"801": estimate}) == {}


def test_strata_without_a_score_are_told_and_left_out() -> None:
    estimate = stratified_mean([NORMAL, StratumSample("801", Stratum.RISK, 12, ())])
    assert estimate.value == pytest.approx(93.8) and estimate.uncovered == 12
    assert any("12 通" in note for note in estimate.notes)
    assert stratified_mean([StratumSample("801", Stratum.RISK, 12, ())]).basis is Basis.NO_DATA
    assert stratified_ratio([]).value is None


def test_one_scored_call_alone_has_no_interval() -> None:
    estimate = stratified_mean([StratumSample("801", Stratum.NORMAL, 4, (92,))])
    assert (estimate.value, estimate.low, estimate.basis) == (92, None, Basis.ONE_CALL)


def test_pooling_takes_the_variance_of_a_kind_from_all_agents() -> None:
    other = StratumSample("802", Stratum.NORMAL, 100, (80, 90, 100))
    pool = pooled_variances([*EXAMPLE, other])
    assert pool[Stratum.NORMAL] == (pytest.approx((4 * 21.2 + 2 * 100) / 6), 6)
    estimate = agent_mean(EXAMPLE, pool)
    expected = (180 / 282) ** 2 * (1 - 5 / 180) * pool[Stratum.NORMAL][0] / 5 + 0.224083 + 0.039083
    assert estimate.variance == pytest.approx(expected, abs=1e-6)
    assert estimate.df == 6 + 1 + 2


def test_ratio_uses_wilson_at_the_effective_size() -> None:
    failed = map_values(EXAMPLE, lambda score: float(score < 80))
    estimate = stratified_ratio(failed)
    n_eff = 1 / sum((s.size / 282) ** 2 * (1 - s.n / s.size) / s.n for s in EXAMPLE)
    assert n_effective(failed) == pytest.approx(n_eff)
    assert estimate.value == pytest.approx(12 / 282 / 3)
    assert (estimate.low, estimate.high) == wilson(12 / 282 / 3, n_eff)
    assert stratified_ratio([replace(s, size=s.n) for s in failed]).basis is Basis.CENSUS


def test_tiers_hold_whom_the_first_cannot_be_told_from() -> None:
    def of(agent: str, shift: float) -> list[StratumSample]:
        return [replace(s, agent_no=agent) for s in map_values(EXAMPLE, lambda v: v + shift)]

    means = {a: stratified_mean(of(a, shift)) for a, shift in [("801", 0), ("802", -1), ("803", -20), ("804", -21)]}
    assert tiers(means) == {"801": 1, "802": 1, "803": 2, "804": 2}


def test_month_over_month_needs_an_interval_without_zero() -> None:
    now = stratified_mean(EXAMPLE)
    before = stratified_mean(map_values(EXAMPLE, lambda v: v - 1))
    change = difference(now, before)
    assert change.value == pytest.approx(1) and change.variance == pytest.approx(2 * 1.942659, abs=1e-5)
    assert change.df == pytest.approx(2 * 4.990964, abs=1e-4)
    assert is_significant(change) is False
    assert is_significant(difference(now, stratified_mean(map_values(EXAMPLE, lambda v: v - 30)))) is True
    assert is_significant(difference(now, stratified_mean([]))) is None


def test_two_rates_of_zero_differ_by_zero_with_an_honest_width() -> None:
    none = stratified_ratio(map_values(EXAMPLE, lambda v: 0.0))
    change = ratio_difference(none, none)
    assert change.value == 0 and change.low == pytest.approx(-(none.high or 0)) and is_significant(change) is False
    everyone = stratified_ratio(map_values(EXAMPLE, lambda v: 1.0))
    assert is_significant(ratio_difference(everyone, none)) is True
    whole = [replace(s, size=s.n) for s in EXAMPLE]
    assert ratio_difference(stratified_ratio(whole), stratified_ratio(whole)).basis is Basis.CENSUS


def test_frame_gaps_over_two_percent_are_said_beside_the_interval() -> None:
    estimate = stratified_mean(EXAMPLE)
    assert with_gap_note(estimate, 2, 100) == estimate
    assert with_gap_note(estimate, 3, 100).notes[-1] == "不含抽样框外 3 通（3.0%）"


scores = st.integers(0, 1000).map(lambda v: v / 10)


@st.composite
def teams(draw: st.DrawFn) -> list[StratumSample]:
    result = []
    for agent in ("801", "802", "803"):
        for kind in Stratum:
            values = tuple(draw(st.lists(scores, min_size=0, max_size=6)))
            if values:
                result.append(StratumSample(agent, kind, len(values) + draw(st.integers(0, 50)), values))
    return result or [NORMAL]


@given(teams())
def test_team_is_the_weighted_sum_of_its_agents(team: list[StratumSample]) -> None:
    pool, size = pooled_variances(team), sum(s.size for s in team)
    parts = [(sum(s.size for s in own), agent_mean(own, pool)) for own in by_agent(team).values()]
    assert stratified_mean(team).value == pytest.approx(sum(n / size * (e.value or 0) for n, e in parts))


@given(teams(), st.floats(-50, 50))
def test_a_constant_moves_the_estimate_and_leaves_the_variance(team: list[StratumSample], constant: float) -> None:
    before, after = stratified_mean(team), stratified_mean(map_values(team, lambda v: v + constant))
    assert after.value == pytest.approx((before.value or 0) + constant, abs=1e-6)
    if before.variance is not None and after.variance is not None and before.basis is after.basis:
        assert after.variance == pytest.approx(before.variance, abs=1e-6)


@given(teams())
def test_a_census_gives_the_population_mean_without_width(team: list[StratumSample]) -> None:
    whole = [replace(s, size=s.n) for s in team]
    estimate = stratified_mean(whole)
    values = [v for s in whole for v in s.values]
    assert (
        estimate.value == pytest.approx(sum(values) / len(values)) and estimate.low == estimate.high == estimate.value
    )


@given(st.integers(0, 40), st.integers(1, 40), st.integers(0, 200))
def test_exact_interval_holds_the_share_and_is_possible(hits: int, n: int, more: int) -> None:
    hits = min(hits, n)
    low, high = exact_ratio(hits, n, n + more)
    assert 0 <= low <= hits / n <= high <= 1 or more == 0 or low <= high


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """A small draw of §6.4's simulation: skewed deductions, the risk stratum 7 points lower, 3/2/5 calls an agent."""
    random = Random(20261122)
    layout = {Stratum.RISK: (14, 3, 13.0), Stratum.CALLBACK: (80, 2, 6.0), Stratum.NORMAL: (150, 5, 6.0)}
    month = {
        (f"80{a}", kind): [max(0.0, 100 - random.expovariate(1 / loss)) for _ in range(size)]
        for a in range(1, 9)
        for kind, (size, _, loss) in layout.items()
    }
    total = sum(map(len, month.values()))
    truth = sum(map(sum, month.values())) / total
    own_calls = [v for (agent, _), calls in month.items() if agent == "801" for v in calls]
    agent_truth = sum(own_calls) / len(own_calls)
    bad_truth = sum(v < 80 for calls in month.values() for v in calls) / total
    runs, hits, agent_hits, ratio_hits = 400, 0, 0, 0
    for _ in range(runs):
        team = [
            StratumSample(agent, kind, len(calls), tuple(random.sample(calls, layout[kind][1])))
            for (agent, kind), calls in month.items()
        ]
        mean = stratified_mean(team)
        hits += mean.low <= truth <= mean.high  # type: ignore[operator]
        agent = agent_mean([s for s in team if s.agent_no == "801"], pooled_variances(team))
        agent_hits += agent.low <= agent_truth <= agent.high  # type: ignore[operator]
        ratio = stratified_ratio(map_values(team, lambda v: float(v < 80)))
        ratio_hits += ratio.low <= bad_truth <= ratio.high  # type: ignore[operator]
    assert hits / runs > 0.90
    assert agent_hits / runs > 0.88
    assert ratio_hits / runs > 0.91
