"""Which rows hold what was said in a call, who called, or what people wrote of it; and how each is emptied.

What stays is what figures, draws and scores are made of: the call's times, direction, outcome, agent and length; points and
options; who did what and when. A test plants a word in every text column that may hang on a call and looks for it afterwards.
"""

from typing import Any

from sqlalchemy import Update, delete, or_, update
from sqlmodel import Session, col, select

from callqa.store import search
from callqa.store.tables import (
    Appeal,
    Call,
    CallProgress,
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
    EvaluationRevision,
    FatalFinding,
    FollowupEvent,
    MissedCallFollowup,
    SuggestionRow,
    TicketLink,
    TranscriptRow,
    UtteranceRow,
    VocabularyCandidate,
)

GONE = "（已随通话删除）"  # where a text was; fields that were empty stay empty

OUTSIDE = "外线"  # that a call was put through to one is counted

# Fields of a call that are emptied, and what is in them afterwards.
CALL_CONTENT: dict[str, Any] = {
    "from_number": "",
    "to_number": "",
    "citizen_number": "",
    "diverted_from": "",
    "user_to_user": None,
    "ticket_hint": None,
    "attribution_reason": "",
    "disposition": None,
    "joined_by": None,
    "digits": [],
    "marks": [],
    "parties": [],
    "gaps": [],
    "streams": [],
    "faults": [],
    "recording_path": None,
}
TRANSCRIPT_CONTENT: dict[str, Any] = {"options": {}, "speech": [], "notes": [], "reason": ""}


def empty_call(session: Session, call: Call, now_ms: int) -> None:
    """Take all content out of the rows of a call and mark it deleted. Its files are another matter (delete_files.py)."""
    call_id = call.call_id
    search.forget_call(session, call_id)
    for field, empty in CALL_CONTENT.items():
        setattr(call, field, empty)
    call.transfers = [{**note, "to": ""} for note in call.transfers]
    call.pauses = [{**note, "reason": ""} for note in call.pauses]
    call.overflow_to = OUTSIDE if call.overflow_to else ""
    call.deleted_at_ms, call.version = now_ms, call.version + 1
    session.add(call)
    session.flush()
    for statement in (*_of_transcripts(call_id), *_of_checks(call_id), *_of_scores(call_id), *_of_the_call(call_id)):
        session.execute(statement, execution_options={"synchronize_session": False})
    _empty_followups(session, call_id)
    session.flush()
    session.expire_all()


def _text(table: Any, column: Any, where: Any) -> Update:
    """GONE in place of a text that is there."""
    return update(table).where(where, column != "").values({column.key: GONE})


def _of_transcripts(call_id: str) -> list[Any]:
    """Every version: its words go; its row stays, since scores and checks say which one they were made from."""
    ids = select(TranscriptRow.id).where(TranscriptRow.call_id == call_id)
    return [
        delete(VocabularyCandidate).where(col(VocabularyCandidate.transcript_id).in_(ids)),
        delete(UtteranceRow).where(col(UtteranceRow.transcript_id).in_(ids)),
        update(TranscriptRow).where(col(TranscriptRow.call_id) == call_id).values(TRANSCRIPT_CONTENT),
    ]


def _of_checks(call_id: str) -> list[Any]:
    runs = select(CheckRun.id).where(CheckRun.call_id == call_id)
    return [
        update(CheckResultRow).where(col(CheckResultRow.check_run_id).in_(runs)).values(explanation="", reasoning=[]),
        update(SuggestionRow).where(col(SuggestionRow.call_id) == call_id).values(reason=GONE, evidence=[]),
    ]


def _of_scores(call_id: str) -> list[Any]:
    """What people wrote about the call; the points and who gave them stay."""
    cards = select(Evaluation.id).where(Evaluation.call_id == call_id)
    actions = select(CorrectiveAction.id).where(col(CorrectiveAction.evaluation_id).in_(cards))
    of_card: list[tuple[Any, Any]] = [
        (Deduction, Deduction.note),
        (FatalFinding, FatalFinding.words),
        (FatalFinding, FatalFinding.refusal),
        (EvaluationComment, EvaluationComment.text),
        (EvaluationRevision, EvaluationRevision.reason),
        (Appeal, Appeal.reason),
        (Appeal, Appeal.decision),
        (CoachingNote, CoachingNote.text),
        (CorrectiveAction, CorrectiveAction.text),
    ]
    return [
        _text(Evaluation, col(Evaluation.summary), col(Evaluation.call_id) == call_id),
        *(_text(table, col(column), col(table.evaluation_id).in_(cards)) for table, column in of_card),
        _text(CorrectiveNote, col(CorrectiveNote.text), col(CorrectiveNote.action_id).in_(actions)),
    ]


def _of_the_call(call_id: str) -> list[Any]:
    return [
        delete(CallProgress).where(col(CallProgress.call_id) == call_id),
        update(TicketLink).where(col(TicketLink.call_id) == call_id).values(reasons=[]),
        _text(ConfidentialCall, col(ConfidentialCall.reason), col(ConfidentialCall.call_id) == call_id),
        update(CaseStudy).where(col(CaseStudy.call_id) == call_id).values(title=GONE, lesson=GONE, excerpt=[]),
    ]


def _empty_followups(session: Session, call_id: str) -> None:
    """An entry of the missed calls leads to the number in its key; it stays as a count of what was done."""
    events = select(FollowupEvent.followup_id).where(FollowupEvent.call_id == call_id)
    entries = session.exec(
        select(MissedCallFollowup).where(
            or_(col(MissedCallFollowup.first_call_id) == call_id, col(MissedCallFollowup.id).in_(events))
        )
    ).all()
    for entry in entries:
        entry.key, entry.number, entry.note = f"deleted/{entry.id}", "", GONE if entry.note else ""
        session.add(entry)
        session.execute(
            _text(FollowupEvent, col(FollowupEvent.note), col(FollowupEvent.followup_id) == entry.id),
            execution_options={"synchronize_session": False},
        )


__all__ = ["CALL_CONTENT", "GONE", "empty_call"]
