"""Streams that are only listened to, read in batches: a timer, one system call a socket, several packets a call.

Nobody waits for these packets, so they may lie in their sockets for DRAIN_S; then recvmmsg takes them into memory that is laid
out as the spool's records, with the kernel's own arrival stamp (SO_TIMESTAMPNS), which is exact where reading at once
never was. Measured on a busy machine, 400 streams, spool
included: 4.4 µs a packet, where one recv and one record at a time took 8.3 beside it.

What is not from the believed sender of a stream, or encrypted, goes the usual way, packet by packet. recvmmsg is called by ctypes
on arrays that numpy lays out (Linux with 64 bits); where it is not to be had, RtpSockets reads these streams as all others.
"""

import asyncio
import ctypes
import itertools
import logging
import socket
import struct
import sys
import zlib
from collections.abc import Callable
from typing import Protocol, cast

import numpy as np

from callqa.sip.events import Address
from callqa.sip.media.spool import KIND_PACKET, PACKET_HEAD, RECORD_HEAD
from callqa.sip.process.clock import CLOCK, Clock

log = logging.getLogger(__name__)

# What a kill -9 may take of a stream is this and the time of a write: as much as the disk writer's own rhythm.
DRAIN_S = 0.1
_EACH_MOST = 64  # packets of one socket a call: 1.3 s of a stream
_CALLS_MOST = 4  # of one socket in one round; a flood has to wait, and is dropped by the kernel
_SLOTS = 4096
_SIZES_MOST = 4  # sizes of packets for which pieces of the memory are kept ready: a codec has one, or two
_HEAD_BYTES = RECORD_HEAD.size + PACKET_HEAD.size
_DATA_BYTES = 2048 - _HEAD_BYTES  # beyond any frame that a network carries whole; what is longer is cut
_SLOT_BYTES = _HEAD_BYTES + _DATA_BYTES
_NAME_BYTES, _CONTROL_BYTES = 32, 64
SO_TIMESTAMPNS = 35  # asm-generic/socket.h
_STAMP_AT = 16  # after the cmsghdr
_MMSG = np.dtype(
    {
        "names": ["name", "name_bytes", "iov", "n_iov", "control", "control_bytes", "flags", "size"],
        "formats": ["u8", "u4", "u8", "u8", "u8", "u8", "i4", "u4"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56],
        "itemsize": 64,
    }
)
_IOVEC = np.dtype([("base", "u8"), ("size", "u8")])
_RECORD = np.dtype(
    {
        "names": ["length", "crc", "kind", "stream", "arrival_ns"],
        "formats": ["<u4", "<u4", "u1", "u1", "<u8"],
        "offsets": [0, 4, 8, 9, 10],
        "itemsize": _SLOT_BYTES,
    }
)

# descriptor, the first header, how many, flags, no time-out -> how many came; negative: none
Receive = Callable[[int, ctypes.c_void_p, int, int, None], int]
_DONT_WAIT = 0x40  # MSG_DONTWAIT


class Stream(Protocol):
    """One RTP port that is only listened to. sender: the raw socket address whose packets need no second look; None: all do."""

    stream: int
    bound: socket.socket
    sender: bytes | None

    def take_batch(self, records: bytes, count: int, last_ns: int, last: bytes) -> None:
        """Keep records that are made already. last: the newest packet."""

    def take_one(self, data: bytes, address: Address, raw: bytes, now_ns: int) -> None:
        """Look at one packet; set `sender` when raw is to be believed from now on."""


def find_receive() -> Receive | None:
    """recvmmsg, or None where this system or its layout is another one."""
    if not sys.platform.startswith("linux") or struct.calcsize("P") != 8 or sys.byteorder != "little":
        return None
    try:
        # It never blocks, so it need not let go of the interpreter: PyDLL.
        call = ctypes.PyDLL(None).recvmmsg
    except (OSError, AttributeError):
        return None
    call.restype = ctypes.c_int
    return cast(Receive, call)  # without argtypes: to convert a pointer at each call costs as much as three packets


