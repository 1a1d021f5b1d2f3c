"""The spool of one call: an append-only file of raw RTP packets and marks, from which all the rest can be made again.

    file   = MAGIC record*
    record = length u32 · crc32(body) u32 · body          (little endian; length counts the body)
    body   = 1 · channel u8 · arrival_ns u64 · RTP bytes as received
           | 2 · JSON of one mark

A channel is the number of one of the call's streams, 0 to 15. Which side a stream is on, its SideMark says; without one,
even numbers are the citizen's and odd ones the agent's, so 0 and 1 are the two legs of a bridged call.

`arrival_ns` and every mark's `at_ns` are the recorder's monotonic clock; the first mark anchors them to wall time.
Reading stops at the first record that is cut off or damaged: a damaged file gives a prefix, never an error.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from callqa.errors import SpoolError
from callqa.periods import from_ms

MAGIC = b"callqa-spool/1\n"
# A UDP datagram is at most 65 507 bytes, a mark far less; anything longer is a damaged length.
MAX_BODY_BYTES = 1 << 17
STREAMS_MOST = 16  # of one call: a conference of eight recorded leg by leg, twice what we saw

RECORD_HEAD = struct.Struct("<II")
PACKET_HEAD = struct.Struct("<BBQ")
KIND_PACKET = 1
KIND_MARK = 2


@dataclass(frozen=True, slots=True)
class PacketRecord:
    """One datagram on a stream's RTP port. channel: the stream's number."""

    channel: int
    arrival_ns: int
    data: bytes


StreamNumber = Annotated[int, Field(ge=0, lt=STREAMS_MOST)]
Side = Literal[0, 1] | None  # 0 citizen, 1 agent; None: both voices in one stream


class _Mark(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    at_ns: int = Field(ge=0)


class StartedMark(_Mark):
    """First mark of every spool: whose call it is, and what wall time `at_ns` was."""

    mark: Literal["started"] = "started"
    wall_ms: int
    call_id: str = Field(pattern=r"^[0-9A-Z-]{1,64}$")
    mode: Literal["bridge", "answer", "siprec", "import"]
    direction: Literal["inbound", "outbound"]
    from_number: str = ""
    to_number: str = ""
    sip_call_id: str = ""
    seat_extension: str | None = None
    ticket_hint: str | None = None
    user_to_user: str | None = None
    withheld: bool = False
    diverted_from: str = ""

    def wall_of(self, at_ns: int) -> int:
        """UTC milliseconds of a monotonic instant of the same recorder."""
        return self.wall_ms + (at_ns - self.at_ns + 500_000) // 1_000_000


class MediaMark(_Mark):
    """A stream's codecs, remote address or hold state are now these. paused: a recording client sends nothing on purpose."""

    mark: Literal["media"] = "media"
    channel: StreamNumber
    codecs: tuple[tuple[int, str], ...]
    remote: tuple[str, int] | None = None
    held: bool = False
    paused: bool = False


class SideMark(_Mark):
    """Which side a stream is on; the last one counts for the whole stream, since it is often told late."""

    mark: Literal["side"] = "side"
    channel: StreamNumber
    side: Side


class PartyMark(_Mark):
    """Somebody who is or was on the call, as told. A later one with the same address takes the place of an earlier one. left:
    he went, or stayed away, at this time."""

    mark: Literal["party"] = "party"
    name: str = ""
    address: str = ""
    side: Literal[0, 1]
    left: bool = False


class FactsMark(_Mark):
    """Facts of the call learnt after its start; None: as before."""

    mark: Literal["facts"] = "facts"
    direction: Literal["inbound", "outbound"] | None = None
    from_number: str | None = None
    to_number: str | None = None
    seat_extension: str | None = None
    sip_call_ids: tuple[str, ...] | None = None
    joined_by: str | None = None


class AnsweredMark(_Mark):
    """t = 0 of the recording."""

    mark: Literal["answered"] = "answered"
    seat_extension: str | None = None
    sip_call_ids: tuple[str, ...] = ()
    notice_ms: int = 0
    queued_ms: int = 0
    overflow_to: str = ""


class EndedMark(_Mark):
    """The call is over."""

    mark: Literal["ended"] = "ended"
    hangup_party: Literal["agent", "citizen", "network"] | None  # None: a recording client does not say


class ForeignMark(_Mark):
    """Datagrams from other addresses than the stream's, kept out of spool and relay; count since the last such mark."""

    mark: Literal["foreign"] = "foreign"
    channel: StreamNumber
    count: int = Field(ge=1)


class FaultMark(_Mark):
    """Something went wrong with this call; text is Chinese."""

    mark: Literal["fault"] = "fault"
    text: str


class PausedMark(_Mark):
    """录音暂停: from here on packets are relayed but not kept. Written again once a second while it lasts."""

    mark: Literal["paused"] = "paused"
    by: str = ""  # who asked: a user name, an extension
    reason: str = ""


class ResumedMark(_Mark):
    """Packets are kept again."""

    mark: Literal["resumed"] = "resumed"
    by: str = ""


class TransferredMark(_Mark):
    """One side of the call is somebody else's from here on. by: the seat that gave it away; sip_call_id: of the new leg."""

    mark: Literal["transferred"] = "transferred"
    kind: Literal["blind", "attended"]
    to: str = ""
    seat_extension: str | None = None
    by: str | None = None
    sip_call_id: str = ""


