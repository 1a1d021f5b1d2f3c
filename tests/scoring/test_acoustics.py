"""Loudness, silences and interruptions, against signals whose figures are known."""

import numpy as np
import pytest

from callqa.scoring.acoustics import agent_entries_over_citizen, joined, measure_loudness, mutual_silences
from callqa.speech import Span, Speaker, Utterance
from callqa.units import Channel
from tests.scoring.reference_calls import transcript_of
from tests.scoring.scenes import call

RATE = 8000


def tone(level_dbfs: float, duration_ms: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """A 400 Hz sine whose RMS lies at a level."""
    peak = 32768 * 10 ** (level_dbfs / 20) * np.sqrt(2)
    return peak * np.sin(2 * np.pi * 400 * np.arange(duration_ms * RATE // 1000) / RATE)


def test_loudness_of_each_utterance_on_its_own_channel() -> None:
    samples = np.zeros((6 * RATE, 2), np.int16)
    samples[: 2 * RATE, Channel.AGENT] = tone(-20, 2000)
    samples[3 * RATE : 5 * RATE, Channel.CITIZEN] = tone(-35, 2000)
    transcript = call("a 0-2 您好", "c 3-5 你好", "a 5-6 在", duration_s=6).transcript
    assert transcript is not None
    first, second, third = measure_loudness(samples, RATE, transcript)
    assert first == pytest.approx(-20, abs=0.1)
    assert second == pytest.approx(-35, abs=0.1)
    assert third is None  # digital silence


def test_only_the_voiced_part_counts() -> None:
    samples = np.zeros((4 * RATE, 2), np.int16)
    samples[RATE : 2 * RATE, Channel.AGENT] = tone(-20, 1000)
    utterance = Utterance(0, Speaker.AGENT, Span(0, 4000), "您好", "您好", 0.9)
    transcript = transcript_of([utterance], 4000)
    whole = measure_loudness(samples, RATE, transcript)[0]
    voiced = type(transcript)(transcript.utterances, ((), (Span(1000, 2000),)), 4000, transcript.made)
    assert whole == pytest.approx(-26, abs=0.1)
    assert measure_loudness(samples, RATE, voiced)[0] == pytest.approx(-20, abs=0.1)


def test_an_utterance_outside_the_audio_or_of_no_channel_has_no_loudness() -> None:
    unknown = Utterance(0, Speaker.UNKNOWN, Span(0, 1000), "您好", "您好", 0.9)
    late = Utterance(1, Speaker.AGENT, Span(9000, 9900), "您好", "您好", 0.9)
    transcript = transcript_of([unknown, late], 10_000)
    assert measure_loudness(np.ones((RATE, 2), np.int16), RATE, transcript) == (None, None)


def spans(*pairs: tuple[int, int]) -> list[Span]:
    return [Span(start, end) for start, end in pairs]


def test_silences_lie_between_words_only() -> None:
    quiet = mutual_silences(spans((1000, 3000), (20_000, 21_000)), spans((2000, 5000)))
    assert quiet == (Span(5000, 20_000),)


def test_an_interruption_starts_inside_the_others_words() -> None:
    entries = agent_entries_over_citizen(spans((0, 5000)), spans((3000, 6000)))
    assert entries == ((Span(3000, 6000), Span(3000, 5000)),)
    assert agent_entries_over_citizen(spans((3000, 6000)), spans((0, 5000))) == ()  # the citizen came in
    assert agent_entries_over_citizen(spans((0, 5000)), spans((4900, 6000))) == ()  # at the citizen's very end


def test_joining_closes_short_breaths() -> None:
    assert joined(spans((0, 100), (350, 500)), 300) == (Span(0, 500),)
    assert joined(spans((0, 100), (450, 500)), 300) == (Span(0, 100), Span(450, 500))
