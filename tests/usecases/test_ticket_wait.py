"""未建单 is judged only when the tickets of the call's time could be here: after an import that covers it, or after the delay."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from callqa.config import CheckSettings, Settings
from callqa.scoring.facts import CallFacts
from callqa.scoring.plan_text import parse_plan
from callqa.scoring.rubric import parse_rubric
from callqa.scoring.scorer import score
from callqa.store.db import Database
from callqa.store.queries.calls_for_work import calls_whose_tickets_came
from callqa.store.tables import Call, CallProgress, CheckRun, Ticket, TicketImport, TicketLink
from callqa.usecases.check import HOUR_MS, TICKET_WAIT_MS, call_facts
from callqa.usecases.must_review import must_review
from tests.builders import add_month, at
from tests.drawn_month import MONTH, SCORECARDS
from tests.store_fixture import make_database

RUBRIC = parse_rubric((SCORECARDS / "rubric.yaml").read_text(encoding="utf-8"))
PLAN = parse_plan((SCORECARDS / "sampling.yaml").read_text(encoding="utf-8"))
SHOW = "20261105T232210000Z-A1"
ABSTAINS = "工单还没有导入"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """The show call without a ticket, and no tickets in the house at all."""
    database = make_database(tmp_path)
    with database.write() as session:
        add_month(session, tmp_path, at("2026-11-22 14:05:00"))
        for link in session.exec(select(TicketLink)).all():
            session.delete(link)
        session.flush()
        for ticket in session.exec(select(Ticket)).all():
            session.delete(ticket)
        session.flush()
        for imported in session.exec(select(TicketImport)).all():
            session.delete(imported)
    yield database
    database.dispose()


def ended_ms(db: Database) -> int:
    with db.read() as session:
        call = session.get(Call, SHOW)
        assert call is not None
        return call.ended_at_ms or call.started_at_ms


def facts(db: Database, now_ms: int, wait_ms: int = TICKET_WAIT_MS) -> CallFacts:
    with db.read() as session:
        call = session.get(Call, SHOW)
        assert call is not None
        return call_facts(session, call, now_ms=now_ms, ticket_wait_ms=wait_ms)


def add_ticket(db: Database, accepted_ms: int, imported_ms: int, ticket_no: str = "SW9") -> None:
    with db.write() as session:
        row = TicketImport(
            file_name="工单.csv", file_sha256=ticket_no, imported_at_ms=imported_ms, imported_by="leader",
            rows_new=1, rows_changed=0, rows_same=0,
        )  # fmt: skip
        session.add(row)
        session.flush()
        session.add(Ticket(ticket_no=ticket_no, accepted_at_ms=accepted_ms, import_id=row.id))


def suspects(found: CallFacts) -> tuple[set[str], dict[str, str]]:
    """(fatal items suspected, check -> explanation of those on the ticket)."""
    outcome = score(RUBRIC, found)
    fatals = {s.fatal_id for s in outcome.suggestions if s.fatal_id}
    said = {r.check_id: f"{r.state}：{r.explanation}" for r in outcome.results if r.check_id in ("S6.1-1", "F4-1")}
    return fatals, said


def test_before_any_import_the_machine_abstains_and_says_why(db: Database) -> None:
    fatals, said = suspects(facts(db, ended_ms(db) + HOUR_MS))
    assert "F4" not in fatals
    assert said["S6.1-1"].startswith("not_checked") and ABSTAINS in said["S6.1-1"]


def test_tickets_accepted_after_the_calls_end_settle_it(db: Database) -> None:
    end_ms = ended_ms(db)
    add_ticket(db, end_ms - 1, end_ms + HOUR_MS)
    assert not facts(db, end_ms + 2 * HOUR_MS).tickets_in, "the newest one is from before its end"
    add_ticket(db, end_ms, end_ms + 2 * HOUR_MS, "SW10")
    found = facts(db, end_ms + 3 * HOUR_MS)
    assert found.tickets_in
    fatals, said = suspects(found)
    assert "F4" in fatals and said["S6.1-1"].startswith("miss")


def test_a_date_in_the_future_settles_nothing(db: Database) -> None:
    end_ms = ended_ms(db)
    add_ticket(db, at("2062-01-01 00:00:00"), end_ms)
    assert not facts(db, end_ms + HOUR_MS).tickets_in


def test_after_the_delay_it_is_judged_without_any_import(db: Database) -> None:
    end_ms = ended_ms(db)
    assert not facts(db, end_ms + TICKET_WAIT_MS - 1).tickets_in
    assert facts(db, end_ms + TICKET_WAIT_MS).tickets_in
    assert facts(db, end_ms, wait_ms=0).tickets_in
    assert "F4" in suspects(facts(db, end_ms + TICKET_WAIT_MS))[0]


def test_a_linked_call_waits_for_nothing(db: Database) -> None:
    end_ms = ended_ms(db)
    add_ticket(db, end_ms - 60_000, end_ms)
    with db.write() as session:
        session.add(
            TicketLink(call_id=SHOW, ticket_no="SW9", state="linked", method="manual", score=0, decided_at_ms=end_ms)
        )
    found = facts(db, end_ms + 1)
    assert found.tickets_in and suspects(found)[1]["S6.1-1"].startswith("hit")


def came(db: Database, now_ms: int, since_ms: int = 0) -> list[str]:
    with db.read() as session:
        return list(calls_whose_tickets_came(session, since_ms, 100, now_ms=now_ms, wait_ms=TICKET_WAIT_MS))


def checked_at(db: Database, instant_ms: int) -> None:
    """Every call's check is done, the show call's at that instant, the others' long after."""
    with db.write() as session:
        for row in session.exec(select(CallProgress)).all():
            session.delete(row)
        session.flush()
        for call in session.exec(select(Call)).all():
            late = call.started_at_ms + 30 * TICKET_WAIT_MS
            at_ms = instant_ms if call.call_id == SHOW else late
            session.add(
                CallProgress(call_id=call.call_id, stage="check", state="done", updated_at_ms=at_ms, queued_at_ms=at_ms)
            )


