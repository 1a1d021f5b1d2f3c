"""Rows behind the sampling page and the use cases that freeze and draw. Reading only; what may be drawn is decided elsewhere."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import Session, col, select

from callqa.store.tables import Agent, Call, CheckRun, Evaluation, SampleEntry, SamplingFrame, Ticket, TicketLink

DONE_STATUSES = ("submitted", "released", "acknowledged", "appealed", "finalized")
_STRATUM_ORDER = {"risk": 0, "callback": 1, "normal": 2}


def answered_calls(session: Session, start_ms: int, end_ms: int) -> Sequence[Call]:
    """Connected calls that started in [start_ms, end_ms), by call_id."""
    return session.exec(
        select(Call)
        .where(Call.outcome == "answered", Call.started_at_ms >= start_ms, Call.started_at_ms < end_ms)
        .order_by(Call.call_id)
    ).all()


def linked_tickets(session: Session, start_ms: int, end_ms: int) -> dict[str, list[Ticket]]:
    """Tickets linked to the calls of a stretch of time, by call_id."""
    rows = session.exec(
        select(TicketLink.call_id, Ticket)
        .join(Ticket, col(Ticket.ticket_no) == col(TicketLink.ticket_no))
        .join(Call, col(Call.call_id) == col(TicketLink.call_id))
        .where(TicketLink.state == "linked", Call.started_at_ms >= start_ms, Call.started_at_ms < end_ms)
        .order_by(TicketLink.call_id, Ticket.ticket_no)
    )
    found: dict[str, list[Ticket]] = {}
    for call_id, ticket in rows:
        found.setdefault(call_id, []).append(ticket)
    return found


def tickets_accepted(session: Session, start_ms: int, end_ms: int) -> Sequence[Ticket]:
    """Tickets accepted in [start_ms, end_ms)."""
    accepted = col(Ticket.accepted_at_ms)
    return session.exec(select(Ticket).where(accepted >= start_ms, accepted < end_ms)).all()


def latest_check_runs(session: Session, start_ms: int, end_ms: int) -> dict[str, CheckRun]:
    """The newest pre-score of each call of a stretch of time, by call_id."""
    newest = (
        select(func.max(CheckRun.id))
        .join(Call, col(Call.call_id) == col(CheckRun.call_id))
        .where(Call.started_at_ms >= start_ms, Call.started_at_ms < end_ms)
        .group_by(col(CheckRun.call_id))
    )
    runs = session.exec(select(CheckRun).where(col(CheckRun.id).in_(newest)))
    return {run.call_id: run for run in runs}


def frames_of(session: Session, month: str) -> Sequence[SamplingFrame]:
    """All frames of a month, void ones too, newest first."""
    return session.exec(
        select(SamplingFrame).where(SamplingFrame.month == month).order_by(col(SamplingFrame.id).desc())
    ).all()


def active_frame(session: Session, month: str) -> SamplingFrame | None:
    """The month's frame that is not void."""
    return next((frame for frame in frames_of(session, month) if frame.state != "void"), None)


def chosen_frame(session: Session, month: str, frame_id: int | None) -> SamplingFrame | None:
    """One of the month's frames, void ones too; the one in force where none is named."""
    if frame_id is None:
        return active_frame(session, month)
    return next((frame for frame in frames_of(session, month) if frame.id == frame_id), None)


def entries_of(session: Session, frame_id: int) -> Sequence[SampleEntry]:
    """Sample and reserves of a frame, by agent, stratum, kind and position."""
    rows = session.exec(select(SampleEntry).where(SampleEntry.frame_id == frame_id)).all()
    return sorted(rows, key=lambda e: (e.agent_no, _STRATUM_ORDER[e.stratum], e.kind == "reserve", e.position))


def in_sample(entry: SampleEntry) -> bool:
    """Whether the entry is to be scored: drawn and not replaced, or a reserve that took a place."""
    return entry.state == ("open" if entry.kind == "sample" else "used")


def first_evaluations(session: Session, frame_id: int) -> dict[str, Evaluation]:
    """The leader's own evaluation of every drawn call that has one, by call_id."""
    rows = session.exec(
        select(Evaluation)
        .join(SampleEntry, col(SampleEntry.call_id) == col(Evaluation.call_id))
        .where(SampleEntry.frame_id == frame_id, Evaluation.kind == "first")
    )
    return {evaluation.call_id: evaluation for evaluation in rows}


@dataclass(frozen=True, slots=True)
class EntryView:
    """A drawn call on the page. evaluation is None until somebody opens it."""

    entry: SampleEntry
    call: Call
    evaluation: Evaluation | None

    @property
    def is_due(self) -> bool:
        """Whether it belongs to the sample to score now."""
        return in_sample(self.entry)

    @property
    def is_done(self) -> bool:
        """Whether its evaluation was submitted."""
        return self.evaluation is not None and self.evaluation.status in DONE_STATUSES


