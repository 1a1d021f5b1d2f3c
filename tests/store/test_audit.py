"""The chain shows every change, removal and swap inside it."""

from pathlib import Path

import pytest
from sqlalchemy import text

from callqa.store import audit
from callqa.store.db import Database
from tests.store_fixture import make_database


def _chain(tmp_path: Path, n: int = 5) -> Database:
    db = make_database(tmp_path)
    with db.write() as session:
        for i in range(1, n + 1):
            audit.append(
                session,
                actor="班长",
                action="call.play",
                subject=f"C{i}",
                detail={"at_ms": i, "说明": "试听"},
                now_ms=1000 + i,
            )
    return db


def test_chain_of_entries_verifies(tmp_path: Path) -> None:
    db = _chain(tmp_path)
    with db.read() as session:
        assert audit.verify(session) == []
        assert audit.head(session).sequence == 5
    db.dispose()


def test_empty_chain_verifies(tmp_path: Path) -> None:
    db = make_database(tmp_path)
    with db.read() as session:
        assert audit.verify(session) == []
        assert audit.head(session) == audit.Head(0, audit.GENESIS)
    db.dispose()


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        ("update audit_log set actor = 'nobody' where sequence = 3", [3]),
        ("update audit_log set detail = '{}' where sequence = 3", [3]),
        ("update audit_log set at_ms = 0 where sequence = 1", [1]),
        ("delete from audit_log where sequence = 2", [2]),
        ("delete from audit_log where sequence = 1", [1]),
        ("update audit_log set hash = prev_hash where sequence = 3", [3, 4]),
        ("delete from audit_log where sequence in (2, 4)", [2, 4]),
    ],
)
def test_tampering_shows(tmp_path: Path, tampering: str, found: list[int]) -> None:
    db = _chain(tmp_path)
    with db.write() as session:
        session.execute(text(tampering))
    with db.read() as session:
        assert audit.verify(session) == found
    db.dispose()


def test_a_rewritten_tail_changes_the_head(tmp_path: Path) -> None:
    """Who holds an old head notices; the chain alone cannot know its end was replaced."""
    db = _chain(tmp_path)
    with db.read() as session:
        before = audit.head(session)
    with db.write() as session:
        session.execute(text("delete from audit_log where sequence = 5"))
    with db.write() as session:
        audit.append(session, actor="班长", action="call.play", subject="other", detail={}, now_ms=1)
    with db.read() as session:
        assert audit.verify(session) == []
        assert audit.head(session) != before
    db.dispose()


def test_entry_falls_with_its_transaction(tmp_path: Path) -> None:
    db = _chain(tmp_path)
    with pytest.raises(RuntimeError), db.write() as session:
        audit.append(session, actor="a", action="b", subject="c", detail={}, now_ms=1)
        raise RuntimeError
    with db.read() as session:
        assert audit.head(session).sequence == 5
    db.dispose()
