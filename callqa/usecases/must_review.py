"""定向必检: the calls that a rule of the sampling plan sends to the leader, with why and until when. Beside the random sample.

They never enter a mean or a rate: the report counts drawn calls only. A call that was drawn as well keeps its one
evaluation and is marked in both places. New staff: of every week that is over, so many calls of each agent in the
first days of service, chosen by the hash of their call_id, so that nobody can choose them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlmodel import Session

from callqa.periods import Month, from_ms, to_ms
from callqa.scoring.frame import FrameCandidate, meets
from callqa.scoring.plan import Condition, NewStaff, SamplingPlan
from callqa.store.queries import report as report_queries
from callqa.store.queries import sampling as queries
from callqa.store.queries.people import hired_days
from callqa.store.tables import CheckRun, Evaluation, Ticket
from callqa.usecases.freeze import load_candidates

HOUR_MS = 3_600_000
NEW_STAFF_WITHIN_MS = 7 * 24 * HOUR_MS  # from the end of the week they belong to


@dataclass(frozen=True, slots=True)
class Trigger:
    """Why a call must be reviewed, since when that is known and until when it is due."""

    words: str
    at_ms: int
    due_ms: int


@dataclass(frozen=True, slots=True)
class MustReviewCall:
    """One call to review. drawn: it is in the random sample too; evaluation: a submitted one, or None."""

    call: FrameCandidate
    triggers: tuple[Trigger, ...]
    drawn: bool
    evaluation: Evaluation | None

    @property
    def due_ms(self) -> int:
        return min(trigger.due_ms for trigger in self.triggers)

    def on_time(self, trigger: Trigger) -> bool:
        """Whether it was submitted before this trigger's time was over."""
        done = self.evaluation
        return done is not None and done.submitted_at_ms is not None and done.submitted_at_ms <= trigger.due_ms


def must_review(
    session: Session, month: Month, plan: SamplingPlan, *, demo: bool, now_ms: int
) -> tuple[MustReviewCall, ...]:
    """The month's calls that meet a rule now, the earliest due first; test calls and the like are left out."""
    candidates = [c for c in load_candidates(session, month, demo=demo) if c.excluded_as is None]
    tickets = queries.linked_tickets(session, month.start_ms, month.end_ms)
    runs = queries.latest_check_runs(session, month.start_ms, month.end_ms)
    found: dict[str, list[Trigger]] = {}
    for rule in plan.must_review:
        for call in candidates:
            if meets(rule.condition, call):
                at_ms = triggered_at_ms(call, tickets, runs)
                words = rule_words(rule.condition, rule.within_hours)
                found.setdefault(call.call_id, []).append(Trigger(words, at_ms, at_ms + rule.within_hours * HOUR_MS))
    if plan.new_staff is not None:
        for call, trigger in _new_staff(candidates, plan, plan.new_staff, hired_days(session), now_ms):
            found.setdefault(call.call_id, []).append(trigger)
    done = report_queries.done_evaluations(session, month.start_ms, month.end_ms)
    frame = queries.active_frame(session, str(month))
    entries = queries.entries_of(session, frame.id) if frame is not None and frame.id is not None else ()
    drawn = {entry.call_id for entry in entries if queries.in_sample(entry)}
    rows = [
        MustReviewCall(call, tuple(found[call.call_id]), call.call_id in drawn, done.get(call.call_id))
        for call in candidates
        if call.call_id in found
    ]
    return tuple(sorted(rows, key=lambda row: (row.due_ms, row.call.call_id)))


def rule_words(condition: Condition, within_hours: int) -> str:
    """A rule in words, with its time."""
    if condition.key == "suspected_fatal":
        words = "机器提示疑似致命项"
    elif condition.key == "satisfaction_in" and isinstance(condition.value, tuple):
        words = f"工单评价为{'、'.join(condition.value)}"
    else:
        others = {"repeat_complaint": "重复投诉", "urgent_flag": "险情、加急", "type": "指定通话类型"}
        words = others.get(condition.key, "其他")
    return f"{words}（{within_hours} 小时内）"


def new_staff_words(rule: NewStaff) -> str:
    """The rule for new staff in words."""
    return f"新上岗 {rule.tenure_days} 天内（每周 {rule.extra_per_week} 通，周末后 7 天内）"


def triggered_at_ms(call: FrameCandidate, tickets: Mapping[str, Sequence[Ticket]], runs: Mapping[str, CheckRun]) -> int:
    """When the trigger was known: the pre-score, or the citizen's answer at the call-back, or else the call's end."""
    answered = [t.callback_done_at_ms for t in tickets.get(call.call_id, ()) if t.callback_done_at_ms]
    run = runs.get(call.call_id)
    known = [*answered, *([run.created_at_ms] if run is not None and run.suspected_fatal else [])]
    return max([call.started_at_ms + call.duration_ms, *known])


def _new_staff(
    candidates: Sequence[FrameCandidate], plan: SamplingPlan, rule: NewStaff, hired: Mapping[str, date], now_ms: int
) -> list[tuple[FrameCandidate, Trigger]]:
    weeks: dict[tuple[str, int], list[FrameCandidate]] = {}
    for call in candidates:
        since = hired.get(call.agent_no or "")
        day = from_ms(call.started_at_ms).date()
        fits = call.recording_status == "ok" and call.duration_ms >= plan.min_duration_ms
        if since is not None and call.agent_no and fits and 0 <= (day - since).days < rule.tenure_days:
            weeks.setdefault((call.agent_no, _week_end_ms(call.started_at_ms)), []).append(call)
    chosen = []
    for (_, end_ms), calls in sorted(weeks.items()):
        if end_ms > now_ms:
            continue  # calls of this week may still come, and change the choice
        for call in sorted(calls, key=lambda c: hashlib.sha256(c.call_id.encode()).hexdigest())[: rule.extra_per_week]:
            chosen.append((call, Trigger(new_staff_words(rule), end_ms, end_ms + NEW_STAFF_WITHIN_MS)))
    return chosen


def _week_end_ms(instant_ms: int) -> int:
    """The Monday in Shanghai that ends the instant's week."""
    day = from_ms(instant_ms).replace(hour=0, minute=0, second=0, microsecond=0)
    return to_ms(day + timedelta(days=7 - day.weekday()))
