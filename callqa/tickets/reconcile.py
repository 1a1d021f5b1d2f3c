"""核对: a PBX's call list against our calls. Every answered call has a recording or a stated reason; this finds those
that have neither.

The PBX's clock may be off, by seconds or by a time zone: the offset is estimated from calls of equal numbers and taken
off. Then calls are paired one to one, the closest in time first, where the numbers fit; a withheld number pairs by
seat, length of talk, or the second. A further answered row of a call already paired (a transfer, a second leg) is a part of it.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from statistics import median

from callqa.tickets.importers.cdr import CdrRow

TOLERANCE_MS = 60_000
# A PBX on UTC or another zone is up to 13 hours off; beyond that the lists are of different days.
MOST_OFFSET_MS = 13 * 3_600_000
# Fewer calls of equal numbers than this say nothing of a clock.
LEAST_PAIRS = 3
# A number that calls all day pairs with itself in every combination: only its nearest are looked at.
NEAREST = 40
LONGEST_RING_MS = 3_600_000  # the longest queue
# Without a number: lengths of talk, or times, that are the same but for rounding.
SAME_TALK_MS = 2_000
SAME_SECOND_MS = 3_000
LONGEST_CALL_MS = 4 * 3_600_000


class Verdict(StrEnum):
    """How one line of the comparison stands."""

    RECORDED = "recorded"  # 有录音
    PENDING = "pending"  # answered minutes ago; the recording is being finished
    STATED = "stated"  # no recording, and why
    UNANSWERED = "unanswered"  # nobody answered, both agree
    DIFFERS = "differs"  # the PBX says answered, we say not, and why
    PART = "part"  # another leg of a call that is recorded
    INTERNAL = "internal"  # between two seats
    NOT_HERE = "not_here"  # unanswered at the PBX and never reached us
    MISSING = "missing"  # answered, and neither a recording nor a reason
    EXTRA = "extra"  # ours, unknown to the PBX


@dataclass(frozen=True, slots=True)
class OurCall:
    """One of our calls. citizen_number: "" = withheld. reason: why there is no recording, or why it was not answered;
    "" = none is stated."""

    call_id: str
    started_at_ms: int
    answered_at_ms: int | None
    ended_at_ms: int | None
    outcome: str
    citizen_number: str
    seat_extension: str
    recording_status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the result: a row of the PBX, one of our calls, or both. off_ms: PBX minus ours, offset taken off."""

    verdict: Verdict
    row: CdrRow | None
    call: OurCall | None
    off_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Reconciled:
    """offset_ms: how far the PBX's clock is ahead of ours; n_pairs: calls it was estimated from (0 = taken as right)."""

    lines: tuple[Line, ...]
    offset_ms: int
    n_pairs: int

    def count(self, verdict: Verdict) -> int:
        return sum(line.verdict is verdict for line in self.lines)

    @property
    def missing(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.verdict is Verdict.MISSING)


def reconcile(
    rows: Sequence[CdrRow],
    calls: Sequence[OurCall],
    *,
    tolerance_ms: int = TOLERANCE_MS,
    seats: frozenset[str] = frozenset(),
) -> Reconciled:
    """Compare. seats: extensions, to know a call between two of them. Of our calls, those from the first row to the last
    that no row stands for are told as unknown to the PBX."""
    calls = sorted(calls, key=_start)
    offset_ms, n_pairs = estimate_offset(rows, calls, tolerance_ms)
    paired = _pair(rows, calls, offset_ms, tolerance_ms)
    lines: list[Line] = []
    for index, row in enumerate(rows):
        call_index = paired.get(index)
        if call_index is not None:
            call = calls[call_index]
            lines.append(Line(_verdict(row, call), row, call, _off(row, call, offset_ms)))
        else:
            lines.append(_unpaired(row, calls, offset_ms, tolerance_ms, seats))
    if rows:
        times = [row.started_at_ms - offset_ms for row in rows]
        first_ms, last_ms = min(times) - tolerance_ms, max(times) + tolerance_ms
        known = set(paired.values())
        lines += [
            Line(Verdict.EXTRA, None, call)
            for i, call in enumerate(calls)
            if i not in known and first_ms <= call.started_at_ms <= last_ms
        ]
    lines.sort(key=lambda line: _time_of(line, offset_ms))
    return Reconciled(tuple(lines), offset_ms, n_pairs)


