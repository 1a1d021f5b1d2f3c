"""Importing rosters: the file is the truth for the agents and days it names, and creates nobody."""

import pytest
from sqlmodel import col, select

from callqa.store.tables import AuditEntry, RosterEntry
from callqa.usecases.import_roster import import_roster
from tests.usecases.ticket_office import T0, make_office

HEADER = "日期,班次,工号,姓名,座席,开始,结束"


@pytest.fixture
def db(tmp_path):
    return make_office(tmp_path)


def load(db, *rows):
    data = "\n".join([HEADER, *rows]).encode()
    return import_roster(db, file_name="排班.csv", data=data, actor="班长", now_ms=T0)


def shifts(db):
    with db.read() as session:
        rows = session.exec(select(RosterEntry).order_by(col(RosterEntry.agent_no), col(RosterEntry.start_at_ms)))
        return [(r.agent_no, r.shift, r.seat_extension, (r.end_at_ms - r.start_at_ms) // 3_600_000) for r in rows]


DAY, NIGHT = "2026-11-03,白班,801,周敏,8001,08:00,20:00", "2026-11-03,夜班,802,,,20:00,08:00"


def test_a_roster_twice_changes_nothing(db):
    first = load(db, DAY, NIGHT)
    assert (first.rows_new, first.errors) == (2, ())
    assert shifts(db) == [("801", "day", "8001", 12), ("802", "night", None, 12)]
    again = load(db, DAY, NIGHT)
    assert (again.rows_new, again.rows_changed, again.rows_same, again.rows_removed) == (0, 0, 2, 0)
    with db.read() as session:
        assert len(session.exec(select(AuditEntry).where(AuditEntry.action == "roster.import")).all()) == 1


def test_a_new_roster_replaces_the_days_it_names_and_no_others(db):
    load(db, DAY, NIGHT, "2026-11-04,白班,801,,,08:00,20:00")
    result = load(db, "2026-11-03,夜班,801,,8002,20:00,08:00")
    assert (result.rows_new, result.rows_removed) == (1, 1)
    assert shifts(db) == [("801", "night", "8002", 12), ("801", "day", None, 12), ("802", "night", None, 12)]


def test_unknown_people_and_seats_are_errors_of_their_row(db):
    result = load(db, DAY, NIGHT.replace("802", "899"), NIGHT.replace("802,", "802,王五"), DAY.replace("8001", "8009"))
    assert [(e.row, e.column) for e in result.errors] == [(3, "工号"), (4, "姓名"), (5, "")]
    assert "没有工号 899" in result.errors[0].message and "何俊" in result.errors[1].message
    assert result.rows_new == 1
    assert [(e.row, e.column) for e in load(db, DAY.replace("8001", "8009")).errors] == [(2, "席位")]
