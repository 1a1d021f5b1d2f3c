"""A version that was published under older rules: its month still opens, and what is refused today is not run."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlmodel import col, delete, select, update

import callqa
from callqa.config import Settings
from callqa.errors import RubricError
from callqa.periods import Month
from callqa.scoring.operators import phrases
from callqa.scoring.rubric import parse_rubric
from callqa.store.db import Database
from callqa.store.migrate import migrate
from callqa.store.queries.sampling import entries_of
from callqa.store.tables import Account, AuditEntry, CheckResultRow, Evaluation, RubricVersion
from callqa.usecases import progress, try_rubric
from callqa.usecases.accounts import hash_password
from callqa.usecases.check import check, newest_run
from callqa.usecases.evaluate import load_rubric_version, open_evaluation
from callqa.usecases.ingest import ingest
from callqa.usecases.load_rubric import load_rubric
from callqa.usecases.progress import Stage, StageState
from callqa.usecases.publish_report import publish_report
from callqa.usecases.transcribe import transcribe
from callqa.web.app import create_app
from tests.reports.builders import HOUR, LEADER, RUBRIC_TEXT, MonthMaker, add_people
from tests.store import postgres
from tests.store_fixture import make_database
from tests.usecases.recorded import BASE_MS, FakeEngine, Recorder

MONTH = Month(2026, 10)
NOW_MS = BASE_MS + 24 * HOUR
ENDLESS = "(大?声+点?)+吧"  # refused since patterns that may never end are
OLD_TEXT = RUBRIC_TEXT
for _new, _old in (
    ("没听(清|见|明白)|听不(清|见|到)|再说一遍|你说(的)?(是)?什么|大点声|声音大(一)?点|说慢(一)?点", ENDLESS),
    (
        "- {op: silence, scope: all, params: {min_s: 10}, as: gap, calibrate: true}",
        "- any: [{op: silence, scope: all, params: {min_s: 10}, as: gap}]",
    ),
    ("na_when: {not: {op: silence, params: {min_s: 5}}}", f"na_when: {{op: regex, params: {{pattern: {ENDLESS!r}}}}}"),
):  # fmt: skip
    assert OLD_TEXT.count(_new) >= 1, _new
    OLD_TEXT = OLD_TEXT.replace(_new, _old, 1)
OLD_HASH = sha256(OLD_TEXT.encode()).hexdigest()
LINE = OLD_TEXT[: OLD_TEXT.index(ENDLESS)].count("\n") + 1
PASSWORD = "correct-horse-7"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], scope="module")
def db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A sampled and half-scored October, all of it by the old version."""
    folder = tmp_path_factory.mktemp("old")
    if request.param == "sqlite":
        database = make_database(folder)
        _fill(database)
        yield database
        database.dispose()
        return
    with postgres.server() as url:
        migrate(url)
        database = Database(url)
        _fill(database)
        yield database
        database.dispose()


def _fill(db: Database) -> None:
    maker = MonthMaker(db, MONTH, add_people(db, 2), calls_per_agent=40)
    maker.fill()
    maker.evaluate(maker.sample(), share=0.5)
    with db.write() as session:
        old = session.exec(select(RubricVersion)).one()
        values = {"rubric_hash": OLD_HASH, "source": OLD_TEXT, "effective_from_ms": 0, "loaded_at_ms": 0}
        session.add(RubricVersion(rubric_id=old.rubric_id, version=1, title=old.title, **values))
        session.flush()
        session.exec(update(Evaluation).values(rubric_hash=OLD_HASH))
        session.exec(delete(RubricVersion).where(col(RubricVersion.rubric_hash) == old.rubric_hash))
        leader = session.get(Account, LEADER)
        assert leader is not None
        leader.password_hash = hash_password(PASSWORD)
        session.add(leader)


@pytest.fixture
def leader(db: Database, tmp_path: Path) -> TestClient:
    app = create_app(Settings(home=tmp_path), db, clock=lambda: NOW_MS)
    client = TestClient(app, follow_redirects=False, headers={"Origin": "http://testserver"})
    assert client.post("/login", data={"username": "banzhang", "password": PASSWORD}).status_code == 303
    return client


def test_nobody_could_publish_it_today() -> None:
    with pytest.raises(RubricError, match="可能算不完") as raised:
        parse_rubric(OLD_TEXT)
    assert raised.value.line == LINE


def test_only_what_writes_a_version_reads_it_by_todays_rules() -> None:
    """What reads a stored version calls parse_stored; a chapter of the report once did not."""
    root = Path(callqa.__file__).parent
    strict = {
        p.name for p in root.rglob("*.py") if p.parent.name != "scoring" and "parse_rubric" in p.read_text("utf-8")
    }
    assert strict == {"edit_rubric.py", "load_rubric.py", "try_rubric.py", "health.py"}


