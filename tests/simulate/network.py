"""UDP in virtual time: datagrams are lost, doubled, late and out of order as the weather says."""

import errno
import os
import random
import socket
import zlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from tests.simulate.connections import End, connected
from tests.simulate.loop import Clockwork

Address = tuple[str, int]
Receive = Callable[[bytes, Address], object]


@dataclass(frozen=True, slots=True)
class Weather:
    """Chances in 1; delays in nanoseconds."""

    sip_loss: float = 0.0
    sip_double: float = 0.0
    rtp_loss: float = 0.0
    rtp_double: float = 0.0
    delay_ns: int = 2_000_000
    jitter_ns: int = 0
    late: float = 0.0  # a datagram held up by `late_ns` more: it is overtaken
    late_ns: int = 45_000_000

    @property
    def slowest_ns(self) -> int:
        """The longest that a datagram may be on its way."""
        return self.delay_ns + self.jitter_ns + (self.late_ns if self.late else 0)


class Net:
    """Who listens where. crc: of everything that was delivered, in order, with its time."""

    def __init__(self, work: Clockwork, rng: random.Random, weather: Weather) -> None:
        self.work = work
        self.rng = rng
        self.weather = weather
        self.at: dict[Address, Receive] = {}
        self.crc = 0
        self.packets = 0
        self.last_sip_ns = 0
        self.sent_to: Counter[Address] = Counter()  # datagrams of RTP, before any got lost
        self.watch_sip: Callable[[bytes, Address, Address], None] | None = None
        self.trace: Callable[[str], None] | None = None
        self.accepting: dict[Address, Callable[[End], None]] = {}  # who takes connections
        self.cut_off: set[str] = set()  # hosts that hear and say nothing any more

    def note_sip(self, data: bytes, source: Address, to: Address) -> None:
        """One SIP message goes out, by whatever way."""
        if self.watch_sip is not None:
            self.watch_sip(data, source, to)
        self.last_sip_ns = self.work.now_ns
        if self.trace is not None:
            self.trace(f"SIP {source[0]}:{source[1]} -> {to[0]}:{to[1]} {_first_line(data)}")

    def connect(self, source: Address, to: Address) -> End | None:
        """The near end of a new connection; None where nobody takes it."""
        accept = self.accepting.get(to)
        if accept is None:
            return None
        near, far = connected(self, source, to)
        accept(far)
        return near

    def send_sip(self, data: bytes, source: Address, to: Address) -> None:
        """One SIP datagram."""
        self.note_sip(data, source, to)
        w, chance = self.weather, self.rng.random
        if source[0] in self.cut_off or to[0] in self.cut_off:
            return
        for _ in range(2 if w.sip_double and chance() < w.sip_double else 1):
            if w.sip_loss and chance() < w.sip_loss:
                if self.trace is not None:
                    self.trace("    lost")
                continue
            self.work.after(self._delay_ns(), self._deliver, data, source, to)

    def send_rtp(self, data: bytes, source: Address, to: Address, heard: Callable[[], None] | None = None) -> None:
        """One RTP datagram. heard: called when it reached a socket, before the socket's owner has it."""
        w, chance = self.weather, self.rng.random
        self.sent_to[to] += 1
        if source[0] in self.cut_off or to[0] in self.cut_off:
            return
        for _ in range(2 if w.rtp_double and chance() < w.rtp_double else 1):
            if w.rtp_loss and chance() < w.rtp_loss:
                continue
            self.work.after(self._delay_ns(), self._deliver, data, source, to, heard)

    def _delay_ns(self) -> int:
        w = self.weather
        delay_ns = w.delay_ns
        if w.jitter_ns:
            delay_ns += int(self.rng.random() * w.jitter_ns)
        if w.late and self.rng.random() < w.late:
            delay_ns += w.late_ns
        return delay_ns

    def _deliver(self, data: bytes, source: Address, to: Address, heard: Callable[[], None] | None = None) -> None:
        receive = self.at.get(to)
        if receive is None:
            return
        self.packets += 1
        self.crc = zlib.crc32(data, self.crc ^ (self.work.now_ns & 0xFFFFFFFF))
        if heard is not None:
            heard()
        receive(data, source)


class SimSocket:
    """A bound RTP port of the recorder. ready: reads it, once somebody serves it."""

    family = socket.AF_INET

    def __init__(self, net: Net, address: Address, closed: Callable[["SimSocket"], None]) -> None:
        self.net = net
        self.address = address
        self.waiting: deque[tuple[bytes, Address]] = deque()
        self.waiting_ns: deque[int] = deque()
        self.ready: Callable[[], object] | None = None
        self.closed = False
        self._on_closed = closed
        net.at[address] = self._receive

    def fileno(self) -> int:
        return -1 if self.closed else self.address[1]

    def _receive(self, data: bytes, source: Address) -> None:
        self.waiting.append((data, source))
        self.waiting_ns.append(self.net.work.now_ns)
        if self.ready is not None:
            self.ready()

    def recvfrom(self, most: int) -> tuple[bytes, Address]:
        if self.closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if not self.waiting:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        data, source = self.waiting.popleft()
        self.waiting_ns.popleft()
        return data[:most], source

    def sendto(self, data: bytes, to: Address) -> int:
        if self.closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self.net.send_rtp(data, self.address, to)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.net.at.pop(self.address, None)
            self._on_closed(self)


def _first_line(data: bytes) -> str:
    lines = data.split(b"\r\n")
    wanted = (b"call-id", b"cseq")
    rest = [x for x in lines[1:] if x.partition(b":")[0].strip().lower() in wanted]
    return b" | ".join(lines[:1] + rest).decode("utf-8", "replace")[:160]
