"""The worker process: takes in what the recorder wrote and carries every call through its stages.

DBOS (jobs.db, or PostgreSQL) is only the runner: one workflow a call, one step a stage, at least once. What exists and
what is wanted is in `call_progress`; each loop compares the two and starts what is missing, so jobs.db may vanish at
any time, also while the worker runs. No decision about a call is made here.
"""

import fcntl
import logging
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dbos import DBOS, DBOSConfig, SetWorkflowID

from callqa.background import clock_ms, step_back
from callqa.config import Settings
from callqa.store.db import Database, driver_url, sqlite_path
from callqa.store.migrate import migrate
from callqa.store.queries.calls_for_work import (
    calls_whose_ticket_changed,
    calls_whose_tickets_came,
    calls_with_wanted_stages,
)
from callqa.usecases import link, progress, retention, try_rubric
from callqa.usecases.archive import archive, free_spools
from callqa.usecases.delete import finish_deletions
from callqa.usecases.delete_files import places_of
from callqa.usecases.desk import publish_desk
from callqa.usecases.ingest import JournalTail, give_up_overdue, ingest, ingest_lost
from callqa.usecases.load_rubric import load_rubric
from callqa.usecases.progress import STAGES, Stage
from callqa.usecases.review import lapse_due
from callqa.usecases.watch_folder import WatchedFolder, WatchRules
from callqa.usecases.work import EngineFactory, Work, build_work

log = logging.getLogger("callqa.work")

# Raise it when the order or meaning of the steps changes: unfinished workflows of another version are left alone and
# the reconciler starts their calls anew.
WORKFLOW_VERSION = "callqa-work/1"
QUEUE = "calls"
MAX_OPEN_CALLS = 64  # handed to the runner at once; each costs a thread that mostly waits for its turn to transcribe
ASK_AGAIN_S = 60.0  # a call handed over and not begun by then was lost with jobs.db
LOOP_S = 0.5
BEAT_EVERY_S = 10.0
DEAD_AFTER_MS = 60_000  # six missed heartbeats
LOOK_EVERY_S = 5.0  # failed stages, changed tickets, waiting stages
LOOK_BACK_MS = 600_000  # a link decided while its call was being checked is still seen afterwards
WATCH_EVERY_S = 10.0  # the folder of recordings made elsewhere
SWEEP_EVERY_S = 60.0  # sidecars without a journal line
HOUSEKEEPING_EVERY_S = 3600.0
STOP_GRACE_S = 10.0
LOCK_WAIT_S = 10.0  # a worker that is being replaced needs no longer to stop


@dataclass(slots=True)
class Runner:
    """DBOS, started and stopped as a whole. One at a time in a process: DBOS keeps global state."""

    work: Work
    jobs_url: str
    executor_id: str
    _asked: dict[str, float] = field(default_factory=dict)  # call_id -> monotonic time it was handed over
    _begun: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _inode: int | None = None
    _workflow: Callable[[str], dict[str, str]] | None = None

    def launch(self) -> None:
        """Start DBOS with an empty memory of what was handed over."""
        with self._lock:
            self._asked.clear()
        logging.getLogger("dbos").addHandler(logging.NullHandler())  # else it installs a console handler of its own
        config: DBOSConfig = {
            "name": "callqa",
            "system_database_url": self.jobs_url,
            "executor_id": self.executor_id,
            "application_version": WORKFLOW_VERSION,
            "log_level": "WARNING",
            "enable_otlp": False,
        }
        DBOS(config=config)

        @DBOS.step(name="stage")
        def stage(call_id: str, name: str) -> str:
            return self.work.run_stage(call_id, Stage(name))

        @DBOS.workflow(name="call")
        def call(call_id: str) -> dict[str, str]:
            if not self._note_begun(call_id):
                return {}  # recovered by DBOS and handed over by the reconciler: the other one is at it
            try:
                return {name.value: stage(call_id, name.value) for name in STAGES}
            finally:
                self._note_ended(call_id)

        self._workflow = call
        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=MAX_OPEN_CALLS, polling_interval_sec=0.2)
        self._inode = self._jobs_inode()

    def start_call(self, call_id: str, attempts: int, now_ms: int) -> None:
        """Hand a call over unless it is already with DBOS. The workflow id is call_id.attempts; one that DBOS has
        finished already (its work was asked for again) gets the time added."""
        with self._lock:
            asked_at = self._asked.get(call_id)
            again = asked_at is not None
            if call_id in self._begun or (asked_at is not None and time.monotonic() - asked_at < ASK_AGAIN_S):
                return
            if not again and len(self._asked) >= MAX_OPEN_CALLS:
                return
            self._asked[call_id] = time.monotonic()
        assert self._workflow is not None, "launch() first"
        workflow_id = f"{call_id}.{attempts}"
        status = DBOS.get_workflow_status(workflow_id)
        if status is not None and (again or status.status not in ("PENDING", "ENQUEUED")):
            workflow_id = f"{workflow_id}.{now_ms}"
        with SetWorkflowID(workflow_id):
            DBOS.enqueue_workflow(QUEUE, self._workflow, call_id)

    def lost(self) -> bool:
        """Whether jobs.db was deleted or replaced under us."""
        return self._jobs_inode() != self._inode

    def shut_down(self) -> None:
        """Stop DBOS; a step in work goes on in its thread until it notices the stop."""
        DBOS.destroy(destroy_registry=True)

    def _jobs_inode(self) -> int | None:
        path = sqlite_path(self.jobs_url)
        if path is None:
            return None
        try:
            return path.stat().st_ino
        except OSError:
            return -1

    def _note_begun(self, call_id: str) -> bool:
        with self._lock:
            fresh = call_id not in self._begun
            self._begun.add(call_id)
            return fresh

    def _note_ended(self, call_id: str) -> None:
        with self._lock:
            self._begun.discard(call_id)
            self._asked.pop(call_id, None)


