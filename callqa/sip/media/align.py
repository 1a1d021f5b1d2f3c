"""Records of one call → stereo audio on one timeline, with a map of the gaps and figures of both streams.

t = 0 is the answer, or the first audio where that overtook the answer. A sample is written where its sender's clock says, anchored to when the stream arrived; nothing is
resampled, so every frame of a clean call comes out bit for bit. All streams in one G.711 law keep its bytes, otherwise
they are decoded to 16 bits, with any other codec (wide.py) at the higher rate. Where nothing came there is the law's idle code, and a Gap says why.

A side may have several streams (a conference, a second agent): each is placed by itself and they are added, see mix.py. Two
voices in one stream cannot be told apart: where that is all there is, the result has one column.

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
from callqa.sip.media.comfort import TYPES as COMFORT_TYPES
from callqa.sip.media.comfort import Comfort, write_noise
from callqa.sip.media.drift import STEP
from callqa.sip.media.dtmf import Digit, read_digits
from callqa.sip.media.gapmap import (
    Silence,
    Stretch,
    gaps_of,
    in_samples,
    not_kept,
    resting,
    silences_of,
    stretches_without,
)
from callqa.sip.media.mix import add_voice
from callqa.sip.media.mos import mos_of_stream
from callqa.sip.media.pauses import pauses_of
from callqa.sip.media.rtp import MAX_PAYLOAD_BYTES
from callqa.sip.media.seams import hidden, layers, seamless
from callqa.sip.media.spool import AnsweredMark, EndedMark, ForeignMark, MediaMark, Side, SpoolRecord, sides_of
from callqa.sip.media.streams import CLOCK_RATE_HZ, Arrivals, Ints, LegFigures, Placed, arrange
from callqa.sip.media.wide import Widened, as_samples, widen, write_cells
from callqa.speech import Gap
from callqa.units import Channel

SAMPLE_RATE_HZ = 8000
# Audio sent before the end but due after it (the frame in flight) is kept up to here.
END_MARGIN_MS = 200
# The RTP time-out ends a dead call after a minute; six hours is beyond any call of a hotline and 350 MB of samples.
MAX_CALL_MS = 6 * 3600 * 1000
# A phone speaks as soon as it sends its 200, but we count from when we read it: behind a queue of others, or, when it got
# lost, after it was sent again (T1 = 500 ms, RFC 3261). Audio that began longer before is early media and is cut.
MAX_LEAD_MS = 1000
_PLACE_AT_ONCE = 4096  # packets whose sample indices are made in one go: 5 MB at 20 ms


@dataclass(frozen=True, slots=True, eq=False)
class Stereo:
    """samples: uint8 (n, 2) G.711 bytes or int16 (n, 2) at sample_rate_hz, left citizen, right agent; (n, 1) when both are
    in one stream (mono); n is whole milliseconds.

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
    def mono(self) -> bool:
        return self.samples.shape[1] == 1

    @property
    def duration_ms(self) -> int:
        return self.n_samples * 1000 // self.sample_rate_hz


@dataclass(slots=True)
class _Leg:
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


