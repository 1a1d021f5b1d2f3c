"""评分一致性 (docs/domain/sampling.md §7): agreement of two raters on one scored item, from its 2×2 table.

a: both deduct, b: only the first, c: only the second, d: neither. For machine against person the first is the machine.
None where a figure has no value (0/0), never 0 or 1.
"""

from collections.abc import Iterable
from dataclasses import dataclass

MIN_CALLS = 30  # under this, intervals cover too little to judge by
PRESELECT_MIN = 0.80  # AC1 and precision that an item needs before its suggestions are preselected


@dataclass(frozen=True, slots=True)
class AgreementTable:
    """Counts of one item over n calls."""

    both: int
    first_only: int
    second_only: int
    neither: int

    def __post_init__(self) -> None:
        if min(self.both, self.first_only, self.second_only, self.neither) < 0:
            raise ValueError("counts must not be negative")

    @property
    def n(self) -> int:
        return self.both + self.first_only + self.second_only + self.neither


@dataclass(frozen=True, slots=True)
class Agreement:
    """The figures of one table. enough: n ≥ 30. may_preselect: enough, AC1 and precision ≥ 0.80."""

    n: int
    observed: float | None  # P_o
    kappa: float | None  # Cohen κ
    ac1: float | None  # Gwet AC1
    alpha: float | None  # Krippendorff α, nominal, two raters
    precision: float | None  # 查准率
    recall: float | None  # 查全率

    @property
    def enough(self) -> bool:
        return self.n >= MIN_CALLS

    @property
    def may_preselect(self) -> bool:
        return (
            self.enough
            and self.ac1 is not None
            and self.precision is not None
            and self.ac1 >= PRESELECT_MIN
            and self.precision >= PRESELECT_MIN
        )


def tabulate(pairs: Iterable[tuple[bool, bool]]) -> AgreementTable:
    """Count (first deducts, second deducts) pairs, one per call."""
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for pair in pairs:
        counts[pair] += 1
    return AgreementTable(counts[True, True], counts[True, False], counts[False, True], counts[False, False])


def agreement(table: AgreementTable) -> Agreement:
    """P_o, κ, AC1, α, precision and recall of one table."""
    a, b, c, d, n = table.both, table.first_only, table.second_only, table.neither, table.n
    if not n:
        return Agreement(0, None, None, None, None, None, None)
    agreed, firsts, seconds = a + d, a + b, a + c
    # Every figure is one division of whole numbers, so that one that is exactly 0.80 is not taken for less.
    by_chance = firsts * seconds + (n - firsts) * (n - seconds)  # n² P_e
    ones, zeros = firsts + seconds, 2 * n - firsts - seconds
    return Agreement(
        n,
        agreed / n,
        _ratio(n * agreed - by_chance, n * n - by_chance),
        _ratio(2 * n * agreed - ones * zeros, 2 * n * n - ones * zeros),  # 2n² P_γ = ones · zeros
        _ratio(ones * zeros - (b + c) * (2 * n - 1), ones * zeros),
        _ratio(a, firsts),
        _ratio(a, seconds),
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
