"""A spool → frames of a capture, for Wireshark: the RTP as it arrived, and signalling rebuilt from the marks around it.

The two parties are shown as if they had called each other directly: each packet goes from its sender's media address to
the other's. Only addresses and instants of the signalling are ours; its text is rebuilt and says so (User-Agent).
"""

import ipaddress
from collections.abc import Iterable, Iterator

from callqa.sip.media.layers import Address, udp_frame
from callqa.sip.media.pcap import Frame
from callqa.sip.media.spool import AnsweredMark, EndedMark, MediaMark, PacketRecord, SpoolRecord, StartedMark, sides_of
from callqa.sip.wire.headers import Headers
from callqa.sip.wire.message import Message, Request, reply, serialise
from callqa.sip.wire.sdp import Codecs, MediaDirection, build_sdp

# RFC 5737 and RFC 3849: addresses that belong to nobody, for a side whose own was never told.
_NOBODY = (("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2"))
_SIP_PORT, _RTP_PORT = 5060, 20000
_NAMES = ("citizen", "agent")


def to_frames(records: Iterable[SpoolRecord]) -> Iterator[Frame]:
    """The frames of one call in order of the spool; nothing when the spool does not say whose it is."""
    found = list(records)
    started = next((r for r in found if isinstance(r, StartedMark)), None)
    if started is None:
        return
    play = _Play(started, found)
    for record in found:
        yield from play.frames(record)


class _Play:
    """The present addresses and codecs of both legs while the records go by."""

    def __init__(self, started: StartedMark, records: list[SpoolRecord]) -> None:
        self._started = started
        marks = [r for r in records if isinstance(r, MediaMark)]
        self._sides = sides_of(r for r in records if not isinstance(r, PacketRecord))
        self._remote: list[Address] = [self._first_remote(marks, channel) for channel in (0, 1)]
        self._codecs: list[Codecs] = [
            next((m.codecs for m in marks if self._sides[m.channel] == channel and m.codecs), ((8, "PCMA/8000"),))
            for channel in (0, 1)
        ]
        self._caller = 0 if started.direction == "inbound" else 1
        self._invite = self._build_invite()

    def frames(self, record: SpoolRecord) -> Iterator[Frame]:
        if isinstance(record, PacketRecord):
            side = self._sides[record.channel] or 0
            source = self._remote[side]
            if record.channel > 1:  # beside the side's own
                source = source[0], (source[1] + 2 * record.channel) % 0x1_0000 or 2
            yield udp_frame(self._wall_ns(record.arrival_ns), source, self._remote[1 - side], record.data)
        elif isinstance(record, MediaMark):
            if record.channel < 2 and record.remote and _version(record.remote[0]) == _version(self._remote[0][0]):
                self._remote[self._sides[record.channel] or 0] = record.remote
        elif isinstance(record, StartedMark):
            yield self._sip(record.at_ns, self._caller, self._invite)
        elif isinstance(record, AnsweredMark):
            callee = 1 - self._caller
            answer = reply(self._invite, 200, to_tag="callqa", body=self._sdp(callee))
            yield self._sip(record.at_ns, callee, answer)
            yield self._sip(record.at_ns, self._caller, self._request("ACK", self._caller, 1))
        elif isinstance(record, EndedMark):
            party = 1 if record.hangup_party == "agent" else 0
            yield self._sip(record.at_ns, party, self._request("BYE", party, 2))

    def _first_remote(self, marks: list[MediaMark], channel: int) -> Address:
        six = any(m.remote and _version(m.remote[0]) == 6 for m in marks)
        for mark in marks:
            if self._sides[mark.channel] == channel and mark.remote and _version(mark.remote[0]) == (6 if six else 4):
                return mark.remote
        return _NOBODY[six][channel], _RTP_PORT + 2 * channel

    def _wall_ns(self, at_ns: int) -> int:
        return max(0, self._started.wall_ms * 1_000_000 + at_ns - self._started.at_ns)

    def _sip(self, at_ns: int, sender: int, message: Message) -> Frame:
        ends = [(host, _SIP_PORT) for host, _ in self._remote]
        return udp_frame(self._wall_ns(at_ns), ends[sender], ends[1 - sender], serialise(message))

    def _uri(self, channel: int) -> str:
        number = self._started.from_number if channel == self._caller else self._started.to_number
        if channel == 1 and self._started.seat_extension:
            number = self._started.seat_extension
        host = self._remote[channel][0]
        return f"sip:{number or _NAMES[channel]}@{f'[{host}]' if ':' in host else host}"

    def _sdp(self, channel: int) -> bytes:
        host, port = self._remote[channel]
        return build_sdp(
            host, port, self._codecs[1 - channel], session_id=1, version=1, direction=MediaDirection.SENDRECV
        )

    def _build_invite(self) -> Request:
        headers = self._headers("INVITE", self._caller, 1).replaced("To", f"<{self._uri(1 - self._caller)}>")
        headers = headers.plus(("X-Ticket-Id", self._started.ticket_hint), ("Content-Type", "application/sdp"))
        return Request("INVITE", self._uri(1 - self._caller), headers, self._sdp(self._caller))

    def _request(self, method: str, sender: int, number: int) -> Request:
        return Request(method, self._uri(1 - sender), self._headers(method, sender, number))

    def _headers(self, method: str, sender: int, number: int) -> Headers:
        tags = {self._caller: "caller", 1 - self._caller: "callqa"}
        host = self._remote[sender][0]
        via = f"[{host}]" if ":" in host else host
        return Headers.of(
            ("Via", f"SIP/2.0/UDP {via}:{_SIP_PORT};branch=z9hG4bK{method.lower()}{number}"),
            ("Max-Forwards", "70"),
            ("From", f"<{self._uri(sender)}>;tag={tags[sender]}"),
            ("To", f"<{self._uri(1 - sender)}>;tag={tags[1 - sender]}"),
            ("Call-ID", self._started.sip_call_id or self._started.call_id),
            ("CSeq", f"{number} {method}"),
            ("User-Agent", "callqa export (signalling rebuilt)"),
        )


def _version(host: str) -> int:
    return ipaddress.ip_address(host).version