def estimate_offset(rows: Sequence[CdrRow], calls: Sequence[OurCall], tolerance_ms: int) -> tuple[int, int]:
    """(PBX clock minus ours in ms, calls it rests on): the densest window of differences between calls of equal
    numbers; (0, 0) where too few agree. Of equally dense windows the one nearest to 0."""
    by_number: dict[str, list[int]] = {}
    for call in calls:
        if len(call.citizen_number) >= 7:  # the last 7 digits: with or without area code or prefix
            by_number.setdefault(call.citizen_number[-7:], []).append(call.started_at_ms)
    for times in by_number.values():
        times.sort()
    differences: list[tuple[int, int]] = []  # (difference, row)
    for index, row in enumerate(rows):
        for number in {n for n in (row.from_number, row.to_number) if len(n) >= 7}:
            times = by_number.get(number[-7:], [])
            at = bisect.bisect(times, row.started_at_ms)
            for time_ms in times[max(0, at - NEAREST // 2) : at + NEAREST // 2]:
                if abs(row.started_at_ms - time_ms) <= MOST_OFFSET_MS:
                    differences.append((row.started_at_ms - time_ms, index))
    differences.sort()
    best: tuple[int, int, list[int]] = (0, 0, [])
    low = 0
    inside: dict[int, int] = {}
    for high, (value, index) in enumerate(differences):
        inside[index] = inside.get(index, 0) + 1
        while value - differences[low][0] > tolerance_ms:
            gone = differences[low][1]
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            low += 1
        middle = (value + differences[low][0]) // 2
        if (len(inside), -abs(middle)) > (best[0], -abs(best[1])):
            best = (len(inside), middle, [d for d, _ in differences[low : high + 1]])
    if best[0] < LEAST_PAIRS:
        return 0, 0
    return round(median(best[2])), best[0]


def _pair(rows: Sequence[CdrRow], calls: Sequence[OurCall], offset_ms: int, tolerance_ms: int) -> dict[int, int]:
    """row index -> call index (calls in order of their start), one to one; what agrees on being answered and is closest in time first."""
    candidates: list[tuple[bool, Fit, int, int, int]] = []
    for index, row in enumerate(rows):
        times = [t - offset_ms for t in (row.started_at_ms, row.answered_at_ms) if t is not None]
        # A call may have rung long before it was answered: look further back than the tolerance.
        low = bisect.bisect_left(calls, min(times) - tolerance_ms - LONGEST_RING_MS, key=_start)
        high = bisect.bisect_right(calls, max(times) + tolerance_ms, key=_start)
        for i in range(low, high):
            off_ms = _off(row, calls[i], offset_ms)
            fit = _fit(row, calls[i], off_ms) if abs(off_ms) <= tolerance_ms else None
            if fit is not None:
                agrees = row.answered is None or row.answered == (calls[i].outcome == "answered")
                candidates.append((not agrees, fit, abs(off_ms), index, i))
    paired: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, _, index, i in sorted(candidates):
        if index not in paired and i not in taken:
            paired[index] = i
            taken.add(i)
    return paired


def _off(row: CdrRow, call: OurCall, offset_ms: int) -> int:
    """How far the two are apart in time: at their start or at their answer, whichever is closer.

    A PBX that plays a menu first starts long before us and answers with us, or the other way round.
    """
    pairs = [(row.started_at_ms, call.started_at_ms)]
    if row.answered_at_ms is not None and call.answered_at_ms is not None:
        pairs.append((row.answered_at_ms, call.answered_at_ms))
    return min((theirs - offset_ms - ours for theirs, ours in pairs), key=abs)


def same_number(a: str, b: str) -> bool:
    """Whether two canonical numbers are one, with or without area code or a trunk's prefix of up to 4 digits."""
    if a == b:
        return bool(a)
    short, long = (a, b) if len(a) < len(b) else (b, a)
    return len(short) >= 7 and len(long) - len(short) <= 4 and long.endswith(short)


class Fit(IntEnum):
    """How well a row and a call fit; the lower the better."""

    NUMBER = 0
    SEAT_OR_TALK = 1
    TIME = 2


def _fit(row: CdrRow, call: OurCall, off_ms: int) -> Fit | None:
    """Whether the row can be the call: the citizen's number is in it; where one side has none, seat or talk agree, or
    at least the second."""
    theirs = [n for n in (row.from_number, row.to_number) if n]
    if any(same_number(number, call.citizen_number) for number in theirs):
        return Fit.NUMBER
    if call.citizen_number and len(theirs) == 2:
        return None
    if call.seat_extension and call.seat_extension in (row.seat_extension, *theirs):
        return Fit.SEAT_OR_TALK
    talk_ms = None if call.answered_at_ms is None else (call.ended_at_ms or call.answered_at_ms) - call.answered_at_ms
    if row.talk_ms is not None and talk_ms is not None and abs(row.talk_ms - talk_ms) <= SAME_TALK_MS:
        return Fit.SEAT_OR_TALK
    return Fit.TIME if abs(off_ms) <= SAME_SECOND_MS and not row.seat_extension else None


def _verdict(row: CdrRow, call: OurCall) -> Verdict:
    if call.outcome != "answered":
        if call.outcome == "in_progress":
            return Verdict.PENDING
        return Verdict.DIFFERS if row.answered else Verdict.UNANSWERED
    if call.recording_status == "ok":
        return Verdict.RECORDED
    if call.recording_status == "pending":
        return Verdict.PENDING
    return Verdict.STATED if call.reason else Verdict.MISSING


def _unpaired(row: CdrRow, calls: Sequence[OurCall], offset_ms: int, tolerance_ms: int, seats: frozenset[str]) -> Line:
    """calls: in order of their start."""
    if {row.from_number, row.to_number} <= seats and row.from_number != row.to_number:
        return Line(Verdict.INTERNAL, row, None)
    if row.answered is False:
        return Line(Verdict.NOT_HERE, row, None)
    start_ms = (row.answered_at_ms or row.started_at_ms) - offset_ms
    low = bisect.bisect_left(calls, start_ms - LONGEST_CALL_MS, key=_start)
    for call in calls[low : bisect.bisect_right(calls, start_ms + tolerance_ms, key=_start)]:
        ended_ms = call.ended_at_ms or call.started_at_ms
        off_ms = start_ms - call.started_at_ms
        if start_ms <= ended_ms and call.recording_status == "ok" and _fit(row, call, off_ms) is Fit.NUMBER:
            return Line(Verdict.PART, row, call, off_ms)
    return Line(Verdict.MISSING, row, None)


def _start(call: OurCall) -> int:
    return call.started_at_ms


def _time_of(line: Line, offset_ms: int) -> tuple[int, int]:
    if line.row is not None:
        return line.row.started_at_ms - offset_ms, line.row.row
    assert line.call is not None, "a line has a row or a call"
    return line.call.started_at_ms, 0


def missing_spans(result: Reconciled) -> tuple[tuple[int, int, int], ...]:
    """Runs of missing calls with none recorded between: (from, to, calls) on our clock. A run says: nothing was
    recorded then."""
    spans: list[tuple[int, int, int]] = []
    run: list[int] = []
    for line in (*result.lines, None):
        if line is not None and line.verdict is Verdict.MISSING and line.row is not None:
            run.append(line.row.started_at_ms - result.offset_ms)
        elif line is None or line.verdict in (Verdict.RECORDED, Verdict.STATED, Verdict.PART):
            if len(run) > 1:
                spans.append((run[0], run[-1], len(run)))
            run = []
    return tuple(spans)
