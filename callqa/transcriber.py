"""A process that only transcribes: `callqa work --speech`. Any number may run beside the worker, on one database.

It takes wanted transcriptions one claim at a time, as the worker does; a claim is a lease that the heartbeat renews. Killed,
its work is taken back by its own next life at once (the lock of its place proves that the former one is dead), or by anybody
when the lease runs out. What comes after a transcription is the worker's.
"""

import fcntl
import logging
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from callqa.background import clock_ms, step_back
from callqa.config import Settings
from callqa.errors import ConfigError
from callqa.store.db import Database
from callqa.store.migrate import migrate
from callqa.store.queries.calls_for_work import calls_to_transcribe
from callqa.usecases import progress
from callqa.usecases.progress import Stage
from callqa.usecases.work import EngineFactory, Work, build_work

log = logging.getLogger("callqa.speech")

PLACES = 64  # more processes than any machine has use for
LOOK_S = 0.5
BEAT_EVERY_S = 10.0
DEAD_AFTER_MS = 60_000  # six missed heartbeats
TAKE_FROM = 2 * PLACES  # the oldest so many: every process finds one that the others leave


def run_speech_worker(
    settings: Settings, *, stop: threading.Event | None = None, engine_factory: EngineFactory | None = None
) -> int:
    """Transcribe what is wanted until `stop` is set or SIGTERM/SIGINT comes. Returns the exit status."""
    stop = stop or threading.Event()
    step_back(stop)
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with _place(settings.state_dir) as place:
        migrate(settings.database_url)
        db = Database(settings.database_url)
        worker = f"{platform.node()}:{settings.var_dir}:speech-{place}"
        work = build_work(settings, db, clock=clock_ms, stop=stop, worker=worker, engine_factory=engine_factory)
        try:
            progress.recover_own(db, worker, now_ms=clock_ms())
            _serve(work, place, settings.speech.parallel_calls)
        finally:
            db.dispose()
    return 0


def _serve(work: Work, place: int, parallel_calls: int) -> None:
    hands = [threading.Thread(target=_transcribe, args=(work, place - 1 + n)) for n in range(parallel_calls)]
    for hand in hands:
        hand.start()
    log.info("speech worker %s is ready", work.worker)
    beat_at = 0.0
    while not work.stop.is_set():
        if time.monotonic() >= beat_at:
            beat_at = time.monotonic() + BEAT_EVERY_S
            try:
                work.beat(clock_ms())
                progress.recover_dead(work.db, silent_since_ms=clock_ms() - DEAD_AFTER_MS, now_ms=clock_ms())
            except Exception:  # a database that is away for a while must not end us
                log.exception("no heartbeat; trying again")
        work.stop.wait(LOOK_S)
    for hand in hands:
        hand.join()


def _transcribe(work: Work, first: int) -> None:
    """One hand. first: where among the oldest it begins, so that hands do not all reach for the same call."""
    while not work.stop.is_set():
        try:
            if not _one(work, first):
                work.stop.wait(LOOK_S)
        except Exception:  # as above
            log.exception("a look for work failed; trying again")
            work.stop.wait(2.0)


def _one(work: Work, first: int) -> bool:
    """Transcribe one call. False when there is nothing to do, or no engine to do it with."""
    with work.db.read() as session:
        wanted = calls_to_transcribe(session, TAKE_FROM)
    if not wanted or not work.engine.ready(clock_ms()):
        return False
    at = first % len(wanted)
    for call_id in (*wanted[at:], *wanted[:at]):
        if work.stop.is_set() or work.run_stage(call_id, Stage.TRANSCRIBE) != "not wanted":
            return True
    return False


@contextmanager
def _place(folder: Path) -> Iterator[int]:
    """The first free place on this machine; held by a file lock until the process ends, however it ends."""
    for place in range(1, PLACES + 1):
        with open(folder / f"speech-{place}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield place
            return
    raise ConfigError(f"已有 {PLACES} 个转写进程在运行；请先停掉几个")
