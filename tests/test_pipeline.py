"""The worker as a real process: killed, stopped, robbed of its job database, it finishes every call exactly once."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlmodel import select

from callqa.background import NICE
from callqa.config import Settings
from callqa.journal import JournalKind
from callqa.pipeline import Worker
from callqa.store.db import Database
from callqa.store.migrate import migrate
from callqa.store.tables import CheckRun, RubricVersion, TranscriptRow
from callqa.usecases import progress
from callqa.usecases.progress import Stage, StageState
from tests.store_fixture import make_database
from tests.usecases.recorded import Recorder

ROOT = Path(__file__).resolve().parent.parent
DEADLINE_S = 300.0  # reached only on failure; machines that build are often busy


@dataclass
class Installation:
    """A home folder with recordings, a database and the workers started on it."""

    home: Path
    db: Database
    recorder: Recorder
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> subprocess.Popen[bytes]:
        with open(self.home / "worker.log", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.worker_process", str(self.home)], cwd=ROOT, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def state(self, call_id: str, stage: Stage) -> StageState | None:
        return next((v.state for v in progress.progress_of_call(self.db, call_id) if v.stage is stage), None)

    def finished(self, *call_ids: str) -> bool:
        return all(self.state(call_id, stage) is StageState.DONE for call_id in call_ids for stage in progress.STAGES)

    def wait(self, what: Callable[[], bool], why: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not what():
            if time.monotonic() > deadline:
                pytest.fail(f"{why}; log:\n{self.log()[-6000:]}")
            time.sleep(0.02)

    def kill_while_decoding(self) -> None:
        """Start a worker and kill it in the middle of its first transcription."""
        worker = self.start()
        self.wait((self.home / "decoding").exists, "the engine was never asked")
        running = [v.stage for each in self.calls() for v in each if v.state is StageState.RUNNING]
        # The other call may be at a quick stage of its own; there is one engine, so one transcription.
        assert running.count(Stage.TRANSCRIBE) == 1, f"speech.parallel_calls is 1, running: {running}"
        worker.send_signal(signal.SIGKILL)
        worker.wait(DEADLINE_S)
        (self.home / "decoding").unlink()
        assert self.transcripts() == []

    def calls(self) -> list[tuple[progress.StageView, ...]]:
        return list(progress.progress_of_calls(self.db, ["C1", "C2"]).values())

    def log(self) -> str:
        return (self.home / "worker.log").read_text(encoding="utf-8")

    def let_go(self) -> None:
        (self.home / "go").touch()

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        process.send_signal(signal.SIGTERM)
        return process.wait(DEADLINE_S)

    def transcripts(self) -> list[tuple[str, int]]:
        with self.db.read() as session:
            return sorted((row.call_id, row.version) for row in session.exec(select(TranscriptRow)))

    def check_runs(self) -> list[str]:
        with self.db.read() as session:
            return sorted(row.call_id for row in session.exec(select(CheckRun)))


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installation]:
    (tmp_path / "callqa.toml").write_text("", encoding="utf-8")
    shutil.copytree(ROOT / "scorecards", tmp_path / "scorecards")
    url = f"sqlite:///{tmp_path / 'var' / 'callqa.db'}"
    migrate(url)
    made = Installation(tmp_path, Database(url), Recorder(tmp_path / "recordings"))
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        process.wait(DEADLINE_S)
    made.db.dispose()


@pytest.mark.slow
def test_killed_in_mid_transcription_each_call_is_transcribed_once(installed: Installation) -> None:
    installed.recorder.call("C1")
    installed.recorder.call("C2")
    installed.kill_while_decoding()
    installed.let_go()
    last = installed.start()
    installed.wait(lambda: installed.finished("C1", "C2"), "the calls were not finished after the restart")
    assert installed.stop(last) == 0
    assert installed.transcripts() == [("C1", 1), ("C2", 1)]
    assert installed.check_runs() == ["C1", "C2"]


@pytest.mark.slow
def test_job_database_deleted_under_a_running_worker(installed: Installation) -> None:
    """Meanwhile a second worker is started by mistake: it keeps away."""
    installed.recorder.call("C1")
    worker = installed.start()
    installed.wait((installed.home / "decoding").exists, "the engine was never asked")
    _delete_jobs(installed.home)
    installed.wait((installed.home / "var" / "jobs.db").exists, "the runner was not started anew")
    second = installed.start()
    installed.let_go()
    installed.recorder.journal(JournalKind.CALL_ABANDONED, "A1", reason="诉求人先挂断")
    installed.recorder.call("C2", recorded=False)
    installed.recorder.call("C3")
    installed.wait(lambda: installed.finished("C1", "C2", "C3"), "the calls were not finished after jobs.db vanished")
    installed.wait(lambda: "waiting for it to end" in installed.log(), "the second worker did not notice the first")
    assert installed.stop(second) in (0, 1)  # 1: it had given up waiting by itself
    assert worker.poll() is None
    assert installed.stop(worker) == 0
    assert installed.transcripts() == [("C1", 1), ("C3", 1)]
    assert progress.progress_of_call(installed.db, "A1") == ()


@pytest.mark.slow
def test_sigterm_gives_the_call_back_and_losing_the_jobs_meanwhile_loses_nothing(installed: Installation) -> None:
    installed.recorder.call("C1")
    worker = installed.start()
    installed.wait((installed.home / "decoding").exists, "the engine was never asked")
    worker.send_signal(signal.SIGTERM)
    # Decoding ends by itself once it may go on: the signal must have come before that.
    installed.wait((installed.home / "stopping").exists, "the signal did not arrive")
    assert (installed.home / "nice").read_text() == str(NICE), "it gives way to the recorder"
    installed.let_go()
    assert worker.wait(DEADLINE_S) == 0
    assert installed.state("C1", Stage.TRANSCRIBE) is StageState.WANTED
    _delete_jobs(installed.home)
    again = installed.start()
    installed.wait(lambda: installed.finished("C1"), "the call was not finished after a clean stop")
    progress.want_again(installed.db, ["C1"], Stage.TRANSCRIBE, actor="system", now_ms=time.time_ns() // 1_000_000)
    installed.wait(lambda: len(installed.transcripts()) == 2, "the second transcript was not made")
    installed.wait(lambda: installed.finished("C1"), "the second check was not made")
    assert installed.stop(again) == 0
    assert installed.transcripts() == [("C1", 1), ("C1", 2)]
    assert installed.check_runs() == ["C1", "C1"]


def _delete_jobs(home: Path) -> None:
    for path in (home / "var").glob("jobs.db*"):
        os.unlink(path)


def test_an_edited_rubric_is_in_force_without_a_restart(tmp_path: Path) -> None:
    db = make_database(tmp_path)
    settings = Settings(home=tmp_path)
    shutil.copytree(ROOT / "scorecards", settings.scorecards_dir)
    worker = Worker(settings, db, work=None, runner=None)  # type: ignore[arg-type]  # neither has a part in this
    path = settings.scorecards_dir / "rubric.yaml"
    for now_ms in (1000, 2000):
        worker._take_rubric(now_ms)
    path.write_text(path.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    worker._take_rubric(3000)
    with db.read() as session:
        versions = sorted(v.effective_from_ms for v in session.exec(select(RubricVersion)))
    db.dispose()
    assert versions == [0, 3000]
