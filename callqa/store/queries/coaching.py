"""Coaching notes, corrective actions with how their item went, cases for training. Reading only."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from callqa.periods import Month
from callqa.store.queries.confidential import is_public
from callqa.store.tables import (
    Account,
    Agent,
    Call,
    CaseStudy,
    CoachingNote,
    CorrectiveAction,
    CorrectiveNote,
    Evaluation,
    EvaluationItem,
)


@dataclass(frozen=True, slots=True)
class ItemCount:
    """Of how many submitted scores the item applied to, and in how many it lost points."""

    lost: int
    scored: int


@dataclass(frozen=True, slots=True)
class ActionLine:
    """One action with its follow-up. before, after: the item in the action's month and in the next (None: no item)."""

    action: CorrectiveAction
    agent_name: str
    opened_by: str
    notes: tuple[tuple[CorrectiveNote, str], ...]
    before: ItemCount | None
    after: ItemCount | None


@dataclass(frozen=True, slots=True)
class NoteLine:
    note: CoachingNote
    written_by: str


def notes_of(session: Session, evaluation_id: int, since_ms: int = 0) -> Sequence[NoteLine]:
    """An evaluation's coaching notes, oldest first; those written since an instant."""
    query = (
        select(CoachingNote, Account.display_name)
        .join(Account, col(Account.id) == col(CoachingNote.written_by))
        .where(CoachingNote.evaluation_id == evaluation_id, CoachingNote.written_at_ms >= since_ms)
        .order_by(col(CoachingNote.id))
    )
    return [NoteLine(*row) for row in session.exec(query)]


def actions_of(session: Session, month: Month) -> Sequence[ActionLine]:
    """Actions of a month, and those of earlier months that were still open when it began, by due day."""
    carried = (col(CorrectiveAction.month) < str(month)) & (
        (col(CorrectiveAction.state) == "open") | (col(CorrectiveAction.closed_at_ms) >= month.start_ms)
    )
    query = (
        select(CorrectiveAction, Agent.name, Account.display_name)
        .join(Agent, col(Agent.agent_no) == col(CorrectiveAction.agent_no), isouter=True)
        .join(Account, col(Account.id) == col(CorrectiveAction.opened_by))
        .where((col(CorrectiveAction.month) == str(month)) | carried)
        .order_by(col(CorrectiveAction.due_on), col(CorrectiveAction.id))
    )
    return [
        ActionLine(
            action,
            name or "",
            opened_by,
            _notes(session, action.id or 0),
            _count(session, action, Month.parse(action.month)) if action.item_id else None,
            _count(session, action, Month.parse(action.month).next()) if action.item_id else None,
        )
        for action, name, opened_by in session.exec(query).all()
    ]


def _notes(session: Session, action_id: int) -> tuple[tuple[CorrectiveNote, str], ...]:
    query = (
        select(CorrectiveNote, Account.display_name)
        .join(Account, col(Account.id) == col(CorrectiveNote.by_account_id))
        .where(CorrectiveNote.action_id == action_id)
        .order_by(col(CorrectiveNote.id))
    )
    return tuple((note, name) for note, name in session.exec(query))


def _count(session: Session, action: CorrectiveAction, month: Month) -> ItemCount:
    """The item in the month's submitted first scores, of the action's agent or of all."""
    query = (
        select(EvaluationItem.points, EvaluationItem.max_points)
        .join(Evaluation, col(Evaluation.id) == col(EvaluationItem.evaluation_id))
        .join(Call, col(Call.call_id) == col(Evaluation.call_id))
        .where(
            EvaluationItem.item_id == action.item_id,
            col(EvaluationItem.not_applicable).is_(False),
            Evaluation.kind == "first",
            Evaluation.status != "draft",
            Call.started_at_ms >= month.start_ms,
            Call.started_at_ms < month.end_ms,
        )
    )
    if action.agent_no:
        query = query.where(Call.agent_no == action.agent_no)
    rows = session.exec(query).all()
    return ItemCount(sum(points is not None and points < most for points, most in rows), len(rows))


def cases(session: Session, kind: str = "") -> Sequence[CaseStudy]:
    """The library, newest first; without those whose call is confidential by now."""
    query = (
        select(CaseStudy)
        .join(Call, col(Call.call_id) == col(CaseStudy.call_id))
        .where(col(CaseStudy.removed_at_ms).is_(None), is_public())
        .order_by(col(CaseStudy.id).desc())
    )
    return session.exec(query.where(CaseStudy.kind == kind) if kind else query).all()
