"""Capture files: classic pcap (micro- and nanoseconds, both byte orders) and pcapng, read from bytes and pcap written.

`read_frames` is total: a file that is cut off or damaged gives the frames before the damage; only a file that is no
capture at all is refused (ImportFileError, Chinese). pcapng: section headers, interfaces with their own clock unit,
enhanced, simple and the old packet blocks; all other blocks are stepped over. Layers above are in layers.py.

Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from callqa.errors import ImportFileError

RAW_IP = 101  # LINKTYPE_RAW
# Larger than any snapshot length in use (262 144 is tcpdump's); beyond it a length field is damage.
MAX_FRAME_BYTES = 1 << 20
LATEST_NS = 1 << 62  # in the year 2116; a later time is damage, and does not fit where instants are kept

_PCAP = {  # magic → (byte order, nanoseconds a tick of the fraction)
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_INTERFACE, _OLD_PACKET, _SIMPLE, _ENHANCED = 1, 2, 3, 6
_TIME_RESOLUTION, _TIME_OFFSET = 9, 14  # if_tsresol, if_tsoffset
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured frame. at_ns: since 1970 UTC; link: LINKTYPE number; data may be shorter than what was sent."""

    at_ns: int
    link: int
    data: bytes


def is_capture(head: bytes) -> bool:
    """Whether a file that starts with these bytes is a capture."""
    return head[:4] in _PCAP or head[:4] == _PCAPNG


def read_frames(data: bytes) -> Iterator[Frame]:
    """Every frame in file order. Raise ImportFileError when it is no capture file."""
    if data[:4] in _PCAP or data[:4] == _PCAPNG:
        found = _read_pcap(data) if data[:4] in _PCAP else _read_pcapng(data)
        return (frame for frame in found if 0 <= frame.at_ns < LATEST_NS)
    what = "是压缩文件，请先解压" if data[:2] == b"\x1f\x8b" else "不是抓包文件"
    raise ImportFileError(f"{what}；请用 Wireshark 或 tcpdump 保存为 pcap 或 pcapng")


def _read_pcap(data: bytes) -> Iterator[Frame]:
    order, tick_ns = _PCAP[data[:4]]
    if len(data) < 24:
        return
    link = struct.unpack_from(f"{order}I", data, 20)[0] & 0x0FFF_FFFF  # the upper bits tell the FCS length
    head = struct.Struct(f"{order}IIII")
    position = 24
    while position + head.size <= len(data):
        seconds, fraction, kept, _ = head.unpack_from(data, position)
        position += head.size
        if kept > MAX_FRAME_BYTES or position + kept > len(data):
            return
        yield Frame(seconds * _NS + fraction * tick_ns, link, bytes(data[position : position + kept]))
        position += kept


@dataclass(frozen=True, slots=True)
class _Interface:
    link: int
    ticks_a_second: int = 1_000_000
    offset_s: int = 0

    def at_ns(self, high: int, low: int) -> int:
        return self.offset_s * _NS + ((high << 32) | low) * _NS // self.ticks_a_second


def _read_pcapng(data: bytes) -> Iterator[Frame]:
    order = "<"
    interfaces: list[_Interface] = []
    position, last_ns = 0, 0
    while position + 12 <= len(data):
        kind_bytes = data[position : position + 4]
        if kind_bytes == _PCAPNG:
            order = ">" if data[position + 8 : position + 12] == b"\x1a\x2b\x3c\x4d" else "<"
            interfaces = []
        kind, length = struct.unpack_from(f"{order}II", data, position)
        if length < 12 or length % 4 or position + length > len(data):
            return
        body = data[position + 8 : position + length - 4]
        position += length
        if kind == _INTERFACE and len(body) >= 8:
            interfaces.append(_interface(body, order))
        elif kind in (_ENHANCED, _OLD_PACKET, _SIMPLE):
            frame = _packet(kind, body, order, interfaces, last_ns)
            if frame is not None:
                last_ns = frame.at_ns
                yield frame


def _interface(body: bytes, order: str) -> _Interface:
    link = struct.unpack_from(f"{order}H", body)[0]
    ticks, offset_s, position = 1_000_000, 0, 8
    while position + 4 <= len(body):
        code, size = struct.unpack_from(f"{order}HH", body, position)
        value = body[position + 4 : position + 4 + size]
        position += 4 + -(-size // 4) * 4
        if code == 0:
            break
        if code == _TIME_RESOLUTION and size == 1:
            exponent = value[0] & 0x7F if value else 6
            ticks = 2 ** min(exponent, 63) if value and value[0] & 0x80 else 10 ** min(exponent, 18)
        elif code == _TIME_OFFSET and len(value) == 8:
            offset_s = struct.unpack(f"{order}q", value)[0]
    return _Interface(link, ticks, offset_s)


def _packet(kind: int, body: bytes, order: str, interfaces: list[_Interface], last_ns: int) -> Frame | None:
    """The frame of one packet block; None when it names no interface or is too short for what it says."""
    if kind == _SIMPLE:  # has no time of its own
        if not interfaces or len(body) < 4:
            return None
        kept = min(struct.unpack_from(f"{order}I", body)[0], len(body) - 4)
        return Frame(last_ns, interfaces[0].link, bytes(body[4 : 4 + kept]))
    if len(body) < 20:
        return None
    shape = f"{order}HHIIII" if kind == _OLD_PACKET else f"{order}IIIII"
    fields = struct.unpack_from(shape, body)
    number, (high, low, kept, _) = fields[0], fields[-4:]
    if number >= len(interfaces) or kept > len(body) - 20:
        return None
    return Frame(interfaces[number].at_ns(high, low), interfaces[number].link, bytes(body[20 : 20 + kept]))


def write_pcap(frames: Iterable[Frame], link: int = RAW_IP) -> bytes:
    """A pcap file with nanoseconds, as Wireshark reads it; all frames of one link type."""
    parts = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, MAX_FRAME_BYTES, link)]
    for frame in frames:
        seconds, fraction = divmod(frame.at_ns, _NS)
        parts.append(struct.pack("<IIII", seconds, fraction, len(frame.data), len(frame.data)))
        parts.append(frame.data)
    return b"".join(parts)
