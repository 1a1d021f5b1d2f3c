"""After scoring: release to the agents (发布), what nobody answers in time (逾期视为确认), finalize (定稿)."""

from collections.abc import Collection, Sequence

from sqlmodel import Session, col, select

from callqa.errors import CallqaError, PermissionDenied, StateError
from callqa.periods import say_instant
from callqa.scoring.evaluation import Action, Status
from callqa.store.db import Database
from callqa.store.queries.confidential import hidden_from, is_public
from callqa.store.tables import Call, Evaluation
from callqa.usecases.evaluate_state import CALENDAR, actor_of, move, window_end_ms


def release(
    db: Database, evaluation_ids: Collection[int], *, account_id: int, answer_days: int, now_ms: int
) -> tuple[int, ...]:
    """Show submitted evaluations to their agents, who have answer_days to answer. All or none. Returns the ids.

    A call that belongs to no agent cannot be released: nobody could answer.
    """
    with db.write() as session:
        actor = actor_of(session, account_id)
        rows = _load(session, evaluation_ids, account_id)
        for evaluation in rows:
            call = session.get(Call, evaluation.call_id)
            if evaluation.kind != "first":
                raise StateError("复评和校准的评分不发布给坐席")
            if call is None or not call.agent_no:
                raise StateError(f"通话 {evaluation.call_id} 还没有归属到坐席；请先在“待关联”指定坐席，再发布")
            evaluation.released_at_ms = now_ms
            evaluation.answer_days = answer_days
            evaluation.answer_due_at_ms = window_end_ms(now_ms, answer_days)
            evaluation.version += 1
            detail = {"agent_no": call.agent_no, "due": say_instant(evaluation.answer_due_at_ms)}
            move(session, evaluation, Action.RELEASE, actor, now_ms=now_ms, detail=detail)
        return tuple(row.id for row in rows if row.id is not None)


def finalize(db: Database, evaluation_ids: Collection[int], *, account_id: int, now_ms: int) -> tuple[int, ...]:
    """Close acknowledged evaluations. All or none. Returns the ids."""
    with db.write() as session:
        actor = actor_of(session, account_id)
        rows = _load(session, evaluation_ids, account_id)
        for evaluation in rows:
            evaluation.finalized_at_ms = now_ms
            evaluation.version += 1
            move(session, evaluation, Action.FINALIZE, actor, now_ms=now_ms)
        return tuple(row.id for row in rows if row.id is not None)


def lapse_due(db: Database, *, now_ms: int) -> tuple[int, ...]:
    """Acknowledge by lapse what was released and whose window has ended without an answer. Returns the ids.

    Not of a confidential call: its agent cannot open it, and nobody consents to what they may not see.
    """
    overdue = (
        select(Evaluation)
        .join(Call, col(Call.call_id) == col(Evaluation.call_id))
        .where(Evaluation.status == Status.RELEASED, col(Evaluation.answer_due_at_ms) <= now_ms, is_public())
        .order_by(col(Evaluation.id))
    )
    with db.read() as session:
        if session.exec(overdue.limit(1)).first() is None:
            return ()
    with db.write() as session:
        rows = session.exec(overdue).all()
        for evaluation in rows:
            evaluation.answered_at_ms = evaluation.answer_due_at_ms
            evaluation.answered_by_lapse = True
            evaluation.version += 1
            detail = {"due": say_instant(evaluation.answer_due_at_ms)}
            move(session, evaluation, Action.LAPSE, CALENDAR, now_ms=now_ms, detail=detail)
        return tuple(row.id for row in rows if row.id is not None)


def _load(session: Session, evaluation_ids: Collection[int], account_id: int) -> Sequence[Evaluation]:
    rows = session.exec(
        select(Evaluation).where(col(Evaluation.id).in_(evaluation_ids)).order_by(col(Evaluation.id))
    ).all()
    if len(rows) != len(set(evaluation_ids)):
        raise CallqaError("其中有的评分已不存在；请刷新列表")
    hidden = hidden_from(session, account_id)
    if any(row.call_id in hidden for row in rows):
        raise PermissionDenied("其中有保密件，只有指定的人可以处理")
    return rows
