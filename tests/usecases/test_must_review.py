"""定向必检: which calls, why, until when; apart from the sample."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from callqa.scoring.plan import NewStaff, SamplingPlan
from callqa.scoring.plan_text import parse_plan
from callqa.store.db import Database
from callqa.store.tables import Account, Agent, Call, CheckRun, Ticket
from callqa.usecases.must_review import MustReviewCall, must_review
from tests.builders import add_month, at
from tests.drawn_month import MONTH, SCORECARDS
from tests.store_fixture import make_database

NOW_MS = at("2026-11-22 14:05:00")  # a Sunday: its week is not over
SHOW, OTHER = "20261105T232210000Z-A1", "20261107T011200000Z-A2"
PLAN = parse_plan((SCORECARDS / "sampling.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = make_database(tmp_path)
    with database.write() as session:
        add_month(session, tmp_path, NOW_MS)
        session.add(Account(username="leader", display_name="leader", role="shift_leader", password_hash="x"))
    yield database
    database.dispose()


def listed(db: Database, plan: SamplingPlan = PLAN, now_ms: int = NOW_MS) -> tuple[MustReviewCall, ...]:
    with db.read() as session:
        return must_review(session, MONTH, plan, demo=False, now_ms=now_ms)


def test_the_rule_for_new_staff_is_read_from_the_plan() -> None:
    assert PLAN.new_staff == NewStaff(90, 2)


def test_a_quiet_month_has_none(db: Database) -> None:
    assert listed(db) == ()


def test_reasons_and_deadlines(db: Database) -> None:
    with db.write() as session:
        run = session.exec(select(CheckRun).where(CheckRun.call_id == SHOW)).one()
        run.suspected_fatal = True
        ticket = session.get(Ticket, "SW202611060031")
        assert ticket is not None
        ticket.satisfaction, ticket.callback_done_at_ms = "非常不满意", at("2026-11-08 10:00:00")
        session.add_all([run, ticket])
        known_ms = run.created_at_ms
    (row,) = listed(db)
    assert row.call.call_id == SHOW and not row.drawn and row.evaluation is None
    late = max(known_ms, at("2026-11-08 10:00:00"))
    assert [t.words for t in row.triggers] == [
        "机器提示疑似致命项（24 小时内）",
        "工单评价为非常不满意（48 小时内）",
    ]
    assert row.due_ms == late + 24 * 3_600_000
    assert not any(row.on_time(t) for t in row.triggers)


def test_new_staff_two_calls_of_each_week_that_is_over(db: Database) -> None:
    with db.write() as session:
        agent = session.get(Agent, "801")
        assert agent is not None
        agent.hired_on = "2026-11-01"
        for call in session.exec(select(Call).where(Call.agent_no == "801")):
            call.recording_status = "ok"
            session.add(call)
        session.add(agent)
    rows = listed(db)
    weeks: dict[int, list[str]] = {}
    for row in rows:
        assert row.call.agent_no == "801"
        (trigger,) = row.triggers
        assert trigger.at_ms <= NOW_MS and row.call.started_at_ms < trigger.at_ms
        weeks.setdefault(trigger.at_ms, []).append(row.call.call_id)
    assert weeks and all(1 <= len(calls) <= 2 for calls in weeks.values())
    assert set(weeks) <= {at("2026-11-09 00:00:00"), at("2026-11-16 00:00:00")}
    again = {row.call.call_id for row in listed(db)}
    later = {row.call.call_id for row in listed(db, now_ms=at("2026-11-30 12:00:00"))}
    assert again <= later and again == {row.call.call_id for row in rows}  # what was chosen stays chosen


def test_done_in_time_or_late(db: Database) -> None:
    with db.write() as session:
        run = session.exec(select(CheckRun).where(CheckRun.call_id == SHOW)).one()
        run.suspected_fatal = True
        session.add(run)
    from tests.web.released import submit_score

    submit_score(db, SHOW, 1)
    (row,) = listed(db)
    assert row.evaluation is not None and row.evaluation.status == "submitted"
    assert [row.on_time(t) for t in row.triggers] == [row.evaluation.submitted_at_ms <= row.due_ms]
