"""What a spool holds of each leg of a call: whose packets, in which codec, and when the call was held or paused."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from callqa.sip.media.codec import CODECS, codec_of_type
from callqa.sip.media.columns import RtpColumns, SpoolColumns, rtp_columns
from callqa.sip.media.comfort import TYPES as COMFORT_TYPES
from callqa.sip.media.gapmap import Stretch, resting
from callqa.sip.media.pauses import pauses_of
from callqa.sip.media.rtp import MAX_PAYLOAD_BYTES
from callqa.sip.media.spool import AnsweredMark, EndedMark, ForeignMark, MediaMark, Side, sides_of
from callqa.sip.media.streams import CLOCK_RATE_HZ, Arrivals, Ints


@dataclass(slots=True)
class Leg:
    """One stream: columns over its packets. number: which; side: None has both voices."""

    number: int
    side: Side
    data: NDArray[np.uint8]  # what the payloads lie in
    at_ns: Ints
    rtp: RtpColumns
    codec: Ints  # index into CODECS, -1 no audio
    foreign: int
    unknown: dict[int, int]  # payload type → packets
    cell_bytes: int = 1  # of one tick of the timeline; more than 1 for audio that was decoded before (wide.py)
    comfort: NDArray[np.bool_] | None = None  # which packets are comfort noise, None: none is
    turns: tuple[int, ...] = ()  # records from which on the signalling names another peer


@dataclass(frozen=True, slots=True)
class CallRecords:
    """What the records of a call say of it."""

    legs: tuple[Leg, ...]
    answered_ns: int | None
    ended_ns: int | None
    last_ns: int
    holds: tuple[Stretch, ...]
    pauses: tuple[Stretch, ...]
    media: tuple[MediaMark, ...]


def gather(spool: SpoolColumns, cell_bytes: int) -> CallRecords:
    """Sort the records by leg. cell_bytes: of one tick of audio in the payloads."""
    marks = [mark for _, mark in spool.marks]
    media = tuple(mark for mark in marks if isinstance(mark, MediaMark))
    sides = sides_of(marks)
    return CallRecords(
        tuple(_leg(spool, number, sides[number], cell_bytes) for number in spool.streams),
        next((mark.at_ns for mark in marks if isinstance(mark, AnsweredMark)), None),
        next((mark.at_ns for mark in marks if isinstance(mark, EndedMark)), None),
        spool.last_ns,
        tuple(resting(media, lambda m: m.held and not m.paused)),
        tuple((pause.from_ns, pause.to_ns) for pause in pauses_of(marks)),
        media,
    )


def _leg(spool: SpoolColumns, channel: int, side: Side, cell_bytes: int) -> Leg:
    rows = np.flatnonzero(spool.channel == channel)
    rtp = rtp_columns(spool, rows)
    foreign = rows.size - rtp.row.size
    codec = np.full(rtp.row.size, -1, np.int64)
    unknown: Counter[int] = Counter()
    # A codec map holds from its mark to the next.
    maps: list[tuple[int, tuple[tuple[int, str], ...]]] = [(0, ())]
    for row, mark in spool.marks:
        if isinstance(mark, ForeignMark) and mark.channel == channel:
            foreign += mark.count
        elif isinstance(mark, MediaMark) and mark.channel == channel:
            maps.append((row, mark.codecs))
    edges = np.searchsorted(rtp.row, [row for row, _ in maps]).tolist()
    for (_, codecs), begin, end in zip(maps, edges, [*edges[1:], rtp.row.size], strict=True):
        types, counts = np.unique(rtp.payload_type[begin:end], return_counts=True)
        for payload_type, count in zip(types.tolist(), counts.tolist(), strict=True):
            index, known = _meaning(payload_type, codecs)
            codec[begin:end][rtp.payload_type[begin:end] == payload_type] = index
            if not known:
                unknown[payload_type] += count
    codec[(rtp.size == 0) | (rtp.size > MAX_PAYLOAD_BYTES)] = -1
    comfort = (codec < 0) & (rtp.size > 0) & np.isin(rtp.payload_type, COMFORT_TYPES)
    return Leg(
        channel, side, spool.data, spool.arrival_ns[rtp.row], rtp, codec, foreign, unknown, cell_bytes,
        comfort if comfort.any() else None, _turns(spool, channel),
    )  # fmt: skip


def _turns(spool: SpoolColumns, channel: int) -> tuple[int, ...]:
    """The records from which on a leg's SDP asks for audio at another address."""
    named = [
        (row, mark.remote)
        for row, mark in spool.marks
        if isinstance(mark, MediaMark) and mark.channel == channel and mark.remote is not None
    ]
    return tuple(row for (_, before), (row, after) in pairwise(named) if after != before)


def _meaning(payload_type: int, codecs: tuple[tuple[int, str], ...]) -> tuple[int, bool]:
    """(index into CODECS or -1, whether we know what it is) of a payload type under a map."""
    codec = codec_of_type(payload_type, codecs)
    return (CODECS.index(codec), True) if codec else (-1, _is_silent_type(payload_type, codecs))


def _is_silent_type(payload_type: int, codecs: tuple[tuple[int, str], ...]) -> bool:
    name = dict(codecs).get(payload_type, "").lower()
    return payload_type in COMFORT_TYPES or name.startswith(("telephone-event", "cn/"))


def arrivals_of(leg: Leg, zero_ns: int) -> Arrivals:
    """The leg's packets in order of arrival."""
    at = (leg.at_ns - zero_ns) * (CLOCK_RATE_HZ // 1000) // 1_000_000
    lasts = leg.rtp.size // leg.cell_bytes
    peer = np.searchsorted(leg.turns, leg.rtp.row, side="right")
    return Arrivals(at, leg.rtp.sequence, leg.rtp.timestamp, leg.rtp.ssrc, leg.codec >= 0, lasts, peer)
