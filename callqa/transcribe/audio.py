"""One channel of a recording as the engine wants it: float32 at 16 000 Hz, without the other side's echo.

Pure. Does not decide what is speech (vad.py). In parts of _AT_ONCE samples, so that a long call costs little more memory than
its audio.
"""

from math import gcd
from typing import Final

import numpy as np
from numpy.typing import NDArray

from callqa.audiofile import Samples

Float = NDArray[np.float32]

ENGINE_RATE_HZ: Final = 16_000
_AT_ONCE: Final = 1 << 19
_TAPS_PER_SIDE: Final = 16  # of the slower rate: passband to 0.9 of Nyquist, images below -60 dB

FRAME_MS: Final = 20
ECHO_BELOW_DB: Final = 18.0  # a citizen who speaks is hardly ever this far below the agent; an echo is
ECHO_TAIL_MS: Final = 240  # ITU-T G.131: longest round trip on a terrestrial path before an echo canceller is a must
SPEAKING_DBFS: Final = -45.0  # an agent's frame above this is voice, not room noise


def to_engine_rate(samples: Float, sample_rate_hz: int) -> Float:
    """Resample float32 (n_samples,) at `sample_rate_hz` to 16 000 Hz by a polyphase windowed sinc."""
    if sample_rate_hz == ENGINE_RATE_HZ or not len(samples):
        return samples.astype(np.float32)
    common = gcd(ENGINE_RATE_HZ, sample_rate_hz)
    up, down = ENGINE_RATE_HZ // common, sample_rate_hz // common
    slowest = max(1.0, down / up)  # input samples per period of the lower rate
    half = int(np.ceil(_TAPS_PER_SIDE * slowest))
    out = np.empty(-(-len(samples) * up // down), np.float32)
    steps = max(1, _AT_ONCE // down)  # a part begins where the phases do
    for part in range(0, len(out), steps * up):
        mine = out[part : part + steps * up]
        begin = part // up * down
        padded = _between(samples, begin - half + 1, begin + steps * down + half + down)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half)
        for first in range(min(up, len(mine))):  # outputs first, first+up, ... share one phase and step `down` inputs
            base, phase = divmod(first * down, up)
            count = len(range(first, len(mine), up))
            taps = _sinc_taps(phase / up, half, slowest)
            mine[first::up] = windows[base : base + (count - 1) * down + 1 : down] @ taps
    return out


def _between(samples: Float, start: int, stop: int) -> Float:
    """float32 (stop - start,): that part of the samples, zeros before the first and after the last."""
    out = np.zeros(stop - start, np.float32)
    inside = samples[max(0, start) : max(0, stop)]
    out[max(0, -start) : max(0, -start) + len(inside)] = inside
    return out


def _sinc_taps(offset: float, half: int, slowest: float) -> Float:
    """float32 (2 * half,): Hann-windowed sinc for an output `offset` of an input sample after the window's centre."""
    distance = np.arange(1 - half, half + 1) - offset
    cutoff = 0.95 / slowest
    taps = np.sinc(distance * cutoff) * cutoff * (0.5 + 0.5 * np.cos(np.pi * np.clip(distance / half, -1, 1)))
    return (taps / taps.sum()).astype(np.float32)


def frame_levels_dbfs(samples: Float, sample_rate_hz: int, frame_ms: int = FRAME_MS) -> Float:
    """RMS level of each whole or begun frame of float32 (n_samples,) in [-1, 1]; silence is -100."""
    size = sample_rate_hz * frame_ms // 1000
    power = np.empty(-(-len(samples) // size), np.float32)
    at_once = max(1, _AT_ONCE // size)
    for start in range(0, len(power), at_once):
        stop = min(start + at_once, len(power))
        frames = _between(samples, start * size, stop * size).reshape(-1, size)
        power[start:stop] = np.mean(np.square(frames, out=frames), axis=1)
    return (10 * np.log10(np.maximum(power, 1e-10))).astype(np.float32)


def without_echo(citizen: Float, agent: Float, sample_rate_hz: int) -> Float:
    """The citizen's channel with frames muted that can only be the agent's echo.

    A frame is muted when the agent speaks (now, or up to ECHO_TAIL_MS before) and the citizen's channel is more than
    ECHO_BELOW_DB below; the gain moves within one frame, so nothing clicks. Same length as `citizen`.
    """
    mine, theirs = (frame_levels_dbfs(x, sample_rate_hz) for x in (citizen, agent))
    n = min(len(mine), len(theirs))
    if not n:
        return citizen
    tail = ECHO_TAIL_MS // FRAME_MS
    history = np.pad(theirs[:n], (tail, 0), constant_values=-100.0)
    loudest = np.lib.stride_tricks.sliding_window_view(history, tail + 1).max(axis=1)
    gain = np.ones(len(mine), np.float32)
    gain[:n] = ~((loudest > SPEAKING_DBFS) & (mine[:n] < loudest - ECHO_BELOW_DB))
    return _with_gain(citizen, gain, sample_rate_hz * FRAME_MS // 1000)


def _with_gain(samples: Float, gain: Float, size: int) -> Float:
    """Each frame of `size` samples by its gain, reached in its middle and moved linearly in between."""
    centres = (np.arange(len(gain)) + 0.5) * size
    out = np.empty(len(samples), np.float32)
    for start in range(0, len(samples), _AT_ONCE):
        part = samples[start : start + _AT_ONCE]
        out[start : start + len(part)] = part * np.interp(np.arange(start, start + len(part)), centres, gain)
    return out


def channel_float(samples: Samples, channel: int) -> Float:
    """One column of int16 (n_samples, n_channels) as float32 in [-1, 1)."""
    out = samples[:, channel].astype(np.float32)
    out *= np.float32(1 / 32768)
    return out
