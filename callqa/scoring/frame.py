"""The sampling frame 抽样框: which calls of a month can be drawn, in which stratum, and the file that freezes it.

docs/domain/sampling.md §2 and §3.1 step 1. Frame + exclusions + gaps = connected calls of the month. The file is bytes
that anyone can hash; `parse_frame` reads it back without a database. Nothing here draws.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import ceil

from callqa.errors import RubricError
from callqa.periods import Month, from_ms
from callqa.scoring.plan import Condition, SamplingPlan, Stratum, hash_of

SCHEMA_LINE = "callqa-frame/1"
_FIELD = re.compile(r"[^\t\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")  # what cannot break a line or a column
_REPEAT_WINDOW_MS = 30 * 86_400_000  # 30 日内第 2 次及以上


@dataclass(frozen=True, slots=True)
class FrameCandidate:
    """A call that started in the month, with all that eligibility and strata look at, as known when frozen.

    started_at_ms: UTC; recording_status: ok | missing | corrupt | none | pending; satisfaction: levels of its linked
    tickets; excluded_as: test_call | internal_call | wrong_number | overflow | confidential or None.
    """

    call_id: str
    agent_no: str | None
    started_at_ms: int
    duration_ms: int
    connected: bool
    recording_status: str
    sha256: str | None
    call_type: str
    excluded_as: str | None = None
    satisfaction: tuple[str, ...] = ()
    repeat_complaint: bool = False
    urgent_flag: bool = False
    suspected_fatal: bool = False


@dataclass(frozen=True, slots=True)
class FrameEntry:
    """One line of the frame file. started_at is ISO 8601 with its zone."""

    call_id: str
    agent_no: str
    stratum: Stratum
    started_at: str
    duration_ms: int
    recording_sha256: str

    def __post_init__(self) -> None:
        for value in (self.call_id, self.agent_no, self.started_at, self.recording_sha256):
            if not _FIELD.fullmatch(value):
                raise RubricError(0, f"抽样框里的值 {value!r} 是空的或含有换行、制表符，无法写入抽样框文件")
        if self.duration_ms < 0:
            raise RubricError(0, f"通话 {self.call_id} 的时长是 {self.duration_ms} 毫秒，应不小于 0")

    @property
    def line(self) -> str:
        """The six columns, separated by TAB."""
        return "\t".join(
            (self.call_id, self.agent_no, self.stratum, self.started_at, str(self.duration_ms), self.recording_sha256)
        )


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A connected call outside the frame, and why."""

    call_id: str
    agent_no: str | None
    code: str


@dataclass(frozen=True, slots=True)
class Frame:
    """抽样框, frozen: entries in byte order of call_id; exclusions and gaps beside them."""

    month: str
    entries: tuple[FrameEntry, ...]
    exclusions: tuple[LeftOut, ...] = ()
    gaps: tuple[LeftOut, ...] = ()

    @property
    def text(self) -> str:
        """The frame file F; UTF-8, LF, last line ended."""
        return "".join(f"{line}\n" for line in (f"{SCHEMA_LINE}\tmonth={self.month}", *(e.line for e in self.entries)))

    @property
    def frame_hash(self) -> str:
        """SHA-256 of the file, lower-case hex."""
        return hash_of(self.text)

    @property
    def sizes(self) -> dict[tuple[str, Stratum], int]:
        """N_h by agent and stratum."""
        return dict(Counter((entry.agent_no, entry.stratum) for entry in self.entries))