def test_an_import_that_covers_it_has_it_checked_again_once(db: Database) -> None:
    end_ms = ended_ms(db)
    checked_at(db, end_ms + HOUR_MS)
    assert came(db, end_ms + 2 * HOUR_MS) == []
    add_ticket(db, end_ms - 1, end_ms + 2 * HOUR_MS)
    assert came(db, end_ms + 3 * HOUR_MS) == [], "these tickets are all older"
    add_ticket(db, end_ms + 60_000, end_ms + 4 * HOUR_MS, "SW10")
    assert came(db, end_ms + 5 * HOUR_MS) == [SHOW]
    assert came(db, end_ms + 5 * HOUR_MS, since_ms=end_ms + 5 * HOUR_MS) == [], "looked at already"
    checked_at(db, end_ms + 5 * HOUR_MS)
    assert came(db, end_ms + 6 * HOUR_MS) == []


def test_the_end_of_the_delay_has_it_checked_again_once(db: Database) -> None:
    end_ms = ended_ms(db)
    checked_at(db, end_ms + HOUR_MS)
    assert came(db, end_ms + TICKET_WAIT_MS - 1) == []
    assert came(db, end_ms + TICKET_WAIT_MS) == [SHOW]
    checked_at(db, end_ms + TICKET_WAIT_MS)
    assert came(db, end_ms + 2 * TICKET_WAIT_MS) == []


def test_a_linked_call_is_not_asked_again(db: Database) -> None:
    end_ms = ended_ms(db)
    checked_at(db, end_ms + HOUR_MS)
    add_ticket(db, end_ms + 60_000, end_ms + 2 * HOUR_MS)
    with db.write() as session:
        session.add(
            TicketLink(call_id=SHOW, ticket_no="SW9", state="linked", method="manual", score=0, decided_at_ms=end_ms)
        )
    assert came(db, end_ms + 2 * TICKET_WAIT_MS) == []


def test_it_must_be_reviewed_only_once_it_is_suspected(db: Database) -> None:
    """The list goes by the newest run: while the check abstains, nobody is sent to look for a missing ticket."""
    end_ms = ended_ms(db)
    listed = []
    for now_ms in (end_ms + HOUR_MS, end_ms + TICKET_WAIT_MS):
        missing = "F4" in suspects(facts(db, now_ms))[0]
        with db.write() as session:
            before = session.exec(select(CheckRun).where(CheckRun.call_id == SHOW)).first()
            assert before is not None
            session.add(
                CheckRun(
                    call_id=SHOW, transcript_id=before.transcript_id, rubric_hash=before.rubric_hash,
                    facts_hash=f"at {now_ms}", created_at_ms=now_ms, suspected_fatal=missing,
                )
            )  # fmt: skip
        with db.read() as session:
            rows = must_review(session, MONTH, PLAN, demo=False, now_ms=now_ms)
            listed.append([row.call.call_id for row in rows if any("致命" in t.words for t in row.triggers)])
    assert listed == [[], [SHOW]]


def test_the_delay_is_a_setting_in_hours() -> None:
    assert Settings().checks.ticket_wait_h * HOUR_MS == TICKET_WAIT_MS
    with pytest.raises(ValueError):
        CheckSettings(ticket_wait_h=-1)
