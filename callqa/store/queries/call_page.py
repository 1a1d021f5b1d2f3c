"""Everything known of one call, for its page and for the scoring page. Reading only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlmodel import Session, col, select

from callqa.store.queries.confidential import is_public
from callqa.store.queries.evaluate import first_score
from callqa.store.queries.transcription import versions_of
from callqa.store.tables import (
    Account,
    Agent,
    AuditEntry,
    Call,
    CheckResultRow,
    CheckRun,
    Evaluation,
    Seat,
    SuggestionRow,
    Ticket,
    TicketLink,
    TranscriptRow,
    UtteranceRow,
)

T = TypeVar("T", SuggestionRow, CheckResultRow)


@dataclass(frozen=True, slots=True)
class LinkedTicket:
    """A ticket that was considered for the call, with why."""

    link: TicketLink
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class CallPage:
    """One call with what hangs on it. transcript and run: the newest; None when there is none yet. transcripts: every
    version, newest first."""

    call: Call
    agent: Agent | None
    seat: Seat | None
    tickets: tuple[LinkedTicket, ...]
    transcript: TranscriptRow | None
    transcripts: tuple[TranscriptRow, ...]
    utterances: tuple[UtteranceRow, ...]
    run: CheckRun | None
    suggestions: tuple[SuggestionRow, ...]
    results: tuple[CheckResultRow, ...]
    evaluation: Evaluation | None
    evaluator: str

    @property
    def linked(self) -> LinkedTicket | None:
        """The ticket the call belongs to."""
        return next((t for t in self.tickets if t.link.state == "linked"), None)

    @property
    def doubtful(self) -> tuple[LinkedTicket, ...]:
        """Candidates that wait for a person, the likeliest first."""
        return tuple(t for t in self.tickets if t.link.state == "doubtful")

    @property
    def link_state(self) -> str:
        return "linked" if self.linked else "doubtful" if self.doubtful else "unlinked"


def find_call(session: Session, call_id: str) -> Call | None:
    """The call, or None."""
    return session.get(Call, call_id)


def find_call_page(session: Session, call_id: str) -> CallPage | None:
    """All of one call, or None when there is no such call."""
    call = session.get(Call, call_id)
    if call is None:
        return None
    transcripts = versions_of(session, call_id)
    transcript = transcripts[0] if transcripts else None
    run = session.exec(
        select(CheckRun).where(CheckRun.call_id == call_id).order_by(col(CheckRun.id).desc()).limit(1)
    ).first()
    evaluation = first_score(session, call_id)
    evaluator = session.get(Account, evaluation.evaluator_id) if evaluation else None
    return CallPage(
        call=call,
        agent=session.get(Agent, call.agent_no) if call.agent_no else None,
        seat=session.get(Seat, call.seat_extension) if call.seat_extension else None,
        tickets=tuple(tickets_of_call(session, call_id)),
        transcript=transcript,
        transcripts=tuple(transcripts),
        utterances=_utterances(session, transcript),
        run=run,
        suggestions=_of_run(session, SuggestionRow, run),
        results=_of_run(session, CheckResultRow, run),
        evaluation=evaluation,
        evaluator=evaluator.display_name if evaluator else "",
    )


def tickets_of_call(session: Session, call_id: str) -> list[LinkedTicket]:
    """Every ticket considered for the call: linked, then doubtful by score, then rejected."""
    order = {"linked": 0, "doubtful": 1, "rejected": 2}
    query = select(TicketLink, Ticket).where(
        TicketLink.call_id == call_id, col(Ticket.ticket_no) == col(TicketLink.ticket_no)
    )
    found = [LinkedTicket(link, ticket) for link, ticket in session.exec(query)]
    return sorted(found, key=lambda t: (order[t.link.state], -t.link.score, t.ticket.ticket_no))


def history_of(session: Session, subject: str, limit: int = 30) -> Sequence[AuditEntry]:
    """What was done with one thing, newest first, from the audit chain."""
    return session.exec(
        select(AuditEntry).where(AuditEntry.subject == subject).order_by(col(AuditEntry.sequence).desc()).limit(limit)
    ).all()


def siblings(session: Session, call: Call, limit: int = 10) -> Sequence[Call]:
    """Other recordings of the same call: a PBX may send each side, or each part, as a session of its own."""
    if not call.joined_by:
        return ()
    same = (Call.joined_by == call.joined_by, Call.call_id != call.call_id, is_public())
    return session.exec(select(Call).where(*same).order_by(col(Call.started_at_ms)).limit(limit)).all()


def neighbours(session: Session, call: Call, own_agent_no: str | None) -> tuple[str | None, str | None]:
    """call_id of the answered call before and the one after, among those the person may see."""
    query = select(Call.call_id).where(Call.outcome == "answered", is_public())
    if own_agent_no is not None:
        query = query.where(Call.agent_no == own_agent_no)
    here = (col(Call.started_at_ms), col(Call.call_id))
    before = session.exec(
        query.where(
            (here[0] < call.started_at_ms) | ((here[0] == call.started_at_ms) & (here[1] < call.call_id))
        ).order_by(here[0].desc(), here[1].desc())
    ).first()
    after = session.exec(
        query.where(
            (here[0] > call.started_at_ms) | ((here[0] == call.started_at_ms) & (here[1] > call.call_id))
        ).order_by(here[0], here[1])
    ).first()
    return before, after


def _utterances(session: Session, transcript: TranscriptRow | None) -> tuple[UtteranceRow, ...]:
    if transcript is None:
        return ()
    return tuple(
        session.exec(
            select(UtteranceRow)
            .where(UtteranceRow.transcript_id == transcript.id)
            .order_by(col(UtteranceRow.start_ms), col(UtteranceRow.index))
        )
    )


def _of_run(session: Session, table: type[T], run: CheckRun | None) -> tuple[T, ...]:
    if run is None:
        return ()
    return tuple(session.exec(select(table).where(table.check_run_id == run.id).order_by(col(table.id))))
