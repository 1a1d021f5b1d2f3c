"""质检可信度: the tables of sampling.md §7, the verdict on an item, intervals, and the totals of two raters."""

import pytest

from callqa.scoring.agreement import AgreementTable, agreement
from callqa.scoring.trust import (
    ScoredCard,
    ScorePair,
    bootstrap,
    figures,
    figures_by_call,
    quick_agreement,
    score_agreement,
    trust_of,
    verdict,
)


def cards(both: int, first: int, second: int, neither: int, *, blind: bool = True) -> list[ScoredCard]:
    item = frozenset({"S1.1"})
    shapes = [(item, item)] * both + [(item, frozenset())] * first + [(frozenset(), item)] * second
    shapes += [(frozenset(), frozenset())] * neither
    return [ScoredCard(f"C{n}", blind, suggested, deducted, item) for n, (suggested, deducted) in enumerate(shapes)]


@pytest.mark.parametrize(
    ("counts", "shown"),
    [
        ((2, 3, 2, 73), ("0.9375", "0.4118", "0.9301", "0.4150", "0.400", "0.500")),
        ((0, 2, 3, 75), ("0.9375", "-0.0309", "0.9335", "-0.0258", "0.000", "0.000")),
        ((30, 5, 6, 39), ("0.8625", "0.7215", "0.7284", "0.7232", "0.857", "0.833")),
    ],
)
def test_the_three_worked_tables(counts: tuple[int, int, int, int], shown: tuple[str, ...]) -> None:
    """From cards to figures, to the last digit the document gives."""
    (item,) = trust_of(cards(*counts), ["S1.1"], "hash")
    found = item.blind.agreement
    assert found.n == 80
    figures4 = [f"{value:.4f}" for value in (found.observed, found.kappa, found.ac1, found.alpha)]
    assert (*figures4, f"{found.precision:.3f}", f"{found.recall:.3f}") == shown
    assert quick_agreement(cards(*counts), "S1.1") == found


def test_a_call_with_one_pair_is_the_plain_bootstrap() -> None:
    calls = [AgreementTable(1, 0, 0, 0)] * 5 + [AgreementTable(0, 1, 0, 0)] * 3 + [AgreementTable(0, 0, 0, 1)] * 32
    found, plain = figures_by_call(calls, "seed"), figures(AgreementTable(5, 3, 0, 32), "seed")
    assert (found.table, found.agreement) == (plain.table, plain.agreement)
    for name, interval in plain.intervals.items():
        assert found.intervals[name] == (interval and pytest.approx(interval, abs=0.03))


def test_several_pairs_of_one_call_are_one_call() -> None:
    """Three raters, three pairs: the interval is as wide as with one pair a call, not as with three times the calls."""
    one = [AgreementTable(0, 1, 0, 0)] * 6 + [AgreementTable(0, 0, 0, 1)] * 24
    three = [AgreementTable(0, 3, 0, 0)] * 6 + [AgreementTable(0, 0, 0, 3)] * 24
    many = figures(AgreementTable(0, 18, 0, 72), "seed")
    width = {}
    for name, found in (
        ("one", figures_by_call(one, "seed")),
        ("three", figures_by_call(three, "seed")),
        ("many", many),
    ):
        low, high = found.intervals["observed"] or (0, 0)
        width[name] = high - low
    assert width["three"] == width["one"] > 1.5 * width["many"] > 0
    assert figures_by_call([], "seed").agreement.n == 0
    assert (
        figures_by_call([AgreementTable(0, 0, 0, 3)] * 40, "seed").intervals["ac1"] is None
    )  # no difference: unknown, not ±0


