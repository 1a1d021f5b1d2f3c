"""What we play to callers: audio as 20 ms payloads, their RTP packets, and the tones we make ourselves.

The site's own recordings come from var/prompts; without one: `music` is a quiet melody of bells on five notes, `ringback` the tone of
the Chinese network (450 Hz, 1 s in 5 s, GB/T 3380), `position:N` a call for attention and N short tones, or one long tone
from 10 on, for there is no voice to say a number. `notice` has nothing in its place: it is a text that the site must record.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from callqa.sip.media.codec import Codec

FRAME_MS = 20
SAMPLE_RATE_HZ = 8000
FRAME_SAMPLES = SAMPLE_RATE_HZ * FRAME_MS // 1000
COUNTED_MOST = 9  # more tones than that nobody counts
_HEAD = struct.Struct("!BBHII")

Samples = NDArray[np.int16]
_SCALE_HZ = (392.0, 440.0, 523.25, 587.33, 659.25)  # G A C D E
_MELODY = (2, 4, 3, 2, 0, 1, 2, 4, 3, 1, 2, 0, 1, 3, 4, 2, 1, 0, 2, 1)
_NOTE_S = 0.8


def payloads(samples: Samples, codec: Codec) -> tuple[bytes, ...]:
    """int16 (n,) at 8 kHz as payloads of FRAME_MS each; the last one is filled up with silence."""
    data = codec.encode(samples)
    data += bytes([codec.idle]) * (-len(data) % FRAME_SAMPLES)
    return tuple(data[i : i + FRAME_SAMPLES] for i in range(0, len(data), FRAME_SAMPLES))


@dataclass(slots=True)
class RtpVoice:
    """One source of RTP: its packets have consecutive numbers, and timestamps by a common count of frames, so that a pause
    between two prompts is one on the wire too."""

    payload_type: int
    ssrc: int
    sequence: int
    timestamp: int
    silent: bool = True

    def packet(self, payload: bytes, frame: int) -> bytes:
        """The packet of that frame, counted from any fixed moment. The first after a pause has the marker."""
        marker = 0x80 if self.silent else 0
        self.silent = False
        self.sequence = (self.sequence + 1) & 0xFFFF
        stamp = (self.timestamp + frame * FRAME_SAMPLES) & 0xFFFFFFFF
        return _HEAD.pack(0x80, self.payload_type | marker, self.sequence, stamp, self.ssrc) + payload


def music() -> Samples:
    """int16 (n,) at 8 kHz: 16 s that can be repeated without a seam, peaks at about -20 dBFS."""
    n_note = round(_NOTE_S * SAMPLE_RATE_HZ)
    total = np.zeros(n_note * len(_MELODY))
    ring = 3 * n_note  # a bell sounds on under the next ones
    t = np.arange(ring) / SAMPLE_RATE_HZ
    fade = np.minimum(t / 0.02, 1.0) * np.exp(-t / 0.6) * np.minimum((t[-1] - t) / 0.05, 1.0)
    for i, note in enumerate(_MELODY):
        hz = _SCALE_HZ[note]
        bell = (np.sin(2 * np.pi * hz * t) + 0.3 * np.sin(4 * np.pi * hz * t)) * fade
        at = (i * n_note + np.arange(ring)) % total.size
        total[at] += bell
    return _scaled(total, 0.1)


def ringback() -> Samples:
    """int16 (40 000,) at 8 kHz: one second of 450 Hz, four of silence."""
    tone = np.zeros(5 * SAMPLE_RATE_HZ)
    tone[:SAMPLE_RATE_HZ] = _tone(450.0, 1.0)
    return _scaled(tone, 0.1)


def position(n: int) -> Samples:
    """int16 (n,) at 8 kHz: two rising tones, then n short ones, or one long one where nobody would count them."""
    pause = np.zeros(round(0.25 * SAMPLE_RATE_HZ))
    parts = [_tone(523.25, 0.15), _tone(659.25, 0.25), np.zeros(SAMPLE_RATE_HZ // 2)]
    if n <= COUNTED_MOST:
        for _ in range(n):
            parts += [_tone(880.0, 0.15), pause]
    else:
        parts += [_tone(880.0, 1.2), pause]
    return _scaled(np.concatenate([*parts, pause]), 0.1)


def _tone(hz: float, seconds: float) -> NDArray[np.float64]:
    """float64 (n,) in [-1, 1] with 10 ms of fading at both ends."""
    t = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    fade: NDArray[np.float64] = np.minimum(np.minimum(t, t[-1] - t) / 0.01, 1.0)
    return np.asarray(np.sin(2 * np.pi * hz * t) * fade, np.float64)


def _scaled(values: NDArray[np.float64], peak: float) -> Samples:
    return np.rint(values / np.abs(values).max() * peak * 32767).astype(np.int16)
