"""Deleting a call on PostgreSQL: nothing is left of it, and what is cut off finishes once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from callqa.store.db import Database
from callqa.store.migrate import migrate
from tests.store import postgres
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
