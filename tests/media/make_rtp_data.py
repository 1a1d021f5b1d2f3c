"""Makes the golden streams of tests/data/rtp again: `python -m tests.media.make_rtp_data`. FFmpeg's encoders through PyAV; G.729 and
GSM, which have none there, by Debian's libbcg729-0 and libgsm1, whose own decoders say what a stream should sound like.

A stream is a file of packets, each with its length in two bytes before it; 20 ms a packet, payload types as named.
"""

import ctypes
import struct
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from callqa.sip.media.codec import PCMA
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


# Formants of a, i, u, e in Hz.
_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))


def speech(rate_hz: int = 8000) -> np.ndarray:
    """int16 (2 * rate_hz,) of six vowels with gaps between: pulses of a gliding pitch and some breath through formants, which is what
    the codecs of telephones are built for (a tone is not)."""
    rng = np.random.default_rng(7)
    parts = []
    for k in range(6):
        n = rate_hz * 3 // 10
        pitch_hz = 120 + 30 * np.sin(np.linspace(0, 3, n) + k)
        voice = 40 * np.diff(np.floor(np.cumsum(pitch_hz) / rate_hz), prepend=0.0) + rng.normal(0, 0.3, n)
        for formant_hz in _VOWELS[k % 4]:
            voice = _resonate(voice, formant_hz / rate_hz, 90 / rate_hz)
        voice *= np.sqrt(np.sin(np.linspace(0, np.pi, n)))
        parts += [voice / np.abs(voice).max(), np.zeros(rate_hz // 30)]
    whole = np.concatenate(parts)
    return np.rint(9000 * np.pad(whole, (0, 2 * rate_hz - whole.size))).astype(np.int16)


def _resonate(x: np.ndarray, frequency: float, width: float) -> np.ndarray:
    """One formant; both in cycles a sample."""
    radius = np.exp(-np.pi * width)
    first, second = 2 * radius * np.cos(2 * np.pi * frequency), -radius * radius
    made, before, earlier = [], 0.0, 0.0
    for value in x.tolist():
        before, earlier = value + first * before + second * earlier, before
        made.append(before)
    return np.array(made)


def g729_speech() -> tuple[list[bytes], np.ndarray]:
    """Payloads of two frames each, and how the same library hears them."""
    lib = ctypes.CDLL("libbcg729.so.0")
    lib.initBcg729EncoderChannel.restype = lib.initBcg729DecoderChannel.restype = ctypes.c_void_p
    coder = ctypes.c_void_p(lib.initBcg729EncoderChannel(0))  # without comfort noise
    decoder = ctypes.c_void_p(lib.initBcg729DecoderChannel())
    frames, heard = [], []
    for part in speech().reshape(-1, 80):
        frame, size, samples = ctypes.create_string_buffer(10), ctypes.c_uint8(), np.zeros(80, np.int16)
        lib.bcg729Encoder(coder, np.ascontiguousarray(part).ctypes.data_as(ctypes.c_void_p), frame, ctypes.byref(size))
        lib.bcg729Decoder(decoder, frame, 10, 0, 0, 0, samples.ctypes.data_as(ctypes.c_void_p))
        frames.append(frame.raw)
        heard.append(samples)
    return [a + b for a, b in zip(frames[::2], frames[1::2], strict=True)], np.concatenate(heard)


def gsm_speech() -> tuple[list[bytes], np.ndarray]:
    """The same of GSM full rate."""
    lib = ctypes.CDLL("libgsm.so.1")
    lib.gsm_create.restype = ctypes.c_void_p
    coder, decoder = ctypes.c_void_p(lib.gsm_create()), ctypes.c_void_p(lib.gsm_create())
    frames, heard = [], []
    for part in speech().reshape(-1, 160):
        frame, samples = ctypes.create_string_buffer(33), np.zeros(160, np.int16)
        lib.gsm_encode(coder, np.ascontiguousarray(part).ctypes.data_as(ctypes.c_void_p), frame)
        lib.gsm_decode(decoder, frame, samples.ctypes.data_as(ctypes.c_void_p))
        frames.append(frame.raw)
        heard.append(samples)
    return frames, np.concatenate(heard)


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
    g729, g729_heard = g729_speech()
    gsm, gsm_heard = gsm_speech()
    amr = list(encoded("libopencore_amrnb", 8000, 50, bit_rate=12_200))
    made = {
        "g722.stream": stream(encoded("g722", 16_000, 50), 9, 160),
        "opus.stream": stream(encoded("libopus", 48_000, 50, bit_rate=24_000), 111, 960),
        "amr_aligned.stream": stream(map(amr_aligned, amr), 97, 160),
        "amr_compact.stream": stream(map(amr_compact, amr), 97, 160),
        "g729.stream": stream(iter(g729), 18, 160),
        "g729_heard.alaw": PCMA.encode(g729_heard),
        "gsm.stream": stream(iter(gsm), 3, 160),
        "gsm_heard.alaw": PCMA.encode(gsm_heard),
    }
    for name, data in made.items():
        (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    main()