def build_frame(candidates: Iterable[FrameCandidate], month: Month, plan: SamplingPlan) -> Frame:
    """Sort the month's connected calls into frame, exclusions and gaps, and each framed call into its stratum.

    Calls of another month or not connected are passed over. A call meets the exclusions before the gaps: an unfit
    recording of a test call is no gap. Raise RubricError where two candidates share a call_id.
    """
    mine = [c for c in candidates if c.connected and month.start_ms <= c.started_at_ms < month.end_ms]
    mine.sort(key=lambda c: c.call_id.encode())
    doubled = [b.call_id for a, b in itertools.pairwise(mine) if a.call_id == b.call_id]
    if doubled:
        raise RubricError(0, f"通话 {doubled[0]} 在抽样框中出现了两次")
    exclusions: list[LeftOut] = []
    gaps: list[LeftOut] = []
    framed: list[FrameCandidate] = []
    for call in mine:
        excluded, gap = _exclusion(call, plan), _gap(call)
        if excluded:
            exclusions.append(LeftOut(call.call_id, call.agent_no, excluded))
        elif gap:
            gaps.append(LeftOut(call.call_id, call.agent_no, gap))
        else:
            framed.append(call)
    strata = _strata(framed, plan)
    entries = tuple(_entry(call, strata[call.call_id]) for call in framed)
    return Frame(str(month), entries, tuple(exclusions), tuple(gaps))


def parse_frame(text: str) -> Frame:
    """Read a frame file. Raise RubricError with the line of the first deviation; what is accepted re-writes byte for byte."""
    lines = text.split("\n")
    head = re.fullmatch(rf"{SCHEMA_LINE}\tmonth=(\d{{4}}-\d{{2}})", lines[0])
    if head is None:
        raise RubricError(1, f"首行应是 {SCHEMA_LINE}<TAB>month=YYYY-MM")
    if lines[-1] != "":
        raise RubricError(len(lines), "末行之后应有换行")
    entries = tuple(_parse_line(number, line) for number, line in enumerate(lines[1:-1], 2))
    for number, (before, after) in enumerate(itertools.pairwise(entries), 3):
        if before.call_id.encode() >= after.call_id.encode():
            raise RubricError(number, f"通话 {after.call_id} 没有按 call_id 升序排列，或重复")
    return Frame(head[1], entries)


def _parse_line(number: int, line: str) -> FrameEntry:
    columns = line.split("\t")
    if len(columns) != 6:
        raise RubricError(number, f"应有 6 列，这里有 {len(columns)} 列")
    call_id, agent_no, stratum, started_at, duration, sha256 = columns
    if stratum not in list(Stratum):
        raise RubricError(number, f"不认识的层“{stratum}”")
    if not re.fullmatch(r"0|[1-9]\d{0,11}", duration, re.ASCII):
        raise RubricError(number, f"时长“{duration}”应是整数毫秒")
    try:
        if datetime.fromisoformat(started_at).tzinfo is None:
            raise ValueError("no zone")
        return FrameEntry(call_id, agent_no, Stratum(stratum), started_at, int(duration), sha256)
    except ValueError as exc:
        raise RubricError(number, f"开始时间“{started_at}”应是带时区的 ISO 8601 时间") from exc
    except RubricError as exc:
        raise RubricError(number, exc.message) from exc


def _exclusion(call: FrameCandidate, plan: SamplingPlan) -> str | None:
    if call.excluded_as == "confidential" or call.excluded_as in plan.exclude:  # 保密件 whatever the plan says
        return call.excluded_as
    return "under_20s" if call.duration_ms < plan.min_duration_ms else None


def _gap(call: FrameCandidate) -> str | None:
    if call.recording_status == "corrupt":
        return "recording_corrupt"
    if call.recording_status != "ok" or not call.sha256:
        return "recording_missing"
    return None if call.agent_no else "attribution_unknown"


