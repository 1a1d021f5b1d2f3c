"""A speech worker with an engine that needs no model, run as a process of its own by test_speech_worker: at the seam of one call it is killed
as by kill -9.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from callqa.config import load_settings
from callqa.transcriber import run_speech_worker
from callqa.usecases import progress, transcribe
from tests.usecases.recorded import FakeEngine

LIMIT_S = 60.0  # reached only on failure
SEAMS = ("claimed", "read", "decoding", "decoded", "finishing", "saved", "committed")


current = threading.local()  # .call_id: what this thread has claimed last


def install(seam: str, call_id: str) -> Callable[[], None]:
    """Make the process die at one place of one call's transcription. Returns what the engine is to do before it decodes."""

    def die() -> None:
        if getattr(current, "call_id", "") == call_id:
            os.kill(os.getpid(), signal.SIGKILL)

    def then_die(function: Callable[..., Any]) -> Callable[..., Any]:
        def both(*args: Any, **keywords: Any) -> Any:
            given = function(*args, **keywords)
            die()
            return given

        return both

    def first_die(function: Callable[..., Any]) -> Callable[..., Any]:
        def both(*args: Any, **keywords: Any) -> Any:
            die()
            return function(*args, **keywords)

        return both

    claim = progress.claim

    def noted_claim(db: Any, claimed: str, *args: Any, **keywords: Any) -> Any:
        given = claim(db, claimed, *args, **keywords)
        current.call_id = claimed if given is not None else ""
        if seam == "claimed":
            die()
        return given

    progress.claim = noted_claim
    if seam == "read":
        transcribe.read_audio = then_die(transcribe.read_audio)
    elif seam == "decoded":
        transcribe._save = first_die(transcribe._save)
    elif seam == "finishing":  # inside the transaction: the stage is closed, the transcript is not yet there
        transcribe.finish = then_die(transcribe.finish)
    elif seam == "saved":  # inside the transaction: everything is written, nothing committed
        transcribe.save_transcript = then_die(transcribe.save_transcript)
    elif seam == "committed":
        transcribe._save = then_die(transcribe._save)
    return die if seam == "decoding" else lambda: None


def together(home: Path, racers: int) -> Callable[[], None]:
    """Nobody goes on decoding before so many processes have begun: on one busy core the first might do every call."""

    def meet() -> None:
        (home / f"racer-{os.getpid()}").touch()
        deadline = time.monotonic() + LIMIT_S
        while len(list(home.glob("racer-*"))) < racers and time.monotonic() < deadline:
            time.sleep(0.01)

    return meet


def main(home: Path, seam: str, call_id: str, racers: int) -> None:
    """The whole life of the process, to be started by fork. racers: how many begin together."""
    # At the lowest priority it would hardly ever have its turn on a machine that runs other tests; HOME/nice says what was asked.
    os.setpriority = lambda _which, _who, nice: (home / "nice").write_text(str(nice))
    before_decode = together(home, racers) if racers else install(seam, call_id)
    settings = load_settings(home / "callqa.toml", environ={})
    raise SystemExit(run_speech_worker(settings, engine_factory=lambda: FakeEngine(before_decode=before_decode)))