@dataclass(slots=True)
class _Every:
    """Something the loop does now and then."""

    interval_s: float
    due_at: float = 0.0

    def due(self) -> bool:
        now = time.monotonic()
        if now < self.due_at:
            return False
        self.due_at = now + self.interval_s
        return True


@dataclass(slots=True)
class Worker:
    """The loop. `round()` does everything that is due and never blocks on a call."""

    settings: Settings
    db: Database
    work: Work
    runner: Runner
    tail: JournalTail = field(default_factory=JournalTail)
    beat: _Every = field(default_factory=lambda: _Every(BEAT_EVERY_S))
    look: _Every = field(default_factory=lambda: _Every(LOOK_EVERY_S))
    sweep: _Every = field(default_factory=lambda: _Every(SWEEP_EVERY_S))
    housekeeping: _Every = field(default_factory=lambda: _Every(HOUSEKEEPING_EVERY_S))
    watch: _Every = field(default_factory=lambda: _Every(WATCH_EVERY_S))
    watched: WatchedFolder | None = None
    swept_all: bool = False
    links_since_ms: int = 0
    rubric_seen_ns: int = 0

    def round(self) -> None:
        """One pass: news from the recorder, then whatever is due, then hand over what is wanted."""
        now_ms = self.work.clock()
        self._take_in(now_ms)
        if self.beat.due():
            self.work.beat(now_ms)
        if self.look.due():
            self._look(now_ms)
        if self.housekeeping.due():
            self._keep_house(now_ms)
        try_rubric.work_a_while(
            self.db,
            recordings=self.settings.recordings_dir,
            clock=self.work.clock,
            ticket_wait_ms=self.work.ticket_wait_ms,
        )
        if self.watched is not None and self.watch.due():
            self.watched.look(self.db, recordings=self.settings.recordings_dir, now_ms=now_ms, demo=self.settings.demo)
        if self.runner.lost():
            log.warning("the job runner's database is gone; starting it anew, no work is lost")
            self.runner.shut_down()
            self.runner.launch()
        with self.db.read() as session:
            wanted = calls_with_wanted_stages(session, limit=2 * MAX_OPEN_CALLS)
        for call_id, attempts in wanted:
            self.runner.start_call(call_id, attempts, now_ms)

    def _take_in(self, now_ms: int) -> None:
        recordings, demo = self.settings.recordings_dir, self.settings.demo
        taken = ingest(self.db, recordings=recordings, now_ms=now_ms, demo=demo, tail=self.tail)
        completed = taken.completed
        if taken.seats_changed:  # the recorder starts from the desk, so a sign-in at a phone must reach it
            publish_desk(self.db, self.settings.desk_path, now_ms)
        if self.sweep.due():
            lately = datetime.fromtimestamp(now_ms / 1000, UTC) - timedelta(days=2)
            since_day = f"{lately:%Y/%m/%d}" if self.swept_all else ""
            found = ingest_lost(self.db, recordings=recordings, now_ms=now_ms, demo=demo, since_day=since_day)
            completed += found.completed
            self.swept_all = True
        if completed:
            archive(self.db, spool=self.settings.spool_dir, now_ms=now_ms)

    def _look(self, now_ms: int) -> None:
        self._take_rubric(now_ms)
        progress.recover_dead(self.db, silent_since_ms=now_ms - DEAD_AFTER_MS, now_ms=now_ms)
        progress.retry_failed(self.db, now_ms=now_ms)
        relinked = link.relink_open(self.db, now_ms=now_ms).changed
        with self.db.read() as session:
            changed = {*relinked, *calls_whose_ticket_changed(session, self.links_since_ms, limit=200)}
            wait_ms = self.work.ticket_wait_ms
            changed |= {*calls_whose_tickets_came(session, self.links_since_ms, 200, now_ms=now_ms, wait_ms=wait_ms)}
        if len(changed) < 200:
            self.links_since_ms = now_ms - LOOK_BACK_MS
        if changed:
            progress.want_again(self.db, sorted(changed), Stage.CHECK, actor="system", now_ms=now_ms)
        counts = progress.work_counts(self.db)
        if counts.count(Stage.TRANSCRIBE, progress.StageState.WAITING):
            self.work.look_at_waiting(now_ms)
        if counts.count(Stage.CHECK, progress.StageState.WAITING):
            load_rubric(self.db, self.settings.scorecards_dir / "rubric.yaml", now_ms=now_ms)
            progress.wake_waiting(self.db, Stage.CHECK, now_ms=now_ms)

    def _take_rubric(self, now_ms: int) -> None:
        """A rubric that somebody edited is in force for the calls that start from now on; nobody restarts anything."""
        path = self.settings.scorecards_dir / "rubric.yaml"
        changed_ns = path.stat().st_mtime_ns if path.exists() else 0
        if changed_ns not in (0, self.rubric_seen_ns):
            self.rubric_seen_ns = changed_ns
            load_rubric(self.db, path, now_ms=now_ms)

    def _keep_house(self, now_ms: int) -> None:
        give_up_overdue(self.db, now_ms=now_ms)
        lapse_due(self.db, now_ms=now_ms)
        archive(self.db, spool=self.settings.spool_dir, now_ms=now_ms)
        free_spools(
            self.db,
            spool=self.settings.spool_dir,
            recordings=self.settings.recordings_dir,
            keep_days=self.settings.retention.spool_keep_days,
            now_ms=now_ms,
        )
        self._delete(now_ms)

    def _delete(self, now_ms: int) -> None:
        """Finish what was begun at any time; what the period alone deletes goes at night."""
        kept, places = self.settings.retention, places_of(self.settings)
        finish_deletions(self.db, places=places, now_ms=now_ms)
        if kept.recordings_days and retention.is_night(now_ms):
            terms = retention.Terms(kept.recordings_days, kept.fatal_case_days)
            retention.delete_expired(self.db, terms, places=places, actor="system", now_ms=now_ms)