def _entry(call: FrameCandidate, stratum: Stratum) -> FrameEntry:
    local = from_ms(call.started_at_ms)
    # The file has whole seconds where the clock had; milliseconds are kept where there are any, so that every field
    # of a call reaches the hash.
    started_at = local.isoformat(timespec="milliseconds" if local.microsecond else "seconds")
    assert call.agent_no is not None and call.sha256 is not None  # _gap took the others out
    return FrameEntry(call.call_id, call.agent_no, stratum, started_at, call.duration_ms, call.sha256)


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a condition may look at besides the call: for each ratio asked, the longest calls of each agent."""

    longest: Mapping[Decimal, frozenset[str]]


def _strata(framed: Sequence[FrameCandidate], plan: SamplingPlan) -> dict[str, Stratum]:
    """First stratum from the top whose any condition holds."""
    ratios = {c.value for rule in plan.strata for c in rule.any_of if isinstance(c.value, Decimal)}
    scene = _Scene({ratio: _longest(framed, ratio) for ratio in ratios})
    return {
        call.call_id: next(r.stratum for r in plan.strata if any(meets(c, call, scene) for c in r.any_of))
        for call in framed
    }


def _longest(framed: Sequence[FrameCandidate], ratio: Decimal) -> frozenset[str]:
    """The ⌈ratio · N_a⌉ longest framed calls of each agent; ties by call_id, ascending."""
    chosen: set[str] = set()
    for agent_no in {call.agent_no for call in framed}:
        own = sorted((c for c in framed if c.agent_no == agent_no), key=lambda c: (-c.duration_ms, c.call_id.encode()))
        chosen.update(c.call_id for c in own[: ceil(ratio * len(own))])
    return frozenset(chosen)


_MEETS: Mapping[tuple[str, str], Callable[[Condition, FrameCandidate, _Scene], bool]] = {
    ("always", "true"): lambda condition, call, scene: True,
    ("ticket", "satisfaction_in"): lambda condition, call, scene: _shares(condition, call.satisfaction),
    ("ticket", "repeat_complaint"): lambda condition, call, scene: call.repeat_complaint,
    ("ticket", "urgent_flag"): lambda condition, call, scene: call.urgent_flag,
    ("call", "type"): lambda condition, call, scene: _shares(condition, (call.call_type,)),
    ("call", "duration_top_ratio"): lambda condition, call, scene: any(
        call.call_id in calls for ratio, calls in scene.longest.items() if ratio == condition.value
    ),
    ("auto", "suspected_fatal"): lambda condition, call, scene: call.suspected_fatal,
}


def meets(condition: Condition, call: FrameCandidate, scene: _Scene | None = None) -> bool:
    """Whether a condition of the plan holds for a call; without a scene no call is among the longest."""
    return _MEETS[condition.group, condition.key](condition, call, scene or _Scene({}))


def _shares(condition: Condition, values: Sequence[str]) -> bool:
    return isinstance(condition.value, tuple) and any(value in condition.value for value in values)


@dataclass(frozen=True, slots=True)
class TicketTrace:
    """What tells a repeated complaint of a ticket: who called, where, about what, when."""

    ticket_no: str
    caller_number: str
    location: str
    matter_category: str
    accepted_at_ms: int | None
    parent_ticket_no: str | None


def repeated(tickets: Iterable[TicketTrace]) -> frozenset[str]:
    """Ticket numbers that are the second or later of their kind within 30 days: 同号码或同地点的同类事项.

    A ticket already linked to a parent counts whatever its age. Tickets without a matter or a time are not compared.
    """
    found: set[str] = set()
    latest: dict[tuple[str, str, str], int] = {}
    known = list(tickets)
    for trace in sorted(known, key=lambda t: (t.accepted_at_ms or 0, t.ticket_no)):
        if trace.parent_ticket_no:
            found.add(trace.ticket_no)
        if trace.accepted_at_ms is None or not trace.matter_category:
            continue
        for kind, value in (("number", trace.caller_number), ("place", trace.location.strip())):
            key = (kind, value, trace.matter_category)
            if value and trace.accepted_at_ms - latest.get(key, -_REPEAT_WINDOW_MS - 1) <= _REPEAT_WINDOW_MS:
                found.add(trace.ticket_no)
            if value:
                latest[key] = trace.accepted_at_ms
    return frozenset(found)
