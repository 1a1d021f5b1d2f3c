"""Calls made up for the media tests: two senders with known bytes, a network between, and the spool they leave."""

import random
from dataclasses import dataclass, replace

from callqa.sip.media.rtp import RtpPacket, build_rtp
from callqa.sip.media.spool import (
    MAGIC,
    AnsweredMark,
    EndedMark,
    MediaMark,
    PacketRecord,
    SpoolRecord,
    StartedMark,
    encode_mark,
    encode_packet,
)

MS = 1_000_000
ZERO_NS = 5_000_000_000  # the answer
WALL_MS = 1_795_291_200_000  # 2026-11-21 20:00 UTC, which is the 22nd in Shanghai
G711 = ((8, "PCMA/8000"), (0, "PCMU/8000"), (101, "telephone-event/8000"))


@dataclass(frozen=True)
class Sender:
    """One side: frame k has `frame_bytes` of its own, sent at start_ms + 20 k."""

    channel: int
    frames: int
    start_ms: int = 0
    seed: int = 1
    payload_type: int = 8
    sequence: int = 100
    timestamp: int = 1000
    ssrc: int = 0x1234
    frame_bytes: int = 160

    def payload(self, k: int) -> bytes:
        return random.Random(self.seed * 1_000_003 + k).randbytes(self.frame_bytes)

    def audio(self) -> bytes:
        return b"".join(self.payload(k) for k in range(self.frames))

    def packet(self, k: int) -> RtpPacket:
        return RtpPacket(
            self.payload_type,
            k == 0,
            (self.sequence + k) & 0xFFFF,
            (self.timestamp + k * self.frame_bytes) & 0xFFFF_FFFF,
            self.ssrc,
            self.payload(k),
        )

    def record(self, k: int, delay_ms: float = 0.0) -> PacketRecord:
        at_ns = ZERO_NS + round((self.start_ms + k * self.frame_bytes / 8 + delay_ms) * MS)
        return PacketRecord(self.channel, at_ns, build_rtp(self.packet(k)))

    def records(self) -> list[PacketRecord]:
        return [self.record(k) for k in range(self.frames)]


def call(packets: list[PacketRecord], duration_ms: int, marks: list[SpoolRecord] | None = None) -> list[SpoolRecord]:
    """The records of a call answered at ZERO_NS: packets in order of arrival between the usual marks."""
    middle = sorted([*packets, *(marks or [])], key=when)
    return [
        StartedMark(
            at_ns=ZERO_NS - 3000 * MS,
            wall_ms=WALL_MS,
            call_id="20261122T000000000Z-T-1",
            mode="bridge",
            direction="inbound",
            from_number="13871206358",
            to_number="96510",
        ),
        MediaMark(at_ns=ZERO_NS - 2000 * MS, channel=0, codecs=G711),
        MediaMark(at_ns=ZERO_NS - 2000 * MS, channel=1, codecs=G711),
        AnsweredMark(at_ns=ZERO_NS, seat_extension="8001", sip_call_ids=("a", "b")),
        *middle,
        EndedMark(at_ns=ZERO_NS + duration_ms * MS, hangup_party="citizen"),
    ]


def when(record: SpoolRecord) -> int:
    return record.arrival_ns if isinstance(record, PacketRecord) else record.at_ns


def spool_bytes(records: list[SpoolRecord]) -> bytes:
    parts = [MAGIC]
    for record in records:
        if isinstance(record, PacketRecord):
            parts.append(encode_packet(record.channel, record.arrival_ns, record.data))
        else:
            parts.append(encode_mark(record))
    return b"".join(parts)


__all__ = ["G711", "MS", "ZERO_NS", "Sender", "call", "replace", "spool_bytes", "when"]
