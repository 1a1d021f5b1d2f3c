"""One side of a call written into its column: every stream where it belongs, comfort noise, and what is missing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from callqa.sip.media.codec import CODECS, Codec
from callqa.sip.media.comfort import Comfort, write_noise
from callqa.sip.media.drift import STEP
from callqa.sip.media.gapmap import Silence, not_kept, silences_of, stretches_without
from callqa.sip.media.legs import Leg, arrivals_of
from callqa.sip.media.mix import add_voice
from callqa.sip.media.rtp import MAX_PAYLOAD_BYTES
from callqa.sip.media.seams import layers, seamless
from callqa.sip.media.streams import CLOCK_RATE_HZ, Ints, LegFigures, Placed, arrange
from callqa.sip.media.wide import write_cells

_PLACE_AT_ONCE = 4096  # packets whose sample indices are made in one go: 5 MB at 20 ms


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One stream with its place on the timeline."""

    leg: Leg
    placed: Placed
    figures: LegFigures
    comfort: Comfort | None = None

    @property
    def n_samples(self) -> Ints:
        """Of each packet placed."""
        return self.leg.rtp.size[self.placed.row] // self.leg.cell_bytes


def place(leg: Leg, zero_ns: int) -> tuple[Placed, LegFigures]:
    """Where each packet of a leg belongs, in samples from zero_ns, and what came."""
    arrivals = arrivals_of(leg, zero_ns)
    placed, figures = arrange(arrivals)
    row = placed.row
    return seamless(placed, arrivals.lasts[row], arrivals.at[row], arrivals.ssrc[row]), figures


def comfort_of(leg: Leg, zero_ns: int) -> Comfort | None:
    """The comfort noise packets of a stream on the timeline that begins at zero_ns."""
    if leg.comfort is None:
        return None
    rows = np.flatnonzero(leg.comfort)
    at = (leg.at_ns[rows] - zero_ns) * CLOCK_RATE_HZ // 1_000_000_000
    return Comfort(np.maximum.accumulate(at), leg.data[leg.rtp.start[rows]].astype(np.int64) & 0x7F)


def layers_of(stream: Stream) -> list[Stream]:
    """A stream as one or more in each of which no stretch lies over another. Comfort noise belongs to the first."""
    first, *others = layers(stream.placed, stream.n_samples)
    return [replace(stream, placed=first), *(replace(stream, placed=layer, comfort=None) for layer in others)]


def fill(
    out: NDArray[np.generic], streams: list[Stream], raw: Codec | None, pauses: list[tuple[int, int]]
) -> tuple[list[Silence], int]:
    """Write one column; return where nothing stands in it, and how many missing packets were not meant to be kept.

    A packet that was lost is a silence even while another stream of the side came.
    """
    covered = np.zeros(out.shape[0], bool)
    lost = np.zeros(out.shape[0], bool)
    unkept = 0
    voices = [layer for s in streams for layer in layers_of(s) if layer.placed.row.size]
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


def _fill_silence(column: NDArray[np.generic], stream: Stream, came: NDArray[np.bool_], raw: Codec | None) -> None:
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


def _write(out: NDArray[np.generic], leg: Leg, placed: Placed, raw: Codec | None) -> NDArray[np.bool_]:
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


def _write_wide(out: NDArray[np.generic], leg: Leg, placed: Placed) -> NDArray[np.bool_]:
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
