"""From scored samples to the whole month: stratified means and rates with their intervals (docs/domain/sampling.md §5, §6).

Pure. A stratum is one agent × kind; its N_h comes from the frozen frame and its values from the scored sample. Every
estimate says why it has no interval when it has none. It does not rank: `tiers` groups whom the data cannot tell apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf, sqrt

import numpy as np
from scipy.stats import hypergeom, t

from callqa.scoring.plan import REALLOCATION_ORDER, Stratum

CONFIDENCE = 0.95
Z95 = 1.96  # §6.1 fixes it, so that published intervals can be recomputed by hand
MIN_AGENT_CALLS = 5  # §5.3
MAX_GAP_SHARE = 0.02  # §5.3
_ZERO_VARIANCE = 1e-12  # rounding dust of equal scores


class Basis(StrEnum):
    """What stands behind an estimate's interval, or why there is none."""

    INTERVAL = "interval"
    CENSUS = "census"  # 普查
    NO_DIFFERENCE = "no_difference"  # v = 0 without a census
    TOO_FEW = "too_few"
    ONE_CALL = "one_call"  # a stratum of one call and nothing to merge it with
    NO_DATA = "no_data"


BASIS_NOTES = {
    Basis.INTERVAL: "",
    Basis.CENSUS: "全检，无抽样误差",
    Basis.NO_DIFFERENCE: "样本内无差异，区间不可估",
    Basis.TOO_FEW: "样本不足，不作推断、不参与排名",
    Basis.ONE_CALL: "有的层只评 1 通且无层可并，区间不可估",
    Basis.NO_DATA: "无已评通话",
}


@dataclass(frozen=True, slots=True)
class StratumSample:
    """One stratum: who, which kind, N_h calls in the frame, and the scored sample's values.

    size may be fractional for a subpopulation whose size is itself estimated (`domain`).
    """

    agent_no: str
    stratum: Stratum
    size: float
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.values) > self.size:
            raise ValueError(
                f"stratum {self.agent_no}/{self.stratum} has {len(self.values)} values of {self.size} calls"
            )

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def is_census(self) -> bool:
        return self.n >= self.size


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value for the whole month. low, high: 95 % interval, None without one; variance and df as used for it.

    n of size calls (estimated for a subpopulation) were scored; uncovered: calls of strata without a single score, outside the estimate.
    notes: Chinese sentences for the reader, the reason for a missing interval first.
    """

    value: float | None
    low: float | None
    high: float | None
    variance: float | None
    df: float | None
    n: int
    size: float
    basis: Basis
    uncovered: float = 0
    notes: tuple[str, ...] = ()

    @property
    def se(self) -> float | None:
        """Standard error, in the value's unit."""
        return None if self.variance is None else sqrt(self.variance)


@dataclass(frozen=True, slots=True)
class _Part:
    """A term of the variance: one stratum, or several merged; s2 None where it cannot be estimated."""

    size: float
    n: int
    s2: float | None

    def term(self, population: float) -> float:
        """W² (1 − f) s² / n."""
        if self.n >= self.size:
            return 0.0
        assert self.s2 is not None
        return (self.size / population) ** 2 * (1 - self.n / self.size) * self.s2 / self.n


def t_quantile(df: float) -> float:
    """The 97.5 % point of Student's t."""
    return float(t.ppf((1 + CONFIDENCE) / 2, df))


def stratified_mean(strata: Iterable[StratumSample]) -> Estimate:
    """§5.1: Σ W_h ȳ_h with each stratum's own variance, strata of one call merged (§4), Satterthwaite's df."""
    known, lost = _scored(strata)
    if not known:
        return _nothing(lost)
    parts, merged = _parts(known)
    notes = ("只评 1 通的层已与剩余最多的层合并估计方差",) if merged else ()
    if any(part.s2 is None and part.n < part.size for part in parts):
        return _without_interval(known, Basis.ONE_CALL, lost, notes)
    population = sum(s.size for s in known)
    terms = [(part.term(population), part.n - 1) for part in parts]
    variance = sum(v for v, _ in terms)
    df = _satterthwaite(terms)
    return _with_interval(known, variance, df, lost, notes)


