"""Resampling and the echo gate."""

import tracemalloc

import numpy as np
import pytest

from callqa.transcribe import audio
from callqa.transcribe.audio import ENGINE_RATE_HZ, frame_levels_dbfs, to_engine_rate, without_echo


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000])
def test_a_tone_keeps_its_pitch_level_and_place(rate: int) -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate).astype(np.float32)
    out = to_engine_rate(tone, rate)
    assert len(out) == ENGINE_RATE_HZ and out.dtype == np.float32
    expected = np.sin(2 * np.pi * 1000 * np.arange(ENGINE_RATE_HZ) / ENGINE_RATE_HZ)
    assert np.max(np.abs(out[400:-400] - expected[400:-400])) < 0.01


def test_upsampling_leaves_no_image() -> None:
    tone = np.sin(2 * np.pi * 3000 * np.arange(8000) / 8000).astype(np.float32)
    power = np.abs(np.fft.rfft(to_engine_rate(tone, 8000) * np.hanning(16000))) ** 2
    assert 10 * np.log10(power[5000] / power[3000]) < -50


def test_no_samples_give_no_samples() -> None:
    assert len(to_engine_rate(np.zeros(0, np.float32), 8000)) == 0


def test_the_gate_mutes_echo_and_leaves_a_citizen_who_talks_over_the_agent() -> None:
    rng = np.random.default_rng(1)
    agent = np.concatenate([rng.normal(0, 0.1, 8000), np.zeros(16000)]).astype(np.float32)
    echo = 0.02 * agent
    assert np.max(np.abs(without_echo(echo, agent, 8000)[400:7600])) == 0
    speech = rng.normal(0, 0.05, 24000).astype(np.float32)
    assert np.array_equal(without_echo(speech + echo, agent, 8000), speech + echo)


def test_a_quiet_citizen_is_untouched_while_the_agent_is_silent() -> None:
    rng = np.random.default_rng(2)
    quiet = rng.normal(0, 0.001, 16000).astype(np.float32)
    assert np.array_equal(without_echo(quiet, np.zeros(16000, np.float32), 8000), quiet)


def test_a_long_call_costs_little_more_memory_than_its_audio() -> None:
    """Resampling and the echo gate once held six times the audio of a long call."""
    rng = np.random.default_rng(5)
    citizen, agent = (rng.standard_normal(600 * 8000, np.float32) for _ in range(2))
    tracemalloc.start()
    try:
        to_engine_rate(without_echo(citizen, agent, 8000), 8000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3.7 * citizen.nbytes  # without the echo: 1, at the engine's rate: 2


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
def test_audio_of_several_parts_is_as_if_of_one(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    citizen, agent = (0.1 * rng.standard_normal(rate * 3 + 7, np.float32) for _ in range(2))
    whole = to_engine_rate(without_echo(citizen, agent, rate), rate), frame_levels_dbfs(citizen, rate)
    monkeypatch.setattr(audio, "_AT_ONCE", 1000)
    parts = to_engine_rate(without_echo(citizen, agent, rate), rate), frame_levels_dbfs(citizen, rate)
    for one, several in zip(whole, parts, strict=True):
        np.testing.assert_allclose(several, one, rtol=0, atol=1e-6)
