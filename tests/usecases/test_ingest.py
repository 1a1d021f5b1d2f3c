"""Journal and sidecars become rows once, in any order, and nothing bad stops the rest."""

from sqlmodel import select

from callqa.journal import JournalKind
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Agent, AuditEntry, Call, CallProgress, JournalPosition, Seat, SeatLogin
from callqa.units import CallType, Direction
from callqa.usecases.ingest import RECORDING_OVERDUE_MS, JournalTail, give_up_overdue, ingest, ingest_lost
from callqa.usecases.ingest_rows import call_type_of
from tests.usecases.recorded import BASE_MS, DAY_FOLDER, Recorder

NOW_MS = BASE_MS + 60_000


def _call(db: Database, call_id: str) -> Call:
    with db.read() as session:
        call = session.get(Call, call_id)
    assert call is not None
    return call


def _faults(db: Database) -> list[tuple[str, str]]:
    with db.read() as session:
        assert audit.verify(session) == []
        rows = session.exec(select(AuditEntry).where(AuditEntry.action == "ingest.fault")).all()
    return [(row.subject, row.detail["message"]) for row in rows]


def test_answered_call_is_complete_with_its_stages_wanted(db: Database, recorder: Recorder) -> None:
    made = recorder.call("20261103T000000-A-1")
    result = ingest(db, recordings=recorder.recordings, now_ms=NOW_MS, demo=True)
    assert result.completed == ("20261103T000000-A-1",)
    call = _call(db, "20261103T000000-A-1")
    assert (call.outcome, call.recording_status, call.demo) == ("answered", "ok", True)
    assert call.citizen_number == "13871206358"
    assert call.recording_sha256 == made.recording.sha256
    assert (call.ring_ms, call.duration_ms, call.hangup_party) == (3000, 4000, "citizen")
    with db.read() as session:
        rows = session.exec(select(CallProgress)).all()
    assert {(row.stage, row.state) for row in rows} == {
        (stage, "wanted") for stage in ("attribute", "link", "transcribe", "check")
    }


def test_reading_the_journal_again_changes_nothing(db: Database, recorder: Recorder) -> None:
    recorder.call("C1")
    recorder.call("C2", started_at_ms=BASE_MS + 10_000)
    ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    before = _call(db, "C1").model_dump()
    again = ingest(db, recordings=recorder.recordings, now_ms=NOW_MS + 1)  # no tail: reads all files
    assert again.entries == 0
    assert _call(db, "C1").model_dump() == before


def test_a_replayed_journal_never_takes_a_complete_call_back(db: Database, recorder: Recorder) -> None:
    """The position is lost (restored backup): every line is applied a second time."""
    recorder.call("C1")
    ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    with db.write() as session:
        session.delete(session.get(JournalPosition, 1))
        for row in session.exec(select(CallProgress)):
            row.state = "done"
    ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    assert _call(db, "C1").recording_status == "ok"
    with db.read() as session:
        assert {row.state for row in session.exec(select(CallProgress))} == {"done"}


def test_a_journal_that_starts_again_at_one_is_read(db: Database, recorder: Recorder) -> None:
    for i in range(5):
        recorder.journal(JournalKind.CALL_STARTED, f"OLD{i}")
    ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    (recorder.recordings / "journal" / "2026-11-03.jsonl").unlink()
    recorder.number = 0
    recorder.journal(JournalKind.CALL_ABANDONED, "NEW", reason="诉求人先挂断")
    ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    assert _call(db, "NEW").outcome == "abandoned"


def test_tail_reads_only_what_grew(db: Database, recorder: Recorder) -> None:
    tail = JournalTail()
    recorder.journal(JournalKind.CALL_STARTED, "C1")
    assert ingest(db, recordings=recorder.recordings, now_ms=NOW_MS, tail=tail).entries == 1
    assert ingest(db, recordings=recorder.recordings, now_ms=NOW_MS, tail=tail).entries == 0
    recorder.journal(JournalKind.CALL_ANSWERED, "C1", at_ms=BASE_MS + 2000)
    assert ingest(db, recordings=recorder.recordings, now_ms=NOW_MS, tail=tail).entries == 1
    call = _call(db, "C1")
    assert (call.outcome, call.recording_status, call.ring_ms) == ("answered", "pending", 2000)


def test_unanswered_and_abandoned_calls_are_kept(db: Database, recorder: Recorder) -> None:
    recorder.journal(JournalKind.CALL_STARTED, "U", direction="inbound", from_number="13871206358")
    recorder.journal(JournalKind.CALL_UNANSWERED, "U", at_ms=BASE_MS + 45_000, reason="无人接听")
    recorder.journal(JournalKind.CALL_ABANDONED, "A", at_ms=BASE_MS + 9_000, reason="诉求人先挂断", ring_ms=8_000)
    ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    unanswered, abandoned = _call(db, "U"), _call(db, "A")
    assert (unanswered.outcome, unanswered.outcome_reason, unanswered.ring_ms) == ("unanswered", "无人接听", 45_000)
    assert (abandoned.outcome, abandoned.ring_ms, abandoned.recording_status) == ("abandoned", 8_000, "none")
    with db.read() as session:
        assert session.exec(select(CallProgress)).all() == []


