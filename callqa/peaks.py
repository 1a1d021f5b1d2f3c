"""How loud a recording is from stretch to stretch, for drawing its waveform."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from callqa.audiofile import Samples, decode_audio, g711_table, read_bytes, read_law

_LANES: Final = 32  # samples compared side by side


@dataclass(frozen=True, slots=True)
class Peaks:
    """levels: the loudest of every stretch, [n_channels][n] in [0, 1] with 3 decimals."""

    levels: list[list[float]]
    duration_ms: int


def read_peaks(path: Path, *, a_second: int, most: int) -> Peaks:
    """About `a_second` values a second, `most` in all; a stretch is a multiple of 32 samples (but for the last one).

    The bytes of a G.711 recording are compared as they are: half an hour takes some tens of milliseconds. Raise AudioError.
    """
    data = read_bytes(path)
    law = read_law(data)
    if law is None:
        audio = decode_audio(data, str(path))
        n_samples, rate = len(audio.samples), audio.sample_rate_hz
        return Peaks(_peaks(audio.samples, _stretch(n_samples, rate, a_second, most)), audio.duration_ms)
    key = 0x55 if law.law == "alaw" else 0xFF
    ranks = law.samples ^ np.uint8(key)
    ranks &= np.uint8(0x7F)  # the sign taken away, what is left grows with the magnitude
    loudest = _largest(ranks, _stretch(len(ranks), law.sample_rate_hz, a_second, most))
    magnitudes = np.abs(g711_table(law.law)[np.arange(128) ^ key].astype(np.int32))
    return Peaks(_as_shares(magnitudes[loudest]), len(ranks) * 1000 // law.sample_rate_hz)


def _peaks(samples: Samples, stretch: int) -> list[list[float]]:
    high, low = _largest(samples, stretch).astype(np.int32), _largest(~samples, stretch).astype(np.int32) + 1
    return _as_shares(np.maximum(high, low))


def _stretch(n_samples: int, rate: int, a_second: int, most: int) -> int:
    buckets = max(1, min(most, n_samples * a_second // rate))
    return -(-n_samples // (buckets * _LANES)) * _LANES


def _largest(values: NDArray[Any], stretch: int) -> NDArray[Any]:
    """(n_buckets, n_channels): the largest of each `stretch` rows. In lanes, so that the inner loop is a long one."""
    n_channels = values.shape[1]
    n_whole = len(values) // stretch
    whole = np.ascontiguousarray(values[: n_whole * stretch]).reshape(n_whole, stretch // _LANES, _LANES * n_channels)
    largest = whole.max(axis=1).reshape(n_whole, _LANES, n_channels).max(axis=1)
    rest = values[n_whole * stretch :]
    return np.concatenate([largest, rest.max(axis=0, keepdims=True)]) if len(rest) else largest


def _as_shares(magnitudes: NDArray[Any]) -> list[list[float]]:
    shares: list[list[float]] = np.round(magnitudes / 32768.0, 3).T.tolist()
    return shares
