"""作废 on both databases: freeze, draw, void with a draft begun, freeze, draw; both draws repeat, the draft has its place again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from callqa.errors import StateError
from callqa.periods import Month
from callqa.scoring.sampling import commitment
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.migrate import migrate
from callqa.store.queries.sampling import entries_of, load_sampling_page
from callqa.store.tables import AuditEntry, Evaluation, SampleEntry
from callqa.usecases.draw import commit, reveal
from callqa.usecases.evaluate import open_evaluation
from callqa.usecases.freeze import freeze
from callqa.usecases.verify_draw import verify_draw
from callqa.usecases.void_frame import agree_void, ask_void
from tests.reports.builders import LEADER, PLAN_TEXT, MonthMaker, add_people
from tests.store import postgres
from tests.store_fixture import make_database

MONTH = Month(2026, 10)
NOW = MONTH.end_ms + 9 * 3_600_000


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A filled October; every agent's ten calls are all drawn, so that a second draw takes them again."""
    if request.param == "sqlite":
        yield _filled(make_database(tmp_path))
        return
    with postgres.server() as url:
        migrate(url)
        database = _filled(Database(url))
        yield database
        database.dispose()


def _filled(database: Database) -> Database:
    MonthMaker(database, MONTH, add_people(database, 2), calls_per_agent=10).fill()
    return database


def drawn(db: Database, word: str) -> int:
    frame = freeze(db, MONTH, PLAN_TEXT, actor="banzhang", now_ms=NOW)
    assert frame.id is not None
    nonces = f"banzhang-keeps-{word}", f"jiandu-keeps-{word}"
    for side, nonce, actor in zip("ab", nonces, ("banzhang", "jiandu"), strict=True):
        commit(db, frame.id, side=side, value=commitment(nonce), actor=actor, now_ms=NOW)
    reveal(db, frame.id, nonce_a=nonces[0], nonce_b=nonces[1], actor="banzhang", now_ms=NOW)
    return frame.id


def place_of(db: Database, evaluation_id: int) -> int | None:
    """The frame whose sample a card belongs to."""
    with db.read() as session:
        card = session.get(Evaluation, evaluation_id)
        assert card is not None
        entry = session.get(SampleEntry, card.sample_entry_id) if card.sample_entry_id is not None else None
        return entry.frame_id if entry is not None else None


def test_the_whole_round(db: Database) -> None:
    first = drawn(db, "one")
    with db.read() as session:
        call_id = next(entry.call_id for entry in entries_of(session, first) if entry.kind == "sample")
    draft = open_evaluation(db, call_id, evaluator_id=LEADER, now_ms=NOW)
    assert place_of(db, draft) == first
    ask_void(db, first, reason="误用\n旧方案", actor="jiandu", now_ms=NOW + 1)
    agree_void(db, first, actor="banzhang", now_ms=NOW + 2)
    with pytest.raises(StateError, match="已经作废"):
        agree_void(db, first, actor="banzhang", now_ms=NOW + 3)
    assert open_evaluation(db, call_id, evaluator_id=LEADER, now_ms=NOW) == draft and place_of(db, draft) is None

    second = drawn(db, "two")
    assert open_evaluation(db, call_id, evaluator_id=LEADER, now_ms=NOW) == draft and place_of(db, draft) == second
    for frame_id in (None, first, second):
        assert verify_draw(db, str(MONTH), frame_id).differences == ()
    with db.read() as session:
        page = load_sampling_page(session, str(MONTH), MONTH.start_ms, MONTH.end_ms)
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "sampling.void")).one()
        assert audit.verify(session) == []
    assert page.frame is not None and page.frame.id == second
    assert [(f.id, f.void_reason, f.void_asked_by, f.voided_by) for f in page.void_frames] == [
        (first, "误用 旧方案", "jiandu", "banzhang")
    ]
    assert entry.detail["drafts"] == [draft] and entry.detail["seed"] == page.void_frames[0].seed
    with pytest.raises(StateError, match="没有揭示"):
        verify_draw(db, "2026-09", first)
