"""RTP of one call of an endpoint: ready-made G.711 frames out on a clock that does not drift, and what comes in, kept."""

import asyncio
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from callqa.sip.events import Address, MediaTerms
from callqa.sip.process.secrecy import Secrecy

FRAME_BYTES = 160  # 20 ms of G.711
FRAME_S = 0.02
WIRE_KEPT = 200
SILENCE = {0: b"\xff", 8: b"\xd5"}


@dataclass(frozen=True, slots=True)
class HeardFrame:
    """One RTP packet as it came. at: loop time."""

    at: float
    sequence: int
    timestamp: int
    payload_type: int
    ssrc: int
    payload: bytes


class EndpointRtp(asyncio.DatagramProtocol):
    """RTP of one call: plays payload frames at exact multiples of 20 ms after the start, keeps what comes."""

    def __init__(self, keep: bool) -> None:
        self.heard: list[HeardFrame] = []
        self.heard_count = 0
        self.sent_count = 0
        self.began_at: float | None = None
        self._keep = keep
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._ssrc = secrets.randbits(32)
        self.remote: Address | None = None
        self.secrecy = Secrecy()
        self.wire: list[bytes] = []  # the first datagrams as they came
        self.on_played: Callable[[], None] | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if len(data) < 12 or data[0] >> 6 != 2:
            return
        if len(self.wire) < WIRE_KEPT:
            self.wire.append(data)
        self._hear(data, addr)

    def _hear(self, data: bytes, addr: Any) -> None:
        if self.secrecy.needed:
            plain = self.secrecy.unlock(data, addr, 0)
            if plain is None:
                return
            data = plain
        self.heard_count += 1
        if self._keep:
            _, kind, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
            payload = data[12 + 4 * (data[0] & 15) :]
            self.heard.append(HeardFrame(self._loop.time(), sequence, timestamp, kind & 0x7F, ssrc, payload))

    def agree(self, terms: MediaTerms) -> None:
        """Encrypt as agreed; what came before is heard now."""
        for data, source, _ in self.secrecy.agree(terms):
            self._hear(data, source)

    def play(self, payload: bytes, payload_type: int) -> None:
        """Start sending; the last frame is filled with silence."""
        start = self.began_at = self._loop.time()

        def send(n: int) -> None:
            frame = payload[n * FRAME_BYTES : (n + 1) * FRAME_BYTES]
            if not frame:
                self._handle = None
                if self.on_played is not None:
                    self.on_played()
                return
            frame = frame.ljust(FRAME_BYTES, SILENCE[payload_type])
            head = struct.pack(
                "!BBHII",
                0x80,
                payload_type | (0x80 if n == 0 else 0),
                n & 0xFFFF,
                n * FRAME_BYTES & 0xFFFFFFFF,
                self._ssrc,
            )
            if self._transport is not None and self.remote is not None:
                locked = self.secrecy.lock(head + frame)
                if locked is not None:
                    self._transport.sendto(locked, self.remote)
                self.sent_count += 1
            self._handle = self._loop.call_at(start + (n + 1) * FRAME_S, send, n + 1)

        send(0)

    def close(self) -> None:
        """Stop playing and free the port."""
        if self._handle is not None:
            self._handle.cancel()
        if self._transport is not None:
            self._transport.close()
