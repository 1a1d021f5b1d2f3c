"""What the peers' RTCP and the watch over the media add to the story of a call: figures of each side, troubles in words."""

from collections.abc import Iterable, Sequence
from statistics import fmean, median

from callqa.sidecar import StreamFigures
from callqa.sip.media.columns import SpoolColumns
from callqa.sip.media.spool import RtcpMark, TroubleMark
from callqa.sip.media.trouble import SAID, UNSURE, TroubleKind, minutes
from callqa.units import Channel

TROUBLES_MOST = 20  # told of one call; more are one broken line


def with_peer_view(streams: Sequence[StreamFigures], marks: Iterable[RtcpMark]) -> tuple[StreamFigures, ...]:
    """The figures of both sides with what their peers reported. A side of several streams has those of its first."""
    told: dict[int, list[RtcpMark]] = {}
    for mark in marks:
        told.setdefault(mark.channel, []).append(mark)
    return tuple(_with(figures, told.get(figures.channel, [])) for figures in streams)


def _with(figures: StreamFigures, marks: list[RtcpMark]) -> StreamFigures:
    lost = [m.peer_lost_pct for m in marks if m.peer_lost_pct is not None]
    jitter = [m.peer_jitter_ms for m in marks if m.peer_jitter_ms is not None]
    rtt = [m.rtt_ms for m in marks if m.rtt_ms is not None]
    if not lost and not jitter and not rtt:
        return figures
    return figures.model_copy(
        update={
            "peer_lost_pct": round(fmean(lost), 2) if lost else None,
            "peer_jitter_ms": round(fmean(jitter), 1) if jitter else None,
            "rtt_ms": round(median(rtt), 1) if rtt else None,
        }
    )


def troubles_of(spool: SpoolColumns) -> tuple[TroubleMark, ...]:
    """The troubles of a call, each once, with its end where it had one."""
    found: dict[tuple[int, str, int | None], TroubleMark] = {}
    for _, mark in spool.marks:
        if isinstance(mark, TroubleMark):
            found[mark.at_ns, mark.kind, mark.side] = mark
    return tuple(list(found.values())[:TROUBLES_MOST])


def describe_trouble(mark: TroubleMark, zero_ns: int) -> str:
    """A sentence for the sidecar. zero_ns: the start of the recording."""
    side = None if mark.side is None else Channel(mark.side)
    words = SAID if mark.sure else UNSURE
    said = words.get((TroubleKind(mark.kind), side), words[TroubleKind.NO_MEDIA, None])
    begin = f"从{minutes((mark.at_ns - zero_ns) // 1_000_000)}起{said}"
    return (
        f"{begin}，直到通话结束"
        if mark.until_ns is None
        else f"{begin}，持续{minutes((mark.until_ns - mark.at_ns) // 1_000_000)}"
    )
