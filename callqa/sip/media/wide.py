"""Calls with audio that is not G.711: their packets decoded to linear samples before they are put on the timeline.

`widen` gives the same spool with every audio payload replaced by 16-bit samples at the call's rate (16 000 Hz when any
side has wideband, else 8 000 Hz) and every timestamp in ticks of 8 000 Hz; order, losses and jitter stay as they were.
Decoders run over each stream in order of its numbers, duplicates left out, so that what they remember is right.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from callqa.errors import AudioError
from callqa.sip.media.codec import Codec, PackedCodec, codec_of_type, packed_of_type
from callqa.sip.media.columns import RtpColumns, SpoolColumns, rtp_columns
from callqa.sip.media.rtp import HEADER_BYTES, MAX_PAYLOAD_BYTES, RtpPacket, build_rtp
from callqa.sip.media.spool import MediaMark
from callqa.sip.media.streams import order_packets

TICK_RATE_HZ = 8000
LINEAR_TYPE = 0  # decoded audio goes under a number that needs no map
_COMFORT_TYPES = (13, 19)  # comfort noise keeps its packets
_EVENT_TYPE = 13  # without a byte in it: what we know and that carries no audio

Samples = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Widened:
    """spool: with decoded payloads. cell_bytes: of one tick of 8 000 Hz; codecs: what each stream sent, by its number."""

    spool: SpoolColumns
    cell_bytes: int
    codecs: dict[int, str]
    faults: tuple[str, ...] = ()

    @property
    def sample_rate_hz(self) -> int:
        return self.cell_bytes // 2 * TICK_RATE_HZ


@dataclass(frozen=True, slots=True)
class _Heard:
    """One leg: its packets, and the codec of each (None: not audio that we can decode)."""

    rtp: RtpColumns
    codec: list[Codec | PackedCodec | None]
    silent: list[bool]  # telephone-event, comfort noise


def widen(spool: SpoolColumns) -> Widened | None:
    """The spool with decoded payloads; None when all audio in it is G.711."""
    if not _may_be_wide(spool):
        return None
    legs = {number: _hear(spool, number) for number in spool.streams}
    packed = {codec for leg in legs.values() for codec in leg.codec if isinstance(codec, PackedCodec)}
    if not packed:
        return None
    rate_hz = 16_000 if any(codec.sample_rate_hz > TICK_RATE_HZ for codec in packed) else TICK_RATE_HZ
    rows: dict[int, bytes] = {}
    faults: list[str] = []
    for leg in legs.values():
        rows |= _decode_leg(spool, leg, rate_hz, faults)
    names = {number: _name(leg) for number, leg in legs.items()}
    return Widened(_replaced(spool, rows), rate_hz // TICK_RATE_HZ * 2, names, tuple(dict.fromkeys(faults)))


def _may_be_wide(spool: SpoolColumns) -> bool:
    """Cheap: whether any agreed map, or a static number in use, names a codec that is not G.711."""
    for _, mark in spool.marks:
        if isinstance(mark, MediaMark) and any(packed_of_type(number, mark.codecs) for number, _ in mark.codecs):
            return True
    whole = spool.size >= HEADER_BYTES
    types = np.unique(spool.data[spool.start[whole] + 1] & 0x7F)
    return any(packed_of_type(int(number), ()) for number in types.tolist())


def _hear(spool: SpoolColumns, channel: int) -> _Heard:
    rtp = rtp_columns(spool, np.flatnonzero(spool.channel == channel))
    maps: list[tuple[int, tuple[tuple[int, str], ...]]] = [(0, ())]
    maps += [(row, m.codecs) for row, m in spool.marks if isinstance(m, MediaMark) and m.channel == channel]
    codecs: list[Codec | PackedCodec | None] = []
    silent: list[bool] = []
    at = 0
    known: dict[int, tuple[Codec | PackedCodec | None, bool]] = {}
    for row, number in zip(rtp.row.tolist(), rtp.payload_type.tolist(), strict=True):
        while at + 1 < len(maps) and maps[at + 1][0] <= row:
            at, known = at + 1, {}
        if number not in known:
            agreed = maps[at][1]
            name = dict(agreed).get(number, "").lower()
            quiet = number in (13, 19) or name.startswith(("telephone-event", "cn/"))
            known[number] = (codec_of_type(number, agreed) or packed_of_type(number, agreed), quiet)
        codecs.append(known[number][0])
        silent.append(known[number][1])
    return _Heard(rtp, codecs, silent)


def _name(leg: _Heard) -> str:
    used = Counter(codec.name for codec in leg.codec if codec is not None)
    return used.most_common(1)[0][0] if used else ""


def _decode_leg(spool: SpoolColumns, leg: _Heard, rate_hz: int, faults: list[str]) -> dict[int, bytes]:
    """New datagram of every row of one leg; a codec that cannot be decoded here gives a fault and no audio."""
    rtp = leg.rtp
    clocks = Counter(codec.clock_rate_hz for codec in leg.codec if codec is not None)
    clock_hz = clocks.most_common(1)[0][0] if clocks else TICK_RATE_HZ
    ticks = _ticks(rtp, [codec.clock_rate_hz if codec else clock_hz for codec in leg.codec])
    audio: dict[int, Samples] = {}
    for ssrc in np.unique(rtp.ssrc).tolist():
        mine = np.flatnonzero(rtp.ssrc == ssrc)
        ordered = mine[order_packets(rtp.sequence[mine]).row].tolist()
        for codec in dict.fromkeys(leg.codec[i] for i in ordered):
            if codec is None:
                continue
            try:
                audio |= _decode(spool, rtp, [i for i in ordered if leg.codec[i] is codec], codec, rate_hz)
            except AudioError as e:
                faults.append(str(e))
    made: dict[int, bytes] = {}
    for i, row in enumerate(rtp.row.tolist()):
        samples = audio.get(i)
        number = LINEAR_TYPE if leg.codec[i] else _EVENT_TYPE if leg.silent[i] else int(rtp.payload_type[i])
        payload = b"" if samples is None else samples.astype("<i2").tobytes()
        if leg.silent[i] and int(rtp.payload_type[i]) in _COMFORT_TYPES and rtp.size[i]:
            payload = spool.data[int(rtp.start[i]) : int(rtp.start[i]) + 1].tobytes()
        made[row] = build_rtp(RtpPacket(number, False, int(rtp.sequence[i]), ticks[i], int(rtp.ssrc[i]), payload))
    return made


def _decode(
    spool: SpoolColumns, rtp: RtpColumns, rows: list[int], codec: Codec | PackedCodec, rate_hz: int
) -> dict[int, Samples]:
    """Samples at rate_hz of one codec's packets of one stream, in order of sending; whole ticks each."""
    from callqa.audiofile import resample  # PyAV: only when such a call comes along

    payloads = []
    for i in rows:
        start, size = int(rtp.start[i]), int(rtp.size[i])
        payloads.append(spool.data[start : start + size].tobytes() if size <= MAX_PAYLOAD_BYTES else b"")
    decoded = codec.decode(payloads) if isinstance(codec, PackedCodec) else [codec.decode(p) for p in payloads]
    if not decoded:
        return {}
    whole = resample(np.concatenate(decoded), codec.sample_rate_hz, rate_hz)
    ends = np.cumsum([part.size for part in decoded]) * rate_hz // codec.sample_rate_hz
    step = rate_hz // TICK_RATE_HZ
    starts = np.concatenate(([0], ends[:-1]))
    return {
        i: whole[a : a + (b - a) // step * step] for i, a, b in zip(rows, starts.tolist(), ends.tolist(), strict=True)
    }


def _ticks(rtp: RtpColumns, clocks_hz: list[int]) -> list[int]:
    """Timestamps in ticks of 8 000 Hz, 32 bits; the wraps of a faster clock are undone by counting from each stream's first."""
    first: dict[int, int] = {}
    made = []
    for stamp, ssrc, clock_hz in zip(rtp.timestamp.tolist(), rtp.ssrc.tolist(), clocks_hz, strict=True):
        if clock_hz == TICK_RATE_HZ:
            made.append(stamp)
            continue
        base = first.setdefault(ssrc, stamp)
        away = (stamp - base + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000
        made.append(away * TICK_RATE_HZ // clock_hz & 0xFFFF_FFFF)
    return made


def _replaced(spool: SpoolColumns, rows: dict[int, bytes]) -> SpoolColumns:
    """The spool with other datagrams in those rows, and marks that keep only what does not concern codecs."""
    parts = []
    for row, (start, size) in enumerate(zip(spool.start.tolist(), spool.size.tolist(), strict=True)):
        parts.append(rows[row] if row in rows else spool.data[start : start + size].tobytes())
    sizes = np.array([len(part) for part in parts], np.int64)
    starts = np.cumsum(sizes) - sizes
    marks = tuple(
        (row, mark.model_copy(update={"codecs": ()}) if isinstance(mark, MediaMark) else mark)
        for row, mark in spool.marks
    )
    data = np.frombuffer(b"".join(parts), np.uint8)
    return SpoolColumns(data, spool.channel, spool.arrival_ns, starts, sizes, marks)


def write_cells(
    out: NDArray[np.generic], data: NDArray[np.uint8], frames: Iterable[tuple[int, int, int]]
) -> NDArray[np.bool_]:
    """Write decoded payloads into one column of ticks, in the given order; return which ticks came.

    out: void (n,) of cell_bytes each, zero before; frames: (position in ticks, first byte, bytes) in `data`.
    """
    covered = np.zeros(out.shape[0], bool)
    for position, start, size in frames:
        cells = data[start : start + size // out.dtype.itemsize * out.dtype.itemsize].view(out.dtype)
        begin, end = max(0, position), min(out.shape[0], position + cells.size)
        if begin < end:
            out[begin:end] = cells[begin - position : end - position]
            covered[begin:end] = True
    return covered


def as_samples(cells: NDArray[np.generic]) -> NDArray[np.int16]:
    """int16 (n * samples a tick, columns) of (n, columns) ticks that were placed as wholes."""
    each = cells.dtype.itemsize // 2
    samples = cells.view("<i2").reshape(cells.shape[0], cells.shape[1], each).transpose(0, 2, 1)
    return np.ascontiguousarray(samples.reshape(-1, cells.shape[1]), np.int16)
