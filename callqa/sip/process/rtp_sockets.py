"""All RTP sockets of the recorder in one epoll set, which the event loop watches as a single descriptor.

A transport of the loop costs several times what reading the socket costs; so the loop is woken once for all sockets that
have something, and each is read directly.
"""

import asyncio
import logging
import select
import socket
from collections.abc import Callable
from typing import Protocol

from callqa.sip.process.batches import BatchReader, Receive, Stream, find_receive
from callqa.sip.process.clock import CLOCK, Clock

RECVMMSG = find_receive()
log = logging.getLogger(__name__)

# Sockets served before signalling has its turn; those left over are served in the next round.
_MOST_AT_ONCE = 512


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
        for descriptor, _ in self._epoll.poll(0, _MOST_AT_ONCE):
            read = self._readers.get(descriptor)
            try:
                if read is not None:
                    read()
            except Exception:  # the datagram callback: one socket's trouble stops no other
                log.exception("RTP socket %d", descriptor)
