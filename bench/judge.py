"""The judge of recorded calls: knows every frame from its generator, reads the WAV by itself, imports nothing of callqa.

A leg's audio is a sequence of 20-ms frames, frame k of leg L of call C being bytes that only SHAKE-128 of (C, L, k) gives.
Whatever stands in a recording can so be named: right frame, wrong frame, frame of somebody else, or nothing known.

One leg is whole when every frame that the network did not drop stands there bit for bit, once, at one constant offset, both
legs' offsets differ by as much as their sending did, within one frame, and every dropped frame, and nothing else, lies
in a gap that the call's sidecar calls lost. Where a sender started its clock anew, the offset may change by up to one frame.
"""

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

FRAME_BYTES = 160
FRAME_MS = 20
RATE_HZ = 8000
_CHUNK = struct.Struct("<4sI")
Lost = tuple[list[tuple[int, int]], list[tuple[int, int]]]


def frame(call: int, leg: int, k: int) -> bytes:
    """Frame k of a leg (0 citizen, 1 agent): 160 bytes that occur nowhere else."""
    return hashlib.shake_128(f"callqa bench {call} {leg} {k}".encode()).digest(FRAME_BYTES)


def leg_audio(call: int, leg: int, frames: int) -> bytes:
    """All frames of a leg."""
    return b"".join(frame(call, leg, k) for k in range(frames))


@dataclass(frozen=True)
class Wave:
    """A WAV as it stands in the file: format tag, and the raw bytes of each channel (one or two bytes a sample)."""

    format_tag: int
    rate_hz: int
    sample_bytes: int
    channels: tuple[bytes, ...]


def read_wave(path: Path) -> Wave:
    """Read RIFF/WAVE, any order of chunks. ValueError says what is wrong."""
    data = path.read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"{path.name}: no RIFF/WAVE")
    chunks: dict[bytes, bytes] = {}
    position = 12
    while position + 8 <= len(data):
        name, size = _CHUNK.unpack_from(data, position)
        body = data[position + 8 : position + 8 + size]
        if len(body) != size:
            raise ValueError(f"{path.name}: chunk {name!r} says {size} bytes, has {len(body)}")
        chunks[name] = body
        position += 8 + size + size % 2
    tag, n_channels, rate_hz, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", chunks[b"fmt "])
    sample_bytes = bits // 8
    if frame_bytes != n_channels * sample_bytes:
        raise ValueError(f"{path.name}: block of {frame_bytes} bytes for {n_channels} channels of {bits} bits")
    samples = chunks[b"data"]
    if tag in (6, 7) and struct.unpack("<I", chunks[b"fact"])[0] * frame_bytes != len(samples):
        raise ValueError(f"{path.name}: fact chunk does not fit the data")
    width = sample_bytes
    split = tuple(
        b"".join(samples[i : i + width] for i in range(c * width, len(samples), frame_bytes))
        if width > 1
        else samples[c::n_channels]
        for c in range(n_channels)
    )
    return Wave(tag, rate_hz, sample_bytes, split)


def decode_alaw(code: int) -> int:
    """16-bit sample of an A-law byte, from the standard's segments."""
    code ^= 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    magnitude = (mantissa << 1 | 1) if exponent == 0 else (mantissa << 1 | 33) << exponent - 1
    return (magnitude if code & 0x80 else -magnitude) << 3


def decode_ulaw(code: int) -> int:
    """16-bit sample of a mu-law byte, from the standard's segments."""
    code = ~code & 0xFF
    magnitude = (((code & 15) << 1 | 33) << (code >> 4 & 7)) - 33
    return (-magnitude if code & 0x80 else magnitude) << 2


@dataclass(frozen=True)
class Sent:
    """One leg as it was sent: frames 0 .. frames - 1, which of them the network dropped, where the clock started anew."""

    frames: int = 0
    dropped: frozenset[int] = frozenset()
    breaks: tuple[int, ...] = ()

    @property
    def arrived(self) -> int:
        return self.frames - len(self.dropped)


