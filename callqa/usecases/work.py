"""Do one stage of one call: claim it, run its verb, and write how it ended. Also the worker's one speech engine.

The runner (pipeline.py) calls `Work.run_stage` from its threads and `Work.beat` from its loop; nothing here knows of it.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from callqa.config import Settings
from callqa.errors import CallqaError, ConflictError, EngineError
from callqa.store.db import Database
from callqa.transcribe.engine import Engine
from callqa.transcribe.engines import find_loader
from callqa.transcribe.repair import Repairer
from callqa.usecases import attribute, check, link, progress
from callqa.usecases.cpu_share import CpuShare
from callqa.usecases.draw_peaks import keep_peaks
from callqa.usecases.progress import Claim, Stage, StageResult, StageState
from callqa.usecases.transcribe import Clock, Interrupted, transcribe
from callqa.usecases.vocabulary import make_repairer, site_words

log = logging.getLogger(__name__)

EngineFactory = Callable[[], Engine]  # raises EngineError with a Chinese message
ENGINE_RETRY_MS = 15_000  # somebody copying a model into place sees it picked up without a restart


@dataclass(slots=True)
class EngineSlot:
    """The speech engines, one for each call transcribed at the same time, each loaded once and only when needed."""

    factory: EngineFactory
    problem: str = ""
    _idle: list[Engine] = field(default_factory=list)
    _tried_at_ms: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def lend(self, now_ms: int) -> Iterator[Engine | None]:
        """An engine for one call, or None with `problem` saying what to supply."""
        engine = self._take(now_ms)
        try:
            yield engine
        finally:
            if engine is not None:
                with self._lock:
                    self._idle.append(engine)

    def ready(self, now_ms: int) -> bool:
        """Whether an engine can be had now. A failure is not tried again for a while."""
        with self.lend(now_ms) as engine:
            return engine is not None

    def _take(self, now_ms: int) -> Engine | None:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            if self.problem and now_ms - self._tried_at_ms < ENGINE_RETRY_MS:
                return None
            self._tried_at_ms = now_ms
            try:
                engine, self.problem = self.factory(), ""
            except EngineError as e:
                self.problem = str(e) or type(e).__name__
                log.warning("no speech engine: %s", e)
                return None
            except (
                Exception
            ) as e:  # of a site's own engine, or of a library below ours: calls wait for a person, none fails
                self.problem = f"语音引擎装载失败：{e or type(e).__name__}；请运行 callqa asr check"
                log.exception("the speech engine does not load")
                return None
            return engine


@dataclass(slots=True)
class RepairSlot:
    """The homophone repair, loaded once when the first call needs it, and again when the vocabulary has changed.

    load: from the vocabulary's text and the site's own words; None where this machine has no word model.
    """

    vocabulary: Path
    load: Callable[[str, tuple[str, ...]], Repairer | None]
    site_words: Callable[[], tuple[str, ...]] = tuple
    _repairer: Repairer | None = None
    _seen: tuple[int, tuple[str, ...]] = (-1, ())
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self) -> Repairer | None:
        """The repairer, or None. A vocabulary that cannot be read is logged and left out: transcription goes on."""
        with self._lock:
            changed_ns = self.vocabulary.stat().st_mtime_ns if self.vocabulary.exists() else 0
            words = self.site_words()
            if (changed_ns, words) != self._seen:
                self._seen = (changed_ns, words)
                try:
                    self._repairer = self.load(self.vocabulary.read_text("utf-8") if changed_ns else "", words)
                except (CallqaError, OSError, UnicodeDecodeError) as e:
                    log.error("词表 %s 读不了，继续用原来的：%s", self.vocabulary, e)
            return self._repairer


@dataclass(slots=True)
class Work:
    """What the stages of all calls share."""

    db: Database
    recordings: Path
    engine: EngineSlot
    clock: Clock
    parallel_calls: int = 1
    stop: threading.Event = field(default_factory=threading.Event)
    repair: RepairSlot | None = None
    worker: str = ""  # whose claims these are
    ticket_wait_ms: int = check.TICKET_WAIT_MS
    var: Path | None = None  # where peaks are kept; None: the first page makes them
    cpu: CpuShare = field(default_factory=CpuShare)
    _claims: set[Claim] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _speech_room: threading.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._speech_room = threading.Semaphore(self.parallel_calls)

    def run_stage(self, call_id: str, stage: Stage) -> str:
        """Run one stage if it is wanted now; returns a word for the runner's record. Never raises for the call's sake.

        The check needs a finished transcription. Transcriptions wait here for their turn (`parallel_calls`), before
        they are claimed, so that the page shows them as queued.
        """
        if self.stop.is_set() or (stage is Stage.CHECK and not self._transcribed(call_id)):
            return "not now"
        if stage is not Stage.TRANSCRIBE:
            return self._claimed(call_id, stage)
        while not self._speech_room.acquire(timeout=0.5):
            if self.stop.is_set():
                return "not now"
        try:
            return self._claimed(call_id, stage)
        finally:
            self._speech_room.release()

    def look_at_waiting(self, now_ms: int) -> None:
        """Wake the transcriptions that wait for an engine, or say on them what is in the way now."""
        if self.engine.ready(now_ms):
            progress.wake_waiting(self.db, Stage.TRANSCRIBE, now_ms=now_ms)
        elif problem := self.engine.problem:
            progress.explain_waiting(self.db, Stage.TRANSCRIBE, problem, now_ms=now_ms)

    def beat(self, now_ms: int) -> None:
        """Heartbeat for every stage in work here."""
        for claimed in self.claims():
            progress.beat(self.db, claimed, now_ms=now_ms)

    def claims(self) -> tuple[Claim, ...]:
        """The stages in work now."""
        with self._lock:
            return tuple(self._claims)

    def _claimed(self, call_id: str, stage: Stage) -> str:
        if self.stop.is_set():
            return "not now"
        claimed = progress.claim(self.db, call_id, stage, now_ms=self.clock(), worker=self.worker)
        if claimed is None:
            return "not wanted"
        with self._lock:
            self._claims.add(claimed)
        try:
            return self._run(claimed).state.value
        except (Interrupted, ConflictError) as e:  # stopped, or a person saved first: again, with fresh rows
            log.info("%s", e)
            progress.release(self.db, claimed, now_ms=self.clock())
            return "interrupted"
        except Exception as e:  # the worker loop's boundary: one call never stops the others
            log.exception("call %s: stage %s failed", call_id, stage)
            message = str(e) if isinstance(e, CallqaError) else f"处理出错（{type(e).__name__}）；详见系统日志"
            self._finish(claimed, StageResult(StageState.FAILED, message))
            return StageState.FAILED.value
        finally:
            with self._lock:
                self._claims.discard(claimed)

    def _run(self, claimed: Claim) -> StageResult:
        match claimed.stage:
            case Stage.ATTRIBUTE:
                attribute.attribute(self.db, claimed.call_id, now_ms=self.clock())
            case Stage.LINK:
                link.link(self.db, claimed.call_id, now_ms=self.clock())
            case Stage.TRANSCRIBE:
                with self.engine.lend(self.clock()) as engine:
                    return transcribe(
                        self.db,
                        claimed,
                        engine=engine,
                        repairer=self.repair.get() if self.repair is not None and engine is not None else None,
                        engine_problem=self.engine.problem,
                        recordings=self.recordings,
                        clock=self.clock,
                        stopping=self.stop.is_set,
                        cpu=self.cpu,
                    )
            case Stage.CHECK:
                if self.var is not None:
                    keep_peaks(self.db, claimed.call_id, recordings=self.recordings, var=self.var)
                return check.check(
                    self.db,
                    claimed,
                    recordings=self.recordings,
                    clock=self.clock,
                    ticket_wait_ms=self.ticket_wait_ms,
                )
        return self._finish(claimed, StageResult(StageState.DONE))

    def _finish(self, claimed: Claim, result: StageResult) -> StageResult:
        with self.db.write() as session:
            progress.finish(session, claimed, result, now_ms=self.clock())
        return result

    def _transcribed(self, call_id: str) -> bool:
        stages = progress.progress_of_call(self.db, call_id)
        return any(view.stage is Stage.TRANSCRIBE and view.state is StageState.DONE for view in stages)


def build_work(
    settings: Settings,
    db: Database,
    *,
    clock: Clock,
    stop: threading.Event,
    worker: str,
    engine_factory: EngineFactory | None = None,
) -> Work:
    """What a worker process works with. engine_factory: by default the engine that the settings name."""
    return Work(
        db=db,
        recordings=settings.recordings_dir,
        engine=EngineSlot(engine_factory or (lambda: load_speech_engine(settings))),
        clock=clock,
        parallel_calls=settings.speech.parallel_calls,
        stop=stop,
        repair=RepairSlot(
            settings.scorecards_dir / "vocabulary.yaml",
            lambda text, words: make_repairer(text, settings.word_model, words),
            lambda: site_words(db),
        ),
        worker=worker,
        ticket_wait_ms=settings.checks.ticket_wait_h * check.HOUR_MS,
        var=settings.var_dir,
    )


def load_speech_engine(settings: Settings) -> Engine:
    """The engine that the settings name, with its model loaded; heavy, so only when a call needs it."""
    speech = settings.speech
    load = find_loader(speech.engine)
    return load(settings.model_dir, device=speech.device, compute_type=speech.compute_type, threads=speech.threads)
