"""Queue, transfers, marks, pauses, digits, parties and listening in become rows, once, in any order."""

import itertools
from pathlib import Path

from sqlmodel import select

from callqa.journal import JournalKind
from callqa.sidecar import DigitNote, MarkNote, Party, PauseNote, TransferNote
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import AuditEntry, Call, JournalPosition, Seat
from callqa.usecases.ingest import ingest
from tests.store_fixture import make_database
from tests.usecases.recorded import BASE_MS, Recorder

NOW_MS = BASE_MS + 60_000


def take_in(db: Database, recorder: Recorder) -> tuple[str, ...]:
    return ingest(db, recordings=recorder.recordings, now_ms=NOW_MS).faults


def row(db: Database, call_id: str = "C1") -> Call:
    with db.read() as session:
        call = session.get(Call, call_id)
    assert call is not None
    return call


NOTES = {
    "digits": (DigitNote(channel=0, start_ms=100, duration_ms=80, digit="1"),),
    "withheld": True,
    "diverted_from": "02784770000",
    "marks": (MarkNote(at_ms=BASE_MS + 4000, code="7"),),
    "transfers": (TransferNote(at_ms=BASE_MS + 5000, kind="blind", to="8002", seat_extension="8002", by="8001"),),
    "parties": (Party(name="王先生", address="sip:1@x", channel=0, left_at_ms=BASE_MS + 9000),),
    "joined_by": "ucid-1",
    "mode": "siprec",
}


def test_a_sidecar_fills_every_field(db: Database, recorder: Recorder) -> None:
    recorder.call("C1", **NOTES)
    assert take_in(db, recorder) == ()
    call = row(db)
    assert (call.mode, call.withheld, call.diverted_from, call.joined_by) == ("siprec", True, "02784770000", "ucid-1")
    assert call.digits == [{"channel": 0, "start_ms": 100, "duration_ms": 80, "digit": "1"}]
    assert call.marks == [{"at_ms": BASE_MS + 4000, "code": "7"}]
    told = {"at_ms": BASE_MS + 5000, "kind": "blind", "to": "8002", "seat_extension": "8002", "by": "8001"}
    assert call.transfers == [told]
    assert call.parties == [{"name": "王先生", "address": "sip:1@x", "channel": 0, "left_at_ms": BASE_MS + 9000}]
    assert call.disposition is None


def test_a_mark_after_the_call_is_over_counts_and_sets_the_disposition(db: Database, recorder: Recorder) -> None:
    recorder.call("C1", marks=(MarkNote(at_ms=BASE_MS + 4000, code="1"),))
    recorder.journal(JournalKind.CALL_MARKED, "C1", at_ms=BASE_MS + 4000, code="1", seat_extension="8001")
    recorder.journal(JournalKind.CALL_MARKED, "C1", at_ms=BASE_MS + 30_000, code="2", seat_extension="8009")
    assert take_in(db, recorder) == ()
    call = row(db)
    assert [m["code"] for m in call.marks] == ["1", "2"], "the journal's first mark is the sidecar's"
    assert call.disposition == "no_ticket_needed"
    assert call.seat_extension != "8009", "who marks a call is not who answered it"


def test_waiting_in_the_queue(db: Database, recorder: Recorder) -> None:
    recorder.journal(JournalKind.CALL_STARTED, "Q1", at_ms=BASE_MS, from_number="13871206358")
    for at_ms, position in ((2000, 3), (9000, 2), (15_000, 1)):
        recorder.journal(JournalKind.CALL_QUEUED, "Q1", at_ms=BASE_MS + at_ms, position=position)
    take_in(db, recorder)
    assert (row(db, "Q1").queued_at_ms, row(db, "Q1").queued_ms) == (BASE_MS + 2000, None)
    recorder.journal(JournalKind.CALL_ABANDONED, "Q1", at_ms=BASE_MS + 40_000, reason="诉求人先挂断")
    take_in(db, recorder)
    assert row(db, "Q1").queued_ms == 38_000


def test_pauses_name_who_and_why(db: Database, recorder: Recorder) -> None:
    recorder.journal(JournalKind.RECORDING_PAUSED, "C1", at_ms=BASE_MS + 1000, by="8001", reason="银行卡号")
    recorder.journal(JournalKind.RECORDING_RESUMED, "C1", at_ms=BASE_MS + 2000)
    recorder.call("C1")
    take_in(db, recorder)
    assert row(db).pauses == [
        {"at_ms": BASE_MS + 1000, "kind": "paused", "by": "8001", "reason": "银行卡号"},
        {"at_ms": BASE_MS + 2000, "kind": "resumed", "by": "", "reason": ""},
    ]


def test_raw_media_given_up_on_a_full_disk_is_in_the_audit_chain_once(db: Database, recorder: Recorder) -> None:
    recorder.journal(JournalKind.SPOOLS_FREED, at_ms=BASE_MS + 3000, call_ids=["C1", "C2"], bytes=4711)
    for _ in range(2):
        assert take_in(db, recorder) == ()
        with db.write() as session:
            session.delete(session.get(JournalPosition, 1))
    with db.read() as session:
        (found,) = session.exec(select(AuditEntry).where(AuditEntry.action == "spool.free")).all()
    assert (found.subject, found.detail["call_ids"], found.detail["bytes"]) == ("2 calls", ["C1", "C2"], 4711)


