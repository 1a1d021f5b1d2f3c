"""保密件: mark a call, name who may open it, lift the mark. Each is in the audit chain, and so is every opening.

A call in progress is marked at the recorder as well: its number leaves the board and nobody listens in any more.
"""

from collections.abc import Collection
from pathlib import Path

from sqlmodel import Session, col, delete, select

from callqa.errors import CallqaError, StateError
from callqa.live import LiveCommand
from callqa.scoring.evaluation import Status
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Account, Call, ConfidentialCall, ConfidentialReader, Evaluation
from callqa.usecases.evaluate_state import window_end_ms
from callqa.usecases.recorder_line import order
from callqa.usecases.required import required_line

READER_ROLES = frozenset({"shift_leader", "client_supervisor"})
MAX_REASON_CHARS = 200


def mark_confidential(
    db: Database,
    call_id: str,
    *,
    reason: str,
    readers: Collection[int],
    account_id: int,
    live_socket: Path,
    now_ms: int,
) -> bool:
    """Only the marker and the named accounts may open the call from now on. Marking again names anew.

    Returns whether the call is in progress. Raise StateError when there is no such call, neither stored nor in progress.
    """
    reason = required_line(reason, "列为保密件的原因", MAX_REASON_CHARS)
    with db.read() as session:
        call = session.get(Call, call_id)
    with db.write() as session:
        actor = session.get(Account, account_id)
        assert actor is not None
        named = _named(session, {account_id, *readers})
        row = session.get(ConfidentialCall, call_id)
        if row is None:
            row = ConfidentialCall(call_id=call_id, reason=reason, marked_by=account_id, marked_at_ms=now_ms)
        row.reason = reason
        session.add(row)
        session.flush()
        session.exec(delete(ConfidentialReader).where(col(ConfidentialReader.call_id) == call_id))
        session.add_all(ConfidentialReader(call_id=call_id, account_id=n) for n in sorted(named))
        detail = {"reason": reason, "readers": sorted(named.values())}
        audit.append(
            session, actor=actor.username, action="confidential.mark", subject=call_id, detail=detail, now_ms=now_ms
        )
        username = actor.username
    if call is not None and call.ended_at_ms is not None:
        return False
    try:  # after the database: whatever the recorder says, nobody else opens the call
        reply = order(live_socket, LiveCommand(op="confidential", call_id=call_id[:64], actor=username))
    except StateError:
        if call is None:
            _forget(db, call_id)
            raise
        return False
    if not reply.ok and call is None:
        _forget(db, call_id)
        raise StateError(reply.text)
    return reply.ok


def lift(db: Database, call_id: str, *, reason: str, actor: str, now_ms: int) -> None:
    """The call is an ordinary one again, and its released score can be answered. Raise CallqaError without a reason."""
    reason = required_line(reason, "解除保密的原因", MAX_REASON_CHARS)
    with db.write() as session:
        row = session.get(ConfidentialCall, call_id)
        if row is None:
            return
        session.exec(delete(ConfidentialReader).where(col(ConfidentialReader.call_id) == call_id))
        session.flush()
        session.delete(row)
        _open_the_window_anew(session, call_id, now_ms)
        detail = {"reason": reason}
        audit.append(session, actor=actor, action="confidential.lift", subject=call_id, detail=detail, now_ms=now_ms)


def _open_the_window_anew(session: Session, call_id: str, now_ms: int) -> None:
    """A released score that its agent could not open meanwhile may be answered from now on."""
    waiting = select(Evaluation).where(Evaluation.call_id == call_id, Evaluation.status == Status.RELEASED)
    for score in session.exec(waiting).all():
        score.answer_due_at_ms = window_end_ms(now_ms, score.answer_days or 0)
        score.version += 1
        session.add(score)


def is_confidential(db: Database, call_id: str) -> bool:
    """Whether somebody marked the call."""
    with db.read() as session:
        return session.get(ConfidentialCall, call_id) is not None


def _named(session: Session, account_ids: Collection[int]) -> dict[int, str]:
    rows = session.exec(select(Account).where(col(Account.id).in_(account_ids), col(Account.active).is_(True)))
    found = {row.id: row.username for row in rows if row.role in READER_ROLES and row.id is not None}
    if set(found) != set(account_ids):
        raise CallqaError("保密件只能指定启用中的班长和采购人监督员查看")
    return found


def _forget(db: Database, call_id: str) -> None:
    """Nothing of that name is there: the mark is taken back, the chain keeps that it was tried."""
    with db.write() as session:
        session.exec(delete(ConfidentialReader).where(col(ConfidentialReader.call_id) == call_id))
        session.exec(delete(ConfidentialCall).where(col(ConfidentialCall.call_id) == call_id))
