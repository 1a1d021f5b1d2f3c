"""SIP over TCP and TLS: connections in both directions, framed and bounded, each known by the address of its far end.

A message for an address without a connection opens one; several messages wait for it. Whatever goes wrong with a
connection is told as closed; the user agent decides what that means. No rule about SIP is here but the framing.

There is always room for a newcomer. Whoever belongs here (trunk, registered phone, party to a call) keeps his connection for
hours; a stranger keeps his while he talks, and where there are too many of one network or in all, the stranger who has been
silent for longest gives way. A phone is a stranger until it has registered, so strangers cannot simply be turned away.
"""

import asyncio
import logging
import ssl
from collections import OrderedDict
from collections.abc import Callable
from typing import cast

from callqa.errors import ProtocolError
from callqa.sip.budget import network
from callqa.sip.events import Address
from callqa.sip.process.clock import CLOCK, Clock
from callqa.sip.process.tls import CONNECT_S, ClientTls
from callqa.sip.wire.framing import PONG, StreamFramer
from callqa.sip.wire.hop import Transport, hop, transport_of

log = logging.getLogger(__name__)

CONNECTIONS_MOST = 2_000
STRANGERS_OF_NETWORK_MOST = 100  # an office behind one NAT that comes back after a power cut; IPv6: a /64
CONNECTIONS_OF_KNOWN_HOST_MOST = 1_000  # a PBX that opens one for each call
UNFINISHED_S = 30.0  # a message that takes longer, or a connection that never says anything whole
IDLE_S = 7_200.0  # phones refresh within an hour
STRANGER_IDLE_S = 60.0  # registering takes a second; RFC 3261 §18: no sooner than a transaction may last, 64*T1 = 32 s
HANDSHAKE_S = 10.0  # of TLS; until then a connection is not counted
TOLD_EVERY_S = 60.0
UNSENT_MOST_BYTES = 1 << 20  # a peer that does not read

Known = Callable[[Address], bool]


def plain_host(host: str) -> str:
    """A host as it is written: IPv4 seen on an IPv6 socket without its prefix, no zone."""
    return host.partition("%")[0].removeprefix("::ffff:") if ":" in host else host


