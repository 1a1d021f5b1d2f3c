"""A tone in place of what was said: stretches of a WAV file's bytes replaced, all its other bytes as they were. Pure.

G.711 stays G.711 and 16-bit PCM stays 16-bit PCM; every channel is replaced, since a loud voice is heard on the other
channel too. Files of other formats are refused.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from callqa.audiofile import find_samples
from callqa.errors import AudioError
from callqa.sip.media.codec import codec_of_encoding
from callqa.speech import Span

TONE_HZ = 1000
TONE_PEAK = 3277  # -20 dBFS: as loud as speech, not louder
_RAMP_MS = 4  # begins and ends without a click


def beep(wav: bytes, spans: Sequence[Span]) -> bytes:
    """The file with a tone on every channel during the spans; what lies outside the recording is cut off.

    Raise AudioError (Chinese) for anything but a G.711 or 16-bit PCM WAV.
    """
    place = find_samples(wav)
    if place is None:
        raise AudioError("这份录音不是 G.711 或 16 位 PCM 的 WAV，不能消音导出；请联系管理员")
    codec = codec_of_encoding(place.encoding)
    sample = np.dtype(np.uint8 if codec else "<i2")
    n_values = (place.end - place.start) // sample.itemsize
    samples = np.frombuffer(wav, sample, n_values, place.start).reshape(-1, place.n_channels).copy()
    for span in spans:
        first = span.start_ms * place.sample_rate_hz // 1000
        last = min(len(samples), -(-span.end_ms * place.sample_rate_hz // 1000))
        if first < last:
            made = tone(last - first, place.sample_rate_hz)
            samples[first:last] = (np.frombuffer(codec.encode(made), np.uint8) if codec else made)[:, None]
    return wav[: place.start] + samples.tobytes() + wav[place.end :]


def tone(n_samples: int, sample_rate_hz: int) -> NDArray[np.int16]:
    """int16 (n_samples,): the tone, rising and falling within a few milliseconds."""
    at = np.arange(n_samples)
    ramp = max(1, _RAMP_MS * sample_rate_hz // 1000)
    level = np.minimum(1.0, np.minimum(at + 1, n_samples - at) / ramp)
    return np.rint(TONE_PEAK * level * np.sin(2 * np.pi * TONE_HZ * at / sample_rate_hz)).astype(np.int16)
