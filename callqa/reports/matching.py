"""Recording, ticket and process beside each other, as chapter seven counts them. Values and their arithmetic; no rows.

A comparison is the machine's; what a person made of it stands apart. Spent times are between two noted instants: where
one is missing nothing is told, and it is counted as such.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

from callqa.periods import Month
from callqa.units import Ratio

MATCH, MISMATCH, UNDECIDED = "match", "mismatch", "undecided"


@dataclass(frozen=True, slots=True)
class Difference:
    """One comparison that differs. call_id, ticket_no: "" where there is none; words: masked."""

    call_id: str
    ticket_no: str
    words: str


@dataclass(frozen=True, slots=True)
class CheckCount:
    """One check over the whole month by machine. has_rule: whether anything compares it; without, all is undecided."""

    code: str
    label: str
    same: int
    undecided: int
    differing: tuple[Difference, ...]
    has_rule: bool = True

    @property
    def due(self) -> int:
        return self.same + len(self.differing) + self.undecided

    @property
    def rate(self) -> Ratio:
        """不一致率, of those that could be decided."""
        return Ratio(len(self.differing), self.same + len(self.differing))


@dataclass(frozen=True, slots=True)
class ByHand:
    """One check in the scored calls of the sample. compared: decided by the machine; pointed_out: said to differ."""

    label: str
    compared: int
    pointed_out: int
    confirmed: int
    refused: int

    @property
    def precision(self) -> Ratio:
        """查准率: confirmed of those a person has judged."""
        return Ratio(self.confirmed, self.confirmed + self.refused)


@dataclass(frozen=True, slots=True)
class TicketTimes:
    """The instants of one ticket. call_ended_at_ms: of its first inbound call; secret: it hangs on a confidential call;
    agent_no: who accepted it."""

    ticket_no: str
    call_ended_at_ms: int | None = None
    accepted_at_ms: int | None = None
    dispatched_at_ms: int | None = None
    due_at_ms: int | None = None
    result_received_at_ms: int | None = None
    closed_at_ms: int | None = None
    callback_done_at_ms: int | None = None
    secret: bool = False
    agent_no: str = ""
    satisfaction: str = ""


@dataclass(frozen=True, slots=True)
class Spent:
    """One ticket in one step. late None: no limit to hold it against; share: of the limit."""

    ticket_no: str
    spent_ms: int | None
    late: bool | None
    share: float | None = None
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """环节. limit_ms: as the rubric sets it; None without one, or where each ticket has its own. untimed: an instant is
    missing. noted: whether tickets carry the instants of this step at all."""

    label: str
    definition: str
    limit_words: str
    tickets: tuple[Spent, ...]
    untimed: int
    noted: bool = True

    @property
    def judged(self) -> tuple[Spent, ...]:
        return tuple(one for one in self.tickets if one.late is not None)

    @property
    def late(self) -> tuple[Spent, ...]:
        """The slowest first."""
        found = [one for one in self.tickets if one.late]
        return tuple(sorted(found, key=lambda one: (-(one.spent_ms or 1 << 62), one.ticket_no)))

    @property
    def on_time(self) -> Ratio:
        return Ratio(len(self.judged) - len(self.late), len(self.judged))

    @property
    def longest(self) -> Spent | None:
        timed = [one for one in self.tickets if one.spent_ms is not None]
        return max(timed, key=lambda one: (one.spent_ms or 0, one.ticket_no), default=None)

    @property
    def median_ms(self) -> int | None:
        timed = [one.spent_ms for one in self.tickets if one.spent_ms is not None]
        return round(median(timed)) if timed else None

    @property
    def shares(self) -> tuple[float, float, float] | None:
        """Quartiles of the share of the limit used; None with fewer than four."""
        known = [one.share for one in self.tickets if one.share is not None]
        if len(known) < 4:
            return None
        low, middle, high = quantiles(known, n=4, method="inclusive")
        return low, middle, high


ACCEPT, DISPATCH, CLOSE_RESULT, CALL_BACK = (
    ("call_ended", "ticket_created_at"),
    ("ticket_created_at", "dispatched_at"),
    ("result_received_at", "closed_at"),
    ("result_received_at", "callback_started_at"),
)


def process_steps(
    tickets: Sequence[TicketTimes], limits: Mapping[tuple[str, str], int], month: Month, known_ms: int
) -> tuple[Step, ...]:
    """The steps in order. limits: of the rubric, by (from, to), ms; known_ms: when the tickets were read."""

    def of(moment: Callable[[TicketTimes], int | None]) -> list[TicketTimes]:
        return [t for t in tickets if (at := moment(t)) is not None and month.start_ms <= at < month.end_ms]

    accepted = of(lambda t: t.accepted_at_ms)
    return (
        _step("建单", "通话结束到受理；受理在本月且关联来电", limits.get(ACCEPT), [
            (t, t.call_ended_at_ms, t.accepted_at_ms) for t in accepted if t.call_ended_at_ms is not None
        ]),
        _step("交办", "受理到交办；受理在本月", limits.get(DISPATCH), [
            (t, t.accepted_at_ms, t.dispatched_at_ms) for t in accepted
        ]),
        Step("签收", "工单没有签收时间这一列", "", (), 0, noted=False),
        _closing(of(lambda t: t.due_at_ms), known_ms),
        _step("审核", "结果反馈到办结；办结在本月", limits.get(CLOSE_RESULT), [
            (t, t.result_received_at_ms, t.closed_at_ms) for t in of(lambda t: t.closed_at_ms)
        ]),
        _step("回访", "结果反馈到回访完成；回访在本月", limits.get(CALL_BACK), [
            (t, t.result_received_at_ms, t.callback_done_at_ms) for t in of(lambda t: t.callback_done_at_ms)
        ]),
    )  # fmt: skip


def _step(
    label: str,
    definition: str,
    limit_ms: int | None,
    pairs: Sequence[tuple[TicketTimes, int | None, int | None]],
) -> Step:
    """A step whose limit is the same for all. What ended before it began took no time: clocks of two systems differ."""
    found = []
    for ticket, start_ms, end_ms in pairs:
        if start_ms is None or end_ms is None:
            continue
        spent_ms = max(0, end_ms - start_ms)
        late = None if limit_ms is None else end_ms - start_ms > limit_ms
        share = spent_ms / limit_ms if limit_ms else None
        found.append(Spent(ticket.ticket_no, spent_ms, late, share, ticket.secret))
    words = "" if limit_ms is None else say_span(limit_ms)
    return Step(label, definition, words, tuple(found), len(pairs) - len(found))


def _closing(due: Sequence[TicketTimes], known_ms: int) -> Step:
    """办结 as 及时办结率 counts it: due in the month and before the tickets were read; still open is late."""
    found = []
    for ticket in due:
        due_ms, closed_ms, began_ms = ticket.due_at_ms, ticket.closed_at_ms, ticket.accepted_at_ms
        if due_ms is None or due_ms >= known_ms:
            continue
        spent_ms = None if closed_ms is None or began_ms is None else max(0, closed_ms - began_ms)
        room_ms = 0 if began_ms is None else due_ms - began_ms
        share = spent_ms / room_ms if spent_ms is not None and room_ms > 0 else None
        late = closed_ms is None or closed_ms > due_ms
        found.append(Spent(ticket.ticket_no, spent_ms, late, share, ticket.secret))
    open_yet = sum(one.spent_ms is None for one in found)
    return Step("办结", "受理到办结；期限在本月且已到，至今未办结的为超时", "各工单的办理时限", tuple(found), open_yet)


@dataclass(frozen=True, slots=True)
class KeptCall:
    """An answered call and its recording. status: ok | missing | corrupt | pending | none."""

    agent_no: str
    seat: str
    started_at_ms: int
    status: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """录音完整性 of some calls. spans: (first, last, calls) of runs without a recording and with none kept between, by
    when the calls started; hidden: lost recordings of confidential calls, which no span tells."""

    calls: int
    ok: int
    corrupt: int
    missing: int
    pending: int
    spans: tuple[tuple[int, int, int], ...] = ()
    hidden: int = 0

    @property
    def complete(self) -> Ratio:
        """录音完整率, of calls whose recording is not being finished."""
        return Ratio(self.ok, self.calls - self.pending)


def completeness(calls: Iterable[KeptCall]) -> Kept:
    """Count some calls' recordings and find the runs that have none."""
    ordered = sorted(calls, key=lambda call: call.started_at_ms)
    spans: list[tuple[int, int, int]] = []
    run: list[int] = []
    for call in ordered:
        if call.status in ("missing", "corrupt", "none"):
            run += [] if call.secret else [call.started_at_ms]
        elif call.status == "ok":
            spans += [(run[0], run[-1], len(run))] if run else []
            run = []
    spans += [(run[0], run[-1], len(run))] if run else []
    count = {status: sum(call.status == status for call in ordered) for status in ("ok", "corrupt", "pending")}
    lost = len(ordered) - count["ok"] - count["pending"]
    hidden = sum(call.secret and call.status not in ("ok", "pending") for call in ordered)
    return Kept(
        len(ordered), count["ok"], count["corrupt"], lost - count["corrupt"], count["pending"], tuple(spans), hidden
    )


def say_span(span_ms: int) -> str:
    """`45秒`, `10分钟`, `5小时30分`, `2天3小时`: two units at most, for times between steps."""
    minutes = (span_ms + 30_000) // 60_000
    if span_ms < 60_000:
        return f"{span_ms // 1000}秒"
    if minutes < 60:
        return f"{minutes}分钟"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}小时{rest}分" if rest else f"{hours}小时"
    days, hours = divmod((minutes + 30) // 60, 24)
    return f"{days}天{hours}小时" if hours else f"{days}天"


@dataclass(frozen=True, slots=True)
class Matching:
    """Everything of chapter seven. from_ms: since when calls are recorded, where that is later than the month's start."""

    checks: tuple[CheckCount, ...] = ()
    by_hand: tuple[ByHand, ...] = ()
    tickets: tuple[TicketTimes, ...] = ()
    limits: Mapping[tuple[str, str], int] = field(default_factory=dict)
    kept: tuple[KeptCall, ...] = ()
    n_tickets: int = 0
    from_ms: int | None = None