@dataclass(frozen=True, slots=True)
class StratumRow:
    """One agent × stratum: N_h, n_h as it stands with replacements, and how many are scored."""

    agent_no: str
    stratum: str
    size: int
    drawn: int
    done: int
    reserves_left: int


@dataclass(frozen=True, slots=True)
class SamplingPage:
    """A month's sampling: the active frame (None before freezing), its entries, and what became void."""

    month: str
    frame: SamplingFrame | None
    agents: dict[str, str]  # agent_no -> name
    strata: tuple[StratumRow, ...]
    entries: tuple[EntryView, ...]
    void_frames: tuple[SamplingFrame, ...]
    late_calls: int  # 冻结后到达: connected calls of the month that the frame never saw

    @property
    def due(self) -> tuple[EntryView, ...]:
        """The queue to score, in order."""
        return tuple(view for view in self.entries if view.is_due)

    @property
    def done_count(self) -> int:
        return sum(view.is_done for view in self.due)


def load_sampling_page(session: Session, month: str, start_ms: int, end_ms: int) -> SamplingPage:
    """Everything the 抽检 page shows of a month [start_ms, end_ms)."""
    frames = frames_of(session, month)
    frame = next((f for f in frames if f.state != "void"), None)
    names = {agent.agent_no: agent.name for agent in session.exec(select(Agent))}
    void = tuple(f for f in frames if f.state == "void")
    if frame is None or frame.id is None:
        return SamplingPage(month, None, names, (), (), void, 0)
    evaluations = first_evaluations(session, frame.id)
    rows = entries_of(session, frame.id)
    calls = session.exec(select(Call).where(col(Call.call_id).in_([e.call_id for e in rows])))
    by_id = {call.call_id: call for call in calls}
    views = tuple(EntryView(e, by_id[e.call_id], evaluations.get(e.call_id)) for e in rows)
    late = late_calls(session, frame, start_ms, end_ms)
    return SamplingPage(month, frame, names, stratum_rows(frame, views), views, void, late)


def late_calls(session: Session, frame: SamplingFrame, start_ms: int, end_ms: int) -> int:
    """Connected calls of the month now, beyond those counted when it was frozen."""
    connected = session.exec(
        select(func.count())
        .select_from(Call)
        .where(Call.outcome == "answered", Call.started_at_ms >= start_ms, Call.started_at_ms < end_ms)
    ).one()
    return max(0, connected - int(frame.counts.get("connected", 0)))


def stratum_rows(frame: SamplingFrame, views: Sequence[EntryView]) -> tuple[StratumRow, ...]:
    """N_h from the frozen counts, n_h and done from the entries; agents and strata in order."""
    due = Counter((v.entry.agent_no, v.entry.stratum) for v in views if v.is_due)
    done = Counter((v.entry.agent_no, v.entry.stratum) for v in views if v.is_due and v.is_done)
    left = Counter((v.entry.agent_no, v.entry.stratum) for v in views if v.entry.state == "unused")
    rows: list[StratumRow] = []
    for agent_no, counts in sorted(frame.counts.get("by_agent", {}).items()):
        sizes: dict[str, int] = counts.get("strata", {})
        for stratum in sorted(sizes, key=_STRATUM_ORDER.__getitem__):
            key = (agent_no, stratum)
            rows.append(StratumRow(agent_no, stratum, sizes[stratum], due[key], done[key], left[key]))
    return tuple(rows)


def committed_by_one(frame: SamplingFrame) -> bool:
    """未经双方承诺: both random strings came through the same person."""
    return frame.commit_a_by is not None and frame.commit_a_by == frame.commit_b_by


def waits_to_be_scored(session: Session, call_id: str) -> bool:
    """Whether the machine's view of this call must not be shown yet: see `waiting_cards`."""
    return bool(waiting_cards(session, (call_id,)))


def waiting_cards(session: Session, call_ids: Collection[str]) -> frozenset[str]:
    """Those of the calls whose card may be blind: in a revealed sample and not submitted.

    A reserve that is not used may still take a blind card's place, until every card is submitted and the string shown.
    """
    rows = session.exec(
        select(SampleEntry, SamplingFrame.blind_revealed_at_ms)
        .join(SamplingFrame, col(SamplingFrame.id) == col(SampleEntry.frame_id))
        .where(col(SampleEntry.call_id).in_(call_ids), SamplingFrame.state == "revealed")
    ).all()
    waiting = {e.call_id for e, shown in rows if in_sample(e) or (shown is None and e.state == "unused")}
    done = session.exec(
        select(Evaluation.call_id).where(
            col(Evaluation.call_id).in_(waiting),
            Evaluation.kind == "first",
            col(Evaluation.status).in_(DONE_STATUSES),
        )
    )
    return frozenset(waiting.difference(done))
