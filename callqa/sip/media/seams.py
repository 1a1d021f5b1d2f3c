"""Where one stretch of a leg's audio meets the next: pushed together where one talker only began anew, laid over each other
where two talk at once. Nothing is written over another's audio.

A sender that changes its SSRC or its clock in mid-speech is placed anew by its arrival, which jitter makes some samples
early or late: that would cut into a frame. Two phones on one leg are another matter: at a transfer the new one may speak
before the old one has gone. What both said is kept in layers, which are added like two voices of a side (mix.py).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from callqa.sip.media.streams import CLOCK_RATE_HZ, Ints, Placed

# Half a frame: less is jitter, more may be a frame that was lost where the sender started anew.
_SEAM = CLOCK_RATE_HZ // 100
# A stretch of few packets, all of them late, ends later than it did: by the jitter and one hold-up of the network.
_LATE_MOST = CLOCK_RATE_HZ // 10
# More at once on one leg is no telephone; what does not fit is written over, and counted.
LAYERS_MOST = 4


@dataclass(frozen=True, slots=True, eq=False)
class _Stretches:
    """One entry a stretch: where it begins and ends, when its first and last packet came, and whose it is."""

    of_packet: Ints
    begin: Ints
    end: Ints
    first_at: Ints
    last_at: Ints
    ssrc: Ints


def seamless(placed: Placed, n_samples: Ints, at: Ints, ssrc: Ints) -> Placed:
    """Let a stretch that begins within _SEAM of where the one before it ends, or before that though the same talker says
    both, or only because the one before it was moved, begin exactly there. n_samples, at, ssrc: of each packet. No stretch
    moves by more than _LATE_MOST."""
    if not placed.row.size or (placed.stretch == placed.stretch[0]).all():
        return placed
    s = _stretches(placed, n_samples, at, ssrc)
    shift = np.zeros(s.begin.size, np.int64)
    before: int | None = None  # the stretch that speaks longest so far
    for i in np.argsort(s.begin, kind="stable").tolist():
        if before is not None:
            over = int(s.end[before] + shift[before] - s.begin[i])
            one_talker = s.ssrc[before] == s.ssrc[i] or s.last_at[before] < s.first_at[i]
            in_turn = one_talker or s.end[before] - s.begin[i] <= _SEAM
            if -_SEAM <= over <= (_LATE_MOST if in_turn else _SEAM):
                shift[i] = over
        if before is None or s.end[i] + shift[i] >= s.end[before] + shift[before]:
            before = i
    if not shift.any():
        return placed
    moved = replace(placed, position=placed.position + shift[s.of_packet])
    return _taken(moved, np.argsort(moved.position, kind="stable"))


def layers(placed: Placed, n_samples: Ints) -> list[Placed]:
    """Packets so divided that in each layer no stretch lies over another, as far as LAYERS_MOST do."""
    if not placed.row.size or (placed.stretch == placed.stretch[0]).all():
        return [placed]
    s = _stretches(placed, n_samples, placed.position, placed.position)
    spoken_to: list[int] = []
    layer = np.zeros(s.begin.size, np.int64)
    for i in np.argsort(s.begin, kind="stable").tolist():
        free = (n for n, end in enumerate(spoken_to) if end <= s.begin[i])
        layer[i] = next(free, min(len(spoken_to), LAYERS_MOST - 1))
        if layer[i] == len(spoken_to):
            spoken_to.append(0)
        spoken_to[layer[i]] = max(spoken_to[layer[i]], int(s.end[i]))
    if len(spoken_to) == 1:
        return [placed]
    return [_taken(placed, np.flatnonzero(layer[s.of_packet] == n)) for n in range(len(spoken_to))]


def hidden(layer: Placed, n_samples: Ints) -> int:
    """How many packets of a layer lie wholly under one that was sent later, because their sender gave both one time."""
    same_place = np.diff(layer.position) == 0
    return int((same_place & (n_samples[1:] >= n_samples[:-1])).sum())


def _stretches(placed: Placed, n_samples: Ints, at: Ints, ssrc: Ints) -> _Stretches:
    _, first, of_packet = np.unique(placed.stretch, return_index=True, return_inverse=True)
    of_packet = of_packet.ravel()

    def least(values: Ints) -> Ints:
        found = np.full(first.size, np.iinfo(np.int64).max)
        np.minimum.at(found, of_packet, values)
        return found

    return _Stretches(
        of_packet, least(placed.position), -least(-(placed.position + n_samples)), least(at), -least(-at), ssrc[first]
    )


def _taken(placed: Placed, order: NDArray[np.intp]) -> Placed:
    return Placed(*(getattr(placed, column)[order] for column in Placed.__slots__))
