"""The same store on PostgreSQL: migrate, ingest, audit chain under two writers, a stage worked off."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError
from sqlmodel import Session, SQLModel, select

from callqa.errors import CallqaError, ConflictError
from callqa.store import audit, search
from callqa.store.db import Database
from callqa.store.migrate import migrate
from callqa.store.tables import Call, TranscriptRow
from callqa.usecases import progress
from callqa.usecases.check import check
from callqa.usecases.correct import Correction, correct_transcript
from callqa.usecases.ingest import ingest
from callqa.usecases.load_rubric import load_rubric
from callqa.usecases.progress import Stage, StageState
from callqa.usecases.reindex import reindex
from callqa.usecases.transcribe import transcribe
from tests.builders import add_call
from tests.store import postgres
from tests.store.test_search import add_transcript, found, say
from tests.store_fixture import is_declared
from tests.usecases.recorded import BASE_MS, FakeEngine, Recorder
from tests.usecases.test_load_rubric import DEFAULT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def db() -> Iterator[Database]:
    with postgres.server() as url:
        starters = [threading.Thread(target=migrate, args=(url,)) for _ in range(2)]
        for starter in starters:
            starter.start()
        for starter in starters:
            starter.join()
        database = Database(url)
        yield database
        database.dispose()


def test_migrated_schema_is_the_declared_one(db: Database) -> None:
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": is_declared})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_a_call_goes_from_journal_to_check(db: Database, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "recordings", seconds=10.0)
    recorder.call("C1")
    ingest(db, recordings=recorder.recordings, now_ms=BASE_MS)
    load_rubric(db, DEFAULT, now_ms=BASE_MS)
    claimed = progress.claim(db, "C1", Stage.TRANSCRIBE, now_ms=BASE_MS)
    assert claimed is not None
    assert progress.claim(db, "C1", Stage.TRANSCRIBE, now_ms=BASE_MS) is None
    transcribe(db, claimed, engine=FakeEngine(), recordings=recorder.recordings, clock=lambda: BASE_MS)
    checking = progress.claim(db, "C1", Stage.CHECK, now_ms=BASE_MS)
    assert checking is not None
    assert check(db, checking, recordings=recorder.recordings, clock=lambda: BASE_MS).state is StageState.DONE
    with db.read() as session:
        call = session.get(Call, "C1")
        assert call is not None
        assert call.started_at_ms == BASE_MS  # does not fit 32 bits
        assert len(session.exec(select(TranscriptRow)).all()) == 1


def test_audit_chain_has_no_fork_with_many_writers(db: Database) -> None:
    def write() -> None:
        for i in range(10):
            with db.write() as session:
                audit.append(session, actor="a", action="call.play", subject=str(i), detail={"说明": i}, now_ms=i)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.read() as session:
        assert audit.verify(session) == []
        assert audit.head(session).sequence >= 40


def beside(
    db: Database,
    first: Callable[[Session], object],
    other: Callable[[], object],
    then: Callable[[Session], object] = lambda session: None,
) -> list[BaseException]:
    """Run `other` in a thread while the transaction of `first` is open, and end that, with `then`, when the other waits for
    it; what the other raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            other()
        except (CallqaError, DatabaseError) as e:
            raised.append(e)

    with db.write() as session:
        first(session)
        thread = threading.Thread(target=run)
        thread.start()
        deadline = time.monotonic() + 30
        waiting = text("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")
        while time.monotonic() < deadline:
            with db.read() as watching:
                if watching.execute(waiting).scalar_one():
                    break
        else:
            pytest.fail("nobody waited")
        then(session)
    thread.join(30)
    return raised


def test_two_calls_of_one_time_transcribed_at_once_are_both_found(db: Database) -> None:
    with db.write() as session:
        for call_id in ("T1", "T2"):
            add_call(session, call_id, BASE_MS + 3_600_000, agent_no=None)
    lines = [("c", "鳄鱼来了")]

    def other() -> None:
        with db.write() as session:
            say(session, "T2", lines)

    assert beside(db, lambda session: say(session, "T1", lines), other) == []
    assert sorted(found(db, "鳄鱼")) == ["T1", "T2"]


def test_a_correction_beside_a_new_transcription_is_told_to_look_again(db: Database) -> None:
    with db.write() as session:
        add_call(session, "T3", BASE_MS + 7_200_000, agent_no=None)
        say(session, "T3", [("c", "水獭来了")])
    with db.read() as session:
        base = session.exec(select(TranscriptRow).where(TranscriptRow.call_id == "T3")).one()
    given = Correction({0: "水塔来了"}, "听录音更正")

    def other() -> None:
        correct_transcript(db, "T3", given, base_id=base.id, actor="x", now_ms=BASE_MS)

    (raised,) = beside(db, lambda session: say(session, "T3", [("c", "狐狸来了")]), other)
    assert isinstance(raised, ConflictError)
    assert found(db, "狐狸") == ["T3"]
    assert found(db, "水獭") == found(db, "水塔") == []


def test_the_index_is_made_anew_beside_who_saves_a_transcript(db: Database) -> None:
    with db.write() as session:
        add_call(session, "T4", BASE_MS + 10_800_000, agent_no=None)
    raised = beside(
        db,
        lambda session: (add_transcript(session, "T4", 900_000, "刺猬来了"), session.flush()),
        lambda: reindex(db, now_ms=BASE_MS),
        lambda session: search.index_call(session, "T4"),
    )
    assert raised == []
    assert found(db, "刺猬") == ["T4"]
