"""RTCP (RFC 3550 §6): what a peer reports of its sending and of what it hears of us, and our reports to it.

`parse_rtcp` is total and bounded: any bytes give a Report, in which what could not be read is left out. `RtcpSession` is one
leg's exchange without socket or clock: it notes the peer's reports, says when ours is due and writes it. Reports go out every
5 s, each interval drawn from half to one and a half of it (§6.2, §6.3.1), so that legs do not fall into step.

Does not do: XR (RFC 3611), feedback messages (RFC 4585), reports of more than one sender a leg.
"""

import itertools
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

SENDER, RECEIVER, DESCRIPTION, BYE = 200, 201, 202, 203
FIRST_TYPE, LAST_TYPE = 192, 223  # RFC 5761 §4: the second byte of what is RTCP on a port shared with RTP
INTERVAL_S = 5.0
COMPENSATION = 1.21828  # §6.3.1: e - 1.5
MOST_PACKETS = 32  # in one datagram; a compound has two to four
CLOCK_RATE_HZ = 8000
_NTP_AFTER_UNIX_S = 2_208_988_800
_HEAD = struct.Struct("!BBHI")
_SENDER_INFO = struct.Struct("!QIII")
_BLOCK = struct.Struct("!II I I II")


@dataclass(frozen=True, slots=True)
class SenderInfo:
    """What a sender report says of its sending. ntp: its wall clock, 32.32 bits; rtp: the same instant in its RTP clock."""

    ssrc: int
    ntp: int
    rtp: int
    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class Block:
    """What a peer hears of one of our streams. jitter: in its RTP clock; lsr, dlsr: 16.16 seconds (§6.4.1)."""

    ssrc: int
    fraction_lost: float
    lost: int
    highest: int
    jitter: int
    lsr: int
    dlsr: int


@dataclass(frozen=True, slots=True)
class Report:
    """One datagram of RTCP. alive: it had at least one packet that could be read."""

    alive: bool = False
    sender: SenderInfo | None = None
    blocks: tuple[Block, ...] = ()
    bye: bool = False


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram on a shared port is RTCP."""
    return len(data) >= 8 and data[0] & 0xC0 == 0x80 and FIRST_TYPE <= data[1] <= LAST_TYPE


def parse_rtcp(data: bytes) -> Report:
    """Read a compound packet, or a lone one (RFC 5506), up to the first byte that makes no sense."""
    alive, bye, sender, blocks = False, False, None, []
    at = 0
    for _ in range(MOST_PACKETS):
        if at + 8 > len(data) or data[at] & 0xC0 != 0x80:
            break
        first, kind, words, ssrc = _HEAD.unpack_from(data, at)
        end = at + 4 * (words + 1)
        if end > len(data) or not FIRST_TYPE <= kind <= LAST_TYPE:
            break
        alive = True
        start = at + 8
        if kind == SENDER and start + _SENDER_INFO.size <= end:
            sender = SenderInfo(ssrc, *_SENDER_INFO.unpack_from(data, start))
            start += _SENDER_INFO.size
            blocks += _blocks(data, start, end, first & 31)
        elif kind == RECEIVER:
            blocks += _blocks(data, start, end, first & 31)
        bye = bye or kind == BYE
        at = end
    return Report(alive, sender, tuple(blocks), bye)


def _blocks(data: bytes, start: int, end: int, count: int) -> list[Block]:
    found = []
    for at in range(start, min(end, start + count * _BLOCK.size) - _BLOCK.size + 1, _BLOCK.size):
        ssrc, losses, highest, jitter, lsr, dlsr = _BLOCK.unpack_from(data, at)
        lost = losses & 0xFF_FFFF
        found.append(
            Block(ssrc, (losses >> 24) / 256, lost - (1 << 24) if lost >> 23 else lost, highest, jitter, lsr, dlsr)
        )
    return found


@dataclass(frozen=True, slots=True)
class Sent:
    """What we send to the peer: the last packet's SSRC, timestamp and instant, and totals since the SSRC began."""

    ssrc: int
    timestamp: int
    at_ns: int
    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class PeerReport:
    """What one report of the peer told, as it is kept with the call. peer_lost_pct, peer_jitter_ms: of what it hears of us;
    rtt_ms: there and back; highest: the last of our packets it has; packets, ntp, rtp: of its own sending."""

    packets: int | None = None
    ntp: int | None = None
    rtp: int | None = None
    peer_lost_pct: float | None = None
    peer_jitter_ms: float | None = None
    rtt_ms: float | None = None
    highest: int | None = None


