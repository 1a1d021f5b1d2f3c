"""The recorder's place among the programs of its machine: before all others, as far as the system permits.

Real time (SCHED_RR) where it may be had: a packet then waits for no other program at all. Else a raised nice value, which on a
busy machine still waits for turns of others. Children do not inherit real time; the finalizer gets a nice value of its own.
"""

import contextlib
import logging
import os
import threading

log = logging.getLogger(__name__)

# p99 of the relay's delay on a machine with twice as much to do as it can (Linux 6.18): 25 ms at 0, 5.4 ms at -10, see
# docs/benchmarks.md for real time.
NICE = -10
CHILD_NICE = 5  # the finalizer: below the recorder and its packets, above the speech engine
REAL_TIME = 1  # the lowest: whatever else on the machine asks for real time comes first


def raise_priority() -> None:
    """Raise the calling thread. Threads and children that it starts begin without real time."""
    policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
    try:
        os.sched_setscheduler(0, policy, os.sched_param(REAL_TIME))
    except OSError:  # not permitted, or a container without real time
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def describe() -> str:
    """The calling thread's priority, for the log."""
    if os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR:
        return f"real time {os.sched_getparam(0).sched_priority}"
    return f"nice {os.getpriority(os.PRIO_PROCESS, threading.get_native_id())}"