@dataclass(frozen=True, slots=True)
class _Call:
    legs: tuple[_Leg, ...]
    answered_ns: int | None
    ended_ns: int | None
    last_ns: int
    holds: tuple[Stretch, ...]
    pauses: tuple[Stretch, ...]
    media: tuple[MediaMark, ...]


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
    arranged = [(leg, *_seamless_leg(leg, zero_ns)) for leg in call.legs]
    lead_ms = max(_lead_ms(placed) for _, placed, _ in arranged)
    zero_ns -= lead_ms * 1_000_000
    length_ms += lead_ms
    streams = [
        _Stream(
            leg,
            replace(placed, position=placed.position + lead_ms * SAMPLE_RATE_HZ // 1000),
            figures,
            _comfort_of(leg, zero_ns),
        )
        for leg, placed, figures in arranged
    ]
    columns_heard = _columns(streams)
    heard = [stream for streams_heard in columns_heard for stream in streams_heard]
    encoding = "pcm16" if wide else _encoding(heard)
    n_samples = _length(length_ms, heard)
    holds = in_samples(call.holds, zero_ns, n_samples)
    cell = f"V{wide.cell_bytes}" if wide else np.int16 if encoding == "pcm16" else np.uint8
    samples = np.zeros((n_samples, len(columns_heard)), cell)
    gaps: list[Gap] = []
    figures: list[StreamFigures] = []
    for channel, side in enumerate(columns_heard):
        numbers = {stream.leg.number for stream in side}
        paused = resting((m for m in call.media if m.channel in numbers), lambda m: m.paused)
        pauses = in_samples(sorted({*call.pauses, *paused}, key=lambda p: p[0]), zero_ns, n_samples)
        silences, unkept = _fill(samples[:, channel], side, codec_of_encoding(encoding), pauses)
        gaps += gaps_of(Channel(channel), silences, holds, pauses)
        figures.append(_figures(channel, side, unkept, wide))
    return Stereo(
        encoding,
        as_samples(samples) if wide else samples,
        tuple(sorted(gaps, key=lambda gap: (gap.span, gap.channel))),
        tuple(figures),
        any(stream.placed.row.size for stream in heard),
        (*(wide.faults if wide else ()), *_undecoded(call.legs), *_written_over(heard)),
        lead_ms,
        wide.sample_rate_hz if wide else SAMPLE_RATE_HZ,
        tuple(replace(digit, start_ms=digit.start_ms + lead_ms) for digit in read_digits(columns)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Stream:
    """One stream with its place on the timeline."""

    leg: _Leg
    placed: Placed
    figures: LegFigures
    comfort: Comfort | None = None

    @property
    def n_samples(self) -> Ints:
        """Of each packet placed."""
        return self.leg.rtp.size[self.placed.row] // self.leg.cell_bytes


def _layers(stream: _Stream) -> list[_Stream]:
    """A stream as one or more in each of which no stretch lies over another. Comfort noise belongs to the first."""
    first, *others = layers(stream.placed, stream.n_samples)
    return [replace(stream, placed=first), *(replace(stream, placed=layer, comfort=None) for layer in others)]


def _columns(streams: list[_Stream]) -> list[list[_Stream]]:
    """The streams of each column: citizen, agent; or all that have both voices, where the sides did not come by themselves.

    A recording client may send both sides and their mix besides (Avaya, 2026-01); the mix is left out then.
    """
    sides = [[s for s in streams if s.leg.side == side] for side in (0, 1)]
    mixed = [s for s in streams if s.leg.side is None and s.placed.row.size]
    if mixed and not all(any(s.placed.row.size for s in side) for side in sides):
        return [mixed]
    return sides


def _fill(
    out: NDArray[np.generic], streams: list[_Stream], raw: Codec | None, pauses: list[tuple[int, int]]
) -> tuple[list[Silence], int]:
    """Write one column; return where nothing stands in it, and how many missing packets were not meant to be kept.

    A packet that was lost is a silence even while another stream of the side came.
    """
    covered = np.zeros(out.shape[0], bool)
    lost = np.zeros(out.shape[0], bool)
    unkept = 0
    voices = [layer for s in streams for layer in _layers(s) if layer.placed.row.size]
    if not voices:
        out[:] = raw.idle if raw else np.zeros(1, out.dtype)
    for i, stream in enumerate(voices):
        column = out if not i else np.zeros_like(out)
        if out.dtype.kind == "V":
            came = _write_wide(column, stream.leg, stream.placed)
        else:
            came = _write(column, stream.leg, stream.placed, raw)
        if i:
            add_voice(out, column, covered, came, raw)
        _fill_silence(column, stream, came, raw)
        missed = [s for s in silences_of(came, stream.placed) if s.missing]
        for silence in missed:
            lost[silence.start : silence.end] = True
        unkept += not_kept(missed, pauses)
        covered |= came
    return [*stretches_without(~lost, 1), *stretches_without(covered | lost, 0)], unkept


def _fill_silence(column: NDArray[np.generic], stream: _Stream, came: NDArray[np.bool_], raw: Codec | None) -> None:
    """Comfort noise where the sender asked for it, and a step of drift closed with what was before it; `came` says so then."""
    for silence in list(silences_of(came, stream.placed)):
        start, end = silence.start, silence.end
        if silence.missing:
            continue
        if end - start <= STEP <= start and came[start - STEP : start].all():
            column[start:end] = column[start - (end - start) : start]
            came[start:end] = True
        elif stream.comfort is not None:
            for begin, until, level in stream.comfort.within(silence):
                write_noise(column, begin, until, level, raw)
                came[begin:until] = True


def _comfort_of(leg: _Leg, zero_ns: int) -> Comfort | None:
    """The comfort noise packets of a stream on the timeline that begins at zero_ns."""
    if leg.comfort is None:
        return None
    rows = np.flatnonzero(leg.comfort)
    at = (leg.at_ns[rows] - zero_ns) * CLOCK_RATE_HZ // 1_000_000_000
    return Comfort(np.maximum.accumulate(at), leg.data[leg.rtp.start[rows]].astype(np.int64) & 0x7F)


def _seamless_leg(leg: _Leg, zero_ns: int) -> tuple[Placed, LegFigures]:
    arrivals = _arrivals(leg, zero_ns)
    placed, figures = arrange(arrivals)
    row = placed.row
    return seamless(placed, arrivals.lasts[row], arrivals.at[row], arrivals.ssrc[row]), figures


def _lead_ms(placed: Placed) -> int:
    """Whole milliseconds by which a leg's audio began before the answered mark; 0 when it is early media."""
    first = int(placed.position.min(initial=0))
    lead_ms = -(first * 1000 // SAMPLE_RATE_HZ)
    return lead_ms if lead_ms <= MAX_LEAD_MS else 0


def _gather(spool: SpoolColumns, cell_bytes: int) -> _Call:
    marks = [mark for _, mark in spool.marks]
    media = tuple(mark for mark in marks if isinstance(mark, MediaMark))
    sides = sides_of(marks)
    return _Call(
        tuple(_leg(spool, number, sides[number], cell_bytes) for number in spool.streams),
        next((mark.at_ns for mark in marks if isinstance(mark, AnsweredMark)), None),
        next((mark.at_ns for mark in marks if isinstance(mark, EndedMark)), None),
        spool.last_ns,
        tuple(resting(media, lambda m: m.held and not m.paused)),
        tuple((pause.from_ns, pause.to_ns) for pause in pauses_of(marks)),
        media,
    )


def _leg(spool: SpoolColumns, channel: int, side: Side, cell_bytes: int) -> _Leg:
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
    return _Leg(
        channel, side, spool.data, spool.arrival_ns[rtp.row], rtp, codec, foreign, unknown, cell_bytes,
        comfort if comfort.any() else None,
    )  # fmt: skip


def _meaning(payload_type: int, codecs: tuple[tuple[int, str], ...]) -> tuple[int, bool]:
    """(index into CODECS or -1, whether we know what it is) of a payload type under a map."""
    codec = codec_of_type(payload_type, codecs)
    return (CODECS.index(codec), True) if codec else (-1, _is_silent_type(payload_type, codecs))


def _is_silent_type(payload_type: int, codecs: tuple[tuple[int, str], ...]) -> bool:
    name = dict(codecs).get(payload_type, "").lower()
    return payload_type in COMFORT_TYPES or name.startswith(("telephone-event", "cn/"))


def _arrivals(leg: _Leg, zero_ns: int) -> Arrivals:
    """The leg's packets in order of arrival."""
    at = (leg.at_ns - zero_ns) * (CLOCK_RATE_HZ // 1000) // 1_000_000
    lasts = leg.rtp.size // leg.cell_bytes
    return Arrivals(at, leg.rtp.sequence, leg.rtp.timestamp, leg.rtp.ssrc, leg.codec >= 0, lasts)


def _encoding(streams: list[_Stream]) -> Encoding:
    """The law that all audio of the call is in, or `pcm16`."""
    used = {index for s in streams for index in np.unique(s.leg.codec[s.placed.row]).tolist()}
    if len(used) > 1:
        return "pcm16"
    return CODECS[used.pop()].encoding if used else "alaw"


def _length(length_ms: int, streams: list[_Stream]) -> int:
    """Samples of the recording: the call's duration, and the frames in flight at its end."""
    n_samples = length_ms * SAMPLE_RATE_HZ // 1000
    limit = n_samples + END_MARGIN_MS * SAMPLE_RATE_HZ // 1000
    for s in streams:
        if s.placed.row.size:
            last = int((s.placed.position + s.leg.rtp.size[s.placed.row] // s.leg.cell_bytes).max())
            n_samples = max(n_samples, min(last, limit))
    return -(-n_samples // 8) * 8


def _write(out: NDArray[np.generic], leg: _Leg, placed: Placed, raw: Codec | None) -> NDArray[np.bool_]:
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


def _write_wide(out: NDArray[np.generic], leg: _Leg, placed: Placed) -> NDArray[np.bool_]:
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


def _figures(channel: int, streams: list[_Stream], unkept: int, wide: Widened | None) -> StreamFigures:
    """Of all streams of one side: counts added, the worst jitter and MOS, the codec of the fullest. unkept: missing packets
    that are no loss of the network's."""
    each = []
    for stream in streams:
        ours = min(unkept, stream.figures.lost)
        unkept -= ours
        each.append(
            _figures_of(replace(stream, figures=replace(stream.figures, lost=stream.figures.lost - ours)), wide)
        )
    fullest = max(each, key=lambda f: f.packets, default=StreamFigures(channel=0, codec=""))
    heard = [f.mos for f in each if f.mos is not None]
    return StreamFigures(
        channel=1 if channel else 0,
        codec=fullest.codec or next((f.codec for f in each if f.codec), ""),
        packets=sum(f.packets for f in each),
        lost=sum(f.lost for f in each),
        duplicates=sum(f.duplicates for f in each),
        reordered=sum(f.reordered for f in each),
        foreign=sum(f.foreign for f in each),
        jitter_ms=max((f.jitter_ms for f in each), default=0.0),
        ssrcs=sum(f.ssrcs for f in each),
        mos=min(heard, default=None),
    )


def _figures_of(stream: _Stream, wide: Widened | None) -> StreamFigures:
    leg, figures = stream.leg, stream.figures
    audio = np.bincount(leg.codec[leg.codec >= 0], minlength=1)
    name = CODECS[int(audio.argmax())].name if audio.any() else ""
    codec = wide.codecs[leg.number] if wide and name else name
    jitter_ms = round(figures.jitter * 1000 / CLOCK_RATE_HZ, 3)
    return StreamFigures(
        channel=0,
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


def _side_name(side: Side) -> str:
    return "通话" if side is None else ("诉求人", "坐席")[side]


def _written_over(streams: list[_Stream]) -> Iterator[str]:
    for s in streams:
        count = sum(hidden(layer.placed, layer.n_samples) for layer in _layers(s))
        if count:
            yield f"{_side_name(s.leg.side)}一侧有 {count} 个媒体包与后一个包时间戳相同，只留下了后一个；请检查话机或中继的媒体"


def _undecoded(legs: tuple[_Leg, ...]) -> Iterator[str]:
    for leg in legs:
        name = _side_name(leg.side)
        for payload_type, count in sorted(leg.unknown.items()):
            yield f"{name}一侧有 {count} 个媒体包的编码无法解码（RTP 载荷类型 {payload_type}）；请把话机或中继设为 G.711"
