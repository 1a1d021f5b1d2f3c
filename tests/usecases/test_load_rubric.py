"""A new text is a new version; a text with mistakes leaves the last good one in force, and says what is wrong."""

import shutil
from pathlib import Path

import pytest
from sqlmodel import select

from callqa.store.db import Database
from callqa.store.tables import AuditEntry, RubricVersion
from callqa.usecases.load_rubric import load_rubric, rubric_in_force

DEFAULT = Path(__file__).resolve().parents[2] / "scorecards" / "rubric.yaml"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copy(DEFAULT, tmp_path / "rubric.yaml"))


def _in_force(db: Database, at_ms: int) -> str | None:
    with db.read() as session:
        row = rubric_in_force(session, at_ms)
    return row.rubric_hash if row else None


def _actions(db: Database) -> list[str]:
    with db.read() as session:
        return [row.action for row in session.exec(select(AuditEntry).order_by(AuditEntry.sequence))]  # type: ignore[arg-type]


def test_first_version_holds_for_all_calls_and_loading_again_changes_nothing(db: Database, path: Path) -> None:
    first = load_rubric(db, path, now_ms=1000)
    assert first.new
    assert not load_rubric(db, path, now_ms=2000).new
    assert _in_force(db, 0) == first.rubric_hash
    assert _actions(db) == ["rubric.load"]
    with db.read() as session:
        row = session.exec(select(RubricVersion)).one()
    assert row.source == path.read_text(encoding="utf-8")


def test_new_text_holds_for_calls_that_start_after_it_was_loaded(db: Database, path: Path) -> None:
    first = load_rubric(db, path, now_ms=1000)
    path.write_text(path.read_text(encoding="utf-8") + "# 备注\n", encoding="utf-8")
    second = load_rubric(db, path, now_ms=5000)
    assert second.new
    assert (_in_force(db, 4999), _in_force(db, 5000)) == (first.rubric_hash, second.rubric_hash)


def test_misspelt_operator_is_named_with_its_line_and_the_old_version_stays(db: Database, path: Path) -> None:
    first = load_rubric(db, path, now_ms=1000)
    good = path.read_text(encoding="utf-8")
    bad = good.replace("op: keyword_any", "op: keyword_anny", 1)
    line = bad[: bad.index("keyword_anny")].count("\n") + 1
    path.write_text(bad, encoding="utf-8")
    for now_ms in (2000, 3000):
        refused = load_rubric(db, path, now_ms=now_ms)
        assert (refused.new, refused.rubric_hash) == (False, first.rubric_hash)
        assert f"第 {line} 行" in refused.problem
        assert "keyword_anny" in refused.problem
    assert _actions(db) == ["rubric.load", "rubric.refuse"]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"a: [", b"schema: other/1\n"])
def test_what_is_no_rubric_is_refused(db: Database, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refused = load_rubric(db, path, now_ms=1000)
    assert (refused.new, refused.rubric_hash) == (False, None)
    assert refused.problem


def test_missing_file_is_refused(db: Database, tmp_path: Path) -> None:
    assert "打不开" in load_rubric(db, tmp_path / "nothing.yaml", now_ms=1).problem
