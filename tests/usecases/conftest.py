"""A database of the newest schema, and a recorder that writes what the real one would."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from callqa.store.db import Database
from tests.store_fixture import make_database
from tests.usecases.recorded import Recorder


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = make_database(tmp_path)
    yield database
    database.dispose()


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "recordings")
