"""一致性: the three worked tables of docs/domain/sampling.md §7."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.scoring.agreement import AgreementTable, agreement, tabulate


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((2, 3, 2, 73), (0.9375, 0.4118, 0.9301, 0.4150, 0.400, 0.500)),
        ((0, 2, 3, 75), (0.9375, -0.0309, 0.9335, -0.0258, 0.000, 0.000)),
        ((30, 5, 6, 39), (0.8625, 0.7215, 0.7284, 0.7232, 0.857, 0.833)),
    ],
)
def test_worked_tables(counts: tuple[int, int, int, int], expected: tuple[float, ...]) -> None:
    figures = agreement(AgreementTable(*counts))
    got = (figures.observed, figures.kappa, figures.ac1, figures.alpha, figures.precision, figures.recall)
    assert figures.n == 80
    assert got == pytest.approx(expected, abs=0.0006)


def test_no_calls_give_no_figures() -> None:
    figures = agreement(AgreementTable(0, 0, 0, 0))
    assert figures.observed is None and figures.kappa is None and not figures.enough


def test_nobody_deducts() -> None:
    figures = agreement(AgreementTable(0, 0, 0, 40))
    assert (figures.observed, figures.kappa, figures.ac1, figures.alpha) == (1.0, None, 1.0, None)
    assert figures.precision is None and not figures.may_preselect


def test_preselection_needs_calls_ac1_and_precision() -> None:
    assert agreement(AgreementTable(9, 1, 0, 30)).may_preselect
    assert not agreement(AgreementTable(9, 1, 0, 10)).may_preselect
    assert not agreement(AgreementTable(2, 3, 2, 73)).may_preselect


@pytest.mark.parametrize("counts", [(10, 1, 3, 22), (10, 2, 2, 22), (10, 0, 4, 22)])
def test_exactly_080_is_not_less_than_080(counts: tuple[int, int, int, int]) -> None:
    """P_o = 8/9 and π = 1/3: AC1 = (8/9 − 4/9) / (1 − 4/9) = 4/5, which a sum of rounded parts puts a hair below."""
    found = agreement(AgreementTable(*counts))
    assert found.ac1 == 0.8 and found.may_preselect == (found.precision >= 0.8)  # type: ignore[operator]
    assert found.may_preselect


@given(st.tuples(*[st.integers(0, 60)] * 4))
def test_the_formulas_of_the_document_in_exact_fractions(counts: tuple[int, int, int, int]) -> None:
    a, b, c, d = counts
    n = sum(counts)
    found = agreement(AgreementTable(*counts))
    if not n:
        assert found.observed is None and found.ac1 is None
        return
    observed, p1, p2 = Fraction(a + d, n), Fraction(a + b, n), Fraction(a + c, n)
    chance, share = p1 * p2 + (1 - p1) * (1 - p2), (p1 + p2) / 2
    gwet = 2 * share * (1 - share)
    n1 = 2 * a + b + c
    apart = Fraction(2 * n1 * (2 * n - n1), 2 * n * (2 * n - 1))
    expected = (
        observed,
        None if chance == 1 else (observed - chance) / (1 - chance),
        (observed - gwet) / (1 - gwet),
        None if not apart else 1 - Fraction(b + c, n) / apart,
        None if not a + b else Fraction(a, a + b),
        None if not a + c else Fraction(a, a + c),
    )
    got = (found.observed, found.kappa, found.ac1, found.alpha, found.precision, found.recall)
    assert got == tuple(None if value is None else float(value) for value in expected)


def test_one_rater_who_always_and_one_who_never_deducts() -> None:
    found = agreement(AgreementTable(0, 40, 0, 0))
    assert (found.observed, found.kappa, found.ac1, found.precision, found.recall) == (0.0, 0.0, -1.0, 0.0, None)
    assert not found.may_preselect
    everybody = agreement(AgreementTable(40, 0, 0, 0))
    assert (everybody.observed, everybody.kappa, everybody.ac1, everybody.alpha) == (1.0, None, 1.0, None)


def test_tabulate() -> None:
    assert tabulate([(True, True), (True, False), (False, False), (False, False)]) == AgreementTable(1, 1, 0, 2)
    with pytest.raises(ValueError, match="negative"):
        AgreementTable(-1, 0, 0, 0)
