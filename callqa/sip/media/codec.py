"""Codecs the recorder can decode: one row each. G.711 A-law and mu-law as tables at full 16-bit fidelity, the others
(PACKED) through PyAV, a whole stream at a time because their decoders remember.

The tables are computed from the quantiser that ITU-T G.711 defines (tables 1a/1b and 2a/2b): eight segments a
sign, sixteen steps a segment. A-law has 13 significant bits and mu-law 14; both are shifted up to 16-bit samples.

Does not do: packet loss concealment. A payload of a codec without a row stays in the spool undecoded.
"""

from collections.abc import Callable, Sequence
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


@dataclass(frozen=True, slots=True)
class PackedCodec:
    """A codec that PyAV decodes. names: of its rtpmap; clock_rate_hz is RTP's clock, sample_rate_hz the audio's.

    payload_type: its static number (RFC 3551), -1 when it has none; split: a payload as what the decoder takes.
    """

    name: str
    names: tuple[str, ...]
    decoder: str
    payload_type: int
    clock_rate_hz: int
    sample_rate_hz: int
    split: Callable[[bytes], tuple[bytes, ...]]

    def decode(self, payloads: Sequence[bytes]) -> list[NDArray[np.int16]]:
        """int16 (n,) of each payload of one stream, in order of sending. Raise AudioError without the decoder."""
        from callqa.audiofile import decode_payloads  # PyAV: only when such a call comes along

        pieces = [self.split(payload) for payload in payloads]
        decoded = decode_payloads(self.decoder, [piece for each in pieces for piece in each], self.sample_rate_hz)
        found, at = [], 0
        for each in pieces:
            parts = decoded[at : at + len(each)]
            at += len(each)
            found.append(np.concatenate(parts) if parts else np.zeros(0, np.int16))
        return found


def _whole(payload: bytes) -> tuple[bytes, ...]:
    return (payload,)


def _gsm_frames(payload: bytes) -> tuple[bytes, ...]:
    """RFC 3551 §4.5.8: frames of 33 bytes that begin with 1101."""
    frames = tuple(payload[at : at + 33] for at in range(0, len(payload) - 32, 33))
    return frames if len(payload) % 33 == 0 and all(frame[0] >> 4 == 0xD for frame in frames) else ()


def _g729_frames(payload: bytes) -> tuple[bytes, ...]:
    """RFC 3551 §4.5.6: frames of 10 bytes; a last one of 2 bytes is comfort noise, which is no audio."""
    return tuple(payload[at : at + 10] for at in range(0, len(payload) - 9, 10)) if len(payload) % 10 in (0, 2) else ()


# Bits of a speech frame by its type (RFC 4867 §3.6): eight modes, then comfort noise (8). 15 is no data.
_AMR_BITS = {0: 95, 1: 103, 2: 118, 3: 134, 4: 148, 5: 159, 6: 204, 7: 244, 8: 39, 15: 0}


def _amr_frames(payload: bytes) -> tuple[bytes, ...]:
    """RFC 4867 §4.3 and §4.4 → storage frames (table of contents byte, then data), speech only.

    Which of the two forms was agreed stands in the fmtp line, which a capture may lack: the octet-aligned form has
    seven bits that are zero and an exact length, so it is tried first.
    """
    return _amr_octet_aligned(payload) or _amr_compact(payload)


def _amr_octet_aligned(payload: bytes) -> tuple[bytes, ...]:
    if len(payload) < 2 or payload[0] & 0x0F:
        return ()
    contents, at = [], 1
    while at < len(payload):
        contents.append(payload[at])
        at += 1
        if not contents[-1] & 0x80:
            break
    frames = []
    for entry in contents:
        bits = _AMR_BITS.get(entry >> 3 & 15)
        if bits is None or entry & 3:
            return ()
        size = (bits + 7) // 8
        if entry >> 3 & 15 < 8:
            frames.append(bytes([entry & 0x7C]) + payload[at : at + size])
        at += size
    return tuple(frames) if at == len(payload) else ()


def _amr_compact(payload: bytes) -> tuple[bytes, ...]:
    """The bandwidth-efficient form: four bits of request, six bits a frame of contents, then the frames, packed."""
    total = len(payload) * 8
    value = int.from_bytes(payload, "big")

    def take(at: int, count: int) -> int:
        return value >> (total - at - count) & ((1 << count) - 1)

    contents, at = [], 4
    while at + 6 <= total:
        contents.append(take(at, 6))
        at += 6
        if not contents[-1] & 0x20:
            break
    frames = []
    for entry in contents:
        kind = entry >> 1 & 15
        bits = _AMR_BITS.get(kind)
        if bits is None or at + bits > total:
            return ()
        if kind < 8:
            size = (bits + 7) // 8
            frames.append(
                bytes([kind << 3 | (entry & 1) << 2]) + (take(at, bits) << (size * 8 - bits)).to_bytes(size, "big")
            )
        at += bits
    return tuple(frames) if total - at < 8 else ()


G722 = PackedCodec("G722", ("G722/8000",), "g722", 9, 8000, 16000, _whole)  # its clock is 8000 by mistake, RFC 3551
OPUS = PackedCodec("opus", ("OPUS/48000",), "libopus", -1, 48000, 48000, _whole)  # RFC 7587: always 48000
GSM = PackedCodec("GSM", ("GSM/8000",), "gsm", 3, 8000, 8000, _gsm_frames)
G729 = PackedCodec("G729", ("G729/8000", "G729A/8000"), "g729", 18, 8000, 8000, _g729_frames)
AMR = PackedCodec("AMR", ("AMR/8000",), "amrnb", -1, 8000, 8000, _amr_frames)

PACKED = (G722, OPUS, GSM, G729, AMR)


def heard_of(offered: tuple[tuple[int, str], ...]) -> tuple[tuple[int, str], ...]:
    """What is taken of an offer where we only listen: one voice format, the first that can be decoded, else the first, since raw
    packets are better than nothing; and telephone-event where it is offered. () when there is no voice format."""
    voice = [c for c in offered if not c[1].startswith(("telephone-event", "CN/"))]
    known = [c for c in voice if codec_of_type(c[0], offered) or packed_of_type(c[0], offered)]
    events = [c for c in offered if c[1].startswith("telephone-event")][:1]
    return (*(known or voice)[:1], *events) if voice else ()


def packed_of_type(payload_type: int, codecs: tuple[tuple[int, str], ...]) -> PackedCodec | None:
    """The PyAV codec of a payload type under an agreed map; static numbers even when the map is silent."""
    for number, rtpmap in codecs:
        if number == payload_type:
            name, _, rest = rtpmap.partition("/")
            wanted = f"{name.upper()}/{rest.split('/')[0] or '8000'}"
            return next((codec for codec in PACKED if wanted in codec.names), None)
    return next((codec for codec in PACKED if codec.payload_type == payload_type >= 0), None)
