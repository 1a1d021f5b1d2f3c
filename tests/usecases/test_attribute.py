"""Attribution of one call from stored sign-ins and roster."""

import pytest
from sqlmodel import select

from callqa.errors import CallqaError, StoreError
from callqa.store.tables import AuditEntry, RosterEntry
from callqa.usecases import people
from callqa.usecases.attribute import attribute, attribute_by_person
from tests.usecases.ticket_office import MINUTE, T0, add_call, get_call, make_office


@pytest.fixture
def db(tmp_path):
    db = make_office(tmp_path)
    add_call(db)
    return db


def test_the_sign_in_at_the_answer_decides_and_running_again_changes_nothing(db):
    people.sign_in(db, seat_extension="8001", agent_no="801", actor="班长", now_ms=T0 - MINUTE)
    people.sign_in(db, seat_extension="8001", agent_no="802", actor="班长", now_ms=T0 + MINUTE)  # after the answer
    assert attribute(db, "C1", now_ms=T0).agent_no == "801"
    call = get_call(db)
    assert (call.agent_no, call.attribution_source, call.version) == ("801", "login", 2)
    assert "席位 8001 由工号 801 签入" in call.attribution_reason
    attribute(db, "C1", now_ms=T0 + 5 * MINUTE)
    assert get_call(db).version == 2


def test_the_roster_stands_in_when_nobody_signed_in(db):
    with db.write() as session:
        session.add(RosterEntry(agent_no="802", shift="day", start_at_ms=T0 - MINUTE, end_at_ms=T0 + MINUTE))
    attribute(db, "C1", now_ms=T0)
    assert (get_call(db).agent_no, get_call(db).attribution_source) == ("802", "roster")


def test_nobody_known_is_stored_as_unknown_with_the_reason(db):
    attribute(db, "C1", now_ms=T0)
    call = get_call(db)
    assert (call.agent_no, call.attribution_source) == (None, "unknown")
    assert "无人签入" in call.attribution_reason


def test_a_persons_choice_is_kept_and_audited(db):
    attribute(db, "C1", now_ms=T0)
    attribute_by_person(db, "C1", agent_no="802", reason="当日顶班", actor="班长", now_ms=T0)
    people.sign_in(db, seat_extension="8001", agent_no="801", actor="班长", now_ms=T0 - MINUTE)
    attribute(db, "C1", now_ms=T0)
    assert (get_call(db).agent_no, get_call(db).attribution_source) == ("802", "manual")
    assert get_call(db).attribution_reason == "由 班长 人工指定：当日顶班"
    with db.read() as session:
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "call.attribute")).one()
    assert entry.detail["before"] == {"agent_no": None, "source": "unknown"}


def test_a_person_must_name_an_agent_and_a_reason(db):
    with pytest.raises(CallqaError, match="没有工号 899"):
        attribute_by_person(db, "C1", agent_no="899", reason="x", actor="班长", now_ms=T0)
    with pytest.raises(CallqaError, match="理由"):
        attribute_by_person(db, "C1", agent_no="801", reason=" ", actor="班长", now_ms=T0)


def test_an_unknown_call_is_an_error(db):
    with pytest.raises(StoreError, match="没有通话 C9"):
        attribute(db, "C9", now_ms=T0)
