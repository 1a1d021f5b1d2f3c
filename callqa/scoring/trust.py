"""质检可信度: how far the machine agrees with people, item by item (docs/domain/sampling.md §7), and what follows from it.

Machine deducts on an item: a suggestion that its check would preselect. Person deducts: the submitted card has a deduction
there. Items that the person found not applicable are left out of that item's table. The verdict looks at blind cards alone:
on the others the person has seen what the machine said. Intervals: bootstrap with the call as the unit.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from callqa.scoring.agreement import MIN_CALLS, PRESELECT_MIN, Agreement, AgreementTable, agreement, tabulate

REPLICATES = 2000
COVERAGE = 0.95
# An interval from fewer usable replicates says nothing: the figure was 0/0 in most of them.
LEAST_USABLE = 0.5

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ScoredCard:
    """One submitted card: the items where machine and person deduct, and those that applied.

    decided: (item_id, accepted) of every suggestion that was decided on, none on a blind card.
    """

    call_id: str
    blind: bool
    suggested: frozenset[str]
    deducted: frozenset[str]
    applicable: frozenset[str]
    decided: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """One item's table, its figures and their intervals by name; None where an interval cannot be told: too often 0/0, or no
    difference in the sample (sampling.md §5.3: never ±0)."""

    table: AgreementTable
    agreement: Agreement
    intervals: Mapping[str, Interval | None]


@dataclass(frozen=True, slots=True)
class ItemTrust:
    """One item: blind cards, all cards, how many suggestions were accepted of those decided, and the verdict."""

    item_id: str
    blind: Figures
    all: Figures
    accepted: int
    decided: int

    @property
    def may_preselect(self) -> bool:
        return self.blind.agreement.may_preselect

    @property
    def why(self) -> str:
        """The verdict in Chinese."""
        return verdict(self.blind.agreement)


def shown(value: float) -> str:
    """A figure with two decimals; one below the threshold of the rule is never shown as the threshold itself."""
    rounded = f"{value:.2f}"
    if value < PRESELECT_MIN <= float(rounded):
        rounded = f"{math.floor(value * 100) / 100:.2f}"
    return rounded.replace("-", "−")


def verdict(found: Agreement) -> str:
    """Why an item's suggestions are preselected, or only hint."""
    if not found.enough:
        return f"盲评样本 {found.n} 通，不足 {MIN_CALLS} 通，只作提示"
    short = []
    for name, value in (("AC1", found.ac1), ("查准率", found.precision)):
        if value is None:
            short.append(f"{name}无从计算（机器从未建议扣分）" if name == "查准率" else f"{name} 无从计算")
        elif value < PRESELECT_MIN:
            short.append(f"{name} {shown(value)}，低于 {PRESELECT_MIN:.2f}")
    if short:
        return "；".join(short) + "，只作提示"
    assert found.ac1 is not None and found.precision is not None
    return f"盲评样本 {found.n} 通，AC1 {found.ac1:.2f}，查准率 {found.precision:.2f}，可以预选"


def trust_of(cards: Sequence[ScoredCard], item_ids: Iterable[str], salt: str) -> tuple[ItemTrust, ...]:
    """Every item's figures. salt: the rubric's hash; with the item it seeds the bootstrap, so that a page repeats itself."""
    return tuple(_item(cards, item_id, salt) for item_id in item_ids)


def _item(cards: Sequence[ScoredCard], item_id: str, salt: str) -> ItemTrust:
    own = [card for card in cards if item_id in card.applicable]
    decided = [accepted for card in own for item, accepted in card.decided if item == item_id]
    return ItemTrust(
        item_id,
        figures(_table([card for card in own if card.blind], item_id), f"{salt}/{item_id}/blind"),
        figures(_table(own, item_id), f"{salt}/{item_id}/all"),
        sum(decided),
        len(decided),
    )


def _table(cards: Iterable[ScoredCard], item_id: str) -> AgreementTable:
    return tabulate((item_id in card.suggested, item_id in card.deducted) for card in cards)


def quick_agreement(cards: Iterable[ScoredCard], item_id: str) -> Agreement:
    """One item's figures on blind cards without intervals: what the scoring page decides by."""
    return agreement(_table((card for card in cards if card.blind and item_id in card.applicable), item_id))


NAMES: tuple[tuple[str, Callable[[Agreement], float | None]], ...] = (
    ("observed", lambda a: a.observed),
    ("ac1", lambda a: a.ac1),
    ("kappa", lambda a: a.kappa),
    ("precision", lambda a: a.precision),
    ("recall", lambda a: a.recall),
)


