"""RTP ports and the RTCP ports above them, each really bound when it is taken, so that two calls or two programs can never share one."""

import logging
import socket
from collections.abc import Callable
from pathlib import Path

from callqa.files import Files
from callqa.sip.process.batches import SO_TIMESTAMPNS

log = logging.getLogger(__name__)

# A second of one G.711 leg is 10 kB; this holds several seconds should the loop be late.
_RECEIVE_BUFFER_BYTES = 1 << 18
# The position is written down once a second: more ports than that are taken in none.
MARGIN_MOST = 500


class PortMemory:
    """Where the rotation stands, on disk, so that after a kill the phones of the calls that were cut off, which speak on
    for a while, speak to ports that no new call has. Without the file it begins anywhere."""

    def __init__(self, path: Path, files: Files) -> None:
        self._path = path
        self._files = files
        self._written: int | None = None

    def load(self) -> int | None:
        """The position written last; None when there is none to be had."""
        try:
            return int(self._files.read(self._path, 20))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as e:
            log.warning("%s: %s", self._path, e)
            return None

    def save(self, position: int) -> None:
        """Write it down when it changed. A disk in trouble only costs the rest of the ports: it is tried again."""
        if position == self._written:
            return
        try:
            self._files.put(self._path, b"%d\n" % position)
            self._written = position
        except OSError as e:
            log.warning("%s: %s", self._path, e)


class PortPool:
    """Even ports of [first, last], handed out in rotation so that a port rests before it serves the next call.

    margin: how many ports a run leaves out after the position that the run before it wrote down last.

    The pool owns a socket until `adopt` passes it on; whoever adopts it closes it.
    """

    def __init__(self, host: str, first: int, last: int, start: int = 0, bind: "Bind | None" = None) -> None:
        """start: any number; where in the range the rotation begins (a restart should not begin at the same port)."""
        self._host = host
        self._bind = bind or bind_rtp
        self._ports = range(first + first % 2, last, 2)  # `last` even would leave no room for RTCP beside it
        self._next = start % max(1, len(self._ports))
        self.margin = min(MARGIN_MOST, len(self._ports) // 4)
        self._bound: dict[int, socket.socket] = {}
        self._rtcp: dict[int, socket.socket] = {}

    @property
    def position(self) -> int:
        """Where in the range the rotation stands."""
        return self._next

    def go_on(self, position: int | None) -> None:
        """Begin well after the position of the run before this one, where it is known."""
        if position is not None and self._ports:
            self._next = (position + self.margin) % len(self._ports)

    def take(self) -> int | None:
        """Bind the next free even port; None when the whole range is in use."""
        for _ in self._ports:
            port = self._ports[self._next]
            self._next = (self._next + 1) % len(self._ports)
            if port in self._bound or port in self._rtcp:
                continue
            bound = self._bind(self._host, port)
            if bound is None:
                continue
            rtcp = self._bind(self._host, port + 1)
            if rtcp is None:
                bound.close()
                continue
            self._bound[port], self._rtcp[port] = bound, rtcp
            return port
        return None

    def adopt(self, port: int) -> socket.socket | None:
        """The socket of a taken port, now the caller's to close; None when it was adopted before or never taken."""
        return self._bound.pop(port, None)

    def adopt_rtcp(self, port: int) -> socket.socket | None:
        """The same for the socket of the RTCP port beside it."""
        return self._rtcp.pop(port, None)

    def give_back(self, port: int) -> None:
        """Free a port; one that was adopted becomes free when its new owner closes it."""
        for bound in (self._bound.pop(port, None), self._rtcp.pop(port, None)):
            if bound is not None:
                bound.close()

    def close(self) -> None:
        """Free everything not adopted."""
        for bound in (*self._bound.values(), *self._rtcp.values()):
            bound.close()
        self._bound.clear()
        self._rtcp.clear()


def bind_rtp(host: str, port: int) -> socket.socket | None:
    """A socket bound to a port; None when it cannot be had."""
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.setblocking(False)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)  # until it is served: see RtpSockets.take_waiting
        s.bind((host, port))
    except OSError as e:
        s.close()
        log.debug("RTP port %d cannot be bound: %s", port, e)
        return None
    return s


Bind = Callable[[str, int], socket.socket | None]
