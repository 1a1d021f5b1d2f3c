"""Every change of an evaluation's state goes through `move`: the role, the table of scoring/evaluation.py, the audit chain.

Each state of its points is kept as a revision (`keep_revision`), so that what the agent was shown can always be shown
again. Used inside one write transaction of a use case.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlmodel import Session, col, func, select

from callqa.errors import CallqaError, PermissionDenied
from callqa.periods import from_ms, to_ms
from callqa.scoring.evaluation import SYSTEM, Action, Status, apply, check_role, reopens
from callqa.store import audit
from callqa.store.tables import Account, Deduction, Evaluation, EvaluationItem, EvaluationRevision, FatalFinding


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something. account_id None: nobody, a window has ended."""

    account_id: int | None
    username: str
    role: str
    agent_no: str | None = None


CALENDAR = Actor(None, SYSTEM, SYSTEM)


def actor_of(session: Session, account_id: int) -> Actor:
    """An account that may act. Raise CallqaError for one that is not there or was switched off."""
    row = session.get(Account, account_id)
    if row is None or not row.active:
        raise CallqaError("这个账号不存在或已停用；请重新登录")
    return Actor(row.id, row.username, row.role, row.agent_no)


def must_be_author(evaluation: Evaluation, account_id: int | None) -> None:
    """Raise PermissionDenied for a draft of somebody else."""
    if evaluation.status == Status.DRAFT and evaluation.evaluator_id != account_id:
        raise PermissionDenied("这份评分还是草稿，提交之前只有评分人本人能看、能改")


def move(
    session: Session,
    evaluation: Evaluation,
    action: Action,
    actor: Actor,
    *,
    now_ms: int,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Take one action: PermissionDenied for the wrong role, StateError when it is not possible now; written to the chain.

    What changes a released score takes the answer back and gives a new window.
    """
    check_role(action, actor.role)
    before = Status(evaluation.status)
    after = apply(before, action)
    must_be_author(evaluation, actor.account_id)
    evaluation.status = after
    if reopens(before, action):
        evaluation.answered_at_ms = evaluation.finalized_at_ms = None
        evaluation.answered_by_lapse = False
        evaluation.answer_due_at_ms = window_end_ms(now_ms, evaluation.answer_days or 0)
    session.add(evaluation)
    audit.append(
        session,
        actor=actor.username,
        action=f"evaluation.{action}",
        subject=str(evaluation.id),
        detail={"call_id": evaluation.call_id, "from": before, "to": after, **(detail or {})},
        now_ms=now_ms,
    )


def window_end_ms(from_instant_ms: int, days: int) -> int:
    """The end (first instant after it) of the day in Shanghai that lies so many days after the instant's day."""
    day = from_ms(from_instant_ms).replace(hour=0, minute=0, second=0, microsecond=0)
    return to_ms(day + timedelta(days=days + 1))


def keep_revision(
    session: Session, evaluation: Evaluation, action: Action, actor: Actor, *, now_ms: int, reason: str = ""
) -> None:
    """Keep the points as they are stored now, as the evaluation's next revision."""
    assert evaluation.id is not None and actor.account_id is not None
    session.flush()
    number = session.exec(
        select(func.coalesce(func.max(EvaluationRevision.number), 0)).where(
            EvaluationRevision.evaluation_id == evaluation.id
        )
    ).one()
    session.add(
        EvaluationRevision(
            evaluation_id=evaluation.id,
            number=number + 1,
            kind=str(action),
            by_account_id=actor.account_id,
            at_ms=now_ms,
            reason=reason.strip(),
            quality_score=evaluation.quality_score or 0.0,
            final_score=evaluation.final_score or 0.0,
            items=points_now(session, evaluation.id),
        )
    )


def points_now(session: Session, evaluation_id: int) -> dict[str, dict[str, Any]]:
    """Points and options of every item as stored, and fatal findings with whether they count."""
    found: dict[str, dict[str, Any]] = {
        row.item_id: {"points": None if row.not_applicable else row.points, "options": {}}
        for row in session.exec(
            select(EvaluationItem)
            .where(EvaluationItem.evaluation_id == evaluation_id)
            .order_by(col(EvaluationItem.item_id))
        )
    }
    for deduction in session.exec(select(Deduction).where(Deduction.evaluation_id == evaluation_id)):
        found.setdefault(deduction.item_id, {"points": None, "options": {}})["options"][deduction.option_code] = (
            deduction.times
        )
    for finding in session.exec(select(FatalFinding).where(FatalFinding.evaluation_id == evaluation_id)):
        found[finding.fatal_id] = {"confirmed": finding.second_confirmed_by is not None}
    return found


def scorers_of(session: Session, evaluation: Evaluation) -> frozenset[int]:
    """Accounts that gave the points: the evaluator, and who submitted or revised them before."""
    rows = session.exec(
        select(EvaluationRevision.by_account_id).where(
            EvaluationRevision.evaluation_id == evaluation.id,
            col(EvaluationRevision.kind).in_((Action.SUBMIT, Action.REVISE)),
        )
    )
    return frozenset({evaluation.evaluator_id, *rows})
