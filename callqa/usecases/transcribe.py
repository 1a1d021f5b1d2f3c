"""Transcribe one call: read its master, run the engine outside any transaction, save a new transcript version.

The transcript and the end of the stage are saved in one transaction that holds only while the claim is valid: a worker
killed in mid-work leaves nothing, and its successor writes exactly one version.
"""

import logging
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

from sqlmodel import Session, col, func, select

from callqa.audiofile import read_audio
from callqa.errors import AudioError, CallqaError, EngineError, StoreError
from callqa.speech import Made, Repair, Span, Speaker, Transcript, Unprompted, Utterance
from callqa.store.db import Database
from callqa.store.queries.transcription import hold_transcripts, newest_transcript
from callqa.store.search import index_call
from callqa.store.tables import Call, TranscriptRow, UtteranceRow
from callqa.transcribe.assemble import transcribe_call
from callqa.transcribe.corrections import errors_of
from callqa.transcribe.engine import Engine
from callqa.transcribe.repair import Repairer
from callqa.usecases.cpu_share import CpuShare
from callqa.usecases.progress import Claim, StageResult, StageState, beat, finish

log = logging.getLogger(__name__)

REPORT_EVERY_MS = 1000
CARRIED = "重新转写后沿用"  # how the reason of a confirmed text begins that outlived another transcription
Clock = Callable[[], int]  # UTC milliseconds now

_NOTHING_TO_HEAR = {
    "none": "无录音",
    "missing": "无录音",
    "pending": "录音尚未生成",
    "corrupt": "录音与校验和不符，不转写；请在“通话”页核对录音文件",
}


class Interrupted(CallqaError):
    """The worker is asked to stop, or its claim is void; nothing was saved."""


def transcribe(
    db: Database,
    claimed: Claim,
    *,
    engine: Engine | None,
    repairer: Repairer | None = None,
    recordings: Path,
    clock: Clock,
    engine_problem: str = "",
    stopping: Callable[[], bool] = lambda: False,
    cpu: CpuShare | None = None,
) -> StageResult:
    """Work off a claimed transcription. engine None: the stage waits, with engine_problem as what to supply. cpu: of the
    process, where other calls are in work in it.

    Raise Interrupted when `stopping()` turns true or somebody else took the claim over.
    """
    with db.read() as session:
        call = session.get(Call, claimed.call_id)
    if call is None:
        raise StoreError(f"there is no call {claimed.call_id}")
    if call.recording_status != "ok" or call.recording_path is None or call.recording_sha256 is None:
        message = _NOTHING_TO_HEAR.get(call.recording_status, "无录音")
        return _close(db, claimed, StageResult(StageState.DONE, message), clock)
    if engine is None:
        message = engine_problem or "语音模型未安装；请把模型放进设置 speech.model_dir 所指的文件夹"
        return _close(db, claimed, StageResult(StageState.WAITING, message), clock)
    try:
        db.refuse_open_transaction("transcription")
        with (cpu or CpuShare()).one() as cost:
            audio = read_audio(recordings / call.recording_path)
            transcript = transcribe_call(
                audio,
                engine,
                recording_sha256=call.recording_sha256,
                repairer=repairer,
                progress=_reporter(db, claimed, clock, stopping),
            )
    except (AudioError, EngineError) as e:
        log.warning("call %s: cannot be transcribed: %s", claimed.call_id, e)
        return _close(db, claimed, StageResult(StageState.FAILED, str(e)), clock)
    if stopping():
        raise Interrupted(f"call {claimed.call_id}: stopped before its transcript was saved")
    return _save(db, claimed, transcript, cpu_s=cost.cpu_s, now_ms=clock())


def _reporter(db: Database, claimed: Claim, clock: Clock, stopping: Callable[[], bool]) -> Callable[[int], None]:
    last_ms = 0

    def report(percent: int) -> None:
        nonlocal last_ms
        if stopping():
            raise Interrupted(f"call {claimed.call_id}: asked to stop at {percent} %")
        now_ms = clock()
        if now_ms - last_ms < REPORT_EVERY_MS:
            return
        last_ms = now_ms
        if not beat(db, claimed, now_ms=now_ms, percent=max(0, min(99, percent))):
            raise Interrupted(f"call {claimed.call_id}: another worker has taken over")

    return report


def _save(db: Database, claimed: Claim, transcript: Transcript, *, cpu_s: float, now_ms: int) -> StageResult:
    """Save the machine's version; where a person has confirmed the text of this call, that text stays in force, as the
    version after it."""
    result = StageResult(StageState.DONE, "" if transcript.utterances else "没有听到语音")
    while True:
        confirmed = find_confirmed(db, claimed.call_id)
        origin = None if confirmed is None else _carried(confirmed, transcript)
        with db.write() as session:
            hold_transcripts(session, claimed.call_id)
            newest = newest_transcript(session, claimed.call_id)
            if newest is not None and newest.author and (confirmed is None or newest.id != confirmed.row.id):
                session.rollback()
                continue  # somebody has just corrected it
            if not finish(session, claimed, result, now_ms=now_ms):
                session.rollback()
                raise Interrupted(f"call {claimed.call_id}: another worker has taken over")
            save_transcript(session, claimed.call_id, transcript, cpu_s=cpu_s, now_ms=now_ms)
            if confirmed is not None and origin is not None:
                kept = confirmed.transcript
                save_transcript(session, claimed.call_id, kept, cpu_s=None, now_ms=now_ms, origin=origin)
        return result


