"""The appendices from rows: gaps of the data with their effect, changes of scores, the rubric whole."""

from pathlib import Path

import pytest
from sqlmodel import Session

from callqa.periods import Month
from callqa.reports.appendix import Appendix
from callqa.reports.matching import KeptCall
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries.report import calls_by_id
from callqa.store.tables import Call, ConfidentialCall, EvaluationRevision, Ticket, TicketImport
from callqa.usecases.report_appendix import gather_appendix
from tests.reports.builders import DAY, HOUR, LEADER, RUBRIC_HASH, RUBRIC_TEXT, a_call, add_people, evaluate_call
from tests.store_fixture import make_database

MONTH = Month(2026, 10)
START = MONTH.start_ms
NOW = MONTH.end_ms + DAY


@pytest.fixture
def db(tmp_path: Path) -> Database:
    database = make_database(tmp_path)
    add_people(database, 1)
    return database


def gathered(db: Database) -> Appendix:
    with db.read() as session:
        calls = calls_by_id(session, MONTH.start_ms, MONTH.end_ms)
        kept = tuple(
            KeptCall(c.agent_no or "", "8001", c.started_at_ms, c.recording_status, c.call_id == "SECRET")
            for c in calls.values()
        )
        return gather_appendix(session, MONTH, calls, kept, {LEADER: "何静"}, RUBRIC_HASH, demo=False, now_ms=NOW)


def add_call(session: Session, call_id: str, at_ms: int, **changes: object) -> Call:
    call = a_call(call_id, MONTH, started_at_ms=at_ms, **changes)
    session.add(call)
    session.flush()
    return call


def test_an_empty_month_lacks_nothing_that_could_be_told(db: Database) -> None:
    found = gathered(db)
    assert (found.gaps, found.changes, found.rubric_text) == ((), (), RUBRIC_TEXT)


def test_lost_recordings_days_without_tickets_and_calls_of_nobody(db: Database) -> None:
    with db.write() as session:
        add_call(session, "C1", START)  # 1 October 00:00 in Shanghai: no ticket that day
        add_call(session, "C2", START + DAY - 1, recording_status="missing")
        add_call(session, "C3", START + DAY, recording_status="corrupt")  # the 2nd: a ticket at 23:59:59.999
        add_call(session, "C4", START + 2 * DAY, agent_no=None)  # the 3rd: none; the 4th: no call
        add_call(session, "SECRET", START + 4 * DAY, recording_status="missing")
        session.add(Ticket(ticket_no="T1", accepted_at_ms=START + 2 * DAY - 1))
        session.add(Ticket(ticket_no="T2", accepted_at_ms=START + 4 * DAY))
        session.add(
            TicketImport(
                file_name="x.csv", file_sha256="", imported_at_ms=START + HOUR, imported_by="x", rows_new=1,
                rows_changed=0, rows_same=0, errors=[{"row": 2}, {"row": 3}],
            )
        )  # fmt: skip
    told = [(g.what, g.from_ms, g.to_ms, g.count) for g in gathered(db).gaps]
    assert told == [
        ("录音缺失或损坏", START + DAY - 1, START + DAY, 2),
        ("录音缺失或损坏", None, None, 1),  # the confidential one, without its time
        ("工单未导入", START, START + DAY - 1, 2),
        ("工单未导入", START + 2 * DAY, START + 3 * DAY - 1, 1),
        ("工单导入有误", None, None, 2),
        ("归属不明", None, None, 1),
        ("没有转写", None, None, 2),  # C1 and C4 are recorded
    ]


def test_faults_are_told_masked_and_those_of_a_confidential_call_are_not(db: Database) -> None:
    with db.write() as session:
        add_call(session, "SECRET", START)
        session.add(ConfidentialCall(call_id="SECRET", reason="举报", marked_by=LEADER, marked_at_ms=START))
        for at_ms, subject, message in (
            (START - 1, "early", "上月的"),
            (START, "a.pcap", "a.pcap 读不出，来电 13871206358"),
            (START + 1, "SECRET", "母版校验不符"),
            (MONTH.end_ms, "late", "下月的"),
        ):
            audit.append(
                session, actor="system", action="ingest.fault", subject=subject, detail={"message": message},
                now_ms=at_ms,
            )  # fmt: skip
    (fault,) = [g for g in gathered(db).gaps if g.what == "入库有误"]
    assert fault.words.startswith("a.pcap 读不出") and "13871206358" not in fault.words


def test_every_change_of_a_submitted_score_is_listed_with_what_it_moved(db: Database) -> None:
    with db.write() as session:
        for call_id in ("C1", "SECRET"):
            call = add_call(session, call_id, START + HOUR)
            evaluation = evaluate_call(session, call, None, {})
            for number, kind, quality in ((1, "submit", 90.0), (2, "revise", 92.0), (3, "decide", 92.0)):
                session.add(
                    EvaluationRevision(
                        evaluation_id=evaluation.id or 0, number=number, kind=kind, by_account_id=LEADER,
                        at_ms=START + number * HOUR, reason="听错了 13871206358", quality_score=quality, final_score=quality,
                    )
                )  # fmt: skip
        session.add(ConfidentialCall(call_id="SECRET", reason="举报", marked_by=LEADER, marked_at_ms=START))
        evaluate_call(session, add_call(session, "C2", START + HOUR), None, {})  # never changed
    found = gathered(db).changes
    assert [(c.call_label, c.kind, c.quality, c.by) for c in found] == [
        ("C1", "revise", (90.0, 92.0), "何静"),
        ("保密件", "revise", (90.0, 92.0), "何静"),
        ("C1", "decide", (92.0, 92.0), "何静"),
        ("保密件", "decide", (92.0, 92.0), "何静"),
    ]
    assert "13871206358" not in str(found) and found[1].reason == ""
