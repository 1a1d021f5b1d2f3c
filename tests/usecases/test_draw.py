"""Commit, reveal, reserves: the discipline of docs/domain/sampling.md §3.2."""

from pathlib import Path

import pytest
from sqlmodel import select

from callqa.errors import StateError
from callqa.periods import Month
from callqa.scoring.sampling import commitment, verify
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries.sampling import committed_by_one, entries_of, load_sampling_page
from callqa.store.tables import AuditEntry, Call, SampleEntry, SamplingFrame
from callqa.usecases.draw import ReserveReason, commit, reveal, use_reserve
from callqa.usecases.freeze import freeze
from callqa.usecases.void_frame import agree_void, ask_void
from tests.reports.builders import PLAN_TEXT, MonthMaker, add_people, evaluate_call
from tests.store_fixture import make_database

MONTH = Month(2026, 10)
NOW = MONTH.end_ms + 9 * 3_600_000
NONCES = ("3f9c0a1e5d7b2468", "08123456789012345678")


@pytest.fixture
def db(tmp_path: Path) -> Database:
    database = make_database(tmp_path)
    agents = add_people(database, 2)
    MonthMaker(database, MONTH, agents, calls_per_agent=40).fill()
    return database


def frozen(db: Database) -> int:
    frame = freeze(db, MONTH, PLAN_TEXT, actor="banzhang", now_ms=NOW)
    assert frame.id is not None
    return frame.id


def committed(db: Database, second: str = "jiandu") -> int:
    frame_id = frozen(db)
    for side, nonce, actor in zip("ab", NONCES, ("banzhang", second), strict=True):
        commit(db, frame_id, side=side, value=commitment(nonce), actor=actor, now_ms=NOW)
    return frame_id


def revealed(db: Database) -> int:
    frame_id = committed(db)
    reveal(db, frame_id, nonce_a=NONCES[0], nonce_b=NONCES[1], actor="banzhang", now_ms=NOW)
    return frame_id


def test_reveal_stores_what_anyone_can_compute_from_the_files(db: Database) -> None:
    frame_id = revealed(db)
    with db.read() as session:
        frame = session.get(SamplingFrame, frame_id)
        rows = entries_of(session, frame_id)
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "sampling.reveal")).one()
        assert audit.verify(session) == []
    assert frame.state == "revealed" and not committed_by_one(frame)
    again = verify(frame.frame_text, frame.plan_json, frame.nonce_a, frame.nonce_b)
    assert frame.seed == again.seed
    assert [(e.call_id, e.kind, e.position, e.rank) for e in rows] == [
        (e.call_id, e.kind.value, e.position, e.rank) for e in again.entries
    ]
    assert sum(e.kind == "sample" for e in rows) == 20
    assert entry.detail["sample"] == [e.call_id for e in again.sample] and not entry.detail["by_one_person"]


def test_a_frame_is_revealed_once(db: Database) -> None:
    frame_id = revealed(db)
    with pytest.raises(StateError, match="不能重复抽取"):
        reveal(db, frame_id, nonce_a=NONCES[0], nonce_b=NONCES[1], actor="banzhang", now_ms=NOW)


def test_a_string_that_does_not_fit_its_commitment_draws_nothing(db: Database) -> None:
    frame_id = committed(db)
    with pytest.raises(StateError, match=r"采购人.*不符"):
        reveal(db, frame_id, nonce_a=NONCES[0], nonce_b="0812345678901234567x", actor="banzhang", now_ms=NOW)
    with pytest.raises(StateError, match="至少"):
        reveal(db, frame_id, nonce_a="short", nonce_b=NONCES[1], actor="banzhang", now_ms=NOW)
    with db.read() as session:
        assert session.exec(select(SampleEntry)).all() == []


