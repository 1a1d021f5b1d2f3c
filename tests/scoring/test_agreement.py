"""一致性: the three worked tables of docs/domain/sampling.md §7."""

import pytest

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


def test_tabulate() -> None:
    assert tabulate([(True, True), (True, False), (False, False), (False, False)]) == AgreementTable(1, 1, 0, 2)
    with pytest.raises(ValueError, match="negative"):
        AgreementTable(-1, 0, 0, 0)
