"""A deleted call's content is nowhere any more, its figures are as they were, and nothing brings it back."""

from pathlib import Path

import pytest
from sqlmodel import select

from callqa.errors import StateError
from callqa.searching import terms_of
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries.search import SearchQuery, search_calls
from callqa.store.search import index_call
from callqa.store.tables import (
    AuditEntry,
    Call,
    CallDeletion,
    CallProgress,
    Evaluation,
    SampleEntry,
)
from callqa.usecases import delete
from callqa.usecases.delete import delete_call, finish_deletions
from callqa.usecases.ingest import ingest, ingest_lost, take_sidecar
from callqa.usecases.reindex import reindex
from tests.store_fixture import make_database
from tests.usecases.deletable import (
    NOW_MS,
    NUMBER,
    WORD,
    make_recorded,
    places_of,
    plant,
    take_in,
    where_marked,
)
from tests.usecases.recorded import BASE_MS, DAY_FOLDER, Recorder

REASON = "来电人申请删除，电话 13987651234"


@pytest.fixture
def db(tmp_path: Path):
    database = make_database(tmp_path)
    yield database
    database.dispose()


@pytest.fixture
def recorder(tmp_path: Path, db: Database) -> Recorder:
    return fill(db, tmp_path)


def fill(db: Database, tmp_path: Path) -> Recorder:
    """Two calls taken in, the first marked everywhere."""
    made = make_recorded(tmp_path / "recordings", "C1", "C2")
    take_in(db, made)
    with db.write() as session:
        plant(session, "C1")
        session.flush()
        index_call(session, "C1")
    peaks = tmp_path / "var" / "cache" / "peaks"
    peaks.mkdir(parents=True)
    with db.read() as session:
        (peaks / f"{session.get(Call, 'C1').recording_sha256}.json").write_text("{}")
    return made


def forget(db: Database, recorder: Recorder, tmp_path: Path) -> CallDeletion:
    return delete_call(
        db,
        "C1",
        reason=REASON,
        actor="leader",
        places=places_of(recorder, tmp_path / "var"),
        fatal_case_days=0,
        now_ms=NOW_MS,
    )


def found(db: Database, words: str) -> list[str]:
    with db.read() as session:
        hits = search_calls(session, SearchQuery(terms_of(words)), offset=0, limit=10)
    return [each.call_id for each in hits.calls]


def open_to_all(db: Database) -> None:
    from callqa.store.tables import ConfidentialCall

    with db.write() as session:
        session.delete(session.get(ConfidentialCall, "C1"))


def test_word_and_number_are_nowhere_any_more(db: Database, recorder: Recorder, tmp_path: Path) -> None:
    before = where_marked(db, recorder.recordings)
    assert len(before) > 40, "the mark stands in every text that could hold it"
    assert {"2026-11-03.jsonl", "C1.spool", "C1.json", "call.citizen_number", "utterance.raw_text"} <= before
    forget(db, recorder, tmp_path)
    assert where_marked(db, recorder.recordings, tmp_path / "var") == set()
    assert not list((tmp_path / "var" / "cache" / "peaks").iterdir())
    assert sorted(p.name for p in recorder.recordings.rglob("C1*")) == []
    assert (recorder.recordings / DAY_FOLDER / "C2.wav").exists()


def test_not_even_in_the_bytes_of_the_database_file(db: Database, recorder: Recorder, tmp_path: Path) -> None:
    forget(db, recorder, tmp_path)
    for path in tmp_path.glob("callqa.db*"):
        data = path.read_bytes()
        assert WORD.encode() not in data and NUMBER.encode() not in data, path.name


def test_tombstone_and_figures_stay(db: Database, recorder: Recorder, tmp_path: Path) -> None:
    with db.read() as session:
        before = session.get(Call, "C1")
    done = forget(db, recorder, tmp_path)
    with db.read() as session:
        call = session.get(Call, "C1")
        card = session.exec(select(Evaluation).where(Evaluation.call_id == "C1")).one()
        assert session.exec(select(SampleEntry)).one().call_id == "C1"
        entries = session.exec(select(AuditEntry).where(AuditEntry.subject == "C1", AuditEntry.actor == "leader")).all()
        assert audit.verify(session) == []
    for kept in (
        "started_at_ms",
        "answered_at_ms",
        "ended_at_ms",
        "duration_ms",
        "outcome",
        "direction",
        "recording_sha256",
    ):
        assert getattr(call, kept) == getattr(before, kept) is not None, kept
    assert (card.final_score, card.status, card.transcript_id is not None) == (93.5, "finalized", True)
    assert (done.state, done.asked_by, done.recording_sha256) == ("deleted", "leader", before.recording_sha256)
    assert "13987651234" not in done.reason and "来电人申请删除" in done.reason
    assert [entry.action for entry in entries] == ["call.delete", "call.deleted"]
    assert set(entries[0].detail) == {"kind", "reason", "recording_sha256"}


