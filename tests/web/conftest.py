"""The web application over a temporary database, and browsers signed in by role."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from callqa.config import Settings
from callqa.store.db import Database
from callqa.store.tables import Account, Agent
from callqa.usecases import accounts as password_verbs
from callqa.usecases import recorder_line
from callqa.usecases.accounts import hash_password
from callqa.web import live_socket
from callqa.web.app import create_app
from tests import builders
from tests.store_fixture import make_database

LIMIT_S = 60.0  # reached only on failure; machines that build are often busy
NOW_MS = 1_795_327_500_000  # 2026-11-22 14:05 in Shanghai
PASSWORD = "correct-horse-7"
ORIGIN = "http://testserver"


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with its least cost: real hashes take 50 ms each, and a test makes many."""
    monkeypatch.setattr(password_verbs, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture(autouse=True)
def patient_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page waits half a second for the recorder; a test's recorder on a busy machine may need longer."""
    monkeypatch.setattr(live_socket, "FIRST_BOARD_WITHIN_S", LIMIT_S)
    monkeypatch.setattr(recorder_line, "ANSWER_WITHIN_S", LIMIT_S)


@cache
def _hash() -> str:
    return hash_password(PASSWORD)


class Clock:
    """A clock the test moves."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    db = make_database(tmp_path)
    yield db
    db.dispose()


@pytest.fixture
def accounts(database: Database) -> dict[str, int]:
    """One account a role, user name = role, all with PASSWORD; the agent is 801."""
    with database.write() as session:
        session.add(Agent(agent_no="801", name="王小雨"))
        session.add(Agent(agent_no="802", name="陈一鸣"))
        session.flush()
        ids = {}
        for role, name in (
            ("shift_leader", "李班长"),
            ("agent", "王小雨"),
            ("client_supervisor", "赵监督"),
            ("admin", "管理员"),
        ):
            account = Account(
                username=role,
                display_name=name,
                role=role,
                password_hash=_hash(),
                agent_no="801" if role == "agent" else None,
            )
            session.add(account)
            session.flush()
            assert account.id is not None
            ids[role] = account.id
    return ids


@pytest.fixture
def app_client(settings: Settings, database: Database, clock: Clock) -> Iterator[TestClient]:
    """A browser that has not signed in."""
    app = create_app(settings, database, clock=clock)
    with TestClient(app, follow_redirects=False, headers={"Origin": ORIGIN}) as client:
        yield client


@pytest.fixture
def browser(
    settings: Settings, database: Database, clock: Clock, accounts: dict[str, int]
) -> Callable[[str], TestClient]:
    """`browser("shift_leader")`: a client signed in by the form."""
    app = create_app(settings, database, clock=clock)

    def sign_in(role: str) -> TestClient:
        client = TestClient(app, follow_redirects=False, headers={"Origin": ORIGIN})
        answer = client.post("/login", data={"username": role, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        return client

    return sign_in


@pytest.fixture
def leader(browser: Callable[[str], TestClient]) -> TestClient:
    return browser("shift_leader")


@pytest.fixture
def month(database: Database, settings: Settings, accounts: dict[str, int]) -> str:
    """A believable November; gives the call_id of its showpiece."""
    with database.write() as session:
        return builders.add_month(session, settings.recordings_dir, NOW_MS).call_id
