"""A transcribed call gets a run of the rubric in force when it started; other facts add a run, the same ones do not."""

from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select

from callqa.audiofile import read_audio, wav_bytes
from callqa.store.db import Database
from callqa.store.queries.transcription import newest_transcript
from callqa.store.tables import Call, CheckResultRow, CheckRun, SuggestionRow, Ticket, TicketLink, UtteranceRow
from callqa.usecases import progress
from callqa.usecases.check import TICKET_WAIT_MS, call_facts, check, linked_ticket, newest_run
from callqa.usecases.ingest import ingest
from callqa.usecases.load_rubric import load_rubric
from callqa.usecases.progress import Stage, StageState
from callqa.usecases.transcribe import transcribe
from callqa.web.suggestion_view import RECORD_OPERATORS
from tests.usecases.recorded import BASE_MS, DAY_FOLDER, FakeEngine, Recorder
from tests.usecases.test_load_rubric import DEFAULT


@pytest.fixture
def recordings(tmp_path: Path, db: Database) -> Path:
    made = Recorder(tmp_path / "recordings", seconds=30.0)
    made.call("C1", gaps=[{"channel": 0, "start_ms": 100, "end_ms": 300, "kind": "lost"}])
    made.call("C2", recorded=False)
    ingest(db, recordings=made.recordings, now_ms=BASE_MS)
    return made.recordings


def _transcribe(db: Database, recordings: Path, call_id: str = "C1") -> None:
    claimed = progress.claim(db, call_id, Stage.TRANSCRIBE, now_ms=BASE_MS)
    assert claimed is not None
    transcribe(db, claimed, engine=FakeEngine(), recordings=recordings, clock=lambda: BASE_MS)


def _check(db: Database, recordings: Path, call_id: str = "C1", now_ms: int = BASE_MS + 1000) -> progress.StageResult:
    progress.want_again(db, [call_id], Stage.CHECK, actor="system", now_ms=BASE_MS)
    claimed = progress.claim(db, call_id, Stage.CHECK, now_ms=BASE_MS)
    assert claimed is not None
    return check(db, claimed, recordings=recordings, clock=lambda: now_ms)


def _runs(db: Database) -> list[CheckRun]:
    with db.read() as session:
        return list(session.exec(select(CheckRun).order_by(CheckRun.id)))  # type: ignore[arg-type]


def _link(db: Database, ticket_no: str, **fields: object) -> None:
    with db.write() as session:
        session.add(Ticket(ticket_no=ticket_no, accepted_at_ms=BASE_MS + 60_000, **fields))
        session.flush()
        session.add(
            TicketLink(
                call_id="C1", ticket_no=ticket_no, state="linked", method="evidence", score=80, decided_at_ms=BASE_MS
            )
        )


def test_run_has_results_and_suggestions_with_evidence(db: Database, recordings: Path) -> None:
    """The fake engine has the agent greet and no more: much is missing, and every hint says where and why."""
    loaded = load_rubric(db, DEFAULT, now_ms=BASE_MS)
    _transcribe(db, recordings)
    assert _check(db, recordings, now_ms=BASE_MS + 2 * TICKET_WAIT_MS).state is StageState.DONE
    with db.read() as session:
        run = newest_run(session, "C1")
        results = session.exec(select(CheckResultRow)).all()
        suggestions = session.exec(select(SuggestionRow)).all()
    assert run is not None
    assert (run.rubric_hash, run.call_id) == (loaded.rubric_hash, "C1")
    assert run.auto_score is not None
    assert {row.check_run_id for row in results} == {run.id}
    assert {row.state for row in results} <= {"hit", "miss", "unsure", "not_checked"}
    assert suggestions
    for row in suggestions:
        assert row.reason
        assert row.level in ("preselect", "hint")
        for each in row.evidence:
            assert set(each) == {"channel", "start_ms", "end_ms", "quote", "operator", "params"}


def test_same_facts_add_no_run_and_a_new_link_does(db: Database, recordings: Path) -> None:
    load_rubric(db, DEFAULT, now_ms=BASE_MS)
    _transcribe(db, recordings)
    _check(db, recordings)
    _check(db, recordings)
    assert len(_runs(db)) == 1
    _link(db, "SW1", location="宝丰路")
    _check(db, recordings)
    first, second = _runs(db)
    assert first.facts_hash != second.facts_hash
    with db.read() as session:
        newest = newest_run(session, "C1")
    assert newest is not None
    assert newest.id == second.id


def test_facts_are_what_the_rows_say(db: Database, recordings: Path) -> None:
    _transcribe(db, recordings)
    _link(db, "SW1", district="江岸区", location="江岸区宝丰路", urgent_flag=True, category="help")
    with db.read() as session:
        call = session.get(Call, "C1")
        assert call is not None
        facts = call_facts(session, call, now_ms=BASE_MS)
    assert facts.transcript is not None
    assert facts.ticket is not None
    assert (facts.ticket.location, facts.ticket.urgent_flag, facts.ticket.category) == ("宝丰路", True, "help")
    assert (facts.duration_ms, facts.ring_ms, facts.hangup_party) == (30_000, 3000, "citizen")
    assert [(g.channel, g.span.start_ms, g.kind.value) for g in facts.gaps] == [(0, 100, "lost")]
    assert facts.times.call_answered_at_ms == BASE_MS + 3000


def test_a_persons_link_counts_before_the_machines(db: Database, recordings: Path) -> None:
    _link(db, "SW1")
    with db.write() as session:
        session.add(Ticket(ticket_no="SW2"))
        session.flush()
        session.add(
            TicketLink(call_id="C1", ticket_no="SW2", state="linked", method="manual", score=0, decided_at_ms=BASE_MS)
        )
    with db.read() as session:
        ticket = linked_ticket(session, "C1")
    assert ticket is not None
    assert ticket.ticket_no == "SW2"


def test_without_a_rubric_the_check_waits(db: Database, recordings: Path) -> None:
    _transcribe(db, recordings)
    result = _check(db, recordings)
    assert result.state is StageState.WAITING
    assert "质检标准" in result.message


def test_without_a_transcript_there_is_nothing_to_check(db: Database, recordings: Path) -> None:
    load_rubric(db, DEFAULT, now_ms=BASE_MS)
    _transcribe(db, recordings, "C2")
    result = _check(db, recordings, "C2")
    assert (result.state, _runs(db)) == (StageState.DONE, [])
    assert "没有转写" in result.message


def test_a_mono_recording_is_transcribed_unseparated_and_only_records_are_judged(
    db: Database, recordings: Path
) -> None:
    """The hotline's own rubric: every rule that listens abstains, says why, and suggests nothing."""
    load_rubric(db, DEFAULT, now_ms=BASE_MS)
    path = recordings / DAY_FOLDER / "C1.wav"
    both = read_audio(path)
    path.write_bytes(wav_bytes(both.samples.sum(axis=1, dtype=np.int16)[:, None], both.sample_rate_hz))
    _transcribe(db, recordings)
    _check(db, recordings)
    with db.read() as session:
        transcript = newest_transcript(session, "C1")
        assert transcript is not None and not transcript.separated
        speakers = {u.speaker for u in session.exec(select(UtteranceRow))}
        results = session.exec(select(CheckResultRow)).all()
        suggestions = session.exec(select(SuggestionRow)).all()
    assert speakers == {"unknown"}
    abstained = [r for r in results if "未分声道" in r.explanation]
    assert abstained and {r.state for r in abstained} == {"not_checked"}
    operators = {e["operator"] for s in suggestions for e in s.evidence}
    assert operators <= RECORD_OPERATORS, "nothing that was said is held against anybody"
