"""Chapter seven from rows to cells, every number counted by hand; the same on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import Session

from callqa.periods import Month
from callqa.reports.matching import Matching, process_steps
from callqa.store.db import Database
from callqa.store.migrate import migrate
from callqa.store.queries.report import calls_by_id
from callqa.store.tables import (
    CheckResultRow,
    CheckRun,
    ConfidentialCall,
    SuggestionDecision,
    SuggestionRow,
    Ticket,
    TicketLink,
    TranscriptRow,
)
from callqa.tickets.consistency import Check
from callqa.usecases.report_matching import gather_matching
from tests.reports.builders import DAY, HOUR, LEADER, RUBRIC_HASH, a_call, add_people, evaluate_call
from tests.store import postgres
from tests.store_fixture import make_database

MONTH = Month(2026, 10)
START, MINUTE = MONTH.start_ms, 60_000
NOON = START + 5 * DAY + 12 * HOUR
NOW = MONTH.end_ms + 10 * DAY


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        database = make_database(tmp_path)
        yield database
        database.dispose()
        return
    with postgres.server() as url:
        migrate(url)
        database = Database(url)
        yield database
        database.dispose()


def link(session: Session, call_id: str, ticket_no: str, state: str = "linked") -> None:
    session.add(
        TicketLink(call_id=call_id, ticket_no=ticket_no, state=state, method="evidence", score=0.9, decided_at_ms=NOON)
    )


def checked(session: Session, call_id: str, **states: str) -> CheckRun:
    """A pre-score with these states by check id, dots written as underlines (S6_2_1 is S6.2-1)."""
    transcript = TranscriptRow(
        call_id=call_id, version=1, engine="x", model_sha256="", recording_sha256="", duration_ms=1, created_at_ms=NOON
    )
    session.add(transcript)
    session.flush()
    run = CheckRun(
        call_id=call_id, transcript_id=transcript.id or 0, rubric_hash=RUBRIC_HASH, facts_hash="1", created_at_ms=NOON
    )
    session.add(run)
    session.flush()
    for name, state in states.items():
        item, number = name.rsplit("_", 1)
        check_id = f"{item.replace('_', '.')}-{number}"
        session.add(
            CheckResultRow(check_run_id=run.id or 0, check_id=check_id, item_id=item.replace("_", "."), state=state)
        )
    session.flush()
    return run


def add_rows(db: Database) -> None:
    """What every number below is counted from."""
    add_people(db, 2)
    matter = {"matter_category": "water_supply"}
    t1 = NOON + MINUTE
    with db.write() as session:
        session.add_all(
            [
                a_call("C1", MONTH, started_at_ms=NOON),
                a_call("C2", MONTH, "802", started_at_ms=NOON + HOUR),
                a_call("C3", MONTH, started_at_ms=NOON + 2 * HOUR, duration_ms=4_000),
                a_call("C4", MONTH, started_at_ms=NOON + 28 * HOUR, direction="outbound", call_type="callback"),
                a_call("C5", MONTH, started_at_ms=START - 1),  # 30 September 23:59:59.999 in Shanghai
                a_call("C6", MONTH, started_at_ms=MONTH.end_ms),
                a_call("C7", MONTH, started_at_ms=NOON + 3 * HOUR),
                a_call("C8", MONTH, "802", started_at_ms=NOON + 4 * HOUR, recording_status="missing"),
                a_call("C9", MONTH, started_at_ms=NOON + 5 * HOUR, excluded_as="wrong_number"),
            ]
        )
        session.add_all(
            [
                Ticket(
                    ticket_no="T1", caller_number="13800000001", contact_phone="13800000001", location="青年里12号",
                    accepted_at_ms=t1, dispatched_at_ms=t1 + 10 * MINUTE, due_at_ms=t1 + 2 * DAY, closed_at_ms=t1 + DAY,
                    result_received_at_ms=t1 + 23 * HOUR, callback_done_at_ms=t1 + 29 * HOUR, occurred_at_ms=NOON - HOUR,
                    satisfaction="满意", **matter,
                ),
                Ticket(ticket_no="T2", caller_number="13800000002", accepted_at_ms=START + 5_000, parent_ticket_no="T0"),
                Ticket(ticket_no="T3", caller_number="13800000003", accepted_at_ms=NOON + 3 * HOUR + MINUTE, **matter),
                Ticket(
                    ticket_no="T4", caller_number="13800000008", accepted_at_ms=NOON + 4 * HOUR + 20 * MINUTE,
                    due_at_ms=NOON + 2 * DAY, location="解放大道88号", **matter,
                ),
                Ticket(ticket_no="T5", caller_number="13800000008", accepted_at_ms=NOON + 3 * DAY, **matter),
                Ticket(ticket_no="T6", accepted_at_ms=NOON + 4 * DAY),
                Ticket(ticket_no="T7", accepted_at_ms=START - 9 * DAY, callback_done_at_ms=NOON),
            ]
        )  # fmt: skip
        session.flush()
        for call_id, ticket_no in (("C1", "T1"), ("C4", "T1"), ("C5", "T2"), ("C7", "T3"), ("C8", "T4")):
            link(session, call_id, ticket_no)
        session.add(ConfidentialCall(call_id="C7", reason="举报", marked_by=LEADER, marked_at_ms=NOON))
        checked(session, "C1", S6_2_1="hit", S6_2_2="unsure", S6_2_3="miss", S6_1_1="hit")
        run = checked(session, "C2", S6_1_1="miss")
        checked(session, "C4", S4_3_4="miss", S6_2_1="not_checked")
        call = session.get_one(type(a_call("x", MONTH)), "C2")
        evaluation = evaluate_call(session, call, None, {})
        evaluation.check_run_id = run.id
        suggestion = SuggestionRow(
            check_run_id=run.id or 0, call_id="C2", check_id="S6.1-1", item_id="S6.1", level="hint", reason="未关联工单"
        )
        session.add_all([evaluation, suggestion])
        session.flush()
        session.add(
            SuggestionDecision(evaluation_id=evaluation.id or 0, suggestion_id=suggestion.id or 0, decision="accepted")
        )


def gathered(db: Database, now_ms: int = NOW) -> Matching:
    with db.read() as session:
        calls = calls_by_id(session, MONTH.start_ms, MONTH.end_ms)
        return gather_matching(session, MONTH, calls, {"C2"}, RUBRIC_HASH, demo=False, now_ms=now_ms)


def test_every_check_counts_what_agrees_differs_and_cannot_be_told(db: Database) -> None:
    add_rows(db)
    found = gathered(db)
    assert {c.code: (c.same, len(c.differing), c.undecided) for c in found.checks} == {
        "call_without_ticket": (2, 1, 1),  # C1 and C8; C2; C3 is too short. C7 is confidential, C9 a wrong number
        "ticket_without_call": (2, 2, 1),  # T1, T2 (its call began last month); T4 unrecorded, T5; T6 has no number
        "location": (1, 0, 1),  # C1; C8 has no transcript. A call-back is not compared
        "occurred_at": (0, 1, 0),  # C1; T4 notes no time
        "contact_phone": (2, 0, 0),  # said nowhere, but the number of C1 and of C4
        "matter_category": (0, 0, 2),  # C1 and C8: nothing was found of it
        "satisfaction": (0, 1, 0),  # C4
        "repeat": (1, 1, 1),  # T2 names its parent; T5 repeats T4; T6 has no matter
        "callback_without_call": (1, 1, 0),  # T1; T7
    }
    by_code = {c.code: c for c in found.checks}
    assert [(d.call_id, d.ticket_no) for d in by_code["ticket_without_call"].differing] == [("", "T5"), ("C8", "T4")]
    assert [d.call_id for d in by_code["call_without_ticket"].differing] == ["C2"]
    everything = str(found.checks)
    assert "C7" not in everything and "T3" not in everything and "C5" not in everything and "C6" not in everything
    assert found.n_tickets == 6


def test_a_rater_confirms_or_refuses_what_the_machine_pointed_out(db: Database) -> None:
    add_rows(db)
    rows = {row.label: row for row in gathered(db).by_hand}
    first = rows["有通话无工单"]
    assert (first.compared, first.pointed_out, first.confirmed, first.refused) == (1, 1, 1, 0)
    assert rows["地点"].compared == 0 and rows["地点"].precision.value is None
    assert len(rows) == 6


def test_steps_and_their_limits(db: Database) -> None:
    add_rows(db)
    found = gathered(db)
    steps = {s.label: s for s in process_steps(found.tickets, found.limits, MONTH, NOW)}
    counted = {
        label: (s.on_time.numerator, s.on_time.denominator, [late.ticket_no for late in s.late], s.untimed)
        for label, s in steps.items()
    }
    assert counted == {
        "建单": (3, 4, ["T4"], 0),  # T1, T2, T3 in ten minutes; T4 18 minutes and 24 seconds after the call
        "交办": (1, 1, [], 5),
        "签收": (0, 0, [], 0),
        "办结": (1, 2, ["T4"], 1),
        "审核": (1, 1, [], 0),
        "回访": (1, 1, [], 1),  # T7 notes no result
    }
    assert steps["建单"].longest is not None and steps["建单"].longest.spent_ms == 20 * MINUTE - 96_000
    assert steps["回访"].median_ms == 6 * HOUR and steps["审核"].limit_words == "24小时"
    assert not steps["签收"].noted


def test_a_month_without_tickets_blames_no_call(db: Database) -> None:
    add_people(db, 1)
    with db.write() as session:
        session.add(a_call("C1", MONTH, started_at_ms=NOON))
    found = gathered(db)
    first = next(c for c in found.checks if c.code == Check.CALL_WITHOUT_TICKET)
    assert (first.same, first.differing, first.undecided) == (0, (), 1)
    assert found.n_tickets == 0 and found.from_ms == NOON


def test_an_empty_month_has_nothing_to_compare(db: Database) -> None:
    add_people(db, 1)
    found = gathered(db)
    assert all(c.due == 0 and c.rate.value is None for c in found.checks)
    assert found.kept == () and found.tickets == () and found.from_ms is None


def test_tickets_from_before_the_first_recording_are_not_blamed(db: Database) -> None:
    add_people(db, 1)
    with db.write() as session:
        session.add(a_call("C1", MONTH, started_at_ms=NOON))
        session.add(Ticket(ticket_no="T1", caller_number="13800000009", accepted_at_ms=NOON - 1))
        session.add(Ticket(ticket_no="T2", caller_number="13800000009", accepted_at_ms=NOON))
    row = next(c for c in gathered(db).checks if c.code == Check.TICKET_WITHOUT_CALL)
    assert [d.ticket_no for d in row.differing] == ["T2"] and row.due == 1