def test_commitments_are_given_once_and_before_the_reveal(db: Database) -> None:
    frame_id = frozen(db)
    with pytest.raises(StateError, match="双方提交承诺后"):
        reveal(db, frame_id, nonce_a=NONCES[0], nonce_b=NONCES[1], actor="banzhang", now_ms=NOW)
    with pytest.raises(StateError, match="64 位"):
        commit(db, frame_id, side="a", value=NONCES[0], actor="banzhang", now_ms=NOW)
    with pytest.raises(StateError, match="应为 a 或 b"):
        commit(db, frame_id, side="c", value="0" * 64, actor="banzhang", now_ms=NOW)
    commit(db, frame_id, side="a", value=commitment(NONCES[0]).upper(), actor="banzhang", now_ms=NOW)
    with pytest.raises(StateError, match="不能更换"):
        commit(db, frame_id, side="a", value=commitment(NONCES[1]), actor="banzhang", now_ms=NOW)
    with pytest.raises(StateError, match="相同"):
        commit(db, frame_id, side="b", value=commitment(NONCES[0]), actor="jiandu", now_ms=NOW)


def test_both_strings_of_one_person_are_told(db: Database) -> None:
    frame_id = committed(db, second="banzhang")
    with db.read() as session:
        assert committed_by_one(session.get(SamplingFrame, frame_id))


def test_reserves_follow_in_order_and_run_out(db: Database) -> None:
    frame_id = revealed(db)
    with db.read() as session:
        mine = [e for e in entries_of(session, frame_id) if (e.agent_no, e.stratum) == ("801", "normal")]
    sample, reserves = [e for e in mine if e.kind == "sample"], [e for e in mine if e.kind == "reserve"]
    assert len(reserves) == 3
    used = [
        use_reserve(db, frame_id, e.call_id, reason=ReserveReason.UNPLAYABLE, actor="banzhang", now_ms=NOW)
        for e in sample[:2]
    ]
    assert [e.call_id for e in used if e] == [e.call_id for e in reserves[:2]]
    third = use_reserve(
        db, frame_id, reserves[0].call_id, reason=ReserveReason.ATTRIBUTION, actor="banzhang", now_ms=NOW
    )
    assert third is not None and third.call_id == reserves[2].call_id
    last = use_reserve(db, frame_id, sample[2].call_id, reason=ReserveReason.NOT_ELIGIBLE, actor="banzhang", now_ms=NOW)
    assert last is None
    with pytest.raises(StateError, match="不在本次样本中"):
        use_reserve(db, frame_id, sample[0].call_id, reason=ReserveReason.UNPLAYABLE, actor="banzhang", now_ms=NOW)
    with db.read() as session:
        page = load_sampling_page(session, str(MONTH), MONTH.start_ms, MONTH.end_ms)
    row = next(r for r in page.strata if (r.agent_no, r.stratum) == ("801", "normal"))
    assert row.drawn == len(sample) - 1 and row.reserves_left == 0 and len(page.due) == 19


def test_a_scored_call_is_not_replaced(db: Database) -> None:
    frame_id = revealed(db)
    with db.write() as session:
        entry = entries_of(session, frame_id)[0]
        evaluate_call(session, session.get(Call, entry.call_id), entry, {})
    with pytest.raises(StateError, match="已提交评分"):
        use_reserve(db, frame_id, entry.call_id, reason=ReserveReason.UNPLAYABLE, actor="banzhang", now_ms=NOW)
    with db.read() as session:
        page = load_sampling_page(session, str(MONTH), MONTH.start_ms, MONTH.end_ms)
    assert page.done_count == 1 and sum(r.done for r in page.strata) == 1


def test_a_void_frame_takes_no_reserve(db: Database) -> None:
    frame_id = revealed(db)
    ask_void(db, frame_id, reason="误用旧方案", actor="banzhang", now_ms=NOW)
    agree_void(db, frame_id, actor="jiandu", now_ms=NOW)
    with pytest.raises(StateError, match="尚未揭示"):
        use_reserve(db, frame_id, "C1", reason=ReserveReason.UNPLAYABLE, actor="banzhang", now_ms=NOW)
