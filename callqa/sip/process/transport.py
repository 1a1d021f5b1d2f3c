"""The SIP sockets around a pure user agent: messages in, messages out, its next deadline on the loop's clock.

UDP is here, connections are in streams.py. On an IPv6 socket for all addresses IPv4 peers are written as what they are.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import cast

from callqa.errors import ConfigError
from callqa.refusals import os_reason
from callqa.sip.events import Address, Event
from callqa.sip.process.clock import CLOCK, Clock
from callqa.sip.process.streams import SipStreams, plain_host
from callqa.sip.useragent import UserAgent
from callqa.sip.wire.hop import is_stream

log = logging.getLogger(__name__)

_RECEIVE_BUFFER_BYTES = 1 << 20  # a burst of re-registrations after a power cut


def bind_sip(host: str, port: int) -> socket.socket:
    """The bound SIP socket. Raise ConfigError that names the port and the setting."""
    s = _socket(host, socket.SOCK_DGRAM)
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        s.bind((host, port))
    except OSError as e:
        s.close()
        raise ConfigError(
            f"SIP 端口 UDP {host}:{port} 用不了（{os_reason(e)}）；"
            "请停掉占用它的程序，或在 callqa.toml 里改 sip.listen_port（或 sip.listen_host）"
        ) from e
    return s


def bind_sip_stream(host: str, port: int, setting: str) -> socket.socket:
    """The bound socket for TCP or TLS. Raise ConfigError that names the port and the setting."""
    s = _socket(host, socket.SOCK_STREAM)
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, port))
    except OSError as e:
        s.close()
        raise ConfigError(
            f"SIP 端口 TCP {host}:{port} 用不了（{os_reason(e)}）；"
            f"请停掉占用它的程序，或在 callqa.toml 里改 sip.{setting}（0 = 不监听）"
        ) from e
    return s


def _socket(host: str, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    s = socket.socket(family, kind)
    s.setblocking(False)
    if host == "::":  # all addresses means all of both versions, whatever the system's default
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return s


class SipTransport(asyncio.DatagramProtocol):
    """Drives one user agent. on_event is called for each of its events, in order. mapped: the socket is an IPv6 one that
    takes IPv4 too."""

    def __init__(
        self, agent: UserAgent, on_event: Callable[[Event], None], *, mapped: bool = False, clock: Clock = CLOCK
    ) -> None:
        self._agent = agent
        self._clock = clock
        self._on_event = on_event
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._mapped = mapped
        self._closed = False
        self.streams: SipStreams | None = None  # set before the first message, where there are any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # uvloop's has its own base class

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.receive(data, (plain_host(addr[0]), addr[1]))

    def receive(self, data: bytes, source: Address) -> None:
        """Take one message, whatever it came by."""
        try:
            self._agent.receive(data, source, self._clock.monotonic())
        except Exception:  # the datagram callback: whatever a stranger sends, the next one is served
            log.exception("SIP message of %d bytes from %s", len(data), source)
        self.pump()

    def stream_opened(self, address: Address) -> None:
        """A connection came."""
        self._agent.stream_opened(address)

    def stream_closed(self, address: Address) -> None:
        """A connection went, or could not be opened."""
        if self._closed:  # with us
            return
        self._agent.stream_closed(address, self._clock.monotonic())
        self.pump()

    def error_received(self, exc: Exception) -> None:
        log.debug("SIP socket: %s", exc)

    def pump(self) -> None:
        """Report the user agent's events, send what it wants sent, and set the timer for its next deadline.

        In this order: what a peer is told, the journal knows already, should we be killed in between.
        """
        for event in self._agent.events():
            try:
                self._on_event(event)
            except Exception:  # one call's trouble must not keep the others' events back
                log.exception("event %s", event)
        for data, address in self._agent.datagrams():
            self._send(data, address)
        self._set_timer()

    def _send(self, data: bytes, address: Address) -> None:
        if is_stream(address):
            if self.streams is not None:
                self.streams.send(data, address)
            return
        if self._transport is None:
            return
        try:
            self._transport.sendto(
                data, (f"::ffff:{address[0]}", address[1]) if self._mapped and ":" not in address[0] else address
            )
        except (ValueError, OSError) as e:  # a peer named a host name, or an address of the other IP version
            log.warning("SIP to %s:%d cannot be sent: %s", *address, e)

    def close(self) -> None:
        """Take and send nothing more; connections may still come down."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._agent.next_deadline()
        if deadline is not None:
            delay_s = max(0.0, deadline - self._clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._advance)

    def _advance(self) -> None:
        self._timer = None
        try:
            self._agent.advance(self._clock.monotonic())
        except Exception:  # as in datagram_received: a bug in one call's timer stops no other
            log.exception("SIP timer")
        self.pump()
