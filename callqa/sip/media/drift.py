"""A sender's clock that runs faster or slower than ours: how far its packets must be moved to stay where they were said.

The smallest transit of every few seconds lies on a line whose slope is the difference of the clocks; jitter, stalls and
bursts only lie above it. Where enough of the windows lie on one line, packets are moved by whole steps along it. Nothing is
resampled: between two steps every frame is as it came. The reports of RTCP tie the sender's clock to the sender's wall clock,
not to ours, and came out no better than the packets' own arrival, so they are not used here.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

CLOCK_RATE_HZ = 8000
STEP = CLOCK_RATE_HZ * 5 // 1000  # 5 ms: a quarter of a frame, which is hardly heard once a minute
SHORTEST = 60 * CLOCK_RATE_HZ
WINDOW = 5 * CLOCK_RATE_HZ
WINDOWS_MOST = 200  # the slopes between all pairs of them are looked at
LEAST = CLOCK_RATE_HZ * 8 // 1000  # over the whole stretch; less is noise
NEAR = CLOCK_RATE_HZ * 4 // 1000  # so near to the line a window agrees with it
AGREEING = 0.6
FASTEST = 1e-3  # a telephone's clock is good for 100 ppm; ten times as much is no drift


def drift_of(at: Ints, transit: Ints) -> Ints | None:
    """How many samples later than by its own clock each packet of one stretch belongs, int64 (n,) in whole steps; None
    without drift. at: arrival, transit: arrival less timestamp; samples, in order of sending."""
    if at.size < 2 or int(at[-1] - at[0]) < SHORTEST:
        return None
    windows = _windows(at, transit)
    if windows is None:
        return None
    when, least = windows
    pairs = np.triu_indices(when.size, max(1, when.size // 4))  # near pairs say little of the slope
    slope = float(np.median((least[pairs[1]] - least[pairs[0]]) / (when[pairs[1]] - when[pairs[0]])))
    length = float(at[-1] - at[0])
    if abs(slope) * length < LEAST or abs(slope) > FASTEST:
        return None
    foot = float(np.median(least - slope * when))
    if np.mean(np.abs(least - slope * when - foot) <= NEAR) < AGREEING:
        return None
    line = slope * at + foot - float(transit.min())
    moved: Ints = np.rint(line / STEP).astype(np.int64) * STEP
    return moved


def _windows(at: Ints, transit: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(middle, smallest transit) of each window that has packets; None when they are too few."""
    size = max(WINDOW, -(-int(at[-1] - at[0] + 1) // WINDOWS_MOST))
    number = (at - at.min()) // size
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    if starts.size < SHORTEST // WINDOW // 2:
        return None
    least = np.minimum.reduceat(transit[order], starts)
    # The instant of the smallest itself: in a window of half a minute its place matters.
    first = {int(n): i for i, n in enumerate(number[order][starts])}
    index = np.array([first[int(n)] for n in number])
    smallest = np.flatnonzero(transit == least[index])
    when = np.zeros(starts.size)
    when[index[smallest]] = at[smallest]
    return when, least.astype(np.float64)
