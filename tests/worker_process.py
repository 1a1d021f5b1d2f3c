"""A worker with an engine that needs no model, run as a process of its own by test_pipeline.

python -m tests.worker_process HOME: decoding touches HOME/decoding and then waits for HOME/go; a signal to stop that has
reached the worker touches HOME/stopping.
"""

import logging
import os
import sys
import threading
import time
from pathlib import Path

from callqa.config import load_settings
from callqa.pipeline import run_worker
from tests.usecases.recorded import FakeEngine

DEADLINE_S = 300.0


def main(home: Path) -> int:
    logging.basicConfig(level=logging.INFO)
    # At the lowest priority it would hardly ever have its turn on a machine that runs other tests; HOME/nice says what was asked.
    os.setpriority = lambda _which, _who, nice: (home / "nice").write_text(str(nice))
    stop = threading.Event()

    def hold() -> None:
        (home / "decoding").touch()
        deadline = time.monotonic() + DEADLINE_S
        while not (home / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    def tell() -> None:
        stop.wait()
        (home / "stopping").touch()

    threading.Thread(target=tell, daemon=True).start()
    settings = load_settings(home / "callqa.toml", environ={})
    return run_worker(settings, stop=stop, engine_factory=lambda: FakeEngine(before_decode=hold))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
