"""Turns from probabilities and level."""

import numpy as np

from callqa.speech import Span
from callqa.transcribe.vad import find_turns

RATE = 16_000


def sound(duration_ms: int, *spoken: tuple[int, int], level: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(3)
    samples = rng.normal(0, 0.0005, duration_ms * 16).astype(np.float32)
    for start, end in spoken:
        samples[start * 16 : end * 16] = rng.normal(0, level, (end - start) * 16)
    return samples


def late(duration_ms: int, *spoken: tuple[int, int], top: float = 0.9) -> np.ndarray:
    """A detector that answers 150 ms late and lets go 100 ms late."""
    p = np.full(-(-duration_ms // 32), 0.02, np.float32)
    for start, end in spoken:
        p[(start + 150) // 32 : (end + 100) // 32] = top
    return p


def test_edges_come_from_the_level_not_from_the_late_detector() -> None:
    (turn,) = find_turns(sound(5000, (1000, 3000)), late(5000, (1000, 3000)))
    assert abs(turn.start_ms - 970) <= 10 and abs(turn.end_ms - 3030) <= 10


def test_a_pause_under_half_a_second_is_inside_a_turn() -> None:
    assert len(find_turns(sound(6000, (1000, 2000), (2300, 3000)), late(6000, (1000, 2000), (2300, 3000)))) == 1
    assert len(find_turns(sound(6000, (1000, 2000), (2700, 3500)), late(6000, (1000, 2000), (2700, 3500)))) == 2


def test_a_short_word_that_the_detector_half_hears_is_a_turn() -> None:
    (turn,) = find_turns(sound(4000, (2000, 2250)), late(4000, (2000, 2250), top=0.12))
    assert turn.overlap_ms(Span(2000, 2250)) == 250


def test_a_tone_that_the_detector_half_hears_is_none() -> None:
    t = np.arange(4000 * 16) / RATE
    keys = (0.2 * np.sin(2 * np.pi * 697 * t) + 0.2 * np.sin(2 * np.pi * 1209 * t)) * ((t > 2) & (t < 2.25))
    samples = sound(4000) + keys.astype(np.float32)
    assert find_turns(samples, late(4000, (2000, 2250), top=0.12)) == ()


def test_loud_noise_that_the_detector_does_not_hear_is_none() -> None:
    assert find_turns(sound(4000, (1000, 1300)), np.full(125, 0.02, np.float32)) == ()


def test_speech_to_the_very_end_stays_inside() -> None:
    (turn,) = find_turns(sound(2000, (500, 2000)), late(2000, (500, 2000)))
    assert turn.end_ms == 2000
