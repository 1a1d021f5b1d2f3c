"""What every process does that works behind the recorder: it ends when it is asked to, and takes only the time nobody else wants."""

import os
import signal
import threading
import time

NICE = 19  # the recorder and the pages come first; threads inherit it


def step_back(stop: threading.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT, and give way to others. Nothing in a thread of somebody else's process."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    os.setpriority(os.PRIO_PROCESS, 0, NICE)


def clock_ms() -> int:
    """Now, in ms since 1970."""
    return time.time_ns() // 1_000_000