class Heard:
    """Reception figures of one leg, from its packet count and its latest packet, looked at now and then.

    Between two looks fewer than 2^15 packets come, so the sequence number is unwrapped without seeing each.
    """

    def __init__(self) -> None:
        self.ssrc: int | None = None
        self.jitter = 0.0
        self._base = 0
        self._highest = 0
        self._packets = 0  # of this SSRC
        self._count = 0  # of the leg, at the last look
        self._prior = (0, 0)  # expected, received at the last report

    def look(self, latest: bytes, count: int) -> None:
        """latest: the newest RTP packet, at least its header; count: packets of the leg so far."""
        if len(latest) < 12 or count == self._count:
            return
        sequence, ssrc = int.from_bytes(latest[2:4], "big"), int.from_bytes(latest[8:12], "big")
        new = count - self._count
        self._count = count
        step = (sequence - self._highest) & 0xFFFF
        if ssrc != self.ssrc or 0x8000 <= step < 0xFF00:  # another sender, or the same anew
            self.ssrc, self._highest, self._packets = ssrc, sequence, new
            self._base = sequence - new + 1
            self._prior = (0, 0)
            self.jitter = 0.0
            return
        self._packets += new
        if step < 0x8000:
            self._highest += step

    def measure(self, arrivals: list[tuple[int, int]]) -> None:
        """Jitter (§6.4.1) of some packets in a row: (arrival in ns, timestamp) each."""
        for (a, s), (b, t) in itertools.pairwise(arrivals):
            step = (t - s + 0x8000_0000) % (1 << 32) - 0x8000_0000
            difference = abs((b - a) * CLOCK_RATE_HZ / 1e9 - step)
            if difference < CLOCK_RATE_HZ:
                self.jitter += (difference - self.jitter) / 16

    def block(self, lsr: int, dlsr: int) -> bytes:
        """Our report block of this sender."""
        assert self.ssrc is not None
        expected = self._highest - self._base + 1
        lost = max(-0x80_0000, min(expected - self._packets, 0x7F_FFFF))
        new_expected, new_received = expected - self._prior[0], self._packets - self._prior[1]
        self._prior = (expected, self._packets)
        new_lost = new_expected - new_received
        fraction = min(255, 256 * new_lost // new_expected) if new_lost > 0 and new_expected > 0 else 0
        return _BLOCK.pack(
            self.ssrc, fraction << 24 | lost & 0xFF_FFFF, self._highest & 0xFFFF_FFFF, round(self.jitter), lsr, dlsr
        )


class RtcpSession:
    """One leg's exchange of reports. tokens: unguessable text, for our SSRC, our name and the intervals."""

    def __init__(self, tokens: Callable[[], str], now_ns: int) -> None:
        self._tokens = tokens
        self.ssrc = zlib.crc32(tokens().encode()) or 1
        self._name = tokens().encode()[:24]
        self.heard = Heard()
        self.due_ns = now_ns + self._pause_ns() // 2  # §6.2: the first after half the interval
        self._peer_sr: tuple[int, int] | None = None  # middle 32 bits of its NTP time, when it came
        self._sent_sr: dict[int, int] = {}  # middle 32 bits of ours -> when it went
        self._sent_anything = False

    def receive(self, data: bytes, now_ns: int) -> PeerReport | None:
        """Take a datagram of the peer; None when nothing in it is RTCP."""
        report = parse_rtcp(data)
        if not report.alive:
            return None
        sender = report.sender
        if sender is not None:
            self._peer_sr = (sender.ntp >> 16 & 0xFFFF_FFFF, now_ns)
        told = report.blocks[0] if report.blocks else None
        return PeerReport(
            sender.packets if sender else None,
            sender.ntp if sender else None,
            sender.rtp if sender else None,
            round(100 * told.fraction_lost, 1) if told else None,
            round(told.jitter * 1000 / CLOCK_RATE_HZ, 1) if told else None,
            self._rtt_ms(told, now_ns) if told else None,
            told.highest if told else None,
        )

    def _rtt_ms(self, told: Block, now_ns: int) -> float | None:
        """§6.4.1: A - LSR - DLSR, by our own monotonic clock."""
        went_ns = self._sent_sr.get(told.lsr)
        if went_ns is None:
            return None
        rtt_ns = now_ns - went_ns - told.dlsr * 1_000_000_000 // 65536
        return round(rtt_ns / 1e6, 1) if 0 <= rtt_ns < 10_000_000_000 else None

    def report(self, now_ns: int, wall_ms: int, sent: Sent | None) -> bytes:
        """Our report now; sets when the next is due."""
        self.due_ns = now_ns + self._pause_ns()
        ntp = ntp_of(wall_ms)
        block = b""
        if self.heard.ssrc is not None:
            lsr, at_ns = self._peer_sr or (0, 0)
            dlsr = min((now_ns - at_ns) * 65536 // 1_000_000_000, 0xFFFF_FFFF) if lsr else 0
            block = self.heard.block(lsr, dlsr)
        self._sent_anything = True
        if sent is None:
            return _packet(RECEIVER, self.ssrc, block, len(block) // 24) + self._description(self.ssrc)
        middle = ntp >> 16 & 0xFFFF_FFFF
        self._sent_sr[middle] = now_ns
        while len(self._sent_sr) > 8:
            del self._sent_sr[next(iter(self._sent_sr))]
        timestamp = sent.timestamp + (now_ns - sent.at_ns) * CLOCK_RATE_HZ // 1_000_000_000
        info = _SENDER_INFO.pack(ntp, timestamp & 0xFFFF_FFFF, sent.packets & 0xFFFF_FFFF, sent.octets & 0xFFFF_FFFF)
        return _packet(SENDER, sent.ssrc, info + block, len(block) // 24) + self._description(sent.ssrc)

    def farewell(self, sent: Sent | None) -> bytes:
        """BYE, where anything of us went before (§6.3.7); else nothing."""
        if not self._sent_anything:
            return b""
        ssrc = sent.ssrc if sent else self.ssrc
        return _packet(RECEIVER, ssrc, b"", 0) + self._description(ssrc) + _packet(BYE, ssrc, b"", 1)

    def _description(self, ssrc: int) -> bytes:
        item = bytes([1, len(self._name)]) + self._name + b"\0"
        return _packet(DESCRIPTION, ssrc, item + bytes(-len(item) % 4), 1)

    def _pause_ns(self) -> int:
        dice = zlib.crc32(self._tokens().encode()) / 0xFFFF_FFFF
        return round(INTERVAL_S * (0.5 + dice) / COMPENSATION * 1e9)


def ntp_of(wall_ms: int) -> int:
    """A UTC instant as 32.32 bits of NTP (§4)."""
    return ((wall_ms + _NTP_AFTER_UNIX_S * 1000) << 32) // 1000 & 0xFFFF_FFFF_FFFF_FFFF


def _packet(kind: int, ssrc: int, rest: bytes, count: int) -> bytes:
    return _HEAD.pack(0x80 | count, kind, (8 + len(rest)) // 4 - 1, ssrc) + rest


__all__ = ["Block", "Heard", "PeerReport", "Report", "RtcpSession", "SenderInfo", "Sent", "is_rtcp", "parse_rtcp"]
