"""Running figures of the hotline 运行指标 from calls and tickets (glossary §7): each a ratio with its target in three states."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from callqa.periods import Month
from callqa.reports.facts import CallFact, TicketFact
from callqa.units import Ratio

ANSWER_IN_MS = 15_000  # GB/T 33358: 15 秒内接听
SHORT_ABANDON_MS = 5_000
CALLBACK_ATTEMPTS = 3  # 未接通按规定次数回访并留痕 counts as called back
SATISFIED = ("非常满意", "满意", "基本满意")
RATED = (*SATISFIED, "不满意", "非常不满意")

MET, MISSED, NO_DATA = "met", "missed", "no_data"
STATE_LABELS = {MET: "达标", MISSED: "未达标", NO_DATA: "无数据", "": ""}


@dataclass(frozen=True, slots=True)
class Kpi:
    """One figure. target: the share to reach, None where there is none."""

    code: str
    label: str
    ratio: Ratio
    target: Decimal | None
    definition: str

    @property
    def state(self) -> str:
        return judge(self.ratio, self.target)


def judge(ratio: Ratio, target: Decimal | None) -> str:
    """met | missed | no_data, or "" without a target; compared exactly, not as printed."""
    if target is None:
        return ""
    if not ratio.denominator:
        return NO_DATA
    return MET if Decimal(ratio.numerator) >= target * ratio.denominator else MISSED


def build_kpis(
    month: Month,
    calls: Sequence[CallFact],
    tickets: Sequence[TicketFact],
    *,
    as_of_ms: int | None = None,
    count_short_abandon: bool = True,
) -> dict[str, Kpi]:
    """The month's figures by code. as_of_ms: when they are read, if the month was not over; a ticket that is not due by
    then is neither on time nor late."""
    known_ms = month.end_ms if as_of_ms is None else as_of_ms
    inbound = [c for c in calls if c.direction == "inbound" and _in(month, c.started_at_ms)]
    answered = [c for c in inbound if c.outcome == "answered"]
    asked = [c for c in inbound if count_short_abandon or not is_short_abandon(c)]
    timed = [c for c in answered if c.ring_ms is not None]
    due = [t for t in tickets if _in(month, t.due_at_ms) and (t.due_at_ms or 0) < known_ms]
    closed = [t for t in tickets if _in(month, t.closed_at_ms)]
    called = [t for t in tickets if _in(month, t.callback_done_at_ms)]
    rated = [t for t in called if t.satisfaction in RATED]
    rows = [
        ("answer_rate", "电话接通率", _count(asked, answered), "1", "人工接通的呼入 ÷ 请求人工的呼入"),
        (
            "answer_within_15s_rate",
            "15 秒接听率",
            Ratio(sum((c.ring_ms or 0) <= ANSWER_IN_MS for c in timed), len(timed)),
            None,
            "振铃 ≤ 15 秒接通 ÷ 接通（振铃时长已知者）",
        ),
        (
            "on_time_close_rate",
            "及时办结率",
            Ratio(sum(_on_time(t) for t in due), len(due)),
            "1",
            "期内到期且按时办结 ÷ 期内到期",
        ),
        (
            "callback_rate",
            "回访率",
            Ratio(sum(_called_back(t) for t in closed), len(closed)),
            "1",
            "已回访（含按规定次数未接通并留痕）÷ 期内办结应回访",
        ),
        (
            "satisfaction_rate",
            "满意率",
            Ratio(sum(t.satisfaction in SATISFIED for t in rated), len(rated)),
            "0.9",
            "（非常满意 + 满意 + 基本满意）÷ 有效评价",
        ),
        ("rating_rate", "参评率", Ratio(len(rated), len(called)), None, "有效评价 ÷ 已回访"),
    ]
    return {code: Kpi(code, label, ratio, Decimal(t) if t else None, text) for code, label, ratio, t, text in rows}


def is_short_abandon(call: CallFact) -> bool:
    """Given up within 5 seconds of ringing."""
    return call.outcome == "abandoned" and call.ring_ms is not None and call.ring_ms < SHORT_ABANDON_MS


def _in(month: Month, instant_ms: int | None) -> bool:
    return instant_ms is not None and month.start_ms <= instant_ms < month.end_ms


def _count(asked: Sequence[CallFact], answered: Sequence[CallFact]) -> Ratio:
    return Ratio(len(answered), len(asked))


def _on_time(ticket: TicketFact) -> bool:
    closed, due = ticket.closed_at_ms, ticket.due_at_ms
    return closed is not None and due is not None and closed <= due


def _called_back(ticket: TicketFact) -> bool:
    return ticket.callback_done_at_ms is not None or (ticket.callback_attempts or 0) >= CALLBACK_ATTEMPTS
