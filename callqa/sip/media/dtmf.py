"""Digits that came as events (RFC 4733 telephone-event): one note for each key, never audio.

A key is sent as several packets with one timestamp, its duration growing, the last one three times with the end bit.
Every packet may be lost but one: the key is known by its timestamp, its length by the longest duration that came. A
key held longer than the duration field can say goes on under a new timestamp and is joined.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from callqa.sip.media.columns import SpoolColumns, rtp_columns
from callqa.sip.media.pauses import Pause, pauses_of
from callqa.sip.media.spool import AnsweredMark, MediaMark, sides_of
from callqa.units import Channel

EVENTS = {**{n: str(n) for n in range(10)}, 10: "*", 11: "#", 12: "A", 13: "B", 14: "C", 15: "D", 16: "flash"}
MAX_DIGITS = 1000  # of one side of one call; a menu takes dozens, a broken sender thousands
_JOIN_MS = 60
_EVENT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Digit:
    """One key of one side; milliseconds from the answer (it may be negative: early media)."""

    channel: Channel
    start_ms: int
    duration_ms: int
    digit: str


def read_digits(spool: SpoolColumns) -> tuple[Digit, ...]:
    """Every key of all streams, in order of start. Nothing of a call that was not answered."""
    answered_ns = next((mark.at_ns for _, mark in spool.marks if isinstance(mark, AnsweredMark)), None)
    if answered_ns is None:
        return ()
    pauses = pauses_of(mark for _, mark in spool.marks)
    sides = sides_of(mark for _, mark in spool.marks)
    found = [
        replace(digit, channel=Channel(sides[number] or 0))
        for number in spool.streams
        for digit in _leg_digits(spool, number, answered_ns)
        if not _paused(answered_ns + digit.start_ms * 1_000_000, pauses)
    ]
    return tuple(sorted(found, key=lambda each: (each.start_ms, each.channel)))


def _paused(at_ns: int, pauses: tuple[Pause, ...]) -> bool:
    """Whether a key went down while nothing was to be kept: its last packets may come after."""
    return any(p.from_ns <= at_ns and (p.to_ns is None or at_ns < p.to_ns) for p in pauses)


@dataclass(slots=True)
class _Key:
    digit: str
    stamp: int
    start_ms: float
    duration_ms: float


def _leg_digits(spool: SpoolColumns, channel: int, answered_ns: int) -> Iterable[Digit]:
    clocks = _event_clocks(spool, channel)
    if not clocks:
        return ()
    rtp = rtp_columns(spool, np.flatnonzero(spool.channel == channel))
    keys: dict[tuple[int, int], _Key] = {}
    for i in np.flatnonzero(np.isin(rtp.payload_type, list(clocks))).tolist():
        start, size = int(rtp.start[i]), int(rtp.size[i])
        payload = spool.data[start : start + size].tobytes()
        digit = EVENTS.get(payload[0]) if size >= _EVENT_BYTES else None
        if digit is None or len(keys) >= MAX_DIGITS:
            continue
        duration_ms = int.from_bytes(payload[2:4], "big") * 1000 / clocks[int(rtp.payload_type[i])]
        at_ms = (int(spool.arrival_ns[rtp.row[i]]) - answered_ns) / 1_000_000
        key = keys.setdefault(
            (int(rtp.ssrc[i]), int(rtp.timestamp[i])), _Key(digit, int(rtp.timestamp[i]), at_ms - duration_ms, 0.0)
        )
        key.duration_ms = max(key.duration_ms, duration_ms)
        # The packet that came soonest after what it tells of was delayed least.
        key.start_ms = min(key.start_ms, at_ms - duration_ms)
    return _joined(sorted(keys.values(), key=lambda key: key.start_ms))


def _event_clocks(spool: SpoolColumns, channel: int) -> dict[int, int]:
    """Payload types that were ever agreed to be telephone-event, and their clocks."""
    clocks: dict[int, int] = {}
    for _, mark in spool.marks:
        if isinstance(mark, MediaMark) and mark.channel == channel:
            for number, name in mark.codecs:
                kind, _, rate = name.lower().partition("/")
                if kind == "telephone-event":
                    clocks[number] = int(rate) if rate.isdigit() and int(rate) else 8000
    return clocks


def _joined(keys: list[_Key]) -> Iterable[Digit]:
    """Segments of one long key made one (RFC 4733 §2.5.1.3)."""
    whole: list[_Key] = []
    for key in keys:
        last = whole[-1] if whole else None
        full = last is not None and last.duration_ms >= 65_000 / 8
        if (
            last is not None
            and full
            and last.digit == key.digit
            and key.start_ms - (last.start_ms + last.duration_ms) <= _JOIN_MS
        ):
            last.duration_ms = key.start_ms + key.duration_ms - last.start_ms
        else:
            whole.append(key)
    return [Digit(Channel.CITIZEN, round(k.start_ms), round(k.duration_ms), k.digit) for k in whole]