def pooled_variances(strata: Iterable[StratumSample]) -> dict[Stratum, tuple[float, int]]:
    """§5.2: s_k² of each kind over all agents, and its Σ (n_h − 1)."""
    sums: dict[Stratum, tuple[float, int]] = {}
    for stratum in strata:
        if stratum.n >= 2:
            squares, df = sums.get(stratum.stratum, (0.0, 0))
            sums[stratum.stratum] = (squares + _variance(stratum.values) * (stratum.n - 1), df + stratum.n - 1)
    return {kind: (squares / df, df) for kind, (squares, df) in sums.items()}


def agent_mean(own: Iterable[StratumSample], pool: Mapping[Stratum, tuple[float, int]]) -> Estimate:
    """§5.2 and §5.3: one agent's mean with variances pooled over the team's strata of the same kind.

    df is Σ (n_h − 1) over the pooled strata that carry this agent's variance. Where a kind has no pool (nobody has two
    scored calls of it) the agent's own merged variance is used.
    """
    strata = list(own)
    known, lost = _scored(strata)
    if not known:
        return _nothing(lost)
    open_strata = [s for s in known if not s.is_census]
    if open_strata and sum(s.n for s in known) < MIN_AGENT_CALLS:
        return _without_interval(known, Basis.TOO_FEW, lost)
    if any(s.stratum not in pool for s in open_strata):
        return stratified_mean(strata)
    population = sum(s.size for s in known)
    variance = sum(_Part(s.size, s.n, pool[s.stratum][0]).term(population) for s in open_strata)
    df = float(sum(pool[kind][1] for kind in {s.stratum for s in open_strata}))
    return _with_interval(known, variance, df, lost)


def unweighted_mean(strata: Iterable[StratumSample]) -> float | None:
    """抽检均分（未加权）: biased, for reference only."""
    values = [value for stratum in strata for value in stratum.values]
    return sum(values) / len(values) if values else None


def stratified_ratio(strata: Iterable[StratumSample]) -> Estimate:
    """§6.1: Σ W_h p_h of 0/1 values, with Wilson's interval at n_eff (kept in df)."""
    known, lost = _scored(strata)
    if not known:
        return _nothing(lost)
    n, size = sum(s.n for s in known), sum(s.size for s in known)
    value = _mean_of(known)
    effective = n_effective(known)
    if effective == inf:
        return Estimate(value, value, value, 0.0, None, n, size, Basis.CENSUS, lost, (BASIS_NOTES[Basis.CENSUS],))
    low, high = wilson(value, effective)
    variance = value * (1 - value) / effective
    return Estimate(value, low, high, variance, effective, n, size, Basis.INTERVAL, lost, _uncovered_note(lost))


