"""保全: a call is kept, whatever asks for its deletion, until somebody lifts that again. Both are in the audit chain."""

from sqlmodel import col, select

from callqa.errors import StateError
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import LegalHold
from callqa.usecases.delete import lock_call, reason_line
from callqa.usecases.deleted import refuse_deleted


def place_hold(db: Database, call_id: str, *, reason: str, actor: str, now_ms: int) -> None:
    """Raise StateError for a call that is held already, or deleted."""
    why = reason_line(reason, "保全的原因")
    with db.write() as session:
        lock_call(session, call_id)
        refuse_deleted(session, call_id)
        held = select(LegalHold).where(LegalHold.call_id == call_id, col(LegalHold.lifted_at_ms).is_(None))
        if session.exec(held).first() is not None:
            raise StateError("这通电话已经保全")
        session.add(LegalHold(call_id=call_id, reason=why, placed_by=actor, placed_at_ms=now_ms))
        audit.append(session, actor=actor, action="call.hold", subject=call_id, detail={"reason": why}, now_ms=now_ms)


def lift_hold(db: Database, call_id: str, *, reason: str, actor: str, now_ms: int) -> None:
    """Raise StateError for a call that is not held."""
    why = reason_line(reason, "解除保全的原因")
    with db.write() as session:
        lock_call(session, call_id)
        held = select(LegalHold).where(LegalHold.call_id == call_id, col(LegalHold.lifted_at_ms).is_(None))
        row = session.exec(held).first()
        if row is None:
            raise StateError("这通电话没有保全")
        row.lifted_by, row.lifted_at_ms, row.lifted_why = actor, now_ms, why
        session.add(row)
        audit.append(
            session, actor=actor, action="call.hold_lift", subject=call_id, detail={"reason": why}, now_ms=now_ms
        )


__all__ = ["lift_hold", "place_hold"]
