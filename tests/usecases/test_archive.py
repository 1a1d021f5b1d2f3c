"""Only spools of verified calls are marked, only old marked ones are freed, and only while the master is there."""

import json
from pathlib import Path

import pytest

from callqa.store.db import Database
from callqa.usecases.archive import DAY_MS, archive, free_spools
from callqa.usecases.ingest import ingest
from tests.usecases.recorded import BASE_MS, DAY_FOLDER, Recorder


@pytest.fixture
def recorder(tmp_path: Path, db: Database) -> Recorder:
    made = Recorder(tmp_path / "recordings")
    for call_id in ("C1", "C2", "C3"):
        made.call(call_id)
        spool = made.recordings / "spool" / f"{call_id}.spool"
        spool.parent.mkdir(parents=True, exist_ok=True)
        spool.write_bytes(b"x" * 100)
    (made.recordings / DAY_FOLDER / "C2.wav").write_bytes(b"damaged")
    ingest(db, recordings=made.recordings, now_ms=BASE_MS)
    return made


def test_marker_carries_the_hash_of_the_verified_master(db: Database, recorder: Recorder) -> None:
    spool = recorder.recordings / "spool"
    (spool / "unknown.spool").touch()
    assert sorted(archive(db, spool=spool, now_ms=BASE_MS)) == ["C1", "C3"]
    assert archive(db, spool=spool, now_ms=BASE_MS) == ()
    note = json.loads((spool / "C1.archived").read_bytes())
    assert note["call_id"] == "C1"
    assert len(note["recording_sha256"]) == 64
    assert not (spool / "C2.archived").exists()


def test_only_old_marked_spools_with_a_master_are_freed(db: Database, recorder: Recorder) -> None:
    spool, recordings = recorder.recordings / "spool", recorder.recordings
    archive(db, spool=spool, now_ms=BASE_MS)
    keep = {"spool": spool, "recordings": recordings, "keep_days": 7}
    assert free_spools(db, now_ms=BASE_MS + 7 * DAY_MS - 1, **keep).call_ids == ()
    (recordings / DAY_FOLDER / "C3.wav").unlink()
    freed = free_spools(db, now_ms=BASE_MS + 7 * DAY_MS, **keep)
    assert (freed.call_ids, freed.bytes) == (("C1",), 100)
    assert not (spool / "C1.spool").exists()
    assert not (spool / "C1.archived").exists()
    assert (spool / "C2.spool").exists()
    assert (spool / "C3.spool").exists()


def test_damaged_marker_frees_nothing(db: Database, recorder: Recorder) -> None:
    spool = recorder.recordings / "spool"
    (spool / "C1.archived").write_text("{", encoding="utf-8")
    freed = free_spools(db, spool=spool, recordings=recorder.recordings, keep_days=0, now_ms=BASE_MS * 2)
    assert freed.call_ids == ()
    assert (spool / "C1.spool").exists()


def test_no_spool_folder_is_no_trouble(db: Database, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert archive(db, spool=nowhere, now_ms=1) == ()
    assert free_spools(db, spool=nowhere, recordings=nowhere, keep_days=0, now_ms=1).call_ids == ()
