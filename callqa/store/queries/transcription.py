"""What the 转写 page and `callqa transcribe` show: how far it is, versions of a call, errors found by people, offered words."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, update
from sqlmodel import Session, col, select

from callqa.periods import Month
from callqa.store.queries.confidential import is_public
from callqa.store.tables import Call, CallProgress, TranscriptRow, UtteranceRow, VocabularyCandidate, VocabularyVersion

COST_CALLS = 200  # the last so many transcriptions tell what one costs
RATE_WINDOW_MS = 20 * 60_000  # how fast it went lately tells how long the rest takes


@dataclass(frozen=True, slots=True)
class SpeechWork:
    """How many calls are in which state, and how long the rest will take. eta_ms: None when nothing tells."""

    wanted: int
    running: int
    waiting: int
    failed: int
    done: int
    left_ms: int  # of recordings
    eta_ms: int | None

    @property
    def total(self) -> int:
        return self.wanted + self.running + self.waiting + self.failed + self.done

    @property
    def busy(self) -> bool:
        return bool(self.wanted or self.running)


@dataclass(frozen=True, slots=True)
class MonthErrors:
    """Machine against confirmed text, of the calls of one month that people corrected. verified: of those, the calls
    compared as a whole; only their rate is not flattered by what nobody looked at."""

    month: str
    calls: int
    edits: int
    chars: int
    verified_calls: int
    verified_edits: int
    verified_chars: int

    @property
    def rate(self) -> float | None:
        return self.edits / self.chars if self.chars else None

    @property
    def verified_rate(self) -> float | None:
        return self.verified_edits / self.verified_chars if self.verified_chars else None


@dataclass(frozen=True, slots=True)
class Offered:
    """A word that waits for the leader. times: how often it was written."""

    candidate: VocabularyCandidate
    call_id: str
    times: int


@dataclass(frozen=True, slots=True)
class SpeechCost:
    """What transcription by one model on one device costs in CPU time. model: its name, else the engine's."""

    model: str
    device: str
    calls: int
    duration_ms: int
    cpu_s: float

    @property
    def cpu_s_per_min(self) -> float:
        """CPU seconds for a minute of call."""
        return self.cpu_s / (self.duration_ms / 60_000)


def speech_cost(session: Session, newest: int = COST_CALLS, most: int = 3) -> list[SpeechCost]:
    """By model and device, of the newest transcriptions, the one used last first."""
    rows = session.exec(
        select(TranscriptRow.engine, TranscriptRow.options, TranscriptRow.duration_ms, TranscriptRow.cpu_s)
        .where(TranscriptRow.author == "", col(TranscriptRow.cpu_s).is_not(None), TranscriptRow.duration_ms > 0)
        .order_by(col(TranscriptRow.id).desc())
        .limit(newest)
    ).all()
    made: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for engine, options, duration_ms, cpu_s in rows:
        made[options.get("model") or engine, options.get("device", "")].append((duration_ms, cpu_s or 0.0))
    return [
        SpeechCost(model, device, len(each), sum(ms for ms, _ in each), sum(s for _, s in each))
        for (model, device), each in list(made.items())[:most]
    ]


def speech_work(session: Session, now_ms: int) -> SpeechWork:
    """How far transcription is, and when it will be done if it goes on as lately."""
    counted = dict(
        session.exec(
            select(CallProgress.state, func.count())
            .where(CallProgress.stage == "transcribe")
            .group_by(col(CallProgress.state))
        ).all()
    )
    summed = session.exec(
        select(func.coalesce(func.sum(Call.duration_ms), 0))
        .join(CallProgress, col(CallProgress.call_id) == col(Call.call_id))
        .where(
            CallProgress.stage == "transcribe",
            col(CallProgress.state).in_(("wanted", "running")),
            Call.recording_status == "ok",
        )
    ).one()
    left_ms = int(summed or 0)
    made_ms, since_ms, n = session.exec(
        select(
            func.coalesce(func.sum(TranscriptRow.duration_ms), 0), func.min(TranscriptRow.created_at_ms), func.count()
        )
        .select_from(TranscriptRow)
        .where(TranscriptRow.author == "", col(TranscriptRow.created_at_ms) >= now_ms - RATE_WINDOW_MS)
    ).one()
    took_ms = now_ms - since_ms if since_ms is not None else 0
    known = n > 1 and made_ms and took_ms > 0 and left_ms
    return SpeechWork(
        wanted=counted.get("wanted", 0),
        running=counted.get("running", 0),
        waiting=counted.get("waiting", 0),
        failed=counted.get("failed", 0),
        done=counted.get("done", 0),
        left_ms=left_ms,
        eta_ms=left_ms * took_ms // made_ms if known else None,
    )


def hold_transcripts(session: Session, call_id: str) -> None:
    """Until the transaction ends nobody else adds a transcript to the call. SQLite has one writer anyway."""
    session.exec(select(Call.call_id).where(Call.call_id == call_id).with_for_update(key_share=True)).all()


def newest_transcript(session: Session, call_id: str) -> TranscriptRow | None:
    """The highest version of a call's transcript: the one in force, a person's where one has confirmed the text."""
    return session.exec(
        select(TranscriptRow)
        .where(TranscriptRow.call_id == call_id)
        .order_by(col(TranscriptRow.version).desc())
        .limit(1)
    ).first()


