"""Agents, seats, sign-ins: one person at one seat, passwords only as digests, all of it audited."""

import hashlib

import pytest
from sqlmodel import select

from callqa.desk import load_desk
from callqa.errors import CallqaError, StateError
from callqa.store.queries.people import list_seats
from callqa.store.tables import AuditEntry, Seat, SeatLogin
from callqa.usecases import people
from tests.usecases.ticket_office import T0, make_office


@pytest.fixture
def db(tmp_path):
    return make_office(tmp_path)


def sit(db, seat, agent, now_ms, **more):
    return people.sign_in(db, seat_extension=seat, agent_no=agent, actor="班长", now_ms=now_ms, **more)


def logins(db):
    with db.read() as session:
        rows = session.exec(select(SeatLogin)).all()
        return [
            (r.seat_extension, r.agent_no, r.started_at_ms - T0, r.ended_at_ms and r.ended_at_ms - T0) for r in rows
        ]


def test_only_digests_of_the_password_are_stored(db):
    with db.read() as session:
        seat = session.get(Seat, "8001")
        audits = session.exec(select(AuditEntry)).all()
    assert seat.ha1_md5 == hashlib.md5(b"8001:callqa:secret-8001").hexdigest()
    assert seat.ha1_sha256 == hashlib.sha256(b"8001:callqa:secret-8001").hexdigest()
    assert "secret-8001" not in str(seat.model_dump()) + str([a.model_dump() for a in audits])


def test_signing_in_ends_the_seats_and_the_agents_former_sign_in(db):
    sit(db, "8001", "801", T0)
    sit(db, "8001", "802", T0 + 10)  # 802 takes over the seat of 801
    sit(db, "8002", "802", T0 + 20)  # and moves on
    assert logins(db) == [("8001", "801", 0, 10), ("8001", "802", 10, 20), ("8002", "802", 20, None)]
    with db.read() as session:
        lines = list_seats(session)
    seated = [(line.seat.extension, line.login and line.login.agent_no, line.agent_name) for line in lines]
    assert seated == [("8001", None, None), ("8002", "802", "何俊")]


def test_signing_in_again_at_the_same_seat_changes_nothing(db):
    first = sit(db, "8001", "801", T0)
    assert sit(db, "8001", "801", T0 + 99).id == first.id
    assert logins(db) == [("8001", "801", 0, None)]


def test_signing_out(db):
    sit(db, "8001", "801", T0)
    assert people.sign_out(db, seat_extension="8001", actor="班长", now_ms=T0 + 50).agent_no == "801"
    assert logins(db) == [("8001", "801", 0, 50)]
    assert people.sign_out(db, seat_extension="8001", actor="班长", now_ms=T0 + 60) is None


def test_a_retired_agent_is_signed_out_and_cannot_sign_in(db, tmp_path):
    sit(db, "8001", "801", T0)
    path = tmp_path / "state" / "desk.json"
    people.set_agent_active(db, agent_no="801", active=False, actor="班长", now_ms=T0 + 5, desk_path=path)
    assert load_desk(path).seats[0].agent_no is None
    with pytest.raises(StateError, match="已停用"):
        sit(db, "8001", "801", T0 + 9)


def test_a_seat_is_retired_only_while_nobody_sits_there_and_comes_back(db, tmp_path):
    path = tmp_path / "state" / "desk.json"
    sit(db, "8001", "801", T0)

    def switch(active):
        people.set_seat_active(db, extension="8001", active=active, actor="班长", now_ms=T0 + 5, desk_path=path)
        return [seat.extension for seat in load_desk(path).seats]

    with pytest.raises(StateError, match=r"801 .*请先签出"):
        switch(False)
    people.sign_out(db, seat_extension="8001", actor="班长", now_ms=T0 + 4)
    assert switch(False) == ["8002"]
    with pytest.raises(CallqaError, match="已停用"):
        sit(db, "8001", "801", T0 + 9)
    assert switch(True) == switch(True) == ["8001", "8002"]
    with db.read() as session:
        seat = session.get(Seat, "8001")
        audited = [e.detail for e in session.exec(select(AuditEntry)) if e.action == "seat.active"]
    assert seat.ha1_md5 == hashlib.md5(b"8001:callqa:secret-8001").hexdigest()
    assert audited == [{"active": False}, {"active": True}]
    with pytest.raises(CallqaError, match="没有席位 8009"):
        people.set_seat_active(db, extension="8009", active=False, actor="班长", now_ms=T0)


@pytest.mark.parametrize(("seat", "agent", "part"), [("8009", "801", "没有席位 8009"), ("8001", "899", "没有工号 899")])
def test_unknown_seats_and_agents_are_refused(db, seat, agent, part):
    with pytest.raises(CallqaError, match=part):
        sit(db, seat, agent, T0)
    assert logins(db) == []


@pytest.mark.parametrize(
    "wrong",
    [
        lambda db: people.add_agent(db, agent_no="8 01", name="甲", actor="x", now_ms=T0),
        lambda db: people.add_agent(db, agent_no="803", name=" ", actor="x", now_ms=T0),
        lambda db: people.add_seat(db, extension="80/01", password="long-enough", actor="x", now_ms=T0),
        lambda db: people.add_seat(db, extension="8003", password="short", actor="x", now_ms=T0),
    ],
)
def test_ill_formed_people_and_seats_are_refused(db, wrong):
    with pytest.raises(CallqaError):
        wrong(db)


def test_every_change_is_audited_once(db):
    sit(db, "8001", "801", T0)
    sit(db, "8001", "801", T0)
    people.add_agent(db, agent_no="801", name="周敏", actor="班长", now_ms=T0)  # nothing new
    with db.read() as session:
        actions = [e.action for e in session.exec(select(AuditEntry))]
    assert actions == ["agent.save", "agent.save", "seat.save", "seat.save", "seat.sign_in"]
