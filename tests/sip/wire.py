"""What went over the wire: an in-path tap that keeps every SIP message it passes on, and baresip's own trace."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

from callqa.sip.wire.message import Message, Request, Response, is_keepalive, parse_message

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Passed:
    """One message on the wire. to_recorder: its way. at: loop time."""

    at: float
    to_recorder: bool
    message: Message

    def __str__(self) -> str:
        m = self.message
        return f"{'>' if self.to_recorder else '<'} {m.method if isinstance(m, Request) else f'{m.status} {m.cseq.method}'}"


class Tap:
    """Relays between a peer at `near` and the recorder; to the recorder it looks like a peer at `host`.

    The peer is given `address` as its server; the recorder sees `outside`. drop: called with each Passed; True loses it.
    """

    def __init__(self, host: str, recorder: Address) -> None:
        self.host = host
        self.recorder = recorder
        self.peer: Address | None = None
        self.passed: list[Passed] = []
        self.lost: list[Passed] = []
        self.drop: Any = lambda passed: False

    async def open(self) -> "Tap":
        loop = asyncio.get_running_loop()
        self._near, _ = await loop.create_datagram_endpoint(lambda: _Side(self, True), local_addr=(self.host, 0))
        self._far, _ = await loop.create_datagram_endpoint(lambda: _Side(self, False), local_addr=(self.host, 0))
        return self

    @property
    def address(self) -> Address:
        sockname = self._near.get_extra_info("sockname")
        return (str(sockname[0]), int(sockname[1]))

    @property
    def outside(self) -> Address:
        sockname = self._far.get_extra_info("sockname")
        return (str(sockname[0]), int(sockname[1]))

    def close(self) -> None:
        self._near.close()
        self._far.close()

    def story(self) -> list[str]:
        """The messages in order, `> INVITE`, `< 100 INVITE` …"""
        return [str(p) for p in self.passed]

    def sdp(self, story: str, n: int = 0) -> bytes:
        """Body of the n-th message of that description."""
        return [p.message.body for p in self.passed if str(p) == story][n]

    def _take(self, data: bytes, source: Address, to_recorder: bool) -> None:
        if to_recorder:
            self.peer = source
        if not is_keepalive(data):
            passed = Passed(asyncio.get_running_loop().time(), to_recorder, parse_message(data))
            if self.drop(passed):
                self.lost.append(passed)
                return
            self.passed.append(passed)
        if to_recorder:
            self._far.sendto(data, self.recorder)
        elif self.peer is not None:
            self._near.sendto(data, self.peer)


class _Side(asyncio.DatagramProtocol):
    def __init__(self, tap: Tap, to_recorder: bool) -> None:
        self._tap = tap
        self._to_recorder = to_recorder

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._tap._take(data, (str(addr[0]), int(addr[1])), self._to_recorder)


_TRACED = re.compile(rb"UDP (\S+):(\d+) -> (\S+):(\d+)\n(.*?\r\n\r\n.*?)\x1b\[;m", re.DOTALL)


def baresip_trace(log: bytes, recorder: Address) -> list[Passed]:
    """The messages in the output of `baresip -s`, in order; times are not known there."""
    found = []
    for match in _TRACED.finditer(log):
        to_recorder = (match[3].decode(), int(match[4])) == recorder
        found.append(Passed(0.0, to_recorder, parse_message(match[5])))
    return found


_LOGGED = re.compile(
    rb"(?:message sent to|received \[\d+\] new bytes from) \[UDP://([^\]]+):(\d+)\](?:, size: \[\d+\] bytes|:)\n"
    rb"(.*?)\n(?=\d{4}-\d\d-\d\d \d\d:\d\d:)", re.DOTALL,
)  # fmt: skip


def linphone_trace(log: bytes, recorder: Address) -> list[Passed]:
    """The messages with the recorder in the log of `linphonec -d 6 -l`, in order; times are not known there."""
    found = []
    for match in _LOGGED.finditer(log):
        if (match[1].decode(), int(match[2])) == recorder and not is_keepalive(match[3]):
            found.append(Passed(0.0, b"message sent" in match[0][:20], parse_message(_ended(match[3]))))
    return found


def _ended(text: bytes) -> bytes:
    """The log trims what follows the last character; the blank line after the headers is part of the message."""
    return text if b"\r\n\r\n" in text else text.rstrip() + b"\r\n\r\n"


__all__ = ["Passed", "Response", "Tap", "baresip_trace", "linphone_trace"]
