"""Speech in which every millisecond says whose it is: call, side, frame and place in the frame.

A unit is 8 bytes of G.711, 20 units a frame. The first byte of a unit occurs nowhere else, and neither law's idle code
occurs at all, so that a master can be read back from whatever sample.
"""

import bisect
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

MARK = 0x81
FRAME_BYTES = 160
UNITS = 20
FRAME_NS = 20_000_000
_HEAD = struct.Struct(">BBHII")
_FRAMES: dict[tuple[int, int, int], bytes] = {}


def frame(call: int, side: int, number: int) -> bytes:
    """One 20 ms frame, 160 bytes."""
    key = (call, side, number)
    made = _FRAMES.get(key)
    if made is None:
        unit = np.empty((UNITS, 8), np.uint8)
        unit[:, 0] = MARK
        unit[:, 1] = 0x20 + call
        unit[:, 2] = 0x40 + side
        unit[:, 3] = 0x40 + (number >> 6 & 0x3F)
        unit[:, 4] = 0x40 + (number & 0x3F)
        unit[:, 5] = 1 + np.arange(UNITS)
        unit[:, 6] = 0x10 + (call + 3 * side + 5 * number + np.arange(UNITS)) % 13
        unit[:, 7] = 0x7E
        made = unit.tobytes()
        if len(_FRAMES) < 20_000:
            _FRAMES[key] = made
    return made


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """What a column of a master holds, in order of place: arrays of one entry a unit. start: sample of its frame's start."""

    at: np.ndarray
    call: np.ndarray
    side: np.ndarray
    number: np.ndarray
    start: np.ndarray


def read_units(column: np.ndarray) -> Units:
    """The whole units of a column of G.711 bytes, uint8 (n,)."""
    at = np.flatnonzero(column == MARK)
    at = at[at + 8 <= column.size]
    unit = column[at[:, None] + np.arange(8)].astype(np.int64)
    call, side, offset = unit[:, 1] - 0x20, unit[:, 2] - 0x40, unit[:, 5] - 1
    number = (unit[:, 3] - 0x40 << 6) + unit[:, 4] - 0x40
    good = (unit[:, 7] == 0x7E) & (unit[:, 6] - 0x10 == (call + 3 * side + 5 * number + offset) % 13)
    good &= (call >= 0) & (side >= 0) & (side < 32) & (offset >= 0) & (offset < UNITS)
    return Units(at[good], call[good], side[good], number[good], (at - 8 * offset)[good])


@dataclass(slots=True)
class Voice:
    """One sender of speech. heard: (frame, when it reached the recorder's socket, ns) in order of arrival."""

    call: int
    side: int
    ssrc: int
    sequence: int
    timestamp: int
    number: int = 0
    payload_type: int = 8
    address: tuple[str, int] = ("", 0)  # where it sends from
    marker: bool = True
    heard: list[tuple[int, int]] = field(default_factory=list)
    first_due_ns: int = 0
    sent_ns: dict[int, int] = field(default_factory=dict)
    begins: list[int] = field(default_factory=lambda: [0])  # frames at which another stream or clock begins
    resumes: list[int] = field(default_factory=list)  # frames before which it was silent

    @property
    def due_ns(self) -> int:
        """When the frame after the last one begins at the earliest."""
        return self.sent_ns[self.number - 1] + FRAME_NS if self.number else self.first_due_ns

    def resume(self, now_ns: int) -> None:
        """Speak after silence: the clock of the stream went on meanwhile (RFC 3550 §5.1)."""
        self.marker = True
        if self.number:
            self.resumes.append(self.number)
            self.timestamp = self.timestamp + (now_ns - self.due_ns) // 125_000 & 0xFFFFFFFF

    def packet(self, now_ns: int) -> tuple[bytes, int]:
        """The next RTP packet and the number of its frame."""
        number = self.number
        first = _HEAD.pack(
            0x80, self.payload_type | (0x80 if self.marker else 0), self.sequence, self.timestamp, self.ssrc
        )
        self.marker = False
        self.sequence = self.sequence + 1 & 0xFFFF
        self.timestamp = self.timestamp + FRAME_BYTES & 0xFFFFFFFF
        self.number += 1
        self.sent_ns[number] = now_ns
        return first + frame(self.call, self.side, number), number

    def stream_of(self, number: int) -> int:
        """Which of its streams a frame belongs to."""
        return bisect.bisect_right(self.begins, number)

    def piece_of(self, number: int) -> int:
        """Which piece of speech without a break a frame belongs to."""
        return self.stream_of(number) + bisect.bisect_right(self.resumes, number)

    def hearing(self, number: int, clock: Callable[[], int]) -> Callable[[], None]:
        """What is to be called when that frame arrives."""
        return lambda: self.heard.append((number, clock()))
