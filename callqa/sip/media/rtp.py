"""RTP packets (RFC 3550 §5.1) read from bytes.

`parse_rtp` is total: any bytes give a packet or ProtocolError. Payloads are not looked into; unwrapping of numbers and
the figures of a stream are in streams.py. Does not do: RTCP, SRTP. Header extensions are stepped over, not read.
"""

import struct
from dataclasses import dataclass

from callqa.errors import ProtocolError

HEADER_BYTES = 12
# The longest G.711 frame anybody sends is 200 ms = 1600 bytes; four times that is no telephone audio any more.
MAX_PAYLOAD_BYTES = 6400

_FIXED = struct.Struct("!BBHII")


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet. sequence is 16 bits, timestamp and ssrc 32 bits, as on the wire."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def parse_rtp(data: bytes) -> RtpPacket:
    """Parse one datagram. Raise ProtocolError when it is no RTP version 2 packet."""
    size = len(data)
    if size < HEADER_BYTES:
        raise ProtocolError(f"RTP header is {size} bytes, needs {HEADER_BYTES}")
    first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(data)
    if first & 0xC0 != 0x80:
        raise ProtocolError(f"RTP version is {first >> 6}, needs 2")
    start, end = HEADER_BYTES, size
    if first & 0x3F:  # padding, extension or contributing sources: rare on the telephone
        start, end = _payload_bounds(data, first)
    return RtpPacket(second & 0x7F, second >= 0x80, sequence, timestamp, ssrc, data[start:end])


def _payload_bounds(data: bytes, first: int) -> tuple[int, int]:
    start, end = HEADER_BYTES + 4 * (first & 0x0F), len(data)
    if first & 0x10:
        if end < start + 4:
            raise ProtocolError(f"RTP extension header ends at {start + 4}, packet is {end} bytes")
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    if start > end:
        raise ProtocolError(f"RTP payload starts at {start}, packet is {end} bytes")
    if first & 0x20:
        padding = data[-1] if end > start else 0
        if not 1 <= padding <= end - start:
            raise ProtocolError(f"RTP padding is {padding} bytes, payload has {end - start}")
        end -= padding
    return start, end


def build_rtp(packet: RtpPacket) -> bytes:
    """The bytes of a packet without padding, extension or contributing sources."""
    second = packet.payload_type | (0x80 if packet.marker else 0)
    return _FIXED.pack(0x80, second, packet.sequence, packet.timestamp, packet.ssrc) + packet.payload
