"""What a recorder's machine does beside recording, as hard as it can: the speech worker decodes without a pause, and one long call
after the other is finalised.

The speech worker is the product's own process (bench/speech_worker.py), at its own low priority and with the settings' default
threads. The finalizer is the product's own child process with its own priority; it is given the spool of a long call again and again.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from speech_worker import SpeechWorker

START_LIMIT_S = 300.0  # a worker at the lowest priority, on a machine where others work too


class Burden:
    """Both loads; start returns when they are under way."""

    def __init__(self, *, speech: bool, finalise_minutes: int) -> None:
        self._worker = SpeechWorker() if speech else None
        self._minutes = finalise_minutes
        self._finaliser: subprocess.Popen[str] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="callqa-burden-")
        self._said = Path(self._folder.name) / "finalise.jsonl"
        self._before = 0
        self._decoded_before_s = self._cpu_before_s = 0.0

    def start(self) -> None:
        """Wait until the worker decodes and the first long call was finalised."""
        if self._worker:
            self._worker.start()
        if self._minutes:
            with self._said.open("w") as out:
                command = [sys.executable, __file__, str(self._minutes)]
                self._finaliser = subprocess.Popen(command, stdout=out, text=True)
        deadline = time.monotonic() + START_LIMIT_S
        while not self._under_way():
            if time.monotonic() > deadline or not self._alive():
                self.stop()
                raise SystemExit("the burden does not start")
            time.sleep(0.05)
        self._before = len(self._lines())
        if self._worker:
            self._decoded_before_s, self._cpu_before_s = self._worker.decoded_s(), self._worker.cpu_s()

    def figures(self) -> dict[str, Any]:
        """What was done since the start. worker_decoded_s: of talk, in whole steps of a call's progress."""
        figures: dict[str, Any] = {}
        if self._worker:
            if not self._worker.running:
                raise SystemExit(f"the speech worker has ended; see {self._worker.folder}/worker.log")
            figures["worker_decoded_s"] = round(self._worker.decoded_s() - self._decoded_before_s, 1)
            figures["worker_cpu_s"] = round(self._worker.cpu_s() - self._cpu_before_s, 1)
        if self._finaliser:
            done = [json.loads(line) for line in self._lines()[self._before :]]
            figures["long_calls_finalised"] = len(done)
            figures["finalise_worst_s"] = max((x["took_s"] for x in done), default=None)
        return figures

    def _under_way(self) -> bool:
        decodes = self._worker is None or self._worker.decoded_s() > 0
        return decodes and (self._finaliser is None or bool(self._lines()))

    def _alive(self) -> bool:
        return (self._worker is None or self._worker.running) and (
            self._finaliser is None or self._finaliser.poll() is None
        )

    def _lines(self) -> list[str]:
        return self._said.read_text().splitlines() if self._said.exists() else []

    def stop(self) -> None:
        """End both; harmless the second time."""
        if self._finaliser:
            self._finaliser.terminate()
            self._finaliser.wait(10)
            self._finaliser = None
        if self._worker:
            self._worker.stop()
        self._folder.cleanup()


def _tell(**facts: float) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def finalise(minutes: int) -> None:
    """Give the finalizer the same long call again and again."""
    from align import spool

    from callqa.sip.process import finalize

    with tempfile.TemporaryDirectory(prefix="callqa-long-") as name:
        folder = Path(name)
        path = folder / "long.spool"
        path.write_bytes(spool(minutes))
        command = [sys.executable, "-m", finalize.__name__, str(folder / "recordings")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            while True:
                begun = time.monotonic()
                child.stdin.write(json.dumps({"spool": str(path), "recovered": False}) + "\n")
                child.stdin.flush()
                result = json.loads(child.stdout.readline())
                if result.get("error"):
                    raise SystemExit(f"finalizer: {result}")
                _tell(took_s=round(time.monotonic() - begun, 3))
                for made in (folder / "recordings").rglob("*.*"):
                    if made.is_file():
                        made.unlink()


if __name__ == "__main__":
    finalise(int(sys.argv[1]))