def run_worker(
    settings: Settings, *, stop: threading.Event | None = None, engine_factory: EngineFactory | None = None
) -> int:
    """Run until `stop` is set or SIGTERM/SIGINT comes. Returns the exit status: 1 when another worker holds the lock.

    engine_factory: makes the speech engine when the first call needs it; by default the one of the settings.
    """
    stop = stop or threading.Event()
    step_back(stop)
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with _only_worker(settings.state_dir / "worker.lock", stop) as alone:
        if not alone:
            return 0 if stop.is_set() else 1
        migrate(settings.database_url)
        db = Database(settings.database_url)
        try:
            return _run(settings, db, stop, engine_factory)
        finally:
            db.dispose()


def _run(settings: Settings, db: Database, stop: threading.Event, engine_factory: EngineFactory | None) -> int:
    name = f"{platform.node()}:{settings.var_dir}"
    work = build_work(settings, db, clock=clock_ms, stop=stop, worker=name, engine_factory=engine_factory)
    jobs_url = settings.jobs_url if sqlite_path(settings.jobs_url) else driver_url(settings.jobs_url)
    runner = Runner(work, jobs_url, executor_id=name)
    progress.recover_own(db, name, now_ms=clock_ms())  # we hold the lock: whoever ran these under our name is dead
    runner.launch()
    worker = Worker(settings, db, work, runner, watched=_watched(settings))
    log.info("the worker is ready")
    while not stop.is_set():
        try:
            worker.round()
        except Exception:  # the loop must outlive a full disk or a database that is away for a while
            log.exception("a round of the worker failed; trying again")
            stop.wait(2.0)
        stop.wait(LOOP_S)
    deadline = time.monotonic() + STOP_GRACE_S
    while work.claims() and time.monotonic() < deadline:
        time.sleep(0.05)
    runner.shut_down()
    return 0


@contextmanager
def _only_worker(path: Path, stop: threading.Event) -> Iterator[bool]:
    """Hold the lock that makes the executor id unique; False when another worker keeps it for ten seconds."""
    with open(path, "w") as lock:
        deadline: float | None = None
        while not stop.is_set():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if deadline is None:
                    log.info("another worker holds %s; waiting for it to end", path)
                    deadline = time.monotonic() + LOCK_WAIT_S
                if time.monotonic() > deadline:
                    log.error("另一个处理进程（callqa work）正在使用 %s；请先停掉它", path.parent)
                    break
                stop.wait(0.2)
            else:
                yield True
                return
        yield False


def _watched(settings: Settings) -> WatchedFolder | None:
    folder, rules = settings.watch_folder, settings.imports
    return WatchedFolder(WatchRules(folder, rules.settle_s * 1000, rules.wait_facts_s * 1000)) if folder else None