def figures(table: AgreementTable, seed: str) -> Figures:
    """The figures of a table with bootstrap percentile intervals; one pair a call."""
    found = agreement(table)
    return Figures(table, found, bootstrap(table, seed) if table.n else {name: None for name, _ in NAMES})


def figures_by_call(calls: Sequence[AgreementTable], seed: str) -> Figures:
    """The figures of calls that several pairs of raters compared, each call a table of its own.

    What is drawn again is the call with all its pairs: three pairs of one call are no three calls.
    """
    kinds = Counter(_counts(table) for table in calls if table.n)
    whole = AgreementTable(*(sum(times * counts[k] for counts, times in kinds.items()) for k in range(4)))
    intervals = _bootstrap(kinds, seed) if whole.n else {name: None for name, _ in NAMES}
    return Figures(whole, agreement(whole), intervals)


def bootstrap(table: AgreementTable, seed: str) -> dict[str, Interval | None]:
    """Percentile intervals of every figure, one pair a call; the same seed gives the same ones."""
    one_each = (
        AgreementTable(1, 0, 0, 0),
        AgreementTable(0, 1, 0, 0),
        AgreementTable(0, 0, 1, 0),
        AgreementTable(0, 0, 0, 1),
    )
    return _bootstrap({_counts(one): n for one, n in zip(one_each, _counts(table), strict=True)}, seed)


def _counts(table: AgreementTable) -> tuple[int, int, int, int]:
    return table.both, table.first_only, table.second_only, table.neither


def _bootstrap(kinds: Mapping[tuple[int, int, int, int], int], seed: str) -> dict[str, Interval | None]:
    """kinds: how many calls have these counts. Drawing n calls with replacement is one draw of a multinomial distribution."""
    n = sum(kinds.values())
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")))
    shares = np.array(list(kinds.values()), dtype=np.float64) / n
    sums = generator.multinomial(n, shares, size=REPLICATES) @ np.array(list(kinds), dtype=np.int64)
    drawn, times = np.unique(sums, axis=0, return_counts=True)
    values: dict[str, list[tuple[float, int]]] = {name: [] for name, _ in NAMES}
    for counts, weight in zip(drawn, times, strict=True):
        again = agreement(AgreementTable(*(int(count) for count in counts)))
        for name, read in NAMES:
            value = read(again)
            if value is not None:
                values[name].append((value, int(weight)))
    return {name: _percentiles(values[name]) for name, _ in NAMES}


def _percentiles(values: list[tuple[float, int]]) -> Interval | None:
    usable = sum(weight for _, weight in values)
    if usable < LEAST_USABLE * REPLICATES:
        return None
    values = sorted(values)
    if (
        values[0][0] == values[-1][0]
    ):  # nothing in the sample differs: drawing it again cannot tell how far it would vary
        return None
    tail = (1 - COVERAGE) / 2
    return _quantile(values, tail * usable), _quantile(values, (1 - tail) * usable)


def _quantile(values: list[tuple[float, int]], wanted: float) -> float:
    seen = 0
    for value, weight in values:
        seen += weight
        if seen >= wanted:
            return value
    return values[-1][0]


# ---------- scores of two raters ----------


@dataclass(frozen=True, slots=True)
class ScorePair:
    """The quality scores of one call by two raters, and whether each of them found something fatal."""

    call_id: str
    first: float
    second: float
    first_fatal: bool = False
    second_fatal: bool = False


@dataclass(frozen=True, slots=True)
class ScoreAgreement:
    """分数差: mean absolute difference, share within 5 points, Bland–Altman mean and limits (None below two calls)."""

    n: int
    mean_absolute: float | None
    within_5: float | None
    mean_difference: float | None
    limits: Interval | None
    fatal_agreed: float | None


WITHIN_POINTS = Decimal(5)


def score_agreement(pairs: Sequence[ScorePair]) -> ScoreAgreement:
    """How far two raters' totals agree."""
    n = len(pairs)
    if not n:
        return ScoreAgreement(0, None, None, None, None, None)
    exact = [Decimal(str(pair.first)) - Decimal(str(pair.second)) for pair in pairs]
    apart = [float(difference) for difference in exact]
    mean = sum(apart) / n
    limits = None
    if n > 1:
        spread = 1.96 * math.sqrt(sum((d - mean) ** 2 for d in apart) / (n - 1))
        limits = (mean - spread, mean + spread)
    return ScoreAgreement(
        n,
        sum(abs(d) for d in apart) / n,
        sum(abs(d) <= WITHIN_POINTS for d in exact) / n,
        mean,
        limits,
        sum(pair.first_fatal == pair.second_fatal for pair in pairs) / n,
    )