def test_listening_in_is_in_the_audit_chain_once(db: Database, recorder: Recorder) -> None:
    recorder.call("C1")
    recorder.journal(JournalKind.LISTENED, "C1", at_ms=BASE_MS + 3000, actor="li", seconds=12.34)
    for _ in range(2):
        take_in(db, recorder)
        with db.write() as session:
            session.delete(session.get(JournalPosition, 1))
    with db.read() as session:
        found = session.exec(select(AuditEntry).where(AuditEntry.action == "call.listen_in")).all()
        assert audit.verify(session) == []
    assert [(e.actor, e.subject, e.detail) for e in found] == [("li", "C1", {"seconds": 12.3, "at_ms": BASE_MS + 3000})]


def test_facts_that_do_not_fit_are_a_fault_and_the_rest_goes_on(db: Database, recorder: Recorder) -> None:
    recorder.journal(JournalKind.CALL_TRANSFERRED, "C1", kind="sideways", to="8002")
    recorder.journal(JournalKind.LISTENED, "C1", seconds=3)
    recorder.journal(JournalKind.LISTENED, None, actor="li")
    recorder.call("C1")
    assert len(take_in(db, recorder)) == 3
    assert row(db).transfers == []


TOLD = {"kind": "blind", "to": "8002", "seat_extension": "8002", "by": "8001"}


def test_any_order_gives_the_same_row(tmp_path: Path) -> None:
    steps = {
        "queued": lambda r: r.journal(JournalKind.CALL_QUEUED, "C1", at_ms=BASE_MS + 500, position=1),
        "sidecar": lambda r: r.call("C1", **NOTES),
        "mark": lambda r: r.journal(JournalKind.CALL_MARKED, "C1", at_ms=BASE_MS + 9000, code="2"),
        "transfer": lambda r: r.journal(JournalKind.CALL_TRANSFERRED, "C1", at_ms=BASE_MS + 5000, **TOLD),
    }
    seen = []
    for n, order in enumerate(itertools.permutations(steps)):
        if n % 3:
            continue
        folder = tmp_path / str(n)
        folder.mkdir()
        db, recorder = make_database(folder), Recorder(folder / "recordings")
        for name in order:
            steps[name](recorder)
            assert take_in(db, recorder) == ()
        found = row(db).model_dump(exclude={"version"})
        db.dispose()
        seen.append(found)
    assert seen[0]["queued_ms"] == 2500 and len(seen[0]["marks"]) == 2
    assert all(each == seen[0] for each in seen)


def test_a_consult_call_is_named_and_left_out_of_what_counts(db: Database, recorder: Recorder) -> None:
    with db.write() as session:
        for extension in ("8001", "8002"):
            if session.get(Seat, extension) is None:
                session.add(Seat(extension=extension, ha1_md5="0" * 32, ha1_sha256="0" * 64))
    inside = {"direction": "outbound", "from_number": "8001", "to_number": "8002", "seat_extension": "8001"}
    recorder.journal(JournalKind.CALL_STARTED, "C3", at_ms=BASE_MS, **inside)
    recorder.call("C1", related=("C2",))
    recorder.call("C2", related=("C1",), **inside)
    recorder.call("C4", **{**inside, "to_number": "8009"})
    assert take_in(db, recorder) == ()
    assert (row(db).related, row(db).excluded_as) == (["C2"], None)
    assert (row(db, "C2").related, row(db, "C2").excluded_as) == (["C1"], "internal_call")
    assert row(db, "C3").excluded_as == "internal_call", "also when nobody answers"
    assert row(db, "C4").excluded_as is None, "8009 is no seat"


def test_what_the_recorder_measured_before_the_answer_counts_in_any_order(tmp_path: Path) -> None:
    def call(r: Recorder) -> None:
        r.call("C1", notice_ms=1000, queued_ms=1500, overflow_to="13900001111")

    def queued(r: Recorder) -> None:
        r.journal(JournalKind.CALL_QUEUED, "C1", at_ms=BASE_MS + 1200, position=1)

    for n, order in enumerate(((call, queued), (queued, call))):
        folder = tmp_path / str(n)
        folder.mkdir()
        db, recorder = make_database(folder), Recorder(folder / "recordings")
        for step in order:
            step(recorder)
            take_in(db, recorder)
        found = row(db)
        db.dispose()
        assert found.excluded_as == "overflow", "no agent of ours took it"
        assert (found.notice_ms, found.queued_ms, found.overflow_to, found.ring_ms) == (1000, 1500, "13900001111", 2000)


def test_a_caller_who_gave_up_in_the_queue_waited_as_the_journal_says(db: Database, recorder: Recorder) -> None:
    recorder.journal(JournalKind.CALL_STARTED, "Q1", from_number="13871206358")
    recorder.journal(JournalKind.CALL_ABANDONED, "Q1", at_ms=BASE_MS + 40_000, notice_ms=5000, queued_ms=31_000)
    take_in(db, recorder)
    assert (row(db, "Q1").queued_ms, row(db, "Q1").notice_ms) == (31_000, 5000)


def test_pauses_of_journal_and_sidecar_are_one(db: Database, recorder: Recorder) -> None:
    pause = PauseNote(at_ms=BASE_MS + 4000, until_ms=BASE_MS + 5000, by="8001", reason="银行卡号")
    recorder.journal(JournalKind.RECORDING_RESUMED, "C1", at_ms=BASE_MS + 5000, by="8001")
    recorder.call("C1", pauses=(pause,))
    recorder.journal(JournalKind.RECORDING_PAUSED, "C1", at_ms=BASE_MS + 4000, by="8001", reason="银行卡号")
    take_in(db, recorder)
    assert [(p["at_ms"] - BASE_MS, p["kind"], p["by"], p["reason"]) for p in row(db).pauses] == [
        (4000, "paused", "8001", "银行卡号"), (5000, "resumed", "8001", ""),
    ]  # fmt: skip
