"""Counts for 工作台 and 系统. Reading only."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col, select

from callqa.periods import Month
from callqa.store.queries.calls import link_state_expression
from callqa.store.queries.confidential import is_public
from callqa.store.tables import (
    AuditEntry,
    Call,
    CallProgress,
    CheckRun,
    Evaluation,
    JournalPosition,
    RubricVersion,
    SampleEntry,
    SamplingFrame,
    Ticket,
    TranscriptRow,
)

DONE_STATUSES = ("submitted", "released", "acknowledged", "appealed", "finalized")


@dataclass(frozen=True, slots=True)
class MonthFigures:
    """What the month's calls come to so far."""

    calls: int
    inbound: int
    outbound: int
    answered: int
    unanswered: int
    abandoned: int
    recording_ok: int
    recording_bad: int  # missing or corrupt
    linked: int
    doubtful: int
    unlinked: int
    transcribed: int
    tickets: int
    suspected_fatal: int


@dataclass(frozen=True, slots=True)
class SampleFigures:
    """A month's sample and how far its scoring is."""

    frame_id: int
    state: str
    partial: bool
    sampled: int
    scored: int


@dataclass(frozen=True, slots=True)
class MonthSample:
    """A month and how far its sample is. figures None: nothing is frozen."""

    month: Month
    figures: SampleFigures | None


@dataclass(frozen=True, slots=True)
class StageCount:
    """How many calls are in one state of one stage."""

    stage: str
    state: str
    calls: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """A call that cannot go on by itself."""

    call_id: str
    started_at_ms: int
    stage: str
    state: str
    message: str


def month_figures(session: Session, start_ms: int, end_ms: int, own_agent_no: str | None) -> MonthFigures:
    """Figures of calls that started in [start_ms, end_ms), one agent's only when own_agent_no is given. They open into lists, and
    count what those show: no confidential call."""
    here: list[ColumnElement[bool]] = [
        col(Call.started_at_ms) >= start_ms,
        col(Call.started_at_ms) < end_ms,
        is_public(),
    ]
    if own_agent_no is not None:
        here.append(col(Call.agent_no) == own_agent_no)

    def group(column: Mapped[str]) -> dict[str, int]:
        return {str(key): n for key, n in session.exec(select(column, func.count()).where(*here).group_by(column))}

    outcome, direction = group(col(Call.outcome)), group(col(Call.direction))
    recording = group(col(Call.recording_status))
    link = link_state_expression()
    links = dict(session.exec(select(link, func.count()).where(*here, Call.outcome == "answered").group_by(link)).all())
    transcribed = session.exec(
        select(func.count(func.distinct(TranscriptRow.call_id)))
        .join(Call, col(Call.call_id) == col(TranscriptRow.call_id))
        .where(*here)
    ).one()
    fatal = session.exec(
        select(func.count(func.distinct(CheckRun.call_id)))
        .join(Call, col(Call.call_id) == col(CheckRun.call_id))
        .where(*here, col(CheckRun.suspected_fatal).is_(True))
    ).one()
    tickets = session.exec(
        select(func.count())
        .select_from(Ticket)
        .where(col(Ticket.accepted_at_ms) >= start_ms, col(Ticket.accepted_at_ms) < end_ms)
    ).one()
    return MonthFigures(
        calls=sum(outcome.values()),
        inbound=direction.get("inbound", 0),
        outbound=direction.get("outbound", 0),
        answered=outcome.get("answered", 0),
        unanswered=outcome.get("unanswered", 0),
        abandoned=outcome.get("abandoned", 0),
        recording_ok=recording.get("ok", 0),
        recording_bad=recording.get("missing", 0) + recording.get("corrupt", 0),
        linked=links.get("linked", 0),
        doubtful=links.get("doubtful", 0),
        unlinked=links.get("unlinked", 0),
        transcribed=transcribed,
        tickets=tickets,
        suspected_fatal=fatal,
    )


def sample_figures(session: Session, month: str) -> SampleFigures | None:
    """The newest frame of the month that is not void, with how many of its sample are scored."""
    frame = session.exec(
        select(SamplingFrame)
        .where(SamplingFrame.month == month, SamplingFrame.state != "void")
        .order_by(col(SamplingFrame.id).desc())
        .limit(1)
    ).first()
    if frame is None or frame.id is None:
        return None
    counted = (
        select(func.count())
        .select_from(SampleEntry)
        .where(SampleEntry.frame_id == frame.id, col(SampleEntry.state).in_(("open", "used")))
        .where((SampleEntry.kind == "sample") | (SampleEntry.state == "used"))
    )
    scored = counted.join(Evaluation, col(Evaluation.call_id) == col(SampleEntry.call_id)).where(
        Evaluation.kind == "first", col(Evaluation.status).in_(DONE_STATUSES)
    )
    return SampleFigures(
        frame_id=frame.id,
        state=frame.state,
        partial=frame.partial,
        sampled=session.exec(counted).one(),
        scored=session.exec(scored).one(),
    )


def samples_at_work(session: Session, month: Month) -> tuple[MonthSample, ...]:
    """The month's own sample and, before it, last month's until all of it is scored: a month is drawn when it is over.

    A last month without calls is left out."""
    last = MonthSample(month.previous(), sample_figures(session, str(month.previous())))
    own = MonthSample(month, sample_figures(session, str(month)))
    if last.figures is not None:
        done = last.figures.state == "revealed" and last.figures.scored >= last.figures.sampled
    else:
        done = not _has_calls(session, last.month)
    return (own,) if done else (last, own)


def _has_calls(session: Session, month: Month) -> bool:
    within = (col(Call.started_at_ms) >= month.start_ms, col(Call.started_at_ms) < month.end_ms)
    return session.exec(select(Call.call_id).where(*within, Call.outcome == "answered").limit(1)).first() is not None


def stage_counts(session: Session) -> list[StageCount]:
    """How many calls are in each state of each stage."""
    query = select(CallProgress.stage, CallProgress.state, func.count()).group_by(
        col(CallProgress.stage), col(CallProgress.state)
    )
    return [StageCount(*row) for row in session.exec(query)]


def troubles(session: Session, limit: int = 20) -> list[Trouble]:
    """Calls whose stage failed or waits for something, newest first; the confidential ones only their named people see, on their pages."""
    query = (
        select(Call, CallProgress)
        .join(CallProgress, col(CallProgress.call_id) == col(Call.call_id))
        .where(col(CallProgress.state).in_(("failed", "waiting")), is_public())
        .order_by(col(Call.started_at_ms).desc())
        .limit(limit)
    )
    return [
        Trouble(call.call_id, call.started_at_ms, row.stage, row.state, row.message)
        for call, row in session.exec(query)
    ]


def journal_position(session: Session) -> JournalPosition | None:
    """How far the recorder's journal has been taken in."""
    return session.get(JournalPosition, 1)


def audit_size(session: Session) -> tuple[int, int | None]:
    """Number of audit entries, and when the newest was written."""
    return session.exec(select(func.count(), func.max(AuditEntry.at_ms)).select_from(AuditEntry)).one()


def current_rubric(session: Session, now_ms: int) -> RubricVersion | None:
    """The rubric in force now."""
    return session.exec(
        select(RubricVersion)
        .where(RubricVersion.effective_from_ms <= now_ms)
        .order_by(col(RubricVersion.effective_from_ms).desc(), col(RubricVersion.loaded_at_ms).desc())
        .limit(1)
    ).first()
