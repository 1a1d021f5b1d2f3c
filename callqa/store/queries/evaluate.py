"""Queries of the scoring pages: the month's sample as a queue, one evaluation with all that the form shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, func, not_, select

from callqa.store.queries.confidential import is_public
from callqa.store.tables import (
    Account,
    Agent,
    Call,
    CheckResultRow,
    CheckRun,
    Deduction,
    Evaluation,
    EvaluationComment,
    EvaluationItem,
    FatalFinding,
    SampleEntry,
    SamplingFrame,
    SuggestionDecision,
    SuggestionRow,
    Ticket,
    TicketLink,
    TranscriptRow,
    UtteranceRow,
)

RunPart = TypeVar("RunPart", CheckResultRow, SuggestionRow)


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One drawn call and how far its evaluation is. position: 1-based in the queue."""

    position: int
    entry: SampleEntry
    call: Call
    agent_name: str
    evaluation: Evaluation | None
    suggestions: int | None  # None: the machine has not looked at it

    @property
    def is_done(self) -> bool:
        """Whether its evaluation was submitted."""
        return self.evaluation is not None and self.evaluation.status != "draft"

    @property
    def author_id(self) -> int | None:
        """Whose draft it is; None without an evaluation."""
        return self.evaluation.evaluator_id if self.evaluation is not None else None


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """One drawn call of the queue, and no more than going on to it takes."""

    call_id: str
    evaluation_id: int | None
    is_done: bool  # its evaluation was submitted
    author_id: int | None  # whose draft it is; None without an evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class CardView:
    """One evaluation with what taking its form in needs: whose call it is, the machine's suggestions, the fatal findings."""

    evaluation: Evaluation
    call: Call
    agent_name: str
    fatals: dict[str, FatalFinding]
    suggestions: Sequence[SuggestionRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationView(CardView):
    """One evaluation with everything its page shows."""

    evaluator: str
    items: dict[str, EvaluationItem]
    deductions: dict[tuple[str, str], Deduction]
    comments: Sequence[EvaluationComment]
    second_confirmers: dict[int, str]
    decisions: dict[int, str]
    results: Sequence[CheckResultRow]
    transcript: TranscriptRow | None
    utterances: Sequence[UtteranceRow]
    ticket: Ticket | None


@dataclass(frozen=True, slots=True)
class PendingFatal:
    """A fatal finding that waits for its second person."""

    finding: FatalFinding
    evaluation: Evaluation
    call: Call
    confirmed_by: str


def drawn_frame(session: Session, month: str | None = None) -> SamplingFrame | None:
    """The newest revealed frame, of one month or of any."""
    query = select(SamplingFrame).where(SamplingFrame.state == "revealed")
    if month is not None:
        query = query.where(SamplingFrame.month == month)
    return session.exec(query.order_by(col(SamplingFrame.month).desc(), col(SamplingFrame.id).desc())).first()


def drawn_months(session: Session) -> Sequence[str]:
    """Months with a sample, newest first."""
    return session.exec(
        select(SamplingFrame.month)
        .where(SamplingFrame.state == "revealed")
        .distinct()
        .order_by(col(SamplingFrame.month).desc())
    ).all()


def drawn_queue(session: Session, month: str | None = None) -> tuple[SamplingFrame | None, list[QueueRow]]:
    """The newest revealed frame, of one month or of any, and its queue."""
    frame = drawn_frame(session, month)
    return frame, sample_queue(session, frame.id) if frame is not None and frame.id is not None else []


def sample_queue(session: Session, frame_id: int) -> list[QueueRow]:
    """The sample in scoring order: agent by agent, rank by rank; reserves in use included."""
    query = select(SampleEntry, Call, Agent, Evaluation)
    rows = session.exec(
        query.join(Call, col(Call.call_id) == SampleEntry.call_id)
        .join(Agent, col(Agent.agent_no) == SampleEntry.agent_no, isouter=True)
        .join(Evaluation, _first_score(), isouter=True)
        .where(*_drawn(frame_id))
        .order_by(*_SCORING_ORDER)
    ).all()
    counts = _count_suggestions(session, [call.call_id for _, call, _, _ in rows])
    return [
        QueueRow(k, entry, call, agent.name if agent else "", evaluation, counts.get(call.call_id))
        for k, (entry, call, agent, evaluation) in enumerate(rows, 1)
    ]


def sample_places(session: Session, frame_id: int) -> list[QueuePlace]:
    """The same calls in the same order, as places."""
    query = select(SampleEntry.call_id, Evaluation.id, Evaluation.status, Evaluation.evaluator_id)
    rows = session.exec(
        query.join(Call, col(Call.call_id) == SampleEntry.call_id)
        .join(Evaluation, _first_score(), isouter=True)
        .where(*_drawn(frame_id))
        .order_by(*_SCORING_ORDER)
    ).all()
    return [QueuePlace(call_id, id_, status not in (None, "draft"), by) for call_id, id_, status, by in rows]


_SCORING_ORDER = (col(SampleEntry.agent_no), col(SampleEntry.stratum), col(SampleEntry.rank))


def _first_score() -> ColumnElement[bool]:
    return (col(Evaluation.call_id) == SampleEntry.call_id) & (col(Evaluation.kind) == "first")


def count_hidden_sample(session: Session, frame_id: int) -> int:
    """How many drawn calls the queue leaves out because they are confidential."""
    drawn = select(func.count()).select_from(SampleEntry).join(Call, col(Call.call_id) == SampleEntry.call_id)
    return session.exec(drawn.where(*_of_sample(frame_id), not_(is_public()))).one()


def _drawn(frame_id: int) -> tuple[ColumnElement[bool], ...]:
    """Which entries of a frame are scored, joined to their calls."""
    return (*_of_sample(frame_id), is_public())


def _of_sample(frame_id: int) -> tuple[ColumnElement[bool], ...]:
    return (
        col(SampleEntry.frame_id) == frame_id,
        ((col(SampleEntry.kind) == "sample") & (col(SampleEntry.state) != "replaced"))
        | ((col(SampleEntry.kind) == "reserve") & (col(SampleEntry.state) == "used")),
    )


def _count_suggestions(session: Session, call_ids: Sequence[str]) -> dict[str, int]:
    """Suggestions of the newest pre-score, by call_id; a call that was never pre-scored is left out."""
    newest = (
        select(func.max(CheckRun.id).label("run_id"))
        .where(col(CheckRun.call_id).in_(call_ids))
        .group_by(CheckRun.call_id)
        .subquery()
    )
    rows = session.exec(
        select(CheckRun.call_id, func.count(col(SuggestionRow.id)))
        .join(newest, newest.c.run_id == col(CheckRun.id))
        .join(SuggestionRow, col(SuggestionRow.check_run_id) == col(CheckRun.id), isouter=True)
        .group_by(CheckRun.call_id)
    ).all()
    return dict(rows)


def drawn_places(session: Session, month: str | None = None) -> list[QueuePlace]:
    """The queue of the newest revealed frame, of one month or of any."""
    frame = drawn_frame(session, month)
    return sample_places(session, frame.id) if frame is not None and frame.id is not None else []


def places_around(session: Session, evaluation: Evaluation) -> list[QueuePlace]:
    """The queue this evaluation's call was drawn into; empty when it was not drawn."""
    entry = session.get(SampleEntry, evaluation.sample_entry_id) if evaluation.sample_entry_id is not None else None
    return sample_places(session, entry.frame_id) if entry else []


def first_score(session: Session, call_id: str) -> Evaluation | None:
    """The card that a call was scored on first, the one that counts; None where nobody began it."""
    return session.exec(select(Evaluation).where(Evaluation.call_id == call_id, Evaluation.kind == "first")).first()


def places_of(session: Session, call_id: str) -> list[QueuePlace]:
    """The queue a call's first card was drawn into; empty for a call that has none."""
    first = first_score(session, call_id)
    return places_around(session, first) if first is not None else []


def find_card(session: Session, evaluation_id: int) -> CardView | None:
    """One evaluation without what was written and said, or None: five statements instead of fifteen."""
    evaluation = session.get(Evaluation, evaluation_id)
    if evaluation is None:
        return None
    call = session.get(Call, evaluation.call_id)
    assert call is not None
    agent = session.get(Agent, call.agent_no) if call.agent_no else None
    fatals = session.exec(select(FatalFinding).where(FatalFinding.evaluation_id == evaluation_id)).all()
    return CardView(
        evaluation=evaluation,
        call=call,
        agent_name=agent.name if agent else "",
        fatals={f.fatal_id: f for f in fatals},
        suggestions=_of_run(session, SuggestionRow, evaluation.check_run_id),
    )


def find_version(session: Session, evaluation_id: int) -> int | None:
    """How often an evaluation was saved; None where there is none."""
    return session.exec(select(Evaluation.version).where(Evaluation.id == evaluation_id)).first()


def find_evaluation(session: Session, evaluation_id: int) -> EvaluationView | None:
    """Everything the form of one evaluation shows, or None."""
    card = find_card(session, evaluation_id)
    if card is None:
        return None
    evaluation, call = card.evaluation, card.call
    seconds = [i for f in card.fatals.values() for i in (f.second_confirmed_by, f.refused_by) if i is not None]
    names = {i: a.display_name for i in seconds if (a := session.get(Account, i)) is not None}
    evaluator = session.get(Account, evaluation.evaluator_id)
    return EvaluationView(
        evaluation=evaluation,
        call=call,
        agent_name=card.agent_name,
        evaluator=evaluator.display_name if evaluator else "",
        items={
            i.item_id: i
            for i in session.exec(select(EvaluationItem).where(EvaluationItem.evaluation_id == evaluation_id)).all()
        },
        deductions={
            (d.item_id, d.option_code): d
            for d in session.exec(select(Deduction).where(Deduction.evaluation_id == evaluation_id)).all()
        },
        comments=session.exec(
            select(EvaluationComment)
            .where(EvaluationComment.evaluation_id == evaluation_id)
            .order_by(col(EvaluationComment.at_ms), col(EvaluationComment.id))
        ).all(),
        fatals=card.fatals,
        second_confirmers=names,
        suggestions=card.suggestions,
        decisions={
            d.suggestion_id: d.decision
            for d in session.exec(
                select(SuggestionDecision).where(SuggestionDecision.evaluation_id == evaluation_id)
            ).all()
        },
        results=_of_run(session, CheckResultRow, evaluation.check_run_id),
        transcript=session.get(TranscriptRow, evaluation.transcript_id) if evaluation.transcript_id else None,
        utterances=_utterances(session, evaluation.transcript_id),
        ticket=_linked_ticket(session, call.call_id),
    )


@dataclass(frozen=True, slots=True)
class WordsAhead:
    """What a card would show of a call's words if it were opened now."""

    transcript: TranscriptRow | None
    utterances: Sequence[UtteranceRow]


def words_ahead(session: Session, call_id: str) -> WordsAhead | None:
    """Those of the newest pre-score, as a new card takes them; None where there is no such call."""
    if session.get(Call, call_id) is None:
        return None
    transcript_id = session.exec(
        select(CheckRun.transcript_id).where(CheckRun.call_id == call_id).order_by(col(CheckRun.id).desc()).limit(1)
    ).first()
    transcript = session.get(TranscriptRow, transcript_id) if transcript_id is not None else None
    return WordsAhead(transcript, _utterances(session, transcript_id))


def _utterances(session: Session, transcript_id: int | None) -> Sequence[UtteranceRow]:
    if transcript_id is None:
        return []
    return session.exec(
        select(UtteranceRow)
        .where(UtteranceRow.transcript_id == transcript_id)
        .order_by(col(UtteranceRow.start_ms), col(UtteranceRow.index))
    ).all()


def _of_run(session: Session, table: type[RunPart], check_run_id: int | None) -> Sequence[RunPart]:
    if check_run_id is None:
        return []
    return session.exec(select(table).where(col(table.check_run_id) == check_run_id).order_by(col(table.id))).all()


def _linked_ticket(session: Session, call_id: str) -> Ticket | None:
    link = session.exec(select(TicketLink).where(TicketLink.call_id == call_id, TicketLink.state == "linked")).first()
    return session.get(Ticket, link.ticket_no) if link else None


def pending_fatals(session: Session) -> list[PendingFatal]:
    """Fatal findings of submitted evaluations on which no second person has spoken yet."""
    rows = session.exec(
        select(FatalFinding, Evaluation, Call, Account)
        .join(Evaluation, col(Evaluation.id) == FatalFinding.evaluation_id)
        .join(Call, col(Call.call_id) == Evaluation.call_id)
        .join(Account, col(Account.id) == FatalFinding.confirmed_by)
        .where(
            col(FatalFinding.second_confirmed_by).is_(None),
            col(FatalFinding.refused_by).is_(None),
            Evaluation.status != "draft",
            Evaluation.kind == "first",
            is_public(),
        )
        .order_by(col(FatalFinding.id))
    ).all()
    return [PendingFatal(f, e, c, a.display_name) for f, e, c, a in rows]
