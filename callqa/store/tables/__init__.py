"""All stored nouns. Rows are made only from values already checked (SQLModel tables do not validate)."""

from sqlalchemy import BigInteger
from sqlmodel import SQLModel

from callqa.store.tables import _naming  # noqa: F401  # first: names the constraints of all tables below
from callqa.store.tables.calls import Call, CallProgress, JournalPosition, TranscriptRow, UtteranceRow
from callqa.store.tables.coaching import CaseStudy, CoachingNote, CorrectiveAction, CorrectiveNote
from callqa.store.tables.confidential import ConfidentialCall, ConfidentialReader
from callqa.store.tables.deletions import CallDeletion, LegalHold
from callqa.store.tables.followups import FollowupEvent, MissedCallFollowup
from callqa.store.tables.people import Account, Agent, DeskSetting, RosterEntry, Seat, SeatLogin, WebSession
from callqa.store.tables.reports import AuditEntry, ReportRow, ReportText
from callqa.store.tables.reviews import Appeal, CalibrationSession, EvaluationRevision
from callqa.store.tables.scoring import (
    CheckResultRow,
    CheckRun,
    Deduction,
    Evaluation,
    EvaluationComment,
    EvaluationItem,
    FatalFinding,
    RubricDraft,
    RubricTrial,
    RubricVersion,
    SampleEntry,
    SamplingFrame,
    SuggestionDecision,
    SuggestionRow,
)
from callqa.store.tables.search import SearchDoc
from callqa.store.tables.tickets import Ticket, TicketImport, TicketLink
from callqa.store.tables.transcripts import VocabularyCandidate, VocabularyVersion

__all__ = [
    "Account",
    "Agent",
    "Appeal",
    "AuditEntry",
    "CalibrationSession",
    "Call",
    "CallDeletion",
    "CallProgress",
    "CaseStudy",
    "CheckResultRow",
    "CheckRun",
    "CoachingNote",
    "ConfidentialCall",
    "ConfidentialReader",
    "CorrectiveAction",
    "CorrectiveNote",
    "Deduction",
    "DeskSetting",
    "Evaluation",
    "EvaluationComment",
    "EvaluationItem",
    "EvaluationRevision",
    "FatalFinding",
    "FollowupEvent",
    "JournalPosition",
    "LegalHold",
    "MissedCallFollowup",
    "ReportRow",
    "ReportText",
    "RosterEntry",
    "RubricDraft",
    "RubricTrial",
    "RubricVersion",
    "SampleEntry",
    "SamplingFrame",
    "SearchDoc",
    "Seat",
    "SeatLogin",
    "SuggestionDecision",
    "SuggestionRow",
    "Ticket",
    "TicketImport",
    "TicketLink",
    "TranscriptRow",
    "UtteranceRow",
    "VocabularyCandidate",
    "VocabularyVersion",
    "WebSession",
]


def _widen_milliseconds() -> None:
    # PostgreSQL's integer ends at 2^31; UTC milliseconds passed that in January 1970. SQLite does not care.
    for table in SQLModel.metadata.tables.values():
        for column in table.columns:
            if column.name.endswith("_ms") or (table.name == "search_doc" and column.name == "id"):
                column.type = BigInteger()


_widen_milliseconds()
