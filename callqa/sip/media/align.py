"""Records of one call → stereo audio on one timeline, with a map of the gaps and figures of both streams.

t = 0 is the answer, or the first audio where that overtook the answer. A sample is written where its sender's clock says, anchored to when the stream arrived; nothing is
resampled, so every frame of a clean call comes out bit for bit. Both legs in one G.711 law keep its bytes, otherwise
both are decoded to 16 bits, with any other codec (wide.py) at the higher rate. Where nothing came there is the law's idle code, and a Gap says why.

Total: any records give a Stereo whose length is bounded by the call's duration, whatever the packets claim.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from callqa.errors import SpoolError
from callqa.sidecar import StreamFigures
from callqa.sip.media.codec import CODECS, Codec, Encoding, codec_of_encoding, codec_of_type
from callqa.sip.media.columns import RtpColumns, SpoolColumns, columns_of, rtp_columns
from callqa.sip.media.dtmf import Digit, read_digits
from callqa.sip.media.mos import mos_of_stream
from callqa.sip.media.pauses import EDGE_MS, cut_at_pauses, pauses_of
from callqa.sip.media.rtp import MAX_PAYLOAD_BYTES
from callqa.sip.media.spool import AnsweredMark, EndedMark, ForeignMark, MediaMark, SpoolRecord
from callqa.sip.media.streams import CLOCK_RATE_HZ, Arrivals, Ints, LegFigures, Placed, arrange
from callqa.sip.media.wide import Widened, as_samples, widen, write_cells
from callqa.speech import Gap, GapKind, Span
from callqa.units import Channel

SAMPLE_RATE_HZ = 8000
# Audio sent before the end but due after it (the frame in flight) is kept up to here.
END_MARGIN_MS = 200
# The RTP time-out ends a dead call after a minute; six hours is beyond any call of a hotline and 350 MB of samples.
MAX_CALL_MS = 6 * 3600 * 1000
# A phone speaks as soon as it sends its 200, but we count from when we read it: behind a queue of others, or, when it got
# lost, after it was sent again (T1 = 500 ms, RFC 3261). Audio that began longer before is early media and is cut.
MAX_LEAD_MS = 1000
# Nothing sent for less than three frames (start of the call, end of the call, a change of stream) is not worth a note.
MIN_NO_MEDIA_MS = 60
# Half a frame: less is jitter, more may be a frame that was lost where the sender started anew.
SEAM_MS = 10
# Payload types that carry no audio of ours: comfort noise (RFC 3389) and its old number.
_COMFORT_NOISE = (13, 19)
_PLACE_AT_ONCE = 4096  # packets whose sample indices are made in one go: 5 MB at 20 ms


@dataclass(frozen=True, slots=True, eq=False)
class Stereo:
    """samples: uint8 (n, 2) G.711 bytes or int16 (n, 2) at sample_rate_hz, left citizen, right agent; n is whole
    milliseconds.

    lead_ms: how long before the answered mark t = 0 lies.
    heard: whether any audio came at all. faults: Chinese sentences about what could not be decoded.
    """

    encoding: Encoding
    samples: NDArray[np.uint8] | NDArray[np.int16]
    gaps: tuple[Gap, ...]
    streams: tuple[StreamFigures, ...]
    heard: bool
    faults: tuple[str, ...]
    lead_ms: int = 0
    sample_rate_hz: int = SAMPLE_RATE_HZ
    digits: tuple[Digit, ...] = ()

    @property
    def n_samples(self) -> int:
        return int(self.samples.shape[0])

    @property
    def duration_ms(self) -> int:
        return self.n_samples * 1000 // self.sample_rate_hz


@dataclass(slots=True)
class _Leg:
    """One leg: columns over its packets."""

    data: NDArray[np.uint8]  # what the payloads lie in
    at_ns: Ints
    rtp: RtpColumns
    codec: Ints  # index into CODECS, -1 no audio
    foreign: int
    unknown: dict[int, int]  # payload type → packets
    cell_bytes: int = 1  # of one tick of the timeline; more than 1 for audio that was decoded before (wide.py)


@dataclass(frozen=True, slots=True)
class _Call:
    legs: tuple[_Leg, _Leg]
    answered_ns: int | None
    ended_ns: int | None
    last_ns: int
    holds: tuple[tuple[int, int | None], ...]
    pauses: tuple[tuple[int, int | None], ...]


def to_stereo(spool: SpoolColumns | Iterable[SpoolRecord]) -> Stereo:
    """Align the records of one answered call. Raise SpoolError when it was never answered."""
    columns = spool if isinstance(spool, SpoolColumns) else columns_of(spool)
    wide = widen(columns)
    call = _gather(wide.spool if wide else columns, wide.cell_bytes if wide else 1)
    if call.answered_ns is None:
        raise SpoolError("call was never answered: there is no t = 0 to align to")
    zero_ns = call.answered_ns
    end_ns = max(zero_ns, call.last_ns if call.ended_ns is None else call.ended_ns)
    length_ms = min(-((zero_ns - end_ns) // 1_000_000), MAX_CALL_MS)
    arranged = [_seamless_leg(leg, zero_ns) for leg in call.legs]
    lead_ms = max(_lead_ms(placed) for placed, _ in arranged)
    zero_ns -= lead_ms * 1_000_000
    length_ms += lead_ms
    arranged = [
        (replace(placed, position=placed.position + lead_ms * SAMPLE_RATE_HZ // 1000), figures)
        for placed, figures in arranged
    ]
    encoding = "pcm16" if wide else _encoding(call.legs, [placed for placed, _ in arranged])
    n_samples = _length(length_ms, call.legs, [placed for placed, _ in arranged])
    holds = _in_samples(call.holds, zero_ns, n_samples)
    pauses = _in_samples(call.pauses, zero_ns, n_samples)
    cell = f"V{wide.cell_bytes}" if wide else np.int16 if encoding == "pcm16" else np.uint8
    samples = np.zeros((n_samples, 2), cell)
    gaps: list[Gap] = []
    unkept: list[int] = []
    for channel, (leg, (placed, _)) in enumerate(zip(call.legs, arranged, strict=True)):
        column = samples[:, channel]
        covered = _write_wide(column, leg, placed) if wide else _write(column, leg, placed, codec_of_encoding(encoding))
        silences = tuple(_silences(covered, placed))
        gaps += _gaps(Channel(channel), silences, holds, pauses)
        unkept.append(_unkept(silences, pauses))
    return Stereo(
        encoding,
        as_samples(samples) if wide else samples,
        tuple(sorted(gaps, key=lambda gap: (gap.span, gap.channel))),
        tuple(
            _figures(channel, call.legs[channel], replace(figures, lost=max(0, figures.lost - unkept[channel])), wide)
            for channel, (_, figures) in enumerate(arranged)
        ),
        any(placed.row.size for placed, _ in arranged),
        (*(wide.faults if wide else ()), *_undecoded(call.legs)),
        lead_ms,
        wide.sample_rate_hz if wide else SAMPLE_RATE_HZ,
        tuple(replace(digit, start_ms=digit.start_ms + lead_ms) for digit in read_digits(columns)),
    )


def _seamless_leg(leg: _Leg, zero_ns: int) -> tuple[Placed, LegFigures]:
    placed, figures = arrange(_arrivals(leg, zero_ns))
    return seamless(placed, leg.rtp.size[placed.row] // leg.cell_bytes), figures


def seamless(placed: Placed, n_samples: Ints) -> Placed:
    """Let a stretch that begins within SEAM_MS of where the one before it ends begin exactly there.

    A sender that changes its SSRC or its clock in mid-speech is placed anew by its arrival, which jitter makes some samples
    early or late: that would cut into a frame. n_samples: of each packet. No stretch moves by more than SEAM_MS.
    """
    _, name = np.unique(placed.stretch, return_inverse=True)
    n_stretches = int(name.max(initial=-1)) + 1
    begin = np.full(n_stretches, np.iinfo(np.int64).max)
    end = np.full(n_stretches, np.iinfo(np.int64).min)
    np.minimum.at(begin, name, placed.position)
    np.maximum.at(end, name, placed.position + n_samples)
    shift = np.zeros(n_stretches, np.int64)
    spoken_to: int | None = None
    for i in np.argsort(begin, kind="stable").tolist():
        if spoken_to is not None and abs(spoken_to - int(begin[i])) <= SEAM_MS * SAMPLE_RATE_HZ // 1000:
            shift[i] = spoken_to - begin[i]
        spoken_to = max(int(end[i] + shift[i]), int(end[i]) if spoken_to is None else spoken_to)
    if not shift.any():
        return placed
    moved = replace(placed, position=placed.position + shift[name])
    order = np.argsort(moved.position, kind="stable")
    return Placed(*(getattr(moved, column)[order] for column in Placed.__slots__))


def _lead_ms(placed: Placed) -> int:
    """Whole milliseconds by which a leg's audio began before the answered mark; 0 when it is early media."""
    first = int(placed.position.min(initial=0))
    lead_ms = -(first * 1000 // SAMPLE_RATE_HZ)
    return lead_ms if lead_ms <= MAX_LEAD_MS else 0


def _gather(spool: SpoolColumns, cell_bytes: int) -> _Call:
    marks = [mark for _, mark in spool.marks]
    return _Call(
        (_leg(spool, Channel.CITIZEN, cell_bytes), _leg(spool, Channel.AGENT, cell_bytes)),
        next((mark.at_ns for mark in marks if isinstance(mark, AnsweredMark)), None),
        next((mark.at_ns for mark in marks if isinstance(mark, EndedMark)), None),
        spool.last_ns,
        tuple(_holds(mark for mark in marks if isinstance(mark, MediaMark))),
        tuple((pause.from_ns, pause.to_ns) for pause in pauses_of(marks)),
    )


def _leg(spool: SpoolColumns, channel: Channel, cell_bytes: int) -> _Leg:
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
    return _Leg(spool.data, spool.arrival_ns[rtp.row], rtp, codec, foreign, unknown, cell_bytes)


def _meaning(payload_type: int, codecs: tuple[tuple[int, str], ...]) -> tuple[int, bool]:
    """(index into CODECS or -1, whether we know what it is) of a payload type under a map."""
    codec = codec_of_type(payload_type, codecs)
    return (CODECS.index(codec), True) if codec else (-1, _is_silent_type(payload_type, codecs))


def _is_silent_type(payload_type: int, codecs: tuple[tuple[int, str], ...]) -> bool:
    name = dict(codecs).get(payload_type, "").lower()
    return payload_type in _COMFORT_NOISE or name.startswith(("telephone-event", "cn/"))


def _holds(marks: Iterable[MediaMark]) -> Iterator[tuple[int, int | None]]:
    """(from, to) in which either side holds the call; to: None when it lasts to the end."""
    holding: set[int] = set()
    since: int | None = None
    for mark in marks:
        (holding.add if mark.held else holding.discard)(mark.channel)
        if holding and since is None:
            since = mark.at_ns
        elif not holding and since is not None:
            yield since, mark.at_ns
            since = None
    if since is not None:
        yield since, None


def _arrivals(leg: _Leg, zero_ns: int) -> Arrivals:
    """The leg's packets in order of arrival."""
    at = (leg.at_ns - zero_ns) * (CLOCK_RATE_HZ // 1000) // 1_000_000
    return Arrivals(at, leg.rtp.sequence, leg.rtp.timestamp, leg.rtp.ssrc, leg.codec >= 0)


def _encoding(legs: tuple[_Leg, _Leg], placed: list[Placed]) -> Encoding:
    """The law that all audio of the call is in, or `pcm16`."""
    used = {
        index for leg, where in zip(legs, placed, strict=True) for index in np.unique(leg.codec[where.row]).tolist()
    }
    if len(used) > 1:
        return "pcm16"
    return CODECS[used.pop()].encoding if used else "alaw"


def _length(length_ms: int, legs: tuple[_Leg, _Leg], placed: list[Placed]) -> int:
    """Samples of the recording: the call's duration, and the frames in flight at its end."""
    n_samples = length_ms * SAMPLE_RATE_HZ // 1000
    limit = n_samples + END_MARGIN_MS * SAMPLE_RATE_HZ // 1000
    for leg, where in zip(legs, placed, strict=True):
        if where.row.size:
            last = int((where.position + leg.rtp.size[where.row] // leg.cell_bytes).max())
            n_samples = max(n_samples, min(last, limit))
    return -(-n_samples // 8) * 8


def _write(
    out: NDArray[np.uint8] | NDArray[np.int16], leg: _Leg, placed: Placed, raw: Codec | None
) -> NDArray[np.bool_]:
    """Write the leg's audio into one column, idle elsewhere; return which samples came. raw: keep this law's bytes."""
    n_samples, margin = out.shape[0], MAX_PAYLOAD_BYTES  # a margin holds what stands out at either end
    column = np.full(n_samples + 2 * margin, raw.idle if raw else 0, out.dtype)
    covered = np.zeros(column.size, bool)
    near = (placed.position > -margin) & (placed.position < n_samples)
    row, position = placed.row[near], placed.position[near] + margin
    lengths, starts, codec = leg.rtp.size[row], leg.rtp.start[row], leg.codec[row]
    # Runs of one shape in order of position, so that of two packets on one place the later sent wins everywhere.
    for chunk in _runs(lengths * len(CODECS) + codec):
        size = int(lengths[chunk.start])
        frames = sliding_window_view(leg.data, size)[starts[chunk]]
        samples = frames if raw else CODECS[int(codec[chunk.start])].decode_table[frames]
        sliding_window_view(column, size, writeable=True)[position[chunk]] = samples
        sliding_window_view(covered, size, writeable=True)[position[chunk]] = True
    out[:] = column[margin:-margin]
    return covered[margin:-margin]


def _write_wide(out: NDArray[np.void], leg: _Leg, placed: Placed) -> NDArray[np.bool_]:
    """The same for decoded audio, whose ticks are cells of several bytes."""
    columns = (placed.position, leg.rtp.start[placed.row], leg.rtp.size[placed.row])
    return write_cells(out, leg.data, zip(*(column.tolist() for column in columns), strict=True))


def _runs(shape: NDArray[np.int64]) -> Iterator[slice]:
    edges = np.flatnonzero(np.diff(shape)) + 1
    if not shape.size:
        return
    for start, end in zip([0, *edges.tolist()], [*edges.tolist(), shape.size], strict=True):
        for begin in range(start, end, _PLACE_AT_ONCE):
            yield slice(begin, min(begin + _PLACE_AT_ONCE, end))


def _in_samples(spans: tuple[tuple[int, int | None], ...], zero_ns: int, n_samples: int) -> list[tuple[int, int]]:
    def sample(at_ns: int) -> int:
        return min(max(0, (at_ns - zero_ns) * SAMPLE_RATE_HZ // 1_000_000_000), n_samples)

    return [(sample(start), n_samples if end is None else sample(end)) for start, end in spans]


@dataclass(frozen=True, slots=True)
class _Silence:
    """A stretch [start, end) of one leg's samples in which no audio came. missing: packets that its numbers leave out."""

    start: int
    end: int
    missing: int


def _silences(covered: NDArray[np.bool_], placed: Placed) -> Iterator[_Silence]:
    edges = np.flatnonzero(np.diff(np.concatenate(([True], covered, [True]))))
    for start, end in edges.reshape(-1, 2).tolist():
        after = int(np.searchsorted(placed.position, end))
        inside = 0 < after < placed.row.size
        yield _Silence(start, end, _missing(placed, after - 1, after) if inside else 0)


def _gaps(
    channel: Channel, silences: Iterable[_Silence], holds: list[tuple[int, int]], pauses: list[tuple[int, int]]
) -> Iterator[Gap]:
    """Every stretch without audio and why: not kept, packets numbered but not arrived, on hold, or nothing sent."""
    for silence in silences:
        for start, end, paused in cut_at_pauses(silence.start, silence.end, pauses, EDGE_MS * SAMPLE_RATE_HZ // 1000):
            if paused:
                yield _gap(channel, start, end, GapKind.PAUSED)
            elif silence.missing:
                yield _gap(channel, start, end, GapKind.LOST)
            else:
                yield from _unsent(channel, start, end, holds)


def _unsent(channel: Channel, start: int, end: int, holds: list[tuple[int, int]]) -> Iterator[Gap]:
    for piece_start, piece_end, held in _split(start, end, holds):
        if held or piece_end - piece_start >= MIN_NO_MEDIA_MS * SAMPLE_RATE_HZ // 1000:
            yield _gap(channel, piece_start, piece_end, GapKind.HELD if held else GapKind.NO_MEDIA)


def _unkept(silences: Iterable[_Silence], pauses: list[tuple[int, int]]) -> int:
    """How many of the missing packets are so because the recording was paused: no loss of the network's."""
    total = 0.0
    for silence in silences:
        if silence.missing:
            pieces = cut_at_pauses(silence.start, silence.end, pauses, EDGE_MS * SAMPLE_RATE_HZ // 1000)
            paused = sum(end - start for start, end, is_paused in pieces if is_paused)
            total += silence.missing * paused / (silence.end - silence.start)
    return round(total)


def _missing(placed: Placed, before: int, after: int) -> int:
    """How many numbers between two neighbours on the timeline never arrived."""
    if placed.stretch[before] != placed.stretch[after]:
        return 0
    return max(0, int(placed.ext_seq[after] - placed.ext_seq[before] - (placed.rank[after] - placed.rank[before])))


def _split(start: int, end: int, holds: list[tuple[int, int]]) -> Iterator[tuple[int, int, bool]]:
    """Cut [start, end) at the holds, which are in order: (start, end, on hold)."""
    for hold_start, hold_end in holds:
        held_from, held_to = max(hold_start, start), min(hold_end, end)
        if held_from >= held_to:
            continue
        if held_from > start:
            yield start, held_from, False
        yield held_from, held_to, True
        start = held_to
    if start < end:
        yield start, end, False


def _gap(channel: Channel, start: int, end: int, kind: GapKind) -> Gap:
    return Gap(channel, Span(start * 1000 // SAMPLE_RATE_HZ, -(-end * 1000 // SAMPLE_RATE_HZ)), kind)


def _figures(channel: int, leg: _Leg, figures: LegFigures, wide: Widened | None) -> StreamFigures:
    audio = np.bincount(leg.codec[leg.codec >= 0], minlength=1)
    name = CODECS[int(audio.argmax())].name if audio.any() else ""
    codec = wide.codecs[channel] if wide and name else name
    jitter_ms = round(figures.jitter * 1000 / CLOCK_RATE_HZ, 3)
    return StreamFigures(
        channel=1 if channel else 0,
        codec=codec,
        packets=figures.packets,
        lost=figures.lost,
        duplicates=figures.duplicates,
        reordered=figures.reordered,
        foreign=leg.foreign + figures.foreign,
        jitter_ms=jitter_ms,
        ssrcs=figures.ssrcs,
        mos=mos_of_stream(codec, packets=figures.packets, lost=figures.lost, jitter_ms=jitter_ms),
    )


def _undecoded(legs: tuple[_Leg, _Leg]) -> Iterator[str]:
    for name, leg in zip(("诉求人", "坐席"), legs, strict=True):
        for payload_type, count in sorted(leg.unknown.items()):
            yield f"{name}一侧有 {count} 个媒体包的编码无法解码（RTP 载荷类型 {payload_type}）；请把话机或中继设为 G.711"
