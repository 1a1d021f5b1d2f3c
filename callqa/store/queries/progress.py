"""Reading and moving the rows of `call_progress`, inside a session that the caller owns.

Every move names the state it comes from, so of two workers only one succeeds. `attempts` is the fencing token: a
worker that was thought dead and wakes up again cannot finish a stage that somebody else has taken over.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import func, update
from sqlmodel import Session, col, select

from callqa.store.tables import Call, CallProgress


def stage_rows(session: Session, call_ids: Collection[str]) -> Sequence[CallProgress]:
    """All stage rows of the calls."""
    return session.exec(select(CallProgress).where(col(CallProgress.call_id).in_(call_ids))).all()


def count_by_stage_and_state(session: Session) -> dict[tuple[str, str], int]:
    """How many calls are in each (stage, state)."""
    counted = select(CallProgress.stage, CallProgress.state, func.count()).group_by(
        col(CallProgress.stage), col(CallProgress.state)
    )
    return {(stage, state): n for stage, state, n in session.exec(counted)}


def add_wanted(session: Session, call_id: str, stages: Sequence[str], now_ms: int) -> None:
    """Ask for stages of a call; those that have a row already keep it. Nothing is done to a deleted call."""
    call = session.get(Call, call_id)
    if call is not None and call.deleted_at_ms is not None:
        return
    have = set(session.exec(select(CallProgress.stage).where(CallProgress.call_id == call_id)))
    for stage in stages:
        if stage not in have:
            session.add(CallProgress(call_id=call_id, stage=stage, state="wanted", updated_at_ms=now_ms))


def move(
    session: Session,
    call_id: str,
    stage: str,
    *,
    come_from: Collection[str],
    attempt: int | None = None,
    **values: object,
) -> bool:
    """Set `values` on the row if it is in one of `come_from` (and at that attempt). Returns whether it was."""
    change = update(CallProgress).where(
        col(CallProgress.call_id) == call_id,
        col(CallProgress.stage) == stage,
        col(CallProgress.state).in_(come_from),
    )
    if attempt is not None:
        change = change.where(col(CallProgress.attempts) == attempt)
    return session.exec(change.values(**values)).rowcount == 1


def move_all(
    session: Session,
    *,
    come_from: str,
    stage: str | None = None,
    updated_before_ms: int | None = None,
    attempts: int | None = None,
    attempts_below: int | None = None,
    message_other_than: str | None = None,
    worker_is: str | None = None,
    **values: object,
) -> int:
    """Set `values` on every row in state `come_from` that fits the rest. Returns how many there were."""
    change = update(CallProgress).where(col(CallProgress.state) == come_from)
    if stage is not None:
        change = change.where(col(CallProgress.stage) == stage)
    if updated_before_ms is not None:
        change = change.where(col(CallProgress.updated_at_ms) < updated_before_ms)
    if attempts is not None:
        change = change.where(col(CallProgress.attempts) == attempts)
    if attempts_below is not None:
        change = change.where(col(CallProgress.attempts) < attempts_below)
    if worker_is is not None:
        change = change.where(col(CallProgress.worker) == worker_is)
    if message_other_than is not None:
        change = change.where(col(CallProgress.message) != message_other_than)
    return session.exec(change.values(**values)).rowcount
