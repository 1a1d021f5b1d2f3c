"""Why a call may not be deleted yet: every reason there is, each a sentence that says what has to happen first.

保全 (legal hold); work under way; a score that is not settled; a fatal case within its keeping period; a month whose draw and
report are still to come: the sample is drawn from every call of the month, so none of them may be missing. A call that
nobody answered, or that counts for nothing (test, inside), waits for no month.
"""

from dataclasses import dataclass, field

from sqlmodel import Session, col, select

from callqa.periods import Month, say_instant
from callqa.scoring.evaluation import STATUS_LABELS, Status
from callqa.store.queries.report import latest_report
from callqa.store.queries.sampling import active_frame
from callqa.store.tables import (
    CalibrationSession,
    Call,
    CallProgress,
    CorrectiveAction,
    Evaluation,
    FatalFinding,
    FollowupEvent,
    LegalHold,
    MissedCallFollowup,
)
from callqa.usecases.blind import rescores_due
from callqa.usecases.progress import STAGE_LABELS, Stage, StageState

DAY_MS = 86_400_000
_SETTLED = (Status.ACKNOWLEDGED, Status.FINALIZED)


@dataclass(slots=True)
class Reasons:
    """Asks for one call after the other; what is the same for all calls of a month is asked once."""

    session: Session
    now_ms: int
    fatal_case_days: int
    _months: dict[Month, str] = field(default_factory=dict)
    _rescored: frozenset[str] | None = None
    _calibrated: frozenset[str] | None = None

    def of(self, call: Call) -> tuple[str, ...]:
        """The reasons; empty for a call that may be deleted."""
        found = [self._hold(call), self._work(call), *self._scores(call), self._followup(call), self._month(call)]
        return tuple(reason for reason in found if reason)

    def _hold(self, call: Call) -> str:
        hold = self.session.exec(
            select(LegalHold).where(LegalHold.call_id == call.call_id, col(LegalHold.lifted_at_ms).is_(None))
        ).first()
        return f"已保全（{hold.reason}）；解除保全后才能删除" if hold else ""

    def _work(self, call: Call) -> str:
        if call.outcome == "in_progress" or call.recording_status == "pending":
            return "通话还没有结束，或录音还没有收齐"
        running = self.session.exec(
            select(CallProgress)
            .where(CallProgress.call_id == call.call_id, CallProgress.state == StageState.RUNNING.value)
            .with_for_update()  # nobody claims one between here and the deletion
        ).first()
        return f"正在{STAGE_LABELS[Stage(running.stage)]}，请等它完成" if running else ""

    def _scores(self, call: Call) -> list[str]:
        cards = self.session.exec(select(Evaluation).where(Evaluation.call_id == call.call_id)).all()
        ids = [card.id for card in cards if card.id is not None]
        reasons = [self._unsettled(card) for card in cards]
        for finding in self.session.exec(select(FatalFinding).where(col(FatalFinding.evaluation_id).in_(ids))):
            reasons.append(self._fatal(finding))
        open_actions = select(CorrectiveAction).where(
            col(CorrectiveAction.evaluation_id).in_(ids), CorrectiveAction.state == "open"
        )
        if self.session.exec(open_actions).first() is not None:
            reasons.append("由它开出的整改还没有关闭")
        if call.call_id in self._to_rescore():
            reasons.append("它的盲评复测还没有提交")
        if call.call_id in self._in_calibration():
            reasons.append("它所在的校准还没有公开结果")
        return reasons

    def _unsettled(self, card: Evaluation) -> str:
        status = Status(card.status)
        if card.kind == "first" and status not in _SETTLED:
            return "申诉还没有裁定" if status is Status.APPEALED else f"评分还没有定下来（{STATUS_LABELS[status]}）"
        return "有一份评分还没有提交" if status is Status.DRAFT else ""

    def _fatal(self, finding: FatalFinding) -> str:
        if finding.waits:
            return "致命项等第二人确认"
        until_ms = (finding.second_confirmed_at_ms or 0) + self.fatal_case_days * DAY_MS
        if finding.second_confirmed_by is None or until_ms <= self.now_ms:
            return ""
        return f"已认定致命项，保存到 {say_instant(until_ms)}"

    def _followup(self, call: Call) -> str:
        events = select(FollowupEvent.followup_id).where(FollowupEvent.call_id == call.call_id)
        waiting = self.session.exec(
            select(MissedCallFollowup).where(
                MissedCallFollowup.state == "wanted",
                (col(MissedCallFollowup.id).in_(events)) | (col(MissedCallFollowup.first_call_id) == call.call_id),
            )
        ).first()
        return "未接来电还没有回拨" if waiting else ""

    def _month(self, call: Call) -> str:
        if call.outcome != "answered" or call.excluded_as is not None:
            return ""
        month = Month.of(call.started_at_ms)
        if month not in self._months:
            self._months[month] = self._open_month(month)
        return self._months[month]

    def _open_month(self, month: Month) -> str:
        if self.now_ms < month.end_ms:
            return f"{month.label}还没有过完，抽样和月报都要用到它"
        report = latest_report(self.session, str(month))
        if report is not None and report.made_at_ms >= month.end_ms:
            return ""
        if active_frame(self.session, str(month)) is None and month < Month.of(self.now_ms).previous():
            return ""  # recorded before the first draw, or never drawn: nobody draws it any more
        return f"{month.label}的月报还没有生成"

    def _to_rescore(self) -> frozenset[str]:
        if self._rescored is None:
            self._rescored = frozenset(due.call.call_id for due in rescores_due(self.session, self.now_ms))
        return self._rescored

    def _in_calibration(self) -> frozenset[str]:
        if self._calibrated is None:
            waiting = self.session.exec(
                select(CalibrationSession).where(col(CalibrationSession.opened_at_ms).is_(None))
            ).all()
            self._calibrated = frozenset(call_id for session in waiting for call_id in session.call_ids)
        return self._calibrated


def held_back(session: Session, call: Call, now_ms: int, fatal_case_days: int) -> tuple[str, ...]:
    """Why one call may not be deleted now."""
    return Reasons(session, now_ms, fatal_case_days).of(call)


__all__ = ["Reasons", "held_back"]
