"""Why there is no audio 音频缺口: not kept, packets lost, the call on hold, or nothing sent."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from callqa.sip.media.pauses import EDGE_MS, cut_at_pauses
from callqa.sip.media.spool import MediaMark
from callqa.sip.media.streams import CLOCK_RATE_HZ, Placed
from callqa.speech import Gap, GapKind, Span
from callqa.units import Channel

# Nothing sent for less than three frames (start of the call, end of the call, a change of stream) is not worth a note.
MIN_NO_MEDIA_MS = 60
_EDGE = EDGE_MS * CLOCK_RATE_HZ // 1000

Stretch = tuple[int, int | None]  # nanoseconds; None: to the end


@dataclass(frozen=True, slots=True)
class Silence:
    """A stretch [start, end) of samples in which no audio came. missing: packets that the numbers around it leave out."""

    start: int
    end: int
    missing: int


def resting(marks: Iterable[MediaMark], rests: Callable[[MediaMark], bool]) -> Iterator[Stretch]:
    """When any of the streams that the marks are of rests."""
    at_rest: set[int] = set()
    since: int | None = None
    for mark in marks:
        (at_rest.add if rests(mark) else at_rest.discard)(mark.channel)
        if at_rest and since is None:
            since = mark.at_ns
        elif not at_rest and since is not None:
            yield since, mark.at_ns
            since = None
    if since is not None:
        yield since, None


def in_samples(spans: Iterable[Stretch], zero_ns: int, n_samples: int) -> list[tuple[int, int]]:
    """The same on a timeline of n_samples that begins at zero_ns."""

    def sample(at_ns: int) -> int:
        return min(max(0, (at_ns - zero_ns) * CLOCK_RATE_HZ // 1_000_000_000), n_samples)

    return [(sample(start), n_samples if end is None else sample(end)) for start, end in spans]


def silences_of(covered: NDArray[np.bool_], placed: Placed) -> Iterator[Silence]:
    """Where one stream has no audio. covered: bool (n,)."""
    for silence in stretches_without(covered, 0):
        after = int(np.searchsorted(placed.position, silence.end))
        inside = 0 < after < placed.row.size
        yield Silence(silence.start, silence.end, _missing(placed, after - 1, after) if inside else 0)


def stretches_without(covered: NDArray[np.bool_], missing: int) -> Iterator[Silence]:
    """Every stretch in which a mask (n,) is False."""
    edges = np.flatnonzero(np.diff(np.concatenate(([True], covered, [True]))))
    for start, end in edges.reshape(-1, 2).tolist():
        yield Silence(start, end, missing)


def gaps_of(
    channel: Channel, silences: Iterable[Silence], holds: list[tuple[int, int]], pauses: list[tuple[int, int]]
) -> Iterator[Gap]:
    """Every silence and why: not kept, packets numbered but not arrived, on hold, or nothing sent."""
    for silence in silences:
        for start, end, paused in cut_at_pauses(silence.start, silence.end, pauses, _EDGE):
            if paused:
                yield _gap(channel, start, end, GapKind.PAUSED)
            elif silence.missing:
                yield _gap(channel, start, end, GapKind.LOST)
            else:
                yield from _unsent(channel, start, end, holds)


def _unsent(channel: Channel, start: int, end: int, holds: list[tuple[int, int]]) -> Iterator[Gap]:
    for piece_start, piece_end, held in _split(start, end, holds):
        if held or piece_end - piece_start >= MIN_NO_MEDIA_MS * CLOCK_RATE_HZ // 1000:
            yield _gap(channel, piece_start, piece_end, GapKind.HELD if held else GapKind.NO_MEDIA)


def not_kept(silences: Iterable[Silence], pauses: list[tuple[int, int]]) -> int:
    """How many of the missing packets are so because the recording was paused: no loss of the network's."""
    total = 0.0
    for silence in silences:
        if silence.missing:
            pieces = cut_at_pauses(silence.start, silence.end, pauses, _EDGE)
            paused = sum(end - start for start, end, is_paused in pieces if is_paused)
            total += silence.missing * paused / (silence.end - silence.start)
    return round(total)


def _missing(placed: Placed, before: int, after: int) -> int:
    """How many numbers between two neighbours on the timeline never arrived."""
    if placed.stretch[before] != placed.stretch[after]:
        return 0
    return max(0, int(placed.ext_seq[after] - placed.ext_seq[before] - (placed.rank[after] - placed.rank[before])))


def _split(start: int, end: int, holds: list[tuple[int, int]]) -> Iterator[tuple[int, int, bool]]:
    """Cut [start, end) at the holds, which are in order: (start, end, on hold)."""
    for hold_start, hold_end in holds:
        held_from, held_to = max(hold_start, start), min(hold_end, end)
        if held_from >= held_to:
            continue
        if held_from > start:
            yield start, held_from, False
        yield held_from, held_to, True
        start = held_to
    if start < end:
        yield start, end, False


def _gap(channel: Channel, start: int, end: int, kind: GapKind) -> Gap:
    return Gap(channel, Span(start * 1000 // CLOCK_RATE_HZ, -(-end * 1000 // CLOCK_RATE_HZ)), kind)
