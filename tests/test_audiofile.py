"""Audio files: G.711 against an independent decoder, WAV there and back, peaks, and files that are none."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from callqa.audiofile import Audio, AudioError, decode_audio, read_audio, wav_bytes
from callqa.peaks import read_peaks
from callqa.playback import find_playable
from callqa.sip.media.codec import Encoding
from callqa.sip.media.wav import wav_header

DATA = Path(__file__).parent / "data" / "audio"


@pytest.mark.parametrize("name", ["alaw_all_codes.wav", "mulaw_all_codes.wav"])
def test_every_g711_code_decodes_as_an_independent_decoder_does(name: str) -> None:
    with av.open(str(DATA / name)) as container:
        expected = np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)])
    audio = read_audio(DATA / name)
    assert audio.sample_rate_hz == 8000
    assert np.array_equal(audio.samples[:, 0], expected)


def test_g711_landmarks_of_the_recommendation() -> None:
    """G.711: the loudest A-law value is 4032 of 4096, the loudest µ-law value 8031 of 8192; silence codes are 0 or nearly."""
    alaw, mulaw = (read_audio(DATA / f"{law}_all_codes.wav").samples[:, 0] for law in ("alaw", "mulaw"))
    assert (int(alaw.max()), int(alaw.min())) == (4032 * 8, -4032 * 8)
    assert (int(mulaw.max()), int(mulaw.min())) == (8031 * 4, -8031 * 4)
    assert alaw[0xD5] == 8 and mulaw[0xFF] == 0


def test_an_extensible_header_means_the_same() -> None:
    assert np.array_equal(
        read_audio(DATA / "alaw_extensible.wav").samples, read_audio(DATA / "alaw_all_codes.wav").samples
    )


def test_pcm_keeps_channels_and_extremes() -> None:
    audio = read_audio(DATA / "pcm16_stereo.wav")
    assert audio.samples.tolist() == [[0, 1], [32767, -32768], [-1, 2]]
    assert (audio.n_channels, audio.sample_rate_hz) == (2, 16000)


def test_a_file_without_its_size_or_its_tail_gives_the_whole_frames_that_are_there() -> None:
    assert len(read_audio(DATA / "pcm16_size_unwritten.wav").samples) == 3
    assert len(read_audio(DATA / "pcm16_cut_in_frame.wav").samples) == 2


@pytest.mark.parametrize("name", ["tone_float.wav", "tone.flac"])
def test_other_formats_come_through(name: str) -> None:
    audio = read_audio(DATA / name)
    expected = 0.3 * np.sin(2 * np.pi * 440 * np.arange(4000) / 8000) * 32768
    assert np.max(np.abs(audio.samples[:, 0] - expected)) <= 2


@pytest.mark.parametrize("path", sorted(DATA.glob("bad_*")), ids=lambda p: p.name)
def test_a_file_that_is_no_audio_is_named_in_the_error(path: Path) -> None:
    with pytest.raises(AudioError, match=path.name):
        read_audio(path)


def test_a_missing_file_says_so() -> None:
    with pytest.raises(AudioError, match="打不开音频文件"):
        read_audio(DATA / "not_there.wav")


@given(st.binary(max_size=300))
def test_any_bytes_give_audio_or_our_error(tail: bytes) -> None:
    for data in (tail, b"RIFF\0\0\0\0WAVE" + tail, (DATA / "pcm16_stereo.wav").read_bytes()[:36] + tail):
        try:
            audio = decode_audio(data, "x")
        except AudioError:
            continue
        assert audio.samples.dtype == np.int16 and len(audio.samples)


@given(st.integers(1, 2), st.integers(0, 400), st.sampled_from([8000, 16000, 44100]))
def test_wav_there_and_back(n_channels: int, n_samples: int, rate: int) -> None:
    samples = np.arange(n_samples * n_channels, dtype=np.int16).reshape(-1, n_channels) * np.int16(37)
    data = wav_bytes(samples, rate)
    heard, there_rate = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
    assert there_rate == rate and np.array_equal(heard, samples)
    if n_samples:
        assert np.array_equal(decode_audio(data, "x").samples, samples)


def of_noise(encoding: Encoding, n_samples: int) -> bytes:
    """A stereo WAV at 8 000 Hz with every value that there is."""
    rng = np.random.default_rng(n_samples)
    if encoding == "pcm16":
        return wav_bytes(rng.integers(-32768, 32767, (n_samples, 2), dtype=np.int16, endpoint=True), 8000)
    codes = rng.integers(0, 255, 2 * n_samples, dtype=np.uint8, endpoint=True).tobytes()
    return wav_header(encoding, n_samples) + codes


ENCODINGS = pytest.mark.parametrize("encoding", ["alaw", "ulaw", "pcm16"])


@ENCODINGS
@pytest.mark.parametrize(("n_samples", "most"), [(1, 5), (31, 1), (32, 9), (3000, 7), (64_000, 6000), (64_001, 100)])
def test_peaks_hold_the_loudest_of_every_stretch(tmp_path: Path, encoding: Encoding, n_samples: int, most: int) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(of_noise(encoding, n_samples))
    samples = np.abs(read_audio(path).samples.astype(np.int32))
    drawn = read_peaks(path, a_second=20, most=most)
    assert drawn.duration_ms == n_samples // 8 and len(drawn.levels[0]) <= most
    buckets = max(1, min(most, n_samples * 20 // 8000))
    stretch = -(-n_samples // (buckets * 32)) * 32
    for column, channel in enumerate(drawn.levels):
        loudest = [samples[k : k + stretch, column].max() / 32768 for k in range(0, n_samples, stretch)]
        assert channel == pytest.approx(loudest, abs=6e-4)


@ENCODINGS
def test_any_part_of_a_playable_is_that_part_of_the_whole(tmp_path: Path, encoding: Encoding) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(of_noise(encoding, 150_000))  # more than one piece
    audio = read_audio(path)
    whole = wav_bytes(audio.samples, audio.sample_rate_hz)
    playable = find_playable(path)
    assert playable is not None and playable.size == len(whole)
    for first, last in (
        (0, len(whole) - 1),
        (0, 0),
        (3, 47),
        (44, 44),
        (45, 45),
        (44, 51),
        (999, 300_001),
        (262_187, 262_189),
    ):
        assert b"".join(playable.pieces(first, last)) == whole[first : last + 1], (first, last)


def test_what_is_no_wav_is_no_playable(tmp_path: Path) -> None:
    for content in (b"", b"this is no audio at all", wav_header("alaw", 0)):
        (tmp_path / "x.wav").write_bytes(content)
        assert find_playable(tmp_path / "x.wav") is None
    with pytest.raises(AudioError, match="打不开"):
        find_playable(tmp_path / "none.wav")


def test_duration_is_whole_milliseconds() -> None:
    assert Audio(np.zeros((12_345, 2), np.int16), 8000).duration_ms == 1543
