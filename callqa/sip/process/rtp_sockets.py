"""All RTP sockets of the recorder in one epoll set, which the event loop watches as a single descriptor.

A transport of the loop costs several times what reading the socket costs; so the loop is woken once for all sockets that
have something, and each is read directly.
"""

import asyncio
import contextlib
import logging
import select
import socket
import struct
from collections.abc import Callable
from typing import Protocol

from callqa.sip.events import Address
from callqa.sip.process.batches import SO_TIMESTAMPNS, BatchReader, Receive, Stream, both_clocks, find_receive
from callqa.sip.process.clock import CLOCK, Clock

RECVMMSG = find_receive()
log = logging.getLogger(__name__)

# Sockets served before signalling has its turn; those left over are served in the next round.
_MOST_AT_ONCE = 512
_WAITING_MOST = 1000  # more would be a flood
_LARGEST_DATAGRAM_BYTES = 8192
_CONTROL_BYTES = 64
_OLDEST_NS = 120_000_000_000  # nobody rings for longer
_STAMP = struct.Struct("@qq")


class ReadStream(Stream, Protocol):
    """A stream that can be read in batches, or one datagram at a time."""

    def read(self) -> object: ...


class RtpSockets:
    """read of each socket is called when something waits there: it takes one datagram. receive: recvmmsg, for streams that
    nobody waits for; flush: hands to the disk what such a batch brought."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, receive: Receive | None = RECVMMSG, clock: Clock = CLOCK
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._batches = None if receive is None else BatchReader(loop, receive, clock)
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], object]] = {}
        loop.add_reader(self._epoll.fileno(), self._read_all)

    def add(self, bound: socket.socket, read: Callable[[], object]) -> None:
        """Serve a socket."""
        self._readers[bound.fileno()] = read
        self._epoll.register(bound, select.EPOLLIN)

    def listen(self, stream: ReadStream) -> None:
        """Serve a stream that is only listened to: what comes may lie for a tenth of a second."""
        if self._batches is None:
            self.add(stream.bound, stream.read)
        else:
            self._batches.add(stream)

    def take_waiting(self, bound: socket.socket) -> list[tuple[bytes, Address, int]]:
        """What came on a port that nobody read until now: (datagram, sender, monotonic arrival), oldest first. Once for each."""
        found = []
        now_ns, ahead_ns = both_clocks(self._clock)
        for _ in range(_WAITING_MOST):
            try:
                data, extra, _, address = bound.recvmsg(_LARGEST_DATAGRAM_BYTES, _CONTROL_BYTES)
            except OSError:  # nothing more
                break
            stamp = next((x for level, kind, x in extra if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS)), b"")
            at_ns = _stamp_ns(stamp) - ahead_ns if len(stamp) == _STAMP.size else now_ns
            # The kernel stamps wall time, which may have been set meanwhile: then we know no better than now.
            found.append((data, (address[0], address[1]), at_ns if now_ns - _OLDEST_NS < at_ns <= now_ns else now_ns))
        with contextlib.suppress(OSError):
            bound.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 0)
        return found

    def flush_with(self, flush: Callable[[], None]) -> None:
        """Call this after every batch."""
        if self._batches is not None:
            self._batches.flush = flush

    def remove(self, bound: socket.socket) -> None:
        """Serve it no more; harmless when it was closed or removed before."""
        if self._batches is not None and self._batches.remove(bound):
            return
        if self._readers.pop(bound.fileno(), None) is not None:
            self._epoll.unregister(bound)

    def close(self) -> None:
        """Serve none; the sockets are their owners'."""
        if self._batches is not None:
            self._batches.close()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._readers.clear()

    def _read_all(self) -> None:
        """Serve what waits, and what came meanwhile: to look once more costs a thirtieth of being woken once more."""
        left = _MOST_AT_ONCE
        while left > 0 and (ready := self._epoll.poll(0, left)):
            left -= len(ready)
            for descriptor, _ in ready:
                read = self._readers.get(descriptor)
                try:
                    if read is not None:
                        read()
                except Exception:  # the datagram callback: one socket's trouble stops no other
                    log.exception("RTP socket %d", descriptor)


def _stamp_ns(stamp: bytes) -> int:
    seconds, ns = _STAMP.unpack(stamp)
    return int(seconds) * 1_000_000_000 + int(ns)
