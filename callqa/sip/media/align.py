"""Records of one call → stereo audio on one timeline, with a map of the gaps and figures of both streams.

t = 0 is the answer, or the first audio where that overtook the answer. A sample is written where its sender's clock says,
anchored to when the stream arrived; nothing is resampled, so every frame of a clean call comes out bit for bit. All streams
in one G.711 law keep its bytes, otherwise they are decoded to 16 bits, with any other codec (wide.py) at the higher rate.
Where nothing came there is the law's idle code, and a Gap says why.

A side may have several streams (a conference, a second agent): each is placed by itself and they are added, see mix.py. Two
voices in one stream cannot be told apart: where that is all there is, the result has one column.

Total: any records give a Stereo whose length is bounded by the call's duration, whatever the packets claim.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from callqa.errors import SpoolError
from callqa.sidecar import StreamFigures
from callqa.sip.media.codec import CODECS, Encoding, codec_of_encoding
from callqa.sip.media.columns import SpoolColumns, columns_of
from callqa.sip.media.dtmf import Digit, read_digits
from callqa.sip.media.figures import figures_of_side, undecoded, written_over
from callqa.sip.media.gapmap import gaps_of, in_samples, resting
from callqa.sip.media.legs import Leg, gather
from callqa.sip.media.spool import SpoolRecord
from callqa.sip.media.streams import Placed
from callqa.sip.media.voices import Stream, comfort_of, fill, place
from callqa.sip.media.wide import as_samples, widen
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


@dataclass(frozen=True, slots=True, eq=False)
class Stereo:
    """samples: uint8 (n, 2) G.711 bytes or int16 (n, 2) at sample_rate_hz, left citizen, right agent; (n, 1) when both are
    in one stream (mono); n is whole milliseconds.

    lead_ms: how long before the answered mark t = 0 lies.
    heard: whether any audio came at all. faults: Chinese sentences about what could not be kept.
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


def to_stereo(spool: SpoolColumns | Iterable[SpoolRecord]) -> Stereo:
    """Align the records of one answered call. Raise SpoolError when it was never answered."""
    columns = spool if isinstance(spool, SpoolColumns) else columns_of(spool)
    wide = widen(columns)
    call = gather(wide.spool if wide else columns, wide.cell_bytes if wide else 1)
    if call.answered_ns is None:
        raise SpoolError("call was never answered: there is no t = 0 to align to")
    zero_ns = call.answered_ns
    end_ns = max(zero_ns, call.last_ns if call.ended_ns is None else call.ended_ns)
    length_ms = min(-((zero_ns - end_ns) // 1_000_000), MAX_CALL_MS)
    streams, lead_ms = _on_one_timeline(call.legs, zero_ns)
    zero_ns -= lead_ms * 1_000_000
    length_ms += lead_ms
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
        silences, unkept = fill(samples[:, channel], side, codec_of_encoding(encoding), pauses)
        gaps += gaps_of(Channel(channel), silences, holds, pauses)
        figures.append(figures_of_side(channel, side, unkept, wide))
    return Stereo(
        encoding,
        as_samples(samples) if wide else samples,
        tuple(sorted(gaps, key=lambda gap: (gap.span, gap.channel))),
        tuple(figures),
        any(stream.placed.row.size for stream in heard),
        (*(wide.faults if wide else ()), *undecoded(call.legs), *written_over(heard)),
        lead_ms,
        wide.sample_rate_hz if wide else SAMPLE_RATE_HZ,
        tuple(replace(digit, start_ms=digit.start_ms + lead_ms) for digit in read_digits(columns)),
    )


def _on_one_timeline(legs: Iterable[Leg], answered_ns: int) -> tuple[list[Stream], int]:
    """The streams of all legs, and by how many ms their timeline begins before the answer."""
    arranged = [(leg, *place(leg, answered_ns)) for leg in legs]
    lead_ms = max(_lead_ms(placed) for _, placed, _ in arranged)
    zero_ns, lead = answered_ns - lead_ms * 1_000_000, lead_ms * SAMPLE_RATE_HZ // 1000
    return [
        Stream(leg, replace(placed, position=placed.position + lead), figures, comfort_of(leg, zero_ns))
        for leg, placed, figures in arranged
    ], lead_ms


def _columns(streams: list[Stream]) -> list[list[Stream]]:
    """The streams of each column: citizen, agent; or all that have both voices, where the sides did not come by themselves.

    A recording client may send both sides and their mix besides (Avaya, 2026-01); the mix is left out then.
    """
    sides = [[s for s in streams if s.leg.side == side] for side in (0, 1)]
    mixed = [s for s in streams if s.leg.side is None and s.placed.row.size]
    if mixed and not all(any(s.placed.row.size for s in side) for side in sides):
        return [mixed]
    return sides


def _lead_ms(placed: Placed) -> int:
    """Whole milliseconds by which a leg's audio began before the answered mark; 0 when it is early media."""
    first = int(placed.position.min(initial=0))
    lead_ms = -(first * 1000 // SAMPLE_RATE_HZ)
    return lead_ms if lead_ms <= MAX_LEAD_MS else 0


def _encoding(streams: list[Stream]) -> Encoding:
    """The law that all audio of the call is in, or `pcm16`."""
    used = {index for s in streams for index in np.unique(s.leg.codec[s.placed.row]).tolist()}
    if len(used) > 1:
        return "pcm16"
    return CODECS[used.pop()].encoding if used else "alaw"


def _length(length_ms: int, streams: list[Stream]) -> int:
    """Samples of the recording: the call's duration, and the frames in flight at its end."""
    n_samples = length_ms * SAMPLE_RATE_HZ // 1000
    limit = n_samples + END_MARGIN_MS * SAMPLE_RATE_HZ // 1000
    for s in streams:
        if s.placed.row.size:
            last = int((s.placed.position + s.leg.rtp.size[s.placed.row] // s.leg.cell_bytes).max())
            n_samples = max(n_samples, min(last, limit))
    return -(-n_samples // 8) * 8
