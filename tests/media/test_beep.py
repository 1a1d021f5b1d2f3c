"""A tone in place of speech: heard where it should be, and nothing else of the file changed."""

import struct

import numpy as np
import pytest

from callqa.audiofile import decode_audio, find_samples, read_law, wav_bytes
from callqa.errors import AudioError
from callqa.sip.media.beep import TONE_HZ, TONE_PEAK, beep
from callqa.sip.media.codec import Encoding, codec_of_encoding
from callqa.sip.media.wav import wav_header
from callqa.speech import Span

SPANS = (Span(500, 900), Span(1500, 1700))


def voice(n_samples: int, seed: int = 3) -> np.ndarray:
    """int16 (n_samples, 2): loud noise, different on each side."""
    return np.random.default_rng(seed).normal(0, 6000, (n_samples, 2)).clip(-32000, 32000).astype(np.int16)


def wav_of(encoding: Encoding, samples: np.ndarray, rate: int = 8000) -> bytes:
    codec = codec_of_encoding(encoding)
    body = codec.encode(samples.reshape(-1)) if codec else samples.astype("<i2").tobytes()
    head = wav_header(encoding, len(samples), sample_rate_hz=rate, channels=samples.shape[1])
    return head + body


def spectrum(samples: np.ndarray, rate: int) -> tuple[float, float]:
    """(frequency of the strongest line in Hz, share of the power within 60 Hz of it)."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    at = np.fft.rfftfreq(len(samples), 1 / rate)
    top = at[int(power.argmax())]
    return float(top), float(power[np.abs(at - top) < 60].sum() / power.sum())


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("encoding", ["alaw", "ulaw", "pcm16"])
def test_the_spans_are_a_tone_on_both_channels_and_no_other_byte_changes(encoding: Encoding, rate: int) -> None:
    wav = wav_of(encoding, voice(2 * rate), rate) + b"LIST" + struct.pack("<I", 4) + b"more"
    out = beep(wav, SPANS)
    place = find_samples(wav)
    assert place is not None and len(out) == len(wav) and find_samples(out) == place
    frame_bytes = 2 if encoding != "pcm16" else 4
    cuts = [place.start + ms * rate // 1000 * frame_bytes for span in SPANS for ms in (span.start_ms, span.end_ms)]
    kept = [(0, cuts[0]), (cuts[1], cuts[2]), (cuts[3], len(wav))]
    assert all(out[a:b] == wav[a:b] for a, b in kept)
    heard = decode_audio(out, "out").samples
    for span in SPANS:
        for channel in (0, 1):
            part = heard[span.start_ms * rate // 1000 : span.end_ms * rate // 1000, channel].astype(float)
            frequency, share = spectrum(part, rate)
            assert abs(frequency - TONE_HZ) <= 5
            assert share > 0.995, "the speech is gone"
            assert np.sqrt(np.mean(part**2)) == pytest.approx(TONE_PEAK / np.sqrt(2), rel=0.04)


def test_it_begins_and_ends_without_a_click() -> None:
    wav = wav_of("pcm16", np.zeros((8000, 2), np.int16))
    part = decode_audio(beep(wav, [Span(100, 300)]), "out").samples[800:2400, 0].astype(int)
    assert abs(part[:4]).max() < TONE_PEAK // 5 and abs(part[-4:]).max() < TONE_PEAK // 5


def test_spans_are_cut_to_the_recording_and_a_mono_recording_works() -> None:
    wav = wav_bytes(voice(4000)[:, :1], 8000)
    out = beep(wav, [Span(400, 9000), Span(20_000, 30_000), Span(100, 100)])
    assert len(out) == len(wav)
    assert out[: 44 + 400 * 8 * 2] == wav[: 44 + 400 * 8 * 2]
    assert spectrum(decode_audio(out, "out").samples[3200:, 0].astype(float), 8000)[0] == pytest.approx(TONE_HZ, abs=15)
    assert beep(wav, []) == wav


def test_a_file_that_cannot_be_changed_in_place_is_refused() -> None:
    for data in (b"", b"RIFF\0\0\0\0WAVE", b"fLaC" + bytes(60), wav_bytes(voice(10), 8000)[:30]):
        with pytest.raises(AudioError, match="不能消音"):
            beep(data, SPANS)
    floats = wav_bytes(voice(10), 8000).replace(b"fmt \x10\0\0\0\x01\0", b"fmt \x10\0\0\0\x03\0")
    with pytest.raises(AudioError, match="不能消音"):
        beep(floats, SPANS)


def test_where_the_samples_lie_is_told_without_a_size_and_of_whole_frames() -> None:
    wav = wav_of("alaw", voice(100))
    at = wav.index(b"data") + 4
    unwritten = wav[:at] + bytes(4) + wav[at + 4 :]
    cut = wav[:-1]
    for data, n_frames in ((wav, 100), (unwritten, 100), (cut, 99)):
        place, law = find_samples(data), read_law(data)
        assert place is not None and law is not None
        assert (place.encoding, place.end - place.start) == ("alaw", 2 * n_frames)
        assert law.samples.tobytes() == wav[at + 4 : at + 4 + 2 * n_frames]
