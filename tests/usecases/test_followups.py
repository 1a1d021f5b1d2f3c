"""Missed calls become entries of the work list as the journal brings them, and people work them off."""

import itertools
from pathlib import Path

import pytest
from sqlmodel import select

from callqa.errors import CallqaError, ConflictError, StateError
from callqa.journal import JournalKind
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Agent, AuditEntry, Call, FollowupEvent, JournalPosition, MissedCallFollowup
from callqa.tickets.followups import EventKind
from callqa.usecases.followups import allowed_acts, assign, write_down
from callqa.usecases.ingest import ingest, ingest_lost
from tests.store_fixture import make_database
from tests.usecases.recorded import BASE_MS, DAY_FOLDER, Recorder

NOW_MS = BASE_MS + 3_600_000
NUMBER = "13871206358"


def miss(recorder: Recorder, call_id: str, minute: int = 0, number: str = NUMBER, **facts) -> None:
    start_ms = BASE_MS + minute * 60_000
    about = {"direction": "inbound", "from_number": number, "to_number": "96510", "started_at_ms": start_ms} | facts
    recorder.journal(JournalKind.CALL_STARTED, call_id, at_ms=start_ms, **about)
    recorder.journal(JournalKind.CALL_ABANDONED, call_id, at_ms=start_ms + 20_000, reason="诉求人先挂断", **about)


def try_to_call(recorder: Recorder, call_id: str, minute: int) -> None:
    start_ms = BASE_MS + minute * 60_000
    about = {"direction": "outbound", "from_number": "8001", "to_number": f"+86{NUMBER}", "started_at_ms": start_ms}
    about["seat_extension"] = "8001"
    recorder.journal(JournalKind.CALL_STARTED, call_id, at_ms=start_ms, **about)
    recorder.journal(JournalKind.CALL_UNANSWERED, call_id, at_ms=start_ms + 30_000, reason="无人接听", **about)


def entries(db: Database) -> list[MissedCallFollowup]:
    with db.read() as session:
        return list(session.exec(select(MissedCallFollowup).order_by(MissedCallFollowup.missed_at_ms)))  # type: ignore[arg-type]


def take_in(db: Database, recorder: Recorder) -> None:
    assert not ingest(db, recordings=recorder.recordings, now_ms=NOW_MS).faults


def test_same_number_within_the_day_joins_and_an_answered_call_closes(db: Database, recorder: Recorder) -> None:
    miss(recorder, "M1")
    miss(recorder, "M2", minute=4)
    miss(recorder, "OTHER", minute=5, number="13900001111")
    take_in(db, recorder)
    mine, other = entries(db)
    assert (mine.number, mine.n_missed, mine.state, mine.first_call_id) == (NUMBER, 2, "wanted", "M1")
    assert (other.number, other.n_missed) == ("13900001111", 1)
    try_to_call(recorder, "T1", minute=10)
    take_in(db, recorder)
    assert [(e.state, e.n_attempts) for e in entries(db)] == [("wanted", 1), ("wanted", 0)]
    recorder.call("T2", direction="outbound", from_number="8001", to_number=NUMBER, started_at_ms=BASE_MS + 900_000)
    take_in(db, recorder)
    mine, other = entries(db)
    assert (mine.state, mine.n_attempts, mine.closing_call_id, mine.done_at_ms) == ("done", 2, "T2", BASE_MS + 900_000)
    assert other.state == "wanted"
    with db.read() as session:
        told = session.exec(select(FollowupEvent).where(FollowupEvent.followup_id == mine.id)).all()
    assert {(e.call_id, e.kind) for e in told} == {
        ("M1", "missed"), ("M2", "missed"), ("T1", "not_reached"), ("T2", "reached"),
    }  # fmt: skip


def test_the_citizens_answered_call_closes_it(db: Database, recorder: Recorder) -> None:
    miss(recorder, "M1")
    recorder.call("A1", started_at_ms=BASE_MS + 600_000)
    take_in(db, recorder)
    (entry,) = entries(db)
    assert (entry.state, entry.closed_as, entry.closing_call_id) == ("not_needed", "called_again", "A1")


