"""Comfort noise 舒适噪声 (RFC 3389): what a sender that suppresses silence means by it, made again where it sent no audio.

Only the level is used; the spectrum that may follow it is not. The noise is the same on every run and machine.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from callqa.sip.media.codec import Codec
from callqa.sip.media.gapmap import Silence

TYPES = (13, 19)  # RFC 3389 §4, and the number drafts had before
CLOCK_RATE_HZ = 8000
LOUDEST_DB = 30  # below full scale; whoever says that his silence is louder is not believed
REACH = CLOCK_RATE_HZ // 2  # a packet says what follows, and is here soon after the silence began

_TABLE = np.frombuffer(hashlib.shake_128(b"comfort noise").digest(2 * CLOCK_RATE_HZ), np.int8).astype(np.float64)
_NOISE = _TABLE / np.sqrt(np.mean(_TABLE**2)) * 32768


@dataclass(frozen=True, slots=True, eq=False)
class Comfort:
    """Packets of one stream in order of arrival: int64 (n,) each. at: samples on the timeline; level: dB below full scale."""

    at: NDArray[np.int64]
    level: NDArray[np.int64]

    def within(self, silence: Silence) -> Iterator[tuple[int, int, int]]:
        """(start, end, level) of each piece of a silence that these packets speak of, in order."""
        first, last = np.searchsorted(self.at, (silence.start - REACH, silence.end))
        if first == last:
            return
        starts = np.maximum(self.at[first:last], silence.start)
        if starts[0] - silence.start <= REACH:
            starts[0] = silence.start
        ends = np.append(starts[1:], silence.end)
        for start, end, level in zip(starts.tolist(), ends.tolist(), self.level[first:last].tolist(), strict=True):
            if start < end:
                yield start, end, level


def write_noise(out: NDArray[np.generic], start: int, end: int, level: int, raw: Codec | None) -> None:
    """Noise into [start, end) of one column: codes of a law, int16 samples, or cells of several samples a tick."""
    size = out.dtype.itemsize // 2 if out.dtype.kind == "V" else 1
    scale = 10 ** (-max(level, LOUDEST_DB) / 20)
    samples = np.rint(np.resize(np.roll(_NOISE, -(start * size % _NOISE.size)), (end - start) * size) * scale)
    samples = np.clip(samples, -32768, 32767).astype("<i2")
    if raw is not None:
        out[start:end] = raw.encode_table[samples.view(np.uint16)]
    else:
        out[start:end] = samples.view(out.dtype)