def versions_of(session: Session, call_id: str) -> Sequence[TranscriptRow]:
    """All versions of a call's transcript, newest first."""
    return session.exec(
        select(TranscriptRow).where(TranscriptRow.call_id == call_id).order_by(col(TranscriptRow.version).desc())
    ).all()


def find_version(session: Session, call_id: str, version: int) -> tuple[TranscriptRow, Sequence[UtteranceRow]] | None:
    """One version with its utterances."""
    row = session.exec(
        select(TranscriptRow).where(TranscriptRow.call_id == call_id, TranscriptRow.version == version)
    ).first()
    if row is None:
        return None
    utterances = session.exec(
        select(UtteranceRow)
        .where(UtteranceRow.transcript_id == row.id)
        .order_by(col(UtteranceRow.start_ms), col(UtteranceRow.index))
    ).all()
    return row, utterances


def errors_by_month(session: Session, limit: int = 12) -> list[MonthErrors]:
    """Of each month's calls, the newest text that a person confirmed against the machine's; newest month first."""
    rows = session.exec(
        select(Call.call_id, Call.started_at_ms, TranscriptRow)
        .join(TranscriptRow, col(TranscriptRow.call_id) == col(Call.call_id))
        .where(TranscriptRow.author != "")
        .order_by(col(TranscriptRow.version))
    ).all()
    newest = {call_id: (str(Month.of(started_ms)), row) for call_id, started_ms, row in rows}
    months: dict[str, list[TranscriptRow]] = defaultdict(list)
    for month, row in newest.values():
        months[month].append(row)
    return [_errors(month, months[month]) for month in sorted(months, reverse=True)[:limit]]


def _errors(month: str, rows: Iterable[TranscriptRow]) -> MonthErrors:
    every = list(rows)
    whole = [row for row in every if row.verified]
    return MonthErrors(month, *_sums(every), *_sums(whole))


def _sums(rows: Sequence[TranscriptRow]) -> tuple[int, int, int]:
    return len(rows), sum(row.machine_edits or 0 for row in rows), sum(row.reference_chars or 0 for row in rows)


def offered_words(session: Session, limit: int = 50) -> list[Offered]:
    """Words that wait for a decision, the most frequent first, each once; none of a confidential call."""
    rows = session.exec(
        select(VocabularyCandidate, TranscriptRow.call_id)
        .join(TranscriptRow, col(TranscriptRow.id) == col(VocabularyCandidate.transcript_id))
        .join(Call, col(Call.call_id) == col(TranscriptRow.call_id))
        .where(VocabularyCandidate.state == "offered", is_public())
        .order_by(col(VocabularyCandidate.id))
    ).all()
    words: dict[str, list[tuple[VocabularyCandidate, str]]] = defaultdict(list)
    for candidate, call_id in rows:
        words[candidate.word].append((candidate, call_id))
    found = [Offered(*seen[-1], times=len(seen)) for seen in words.values()]
    return sorted(found, key=lambda o: (-o.times, o.candidate.id or 0))[:limit]


def vocabulary_versions(session: Session, limit: int = 10) -> Sequence[VocabularyVersion]:
    """Versions of the site's own words, newest first."""
    return session.exec(select(VocabularyVersion).order_by(col(VocabularyVersion.version).desc()).limit(limit)).all()


def count_offered(session: Session) -> int:
    """How many different words wait for a decision."""
    return session.exec(
        select(func.count(func.distinct(VocabularyCandidate.word)))
        .join(TranscriptRow, col(TranscriptRow.id) == col(VocabularyCandidate.transcript_id))
        .join(Call, col(Call.call_id) == col(TranscriptRow.call_id))
        .where(VocabularyCandidate.state == "offered", is_public())
    ).one()


def want_speech_again(session: Session, start_ms: int | None, end_ms: int | None, now_ms: int) -> int:
    """Ask for the transcription of every recorded call that started in [start_ms, end_ms) (None: all), and for its check.
    Those in work now are left alone. Returns how many were asked for."""
    recorded = select(Call.call_id).where(Call.recording_status == "ok", col(Call.deleted_at_ms).is_(None))
    if start_ms is not None and end_ms is not None:
        recorded = recorded.where(col(Call.started_at_ms) >= start_ms, col(Call.started_at_ms) < end_ms)
    at_rest = ("done", "failed", "waiting")
    values = {"state": "wanted", "attempts": 0, "percent": 0, "message": "", "updated_at_ms": now_ms}
    asked = (
        select(CallProgress.call_id)
        .where(CallProgress.stage == "transcribe", col(CallProgress.state).in_(at_rest))
        .where(col(CallProgress.call_id).in_(recorded))
    )
    change = update(CallProgress).where(col(CallProgress.state).in_(at_rest))
    session.exec(
        change.where(col(CallProgress.stage) == "check", col(CallProgress.call_id).in_(asked))
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return session.exec(
        change.where(col(CallProgress.stage) == "transcribe", col(CallProgress.call_id).in_(recorded))
        .values(**values)
        .execution_options(synchronize_session=False)
    ).rowcount
