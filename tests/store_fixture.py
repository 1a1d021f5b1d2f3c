"""A migrated database for one test, made by copying one that was migrated once in this process."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from callqa.store.db import Database
from callqa.store.migrate import migrate


@cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="callqa-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "template.db"
    migrate(f"sqlite:///{path}")
    return path


def make_database(tmp_path: Path) -> Database:
    """A fresh SQLite `Database` in tmp_path with the newest schema."""
    path = tmp_path / "callqa.db"
    shutil.copy(_template(), path)
    return Database(f"sqlite:///{path}")


def is_declared(name: str | None, kind: str, _parents: object) -> bool:
    """What a schema comparison looks at: not the search index, which has no form in the metadata (tests/store/test_search)."""
    return not ((kind == "table" and (name or "").startswith("search_fts")) or name == "ix_utterance_search_keys")