@pytest.mark.parametrize(
    ("counts", "may", "why"),
    [
        ((3, 0, 0, 26), False, "盲评样本 29 通，不足 30 通，只作提示"),
        ((3, 0, 0, 27), True, "盲评样本 30 通，AC1 1.00，查准率 1.00，可以预选"),
        ((4, 1, 0, 35), True, "盲评样本 40 通，AC1 0.97，查准率 0.80，可以预选"),
        ((3, 1, 0, 36), False, "查准率 0.75，低于 0.80，只作提示"),
        ((30, 5, 6, 39), False, "AC1 0.73，低于 0.80，只作提示"),
        ((10, 1, 3, 22), True, "盲评样本 36 通，AC1 0.80，查准率 0.91，可以预选"),
        ((35, 9, 0, 200), False, "查准率 0.79，低于 0.80，只作提示"),  # 0.7955 is not shown as 0.80
        ((0, 0, 0, 40), False, "查准率无从计算（机器从未建议扣分），只作提示"),
        ((0, 0, 0, 0), False, "盲评样本 0 通，不足 30 通，只作提示"),
    ],
)
def test_the_rule(counts: tuple[int, int, int, int], may: bool, why: str) -> None:
    (item,) = trust_of(cards(*counts), ["S1.1"], "hash")
    assert (item.may_preselect, item.why) == (may, why)
    assert verdict(item.blind.agreement) == why


def test_only_blind_cards_decide_and_only_where_the_item_applied() -> None:
    seen = cards(30, 0, 0, 30, blind=False)
    elsewhere = [ScoredCard("X", True, frozenset({"S1.1"}), frozenset(), frozenset({"S1.2"}))]
    (item,) = trust_of([*seen, *cards(1, 0, 0, 4), *elsewhere], ["S1.1"], "hash")
    assert (item.blind.table.n, item.all.table.n) == (5, 65)
    assert not item.may_preselect


def test_acceptance_is_counted_apart() -> None:
    card = ScoredCard("C1", False, frozenset({"S1.1"}), frozenset(), frozenset({"S1.1"}), (("S1.1", True), ("S1.1", False), ("S2.1", True)))  # fmt: skip
    (item,) = trust_of([card], ["S1.1"], "hash")
    assert (item.accepted, item.decided) == (1, 2)


def test_intervals_hold_the_figure_repeat_themselves_and_narrow() -> None:
    small, large = AgreementTable(5, 1, 1, 33), AgreementTable(50, 10, 10, 330)
    first, again, other = bootstrap(small, "a"), bootstrap(small, "a"), bootstrap(small, "b")
    assert first == again and first != other
    figure = agreement(small)
    for name in ("observed", "ac1", "kappa", "precision", "recall"):
        interval, wide = first[name], bootstrap(large, "a")[name]
        assert interval is not None and wide is not None
        assert interval[0] <= getattr(figure, name) <= interval[1]
        assert wide[1] - wide[0] < interval[1] - interval[0]
    # the share of agreement is a plain binomial share: 38/40 ± 1.96 · sqrt(.95 · .05 / 40) = .882 … 1.018, cut at 1
    low, high = first["observed"]  # type: ignore[misc]
    assert low == pytest.approx(0.875, abs=0.026) and high == 1.0


def test_what_was_nearly_never_counted_has_no_interval() -> None:
    assert figures(AgreementTable(0, 0, 0, 40), "a").intervals["precision"] is None
    assert figures(AgreementTable(0, 0, 0, 0), "a").intervals["observed"] is None


def test_a_sample_without_any_difference_has_no_interval() -> None:
    """40 of 40 agreed: the sample cannot say how far that would vary, and 1.00–1.00 would say that it is certain."""
    found = figures(AgreementTable(12, 0, 0, 28), "a")
    assert found.agreement.ac1 == 1.0
    assert set(found.intervals.values()) == {None}
    some = figures(AgreementTable(12, 0, 1, 28), "a").intervals
    assert some["precision"] is None and some["observed"] is not None and some["recall"] is not None


def test_two_raters_totals() -> None:
    """By hand: differences 2, −6, 5, 0: mean 0.25, |d| 3.25, three within five; s² = 64.75/3."""
    found = score_agreement(
        [
            ScorePair("a", 92, 90),
            ScorePair("b", 84, 90, second_fatal=True),
            ScorePair("c", 95.1, 90.1),
            ScorePair("d", 90, 90, True, True),
        ]
    )
    assert (found.n, found.mean_absolute, found.within_5, found.fatal_agreed) == (4, pytest.approx(3.25), 0.75, 0.75)
    assert found.mean_difference == pytest.approx(0.25)
    assert found.limits == (pytest.approx(0.25 - 9.1056, abs=1e-3), pytest.approx(0.25 + 9.1056, abs=1e-3))
    assert score_agreement([]).within_5 is None and score_agreement([ScorePair("a", 1, 2)]).limits is None
