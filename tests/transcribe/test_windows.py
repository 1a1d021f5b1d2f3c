"""Packing turns into windows and finding the way back."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.speech import Span
from callqa.transcribe.windows import WINDOW_MS, pack


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(50, 3_000), st.integers(100, 40_000)), min_size=1, max_size=8))
def test_every_turn_is_in_a_window_once_and_whole(steps: list[tuple[int, int]]) -> None:
    turns, at = [], 0
    for pause, length in steps:
        turns.append(Span(at + pause, at + pause + length))
        at = turns[-1].end_ms
    samples = np.zeros((at + 500) * 16, np.float32)
    covered: dict[int, int] = {}
    order: list[int] = []
    for window in pack(samples, turns):
        assert window.duration_ms <= WINDOW_MS
        for piece in window.pieces:
            assert piece.in_window.duration_ms == piece.in_recording.duration_ms
            assert piece.in_window.end_ms <= window.duration_ms
            middle = (piece.in_window.start_ms + piece.in_window.end_ms) // 2
            assert window.piece_at(middle) is piece
            covered[piece.turn] = covered.get(piece.turn, 0) + piece.in_recording.overlap_ms(turns[piece.turn])
            order.append(piece.turn)
    assert order == sorted(order)
    assert covered == {n: turn.duration_ms for n, turn in enumerate(turns)}


def test_chosen_turns_only() -> None:
    samples = np.zeros(16_000 * 10, np.float32)
    turns = [Span(1_000, 2_000), Span(3_000, 4_000), Span(5_000, 6_000)]
    (window,) = pack(samples, turns, [0, 2])
    assert [piece.turn for piece in window.pieces] == [0, 2]
    assert list(pack(samples, turns, [])) == []


def test_windows_are_about_equally_full() -> None:
    """Greedy packing would leave the last turn alone in a second window."""
    turns = [Span(n * 5_000 + 500, n * 5_000 + 4_500) for n in range(7)]
    windows = list(pack(np.zeros(16 * 36_000, np.float32), turns))
    assert [len(window.pieces) for window in windows] == [4, 3]
