"""The audit chain 审计链: every entry carries the hash of the one before, so a changed or removed row shows.

hash = SHA-256(prev_hash + canonical JSON of sequence, at_ms, actor, action, subject, detail); the first entry's
prev_hash is 64 zeros. The chain shows tampering inside; cutting off its newest end is only seen by comparing with a
`head` kept elsewhere (printed in reports).
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from callqa.store.tables import AuditEntry

GENESIS = "0" * 64
# Any constant known only here: PostgreSQL takes one lock a transaction that appends.
_ADVISORY_KEY = 0x63616C6C7161_01


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry of the chain."""

    sequence: int
    hash: str


def append(
    session: Session, *, actor: str, action: str, subject: str, detail: dict[str, Any], now_ms: int
) -> AuditEntry:
    """Add one entry inside the caller's write transaction; it stands or falls with it. detail must be JSON."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("select pg_advisory_xact_lock(:key)").bindparams(key=_ADVISORY_KEY))
    last = head(session)
    clean = json.loads(json.dumps(detail, ensure_ascii=False))  # what the database gives back later, exactly
    entry = AuditEntry(
        sequence=last.sequence + 1,
        at_ms=now_ms,
        actor=actor,
        action=action,
        subject=subject,
        detail=clean,
        prev_hash=last.hash,
        hash="",
    )
    entry.hash = entry_hash(entry)
    session.add(entry)
    session.flush()
    return entry


def head(session: Session) -> Head:
    """The newest entry's sequence and hash; (0, zeros) for an empty chain."""
    last = session.exec(select(AuditEntry).order_by(col(AuditEntry.sequence).desc()).limit(1)).first()
    return Head(last.sequence, last.hash) if last else Head(0, GENESIS)


def verify(session: Session) -> list[int]:
    """Sequences that do not fit: own hash wrong, not joined to the one before, or missing (the hole's numbers)."""
    wrong: list[int] = []
    expected_hash, expected_sequence = GENESIS, 1
    for entry in session.exec(select(AuditEntry).order_by(col(AuditEntry.sequence)).execution_options(yield_per=500)):
        holes = range(expected_sequence, entry.sequence)
        wrong.extend(holes)
        fits = entry.hash == entry_hash(entry) and (bool(holes) or entry.prev_hash == expected_hash)
        if not fits:
            wrong.append(entry.sequence)
        expected_hash, expected_sequence = entry.hash, entry.sequence + 1
    return wrong


def entry_hash(entry: AuditEntry) -> str:
    """The hash an entry should carry, 64 hex digits."""
    fields = {
        "sequence": entry.sequence,
        "at_ms": entry.at_ms,
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "detail": entry.detail,
    }
    canonical = json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256((entry.prev_hash + canonical).encode()).hexdigest()
