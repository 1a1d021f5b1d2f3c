"""A whole spool at once: its packets as numpy columns, its marks in between. Same rules as spool.read_records.

One Python object per packet costs more than everything that is then done with it: an hour of a call is 360,000 packets.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from callqa.errors import ProtocolError, SpoolError
from callqa.sip.media.rtp import HEADER_BYTES, parse_rtp
from callqa.sip.media.spool import (
    KIND_MARK,
    KIND_PACKET,
    MAGIC,
    MAX_BODY_BYTES,
    PACKET_HEAD,
    RECORD_HEAD,
    STREAMS_MOST,
    ForeignMark,
    Mark,
    MediaMark,
    PacketRecord,
    SideMark,
    SpoolRecord,
    read_mark,
)

Ints = NDArray[np.int64]
_LATEST_NS = 1 << 62  # 146 years of uptime


@dataclass(frozen=True, slots=True, eq=False)
class SpoolColumns:
    """data: uint8, whatever the packets lie in; the rest int64 (n,) in order of arrival: stream number, monotonic clock, first byte
    and length of each datagram. marks: (how many packets came before it, mark), in order."""

    data: NDArray[np.uint8]
    channel: Ints
    arrival_ns: Ints
    start: Ints
    size: Ints
    marks: tuple[tuple[int, Mark], ...]

    @property
    def streams(self) -> tuple[int, ...]:
        """Numbers of the streams that packets or media marks speak of, and of the two that every call has."""
        told = {mark.channel for _, mark in self.marks if isinstance(mark, MediaMark | SideMark | ForeignMark)}
        return tuple(sorted({0, 1, *told, *np.unique(self.channel).tolist()}))

    @property
    def last_ns(self) -> int:
        """The latest instant of any record; 0 where there is none."""
        return max(int(self.arrival_ns.max(initial=0)), max((mark.at_ns for _, mark in self.marks), default=0))


@dataclass(frozen=True, slots=True, eq=False)
class RtpColumns:
    """Datagrams read as RTP, int64 (n,) each. row: which datagrams they are, the others are no RTP; start, size: payload."""

    row: Ints
    payload_type: Ints
    sequence: Ints
    timestamp: Ints
    ssrc: Ints
    start: Ints
    size: Ints


def read_columns(data: bytes) -> SpoolColumns:
    """Every whole record of a spool up to the first that is cut off or damaged. Raise SpoolError when it is no spool."""
    if data[: len(MAGIC)] != MAGIC:
        raise SpoolError(f"spool starts with {data[:16]!r}, expected {MAGIC!r}")
    position, total, view = len(MAGIC), len(data), memoryview(data)
    starts: list[int] = []
    ends: list[int] = []
    marks: list[tuple[int, Mark]] = []
    head, crc32, unpack = RECORD_HEAD.size, zlib.crc32, RECORD_HEAD.unpack_from
    while position + head <= total:
        length, crc = unpack(data, position)
        start = position + head
        position = start + length
        if not 1 <= length <= MAX_BODY_BYTES or position > total or crc32(view[start:position]) != crc:
            break
        kind = data[start]
        if kind == KIND_PACKET and length >= PACKET_HEAD.size and data[start + 1] < STREAMS_MOST:
            starts.append(start)
            ends.append(position)
        elif kind == KIND_MARK and (mark := read_mark(data[start + 1 : position])) is not None:
            marks.append((len(starts), mark))
        else:
            break
    octets, begin, end = np.frombuffer(data, np.uint8), np.array(starts, np.int64), np.array(ends, np.int64)
    heads = octets[begin[:, None] + np.arange(PACKET_HEAD.size)]
    arrival_ns = np.minimum(np.ascontiguousarray(heads[:, 2:]).view("<u8")[:, 0], _LATEST_NS).astype(np.int64)
    first = begin + PACKET_HEAD.size
    return SpoolColumns(octets, heads[:, 1].astype(np.int64), arrival_ns, first, end - first, tuple(marks))


def columns_of(records: Iterable[SpoolRecord]) -> SpoolColumns:
    """The same from records that were made or read one by one."""
    packets: list[PacketRecord] = []
    marks: list[tuple[int, Mark]] = []
    for record in records:
        if isinstance(record, PacketRecord):
            packets.append(record)
        else:
            marks.append((len(packets), record))
    # An instant out of range cannot be in a spool, but in a capture file that is made into records.
    arrival_ns = np.array([min(max(0, p.arrival_ns), _LATEST_NS) for p in packets], np.int64)
    size = np.array([len(p.data) for p in packets], np.int64)
    data = np.frombuffer(b"".join(p.data for p in packets), np.uint8)
    channel = np.array([p.channel for p in packets], np.int64)
    return SpoolColumns(data, channel, arrival_ns, np.cumsum(size) - size, size, tuple(marks))


_FIXED = np.dtype([("first", "u1"), ("second", "u1"), ("seq", ">u2"), ("ts", ">u4"), ("ssrc", ">u4")])


def rtp_columns(spool: SpoolColumns, rows: Ints) -> RtpColumns:
    """Read those datagrams of a spool as RTP, as rtp.parse_rtp does; what is no RTP is left out."""
    rows = rows[spool.size[rows] >= HEADER_BYTES]
    fixed = spool.data[spool.start[rows][:, None] + np.arange(HEADER_BYTES)].view(_FIXED)[:, 0]
    start, size = spool.start[rows] + HEADER_BYTES, spool.size[rows] - HEADER_BYTES
    good = fixed["first"] & 0xC0 == 0x80
    # Padding, extension or contributing sources: rare on the telephone, so one by one.
    for i in np.flatnonzero(good & (fixed["first"] & 0x3F != 0)).tolist():
        row = int(rows[i])
        datagram = spool.data[spool.start[row] : spool.start[row] + spool.size[row]].tobytes()
        try:
            size[i] = len(parse_rtp(datagram).payload)
        except ProtocolError:
            good[i] = False
            continue
        padding = datagram[-1] if datagram[0] & 0x20 else 0
        start[i] += len(datagram) - HEADER_BYTES - padding - size[i]
    fixed = fixed[good]
    kind, sequence, timestamp, ssrc = (fixed[name].astype(np.int64) for name in ("second", "seq", "ts", "ssrc"))
    return RtpColumns(rows[good], kind & 0x7F, sequence, timestamp, ssrc, start[good], size[good])