def n_effective(strata: Iterable[StratumSample]) -> float:
    """有效样本量: 1 / Σ W_h² (1 − f_h) / n_h; infinite for a census. Known from the design alone."""
    known = [s for s in strata if s.n]
    size = sum(s.size for s in known)
    total = sum((s.size / size) ** 2 * (1 - s.n / s.size) / s.n for s in known)
    return 1 / total if total > 0 else inf


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share observed in n (effective) trials, within [0, 1]."""
    centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 * sqrt(share * (1 - share) / n + Z95**2 / (4 * n * n)) / (1 + Z95**2 / n)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def exact_ratio(hits: int, n: int, size: int) -> tuple[float, float]:
    """§6.2: exact 95 % interval of the share of hits in a finite population, by inverting the hypergeometric tails."""
    if not 0 <= hits <= n <= size or n == 0:
        raise ValueError(f"{hits} hits of {n} calls from {size} is impossible")
    tail = (1 - CONFIDENCE) / 2
    totals = np.arange(hits, size - (n - hits) + 1)
    upper_tail = hypergeom.sf(hits - 1, size, totals, n)  # P(X >= hits)
    lower_tail = hypergeom.cdf(hits, size, totals, n)  # P(X <= hits)
    low = totals[np.argmax(upper_tail > tail)]
    high = totals[len(totals) - 1 - np.argmax(lower_tail[::-1] > tail)]
    return float(low) / size, float(high) / size


def difference(new: Estimate, old: Estimate) -> Estimate:
    """§5.4: new − old of two independent estimates, with its interval where both have a variance."""
    n, size = new.n + old.n, new.size + old.size
    if new.value is None or old.value is None:
        return Estimate(None, None, None, None, None, n, size, Basis.NO_DATA)
    value = new.value - old.value
    bases = {new.basis, old.basis}
    missing = next((b for b in (Basis.TOO_FEW, Basis.ONE_CALL, Basis.NO_DIFFERENCE) if b in bases), None)
    if missing or new.variance is None or old.variance is None:
        reason = missing or Basis.NO_DATA
        return Estimate(value, None, None, None, None, n, size, reason, notes=(BASIS_NOTES[reason],))
    variance = new.variance + old.variance
    if variance <= _ZERO_VARIANCE:
        return Estimate(value, value, value, 0.0, None, n, size, Basis.CENSUS, notes=(BASIS_NOTES[Basis.CENSUS],))
    df = _satterthwaite([(new.variance, new.df or 1.0), (old.variance, old.df or 1.0)])
    half = t_quantile(df) * sqrt(variance)
    return Estimate(value, value - half, value + half, variance, df, n, size, Basis.INTERVAL)


def ratio_difference(new: Estimate, old: Estimate) -> Estimate:
    """new − old of two independent shares, by Newcombe's method from their own (Wilson) intervals.

    A share of 0 or 1 still has an interval, so two zeros differ by 0 with an honest width.
    """
    n, size = new.n + old.n, new.size + old.size
    if new.value is None or old.value is None:
        return Estimate(None, None, None, None, None, n, size, Basis.NO_DATA)
    value = new.value - old.value
    if new.low is None or new.high is None or old.low is None or old.high is None:
        return Estimate(value, None, None, None, None, n, size, Basis.TOO_FEW, notes=(BASIS_NOTES[Basis.TOO_FEW],))
    below = sqrt((new.value - new.low) ** 2 + (old.high - old.value) ** 2)
    above = sqrt((new.high - new.value) ** 2 + (old.value - old.low) ** 2)
    basis = Basis.INTERVAL if below or above else Basis.CENSUS
    return Estimate(value, value - below, value + above, None, None, n, size, basis)


def is_significant(change: Estimate) -> bool | None:
    """Whether a difference's interval excludes 0; None where it has no interval."""
    if change.low is None or change.high is None:
        return None
    return not change.low <= 0 <= change.high


def tiers(estimates: Mapping[str, Estimate]) -> dict[str, int]:
    """§5.4 档次: 1 is the best. Whoever the tier's first cannot be told from shares the tier; too few calls, no tier."""
    ranked = sorted(
        ((name, e) for name, e in estimates.items() if e.basis in (Basis.INTERVAL, Basis.CENSUS)),
        key=lambda pair: (-(pair[1].value or 0.0), pair[0]),
    )
    result: dict[str, int] = {}
    tier, first = 0, None
    for name, estimate in ranked:
        if first is None or is_significant(difference(first, estimate)):
            tier, first = tier + 1, estimate
        result[name] = tier
    return result


def with_gap_note(estimate: Estimate, gap_calls: int, connected: int) -> Estimate:
    """§5.3: say beside the interval what share of the month the frame does not hold, when over 2 %."""
    if not connected or gap_calls / connected <= MAX_GAP_SHARE:
        return estimate
    note = f"不含抽样框外 {gap_calls} 通（{gap_calls / connected * 100:.1f}%）"
    return replace(estimate, notes=(*estimate.notes, note))


def _scored(strata: Iterable[StratumSample]) -> tuple[list[StratumSample], float]:
    """The strata with a score, and how many calls lie in those without."""
    known = list(strata)
    return [s for s in known if s.n], sum(s.size for s in known if not s.n)


def _variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _parts(strata: Sequence[StratumSample]) -> tuple[list[_Part], bool]:
    """Terms of the variance; a stratum with n_h = 1 < N_h joins the same agent's stratum with most calls left (§4)."""
    groups: list[list[StratumSample]] = [[s] for s in strata]
    merged = False
    for single in [s for s in strata if s.n == 1 and s.size > 1]:
        home = next(group for group in groups if single in group)
        others = [g for g in groups if g is not home and g[0].agent_no == single.agent_no]
        # Without another stratum of the same agent, the same kind of another agent is the next best guess.
        others = others or [g for g in groups if g is not home and g[0].stratum == single.stratum]
        if len(home) > 1 or not others:
            continue
        best = max(others, key=_left_over)
        best.extend(home)
        groups.remove(home)
        merged = True
    return [_part(group) for group in groups], merged


