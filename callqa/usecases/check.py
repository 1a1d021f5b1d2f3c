"""Pre-score one call 机器预评: load what is known of it, score it by the rubric in force when it started, save a run.

A run is told apart by transcript, rubric and the facts it saw (call, ticket, version of the program): the same again
changes nothing, other facts add a run, and what a score already used is never overwritten. The newest run has the
highest id. The machine only suggests; nothing here touches an evaluation.
"""

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

from sqlmodel import Session, col, select

from callqa import __version__
from callqa.audiofile import read_audio
from callqa.errors import AudioError, StoreError
from callqa.scoring.acoustics import measure_loudness
from callqa.scoring.explain import Explained, explain
from callqa.scoring.facts import CallFacts, ProcessTimes, TicketFacts
from callqa.scoring.rubric import parse_stored
from callqa.speech import Gap, GapKind, Span
from callqa.store.db import Database
from callqa.store.queries.calls_for_work import newest_accepted_ms
from callqa.store.queries.transcription import newest_transcript
from callqa.store.tables import Call, CheckResultRow, CheckRun, SuggestionRow, Ticket, TicketLink
from callqa.units import CallType, Channel, Direction
from callqa.usecases.load_rubric import rubric_in_force
from callqa.usecases.progress import Claim, StageResult, StageState, finish
from callqa.usecases.transcribe import Clock, Interrupted, load_transcript

log = logging.getLogger(__name__)

NO_TRANSCRIPT = "没有转写，机器不预评；请直接听录音评分"
NO_RUBRIC = "没有可用的质检标准；请修正 rubric.yaml（“系统”页写明哪一行有误）"

HOUR_MS = 3_600_000
TICKET_WAIT_MS = 24 * HOUR_MS  # after the call a missing ticket is held against it, unless newer ones came first

_LINK_METHODS = ("manual", "header", "evidence")  # a person's link counts before a machine's
_parsed = lru_cache(maxsize=4)(parse_stored)


def check(
    db: Database, claimed: Claim, *, recordings: Path, clock: Clock, ticket_wait_ms: int = TICKET_WAIT_MS
) -> StageResult:
    """Work off a claimed check. Without a rubric the stage waits; without a transcript it is done with a message."""
    seen_at_ms = clock()
    with db.read() as session:
        call = session.get(Call, claimed.call_id)
        if call is None:
            raise StoreError(f"there is no call {claimed.call_id}")
        rubric_row = rubric_in_force(session, call.started_at_ms)
        transcript_row = newest_transcript(session, claimed.call_id)
        facts = call_facts(session, call, now_ms=seen_at_ms, ticket_wait_ms=ticket_wait_ms)
    if transcript_row is None or transcript_row.id is None:
        return _close(db, claimed, StageResult(StageState.DONE, NO_TRANSCRIPT), clock)
    if rubric_row is None:
        return _close(db, claimed, StageResult(StageState.WAITING, NO_RUBRIC), clock)
    run = CheckRun(
        call_id=claimed.call_id,
        transcript_id=transcript_row.id,
        rubric_hash=rubric_row.rubric_hash,
        facts_hash=facts_hash(facts),
        created_at_ms=clock(),
    )
    db.refuse_open_transaction("scoring")
    explained = explain(_parsed(rubric_row.source), with_loudness(facts, call, recordings))
    return _save(db, claimed, run, explained, seen_at_ms=seen_at_ms)


def call_facts(session: Session, call: Call, *, now_ms: int, ticket_wait_ms: int = TICKET_WAIT_MS) -> CallFacts:
    """What the rows know of one call, for the checks; loudness is not measured here."""
    transcript_row = newest_transcript(session, call.call_id)
    transcript = load_transcript(session, transcript_row) if transcript_row is not None else None
    ticket = linked_ticket(session, call.call_id)
    length_ms = call.duration_ms or 0
    if call.n_samples is not None and call.sample_rate_hz:
        length_ms = call.n_samples * 1000 // call.sample_rate_hz
    return CallFacts(
        call_type=CallType(call.call_type),
        direction=Direction(call.direction),
        duration_ms=length_ms,
        transcript=transcript,
        ring_ms=call.ring_ms,
        hangup_party=call.hangup_party,
        disposition=call.disposition,
        transferred=call.disposition == "transferred" or bool(call.transfers),
        gaps=tuple(
            Gap(Channel(gap["channel"]), Span(gap["start_ms"], gap["end_ms"]), GapKind(gap["kind"]))
            for gap in call.gaps
        ),
        ticket=ticket_facts(ticket) if ticket is not None else None,
        times=ProcessTimes(call.started_at_ms, call.answered_at_ms, call.ended_at_ms),
        tickets_in=ticket is not None or _tickets_are_in(session, call, now_ms, ticket_wait_ms),
    )


def _tickets_are_in(session: Session, call: Call, now_ms: int, wait_ms: int) -> bool:
    """Whether a ticket of this call would be here: one accepted after its end is, or it ended long enough ago."""
    ended_ms = call.ended_at_ms or call.started_at_ms
    if now_ms >= ended_ms + wait_ms:
        return True
    newest_ms = newest_accepted_ms(session, now_ms)
    return newest_ms is not None and newest_ms >= ended_ms


def linked_ticket(session: Session, call_id: str) -> Ticket | None:
    """The ticket a call is linked to; of several, a person's choice first, then the better evidence."""
    links = session.exec(select(TicketLink).where(TicketLink.call_id == call_id, TicketLink.state == "linked")).all()
    if not links:
        return None
    return session.get(Ticket, preferred(links))


