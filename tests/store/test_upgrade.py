"""A database of an earlier version, with rows in it, becomes the newest without losing or changing one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlmodel import select

from callqa.store.db import Database
from callqa.store.migrate import MIGRATIONS, current_revision, head_revision, migrate
from callqa.store.tables import Call, FollowupEvent, MissedCallFollowup, UtteranceRow
from tests.store import postgres

CALL_ID = "20261103T000000000Z-A1"
START_MS = 1_793_664_000_000

# Rows as the first version wrote them.
ROWS = (
    ("agent", {"agent_no": "801", "name": "王小雨", "active": True}),
    (
        "call",
        {
            "call_id": CALL_ID, "mode": "bridge", "direction": "inbound", "call_type": "inbound", "outcome": "abandoned",
            "outcome_reason": "诉求人先挂断", "from_number": "13871206358", "to_number": "96510",
            "citizen_number": "13871206358", "started_at_ms": START_MS, "recovered": False, "recording_status": "none",
            "gaps": "[]", "streams": '[{"channel": 0}]', "faults": "[]", "attribution_source": "pending",
            "attribution_reason": "", "demo": False, "version": 3,
        },
    ),
    (
        "transcript",
        {
            "id": 1, "call_id": CALL_ID, "version": 1, "engine": "fake", "model_sha256": "0" * 64, "options": "{}",
            "recording_sha256": "1" * 64, "duration_ms": 1000, "separated": True, "speech": "[]", "notes": "[]",
            "created_at_ms": START_MS,
        },
    ),
    (
        "utterance",
        {
            "transcript_id": 1, "index": 0, "speaker": "agent", "start_ms": 0, "end_ms": 900, "text": "您好",
            "raw_text": "您好", "confidence": 0.9, "reliable": True,
        },
    ),
)  # fmt: skip


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'callqa.db'}"
        return
    with postgres.server() as found:
        yield found


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _fill(url: str) -> None:
    """The first version's schema with ROWS in it."""
    db, config = Database(url), _config()
    with db.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for table, row in ROWS:
            columns = ", ".join(f'"{name}"' for name in row)
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f'insert into "{table}" ({columns}) values ({values})'), row)
        connection.commit()
    db.dispose()


def test_rows_of_the_first_version_are_kept_and_new_fields_are_empty(url: str) -> None:
    _fill(url)
    migrate(url)
    db = Database(url)
    with db.read() as session:
        call = session.exec(select(Call)).one()
        assert (call.call_id, call.outcome_reason, call.version) == (CALL_ID, "诉求人先挂断", 3)
        assert call.streams == [{"channel": 0}]
        assert (call.withheld, call.diverted_from, call.queued_at_ms, call.joined_by) == (False, "", None, None)
        assert [call.digits, call.marks, call.transfers, call.parties, call.pauses] == [[]] * 5
        utterance = session.exec(select(UtteranceRow)).one()
        assert (utterance.text, utterance.repairs, utterance.unprompted) == ("您好", [], [])
    with db.write() as session:  # and the new tables can be written
        entry = MissedCallFollowup(
            key="2026-11-03/13871206358",
            first_call_id=CALL_ID,
            missed_at_ms=START_MS,
            last_missed_at_ms=START_MS,
            state="wanted",
        )
        session.add(entry)
        session.flush()
        assert entry.id is not None
        session.add(FollowupEvent(followup_id=entry.id, at_ms=START_MS, kind="missed", call_id=CALL_ID))
    db.dispose()


def test_going_back_to_the_first_version_keeps_its_rows(url: str) -> None:
    _fill(url)
    migrate(url)
    db, config = Database(url), _config()
    with db.engine.connect() as connection:
        assert current_revision(connection) == head_revision()
        connection.rollback()
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        connection.commit()
        assert connection.execute(text("select started_at_ms from call")).scalars().all() == [START_MS]
        assert connection.execute(text("select text from utterance")).scalars().all() == ["您好"]
    db.dispose()
    migrate(url)
