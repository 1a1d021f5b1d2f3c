"""A worker with an engine that needs no model, run as a process of its own by test_pipeline.

python -m tests.worker_process HOME: decoding touches HOME/decoding and then waits for HOME/go.
"""

import logging
import sys
import time
from pathlib import Path

from callqa.config import load_settings
from callqa.pipeline import run_worker
from tests.usecases.recorded import FakeEngine

DEADLINE_S = 60.0


def main(home: Path) -> int:
    logging.basicConfig(level=logging.INFO)

    def hold() -> None:
        (home / "decoding").touch()
        deadline = time.monotonic() + DEADLINE_S
        while not (home / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    return run_worker(
        load_settings(home / "callqa.toml", environ={}), engine_factory=lambda: FakeEngine(before_decode=hold)
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