@dataclass(frozen=True, slots=True)
class Origin:
    """更正: who made a version and why, from which one, and how far the machine's last text was from it in characters."""

    author: str
    reason: str
    based_on: int
    verified: bool
    machine_edits: int
    reference_chars: int


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The version in force, where a person made it."""

    row: TranscriptRow
    transcript: Transcript


def find_confirmed(db: Database, call_id: str) -> Confirmed | None:
    """The text that a person has confirmed, or None where the machine's is in force."""
    with db.read() as session:
        row = newest_transcript(session, call_id)
        return Confirmed(row, load_transcript(session, row)) if row is not None and row.author else None


def _carried(confirmed: Confirmed, machine: Transcript) -> Origin:
    row = confirmed.row
    edits, chars = errors_of(machine, confirmed.transcript)
    reason = row.reason if row.reason.startswith(CARRIED) else f"{CARRIED}：{row.reason}"
    return Origin(row.author, reason, row.version, row.verified, edits, chars)


def save_transcript(
    session: Session,
    call_id: str,
    transcript: Transcript,
    *,
    cpu_s: float | None,
    now_ms: int,
    origin: Origin | None = None,
) -> TranscriptRow:
    """Add the next transcript version of a call with its utterances; earlier versions stay, searches find the new one."""
    hold_transcripts(session, call_id)
    last = session.exec(select(func.max(TranscriptRow.version)).where(TranscriptRow.call_id == call_id)).one()
    row = TranscriptRow(
        call_id=call_id,
        version=(last or 0) + 1,
        engine=transcript.made.engine,
        model_sha256=transcript.made.model_sha256,
        options=dict(transcript.made.options),
        recording_sha256=transcript.made.recording_sha256,
        duration_ms=transcript.duration_ms,
        separated=transcript.separated,
        speech=[[[span.start_ms, span.end_ms] for span in channel] for channel in transcript.speech],
        mean_confidence=_mean_confidence(transcript),
        notes=list(transcript.notes),
        created_at_ms=now_ms,
        cpu_s=cpu_s,
    )
    if origin is not None:
        row.author, row.reason, row.based_on = origin.author, origin.reason, origin.based_on
        row.verified, row.machine_edits, row.reference_chars = (
            origin.verified,
            origin.machine_edits,
            origin.reference_chars,
        )
    session.add(row)
    session.flush()
    assert row.id is not None
    for utterance in transcript.utterances:
        session.add(
            UtteranceRow(
                transcript_id=row.id,
                index=utterance.index,
                speaker=utterance.speaker.value,
                start_ms=utterance.span.start_ms,
                end_ms=utterance.span.end_ms,
                text=utterance.text,
                raw_text=utterance.raw_text,
                confidence=utterance.confidence,
                reliable=utterance.reliable,
                unprompted=list(astuple(utterance.unprompted)) if utterance.unprompted else [],
                repairs=_stored(utterance.repairs),
                corrections=_stored(utterance.corrections),
            )
        )
    index_call(session, call_id)
    return row


def load_transcript(session: Session, row: TranscriptRow) -> Transcript:
    """The value a stored version was made from; `save_transcript` read backwards."""
    utterances = session.exec(
        select(UtteranceRow).where(UtteranceRow.transcript_id == row.id).order_by(col(UtteranceRow.index))
    )
    citizen, agent = (tuple(Span(start, end) for start, end in channel) for channel in row.speech)
    return Transcript(
        utterances=tuple(
            Utterance(
                index=each.index,
                speaker=Speaker(each.speaker),
                span=Span(each.start_ms, each.end_ms),
                text=each.text,
                raw_text=each.raw_text,
                confidence=each.confidence,
                reliable=each.reliable,
                repairs=tuple(Repair(start, end, was) for start, end, was in each.repairs),
                unprompted=Unprompted(*each.unprompted) if each.unprompted else None,
                corrections=tuple(Repair(start, end, was) for start, end, was in each.corrections),
            )
            for each in utterances
        ),
        speech=(citizen, agent),
        duration_ms=row.duration_ms,
        made=Made(row.engine, row.model_sha256, tuple(sorted(row.options.items())), row.recording_sha256),
        separated=row.separated,
        notes=tuple(row.notes),
    )


def _stored(changes: tuple[Repair, ...]) -> list[list[object]]:
    return [[change.start, change.end, change.was] for change in changes]


def _mean_confidence(transcript: Transcript) -> float | None:
    """Mean of the utterances' confidences, each weighted with its length in characters."""
    weights = [max(1, len(utterance.text)) for utterance in transcript.utterances]
    if not weights:
        return None
    total = sum(w * utterance.confidence for w, utterance in zip(weights, transcript.utterances, strict=True))
    return total / sum(weights)


def _close(db: Database, claimed: Claim, result: StageResult, clock: Clock) -> StageResult:
    with db.write() as session:
        finish(session, claimed, result, now_ms=clock())
    return result
