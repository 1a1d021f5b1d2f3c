"""What may not be deleted and why, what the period deletes by itself, and a deleted recording that comes again."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import select

from callqa.config import RetentionSettings, Settings
from callqa.errors import CallqaError, StateError
from callqa.periods import Month
from callqa.pipeline import Worker
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import (
    AuditEntry,
    CalibrationSession,
    Call,
    CallDeletion,
    CallProgress,
    CorrectiveAction,
    Evaluation,
    FatalFinding,
    MissedCallFollowup,
    ReportRow,
)
from callqa.usecases import retention
from callqa.usecases.delete import begin, delete_call, lock_call, remove_restored
from callqa.usecases.held_back import Reasons
from callqa.usecases.import_calls import import_calls
from callqa.usecases.legal_hold import lift_hold, place_hold
from callqa.usecases.progress import Stage, claim
from callqa.usecases.retention import Terms, delete_expired, expired_calls, is_night
from tests.builders import at
from tests.store_fixture import make_database
from tests.usecases.deletable import DAY_MS, NOW_MS, make_recorded, places_of, plant, take_in
from tests.usecases.recorded import BASE_MS, Recorder

NOVEMBER = str(Month.of(BASE_MS))


@pytest.fixture
def db(tmp_path: Path):
    database = make_database(tmp_path)
    yield database
    database.dispose()


@pytest.fixture
def recorder(tmp_path: Path, db: Database) -> Recorder:
    made = make_recorded(tmp_path / "recordings", "C1", "C2", "C3")
    take_in(db, made)
    with db.write() as session:
        plant(session, "C1")
    return made


def why(db: Database, call_id: str = "C1", *, now_ms: int = NOW_MS, fatal_case_days: int = 0) -> str:
    with db.read() as session:
        return "；".join(Reasons(session, now_ms, fatal_case_days).of(session.get(Call, call_id)))


def change(db: Database, table, **values) -> None:
    with db.write() as session:
        row = session.exec(select(table)).first()
        for name, value in values.items():
            setattr(row, name, value)
        session.add(row)


@pytest.mark.parametrize(
    ("table", "values", "said"),
    [
        (Evaluation, {"status": "appealed"}, "申诉还没有裁定"),
        (Evaluation, {"status": "submitted"}, "评分还没有定下来"),
        (Evaluation, {"status": "released"}, "评分还没有定下来"),
        (Evaluation, {"status": "draft", "kind": "blind_rescore"}, "有一份评分还没有提交"),
        (FatalFinding, {"second_confirmed_by": None}, "第二人"),
        (CorrectiveAction, {"state": "open"}, "整改"),
        (MissedCallFollowup, {"state": "wanted"}, "回拨"),
        (Call, {"recording_status": "pending"}, "录音还没有收齐"),
        (ReportRow, {"made_at_ms": BASE_MS}, "月报还没有生成"),
    ],
)
def test_what_is_not_settled_holds_it_back(db: Database, recorder: Recorder, tmp_path, table, values, said) -> None:
    assert why(db) == ""
    change(db, table, **values)
    assert said in why(db)
    with pytest.raises(StateError, match=said):
        delete_call(
            db, "C1", reason="x", actor="a", places=places_of(recorder, tmp_path), fatal_case_days=0, now_ms=NOW_MS
        )
    with db.read() as session:
        assert session.get(CallDeletion, "C1") is None
        assert session.get(Call, "C1").citizen_number


def test_a_running_stage_a_calibration_and_a_fatal_case(db: Database, recorder: Recorder) -> None:
    assert claim(db, "C2", Stage.ATTRIBUTE, now_ms=1) is not None
    assert "正在坐席归属" in why(db, "C2")
    with db.write() as session:
        session.add(CalibrationSession(title="", created_by=1, created_at_ms=1, call_ids=["C1"]))
    assert "校准" in why(db)
    change(db, CalibrationSession, opened_at_ms=2)
    change(db, FatalFinding, second_confirmed_at_ms=NOW_MS - 10 * DAY_MS)
    assert "致命项" in why(db, fatal_case_days=11)
    assert why(db, fatal_case_days=10) == ""


def test_the_month_must_be_over_and_reported(db: Database, recorder: Recorder) -> None:
    assert "还没有过完" in why(db, now_ms=BASE_MS + DAY_MS)
    with db.write() as session:
        session.delete(session.exec(select(ReportRow)).one())
    assert "月报还没有生成" in why(db), "drawn and never reported"
    change(db, Call, excluded_as="test_call")
    assert why(db) == "", "a test call is in no draw"


def test_a_month_that_was_never_drawn_is_let_go_after_the_next(db: Database, tmp_path: Path) -> None:
    recorder = make_recorded(tmp_path / "recordings", "C9")
    take_in(db, recorder)
    assert "月报还没有生成" in why(db, "C9", now_ms=at("2026-12-31 23:00"))
    assert why(db, "C9", now_ms=at("2027-01-01 00:00")) == ""


def test_nothing_deletes_a_held_call(db: Database, recorder: Recorder, tmp_path: Path) -> None:
    places = places_of(recorder, tmp_path)
    place_hold(db, "C1", reason="诉讼取证，联系 13900001111", actor="leader", now_ms=5)
    with pytest.raises(StateError, match="已经保全"):
        place_hold(db, "C1", reason="again", actor="leader", now_ms=5)
    with pytest.raises(StateError, match="已保全"):
        delete_call(db, "C1", reason="x", actor="a", places=places, fatal_case_days=0, now_ms=NOW_MS)
    assert "C1" not in delete_expired(db, Terms(90, 0), places=places, actor="system", now_ms=NOW_MS)
    lift_hold(db, "C1", reason="结案", actor="leader", now_ms=6)
    with pytest.raises(StateError, match="没有保全"):
        lift_hold(db, "C1", reason="结案", actor="leader", now_ms=6)
    delete_call(db, "C1", reason="x", actor="a", places=places, fatal_case_days=0, now_ms=NOW_MS)
    with db.read() as session:
        said = session.exec(select(AuditEntry).where(AuditEntry.subject == "C1", AuditEntry.actor == "leader")).all()
        assert [(e.action, e.detail["reason"]) for e in said] == [
            ("call.hold", "诉讼取证，联系 ＊"),
            ("call.hold_lift", "结案"),
        ]
        assert audit.verify(session) == []
    with pytest.raises(CallqaError, match="没有通话"):
        place_hold(db, "NONE", reason="x", actor="a", now_ms=1)


def test_the_period_deletes_the_oldest_first_so_many_at_a_time(
    db: Database, recorder: Recorder, tmp_path: Path
) -> None:
    places = places_of(recorder, tmp_path)
    change(db, Evaluation, status="appealed")
    assert list(expired_calls(db, Terms(0, 0), now_ms=NOW_MS)) == [], "0 keeps everything"
    assert list(expired_calls(db, Terms(121, 0), now_ms=NOW_MS)) == []
    listed = {each.call_id: each.held for each in expired_calls(db, Terms(90, 0), now_ms=NOW_MS)}
    assert listed == {"C1": ("申诉还没有裁定",), "C2": (), "C3": ()}
    assert delete_expired(db, Terms(90, 0), places=places, actor="system", now_ms=NOW_MS, limit=1) == ("C2",)
    assert delete_expired(db, Terms(90, 0), places=places, actor="system", now_ms=NOW_MS) == ("C3",)
    assert delete_expired(db, Terms(90, 0), places=places, actor="system", now_ms=NOW_MS) == ()
    assert {p.name[:2] for p in recorder.recordings.rglob("C*")} == {"C1"}
    with db.read() as session:
        row = session.get(CallDeletion, "C2")
        assert (row.kind, row.reason, row.asked_by) == ("retention", "保存期限 90 天已满", "system")
        assert session.exec(select(CallProgress).where(CallProgress.call_id == "C2")).all() == []


def test_a_page_of_held_calls_does_not_hide_what_is_behind_it(db: Database, recorder: Recorder, monkeypatch) -> None:
    monkeypatch.setattr(retention, "_PAGE", 1)
    assert [each.call_id for each in expired_calls(db, Terms(90, 0), now_ms=NOW_MS)] == ["C1", "C2", "C3"]


def test_it_deletes_by_itself_at_night() -> None:
    assert not is_night(at("2027-01-01 00:59"))
    assert is_night(at("2027-01-01 01:00"))
    assert is_night(at("2027-01-01 04:59"))
    assert not is_night(at("2027-01-01 05:00"))


def test_a_deleted_recording_is_imported_again_only_on_purpose(
    db: Database, recorder: Recorder, tmp_path: Path
) -> None:
    file = tmp_path / "in" / "20261104-081430_13871206358.wav"
    file.parent.mkdir()
    file.write_bytes((recorder.recordings / "2026/11/03/C2.wav").read_bytes())
    where = {"recordings": recorder.recordings, "actor": "leader", "now_ms": NOW_MS}
    [call_id] = import_calls(db, [file], **where).new
    places = places_of(recorder, tmp_path / "var")
    with db.write() as session:
        session.add(ReportRow(month=NOVEMBER, version=2, report_no="", made_at_ms=NOW_MS, made_by="leader"))
    delete_call(db, call_id, reason="误导入", actor="leader", places=places, fatal_case_days=0, now_ms=NOW_MS)
    again = import_calls(db, [file], **where)
    assert (again.new, again.known, again.errors) == ([], [call_id], [])
    assert any("删除（误导入）" in note and "--again" in note for note in again.notes)
    assert not list(recorder.recordings.rglob(f"{call_id}*"))
    back = import_calls(db, [file], **where, again=True)
    assert back.new == [call_id]
    with db.read() as session:
        call = session.get(Call, call_id)
        assert (call.deleted_at_ms, call.recording_status, call.citizen_number) == (None, "ok", "13871206358")
        assert (recorder.recordings / call.recording_path).exists()
        assert len(session.exec(select(CallProgress).where(CallProgress.call_id == call_id)).all()) == 4
        assert session.exec(select(AuditEntry).where(AuditEntry.action == "call.revive")).one().actor == "leader"
    assert remove_restored(db, places=replace(places)) == ()


def test_the_worker_finishes_at_any_hour_and_deletes_at_night(db: Database, recorder: Recorder, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, retention=RetentionSettings(recordings_days=90, fatal_case_days=0))
    worker = Worker(settings, db, work=None, runner=None)  # type: ignore[arg-type]  # the loop's own housekeeping only
    noon, night = at("2027-03-01 12:00"), at("2027-03-02 03:00")
    with db.write() as session:
        begin(session, lock_call(session, "C2"), kind="request", reason="x", actor="leader", now_ms=noon)
    worker._delete(noon)
    with db.read() as session:
        assert session.get(CallDeletion, "C2").state == "deleted"
        assert session.get(CallDeletion, "C3") is None
    worker._delete(night)
    with db.read() as session:
        assert session.get(CallDeletion, "C3").kind == "retention"
    assert not list(recorder.recordings.rglob("C[23].*"))
