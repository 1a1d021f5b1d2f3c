"""Captured frames → UDP datagrams and TCP bytes: Ethernet, VLAN, PPPoE, Linux cooked, loopback, raw IP; IPv4 and IPv6
with fragments.

Total and bounded: a frame that is damaged, cut off or of another kind gives nothing. Checksums are not verified, because
network cards fill them in after the capture. TCP is put in order per direction, a gap is skipped after MAX_WAITING bytes.
"""

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from callqa.sip.media.pcap import Frame

Address = tuple[str, int]

_ETHERNET, _COOKED, _COOKED2, _NULL, _LOOP = 1, 113, 276, 0, 108
_RAW = frozenset({12, 14, 101, 228, 229})
_VLANS = frozenset({0x8100, 0x88A8, 0x9100})
_PPPOE, _IPV4, _IPV6 = 0x8864, 0x0800, 0x86DD
_TCP, _UDP, _FRAGMENT = 6, 17, 44
_EXTENSIONS = frozenset({0, 43, 60})  # hop-by-hop, routing, destination options
MAX_FRAGMENTED = 256  # datagrams in pieces at one time; a phone sends an INVITE in two
MAX_PIECES = 64  # of one datagram: 64 kB at the smallest usual link
MAX_WAITING = 1 << 16  # bytes of one TCP direction held back for a missing piece
MAX_FLOWS = 4096
MAX_TAGS = 8


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDP datagram, or the next bytes of one TCP direction (stream: True)."""

    at_ns: int
    source: Address
    destination: Address
    data: bytes
    stream: bool = False


@dataclass(frozen=True, slots=True)
class _Packet:
    """The inside of one whole IP packet."""

    protocol: int
    source: bytes
    destination: bytes
    data: bytes


@dataclass(slots=True)
class _Pieces:
    parts: dict[int, bytes] = field(default_factory=dict)
    total: int | None = None


@dataclass(slots=True)
class _Flow:
    """One direction of a TCP connection. next_seq: None until its first bytes."""

    next_seq: int | None = None
    waiting: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Host:
    """What is remembered between frames."""

    fragments: dict[tuple[bytes, bytes, int, int], _Pieces] = field(default_factory=dict)
    flows: dict[tuple[bytes, int, bytes, int], _Flow] = field(default_factory=dict)
    names: dict[bytes, str] = field(default_factory=dict)

    def name(self, address: bytes) -> str:
        found = self.names.get(address)
        if found is None:
            found = self.names[address] = str(ipaddress.ip_address(address))
        return found


def read_datagrams(frames: Iterable[Frame]) -> Iterator[Datagram]:
    """Every UDP datagram, and every stretch of TCP bytes in order, as the frames go by."""
    host = _Host()
    for frame in frames:
        packet = _ip_packet(_network_layer(frame), host)
        if packet is None:
            continue
        if packet.protocol == _UDP and len(packet.data) >= 8:
            source, destination, length = struct.unpack_from("!HHH", packet.data)
            if 8 <= length <= len(packet.data):
                ends = (host.name(packet.source), source), (host.name(packet.destination), destination)
                yield Datagram(frame.at_ns, *ends, packet.data[8:length])
        elif packet.protocol == _TCP:
            yield from _tcp(frame.at_ns, packet, host)


def _network_layer(frame: Frame) -> bytes:
    """The IP packet of a frame, or b""."""
    data = frame.data
    if frame.link in _RAW:
        return data
    if frame.link in (_NULL, _LOOP):
        return data[4:]
    if frame.link == _ETHERNET:
        at = 12
    elif frame.link == _COOKED:
        at = 14
    elif frame.link == _COOKED2:
        return data[20:] if data[:2] in (b"\x08\x00", b"\x86\xdd") else b""
    else:
        return b""
    for _ in range(MAX_TAGS):
        if len(data) < at + 2:
            return b""
        kind = int.from_bytes(data[at : at + 2], "big")
        if kind in (_IPV4, _IPV6):
            return data[at + 2 :]
        if kind == _PPPOE and data[at + 8 : at + 10] in (b"\x00\x21", b"\x00\x57"):
            return data[at + 10 :]
        if kind not in _VLANS:
            return b""
        at += 4
    return b""


def _ip_packet(data: bytes, host: _Host) -> _Packet | None:
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        return _ipv4(data, host)
    if version == 6 and len(data) >= 40:
        return _ipv6(data, host)
    return None


def _ipv4(data: bytes, host: _Host) -> _Packet | None:
    head = (data[0] & 0x0F) * 4
    # A total length of 0 is segmentation offload: the card would have filled it in.
    total = int.from_bytes(data[2:4], "big") or len(data)
    if head < 20 or total < head or len(data) < head:
        return None
    number, offset = struct.unpack_from("!HH", data, 4)
    packet = _Packet(data[9], data[12:16], data[16:20], data[head:total])
    if not offset & 0x3FFF:
        return packet
    return _join(packet, number, (offset & 0x1FFF) * 8, bool(offset & 0x2000), host)


def _ipv6(data: bytes, host: _Host) -> _Packet | None:
    source, destination = data[8:24], data[24:40]
    length = int.from_bytes(data[4:6], "big")
    kind, at, end = data[6], 40, min(len(data), 40 + length) if length else len(data)
    for _ in range(MAX_TAGS):
        if kind in _EXTENSIONS and at + 8 <= end:
            kind, at = data[at], at + 8 + data[at + 1] * 8
        elif kind == _FRAGMENT and at + 8 <= end:
            after, _, offset, number = struct.unpack_from("!BBHI", data, at)
            packet = _Packet(after, source, destination, data[at + 8 : end])
            return _join(packet, number, offset & 0xFFF8, bool(offset & 1), host)
        else:
            break
    return _Packet(kind, source, destination, data[at:end]) if at <= end else None


def _join(packet: _Packet, number: int, offset: int, more: bool, host: _Host) -> _Packet | None:
    """The whole packet when its last missing piece came, else None. The oldest unfinished one gives way."""
    key = (packet.source, packet.destination, packet.protocol, number)
    pieces = host.fragments.get(key)
    if pieces is None:
        if len(host.fragments) >= MAX_FRAGMENTED:
            del host.fragments[next(iter(host.fragments))]
        pieces = host.fragments[key] = _Pieces()
    if offset + len(packet.data) <= 0xFFFF and len(pieces.parts) < MAX_PIECES:
        pieces.parts.setdefault(offset, packet.data)
        pieces.total = pieces.total if more else offset + len(packet.data)
    whole = bytearray()
    for start in sorted(pieces.parts):
        if start > len(whole):
            return None
        whole[start:] = pieces.parts[start][: 0xFFFF - start]
    if pieces.total is None or len(whole) < pieces.total:
        return None
    del host.fragments[key]
    return _Packet(packet.protocol, packet.source, packet.destination, bytes(whole[: pieces.total]))


def _tcp(at_ns: int, packet: _Packet, host: _Host) -> Iterator[Datagram]:
    if len(packet.data) < 20:
        return
    source, destination, seq = struct.unpack_from("!HHI", packet.data)
    head, flags = (packet.data[12] >> 4) * 4, packet.data[13]
    key = (packet.source, source, packet.destination, destination)
    if flags & 0x02:  # SYN: a new connection on the same ports
        host.flows.pop(key, None)
        seq = (seq + 1) & 0xFFFF_FFFF
    flow = host.flows.get(key)
    if flow is None:
        if len(host.flows) >= MAX_FLOWS:
            del host.flows[next(iter(host.flows))]
        flow = host.flows[key] = _Flow(seq if flags & 0x02 else None)
    data = packet.data[head:] if 20 <= head <= len(packet.data) else b""
    if data:
        ready = _in_order(flow, seq, data)
        if ready:
            ends = (host.name(packet.source), source), (host.name(packet.destination), destination)
            yield Datagram(at_ns, *ends, ready, stream=True)


def _in_order(flow: _Flow, seq: int, data: bytes) -> bytes:
    """What can be read on now that `data` came at `seq`; a piece that never came is skipped once enough waits."""
    if flow.next_seq is None:
        flow.next_seq = seq
    flow.waiting.setdefault(seq, data)
    if len(flow.waiting[seq]) < len(data):
        flow.waiting[seq] = data
    if sum(map(len, flow.waiting.values())) > MAX_WAITING:
        flow.next_seq = min(flow.waiting, key=lambda s: _ahead(s, flow.next_seq or 0))
    ready = bytearray()
    while flow.waiting:
        start = min(flow.waiting, key=lambda s: _ahead(s, flow.next_seq or 0))
        ahead = _ahead(start, flow.next_seq)
        if ahead > 0:
            break
        fresh = flow.waiting.pop(start)[-ahead:]
        ready += fresh
        flow.next_seq = (flow.next_seq + len(fresh)) & 0xFFFF_FFFF
    return bytes(ready)


def _ahead(seq: int, base: int) -> int:
    """How far seq lies after base, modulo 2**32, as a signed number."""
    return (seq - base + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000


def udp_frame(at_ns: int, source: Address, destination: Address, data: bytes) -> Frame:
    """A raw IP frame with one UDP datagram, checksums filled in. Both addresses are of the same family."""
    a, b = ipaddress.ip_address(source[0]).packed, ipaddress.ip_address(destination[0]).packed
    length = 8 + len(data)
    pseudo = a + b + struct.pack("!II" if len(a) == 16 else "!xBH", *((length, 17) if len(a) == 16 else (17, length)))
    udp = struct.pack("!HHH", source[1], destination[1], length)
    udp += struct.pack("!H", _checksum(pseudo + udp + b"\0\0" + data) or 0xFFFF) + data
    if len(a) == 16:
        return Frame(at_ns, 101, struct.pack("!IHBB", 0x6000_0000, length, 17, 64) + a + b + udp)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, 64, 17, 0) + a + b
    return Frame(at_ns, 101, head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + udp)


def _checksum(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
