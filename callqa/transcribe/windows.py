"""Turns of one channel packed into windows for the engine, with the way back from window time to turns.

Whisper hears 30 s at a time and costs the same for a full window and an empty one; in long silences it invents, and its
times drift. So silence is taken out: turns follow each other with a short pause of true silence, as many as fit. Pure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from callqa.speech import Span
from callqa.transcribe.audio import ENGINE_RATE_HZ, FRAME_MS, frame_levels_dbfs
from callqa.transcribe.engine import Float

WINDOW_MS: Final = 28_000  # under Whisper's 30 s, so that a window is always decoded in one piece
PAUSE_MS: Final = 600  # long enough for the engine to end a sentence, short enough to pack well
MARGIN_MS: Final = 200  # audio kept around a turn; soft onsets are outside its edges
SPLIT_SEARCH_MS: Final = 8_000  # a turn longer than a window is cut at its quietest point in this stretch


@dataclass(frozen=True, slots=True)
class Piece:
    """Where (a part of) turn number `turn` lies in the window and in the recording."""

    turn: int
    in_window: Span
    in_recording: Span


@dataclass(frozen=True, slots=True)
class Window:
    """samples: float32 (n_samples,) at 16 000 Hz, at most WINDOW_MS long."""

    samples: Float
    pieces: tuple[Piece, ...]

    @property
    def duration_ms(self) -> int:
        return len(self.samples) * 1000 // ENGINE_RATE_HZ

    def piece_at(self, window_ms: int) -> Piece:
        """The piece at that time, or the nearest one."""
        return min(self.pieces, key=lambda p: max(p.in_window.start_ms - window_ms, window_ms - p.in_window.end_ms, 0))


def pack(samples: Float, turns: Sequence[Span], numbers: Sequence[int] | None = None) -> Iterator[Window]:
    """Windows over float32 (n_samples,) at 16 000 Hz holding the turns with these numbers (all when None), in order.

    As few windows as possible, and these about equally full: a lone short turn is decoded much worse than one in company.
    """
    chosen = range(len(turns)) if numbers is None else numbers
    duration_ms = len(samples) * 1000 // ENGINE_RATE_HZ
    parts = [(number, part) for number in chosen for part in _parts(samples, _with_margin(turns, number, duration_ms))]
    lengths = [part.duration_ms for _, part in parts]
    for first, last in _balanced(lengths):
        yield _window(samples, parts[first:last])


def _balanced(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """[first, last) of each group: the number of groups that WINDOW_MS needs, with the least longest one (to 250 ms)."""
    best = _groups(lengths, WINDOW_MS)
    low, high = max(lengths, default=0), WINDOW_MS
    while high - low > 250:
        middle = (low + high) // 2
        groups = _groups(lengths, middle)
        if len(groups) == len(best):
            best, high = groups, middle
        else:
            low = middle
    return best


def _groups(lengths: Sequence[int], limit_ms: int) -> list[tuple[int, int]]:
    groups: list[tuple[int, int]] = []
    first = total_ms = 0
    for n, length in enumerate(lengths):
        if n > first and total_ms + PAUSE_MS + length > limit_ms:
            groups.append((first, n))
            first, total_ms = n, 0
        total_ms += length + (PAUSE_MS if n > first else 0)
    if lengths:
        groups.append((first, len(lengths)))
    return groups


def _with_margin(turns: Sequence[Span], number: int, duration_ms: int) -> Span:
    """The turn with MARGIN_MS on both sides, but never beyond the middle of the pause to its neighbour."""
    turn = turns[number]
    before = (turns[number - 1].end_ms + turn.start_ms) // 2 if number else 0
    after = (turns[number + 1].start_ms + turn.end_ms) // 2 if number + 1 < len(turns) else duration_ms
    return Span(max(before, turn.start_ms - MARGIN_MS), max(turn.end_ms, min(after, turn.end_ms + MARGIN_MS)))


def _parts(samples: Float, span: Span) -> Iterator[Span]:
    while span.duration_ms > WINDOW_MS:
        first = span.start_ms + WINDOW_MS - SPLIT_SEARCH_MS
        stretch = samples[first * ENGINE_RATE_HZ // 1000 : (span.start_ms + WINDOW_MS) * ENGINE_RATE_HZ // 1000]
        quietest = int(np.argmin(frame_levels_dbfs(stretch, ENGINE_RATE_HZ)))
        cut = first + quietest * FRAME_MS
        yield Span(span.start_ms, cut)
        span = Span(cut, span.end_ms)
    yield span


def _window(samples: Float, parts: Sequence[tuple[int, Span]]) -> Window:
    pause = np.zeros(PAUSE_MS * ENGINE_RATE_HZ // 1000, np.float32)
    blocks: list[Float] = []
    pieces: list[Piece] = []
    at_ms = 0
    for number, part in parts:
        if blocks:
            blocks.append(pause)
            at_ms += PAUSE_MS
        blocks.append(samples[part.start_ms * ENGINE_RATE_HZ // 1000 : part.end_ms * ENGINE_RATE_HZ // 1000])
        pieces.append(Piece(number, Span(at_ms, at_ms + part.duration_ms), part))
        at_ms += part.duration_ms
    return Window(np.concatenate(blocks), tuple(pieces))