class _Room:
    """Memory for one round: slot i holds a record's head and then the packet, so that a record is ready when its head is."""

    def __init__(self) -> None:
        self.slots = np.zeros((_SLOTS, _SLOT_BYTES), np.uint8)
        self.names = np.zeros((_SLOTS, _NAME_BYTES), np.uint8)
        self.controls = np.zeros((_SLOTS, _CONTROL_BYTES), np.uint8)
        each = np.arange(_SLOTS)
        self.iov = np.zeros(_SLOTS, _IOVEC)
        self.iov["base"] = self.slots.ctypes.data + each * _SLOT_BYTES + _HEAD_BYTES
        self.iov["size"] = _DATA_BYTES
        self.headers = np.zeros(_SLOTS, _MMSG)
        self.headers["name"] = self.names.ctypes.data + each * _NAME_BYTES
        self.headers["iov"] = self.iov.ctypes.data + each * _IOVEC.itemsize
        self.headers["n_iov"] = 1
        self.headers["control"] = self.controls.ctypes.data + each * _CONTROL_BYTES
        first_header = int(self.headers.ctypes.data)
        self.header_at = [ctypes.c_void_p(first_header + i * _MMSG.itemsize) for i in range(_SLOTS)]
        self.records = self.slots.view(_RECORD)[:, 0]
        self.records["kind"] = KIND_PACKET
        self.stamps = self.controls[:, _STAMP_AT : _STAMP_AT + 16].view("<i8")
        self.octets = self.slots.data.cast("B")
        self.raw_names = self.names.data.cast("B")
        self._bodies: dict[int, list[memoryview]] = {}
        self.reset(_SLOTS)

    def reset(self, n: int) -> None:
        """Make the first n headers ready for another use; the kernel writes into them."""
        self.headers["name_bytes"][:n] = _NAME_BYTES
        self.headers["control_bytes"][:n] = _CONTROL_BYTES
        self.stamps[:n] = 0

    def bodies(self, size: int, n: int) -> list[memoryview]:
        """What the CRC of a record is made of, for at least the first n slots if each holds a packet of that size."""
        if size not in self._bodies and len(self._bodies) >= _SIZES_MOST:
            self._bodies.clear()
        made = self._bodies.setdefault(size, [])
        for start in range(len(made) * _SLOT_BYTES, n * _SLOT_BYTES, _SLOT_BYTES):
            made.append(self.octets[start + RECORD_HEAD.size : start + _HEAD_BYTES + size])
        return made


