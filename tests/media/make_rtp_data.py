"""Makes the golden streams of tests/data/rtp again: `python -m tests.media.make_rtp_data`. FFmpeg's encoders through PyAV.

A stream is a file of packets, each with its length in two bytes before it; 20 ms a packet, payload types as named.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from callqa.sip.media.rtp import RtpPacket, build_rtp

FOLDER = Path(__file__).parent.parent / "data" / "rtp"
TONE_HZ, PEAK = 440, 8000


def tone(rate_hz: int, n_samples: int) -> np.ndarray:
    """int16 (n,) of 440 Hz."""
    return np.rint(PEAK * np.sin(2 * np.pi * TONE_HZ * np.arange(n_samples) / rate_hz)).astype(np.int16)


def encoded(encoder: str, rate_hz: int, frames: int, **options: int) -> Iterator[bytes]:
    """One payload for each 20 ms of tone."""
    context = av.CodecContext.create(encoder, "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.format = rate_hz, "mono", "s16"
    for name, value in options.items():
        setattr(context, name, value)
    size = rate_hz // 50
    samples = tone(rate_hz, size * frames)
    for at in range(0, samples.size, size):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples[None, at : at + size]), format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts = rate_hz, at
        yield from map(bytes, context.encode(frame))


def stream(payloads: Iterator[bytes], payload_type: int, ticks: int) -> bytes:
    parts = []
    for k, payload in enumerate(payloads):
        packet = build_rtp(
            RtpPacket(payload_type, k == 0, 65_530 + k & 0xFFFF, 4_294_960_000 + ticks * k & 0xFFFF_FFFF, 7, payload)
        )
        parts.append(struct.pack("!H", len(packet)) + packet)
    return b"".join(parts)


def read_stream(name: str) -> list[bytes]:
    """The packets of one file."""
    data, at, found = (FOLDER / name).read_bytes(), 0, []
    while at < len(data):
        size = struct.unpack_from("!H", data, at)[0]
        found.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return found


def amr_aligned(frame: bytes) -> bytes:
    """RFC 4867 §4.4: no mode request, one frame."""
    return b"\xf0" + frame


def amr_compact(frame: bytes) -> bytes:
    """RFC 4867 §4.3: four bits of request, six of contents, then the frame's bits."""
    kind = frame[0] >> 3 & 15
    bits = (95, 103, 118, 134, 148, 159, 204, 244)[kind]
    speech = int.from_bytes(frame[1:], "big") >> (8 * (len(frame) - 1) - bits)
    whole = (0xF << 6 | kind << 1 | 1) << bits | speech
    size = -(-(10 + bits) // 8)
    return (whole << (size * 8 - 10 - bits)).to_bytes(size, "big")


def main() -> None:
    amr = list(encoded("libopencore_amrnb", 8000, 50, bit_rate=12_200))
    made = {
        "g722.stream": stream(encoded("g722", 16_000, 50), 9, 160),
        "opus.stream": stream(encoded("libopus", 48_000, 50, bit_rate=24_000), 111, 960),
        "amr_aligned.stream": stream(map(amr_aligned, amr), 97, 160),
        "amr_compact.stream": stream(map(amr_compact, amr), 97, 160),
    }
    for name, data in made.items():
        (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    main()
