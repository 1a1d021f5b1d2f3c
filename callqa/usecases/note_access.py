"""Write into the audit chain that somebody heard or took something out."""

from typing import Any

from callqa.store import audit
from callqa.store.db import Database


def note_access(
    db: Database, *, actor: str, action: str, subject: str, detail: dict[str, Any] | None = None, now_ms: int
) -> None:
    """One entry, e.g. action `call.play`, subject the call_id."""
    with db.write() as session:
        audit.append(session, actor=actor, action=action, subject=subject, detail=detail or {}, now_ms=now_ms)
