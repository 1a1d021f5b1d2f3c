"""The likeliest way through a lattice of words: at every place some words may stand, each after every word that may be before.

A beam search, all pairs of history and next word of one place in one step of numpy. Pure; knows numbers, not words.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]

START: Final = -1  # stands for the words before the first one


@dataclass(frozen=True, slots=True)
class Choices:
    """Words that may stand at one place: their numbers, how many places each takes, what each costs (log10)."""

    numbers: Ints
    lengths: Ints
    costs: Doubles


@dataclass(frozen=True, slots=True)
class Way:
    """Words by (place, index in that place's choices), and the sum of their log10 probabilities less their costs."""

    steps: tuple[tuple[int, int], ...]
    score: float


@dataclass(frozen=True, slots=True)
class _Beam:
    """The best ways to one place: score, last two words (n, 2), and where the last word came from."""

    scores: Doubles
    history: Ints
    froms: tuple[tuple[int, int, int], ...]  # place, index in the beam there, index in the choices there


@dataclass(frozen=True, slots=True)
class _Arrivals:
    """Ways to one place whose last word began at `place`: scores (k, n) of k histories there and n of its choices."""

    place: int
    scores: Doubles
    history: Ints  # (k, 2)
    numbers: Ints  # (n,)
    indexes: Ints  # (n,), in the choices of the place


def likeliest(
    n_places: int, choices: Callable[[int], Choices], told: Callable[[Ints, Ints], Doubles], beam_size: int
) -> Way:
    """Search the lattice. choices(place): at every place a word of length 1 at least; none may go beyond the end.

    told(history (k, 2), numbers (n,)) -> (k, n): log10 probability of each word after each two words.
    """
    arrivals: list[list[_Arrivals]] = [[] for _ in range(n_places + 1)]
    beams = [_Beam(np.zeros(1), np.full((1, 2), START), ())]
    for place in range(n_places):
        if place:
            beams.append(_pruned(arrivals[place], beam_size))
        beam, here = beams[place], choices(place)
        scores = (beam.scores[:, None] + told(beam.history, here.numbers)) - here.costs
        for length in np.unique(here.lengths):
            chosen = np.flatnonzero(here.lengths == length)
            numbers = here.numbers[chosen]
            arrivals[place + int(length)].append(_Arrivals(place, scores[:, chosen], beam.history, numbers, chosen))
    if n_places:
        beams.append(_pruned(arrivals[n_places], beam_size))
    steps: list[tuple[int, int]] = []
    place, index = n_places, 0
    while place:
        place, index, choice = beams[place].froms[index]
        steps.append((place, choice))
    return Way(tuple(reversed(steps)), float(beams[n_places].scores[0]))


def _pruned(arrivals: list[_Arrivals], beam_size: int) -> _Beam:
    """The best way of each history, at most beam_size, the best first."""
    scores = np.concatenate([each.scores.ravel() for each in arrivals])
    ends = np.cumsum([each.scores.size for each in arrivals])
    # Ways of one history differ in their second last word but one, of which a beam has beam_size at most.
    enough = min(beam_size * beam_size, len(scores))
    best = np.argpartition(-scores, enough - 1)[:enough] if enough < len(scores) else np.arange(len(scores))
    best = best[np.lexsort((best, -scores[best]))]
    found: dict[tuple[int, int], tuple[int, int, int]] = {}
    kept: list[float] = []
    for at in best.tolist():
        block = int(np.searchsorted(ends, at, side="right"))
        each = arrivals[block]
        row, column = divmod(at - int(ends[block]) + each.scores.size, each.scores.shape[1])
        history = (int(each.history[row, 1]), int(each.numbers[column]))
        if history not in found:
            found[history] = (each.place, row, int(each.indexes[column]))
            kept.append(float(scores[at]))
            if len(kept) == beam_size:
                break
    return _Beam(np.array(kept), np.array(list(found)), tuple(found.values()))
