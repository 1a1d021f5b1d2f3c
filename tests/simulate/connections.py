"""Connections in virtual time: bytes come in order, torn anywhere, none is lost; a process that dies leaves a reset behind.

TLS is here a connection like any other: what is framed, kept and answered by the recorder is the same, the cipher is not told.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulate.network import Address, Net

NEXT_PIECE_NS = 3_000_000  # a torn message goes on at the latest so long after


class End:
    """One end of a connection. receive: takes bytes; lost: the other end closed, or is gone."""

    def __init__(self, net: "Net", address: "Address") -> None:
        self.net = net
        self.address = address
        self.is_open = True
        self.receive: Callable[[bytes], object] = lambda data: None
        self.lost: Callable[[], object] = lambda: None
        self.other: End
        self._due_ns = 0

    def send(self, data: bytes) -> None:
        """Send bytes, in up to five pieces."""
        if not self.is_open:
            return
        rng = self.net.rng
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 0, 1, 2, 4))))
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            if start < end:
                self._pass(self.other._take, data[start:end])

    def close(self) -> None:
        """Close after what was sent."""
        if self.is_open:
            self.is_open = False
            self._pass(self.other._end)

    def _pass(self, call: Callable[..., object], *args: object) -> None:
        now_ns, rng = self.net.work.now_ns, self.net.rng
        self._due_ns = max(self._due_ns + rng.randrange(1, NEXT_PIECE_NS), now_ns + self.net._delay_ns())
        self.net.work.at_ns(self._due_ns, call, *args)

    def _take(self, data: bytes) -> None:
        if self.is_open:
            self.receive(data)

    def _end(self) -> None:
        if self.is_open:
            self.is_open = False
            self.lost()


def connected(net: "Net", one: "Address", other: "Address") -> tuple[End, End]:
    """A connection between two addresses."""
    ends = End(net, one), End(net, other)
    ends[0].other, ends[1].other = ends[1], ends[0]
    return ends


class SimConnection(asyncio.Transport):
    """The recorder's end, as its loop gives it. ends: those of its process."""

    def __init__(self, end: End, protocol: asyncio.Protocol, call: Callable[..., None], ends: set[End]) -> None:
        super().__init__()
        self._end, self._protocol, self._call, self._ends = end, protocol, call, ends
        ends.add(end)
        end.receive = lambda data: call(protocol.data_received, data)
        end.lost = self._lost

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._end.other.address if name == "peername" else default

    def write(self, data: Any) -> None:
        self._end.net.note_sip(bytes(data), self._end.address, self._end.other.address)
        self._end.send(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return not self._end.is_open

    def close(self) -> None:
        if self._end.is_open:
            self._end.close()
            self._end.net.work.after(0, self._lost)

    def abort(self) -> None:
        self.close()

    def _lost(self) -> None:
        if self._end in self._ends:
            self._ends.discard(self._end)
            self._call(self._protocol.connection_lost, None)


class SimServer:
    """A listening port of the recorder."""

    def __init__(self, net: "Net", address: "Address", accept: Callable[[End], None]) -> None:
        self._net, self._address = net, address
        net.accepting[address] = accept

    def close(self) -> None:
        self._net.accepting.pop(self._address, None)