def test_order_of_arrival_and_reading_again_change_nothing(tmp_path: Path) -> None:
    """Sidecars of a damaged journal are found late, a restored database reads everything again."""

    def told(order: tuple[str, ...]) -> list[dict]:
        folder = tmp_path / "-".join(order)
        folder.mkdir()
        db, recorder = make_database(folder), Recorder(folder / "recordings")
        acts = {
            "miss": lambda: miss(recorder, "M1"),
            "try": lambda: try_to_call(recorder, "T1", minute=10),
            "reach": lambda: recorder.call(
                "T2", direction="outbound", from_number="8001", to_number=NUMBER, started_at_ms=BASE_MS + 900_000
            ),
            "again": lambda: miss(recorder, "M2", minute=40),
        }
        for name in order:
            acts[name]()
            take_in(db, recorder)
        with db.write() as session:
            session.delete(session.get(JournalPosition, 1))
        take_in(db, recorder)
        found = [e.model_dump(exclude={"id", "version"}) for e in entries(db)]
        with db.read() as session:
            n_events = len(session.exec(select(FollowupEvent)).all())
        db.dispose()
        return [*found, {"events": n_events}]

    orders = list(itertools.permutations(("miss", "try", "reach", "again")))[::5]
    results = [told(order) for order in orders]
    assert results[0][0]["state"] == "wanted" and results[0][0]["n_missed"] == 2 and results[0][1] == {"events": 4}
    assert all(result == results[0] for result in results)


def test_withheld_numbers_are_listed_each_and_cannot_be_called_back(db: Database, recorder: Recorder) -> None:
    miss(recorder, "W1", number="", withheld=True)
    miss(recorder, "W2", minute=2, number="anonymous", withheld=True)
    take_in(db, recorder)
    assert [(e.key, e.number, e.state) for e in entries(db)] == [("W1", "", "no_number"), ("W2", "", "no_number")]


def test_a_call_that_was_answered_after_all_leaves_the_list(db: Database, recorder: Recorder) -> None:
    """The recorder was killed; at its restart the call counted as unanswered until its spool was finished."""
    recorder.journal(JournalKind.CALL_STARTED, "C1", from_number=NUMBER)
    recorder.journal(JournalKind.RECORDER_STARTED, at_ms=BASE_MS + 5000)
    take_in(db, recorder)
    assert [e.state for e in entries(db)] == ["wanted"]
    recorder.sidecar("C1")
    recorder.journal(JournalKind.CALL_COMPLETE, "C1", sidecar=f"{DAY_FOLDER}/C1.json")
    take_in(db, recorder)
    assert entries(db) == []
    with db.read() as session:
        assert session.exec(select(FollowupEvent)).all() == []


def test_a_lost_sidecar_closes_an_entry_too(db: Database, recorder: Recorder) -> None:
    miss(recorder, "M1")
    take_in(db, recorder)
    recorder.sidecar("A1", started_at_ms=BASE_MS + 600_000)
    ingest_lost(db, recordings=recorder.recordings, now_ms=NOW_MS)
    assert [e.state for e in entries(db)] == ["not_needed"]


def test_calls_that_are_no_calls_make_no_entry(db: Database, recorder: Recorder) -> None:
    recorder.journal(JournalKind.CALL_STARTED, "C1", from_number=NUMBER)
    take_in(db, recorder)
    assert entries(db) == [], "it still rings"
    with db.write() as session:
        session.get(Call, "C1").excluded_as = "test_call"
    recorder.journal(JournalKind.CALL_UNANSWERED, "C1", at_ms=BASE_MS + 45_000, reason="无人接听")
    take_in(db, recorder)
    assert entries(db) == []


def test_imported_calls_close_entries_and_open_none(db: Database, recorder: Recorder) -> None:
    miss(recorder, "OLD", mode="import")
    take_in(db, recorder)
    assert entries(db) == [], "whether it was called back then is not known here"
    miss(recorder, "M1", minute=5)
    recorder.call("A1", mode="import", started_at_ms=BASE_MS + 900_000)
    take_in(db, recorder)
    assert [(e.n_missed, e.state) for e in entries(db)] == [(1, "not_needed")]


