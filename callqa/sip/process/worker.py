"""Jobs done one after another beside the event loop, in a thread of their own."""

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Protocol

from callqa.sip.process.priority import raise_priority

log = logging.getLogger(__name__)

Job = Callable[[], None]


class Worker(Protocol):
    """Does jobs in the order in which they were put, and `at_times` in between."""

    def put(self, job: Job) -> None: ...

    def finish(self) -> None:
        """Do what was put, then end."""


class WorkerThread:
    """at_times: done every `every_s`, between two jobs; how long it takes itself does not put it off."""

    def __init__(self, name: str, at_times: Job | None = None, every_s: float = 0.0) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._at_times = at_times
        self._every_s = every_s
        self._thread = threading.Thread(target=self._work_forever, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        """Queue one job; from any thread."""
        self._jobs.put(job)

    def finish(self) -> None:
        """Block until everything that was put is done."""
        self._jobs.put(None)
        self._thread.join()

    def _work_forever(self) -> None:
        raise_priority()
        due = time.monotonic() + self._every_s
        while True:
            try:
                job = self._jobs.get(timeout=None if self._at_times is None else max(0.0, due - time.monotonic()))
                if job is None:
                    return
                do(job)
            except Empty:
                pass
            if self._at_times is not None and time.monotonic() >= due:
                do(self._at_times)
                due = next_due(due, self._every_s, time.monotonic())


def next_due(due: float, every_s: float, now: float) -> float:
    """When it is time again, all in seconds of one clock: by the beat; at once, and a new beat, where that is over already."""
    return max(due + every_s, now)


def do(job: Job) -> None:
    """Do one job; its trouble stops no other."""
    try:
        job()
    except Exception:  # the worker loop: trouble with one file must not stop the writing of all others
        log.exception("job beside the loop")
