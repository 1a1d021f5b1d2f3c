"""Several processes on one database: killed at any step or racing for every call, each call has exactly one result."""

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from sqlmodel import select

from callqa.background import NICE
from callqa.store.db import Database
from callqa.store.migrate import migrate
from callqa.store.tables import CallProgress, TranscriptRow
from callqa.usecases import progress
from callqa.usecases.ingest import ingest
from callqa.usecases.progress import Stage
from tests.speech_process import SEAMS
from tests.speech_process import main as speech_process
from tests.store import postgres
from tests.usecases.recorded import BASE_MS, Recorder

FORK = multiprocessing.get_context("fork")
DEADLINE_S = 60.0  # reached only on failure; machines that build are often busy
RACE_CALLS = 40

pytestmark = pytest.mark.slow


@dataclass
class Site:
    """A home folder with recordings, its database, and the speech workers started on it."""

    home: Path
    db: Database
    processes: list[BaseProcess] = field(default_factory=list)

    def start(self, seam: str = "", call_id: str = "", racers: int = 0) -> BaseProcess:
        """A process of its own, forked: importing everything anew would take seconds each time."""
        self.db.dispose()  # no connection may be shared with the child
        process = FORK.Process(target=speech_process, args=(self.home, seam, call_id, racers))
        process.start()
        self.processes.append(process)
        return process

    def stop(self, process: BaseProcess) -> int | None:
        os.kill(process.pid or 0, signal.SIGTERM)
        process.join(DEADLINE_S)
        return process.exitcode

    def wait(self, what: Callable[[], bool], why: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not what():
            if time.monotonic() > deadline:
                pytest.fail(f"{why}: {[(row.call_id, row.state, row.message) for row in self.rows()]}")
            time.sleep(0.02)

    def rows(self) -> list[CallProgress]:
        with self.db.read() as session:
            return list(session.exec(select(CallProgress).where(CallProgress.stage == "transcribe")))

    def done(self) -> bool:
        return all(row.state == "done" for row in self.rows())

    def transcripts(self) -> list[tuple[str, int]]:
        with self.db.read() as session:
            return sorted((row.call_id, row.version) for row in session.exec(select(TranscriptRow)))


def calls(home: Path, db: Database, n: int) -> list[str]:
    """Answered calls with recordings, waiting for their transcription."""
    recorder = Recorder(home / "recordings", seconds=2.0)
    names = [f"C{k:03d}" for k in range(n)]
    for name in names:
        recorder.call(name)
    ingest(db, recordings=recorder.recordings, now_ms=BASE_MS)
    return names


def ended(site: Site) -> None:
    for process in site.processes:
        process.kill()
        process.join(DEADLINE_S)
    site.db.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    if request.param == "sqlite":
        (tmp_path / "callqa.toml").write_text("", encoding="utf-8")
        url = f"sqlite:///{tmp_path / 'var' / 'callqa.db'}"
        migrate(url)
        made = Site(tmp_path, Database(url))
        yield made
        ended(made)
        return
    with postgres.server() as url:
        (tmp_path / "callqa.toml").write_text(f'[database]\nurl = "{url}"\n', encoding="utf-8")
        migrate(url)
        made = Site(tmp_path, Database(url))
        yield made
        ended(made)


def test_killed_at_every_step_each_call_has_one_result(site: Site) -> None:
    """One call after the other, one seam each; the next life of the worker takes up what the last one held."""
    recorder = Recorder(site.home / "recordings", seconds=2.0)
    names = [f"C{k}" for k in range(len(SEAMS))]
    for seam, name in zip(SEAMS, names, strict=True):
        recorder.call(name)
        ingest(site.db, recordings=recorder.recordings, now_ms=BASE_MS)
        victim = site.start(seam, name)
        victim.join(DEADLINE_S)
        assert victim.exitcode == -signal.SIGKILL, f"nobody came to the seam {seam}"
    recorder.call("last")
    ingest(site.db, recordings=recorder.recordings, now_ms=BASE_MS)
    names.append("last")
    last = site.start()
    site.wait(site.done, "the calls were not finished")
    assert site.stop(last) == 0
    assert site.transcripts() == [(name, 1) for name in names]
    assert {row.worker.rsplit(":", 1)[-1] for row in site.rows()} == {"speech-1"}, "all lives had the same place"


def test_workers_that_race_do_every_call_once(site: Site) -> None:
    names = calls(site.home, site.db, RACE_CALLS)
    racing = [site.start(racers=2) for _ in range(2)]
    site.wait(site.done, "the calls were not finished")
    for process in racing:
        assert site.stop(process) == 0
    assert site.transcripts() == [(name, 1) for name in names]
    assert {row.attempts for row in site.rows()} == {1}, "no call was begun twice"
    shares = Counter(row.worker for row in site.rows())
    assert len(shares) == 2 and min(shares.values()) >= 1, shares
    assert (site.home / "nice").read_text() == str(NICE), "they give way to the recorder"


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_dead_workers_lease_runs_out_for_everybody(site: Site) -> None:
    """Another machine's worker is gone for good: nobody has its lock, only its silence tells."""
    (name,) = calls(site.home, site.db, 1)
    now_ms = time.time_ns() // 1_000_000
    assert progress.claim(site.db, name, Stage.TRANSCRIBE, now_ms=now_ms - 120_000, worker="elsewhere") is not None
    site.start()
    site.wait(site.done, "the call of the dead worker was not taken over")
    assert site.transcripts() == [(name, 1)]
    assert site.rows()[0].attempts == 2


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_worker_that_lives_keeps_its_call(site: Site) -> None:
    first, second = calls(site.home, site.db, 2)
    now_ms = time.time_ns() // 1_000_000
    assert progress.claim(site.db, first, Stage.TRANSCRIBE, now_ms=now_ms, worker="elsewhere") is not None
    site.start()
    site.wait(lambda: site.transcripts() == [(second, 1)], "the free call was not transcribed")
    assert {row.call_id: row.state for row in site.rows()}[first] == "running"
