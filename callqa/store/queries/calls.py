"""The call list: filters, sorting, paging, and what each line shows. Reading only, inside the caller's session."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, String, case, cast, exists, func, or_
from sqlmodel import Session, col, select

from callqa.privacy import find_private, masked
from callqa.store.queries.confidential import is_public
from callqa.store.search import turns_of
from callqa.store.tables import (
    Agent,
    Call,
    CallProgress,
    Evaluation,
    TicketLink,
    TranscriptRow,
    UtteranceRow,
)

SORTS = {
    "time": col(Call.started_at_ms),
    "duration": col(Call.duration_ms),
    "ring": col(Call.ring_ms),
    "agent": col(Call.agent_no),
    "number": col(Call.citizen_number),
}
LINK_STATES = ("linked", "doubtful", "unlinked")
TRANSCRIPT_STATES = ("done", "running", "wanted", "waiting", "failed")


def _some(column: Any) -> ColumnElement[bool]:
    """Whether a JSON list has anything in it; written the same by SQLite and PostgreSQL."""
    return cast(column, String) != "[]"


FEATURES: dict[str, ColumnElement[bool]] = {
    "withheld": col(Call.withheld).is_(True),
    "diverted": col(Call.diverted_from) != "",
    "queued": col(Call.queued_ms) > 0,
    "overflowed": col(Call.overflow_to) != "",
    "transferred": _some(col(Call.transfers)),
    "marked": _some(col(Call.marks)),
    "paused": _some(col(Call.pauses)),
    "siprec": col(Call.mode) == "siprec",
    "imported": col(Call.mode) == "import",
}


@dataclass(frozen=True, slots=True)
class CallFilter:
    """What is asked for; empty fields ask for nothing. own_agent_no: only this agent's calls, None = everybody's."""

    start_ms: int | None = None
    end_ms: int | None = None
    direction: str = ""
    call_type: str = ""
    outcome: str = ""
    agent_no: str = ""  # "-" = not attributed
    link: str = ""
    transcript: str = ""
    recording: str = ""
    number: str = ""
    words: str = ""
    feature: str = ""  # one of FEATURES
    own_agent_no: str | None = None


@dataclass(frozen=True, slots=True)
class CallLine:
    """One line of the list."""

    call: Call
    agent_name: str | None
    link_state: str  # linked | doubtful | unlinked
    ticket_no: str | None
    transcript_state: str | None
    transcript_message: str
    transcript_percent: int
    evaluation_status: str | None
    final_score: float | None
    hit: str = ""  # the utterance in which the searched words were found
    hit_ms: int | None = None

    @property
    def loss_percent(self) -> float | None:
        """Share of packets lost on the worse leg, in percent; None without media."""
        losses = [
            100 * s["lost"] / (s["packets"] + s["lost"]) for s in self.call.streams if s.get("packets", 0) + s["lost"]
        ]
        return max(losses, default=None)


def link_state_expression() -> ColumnElement[str]:
    """linked | doubtful | unlinked of a call."""

    def has(state: str) -> ColumnElement[bool]:
        return exists().where(col(TicketLink.call_id) == col(Call.call_id), col(TicketLink.state) == state)

    return case((has("linked"), "linked"), (has("doubtful"), "doubtful"), else_="unlinked")


def list_calls(
    session: Session, wanted: CallFilter, *, sort: str = "time", descending: bool = True, offset: int, limit: int
) -> Sequence[CallLine]:
    """Lines of one page of the list."""
    ticket_no = (
        select(func.min(TicketLink.ticket_no))
        .where(col(TicketLink.call_id) == col(Call.call_id), TicketLink.state == "linked")
        .scalar_subquery()
    )
    query = (
        select(Call, Agent.name, link_state_expression(), ticket_no)
        .add_columns(CallProgress, Evaluation)
        .join(Agent, col(Agent.agent_no) == col(Call.agent_no), isouter=True)
        .join(
            CallProgress,
            (col(CallProgress.call_id) == col(Call.call_id)) & (col(CallProgress.stage) == "transcribe"),
            isouter=True,
        )
        .join(
            Evaluation,
            (col(Evaluation.call_id) == col(Call.call_id)) & (col(Evaluation.kind) == "first"),
            isouter=True,
        )
    )
    column = SORTS[sort]
    order = column.desc() if descending else column.asc()
    query = _filtered(query, wanted).order_by(order.nulls_last(), col(Call.call_id).desc()).offset(offset).limit(limit)
    found = session.exec(query).all()
    hits = _hits(session, [row[0].call_id for row in found], wanted.words) if wanted.words else {}
    lines = []
    for call, name, link, ticket, progress, evaluation in found:
        hit = hits.get(call.call_id)
        lines.append(
            CallLine(
                call=call,
                agent_name=name,
                link_state=link,
                ticket_no=ticket,
                transcript_state=progress.state if progress else None,
                transcript_message=progress.message if progress else "",
                transcript_percent=progress.percent if progress else 0,
                evaluation_status=evaluation.status if evaluation else None,
                final_score=evaluation.final_score if evaluation else None,
                hit=hit[1] if hit else "",
                hit_ms=hit[0] if hit else None,
            )
        )
    return lines


def count_calls(session: Session, wanted: CallFilter) -> int:
    """How many calls the filter finds."""
    query = select(func.count()).select_from(Call)
    return session.exec(_filtered(query, wanted)).one()


def _filtered(query: Any, wanted: CallFilter) -> Any:  # a select of any row shape
    conditions: list[ColumnElement[bool]] = [is_public()]
    if wanted.start_ms is not None:
        conditions.append(col(Call.started_at_ms) >= wanted.start_ms)
    if wanted.end_ms is not None:
        conditions.append(col(Call.started_at_ms) < wanted.end_ms)
    for column, value in (
        (Call.direction, wanted.direction),
        (Call.call_type, wanted.call_type),
        (Call.outcome, wanted.outcome),
        (Call.recording_status, wanted.recording),
    ):
        if value:
            conditions.append(col(column) == value)
    if wanted.agent_no == "-":
        conditions.append(col(Call.agent_no).is_(None))
    elif wanted.agent_no:
        conditions.append(col(Call.agent_no) == wanted.agent_no)
    if wanted.own_agent_no is not None:
        conditions.append(col(Call.agent_no) == wanted.own_agent_no)
    if wanted.link:
        conditions.append(link_state_expression() == wanted.link)
        conditions.append(col(Call.outcome) == "answered")
    if wanted.transcript:
        conditions.append(
            exists()
            .where(
                col(CallProgress.call_id) == col(Call.call_id),
                col(CallProgress.stage) == "transcribe",
                col(CallProgress.state) == wanted.transcript,
            )
            .correlate(Call)  # the list joins the same table
        )
    if wanted.number:
        part = _like(wanted.number)
        conditions.append(
            or_(
                col(Call.citizen_number).like(part, escape="\\"),
                col(Call.from_number).like(part, escape="\\"),
                col(Call.to_number).like(part, escape="\\"),
            )
        )
    if wanted.feature:
        conditions.append(FEATURES[wanted.feature])
    if wanted.words:
        conditions.append(
            exists()
            .where(
                col(TranscriptRow.call_id) == col(Call.call_id),
                col(UtteranceRow.transcript_id) == col(TranscriptRow.id),
            )
            .where(_newest_transcript(), col(UtteranceRow.text).like(_like(wanted.words), escape="\\"))
        )
    return query.where(*conditions)


def _newest_transcript() -> ColumnElement[bool]:
    other = TranscriptRow.__table__.alias("other")  # type: ignore[attr-defined]  # made by SQLModel
    newest = select(func.max(other.c.version)).where(other.c.call_id == col(TranscriptRow.call_id)).scalar_subquery()
    return col(TranscriptRow.version) == newest


def _hits(session: Session, call_ids: Sequence[str], words: str) -> dict[str, tuple[int, str]]:
    """The first utterance of each call that holds the words: where it begins, and its masked text."""
    query = select(TranscriptRow.id, TranscriptRow.call_id).where(
        col(TranscriptRow.call_id).in_(call_ids), _newest_transcript()
    )
    of_call = dict(session.exec(query).all())
    hits: dict[str, tuple[int, str]] = {}
    for transcript_id, turns in turns_of(session, [id_ for id_ in of_call if id_ is not None]).items():
        for turn, parts in zip(turns, find_private(turns), strict=True):
            if words in turn.text:
                hits.setdefault(of_call[transcript_id], (turn.start_ms, masked(turn.text, parts)))
    return hits


def _like(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