def test_recorder_restart_closes_calls_that_still_rang(db: Database, recorder: Recorder) -> None:
    recorder.journal(JournalKind.CALL_STARTED, "C1")
    recorder.journal(JournalKind.RECORDER_STARTED, at_ms=BASE_MS + 5000)
    ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    assert (_call(db, "C1").outcome, _call(db, "C1").outcome_reason) == ("unanswered", "录音服务重新启动")


def test_outbound_call_has_the_citizen_at_its_far_end(db: Database, recorder: Recorder) -> None:
    recorder.call("C1", direction="outbound", from_number="8003", to_number="+86 138-7120-6358")
    ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    call = _call(db, "C1")
    assert (call.citizen_number, call.call_type) == ("13871206358", "callback")


def test_the_direction_tells_the_type_until_a_ticket_does() -> None:
    assert [call_type_of(d) for d in (Direction.INBOUND, Direction.OUTBOUND)] == [CallType.INBOUND, CallType.CALLBACK]


def test_master_that_differs_from_its_hash_is_corrupt(db: Database, recorder: Recorder) -> None:
    recorder.call("C1")
    path = recorder.recordings / DAY_FOLDER / "C1.wav"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    call = _call(db, "C1")
    assert call.recording_status == "corrupt"
    assert "校验和不符" in call.faults[-1]


def test_missing_master_and_call_without_media(db: Database, recorder: Recorder) -> None:
    recorder.call("C1")
    (recorder.recordings / DAY_FOLDER / "C1.wav").unlink()
    recorder.call("C2", recorded=False)
    ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    assert _call(db, "C1").recording_status == "missing"
    assert _call(db, "C2").recording_status == "missing"
    assert "没有收到任何媒体" in _call(db, "C2").faults[-1]
    assert len(_call(db, "C2").faults) == 1


def test_bad_sidecar_is_a_fault_and_the_others_go_on(db: Database, recorder: Recorder) -> None:
    recorder.call("C1")
    (recorder.recordings / DAY_FOLDER / "C1.json").write_text("{", encoding="utf-8")
    recorder.call("C2")
    result = ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    assert result.completed == ("C2",)
    assert [subject for subject, _ in _faults(db)] == ["C1"]
    assert _call(db, "C1").recording_status == "pending"


def test_sidecar_path_outside_the_recordings_is_refused(db: Database, recorder: Recorder) -> None:
    recorder.journal(JournalKind.CALL_COMPLETE, "C1", sidecar="../../etc/passwd")
    result = ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    assert "没有可用的话单路径" in result.faults[0]


def test_master_path_outside_the_recordings_is_corrupt(db: Database, recorder: Recorder) -> None:
    made = recorder.call("C1")
    assert made.recording is not None
    recorder.sidecar("C2", recording=made.recording.model_copy(update={"path": "../../x.wav"}))
    ingest_lost(db, recordings=recorder.recordings, now_ms=NOW_MS)
    assert _call(db, "C2").recording_status == "corrupt"


def test_facts_of_the_wrong_kind_are_a_fault(db: Database, recorder: Recorder) -> None:
    recorder.journal(JournalKind.CALL_STARTED, "C1", direction="sideways")
    recorder.journal(JournalKind.CALL_STARTED, None)
    recorder.journal(JournalKind.CALL_STARTED, "C2")
    result = ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    assert len(result.faults) == 2
    assert _call(db, "C2").outcome == "in_progress"


def test_damaged_lines_are_counted_and_a_torn_last_line_is_not(db: Database, recorder: Recorder) -> None:
    recorder.journal(JournalKind.CALL_STARTED, "C1")
    path = recorder.recordings / "journal" / "2026-11-03.jsonl"
    with open(path, "ab") as f:
        f.write(b"garbage\n")
    recorder.journal(JournalKind.CALL_STARTED, "C2")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"number":9,"at')
    tail = JournalTail()
    for _ in range(2):
        ingest(db, recordings=recorder.recordings, now_ms=NOW_MS, tail=tail)
    with db.read() as session:
        position = session.get(JournalPosition, 1)
    assert position is not None
    assert (position.number, position.damaged_lines) == (2, 1)


