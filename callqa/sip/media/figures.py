"""What is said of a side's streams beside their audio: counts and quality, and what could not be kept."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from callqa.sidecar import StreamFigures
from callqa.sip.media.codec import CODECS
from callqa.sip.media.legs import Leg
from callqa.sip.media.mos import mos_of_stream
from callqa.sip.media.seams import hidden
from callqa.sip.media.spool import Side
from callqa.sip.media.streams import CLOCK_RATE_HZ
from callqa.sip.media.voices import Stream, layers_of
from callqa.sip.media.wide import Widened


def figures_of_side(channel: int, streams: list[Stream], unkept: int, wide: Widened | None) -> StreamFigures:
    """Of all streams of one side: counts added, the worst jitter and MOS, the codec of the fullest. unkept: missing packets
    that are no loss of the network's."""
    each = []
    for stream in streams:
        ours = min(unkept, stream.figures.lost)
        unkept -= ours
        each.append(_of_stream(replace(stream, figures=replace(stream.figures, lost=stream.figures.lost - ours)), wide))
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


def _of_stream(stream: Stream, wide: Widened | None) -> StreamFigures:
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


def written_over(streams: Iterable[Stream]) -> Iterator[str]:
    """Packets whose sender gave another one their time."""
    for s in streams:
        count = sum(hidden(layer.placed, layer.n_samples) for layer in layers_of(s))
        if count:
            yield f"{_side_name(s.leg.side)}一侧有 {count} 个媒体包与后一个包时间戳相同，只留下了后一个；请检查话机或中继的媒体"


def undecoded(legs: Iterable[Leg]) -> Iterator[str]:
    """Payloads that no codec of ours reads."""
    for leg in legs:
        name = _side_name(leg.side)
        for payload_type, count in sorted(leg.unknown.items()):
            yield f"{name}一侧有 {count} 个媒体包的编码无法解码（RTP 载荷类型 {payload_type}）；请把话机或中继设为 G.711"
