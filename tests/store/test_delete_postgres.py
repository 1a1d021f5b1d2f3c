"""Deleting a call on PostgreSQL: nothing is left of it, and what is cut off finishes once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from callqa.store.db import Database
from callqa.store.migrate import migrate
from callqa.usecases import retention
from callqa.usecases.ingest import ingest_lost
from callqa.usecases.retention import Terms, delete_expired, expired_calls
from tests.store import postgres
from tests.usecases.deletable import NOW_MS, make_recorded, places_of
from tests.usecases.recorded import BASE_MS
from tests.usecases.test_delete import check_finished_once, fill

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def db() -> Iterator[Database]:
    with postgres.server() as url:
        migrate(url)
        database = Database(url)
        yield database
        database.dispose()


def test_killed_anywhere_it_finishes_exactly_once(db: Database, tmp_path: Path, monkeypatch) -> None:
    check_finished_once(db, fill(db, tmp_path), tmp_path, monkeypatch)


def test_the_period_pages_and_deletes_here_too(db: Database, tmp_path: Path, monkeypatch) -> None:
    """After the test above: C1 is gone, C2 is left."""
    monkeypatch.setattr(retention, "_PAGE", 1)
    recorder = make_recorded(tmp_path / "recordings", "C5", "C6")
    ingest_lost(db, recordings=recorder.recordings, now_ms=BASE_MS)
    terms = Terms(90, 0)
    assert [each.call_id for each in expired_calls(db, terms, now_ms=NOW_MS)] == ["C2", "C5", "C6"]
    places = places_of(recorder, tmp_path / "var")
    assert delete_expired(db, terms, places=places, actor="system", now_ms=NOW_MS) == ("C2", "C5", "C6")
    assert list(expired_calls(db, terms, now_ms=NOW_MS)) == []