def test_sidecar_without_journal_is_found(db: Database, recorder: Recorder) -> None:
    recorder.sidecar("C1")
    recorder.call("C2")
    ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    found = ingest_lost(db, recordings=recorder.recordings, now_ms=NOW_MS)
    assert found.completed == ("C1",)
    assert ingest_lost(db, recordings=recorder.recordings, now_ms=NOW_MS).completed == ()
    assert _call(db, "C1").recording_status == "ok"


def test_lost_sidecars_are_looked_for_from_a_day_on(db: Database, recorder: Recorder) -> None:
    recorder.sidecar("C1")
    assert ingest_lost(db, recordings=recorder.recordings, now_ms=NOW_MS, since_day="2026/11/04").completed == ()
    assert ingest_lost(db, recordings=recorder.recordings, now_ms=NOW_MS, since_day="2026/11/03").completed == ("C1",)


def test_bad_lost_sidecar_is_noted_once(db: Database, recorder: Recorder) -> None:
    path = recorder.recordings / DAY_FOLDER / "C1.json"
    path.parent.mkdir(parents=True)
    path.write_text("[]", encoding="utf-8")
    for _ in range(3):
        ingest_lost(db, recordings=recorder.recordings, now_ms=NOW_MS)
    assert [subject for subject, _ in _faults(db)] == [f"{DAY_FOLDER}/C1.json"]


def test_overdue_recording_is_missing_until_it_comes(db: Database, recorder: Recorder) -> None:
    recorder.journal(JournalKind.CALL_STARTED, "C1")
    recorder.journal(JournalKind.CALL_ANSWERED, "C1", at_ms=BASE_MS + 1000)
    recorder.journal(JournalKind.CALL_ENDED, "C1", at_ms=BASE_MS + 9000, hangup_party="agent")
    ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    assert give_up_overdue(db, now_ms=BASE_MS + 60_000) == ()
    assert give_up_overdue(db, now_ms=BASE_MS + 10_000 + RECORDING_OVERDUE_MS) == ("C1",)
    assert _call(db, "C1").recording_status == "missing"
    recorder.sidecar("C1")
    recorder.journal(JournalKind.CALL_COMPLETE, "C1", sidecar=f"{DAY_FOLDER}/C1.json")
    ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    assert _call(db, "C1").recording_status == "ok"


def test_nobody_signs_in_at_a_phone_with_the_number_of_somebody_who_left(db: Database, recorder: Recorder) -> None:
    """Calls would be somebody's who is not there, and nothing would ever end that sign-in."""
    with db.write() as session:
        session.add(Agent(agent_no="801", name="王某", active=False, left_on="2026-11-01"))
        session.add(Seat(extension="8001", ha1_md5="0" * 32, ha1_sha256="0" * 64))
    recorder.journal(JournalKind.SEAT_LOGIN, at_ms=BASE_MS, seat_extension="8001", agent_no="801")
    result = ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    with db.read() as session:
        assert session.exec(select(SeatLogin)).all() == []
    assert len(result.faults) == 1 and "离职" in result.faults[0] and "没有采纳" in result.faults[0]


def test_sign_in_at_a_phone(db: Database, recorder: Recorder) -> None:
    with db.write() as session:
        session.add(Agent(agent_no="801", name="王某"))
        session.add(Agent(agent_no="802", name="李某"))
        for extension in ("8001", "8002"):
            session.add(Seat(extension=extension, ha1_md5="0" * 32, ha1_sha256="0" * 64))
    login, logout = JournalKind.SEAT_LOGIN, JournalKind.SEAT_LOGOUT
    recorder.journal(login, at_ms=BASE_MS, seat_extension="8001", agent_no="801")
    recorder.journal(login, at_ms=BASE_MS + 10, seat_extension="8001", agent_no="802")  # takes the seat over
    recorder.journal(login, at_ms=BASE_MS + 20, seat_extension="8002", agent_no="802")  # moves
    recorder.journal(logout, at_ms=BASE_MS + 30, seat_extension="8002")
    recorder.journal(login, at_ms=BASE_MS + 40, seat_extension="8001", agent_no="999")
    recorder.journal(login, at_ms=BASE_MS + 50, seat_extension="8009", agent_no="801")
    result = ingest(db, recordings=recorder.recordings, now_ms=NOW_MS)
    with db.read() as session:
        rows = session.exec(select(SeatLogin).order_by(SeatLogin.started_at_ms)).all()  # type: ignore[arg-type]
    assert [
        (r.seat_extension, r.agent_no, r.started_at_ms - BASE_MS, (r.ended_at_ms or 0) - BASE_MS) for r in rows
    ] == [
        ("8001", "801", 0, 10),
        ("8001", "802", 10, 20),
        ("8002", "802", 20, 30),
    ]
    assert len(result.faults) == 2
    assert result.seats_changed
    assert not ingest(db, recordings=recorder.recordings, now_ms=NOW_MS).seats_changed
    assert "没有这个工号" in result.faults[0]
