"""A recording session from its spool to the rows: who was it, on which side, one call of two sessions, one voice for both."""

from pathlib import Path

from sqlmodel import select

from callqa.journal import JournalKind
from callqa.sidecar import Sidecar, load_sidecar
from callqa.sip.media.spool import FactsMark, PartyMark, SideMark, SpoolRecord, StartedMark, sidecar_path
from callqa.sip.process.finalize import finalise
from callqa.store.db import Database
from callqa.store.tables import Call, TranscriptRow
from callqa.usecases import people
from callqa.usecases.ingest import ingest
from callqa.usecases.progress import STAGES
from callqa.usecases.work import EngineSlot, Work
from tests.media.builders import MS, WALL_MS, ZERO_NS, Sender, call, spool_bytes
from tests.usecases.recorded import FakeEngine, Recorder

CALL_ID = "20261122T000000000Z-T-1"


def recorded(folder: Path, packets, marks: list[SpoolRecord]) -> Sidecar:
    """What the recorder makes of a spool of a recording session, with its journal."""
    recorder = Recorder(folder / "recordings")
    records = call(packets, 400, marks)
    started = records[0]
    assert isinstance(started, StartedMark)
    records[0] = started.model_copy(update={"mode": "siprec", "seat_extension": None, "from_number": ""})
    records[3] = records[3].model_copy(update={"seat_extension": None})
    records[-1] = records[-1].model_copy(update={"hangup_party": None})
    spool = folder / "C.spool"
    spool.write_bytes(spool_bytes(records))
    story = finalise(recorder.recordings, spool, recovered=False)
    relative = sidecar_path(story.started)
    facts = {"mode": "siprec", "direction": "inbound", "started_at_ms": WALL_MS}
    recorder.journal(JournalKind.CALL_STARTED, CALL_ID, at_ms=WALL_MS, **facts)
    recorder.journal(JournalKind.CALL_ANSWERED, CALL_ID, at_ms=WALL_MS + 10, answered_at_ms=WALL_MS + 10, **facts)
    recorder.journal(JournalKind.CALL_COMPLETE, CALL_ID, at_ms=WALL_MS + 900, sidecar=relative.as_posix())
    return load_sidecar(recorder.recordings / relative)


def row(db: Database) -> Call:
    with db.read() as session:
        found = session.get(Call, CALL_ID)
    assert found is not None
    return found


def test_a_session_is_the_call_of_the_seat_its_metadata_names(tmp_path: Path, db: Database):
    learnt = [
        SideMark(at_ns=ZERO_NS + MS, channel=0, side=1),
        SideMark(at_ns=ZERO_NS + MS, channel=1, side=0),
        FactsMark(
            at_ns=ZERO_NS + MS, direction="outbound", from_number="02784770000", to_number="13871206358",
            seat_extension="8001", sip_call_ids=("a", "b"), joined_by="UCID:0018002001234567",
        ),
        PartyMark(at_ns=ZERO_NS + MS, name="张三", address="sip:8001@pbx", side=1),
    ]  # fmt: skip
    sidecar = recorded(tmp_path, Sender(0, 20).records() + Sender(1, 20, seed=2, ssrc=5).records(), learnt)
    assert (sidecar.mode, sidecar.hangup_party, sidecar.joined_by) == ("siprec", None, "UCID:0018002001234567")
    people.add_agent(db, agent_no="801", name="张三", actor="班长", now_ms=WALL_MS - 90_000)
    people.add_seat(db, extension="8001", password="secret-8001", actor="班长", now_ms=WALL_MS - 90_000)
    people.sign_in(db, seat_extension="8001", agent_no="801", actor="班长", now_ms=WALL_MS - 60_000)
    assert ingest(db, recordings=tmp_path / "recordings", now_ms=WALL_MS + 1000).faults == ()
    found = row(db)
    assert (found.mode, found.direction, found.call_type) == ("siprec", "outbound", "callback")
    assert (found.citizen_number, found.seat_extension, found.ring_ms) == ("13871206358", "8001", None)
    assert (found.recording_status, found.hangup_party, found.joined_by) == ("ok", None, "UCID:0018002001234567")
    work = Work(db, tmp_path / "recordings", EngineSlot(FakeEngine), clock=lambda: WALL_MS + 2000)
    assert work.run_stage(CALL_ID, STAGES[0]) == "done"
    assert row(db).agent_no == "801"


def test_one_stream_with_both_voices_is_transcribed_as_not_separated(tmp_path: Path, db: Database):
    sidecar = recorded(tmp_path, Sender(0, 20).records(), [SideMark(at_ns=ZERO_NS + MS, channel=0, side=None)])
    assert sidecar.recording is not None
    assert sidecar.recording.channels == 1
    assert ingest(db, recordings=tmp_path / "recordings", now_ms=WALL_MS + 1000).faults == ()
    assert row(db).recording_status == "ok"
    work = Work(db, tmp_path / "recordings", EngineSlot(FakeEngine), clock=lambda: WALL_MS + 2000)
    for stage in STAGES[:3]:
        work.run_stage(CALL_ID, stage)
    with db.read() as session:
        (transcript,) = session.exec(select(TranscriptRow)).all()
    assert transcript.separated is False
