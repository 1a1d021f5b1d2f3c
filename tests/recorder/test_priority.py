"""The recorder's priority: raised as far as the system permits, and not passed on to what it starts."""

import os
import subprocess
import sys
import threading

from callqa.sip.process.priority import NICE, REAL_TIME, describe, raise_priority

LOOK = "import os; print(os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0))"


def in_a_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_the_raised_thread_says_what_it_has_and_its_children_have_none_of_it():
    def work():
        raise_priority()
        child = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
        return describe(), child.stdout.split()

    before = describe()
    said, (policy, nice) = in_a_thread(work)
    assert said in (f"real time {REAL_TIME}", f"nice {NICE}", before)
    if said.startswith("real time"):
        assert (int(policy), int(nice)) == (os.SCHED_OTHER, 0)
    assert describe() == before


def test_without_permission_the_priority_stays_and_nothing_is_raised(monkeypatch):
    def refuse(*args):
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "setpriority", refuse)

    def work():
        before = describe()
        raise_priority()
        return before, describe()

    before, after = in_a_thread(work)
    assert after == before
