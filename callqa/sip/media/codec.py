"""Codecs the recorder can decode: one row each. G.711 A-law and mu-law as tables at full 16-bit fidelity.

The tables are computed from the quantiser that ITU-T G.711 defines (tables 1a/1b and 2a/2b): eight segments a
sign, sixteen steps a segment. A-law has 13 significant bits and mu-law 14; both are shifted up to 16-bit samples.

Does not do: packet loss concealment, G.722, Opus. A payload of another codec stays in the spool undecoded.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Encoding = Literal["alaw", "ulaw", "pcm16"]


def _alaw_magnitudes() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """int32 (128,) output values and (128,) lower decision values of the positive A-law codes, 16-bit scale."""
    code = np.arange(128)
    segment, step = code >> 4, code & 15
    # Segments 0 and 1 share the step of 16; from segment 1 on a leading one stands before the four step bits.
    width = 16 << np.maximum(segment - 1, 0)
    low = np.where(segment == 0, step * 16, (16 + step) * width)
    return (low + width // 2).astype(np.int32), low.astype(np.int32)


def _ulaw_magnitudes() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """int32 (128,) output values and (128,) lower decision values of the positive mu-law codes, 16-bit scale."""
    code = np.arange(128)
    segment, step = code >> 4, code & 15
    # G.711 adds a bias of 33 (in 14 bits) so that segments double exactly; 33 << 2 = 132 in 16 bits.
    width = 8 << segment
    value = ((2 * step + 33) << segment) * 4 - 132
    return value.astype(np.int32), np.maximum(value - width // 2, 0).astype(np.int32)


def _decode_table(values: NDArray[np.int32], flip: int) -> NDArray[np.int16]:
    """int16 (256,): sample of every code on the wire. flip: the bits that the wire inverts."""
    sent = np.arange(256) ^ flip
    return np.where(sent & 0x80, values[sent & 0x7F], -values[sent & 0x7F]).astype(np.int16)


def _encode_table(lower: NDArray[np.int32], flip: int) -> NDArray[np.uint8]:
    """uint8 (65536,): code of every int16 sample, indexed by the sample read as uint16."""
    sample = np.arange(65536).astype(np.uint16).view(np.int16).astype(np.int32)
    code = np.searchsorted(lower, np.abs(sample), side="right") - 1
    return ((code | np.where(sample >= 0, 0x80, 0)) ^ flip).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Codec:
    """One codec. clock_rate_hz is RTP's clock, sample_rate_hz the audio's (they differ for G.722).

    idle: the byte that stands for silence; wav_format: the WAVE format tag of its raw bytes.
    """

    name: str
    payload_type: int
    clock_rate_hz: int
    sample_rate_hz: int
    encoding: Encoding
    wav_format: int
    idle: int
    decode_table: NDArray[np.int16]
    encode_table: NDArray[np.uint8]

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        """int16 (len(payload),) at sample_rate_hz."""
        return self.decode_table[np.frombuffer(payload, np.uint8)]

    def encode(self, samples: NDArray[np.int16]) -> bytes:
        """One byte a sample of int16 (n,)."""
        return self.encode_table[np.ascontiguousarray(samples, np.int16).view(np.uint16)].tobytes()


def _g711(name: str, payload_type: int, encoding: Encoding, wav_format: int, flip: int) -> Codec:
    values, lower = _alaw_magnitudes() if encoding == "alaw" else _ulaw_magnitudes()
    encode_table = _encode_table(lower, flip)
    decode_table = _decode_table(values, flip)
    encode_table.setflags(write=False)
    decode_table.setflags(write=False)
    idle = int(encode_table[0])
    return Codec(name, payload_type, 8000, 8000, encoding, wav_format, idle, decode_table, encode_table)


PCMU = _g711("PCMU", 0, "ulaw", 7, 0x7F)  # segment and step bits are inverted on the wire
PCMA = _g711("PCMA", 8, "alaw", 6, 0x55)  # even bits inverted on the wire

CODECS = (PCMU, PCMA)
_BY_NAME = {f"{codec.name}/{codec.clock_rate_hz}": codec for codec in CODECS}
_BY_STATIC_TYPE = {codec.payload_type: codec for codec in CODECS}


def codec_named(rtpmap: str) -> Codec | None:
    """The codec of an rtpmap name such as `PCMA/8000` or `pcma/8000/1`, or None."""
    name, _, rest = rtpmap.partition("/")
    rate = rest.split("/")[0] or "8000"
    return _BY_NAME.get(f"{name.upper()}/{rate}")


def codec_of_type(payload_type: int, codecs: tuple[tuple[int, str], ...]) -> Codec | None:
    """The codec of a payload type under an agreed map; 0 and 8 mean G.711 even when the map is silent (RFC 3551 §6)."""
    for number, rtpmap in codecs:
        if number == payload_type:
            return codec_named(rtpmap)
    return _BY_STATIC_TYPE.get(payload_type)


def codec_of_encoding(encoding: str) -> Codec | None:
    """The codec whose raw bytes a WAV of this encoding holds; None for `pcm16`."""
    return next((codec for codec in CODECS if codec.encoding == encoding), None)