def test_people_write_down_what_they_did(db: Database, recorder: Recorder) -> None:
    miss(recorder, "M1")
    take_in(db, recorder)
    (entry,) = entries(db)
    assert entry.id is not None

    def act(kind: EventKind, note: str, version: int, at_ms: int) -> MissedCallFollowup:
        return write_down(db, entry.id, kind, note=note, version=version, actor="li", now_ms=at_ms)

    with pytest.raises(CallqaError, match="请写明情况"):
        act(EventKind.TRIED, "  ", entry.version, NOW_MS)
    tried = act(EventKind.TRIED, "手机打了两次\n无人接听", entry.version, NOW_MS)
    assert (tried.state, tried.n_attempts) == ("wanted", 1)
    with pytest.raises(ConflictError, match="刚被别人处理过"):
        act(EventKind.GIVEN_UP, "空号", entry.version, NOW_MS)
    given_up = act(EventKind.GIVEN_UP, "空号", tried.version, NOW_MS + 1)
    assert (given_up.state, given_up.done_by, given_up.note) == ("given_up", "li", "空号")
    with pytest.raises(StateError):
        act(EventKind.TRIED, "再打", given_up.version, NOW_MS + 2)
    reopened = act(EventKind.REOPENED, "号码抄错了", given_up.version, NOW_MS + 3)
    assert (reopened.state, reopened.done_by, reopened.done_at_ms) == ("wanted", "", None)
    done = act(EventKind.REACHED, "", reopened.version, NOW_MS + 4)
    assert (done.state, done.done_by, done.n_attempts) == ("done", "li", 2)
    with db.read() as session:
        assert audit.verify(session) == []
        acts = session.exec(select(AuditEntry).where(AuditEntry.subject == "M1")).all()
    assert [a.action for a in acts] == [
        "followup.tried", "followup.given_up", "followup.reopened", "followup.reached",
    ]  # fmt: skip
    assert NUMBER not in str([a.detail for a in acts]), "the audit chain is kept for good: no numbers in it"


def test_what_was_written_down_stays_when_the_calls_are_read_again(db: Database, recorder: Recorder) -> None:
    miss(recorder, "M1")
    take_in(db, recorder)
    (entry,) = entries(db)
    write_down(db, entry.id, EventKind.GIVEN_UP, note="空号", version=entry.version, actor="li", now_ms=NOW_MS)
    with db.write() as session:
        session.delete(session.get(JournalPosition, 1))
    take_in(db, recorder)
    (again,) = entries(db)
    assert (again.id, again.state, again.note) == (entry.id, "given_up", "空号")


def test_assigning(db: Database, recorder: Recorder) -> None:
    with db.write() as session:
        session.add(Agent(agent_no="801", name="王小雨"))
        session.add(Agent(agent_no="802", name="陈一鸣", active=False))
    miss(recorder, "M1")
    take_in(db, recorder)
    (entry,) = entries(db)
    for agent_no in ("802", "999"):
        with pytest.raises(CallqaError, match="没有工号"):
            assign(db, entry.id, agent_no, version=entry.version, actor="li", now_ms=NOW_MS)
    given = assign(db, entry.id, "801", version=entry.version, actor="li", now_ms=NOW_MS)
    assert given.assigned_to == "801"
    miss(recorder, "M2", minute=7)
    take_in(db, recorder)
    assert entries(db)[0].assigned_to == "801", "who was asked to call stays when the citizen calls once more"
    assert assign(db, entry.id, None, version=entries(db)[0].version, actor="li", now_ms=NOW_MS).assigned_to is None


def test_allowed_acts_follow_the_table() -> None:
    assert allowed_acts("wanted") == (EventKind.REACHED, EventKind.TRIED, EventKind.GIVEN_UP, EventKind.NOT_NEEDED)
    assert allowed_acts("done") == (EventKind.REOPENED,)
    assert allowed_acts("no_number") == (EventKind.TRIED, EventKind.NOT_NEEDED)