class BatchReader:
    """All such streams. flush: hands what was kept to the disk."""

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive, clock: Clock = CLOCK) -> None:
        self._loop = loop
        self._receive = receive
        self._clock = clock
        self._streams: dict[int, Stream] = {}
        self._room: _Room | None = None
        self._timer: asyncio.TimerHandle | None = None
        # The kernel begins to stamp a moment after the first socket asks for it, so one asks for as long as we run.
        self._asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._asking.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._before_ns = 0  # when the last round began
        self.flush: Callable[[], None] = lambda: None

    def add(self, stream: Stream) -> None:
        """Serve a stream."""
        stream.bound.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._streams[stream.bound.fileno()] = stream
        if self._room is None:
            self._room = _Room()
        if self._timer is None:
            self._before_ns = self._clock.monotonic_ns()
            self._timer = self._loop.call_later(DRAIN_S, self._tick)

    def remove(self, bound: socket.socket) -> bool:
        """Take what waits there, then serve it no more. False when it was not served."""
        stream = self._streams.get(bound.fileno())
        if stream is None:
            return False
        self._drain([(bound.fileno(), stream)])
        self._streams.pop(bound.fileno(), None)
        return True

    def close(self) -> None:
        """Serve none."""
        if self._timer is not None:
            self._timer.cancel()
        self._streams.clear()
        self._asking.close()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(DRAIN_S, self._tick) if self._streams else None
        began_ns = self._clock.monotonic_ns()
        self._drain(list(self._streams.items()))
        self._before_ns = began_ns
        self.flush()

    def _drain(self, streams: list[tuple[int, Stream]]) -> None:
        room = self._room
        if room is None:
            return
        receive, header_at = self._receive, room.header_at
        came: list[tuple[Stream, int, int]] = []
        at = 0
        for _ in range(_CALLS_MOST):
            more = []
            for descriptor, stream in streams:
                if at > _SLOTS - _EACH_MOST:
                    self._take(room, came, at)
                    came, at = [], 0
                n = receive(descriptor, header_at[at], _EACH_MOST, _DONT_WAIT, None)
                if n > 0:
                    came.append((stream, at, at + n))
                    at += n
                    if n == _EACH_MOST:
                        more.append((descriptor, stream))
            if not more:
                break
            streams = more
        if at:
            self._take(room, came, at)

    def _take(self, room: _Room, came: list[tuple[Stream, int, int]], n: int) -> None:
        """Make records of what lies in the first n slots, and give them to their streams."""
        sizes = room.headers["size"][:n]
        arrival_ns = self._arrivals(room, n)
        records = room.records[:n]
        records["length"] = sizes + PACKET_HEAD.size
        records["arrival_ns"] = arrival_ns
        starts = np.array([start for _, start, _ in came])
        records["stream"] = np.repeat([s.stream for s, _, _ in came], np.diff(starts, append=n))
        packed, ends = _pack(room, sizes, n)
        names, lasts = bytes(room.raw_names[: n * _NAME_BYTES]), arrival_ns.tolist()
        for stream, start, end in came:
            try:
                if stream.sender and names[start * _NAME_BYTES : end * _NAME_BYTES] == stream.sender * (end - start):
                    last = packed[ends[end - 1] + _HEAD_BYTES : ends[end]]
                    stream.take_batch(packed[ends[start] : ends[end]], end - start, lasts[end - 1], last)
                else:
                    for i in range(start, end):
                        raw = names[i * _NAME_BYTES : (i + 1) * _NAME_BYTES]
                        _give(stream, packed[ends[i] : ends[i + 1]], raw, lasts[i])
            except Exception:  # the datagram callback: one stream's trouble stops no other
                log.exception("RTP stream %d", stream.stream)
        room.reset(n)

    def _arrivals(self, room: _Room, n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Monotonic arrival of each packet. The kernel stamps wall time, which may be set while packets wait: none is
        placed before the last round or after now."""
        now_ns, ahead_ns = both_clocks(self._clock)
        stamps = room.stamps[:n, 0] * 1_000_000_000 + room.stamps[:n, 1]
        made = np.where(stamps > 0, stamps - ahead_ns, now_ns)
        return np.clip(made, min(self._before_ns, now_ns), now_ns)


def _pack(room: _Room, sizes: np.ndarray[tuple[int], np.dtype[np.uint32]], n: int) -> tuple[bytes, list[int]]:
    """The records in the first n slots one after another, their CRC made; record i is [ends[i], ends[i + 1])."""
    size = int(sizes[0])
    if (sizes == size).all():  # nearly always, and then they are the rows of a rectangle
        room.records["crc"][:n] = list(map(zlib.crc32, room.bodies(size, n)[:n]))
        length = _HEAD_BYTES + size
        return room.slots[:n, :length].tobytes(), list(range(0, (n + 1) * length, length))
    octets, lengths = room.octets, (sizes + _HEAD_BYTES).tolist()
    whole = [octets[i * _SLOT_BYTES : i * _SLOT_BYTES + length] for i, length in enumerate(lengths)]
    room.records["crc"][:n] = [zlib.crc32(record[RECORD_HEAD.size :]) for record in whole]
    return b"".join(whole), [0, *itertools.accumulate(lengths)]


def _give(stream: Stream, record: bytes, raw: bytes, arrival_ns: int) -> None:
    """One record of a stream of whose packets not all are from the sender it believes. raw: its sender's address."""
    data = record[_HEAD_BYTES:]
    if raw == stream.sender:
        stream.take_batch(record, 1, arrival_ns, data)
    else:
        stream.take_one(data, _address(raw), raw, arrival_ns)


def both_clocks(clock: Clock) -> tuple[int, int]:
    """(monotonic now, how far wall time is ahead of it). Of three looks the quickest: we may be held up in between."""
    looks = []
    for _ in range(3):
        before_ns = clock.monotonic_ns()
        wall_ns = clock.wall_ns()
        after_ns = clock.monotonic_ns()
        looks.append((after_ns - before_ns, after_ns, wall_ns - (before_ns + after_ns) // 2))
    _, now_ns, ahead_ns = min(looks)
    return now_ns, ahead_ns


def _address(raw: bytes) -> Address:
    """A socket address as it stands in memory."""
    family, port = struct.unpack_from("<H", raw)[0], struct.unpack_from(">H", raw, 2)[0]
    if family == socket.AF_INET6:
        return socket.inet_ntop(socket.AF_INET6, raw[8:24]), port
    return socket.inet_ntop(socket.AF_INET, raw[4:8]), port