def test_the_months_report_and_its_page_open(db: Database, leader: TestClient, tmp_path: Path) -> None:
    publish_report(
        db, MONTH, exports_dir=tmp_path, actor="banzhang", now_ms=NOW_MS, hotline_name="样例热线", organisation="样例"
    )
    assert leader.get(f"/reports/{MONTH}").status_code == 200
    assert leader.get("/trust").status_code == 200


def test_scored_and_unscored_calls_open_with_every_item(db: Database, leader: TestClient) -> None:
    with db.read() as session:
        scored = session.exec(select(Evaluation)).all()
        done = {e.call_id for e in scored}
        wanted = next(e.call_id for e in entries_of(session, 1) if e.call_id not in done)
        items = [item.item_id for item in load_rubric_version(session, OLD_HASH).items]
    assert len(items) == 23
    fresh = open_evaluation(db, wanted, evaluator_id=LEADER, now_ms=NOW_MS)
    for evaluation_id in (scored[0].id, fresh):
        page = leader.get(f"/evaluate/{evaluation_id}")
        assert page.status_code == 200
        assert "S1.3" in page.text


def test_the_check_abstains_with_the_line_and_runs_no_refused_pattern(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_patterns: list[str] = []
    compiled = phrases._compiled

    def noting(pattern: str) -> object:
        run_patterns.append(pattern)
        return compiled(pattern)

    monkeypatch.setattr(phrases, "_compiled", noting)
    recorder = Recorder(tmp_path / "recordings", seconds=30.0)
    recorder.call("C1")
    ingest(db, recordings=recorder.recordings, now_ms=BASE_MS)
    claimed = progress.claim(db, "C1", Stage.TRANSCRIBE, now_ms=BASE_MS)
    assert claimed is not None
    transcribe(db, claimed, engine=FakeEngine(), recordings=recorder.recordings, clock=lambda: BASE_MS)
    checking = progress.claim(db, "C1", Stage.CHECK, now_ms=BASE_MS)
    assert checking is not None
    assert check(db, checking, recordings=recorder.recordings, clock=lambda: NOW_MS).state is StageState.DONE
    with db.read() as session:
        run = newest_run(session, "C1")
        assert run is not None and run.rubric_hash == OLD_HASH
        rows = session.exec(select(CheckResultRow).where(CheckResultRow.check_run_id == run.id)).all()
    found = {row.check_id: row for row in rows}
    refused = found["S1.3-4"]
    assert refused.state == "not_checked"
    assert f"第 {LINE} 行" in refused.explanation and "可能算不完" in refused.explanation
    assert sum("已不再接受" in row.explanation for row in rows) == 2  # and the one whose anchor reaches nothing
    assert any(row.state in ("hit", "miss") for row in rows)
    assert run_patterns and ENDLESS not in run_patterns


def test_the_editor_and_the_versions_page_show_the_line(leader: TestClient) -> None:
    for address in ("/rubrics/draft", f"/rubrics/version/{OLD_HASH}"):
        page = leader.get(address)
        assert page.status_code == 200
        assert f"第 {LINE} 行" in page.text and "可能算不完" in page.text and "已停用" in page.text


def test_the_file_it_was_loaded_from_is_said_to_be_in_force_still(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "rubric.yaml"
    path.write_text(OLD_TEXT, encoding="utf-8")
    loaded = load_rubric(db, path, now_ms=NOW_MS)
    assert (loaded.rubric_hash, loaded.new) == (OLD_HASH, False)
    assert f"第 {LINE} 行" in loaded.problem and "这一版仍在用" in loaded.problem
    with db.read() as session:
        assert session.exec(select(AuditEntry).where(AuditEntry.action == "rubric.refuse")).all()


def test_it_is_compared_with_the_version_that_mends_it(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "rubric.yaml"
    path.write_text(RUBRIC_TEXT, encoding="utf-8")
    mended = load_rubric(db, path, now_ms=NOW_MS + 1)
    assert mended.new and mended.rubric_hash is not None
    for old, new in ((OLD_HASH, RUBRIC_TEXT), (mended.rubric_hash, OLD_TEXT)):
        asked = try_rubric.ask_trial(
            db, month="2026-11", old_hash=old, new_source=new, account_id=LEADER, now_ms=NOW_MS
        )
        while try_rubric.work_a_while(db, recordings=tmp_path, clock=lambda: NOW_MS):
            pass
        with db.read() as session:
            row = try_rubric.find_trial(session, asked)
            assert row is not None and (row.state, row.problem) == ("done", "")