@dataclass
class LegVerdict:
    """Frames of one leg: standing bit for bit, standing at the leg's one offset, standing more than once."""

    sent: Sent
    exact: int = 0
    placed: int = 0
    dup: int = 0
    crosstalk: int = 0  # frames of another leg or another call
    offset_samples: int | None = None
    missing: list[int] = field(default_factory=list)
    problem: str = ""

    @property
    def lost_at_end(self) -> int:
        """Frames missing after the last that stands there: what a crash took."""
        return len(self.missing) - len([k for k in self.missing if k < self._last_found])

    @property
    def _last_found(self) -> int:
        missing = set(self.missing)
        return next((k for k in reversed(range(self.sent.frames)) if k not in missing | self.sent.dropped), -1)


@dataclass
class CallVerdict:
    """Both legs, and whether the call is whole."""

    legs: list[LegVerdict] = field(default_factory=list)
    whole: bool = False
    problem: str = ""


class Judge:
    """Knows all frames of all calls. sent[call]: what was sent on (citizen, agent).

    cut_s: how much of the end of a leg may be missing, because the recorder was killed. heard_as: what a recorder that keeps
    something else than the payload makes of each of its 256 codes.
    """

    def __init__(
        self, sent: dict[int, tuple[Sent, Sent]], cut_s: float = 0.0, *, heard_as: bytes | None = None
    ) -> None:
        self._sent = sent
        self._cut = round(cut_s * 1000 / FRAME_MS)
        self._names = {
            frame(call, leg, k).translate(heard_as): (call, leg, k)
            for call, legs in sent.items()
            for leg, one in enumerate(legs)
            for k in range(one.frames)
        }
        self._heads = {payload[:8] for payload in self._names}
        # A frame that was decoded to 16 bits is looked for in its decoded form.
        self._laws = {"alaw": _table(decode_alaw), "ulaw": _table(decode_ulaw)}

    def judge(
        self, call: int, path: Path, lead_ms: float, law: str = "alaw", lost_ms: Lost | None = None
    ) -> CallVerdict:
        """Judge one file. lead_ms: how much later the agent's frame 0 was sent than the citizen's.

        lost_ms: per leg the (start, end) of every gap that the sidecar calls lost; None: not judged.
        """
        try:
            wave = read_wave(path)
        except (OSError, ValueError, KeyError, struct.error) as e:
            return self.unreadable(call, str(e))
        if len(wave.channels) != 2 or wave.rate_hz != RATE_HZ:
            return self.unreadable(call, f"{path.name}: not stereo at 8 kHz")
        names = {6: None, 7: None, 1: law}[wave.format_tag]
        channels = tuple(raw if names is None else self._encode_back(raw, names) for raw in wave.channels)
        return self.judge_channels(call, channels, lead_ms, lost_ms)

    def judge_channels(
        self, call: int, channels: tuple[bytes, ...], lead_ms: float, lost_ms: Lost | None = None
    ) -> CallVerdict:
        """Judge the audio itself, a byte a sample."""
        verdict = CallVerdict([LegVerdict(sent) for sent in self._sent[call]])
        for leg, one in enumerate(verdict.legs):
            self._judge_leg(one, call, leg, channels[leg], None if lost_ms is None else lost_ms[leg])
        self._conclude(verdict, lead_ms)
        return verdict

    def unreadable(self, call: int, problem: str) -> CallVerdict:
        """The verdict on a call whose file is not there or cannot be read: all is missing."""
        verdict = CallVerdict([LegVerdict(sent) for sent in self._sent[call]])
        for leg in verdict.legs:
            leg.missing = [k for k in range(leg.sent.frames) if k not in leg.sent.dropped]
        verdict.problem = problem
        return verdict

    def _encode_back(self, pcm: bytes, law: str) -> bytes:
        """G.711 bytes of 16-bit samples that were decoded from them."""
        back = {value: code for code, value in reversed(list(enumerate(self._laws[law])))}
        return bytes(back.get(value, 0x2A) for (value,) in struct.iter_unpack("<h", pcm))

    def _judge_leg(
        self, verdict: LegVerdict, call: int, leg: int, raw: bytes, lost_ms: list[tuple[int, int]] | None
    ) -> None:
        found: dict[int, list[int]] = {}
        position = 0
        while position + FRAME_BYTES <= len(raw):
            name = None
            if raw[position : position + 8] in self._heads:
                name = self._names.get(raw[position : position + FRAME_BYTES])
            if name is None:
                position += 1
                continue
            if name[:2] == (call, leg):
                found.setdefault(name[2], []).append(position)
            else:
                verdict.crosstalk += 1
            position += FRAME_BYTES
        sent = verdict.sent
        verdict.exact = len(found)
        verdict.missing = [k for k in range(sent.frames) if k not in found and k not in sent.dropped]
        verdict.dup = sum(len(places) - 1 for places in found.values())
        offsets = self._place(verdict, {k: places[0] - k * FRAME_BYTES for k, places in found.items()})
        if lost_ms is not None:
            verdict.problem = _judge_gaps(sent, offsets, lost_ms)

    def _place(self, verdict: LegVerdict, offsets: dict[int, int]) -> list[tuple[range, int]]:
        """Count the frames at their stretch's one offset; (frames, offset) of each stretch."""
        edges = (0, *verdict.sent.breaks, verdict.sent.frames)
        stretches: list[tuple[range, int]] = []
        for begin, end in pairwise(edges):
            here = [offsets[k] for k in range(begin, end) if k in offsets]
            if not here:
                continue
            usual = max(set(here), key=here.count)
            if stretches and abs(usual - stretches[0][1]) > FRAME_BYTES:
                continue
            verdict.placed += here.count(usual)
            stretches.append((range(begin, end), usual))
        if stretches:
            verdict.offset_samples = stretches[0][1]
        return stretches

    def _conclude(self, verdict: CallVerdict, lead_ms: float) -> None:
        citizen, agent = verdict.legs
        if citizen.offset_samples is not None and agent.offset_samples is not None:
            apart_ms = (agent.offset_samples - citizen.offset_samples) * 1000 / RATE_HZ
            if abs(apart_ms - lead_ms) > FRAME_MS:
                verdict.problem = f"legs are {apart_ms:.1f} ms apart, were sent {lead_ms:.1f} ms apart"
                agent.placed = 0
        verdict.whole = not verdict.problem and all(self._is_whole(leg) for leg in verdict.legs)
        if not verdict.whole and not verdict.problem:
            verdict.problem = "; ".join(
                f"leg {i}: {leg.exact} exact, {leg.placed} placed, {leg.dup} twice, {leg.crosstalk} of others, "
                f"of {leg.sent.arrived}"
                + (f" (missing {leg.missing[:5]})" if leg.missing else "")
                + (f" {leg.problem}" if leg.problem else "")
                for i, leg in enumerate(verdict.legs)
            )

    def _is_whole(self, leg: LegVerdict) -> bool:
        cut = leg.lost_at_end if self._cut else 0
        complete = leg.exact == leg.placed == leg.sent.arrived - cut and cut <= self._cut
        return complete and not leg.dup and not leg.crosstalk and not leg.problem


def _judge_gaps(sent: Sent, stretches: list[tuple[range, int]], lost_ms: list[tuple[int, int]]) -> str:
    """What is wrong with the gaps called lost: a dropped frame outside of them, or more lost than was dropped."""
    for frames, offset in stretches:
        for k in sent.dropped.intersection(frames):
            start_ms = (offset + k * FRAME_BYTES) * 1000 / RATE_HZ
            if not any(a - 1 <= start_ms and start_ms + FRAME_MS <= b + 1 for a, b in lost_ms):
                return f"dropped frame {k} is in no gap"
    said_ms, dropped_ms = sum(b - a for a, b in lost_ms), len(sent.dropped) * FRAME_MS
    if said_ms > dropped_ms + 2 * len(lost_ms):
        return f"gaps say {said_ms} ms lost, {dropped_ms} ms were dropped"
    return ""


def _table(decode: Callable[[int], int]) -> list[int]:
    return [decode(code) for code in range(256)]
