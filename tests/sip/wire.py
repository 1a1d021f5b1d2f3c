"""What went over the wire: an in-path tap that keeps every SIP message it passes on, the loopback interface itself, and the traces
that phones write. A phone that sends its answers past the tap (to the Via of a request) is seen on the interface only."""

import asyncio
import ctypes
import re
import socket
import struct
from dataclasses import dataclass
from typing import Any

import pytest

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


class Loopback:
    """Every UDP datagram over the loopback interface from or to a port (0: any), in order and each once, read beside the
    programs that speak; the kernel passes on no others, however busy the interface is. Needs CAP_NET_RAW.

    Open it within a running loop, and close it there.
    """

    def __init__(self, port: int = 0) -> None:
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
        except PermissionError:  # a right, not a program: nothing that the CI could install
            pytest.skip("needs the permission to listen to the loopback interface (CAP_NET_RAW)")
        self._program = _udp_only(port)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, self._program.as_option())
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind(("lo", _ETH_P_IP))
        self._socket.setblocking(False)
        self.datagrams: list[tuple[Address, Address, bytes]] = []  # from, to, what
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def close(self) -> None:
        self._read()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(1000):
            try:
                packet, (*_, kind, _, _) = self._socket.recvfrom(1 << 16)
            except BlockingIOError:
                return
            if kind != socket.PACKET_HOST:  # going out; the same one comes in
                continue
            at = (packet[0] & 15) * 4
            source_port, port, length = struct.unpack_from("!HHH", packet, at)
            source, to = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
            self.datagrams.append(((source, source_port), (to, port), packet[at + 8 : at + length]))

    def sip(self, recorder: Address, peer_port: int) -> list[Passed]:
        """The messages between the recorder and a peer, whichever way they took."""
        return [
            Passed(0.0, to == recorder, parse_message(data))
            for source, to, data in self.datagrams
            if recorder in (source, to) and peer_port in (source[1], to[1]) and not is_keepalive(data)
        ]

    def rtp(self, port: int) -> list[bytes]:
        """The RTP datagrams to or from a port."""
        return [
            data
            for source, to, data in self.datagrams
            if port in (source[1], to[1]) and len(data) > 12 and data[0] >> 6 == 2 and data[1] & 0x7F < 20
        ]


_ETH_P_IP, _SO_ATTACH_FILTER = 0x0800, 26


class _Program:
    """A filter of the kernel (classic BPF), as setsockopt takes it: its length and where it lies."""

    def __init__(self, *steps: tuple[int, int, int, int]) -> None:
        self._count = len(steps)
        self._code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))

    def as_option(self) -> bytes:
        return struct.pack("HL", self._count, ctypes.addressof(self._code))


def _udp_only(port: int) -> _Program:
    """UDP over IPv4, from or to a port. Steps are (code, if true skip, if false skip, k)."""
    load_byte, load_half_at_x, header_length, equal, give = 0x30, 0x48, 0xB1, 0x15, 0x06
    if not port:
        return _Program((load_byte, 0, 0, 9), (equal, 0, 1, 17), (give, 0, 0, 1 << 16), (give, 0, 0, 0))
    return _Program(
        (load_byte, 0, 0, 9), (equal, 0, 6, 17), (header_length, 0, 0, 0),
        (load_half_at_x, 0, 0, 0), (equal, 2, 0, port), (load_half_at_x, 0, 0, 2), (equal, 0, 1, port),
        (give, 0, 0, 1 << 16), (give, 0, 0, 0),
    )  # fmt: skip


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
