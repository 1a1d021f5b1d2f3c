"""Freezing a month's frame from stored rows."""

from pathlib import Path

import pytest

from callqa.errors import RubricError, StateError
from callqa.periods import Month
from callqa.scoring.sampling import parse_frame
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries.sampling import load_sampling_page
from callqa.store.tables import AuditEntry, SamplingFrame, Ticket, TicketLink
from callqa.usecases.freeze import freeze
from callqa.usecases.void_frame import agree_void, ask_void
from tests.reports.builders import DAY, PLAN_TEXT, MonthMaker, a_call, add_people
from tests.store_fixture import make_database

MONTH = Month(2026, 10)
AFTER = MONTH.end_ms + 9 * 3_600_000


@pytest.fixture
def db(tmp_path: Path) -> Database:
    database = make_database(tmp_path)
    add_people(database, 3)
    return database


def add(db: Database, *rows: object) -> None:
    for row in rows:
        with db.write() as session:
            session.add(row)


def test_a_frozen_month_holds_its_file_counts_and_audit_entry(db: Database) -> None:
    MonthMaker(db, MONTH, ["801", "802", "803"], calls_per_agent=30).fill()
    frame = freeze(db, MONTH, PLAN_TEXT, actor="banzhang", now_ms=AFTER)
    assert frame.state == "frozen" and not frame.partial and not frame.demo
    parsed = parse_frame(frame.frame_text)
    assert parsed.frame_hash == frame.frame_hash and len(parsed.entries) == frame.counts["frame"]
    whole = frame.counts
    assert whole["connected"] == whole["frame"] + sum(whole["exclusions"].values()) + sum(whole["gaps"].values())
    assert whole["connected"] == sum(c["connected"] for c in whole["by_agent"].values())
    with db.read() as session:
        assert session.get(SamplingFrame, frame.id).counts == frame.counts
        entry = session.get(AuditEntry, 1)
        assert entry.action == "sampling.freeze" and entry.detail["frame_hash"] == frame.frame_hash
        assert audit.verify(session) == []


def test_data_of_tickets_reaches_the_strata(db: Database) -> None:
    add(db, *(a_call(f"C{i}", MONTH, duration_ms=90_000 + i) for i in range(1, 6)))
    add(
        db,
        Ticket(ticket_no="T1", satisfaction="不满意", accepted_at_ms=MONTH.start_ms),
        Ticket(ticket_no="T2", caller_number="1", matter_category="drainage", accepted_at_ms=MONTH.start_ms - 20 * DAY),
        Ticket(ticket_no="T3", caller_number="1", matter_category="drainage", accepted_at_ms=MONTH.start_ms + DAY),
        Ticket(ticket_no="T4", urgent_flag=True),
    )
    links = [("C1", "T1", "linked"), ("C2", "T3", "linked"), ("C3", "T4", "doubtful")]
    for call_id, ticket_no, state in links:
        link = TicketLink(call_id=call_id, ticket_no=ticket_no, state=state, method="manual", score=1, decided_at_ms=0)
        add(db, link)
    frame = freeze(db, MONTH, PLAN_TEXT, actor="banzhang", now_ms=AFTER)
    strata = {e.call_id: str(e.stratum) for e in parse_frame(frame.frame_text).entries}
    # C5 is the longest; C3's link is only doubtful
    assert strata == {"C1": "risk", "C2": "risk", "C3": "normal", "C4": "normal", "C5": "risk"}


def test_a_month_is_frozen_once_until_two_people_void_it(db: Database) -> None:
    add(db, a_call("C1", MONTH))
    frame = freeze(db, MONTH, PLAN_TEXT, actor="banzhang", now_ms=AFTER)
    with pytest.raises(StateError, match="不再增删"):
        freeze(db, MONTH, PLAN_TEXT, actor="banzhang", now_ms=AFTER)
    ask_void(db, frame.id, reason="方案有误", actor="banzhang", now_ms=AFTER)
    with pytest.raises(StateError, match="两人"):
        agree_void(db, frame.id, actor="banzhang", now_ms=AFTER)
    agree_void(db, frame.id, actor="jiandu", now_ms=AFTER)
    again = freeze(db, MONTH, PLAN_TEXT, actor="banzhang", now_ms=AFTER)
    assert again.id != frame.id
    with db.read() as session:
        page = load_sampling_page(session, str(MONTH), MONTH.start_ms, MONTH.end_ms)
    assert page.frame is not None and page.frame.id == again.id and [f.id for f in page.void_frames] == [frame.id]


def test_a_running_month_is_only_frozen_in_a_demo_or_on_purpose(db: Database) -> None:
    add(db, a_call("C1", MONTH))
    middle = MONTH.start_ms + 10 * DAY
    with pytest.raises(StateError, match="尚未结束"):
        freeze(db, MONTH, PLAN_TEXT, actor="banzhang", now_ms=middle)
    with pytest.raises(StateError, match="还没有开始"):
        freeze(db, MONTH, PLAN_TEXT, actor="banzhang", demo=True, now_ms=MONTH.start_ms - 1)
    frame = freeze(db, MONTH, PLAN_TEXT, actor="banzhang", demo=True, now_ms=middle)
    assert frame.partial and frame.demo


def test_demo_calls_are_test_calls_outside_a_demo(db: Database) -> None:
    add(db, a_call("C1", MONTH), a_call("C2", MONTH, demo=True))
    frame = freeze(db, MONTH, PLAN_TEXT, actor="banzhang", now_ms=AFTER)
    assert frame.counts["exclusions"] == {"test_call": 1} and frame.counts["left_out"] == {"C2": "test_call"}


def test_an_empty_month_and_a_broken_plan_are_refused(db: Database) -> None:
    with pytest.raises(StateError, match="没有可抽通话"):
        freeze(db, MONTH, PLAN_TEXT, actor="banzhang", now_ms=AFTER)
    with pytest.raises(RubricError, match="第 1 行"):
        freeze(db, MONTH, "schema: x", actor="banzhang", now_ms=AFTER)
