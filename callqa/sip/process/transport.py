"""The SIP socket (UDP) around a pure user agent: datagrams in, datagrams out, its next deadline on the loop's clock."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import cast

from callqa.errors import ConfigError
from callqa.sip.events import Address, Event
from callqa.sip.useragent import UserAgent

log = logging.getLogger(__name__)

_RECEIVE_BUFFER_BYTES = 1 << 20  # a burst of re-registrations after a power cut


def bind_sip(host: str, port: int) -> socket.socket:
    """The bound SIP socket. Raise ConfigError that names the port and the setting."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM)
    try:
        s.setblocking(False)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        s.bind((host, port))
    except OSError as e:
        s.close()
        raise ConfigError(
            f"SIP 端口 UDP {host}:{port} 用不了（{e.strerror}）；"
            "请停掉占用它的程序，或在 callqa.toml 里改 sip.listen_port（或 sip.listen_host）"
        ) from e
    return s


class SipTransport(asyncio.DatagramProtocol):
    """Drives one user agent. on_event is called for each of its events, in order."""

    def __init__(self, agent: UserAgent, on_event: Callable[[Event], None]) -> None:
        self._agent = agent
        self._on_event = on_event
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # uvloop's has its own base class

    def datagram_received(self, data: bytes, addr: Address) -> None:
        try:
            self._agent.receive(data, (addr[0], addr[1]), time.monotonic())
        except Exception:  # the datagram callback: whatever a stranger sends, the next one is served
            log.exception("SIP datagram of %d bytes from %s", len(data), addr)
        self.pump()

    def error_received(self, exc: Exception) -> None:
        log.debug("SIP socket: %s", exc)

    def pump(self) -> None:
        """Send what the user agent wants sent, report its events, and set the timer for its next deadline."""
        for data, address in self._agent.datagrams():
            self._send(data, address)
        for event in self._agent.events():
            try:
                self._on_event(event)
            except Exception:  # one call's trouble must not keep the others' events back
                log.exception("event %s", event)
        self._set_timer()

    def _send(self, data: bytes, address: Address) -> None:
        if self._transport is None:
            return
        try:
            self._transport.sendto(data, address)
        except (ValueError, OSError) as e:  # a peer named a host name, or an address of the other IP version
            log.warning("SIP to %s:%d cannot be sent: %s", *address, e)

    def close(self) -> None:
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
            delay_s = max(0.0, deadline - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._advance)

    def _advance(self) -> None:
        self._timer = None
        try:
            self._agent.advance(time.monotonic())
        except Exception:  # as in datagram_received: a bug in one call's timer stops no other
            log.exception("SIP timer")
        self.pump()
