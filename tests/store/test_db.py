"""Transactions: who may write when, what is rolled back, and what another process sees."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from callqa.errors import StoreError
from callqa.store.db import Database, driver_url, sqlite_path
from callqa.store.tables import Agent, Call
from tests.store_fixture import make_database


def test_write_commits_and_read_sees_it(tmp_path: Path) -> None:
    db = make_database(tmp_path)
    with db.write() as session:
        session.add(Agent(agent_no="801", name="王某"))
    with db.read() as session:
        agent = session.get(Agent, "801")
    assert agent is not None
    assert agent.name == "王某"  # rows stay readable after the session
    db.dispose()


def test_an_exception_rolls_a_write_back(tmp_path: Path) -> None:
    db = make_database(tmp_path)
    with pytest.raises(RuntimeError), db.write() as session:
        session.add(Agent(agent_no="801", name="王某"))
        session.flush()
        raise RuntimeError("stop")
    with db.read() as session:
        assert session.get(Agent, "801") is None
    assert not db.transaction_open()
    db.dispose()


def test_what_a_read_changes_is_lost(tmp_path: Path) -> None:
    db = make_database(tmp_path)
    with db.read() as session:
        session.add(Agent(agent_no="801", name="王某"))
    with db.read() as session:
        assert session.exec(select(Agent)).all() == []
    db.dispose()


def test_foreign_keys_and_checks_hold(tmp_path: Path) -> None:
    db = make_database(tmp_path)
    row = {"call_id": "C1", "direction": "inbound", "call_type": "inbound", "started_at_ms": 1}
    with pytest.raises(IntegrityError), db.write() as session:
        session.add(Call(**row, outcome="answered", agent_no="nobody"))
    with pytest.raises(IntegrityError), db.write() as session:
        session.add(Call(**row, outcome="perhaps"))
    db.dispose()


def test_database_is_safe_against_power_cuts_and_shared_by_processes(tmp_path: Path) -> None:
    db = make_database(tmp_path)
    with db.read() as session:
        pragmas = {
            name: session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}  # 2 = FULL
    db.dispose()


def test_nested_write_is_refused_instead_of_waiting_for_itself(tmp_path: Path) -> None:
    db = make_database(tmp_path)
    with db.write(), pytest.raises(StoreError, match="already open"), db.write():
        pass
    db.dispose()


def test_slow_work_is_refused_inside_a_transaction_of_the_same_thread_only(tmp_path: Path) -> None:
    db = make_database(tmp_path)
    elsewhere: list[bool] = []
    with db.read():
        with pytest.raises(StoreError, match="transcription"):
            db.refuse_open_transaction("transcription")
        other = threading.Thread(target=lambda: elsewhere.append(db.transaction_open()))
        other.start()
        other.join()
    assert elsewhere == [False]
    db.refuse_open_transaction("transcription")
    db.dispose()


def test_writers_take_turns(tmp_path: Path) -> None:
    """Read, add one, write back: with deferred transactions some of these would fail or be lost."""
    db = make_database(tmp_path)
    with db.write() as session:
        session.add(Agent(agent_no="n", name="0"))

    def count() -> None:
        mine = Database(db.url)
        for _ in range(10):
            with mine.write() as session:
                agent = session.get(Agent, "n")
                assert agent is not None
                agent.name = str(int(agent.name) + 1)
                session.add(agent)
        mine.dispose()

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.read() as session:
        agent = session.get(Agent, "n")
    assert agent is not None
    assert agent.name == "30"
    db.dispose()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u@h/db", "postgresql+psycopg://u@h/db"),
        ("postgresql://u@h/db", "postgresql+psycopg://u@h/db"),
        ("sqlite:////x/y.db", "sqlite:////x/y.db"),
    ],
)
def test_url_gets_the_driver_we_ship(given: str, used: str) -> None:
    assert driver_url(given) == used


@pytest.mark.parametrize("bad", ["callqa.db", "mysql://h/db", ""])
def test_other_databases_are_refused_in_chinese(bad: str) -> None:
    with pytest.raises(StoreError, match="数据库"):
        driver_url(bad)


def test_memory_database_is_refused() -> None:
    with pytest.raises(StoreError, match="必须是文件"):
        sqlite_path("sqlite://")
