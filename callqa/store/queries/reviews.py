"""Evaluations after they were submitted: a month's for the leader, an agent's own, one with its appeals and history."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, func, select

from callqa.store.queries.confidential import is_public
from callqa.store.queries.evaluate import EvaluationView, find_evaluation
from callqa.store.tables import (
    Account,
    Agent,
    Appeal,
    Call,
    Evaluation,
    EvaluationRevision,
    FatalFinding,
    SampleEntry,
)

VISIBLE_TO_AGENT = (
    "released",
    "acknowledged",
    "appealed",
    "finalized",
)  # as scoring/evaluation.py has it; a test compares


@dataclass(frozen=True, slots=True)
class ReviewLine:
    """One submitted evaluation. drawn: its call is in the random sample; waiting_fatals: not confirmed yet."""

    evaluation: Evaluation
    call: Call
    agent_name: str
    drawn: bool
    open_appeals: int
    waiting_fatals: int


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """One evaluation with what happened to it. names: account id -> display name."""

    view: EvaluationView
    appeals: Sequence[Appeal]
    revisions: Sequence[EvaluationRevision]
    names: dict[int, str]

    @property
    def open_appeals(self) -> list[Appeal]:
        return [row for row in self.appeals if row.state == "open"]

    @property
    def decided(self) -> dict[str, Appeal]:
        """The last word on each item that was appealed and decided."""
        return {row.item_id: row for row in self.appeals if row.state in ("upheld", "revised")}


def month_reviews(session: Session, start_ms: int, end_ms: int) -> list[ReviewLine]:
    """Submitted first evaluations of calls of [start_ms, end_ms), by agent and time."""
    query = (
        select(Evaluation, Call, Agent)
        .join(Call, col(Call.call_id) == col(Evaluation.call_id))
        .join(Agent, col(Agent.agent_no) == col(Call.agent_no), isouter=True)
        .where(Evaluation.kind == "first", Evaluation.status != "draft")
        .where(Call.started_at_ms >= start_ms, Call.started_at_ms < end_ms, is_public())
        .order_by(col(Call.agent_no), col(Call.started_at_ms))
    )
    return _lines(session, [(e, c, a) for e, c, a in session.exec(query)])


def own_reviews(session: Session, agent_no: str) -> list[ReviewLine]:
    """What an agent may see, the newest call first."""
    query = (
        select(Evaluation, Call, Agent)
        .join(Call, col(Call.call_id) == col(Evaluation.call_id))
        .join(Agent, col(Agent.agent_no) == col(Call.agent_no))
        .where(Evaluation.kind == "first", col(Evaluation.status).in_(VISIBLE_TO_AGENT), Call.agent_no == agent_no)
        .where(is_public())
        .order_by(col(Call.started_at_ms).desc())
    )
    return _lines(session, [(e, c, a) for e, c, a in session.exec(query)])


def _lines(session: Session, rows: Sequence[tuple[Evaluation, Call, Agent | None]]) -> list[ReviewLine]:
    ids = [e.id for e, _, _ in rows]
    entries = [e.sample_entry_id for e, _, _ in rows if e.sample_entry_id is not None]
    drawn = set(
        session.exec(
            select(SampleEntry.id).where(
                col(SampleEntry.id).in_(entries),
                ((col(SampleEntry.kind) == "sample") & (col(SampleEntry.state) != "replaced"))
                | ((col(SampleEntry.kind) == "reserve") & (col(SampleEntry.state) == "used")),
            )
        )
    )
    appeals = dict(
        session.exec(
            select(Appeal.evaluation_id, func.count())
            .where(col(Appeal.evaluation_id).in_(ids), Appeal.state == "open")
            .group_by(col(Appeal.evaluation_id))
        ).all()
    )
    fatals = dict(
        session.exec(
            select(FatalFinding.evaluation_id, func.count())
            .where(
                col(FatalFinding.evaluation_id).in_(ids),
                col(FatalFinding.second_confirmed_by).is_(None),
                col(FatalFinding.refused_by).is_(None),
            )
            .group_by(col(FatalFinding.evaluation_id))
        ).all()
    )
    return [
        ReviewLine(
            e, c, a.name if a else "", e.sample_entry_id in drawn, appeals.get(e.id or 0, 0), fatals.get(e.id or 0, 0)
        )
        for e, c, a in rows
    ]


def find_review(session: Session, evaluation_id: int, own_agent_no: str | None = None) -> ReviewPage | None:
    """One evaluation with its appeals and revisions, or None. own_agent_no: only what this agent wrote, not somebody to whom the
    call was attributed before."""
    view = find_evaluation(session, evaluation_id)
    if view is None:
        return None
    wanted = select(Appeal).where(Appeal.evaluation_id == evaluation_id).order_by(col(Appeal.id))
    if own_agent_no is not None:
        wanted = wanted.join(Account, col(Account.id) == col(Appeal.opened_by)).where(Account.agent_no == own_agent_no)
    appeals = session.exec(wanted).all()
    revisions = session.exec(
        select(EvaluationRevision)
        .where(EvaluationRevision.evaluation_id == evaluation_id)
        .order_by(col(EvaluationRevision.number))
    ).all()
    names = {a.id: a.display_name for a in session.exec(select(Account)) if a.id is not None}
    return ReviewPage(view, appeals, revisions, names)


def waiting_for_answer(session: Session, agent_no: str, now_ms: int) -> list[ReviewLine]:
    """What an agent may still acknowledge or appeal."""
    return [
        line
        for line in own_reviews(session, agent_no)
        if line.evaluation.status == "released" and now_ms < (line.evaluation.answer_due_at_ms or 0)
    ]


def count_open_appeals(session: Session) -> int:
    """Evaluations that wait for a decision, as many as the list shows."""
    query = (
        select(func.count(func.distinct(Appeal.evaluation_id)))
        .join(Evaluation, col(Evaluation.id) == col(Appeal.evaluation_id))
        .join(Call, col(Call.call_id) == col(Evaluation.call_id))
    )
    return session.exec(query.where(Appeal.state == "open", is_public())).one()