class SipStreams:
    """All connections. on_message: one whole message; on_opened, on_closed: a connection came or went;
    acquaintances: gives the test, at this moment, whether an address is that of somebody who belongs here."""

    def __init__(
        self,
        on_message: Callable[[bytes, Address], None],
        on_opened: Callable[[Address], None],
        on_closed: Callable[[Address], None],
        tls: ClientTls | None,
        acquaintances: Callable[[], Known],
        clock: Clock = CLOCK,
    ) -> None:
        self.clock = clock
        self.acquaintances = acquaintances
        self.on_message = on_message
        self.on_opened = on_opened
        self.on_closed = on_closed
        self._tls = tls
        self._connections: OrderedDict[Address, _Connection] = OrderedDict()  # whoever spoke last is last
        self._crowds: dict[str, dict[Address, _Connection]] = {}  # by what they are counted under
        self._gave_way, self._told = 0, float("-inf")
        self._waiting: dict[Address, list[bytes]] = {}  # for connections being opened
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    def __len__(self) -> int:
        return len(self._connections)

    async def listen(self, sock: object, context: ssl.SSLContext | None) -> None:
        """Take connections on a bound socket."""
        transport = Transport.TLS if context else Transport.TCP
        loop = asyncio.get_running_loop()
        server = await loop.create_server(  # type: ignore[call-overload]  # sock is one
            lambda: _Connection(self, transport),
            sock=sock,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_S if context else None,
        )
        self._servers.append(server)

    def send(self, data: bytes, to: Address) -> None:
        """Send one message, on the connection that is there or on a new one."""
        connection = self._connections.get(to)
        if connection is not None:
            connection.send(data)
        elif to in self._waiting:
            self._waiting[to].append(data)
        else:
            self._waiting[to] = [data]
            task = asyncio.get_running_loop().create_task(self._open(to))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self, to: Address) -> None:
        def new() -> _Connection:
            return _Connection(self, transport_of(to), to)

        try:
            if transport_of(to) is not Transport.TLS:
                connecting = asyncio.get_running_loop().create_connection(new, to[0], to[1])
                await asyncio.wait_for(connecting, CONNECT_S)
            elif self._tls is not None:
                await self._tls.connect(to, new)
            else:
                raise OSError("TLS is not set up")
        except (OSError, TimeoutError) as e:
            log.warning("SIP %s to %s:%d: %s", transport_of(to), to[0], to[1], e or "timed out")
            self._waiting.pop(to, None)
            self.on_closed(to)

    def opened(self, connection: "_Connection") -> bool:
        """Whether a new connection may stay; there is no room only among 2 000 of which none is a stranger's."""
        address, knows = connection.address, self.acquaintances()
        known = knows(address)
        crowd = address[0] if known else network(address[0])
        if (old := self._connections.get(address)) is not None:  # broke without our hearing of it
            self._drop(old)
        self._keep_small(self._crowds.get(crowd, {}), knows, known=known)
        if len(self) >= CONNECTIONS_MOST:
            stranger = next((c for c in self._connections.values() if not knows(c.address)), None)
            if stranger is not None:
                self._make_room(stranger)
            elif not known:
                log.warning("SIP connection from %s refused: %d open, no stranger's among them", crowd, len(self))
                return False
        connection.crowd = crowd
        self._connections[connection.address] = connection
        self._crowds.setdefault(crowd, {})[connection.address] = connection
        self.on_opened(connection.address)
        for data in self._waiting.pop(connection.address, []):
            connection.send(data)
        return True

    def _keep_small(self, crowd: "dict[Address, _Connection]", knows: Known, *, known: bool) -> None:
        """Of too many under one name the one that has been silent for longest gives way; strangers where they are too many."""
        most = CONNECTIONS_OF_KNOWN_HOST_MOST if known else STRANGERS_OF_NETWORK_MOST
        if len(crowd) < most:
            return
        counted = [c for c in crowd.values() if known or not knows(c.address)]
        if len(counted) >= most:
            self._make_room(min(counted, key=lambda c: c.heard))

    def _make_room(self, connection: "_Connection") -> None:
        self._gave_way += 1
        now = self.clock.monotonic()
        if now - self._told > TOLD_EVERY_S:
            self._told = now
            log.warning(
                "too many SIP connections, of %s or in all: %d open, %d gave way",
                connection.crowd,
                len(self),
                self._gave_way,
            )
        self._drop(connection)

    def _drop(self, connection: "_Connection") -> None:
        self.closed(connection)
        connection.abort()

    def spoke(self, connection: "_Connection") -> None:
        """A connection has been heard."""
        connection.heard = self.clock.monotonic()
        if self._connections.get(connection.address) is connection:
            self._connections.move_to_end(connection.address)

    def closed(self, connection: "_Connection") -> None:
        """Forget a connection."""
        if self._connections.get(connection.address) is connection:
            del self._connections[connection.address]
            crowd = self._crowds[connection.crowd]
            del crowd[connection.address]
            if not crowd:
                del self._crowds[connection.crowd]
            self.on_closed(connection.address)

    def sweep(self, now: float) -> None:
        """Close what is idle or stuck in the middle of a message; what did not close since the last time is cut off."""
        knows = self.acquaintances()
        for connection in list(self._connections.values()):
            silent_s = now - connection.heard
            if connection.is_closing:
                connection.abort()  # its peer does not read the rest
            elif silent_s > UNFINISHED_S and silent_s > _patience_s(connection, knows):
                connection.close()

    async def stop(self) -> None:
        """Close everything."""
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self._connections.values()):
            connection.close()


def _patience_s(connection: "_Connection", knows: Known) -> float:
    if not connection.settled:
        return UNFINISHED_S
    return IDLE_S if knows(connection.address) else STRANGER_IDLE_S


class _Connection(asyncio.Protocol):
    """One connection. heard: when its last whole message came. settled: nothing half-read, and it spoke SIP before."""

    def __init__(self, streams: SipStreams, transport: Transport, to: Address | None = None) -> None:
        self._streams = streams
        self._kind = transport
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._spoke = False
        self.outgoing = to is not None
        self.address: Address = to or ("", 0)
        self.crowd = ""  # what it is counted under: a known host, or a stranger's network
        self.heard = self._streams.clock.monotonic()

    @property
    def settled(self) -> bool:
        return not self._framer.waiting and (self._spoke or self.outgoing)

    @property
    def is_closing(self) -> bool:
        return self._transport is not None and self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self.outgoing:
            name = transport.get_extra_info("peername")
            if not name:  # gone before we looked
                self._transport.abort()
                return
            self.address = hop(plain_host(name[0]), name[1], self._kind)
        if not self._streams.opened(self):
            self.abort()

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._framer.feed(data)
        except ProtocolError as e:
            log.warning("SIP connection with %s:%d closed: %s", *self.address, e)
            self.close()
            return
        for message in messages:
            self._spoke = True
            self._streams.spoke(self)
            self._streams.on_message(message, self.address)
        if self._framer.pings:
            self._framer.pings = 0
            if self._spoke and self._streams.acquaintances()(self.address):
                self._streams.spoke(self)
            self.send(PONG)

    def connection_lost(self, exc: Exception | None) -> None:
        self._streams.closed(self)

    def send(self, data: bytes) -> None:
        """Write one message; a peer that does not read loses its connection."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > UNSENT_MOST_BYTES:
            log.warning("SIP connection with %s:%d does not read", *self.address)
            self._transport.abort()
            return
        self._transport.write(data)

    def close(self) -> None:
        """Close; `closed` follows from the loop."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Drop it with whatever was not sent yet; there is no farewell."""
        if self._transport is not None:
            self._transport.abort()
