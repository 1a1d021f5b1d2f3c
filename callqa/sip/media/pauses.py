"""暂停录音: from when to when a spool's marks say that packets were relayed but not kept, and what that does to gaps.

While a recording is paused its last PausedMark is written again once a second, so that after a crash the spool still says
up to when. A call that ended, or a spool that was cut off, in a pause was paused to its end.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from callqa.sip.media.spool import Mark, PausedMark, ResumedMark

# A frame that arrived before the pause reaches into it, one that was under way when it began is missing before it: an
# edge of a gap so near to an edge of the pause is the pause's. No jitter buffer we know of holds back more.
EDGE_MS = 200


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause on the recorder's clock. to_ns: None when it lasted to the end."""

    from_ns: int
    to_ns: int | None
    by: str
    reason: str


def pauses_of(marks: Iterable[Mark]) -> tuple[Pause, ...]:
    """The pauses that a spool's marks tell of, in order, none touching another's inside."""
    found: list[Pause] = []
    since: PausedMark | None = None
    for mark in marks:
        if isinstance(mark, PausedMark):
            since = since or mark
        elif isinstance(mark, ResumedMark) and since is not None:
            found.append(Pause(since.at_ns, max(since.at_ns, mark.at_ns), since.by, since.reason))
            since = None
    if since is not None:
        found.append(Pause(since.at_ns, None, since.by, since.reason))
    return tuple(found)


def cut_at_pauses(
    start: int, end: int, pauses: Iterable[tuple[int, int]], edge: int
) -> Iterator[tuple[int, int, bool]]:
    """Cut the gap [start, end) at the pauses, which are in order: (start, end, paused). edge: EDGE_MS in the same unit."""
    for pause_from, pause_to in pauses:
        paused_from, paused_to = max(pause_from, start), min(pause_to, end)
        if paused_from >= paused_to:
            continue
        if paused_from - start > edge:
            yield start, paused_from, False
        else:
            paused_from = start
        if end - paused_to <= edge:
            paused_to = end
        yield paused_from, paused_to, True
        start = paused_to
    if start < end:
        yield start, end, False
