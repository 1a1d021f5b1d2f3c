"""Show what is masked in a call's transcript: asked for by a person, noted, and good for a few minutes."""

from sqlmodel import col, select

from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import AuditEntry

ACTION = "call.show_private"
SHOWN_FOR_MS = 10 * 60_000  # then the page is masked again when it is next loaded


def show_private(db: Database, call_id: str, *, actor: str, now_ms: int) -> int:
    """Note that somebody looks at the whole numbers of a call; the number of the note opens them."""
    with db.write() as session:
        entry = audit.append(session, actor=actor, action=ACTION, subject=call_id, detail={}, now_ms=now_ms)
        return entry.sequence


def is_shown(db: Database, call_id: str, sequence: int, *, actor: str, now_ms: int) -> bool:
    """Whether that note is this person's, about this call, and fresh."""
    with db.read() as session:
        entry = session.exec(select(AuditEntry).where(col(AuditEntry.sequence) == sequence)).first()
    return (
        entry is not None
        and (entry.action, entry.subject, entry.actor) == (ACTION, call_id, actor)
        and 0 <= now_ms - entry.at_ms <= SHOWN_FOR_MS
    )
