"""Audio of the soak: every leg that talks sends its next named frame when it is due, from one socket a side."""

import asyncio
import socket
import struct
import time
from dataclasses import dataclass

from judge import FRAME_MS, frame
from signalling import Address

FRAME_S = FRAME_MS / 1000
_HEAD = struct.Struct(">BBHII")
_PCMA = 8


@dataclass
class Talk:
    """One leg that sends. paused: frames that are due meanwhile are never sent (hold)."""

    call: int
    leg: int
    target: Address
    started: float  # of frame 0, monotonic
    next_frame: int = 0
    paused: bool = False
    skipped: frozenset[int] = frozenset()
    breaks: tuple[int, ...] = ()  # frames from which it comes by another way

    def go_on(self, target: Address) -> None:
        """Talk again, to another port."""
        self.target, self.paused = target, False
        self.breaks = (*self.breaks, self.next_frame)

    def due(self, now: float) -> list[tuple[int, bytes]]:
        """(number, packet) of the frames due by now."""
        last = int((now - self.started) / FRAME_S)
        numbers, self.next_frame = range(self.next_frame, last + 1), max(self.next_frame, last + 1)
        if self.paused:
            self.skipped |= frozenset(numbers)
            return []
        return [(k, self._packet(k)) for k in numbers]

    def _packet(self, k: int) -> bytes:
        ssrc = 0x2000_0000 + 2 * self.call + self.leg
        kind = _PCMA | (0x80 if k == 0 else 0)
        head = _HEAD.pack(0x80, kind, (60_000 + k) & 0xFFFF, (4_294_960_000 + 160 * k) & 0xFFFF_FFFF, ssrc)
        return head + frame(self.call, self.leg, k)


class Media:
    """Both sides' audio sockets and everybody who talks."""

    def __init__(self, hosts: tuple[str, str]) -> None:
        self._sockets = []
        for host in hosts:
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setblocking(False)
            s.bind((host, 0))
            self._sockets.append(s)
        self._talks: dict[tuple[int, int], Talk] = {}
        self.heard = 0
        self._pump = asyncio.get_running_loop().create_task(self._send_forever())
        for s in self._sockets:
            asyncio.get_running_loop().add_reader(s.fileno(), self._hear, s)

    def address(self, leg: int) -> Address:
        """Where a side hears."""
        host, port = self._sockets[leg].getsockname()
        return host, port

    def talk(self, call: int, leg: int, target: Address) -> Talk:
        """A leg talks from now on."""
        talk = self._talks[call, leg] = Talk(call, leg, target, time.monotonic())
        return talk

    def talks(self, call: int) -> tuple[Talk, ...]:
        """The legs of a call that talk."""
        return tuple(talk for leg in (0, 1) if (talk := self._talks.get((call, leg))) is not None)

    def silence(self, call: int) -> tuple[Talk, ...]:
        """A call talks no more; what its legs sent."""
        return tuple(talk for leg in (0, 1) if (talk := self._talks.pop((call, leg), None)) is not None)

    def close(self) -> None:
        """Free the sockets."""
        self._pump.cancel()
        for s in self._sockets:
            asyncio.get_running_loop().remove_reader(s.fileno())
            s.close()

    async def _send_forever(self) -> None:
        while True:
            now = time.monotonic()
            for talk in list(self._talks.values()):
                for _, packet in talk.due(now):
                    self._sockets[talk.leg].sendto(packet, talk.target)
            await asyncio.sleep(0.005)

    def _hear(self, s: socket.socket) -> None:
        for _ in range(50):
            try:
                s.recv(2048)
            except BlockingIOError:
                return
            self.heard += 1
