"""Deleted calls and calls that are kept (保全), for the pages. Reading only."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, func, select

from callqa.store.tables import Agent, Call, CallDeletion, LegalHold


@dataclass(frozen=True, slots=True)
class DeletionLine:
    """One deleted call with the facts that stay."""

    deletion: CallDeletion
    call: Call
    agent_name: str | None


@dataclass(frozen=True, slots=True)
class HoldLine:
    """One hold, lifted or not, with its call."""

    hold: LegalHold
    call: Call
    agent_name: str | None


def find_deletion(session: Session, call_id: str) -> CallDeletion | None:
    """The tombstone of a call, or None."""
    return session.get(CallDeletion, call_id)


def hold_of(session: Session, call_id: str) -> LegalHold | None:
    """What keeps a call now, or None."""
    query = select(LegalHold).where(LegalHold.call_id == call_id, col(LegalHold.lifted_at_ms).is_(None))
    return session.exec(query).first()


def unfinished_ids(session: Session) -> Sequence[str]:
    """Calls whose files are still to go."""
    return session.exec(select(CallDeletion.call_id).where(CallDeletion.state == "deleting")).all()


def count_deletions(session: Session) -> int:
    """How many calls were deleted."""
    return session.exec(select(func.count()).select_from(CallDeletion)).one()


def list_deletions(session: Session, *, offset: int, limit: int) -> Sequence[DeletionLine]:
    """Deleted calls, the last one first."""
    query = (
        select(CallDeletion, Call, Agent.name)
        .join(Call, col(Call.call_id) == col(CallDeletion.call_id))
        .join(Agent, col(Agent.agent_no) == col(Call.agent_no), isouter=True)
        .order_by(col(CallDeletion.asked_at_ms).desc(), col(CallDeletion.call_id).desc())
    )
    return [DeletionLine(*row) for row in session.exec(query.offset(offset).limit(limit))]


def list_holds(session: Session, *, most_lifted: int = 50) -> Sequence[HoldLine]:
    """Every hold that stands, and the last ones that were lifted, newest first."""
    query = (
        select(LegalHold, Call, Agent.name)
        .join(Call, col(Call.call_id) == col(LegalHold.call_id))
        .join(Agent, col(Agent.agent_no) == col(Call.agent_no), isouter=True)
        .order_by(col(LegalHold.placed_at_ms).desc(), col(LegalHold.id).desc())
    )
    standing = session.exec(query.where(col(LegalHold.lifted_at_ms).is_(None))).all()
    lifted = session.exec(query.where(col(LegalHold.lifted_at_ms).is_not(None)).limit(most_lifted)).all()
    return [HoldLine(*row) for row in (*standing, *lifted)]


__all__ = [
    "DeletionLine", "HoldLine", "count_deletions", "find_deletion", "hold_of", "list_deletions", "list_holds",
    "unfinished_ids",
]  # fmt: skip