def test_it_is_no_longer_found(db: Database, recorder: Recorder, tmp_path: Path) -> None:
    open_to_all(db)
    assert found(db, WORD) == ["C1"]
    forget(db, recorder, tmp_path)
    assert found(db, WORD) == []
    assert reindex(db, now_ms=NOW_MS) == 0
    with db.write() as session:
        index_call(session, "C1")
    assert found(db, WORD) == []


def test_nothing_brings_it_back(db: Database, recorder: Recorder, tmp_path: Path) -> None:
    sidecar = recorder.recordings / DAY_FOLDER / "C1.json"
    kept = sidecar.read_bytes()
    forget(db, recorder, tmp_path)
    after = where_marked(db, recorder.recordings)
    sidecar.write_bytes(kept)  # as from a backup
    ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)  # all files, from the beginning
    ingest_lost(db, recordings=recorder.recordings, now_ms=NOW_MS)
    take_sidecar(db, sidecar, recordings=recorder.recordings, now_ms=NOW_MS)
    assert after == set() and where_marked(db) == set()
    with db.read() as session:
        assert session.exec(select(CallProgress).where(CallProgress.call_id == "C1")).all() == []
        assert session.get(Call, "C1").deleted_at_ms == NOW_MS
    back = delete.remove_restored(db, places=places_of(recorder, tmp_path / "var"))
    assert back == ("C1",) and not sidecar.exists()


def test_a_lost_journal_position_brings_nothing_back(db: Database, recorder: Recorder, tmp_path: Path) -> None:
    from callqa.store.tables import JournalPosition

    forget(db, recorder, tmp_path)
    with db.write() as session:
        session.delete(session.get(JournalPosition, 1))
    again = ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    assert again.entries == 9  # every line can still be read, under its number
    assert where_marked(db) == set()


def test_deleting_again_is_refused_plainly(db: Database, recorder: Recorder, tmp_path: Path) -> None:
    forget(db, recorder, tmp_path)
    with pytest.raises(StateError, match=r"已于 .* 删除"):
        forget(db, recorder, tmp_path)


SEAMS = ("empty_call", "remove_files", "blank_journal", "_note_done")


class Killed(BaseException):
    """The process is gone."""


def break_at(monkeypatch: pytest.MonkeyPatch, seam: str, when: str) -> None:
    real = getattr(delete, seam)

    def breaking(*args, **kwargs):
        if when == "after":
            real(*args, **kwargs)
        raise Killed

    monkeypatch.setattr(delete, seam, breaking)


def check_finished_once(db: Database, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was cut off: the next look finishes what was begun, or everything is as if nothing had been asked."""
    for seam in SEAMS:
        for when in ("before", "after"):
            with monkeypatch.context() as patch:
                break_at(patch, seam, when)
                with pytest.raises(Killed):
                    _go_on(db, recorder, tmp_path)
            with db.read() as session:
                row = session.get(CallDeletion, "C1")
            if seam == "empty_call":
                assert row is None, f"{when} {seam}: the transaction was not committed"
                assert "call.citizen_number" in where_marked(db)
            else:
                expected = "deleted" if (seam, when) == ("_note_done", "after") else "deleting"
                assert row is not None and row.state == expected, f"{when} {seam}"
    places = places_of(recorder, tmp_path / "var")
    assert finish_deletions(db, places=places, now_ms=NOW_MS) == ()
    assert where_marked(db, recorder.recordings) == set()
    with db.read() as session:
        done = session.exec(select(AuditEntry).where(AuditEntry.subject == "C1", AuditEntry.actor == "leader")).all()
    assert [entry.action for entry in done] == ["call.delete", "call.deleted"]


def _go_on(db: Database, recorder: Recorder, tmp_path: Path) -> None:
    with db.read() as session:
        begun = session.get(CallDeletion, "C1") is not None
    if begun:
        finish_deletions(db, places=places_of(recorder, tmp_path / "var"), now_ms=NOW_MS)
    else:
        forget(db, recorder, tmp_path)


def test_killed_anywhere_it_finishes_exactly_once(
    db: Database, recorder: Recorder, tmp_path: Path, monkeypatch
) -> None:
    check_finished_once(db, recorder, tmp_path, monkeypatch)


def test_a_disk_that_refuses_leaves_it_begun(db: Database, recorder: Recorder, tmp_path: Path, monkeypatch) -> None:
    def refuse(*_, **__):
        raise OSError(30, "read-only")

    with monkeypatch.context() as patch:
        patch.setattr(delete, "remove_files", refuse)
        assert forget(db, recorder, tmp_path).state == "deleting"
    assert (recorder.recordings / DAY_FOLDER / "C1.wav").exists()
    assert finish_deletions(db, places=places_of(recorder, tmp_path / "var"), now_ms=NOW_MS) == ("C1",)
    assert not (recorder.recordings / DAY_FOLDER / "C1.wav").exists()
    assert BASE_MS < NOW_MS