def preferred(links: Iterable[TicketLink]) -> str:
    """The ticket of several certain links: a person's choice first, then the better evidence."""
    return min(links, key=lambda each: (_LINK_METHODS.index(each.method), -each.score, each.ticket_no)).ticket_no


def ticket_facts(ticket: Ticket) -> TicketFacts:
    """The ticket's fields under the names the rubric uses."""
    location = ticket.location.strip()
    if ticket.district:
        location = location.removeprefix(ticket.district).strip()
    return TicketFacts(
        ticket_no=ticket.ticket_no,
        title=ticket.title,
        category=ticket.category or "",
        matter_category=ticket.matter_category or "",
        citizen_name=ticket.citizen_name,
        district=ticket.district,
        location=location,
        content=ticket.content,
        contact_phone=ticket.contact_phone,
        handling_unit=ticket.handling_unit,
        satisfaction=ticket.satisfaction,
        verify_note=ticket.verify_note,
        parent_ticket_no=ticket.parent_ticket_no or "",
        result=ticket.result,
        urgent_flag=ticket.urgent_flag,
        callback_attempts=ticket.callback_attempts,
        occurred_at_ms=ticket.occurred_at_ms,
        accepted_at_ms=ticket.accepted_at_ms,
        dispatched_at_ms=ticket.dispatched_at_ms,
        due_at_ms=ticket.due_at_ms,
        reported_at_ms=ticket.reported_at_ms,
        result_received_at_ms=ticket.result_received_at_ms,
        closed_at_ms=ticket.closed_at_ms,
        callback_done_at_ms=ticket.callback_done_at_ms,
        rework_requested_at_ms=ticket.rework_requested_at_ms,
    )


def facts_hash(facts: CallFacts) -> str:
    """SHA-256 of everything the checks see but the transcript (which has its own id), and of the program's version."""
    seen = asdict(replace(facts, transcript=None, loudness=()))
    text = json.dumps([__version__, seen], ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def with_loudness(facts: CallFacts, call: Call, recordings: Path) -> CallFacts:
    """The facts with the level of every utterance, where the recording can be read."""
    if call.recording_status != "ok" or call.recording_path is None or facts.transcript is None:
        return facts
    try:
        audio = read_audio(recordings / call.recording_path)
    except AudioError as e:
        log.warning("call %s: loudness is not measured: %s", call.call_id, e)
        return facts
    return replace(facts, loudness=measure_loudness(audio.samples, audio.sample_rate_hz, facts.transcript))


def _save(db: Database, claimed: Claim, run: CheckRun, explained: Explained, *, seen_at_ms: int) -> StageResult:
    """The stage is closed as of the moment the facts were read: a link decided since then asks for another check."""
    result = StageResult(StageState.DONE)
    with db.write() as session:
        if not finish(session, claimed, result, now_ms=seen_at_ms):
            raise Interrupted(f"call {claimed.call_id}: another worker has taken over its check")
        same = session.exec(
            select(CheckRun.id).where(
                CheckRun.call_id == run.call_id,
                CheckRun.transcript_id == run.transcript_id,
                CheckRun.rubric_hash == run.rubric_hash,
                CheckRun.facts_hash == run.facts_hash,
            )
        ).first()
        if same is None:
            save_outcome(session, run, explained)
    return result


def save_outcome(session: Session, run: CheckRun, explained: Explained) -> CheckRun:
    """Add a run with its results, their reasoning and suggestions."""
    outcome = explained.outcome
    run.auto_score = float(outcome.auto_score)
    run.suspected_fatal = outcome.suspected_fatal
    run.not_applicable = sorted(outcome.not_applicable)
    session.add(run)
    session.flush()
    assert run.id is not None
    told: set[str] = set()
    for found in outcome.results:
        steps = explained.steps_of(found.check_id, found.item_id, first=found.item_id not in told)
        told.add(found.item_id)
        session.add(
            CheckResultRow(
                check_run_id=run.id,
                check_id=found.check_id,
                item_id=found.item_id,
                state=str(found.state),
                explanation=found.explanation,
                reasoning=[step.kept() for step in steps],
            )
        )
    for suggestion in outcome.suggestions:
        session.add(
            SuggestionRow(
                check_run_id=run.id,
                call_id=run.call_id,
                check_id=suggestion.check_id,
                item_id=suggestion.item_id,
                option_code=suggestion.option_code,
                fatal_id=suggestion.fatal_id,
                level=str(suggestion.level),
                points=float(suggestion.points),
                times=suggestion.times,
                reason=suggestion.reason,
                evidence=[
                    {
                        "channel": None if each.channel is None else int(each.channel),
                        "start_ms": each.start_ms,
                        "end_ms": each.end_ms,
                        "quote": each.quote,
                        "operator": each.operator,
                        "params": each.params,
                    }
                    for each in suggestion.evidence
                ],
            )
        )
    session.flush()
    return run


def newest_run(session: Session, call_id: str) -> CheckRun | None:
    """The latest run over a call."""
    return session.exec(
        select(CheckRun).where(CheckRun.call_id == call_id).order_by(col(CheckRun.id).desc()).limit(1)
    ).first()


def _close(db: Database, claimed: Claim, result: StageResult, clock: Clock) -> StageResult:
    with db.write() as session:
        finish(session, claimed, result, now_ms=clock())
    return result
