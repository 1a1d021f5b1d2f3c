"""The search through a lattice against trying every way."""

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.transcribe.lattice import START, Choices, Doubles, Ints, likeliest


def told(history: Ints, numbers: Ints) -> Doubles:
    """A made-up log10 probability of each word after each two, the same for the same three."""
    mixed = history[:, 0:1] * 7919 + history[:, 1:2] * 104_729 + numbers[None, :] * 1_299_709
    return -((mixed % 1009) / 100.0)


def every_way(n_places: int, choices: list[Choices]) -> float:
    """The best score of all ways, tried one after the other."""
    best = -np.inf
    for lengths in product((1, 2, 3), repeat=n_places):
        ways = [(0, 0.0, (START, START))]
        for length in lengths:
            ways = [
                (
                    place + length,
                    score + told(np.array([history]), choices[place].numbers)[0, n] - choices[place].costs[n],
                    (history[1], int(choices[place].numbers[n])),
                )
                for place, score, history in ways
                if place < n_places
                for n in np.flatnonzero(choices[place].lengths == length)
            ]
            best = max([best, *(score for place, score, _ in ways if place == n_places)])
    return float(best)


@settings(max_examples=40)
@given(st.integers(1, 4), st.randoms(use_true_random=False))
def test_a_wide_beam_finds_the_best_way(n_places: int, rng: object) -> None:
    draw = rng.randint  # type: ignore[attr-defined]  # hypothesis gives a Random
    choices = []
    for place in range(n_places):
        lengths = [1, 1] + [draw(1, min(3, n_places - place)) for _ in range(2)]
        numbers = [draw(0, 30) for _ in lengths]
        choices.append(Choices(np.array(numbers), np.array(lengths), np.array([draw(0, 20) / 10 for _ in lengths])))
    way = likeliest(n_places, choices.__getitem__, told, 1000)
    assert way.score == np.float64(every_way(n_places, choices)) or np.isclose(way.score, every_way(n_places, choices))
    length = sum(int(choices[place].lengths[choice]) for place, choice in way.steps)
    assert length == n_places
    narrow = likeliest(n_places, choices.__getitem__, told, 2)
    assert narrow.score <= way.score + 1e-9


def test_nothing_to_say_is_a_way_without_steps() -> None:
    assert likeliest(0, lambda place: Choices(np.zeros(0, int), np.zeros(0, int), np.zeros(0)), told, 3).steps == ()