class MarkedMark(_Mark):
    """`*13` from a seat's phone during the call."""

    mark: Literal["marked"] = "marked"
    code: str
    seat_extension: str = ""


class DigitMark(_Mark):
    """A key that came as SIP INFO; those sent as RTP events are read from the packets."""

    mark: Literal["digit"] = "digit"
    channel: Literal[0, 1]
    digit: str
    duration_ms: int = Field(ge=0)


class RelatedMark(_Mark):
    """Another call of the same seat belongs to this one (咨询)."""

    mark: Literal["related"] = "related"
    call_id: str


class TroubleMark(_Mark):
    """One-way audio or no media at all began, or is over; at_ns is when it began. side: who is not heard, None = nobody is.
    sure: nothing else explains the silence."""

    mark: Literal["trouble"] = "trouble"
    kind: Literal["one_way", "no_media"]
    side: Literal[0, 1] | None = None
    until_ns: int | None = Field(default=None, ge=0)
    sure: bool = True


class RtcpMark(_Mark):
    """What one RTCP report of a stream's peer said; the ranges are those of the fields on the wire. ntp, rtp: the same instant by
    the peer's wall clock (32.32 s) and its RTP clock."""

    mark: Literal["rtcp"] = "rtcp"
    channel: StreamNumber
    packets: int | None = None
    ntp: int | None = None
    rtp: int | None = None
    peer_lost_pct: float | None = None
    peer_jitter_ms: float | None = None
    rtt_ms: float | None = None


Mark = (
    TroubleMark
    | RtcpMark
    | PausedMark
    | ResumedMark
    | StartedMark
    | MediaMark
    | SideMark
    | PartyMark
    | FactsMark
    | AnsweredMark
    | EndedMark
    | ForeignMark
    | FaultMark
    | TransferredMark
    | MarkedMark
    | DigitMark
    | RelatedMark
)
SpoolRecord = PacketRecord | Mark

_MARKS: TypeAdapter[Mark] = TypeAdapter(Annotated[Mark, Field(discriminator="mark")])


def encode_packet(channel: int, arrival_ns: int, data: bytes) -> bytes:
    """The record of one datagram."""
    body = PACKET_HEAD.pack(KIND_PACKET, channel, arrival_ns) + data
    return RECORD_HEAD.pack(len(body), zlib.crc32(body)) + body


def encode_mark(mark: Mark) -> bytes:
    """The record of one mark."""
    body = bytes([KIND_MARK]) + mark.model_dump_json().encode()
    return RECORD_HEAD.pack(len(body), zlib.crc32(body)) + body


def read_records(data: bytes) -> Iterator[SpoolRecord]:
    """Every whole record of a spool, in order, up to the first that is cut off or damaged.

    Raise SpoolError only when the file is no spool at all. Time and memory are linear in the file.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise SpoolError(f"spool starts with {data[:16]!r}, expected {MAGIC!r}")
    position, size, view = len(MAGIC), len(data), memoryview(data)
    while position + RECORD_HEAD.size <= size:
        length, crc = RECORD_HEAD.unpack_from(data, position)
        start = position + RECORD_HEAD.size
        position = start + length
        if not 1 <= length <= MAX_BODY_BYTES or position > size or zlib.crc32(view[start:position]) != crc:
            return
        record = _read_body(data, start, position)
        if record is None:
            return
        yield record


def _read_body(data: bytes, start: int, end: int) -> SpoolRecord | None:
    if data[start] == KIND_PACKET and end - start >= PACKET_HEAD.size:
        _, channel, arrival_ns = PACKET_HEAD.unpack_from(data, start)
        return (
            PacketRecord(channel, arrival_ns, data[start + PACKET_HEAD.size : end]) if channel < STREAMS_MOST else None
        )
    if data[start] == KIND_MARK:
        return read_mark(data[start + 1 : end])
    return None


def read_mark(body: bytes) -> Mark | None:
    """The mark that a record's JSON is, or None."""
    try:
        return _MARKS.validate_json(body)
    except ValidationError:
        return None


def sides_of(marks: Iterable[Mark]) -> tuple[Side, ...]:
    """The side of every stream that can be, by number: what its last SideMark says, else by its number."""
    sides: list[Side] = [1 if number % 2 else 0 for number in range(STREAMS_MOST)]
    for mark in marks:
        if isinstance(mark, SideMark):
            sides[mark.channel] = mark.side
    return tuple(sides)


# The first mark is well under this even with the longest numbers and hints a SIP message can carry.
FIRST_BYTES = 1 << 16


def read_started(data: bytes) -> StartedMark | None:
    """The first mark, from the first bytes of a spool file; None when it is not there."""
    try:
        first = next(read_records(data), None)
    except SpoolError:
        return None
    return first if isinstance(first, StartedMark) else None


def sidecar_path(started: StartedMark) -> PurePosixPath:
    """Where a call's sidecar lies, relative to the recordings folder."""
    return sidecar_place(started.wall_ms, started.call_id)


def sidecar_place(started_at_ms: int, call_id: str) -> PurePosixPath:
    """The same from its two facts: by the call's day in Asia/Shanghai."""
    return PurePosixPath(f"{from_ms(started_at_ms):%Y/%m/%d}") / f"{call_id}.json"
