"""A small office for the tests of people, tickets and links: two agents, two seats, rows made by hand."""

from datetime import datetime
from pathlib import Path

from callqa.periods import SHANGHAI, to_ms
from callqa.store.db import Database
from callqa.store.tables import Call, CallProgress
from callqa.usecases import people
from tests.store_fixture import make_database

T0 = to_ms(datetime(2026, 11, 3, 8, 12, 30, tzinfo=SHANGHAI))
MINUTE = 60_000
HEADER = "工单编号,受理时间,受理工号,来电号码,联系电话,办结时间,办理结果"


def make_office(tmp_path: Path) -> Database:
    """Agents 801 and 802, seats 8001 and 8002, nobody signed in."""
    db = make_database(tmp_path)
    for agent_no, name in (("801", "周敏"), ("802", "何俊")):
        people.add_agent(db, agent_no=agent_no, name=name, actor="test", now_ms=T0 - 9 * MINUTE)
    for extension in ("8001", "8002"):
        people.add_seat(db, extension=extension, password="secret-" + extension, actor="test", now_ms=T0 - 9 * MINUTE)
    return db


def add_call(db: Database, call_id: str = "C1", **changes) -> None:
    """An answered inbound call of 90 s at seat 8001 from 13900010001, its link stage done long ago."""
    row = {
        "direction": "inbound", "call_type": "inbound", "outcome": "answered", "citizen_number": "13900010001",
        "seat_extension": "8001", "started_at_ms": T0, "answered_at_ms": T0 + 5_000, "ended_at_ms": T0 + 90_000,
    }  # fmt: skip
    with db.write() as session:
        session.add(Call(call_id=call_id, **(row | changes)))
        session.flush()
        session.add(CallProgress(call_id=call_id, stage="link", state="done", updated_at_ms=T0))


def get_call(db: Database, call_id: str = "C1") -> Call:
    with db.read() as session:
        call = session.get(Call, call_id)
        assert call is not None
        return call


def csv(*rows: str) -> bytes:
    return "\n".join([HEADER, *rows]).encode()


def ticket(no: str = "WH-1001", **cells: str) -> str:
    """A row accepted inside the call of `add_call`."""
    row = dict.fromkeys(HEADER.split(","), "") | {
        "工单编号": no, "受理时间": "2026-11-03 08:13:30", "受理工号": "801", "来电号码": "13900010001",
    }  # fmt: skip
    return ",".join((row | cells).values())