def _left_over(group: Sequence[StratumSample]) -> tuple[float, int]:
    left = sum(s.size - s.n for s in group)
    return left, -min(REALLOCATION_ORDER.index(s.stratum) for s in group)


def _part(group: Sequence[StratumSample]) -> _Part:
    values = [value for stratum in group for value in stratum.values]
    return _Part(sum(s.size for s in group), len(values), _variance(values) if len(values) > 1 else None)


def _satterthwaite(terms: Iterable[tuple[float, float]]) -> float:
    """(Σ v)² / Σ v²/df over the terms with v > 0; 0 without any."""
    positive = [(v, df) for v, df in terms if v > 0]
    below = sum(v * v / df for v, df in positive)
    return sum(v for v, _ in positive) ** 2 / below if below > 0 else 0.0


def _uncovered_note(lost: float) -> tuple[str, ...]:
    return (f"另有 {lost:.0f} 通所在的层尚无评分，未计入",) if lost else ()


def _nothing(lost: float) -> Estimate:
    return Estimate(None, None, None, None, None, 0, 0, Basis.NO_DATA, lost, (BASIS_NOTES[Basis.NO_DATA],))


def _mean_of(known: Sequence[StratumSample]) -> float:
    # One division at the end: equal scores give back exactly that score.
    return sum(s.size * s.mean for s in known) / sum(s.size for s in known)


def _without_interval(
    known: Sequence[StratumSample], basis: Basis, lost: float, notes: tuple[str, ...] = ()
) -> Estimate:
    said = (BASIS_NOTES[basis], *notes, *_uncovered_note(lost))
    n, size = sum(s.n for s in known), sum(s.size for s in known)
    return Estimate(_mean_of(known), None, None, None, None, n, size, basis, lost, said)


def _with_interval(
    known: Sequence[StratumSample], variance: float, df: float, lost: float, notes: tuple[str, ...] = ()
) -> Estimate:
    """The interval, cut to [0, 100]; or the census; or equal scores, whose interval is not ±0 but unknown."""
    if all(s.is_census for s in known):
        value = _mean_of(known)
        said = (BASIS_NOTES[Basis.CENSUS], *_uncovered_note(lost))
        n = sum(s.n for s in known)
        return Estimate(value, value, value, 0.0, None, n, n, Basis.CENSUS, lost, said)
    if variance <= _ZERO_VARIANCE:
        return _without_interval(known, Basis.NO_DIFFERENCE, lost, notes)
    value, half = _mean_of(known), t_quantile(df) * sqrt(variance)
    low, high = max(0.0, value - half), min(100.0, value + half)
    n, size = sum(s.n for s in known), sum(s.size for s in known)
    return Estimate(value, low, high, variance, df, n, size, Basis.INTERVAL, lost, (*notes, *_uncovered_note(lost)))


@dataclass(frozen=True, slots=True)
class PartlyApplicable:
    """One stratum whose sampled calls belong to a subpopulation (a value) or not (None)."""

    agent_no: str
    stratum: Stratum
    size: float
    values: tuple[float | None, ...]


def domain(strata: Iterable[PartlyApplicable]) -> list[StratumSample]:
    """A subpopulation (a call type, the calls an item applies to) as strata of its own.

    Its size in a stratum is estimated as N_h · n_hd / n_h, so the mean is the ratio of the two Horvitz-Thompson totals and
    the sampling fraction stays f_h. Strata without a call of the subpopulation in the sample carry no weight. Its variance
    takes the sizes for known, a little on the narrow side.
    """
    found: list[StratumSample] = []
    for stratum in strata:
        inside = tuple(value for value in stratum.values if value is not None)
        if inside:
            size = stratum.size * len(inside) / len(stratum.values)
            found.append(StratumSample(stratum.agent_no, stratum.stratum, size, inside))
    return found


def by_agent(strata: Iterable[StratumSample]) -> dict[str, list[StratumSample]]:
    """Strata grouped by agent, in order of agent_no."""
    groups: dict[str, list[StratumSample]] = {}
    for stratum in sorted(strata, key=lambda s: s.agent_no):
        groups.setdefault(stratum.agent_no, []).append(stratum)
    return groups
