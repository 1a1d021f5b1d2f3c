"""Sessions and the brake on guessing."""

import pytest

from callqa.store.tables import WebSession
from callqa.usecases import sessions
from callqa.usecases.accounts import NewAccount, create_account
from callqa.usecases.sessions import FORGET_AFTER_MS, LONGEST_WAIT_MS, SignInBrake
from tests.store_fixture import make_database

NOW_MS = 1_795_327_500_000
HOUR_MS = 3_600_000
PASSWORD = "long enough 9"


@pytest.fixture
def db(tmp_path):
    database = make_database(tmp_path)
    new = NewAccount("li", "李班长", "shift_leader", PASSWORD, must_change_password=False)
    create_account(database, new, actor="system", now_ms=NOW_MS)
    yield database
    database.dispose()


def enter(db, now_ms: int = NOW_MS, password: str = PASSWORD, username: str = "li"):
    return sessions.sign_in(
        db, username=username, password=password, user_agent="test " * 100, lifetime_ms=HOUR_MS, now_ms=now_ms
    )


def test_a_session_lives_from_sign_in_to_its_end(db):
    signed_in = enter(db)
    found = sessions.find_session(db, token=signed_in.token, now_ms=NOW_MS + HOUR_MS - 1)
    assert (found.username, found.role) == ("li", "shift_leader")
    assert sessions.find_session(db, token=signed_in.token, now_ms=NOW_MS + HOUR_MS) is None
    assert sessions.find_session(db, token="made up", now_ms=NOW_MS) is None
    sessions.sign_out(db, token=signed_in.token, now_ms=NOW_MS)
    assert sessions.find_session(db, token=signed_in.token, now_ms=NOW_MS) is None
    sessions.sign_out(db, token="made up", now_ms=NOW_MS)


def test_every_sign_in_has_its_own_token_and_old_rows_go(db):
    first, second = enter(db), enter(db)
    assert first.token != second.token
    enter(db, now_ms=NOW_MS + 2 * HOUR_MS)
    with db.read() as session:
        from sqlmodel import select

        rows = session.exec(select(WebSession)).all()
    assert len(rows) == 1 and len(rows[0].user_agent) == 200


def test_failures_are_told_after_the_next_success(db):
    assert enter(db, password="wrong") is None
    assert enter(db, password="wrong") is None
    assert enter(db, username="nobody") is None
    assert enter(db).failures_before == 2
    assert enter(db).failures_before == 0


def test_the_brake_grows_has_an_end_and_forgets():
    brake = SignInBrake()
    waits = []
    now = 0
    for _ in range(12):
        brake.failed("li", "10.0.0.1", now)
        waits.append(brake.wait_ms("li", "10.0.0.1", now))
        now += waits[-1]
    assert waits[:4] == [0, 0, 0, 0]
    assert waits[4:8] == [2_000, 4_000, 8_000, 16_000] and max(waits) == LONGEST_WAIT_MS
    assert brake.wait_ms("li", "10.0.0.2", now) == 0, "the right person at another place is not slowed"
    brake.failed("li", "10.0.0.1", now)
    assert brake.wait_ms("li", "10.0.0.1", now + FORGET_AFTER_MS + 1) == 0
    brake.succeeded("li", "10.0.0.1")
    assert brake.wait_ms("li", "10.0.0.1", now) == 0


def test_the_brake_stays_small_under_a_flood(monkeypatch):
    monkeypatch.setattr(sessions, "MAX_REMEMBERED", 100)
    brake = SignInBrake()
    for n in range(1000):
        brake.failed(f"name{n}", "10.0.0.1", n)
    assert len(brake._failures) == 100
