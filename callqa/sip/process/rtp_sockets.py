"""All RTP sockets of the recorder in one epoll set, which the event loop watches as a single descriptor.

A transport of the loop costs several times what reading the socket costs; so the loop is woken once for all sockets that
have something, and each is read directly.
"""

import asyncio
import logging
import select
import socket
from collections.abc import Callable

log = logging.getLogger(__name__)

# Sockets served before signalling has its turn; those left over are served in the next round.
_MOST_AT_ONCE = 512


class RtpSockets:
    """read of each socket is called when something waits there: it takes one datagram."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], object]] = {}
        loop.add_reader(self._epoll.fileno(), self._read_all)

    def add(self, bound: socket.socket, read: Callable[[], object]) -> None:
        """Serve a socket."""
        self._readers[bound.fileno()] = read
        self._epoll.register(bound, select.EPOLLIN)

    def remove(self, bound: socket.socket) -> None:
        """Serve it no more; harmless when it was closed or removed before."""
        if self._readers.pop(bound.fileno(), None) is not None:
            self._epoll.unregister(bound)

    def close(self) -> None:
        """Serve none; the sockets are their owners'."""
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
