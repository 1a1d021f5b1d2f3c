"""A call with a row in every table that can hang on one, a word and a number planted in every text that could hold them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, String
from sqlmodel import Session, SQLModel, col, select

from callqa.journal import JournalKind
from callqa.periods import Month
from callqa.store.db import Database
from callqa.store.tables import (
    Account,
    Agent,
    Appeal,
    Call,
    CaseStudy,
    CheckResultRow,
    CheckRun,
    CoachingNote,
    ConfidentialCall,
    CorrectiveAction,
    CorrectiveNote,
    Deduction,
    Evaluation,
    EvaluationComment,
    EvaluationItem,
    EvaluationRevision,
    FatalFinding,
    FollowupEvent,
    MissedCallFollowup,
    ReportRow,
    RubricVersion,
    SampleEntry,
    SamplingFrame,
    SuggestionDecision,
    SuggestionRow,
    Ticket,
    TicketLink,
    TranscriptRow,
    UtteranceRow,
    VocabularyCandidate,
)
from callqa.usecases.delete_files import Places
from callqa.usecases.ingest import ingest
from tests.usecases.recorded import BASE_MS, Recorder

WORD, NUMBER = "蜻蜓点水巷", "013987651234"
MARK = f"{WORD}{NUMBER}"
DAY_MS = 86_400_000
NOW_MS = BASE_MS + 120 * DAY_MS  # the third of March: November was reported long ago
PERIOD = {"recordings_days": 90, "fatal_case_days": 0}

# What stays as it is, for no content ever comes there: keys, codes, hashes, names of staff and programs.
STAYS: dict[str, set[str]] = {
    "call": {
        "call_id", "mode", "direction", "call_type", "outcome", "outcome_reason", "seat_extension", "hangup_party",
        "recording_status", "recording_path", "recording_sha256", "recording_encoding", "agent_no", "attribution_source",
        "excluded_as", "related",
    },
    "transcript": {"call_id", "engine", "model_sha256", "recording_sha256", "author"},
    "check_run": {"call_id", "rubric_hash", "facts_hash", "not_applicable"},
    "check_result": {"check_id", "item_id", "state"},
    "suggestion": {"call_id", "check_id", "item_id", "option_code", "fatal_id", "level"},
    "suggestion_decision": {"decision"},
    "sample_entry": {"call_id", "agent_no", "stratum", "rank", "kind", "state", "replaced_by", "reason"},  # reason: a code
    "evaluation": {"call_id", "kind", "rubric_hash", "recording_sha256", "status", "grade", "trust"},
    "evaluation_item": {"item_id", "na_by"},
    "deduction": {"item_id", "option_code"},
    "fatal_finding": {"fatal_id"},
    "evaluation_revision": {"kind", "items"},
    "appeal": {"item_id", "state"},
    "corrective_action": {"month", "agent_no", "item_id", "due_on", "state"},
    "corrective_note": {"kind"},
    "case_study": {"call_id", "kind", "item_id"},
    "confidential_call": {"call_id"},
    "ticket_link": {"call_id", "ticket_no", "state", "method", "decided_by"},
    "missed_call_followup": {"first_call_id", "state", "assigned_to", "closed_as", "closing_call_id", "done_by", "reason"},
    "followup_event": {"kind", "call_id", "by"},
    "call_progress": {"call_id", "stage", "state", "worker"},
    "vocabulary_candidate": {"state", "decided_by"},
    "utterance": {"speaker"},
    # not the call's: the ticket platform's copy of a ticket, the rubric, people
    "ticket": {column.name for column in Ticket.__table__.columns},  # type: ignore[attr-defined]
    "rubric_version": {column.name for column in RubricVersion.__table__.columns},  # type: ignore[attr-defined]
    "sampling_frame": {column.name for column in SamplingFrame.__table__.columns},  # type: ignore[attr-defined]
    "account": {column.name for column in Account.__table__.columns},  # type: ignore[attr-defined]
    "report": {column.name for column in ReportRow.__table__.columns},  # type: ignore[attr-defined]
    "agent": {column.name for column in Agent.__table__.columns},  # type: ignore[attr-defined]
}  # fmt: skip
# Lists of notes whose shape is read again.
SHAPED: dict[tuple[str, str], Any] = {
    ("call", "transfers"): [{"at_ms": 1, "kind": "blind", "to": MARK, "seat_extension": "8002"}],
    ("call", "pauses"): [{"at_ms": 1, "kind": "paused", "by": "8001", "reason": MARK}],
}


def make_recorded(recordings: Path, *call_ids: str) -> Recorder:
    """Calls with spool and journal as the recorder leaves them; the first one from the marked number."""
    recorder = Recorder(recordings)
    for n, call_id in enumerate(call_ids):
        recorder.call(
            call_id, from_number=NUMBER if n == 0 else "013800138000", **({"user_to_user": WORD} if n == 0 else {})
        )
        spool = recordings / "spool" / f"{call_id}.spool"
        spool.parent.mkdir(parents=True, exist_ok=True)
        spool.write_text(MARK if n == 0 else "other")
        spool.with_suffix(".archived").write_text("{}")
    recorder.journal(JournalKind.CALL_MARKED, call_ids[0], code="7", seat_extension="8001")
    return recorder


def places_of(recorder: Recorder, var: Path) -> Places:
    """Where those lie."""
    return Places(recorder.recordings, recorder.recordings / "spool", var)


def take_in(db: Database, recorder: Recorder) -> None:
    """What the worker does with them."""
    ingest(db, recordings=recorder.recordings, now_ms=BASE_MS)
    with db.write() as session:
        for row in session.exec(select(Call)):
            row.agent_no = None
            session.add(row)


def plant(session: Session, call_id: str) -> None:
    """A row in every table that can hang on the call, and the mark in all its texts."""
    month = str(Month.of(BASE_MS))
    session.add(Account(id=1, username="leader", display_name="周班长", role="shift_leader", password_hash="x"))
    session.add(Account(id=2, username="client", display_name="监督员", role="client_supervisor", password_hash="x"))
    session.add(
        RubricVersion(
            rubric_hash="r", rubric_id="r", version=1, title="", source="", effective_from_ms=0, loaded_at_ms=0
        )
    )
    session.add(Ticket(ticket_no="T1"))
    frame = SamplingFrame(
        month=month,
        state="revealed",
        frozen_at_ms=1,
        frozen_by="leader",
        frame_text=call_id,
        frame_hash="f",
        plan_json="{}",
        plan_hash="p",
    )
    session.add(frame)
    session.add(ReportRow(month=month, version=1, report_no="", made_at_ms=NOW_MS, made_by="leader"))
    session.flush()
    old = TranscriptRow(
        call_id=call_id, version=1, engine="e", model_sha256="m", recording_sha256="s", duration_ms=1, created_at_ms=1
    )
    new = TranscriptRow(
        call_id=call_id, version=2, engine="e", model_sha256="m", recording_sha256="s", duration_ms=1, created_at_ms=2
    )
    session.add_all([old, new])
    session.flush()
    for row in (old, new):
        assert row.id is not None
        session.add(
            UtteranceRow(
                transcript_id=row.id,
                index=0,
                speaker="citizen",
                start_ms=0,
                end_ms=9,
                text=WORD,
                raw_text=WORD,
                confidence=1,
            )
        )
    session.add(VocabularyCandidate(transcript_id=new.id, word="", was="", offered_at_ms=1))
    run = CheckRun(call_id=call_id, transcript_id=new.id, rubric_hash="r", created_at_ms=1)
    entry = SampleEntry(
        frame_id=frame.id, call_id=call_id, agent_no="801", stratum="normal", rank="0", kind="sample", position=1
    )
    session.add_all([run, entry])
    session.flush()
    hint = SuggestionRow(check_run_id=run.id, call_id=call_id, check_id="c", item_id="S1.1", level="hint", reason="")
    session.add_all([hint, CheckResultRow(check_run_id=run.id, check_id="c", item_id="S1.1", state="hit")])
    card = Evaluation(
        call_id=call_id, sample_entry_id=entry.id, rubric_hash="r", transcript_id=new.id, check_run_id=run.id, evaluator_id=1,
        status="finalized", quality_score=93.5, final_score=93.5, opened_at_ms=1,
    )  # fmt: skip
    session.add(card)
    session.flush()
    assert card.id is not None and hint.id is not None
    of_card = {"evaluation_id": card.id}
    action = CorrectiveAction(
        **of_card, month=month, text="", due_on="2026-12-31", state="done", opened_by=1, opened_at_ms=1
    )
    missed = MissedCallFollowup(key="", first_call_id=call_id, missed_at_ms=1, last_missed_at_ms=1, state="done")
    session.add_all([action, missed])
    session.flush()
    session.add_all(
        [
            EvaluationItem(**of_card, item_id="S1.1", max_points=5, points=3.5),
            Deduction(**of_card, item_id="S1.1", option_code="b", points=1.5),
            EvaluationComment(**of_card, text=""),
            FatalFinding(
                **of_card,
                fatal_id="F1",
                at_ms=1,
                words="",
                confirmed_by=1,
                second_confirmed_by=2,
                second_confirmed_at_ms=9,
            ),
            EvaluationRevision(
                **of_card, number=1, kind="submit", by_account_id=1, at_ms=1, quality_score=93.5, final_score=93.5
            ),
            Appeal(**of_card, item_id="S1.1", reason="", state="upheld", opened_by=1, opened_at_ms=1),
            CoachingNote(**of_card, text="", written_by=1, written_at_ms=1),
            SuggestionDecision(**of_card, suggestion_id=hint.id, decision="accepted"),
            CorrectiveNote(action_id=action.id, at_ms=1, by_account_id=1, kind="note", text=""),
            CaseStudy(call_id=call_id, kind="problem", title="", lesson="", added_by=1, added_at_ms=1),
            ConfidentialCall(call_id=call_id, reason="", marked_by=1, marked_at_ms=1),
            TicketLink(call_id=call_id, ticket_no="T1", state="linked", method="manual", score=1, decided_at_ms=1),
            FollowupEvent(followup_id=missed.id, at_ms=1, kind="missed", call_id=call_id),
        ]
    )
    session.flush()
    for row in list(_hanging(session, call_id)):
        _mark(row)
        session.add(row)


def _hanging(session: Session, call_id: str) -> Iterator[SQLModel]:
    """Every row of every table that has something to do with the one call of these tests."""
    for mapper in Call.__mapper__.registry.mappers:  # type: ignore[attr-defined]
        if mapper.local_table.name not in ("audit_log", "search_doc", "journal_position"):
            for row in session.exec(select(mapper.class_)):
                if getattr(row, "call_id", call_id) == call_id:
                    yield row


def _mark(row: SQLModel) -> None:
    table = row.__table__  # type: ignore[attr-defined]
    for column in table.columns:
        if column.name in STAYS.get(table.name, set()):
            continue
        place = (table.name, column.name)
        if isinstance(column.type, JSON):
            setattr(row, column.name, SHAPED.get(place, {"x": MARK} if place == ("transcript", "options") else [MARK]))
        elif isinstance(getattr(column.type, "impl", column.type), String):
            setattr(row, column.name, MARK)


def texts(db: Database) -> Iterator[tuple[str, str]]:
    """(table.column, everything in it) of the whole database, whatever its type."""
    with db.engine.connect() as connection:
        names = (
            "select name from sqlite_master where type = 'table' and sql not like 'create virtual%'"
            if db.is_sqlite
            else "select table_name from information_schema.tables where table_schema = 'public'"
        )
        for (name,) in connection.exec_driver_sql(names).all():
            found = connection.exec_driver_sql(f'select * from "{name}"')
            columns = list(found.keys())
            for row in found:
                yield from ((f"{name}.{column}", _readable(value)) for column, value in zip(columns, row, strict=True))


def _readable(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.encode().decode("unicode_escape", "replace") + text if "\\u" in text else text


def where_marked(db: Database, *folders: Path) -> set[str]:
    """Where the word or the number still is: columns, and files by content or name."""
    found = {place for place, text in texts(db) if WORD in text or NUMBER in text or NUMBER[1:] in text}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and any(
                mark.encode() in path.read_bytes() or mark in path.name for mark in (WORD, NUMBER, NUMBER[1:])
            ):
                found.add(path.name)
    return found


__all__ = [
    "MARK",
    "NOW_MS",
    "NUMBER",
    "PERIOD",
    "STAYS",
    "WORD",
    "col",
    "make_recorded",
    "places_of",
    "plant",
    "take_in",
    "where_marked",
]
