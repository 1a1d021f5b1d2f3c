"""Captures made up for the tests: SIP and RTP frames between a citizen and a seat, over several links and transports."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace

from callqa.sip.media.layers import Address, udp_frame
from callqa.sip.media.pcap import Frame
from tests.media.builders import MS, Sender

T0_NS = 1_793_664_870_000_000_000  # 2026-11-03 08:14:30 in Shanghai


@dataclass(frozen=True)
class Talk:
    """One dialog: who calls whom from which addresses. Instants in ms after T0_NS."""

    caller: str = "13871206358"
    callee: str = "8001"
    caller_at: Address = ("10.0.0.1", 5060)
    callee_at: Address = ("10.0.0.2", 5060)
    caller_rtp: Address = ("10.0.0.1", 30000)
    callee_rtp: Address = ("10.0.0.2", 40000)
    call_id: str = "talk-1"
    start_ms: int = 0
    answer_ms: int = 3000
    frames: int = 100
    bye_by: str = "caller"
    codec: str = "8"
    rtpmap: str = ""
    seed: int = 1
    transport: str = "UDP"
    profile: str = "RTP/AVP"

    @property
    def end_ms(self) -> int:
        return self.answer_ms + self.frames * 20

    def message(self, kind: str) -> tuple[int, Address, Address, bytes]:
        at_ms, from_caller, line, number, body = {
            "INVITE": (self.start_ms, True, f"INVITE sip:{self.callee}@{host(self.callee_at)} SIP/2.0", "1 INVITE", self.sdp(self.caller_rtp)),
            "180": (self.start_ms + 100, False, "SIP/2.0 180 Ringing", "1 INVITE", ""),
            "200": (self.answer_ms, False, "SIP/2.0 200 OK", "1 INVITE", self.sdp(self.callee_rtp)),
            "486": (self.answer_ms, False, "SIP/2.0 486 Busy Here", "1 INVITE", ""),
            "ACK": (self.answer_ms + 10, True, f"ACK sip:{self.callee}@{host(self.callee_at)} SIP/2.0", "1 ACK", ""),
            "BYE": (self.end_ms, self.bye_by == "caller", f"BYE sip:x@{host(self.callee_at)} SIP/2.0", "2 BYE", ""),
        }[kind]  # fmt: skip
        a, b = f"<sip:{self.caller}@{host(self.caller_at)}>;tag=a", f"<sip:{self.callee}@{host(self.callee_at)}>"
        if kind not in ("INVITE", "180", "486"):
            b += ";tag=b"
        if kind == "BYE" and self.bye_by == "callee":
            a, b = b, a
        lines = [
            line, f"Via: SIP/2.0/{self.transport} {host(self.caller_at)};branch=z9hG4bK{kind}", f"From: {a}", f"To: {b}",
            f"Call-ID: {self.call_id}", f"CSeq: {number}", "Max-Forwards: 70",
        ]  # fmt: skip
        if body:
            lines.append("Content-Type: application/sdp")
        text = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])
        ends = (self.caller_at, self.callee_at) if from_caller else (self.callee_at, self.caller_at)
        return at_ms, *ends, text.encode()

    def sdp(self, rtp: Address) -> str:
        family = "IP6" if ":" in rtp[0] else "IP4"
        lines = [
            "v=0",
            f"o=- 1 1 IN {family} {rtp[0]}",
            "s=-",
            f"c=IN {family} {rtp[0]}",
            "t=0 0",
            f"m=audio {rtp[1]} {self.profile} {self.codec}",
        ]
        return "\r\n".join([*lines, *([f"a=rtpmap:{self.codec} {self.rtpmap}"] if self.rtpmap else []), ""])

    def senders(self) -> tuple[Sender, Sender]:
        """(caller, callee)."""
        payload_type = int(self.codec)
        a = Sender(0, self.frames, seed=self.seed, payload_type=payload_type, ssrc=self.seed * 2)
        return a, replace(a, channel=1, seed=self.seed + 100, ssrc=self.seed * 2 + 1)

    def signalling(self, *kinds: str) -> list[Frame]:
        found = [self.message(kind) for kind in kinds or ("INVITE", "180", "200", "ACK", "BYE")]
        return [udp_frame(T0_NS + at_ms * MS, a, b, data) for at_ms, a, b, data in found]

    def media(self) -> list[Frame]:
        made = []
        for sender, source, to in zip(
            self.senders(), (self.caller_rtp, self.callee_rtp), (self.callee_rtp, self.caller_rtp), strict=True
        ):
            for k in range(self.frames):
                at_ns = T0_NS + (self.answer_ms + 20 * k + 1) * MS
                made.append(udp_frame(at_ns, source, to, sender.record(k).data))
        return made

    def all(self) -> list[Frame]:
        return in_time([*self.signalling(), *self.media()])


def host(address: Address) -> str:
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def in_time(frames: Iterable[Frame]) -> list[Frame]:
    return sorted(frames, key=lambda frame: frame.at_ns)


def wrapped(frame: Frame, link: str) -> Frame:
    """A raw IP frame behind another link layer."""
    kind = b"\x86\xdd" if frame.data[0] >> 4 == 6 else b"\x08\x00"
    mac = bytes(12)
    number, head = {
        "raw": (101, b""),
        "ethernet": (1, mac + kind),
        "vlan": (1, mac + b"\x81\x00\x00\x05" + kind),
        "two vlans": (1, mac + b"\x88\xa8\x00\x05\x81\x00\x00\x06" + kind),
        "pppoe": (1, mac + b"\x88\x64\x11\x00\x00\x01\x00\x00" + (b"\x00\x57" if kind == b"\x86\xdd" else b"\x00\x21")),
        "cooked": (113, bytes(14) + kind),
        "cooked 2": (276, kind + bytes(18)),
        "loopback": (0, b"\x02\x00\x00\x00"),
    }[link]
    return Frame(frame.at_ns, number, head + frame.data)


def fragments(frame: Frame, size: int, number: int = 77) -> list[Frame]:
    """A raw IPv4 or IPv6 frame in pieces of `size` bytes (a multiple of 8)."""
    data = frame.data
    made = []
    head = 20 if data[0] >> 4 == 4 else 40
    body = data[head:]
    for at in range(0, len(body), size):
        piece, more = body[at : at + size], at + size < len(body)
        if head == 20:
            start = bytearray(data[:20])
            start[2:4] = struct.pack("!H", 20 + len(piece))
            start[4:8] = struct.pack("!HH", number, at // 8 | (0x2000 if more else 0))
            made.append(Frame(frame.at_ns, frame.link, bytes(start) + piece))
        else:
            start = bytearray(data[:40])
            start[4:6], start[6] = struct.pack("!H", 8 + len(piece)), 44
            extension = struct.pack("!BBHI", data[6], 0, at | more, number)
            made.append(Frame(frame.at_ns, frame.link, bytes(start) + extension + piece))
    return made


def tcp_frame(at_ns: int, source: Address, destination: Address, seq: int, data: bytes, *, syn: bool = False) -> Frame:
    """A raw IPv4 frame with one TCP segment; checksums left to the card, as captures show them."""
    a, b = (bytes(map(int, address[0].split("."))) for address in (source, destination))
    tcp = struct.pack(
        "!HHIIBBHHH", source[1], destination[1], seq & 0xFFFF_FFFF, 0, 0x50, 2 if syn else 0x18, 9000, 0, 0
    )
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp) + len(data), 0, 0, 64, 6, 0) + a + b
    return Frame(at_ns, 101, head + tcp + data)


def pcapng(frames: Iterable[Frame], order: str = "<", resolution: int = 9) -> bytes:
    """A pcapng file: one interface a link type, enhanced packet blocks, an unknown block between."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack(f"{order}II", kind, 12 + len(body)) + body + struct.pack(f"{order}I", 12 + len(body))

    found = list(frames)
    links = list(dict.fromkeys(frame.link for frame in found))
    option = struct.pack(f"{order}HHB3xHH", 9, 1, resolution, 0, 0)
    parts = [block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1)), block(0x0BAD, b"strange")]
    parts += [block(1, struct.pack(f"{order}HHI", link, 0, 0) + option) for link in links]
    for frame in found:
        ticks = frame.at_ns * 10**resolution // 1_000_000_000
        head = struct.pack(
            f"{order}IIIII", links.index(frame.link), ticks >> 32, ticks & 0xFFFF_FFFF, len(frame.data), len(frame.data)
        )
        parts.append(block(6, head + frame.data))
    return b"".join(parts)


def pcap(frames: Iterable[Frame], order: str = "<", *, nanoseconds: bool = True) -> bytes:
    """A classic pcap file in either byte order and clock."""
    found = list(frames)
    magic, tick = (0xA1B23C4D, 1) if nanoseconds else (0xA1B2C3D4, 1000)
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262144, found[0].link if found else 1)]
    for frame in found:
        seconds, rest = divmod(frame.at_ns, 10**9)
        parts.append(struct.pack(f"{order}IIII", seconds, rest // tick, len(frame.data), len(frame.data)) + frame.data)
    return b"".join(parts)
