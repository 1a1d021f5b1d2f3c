"""What a call's transcription costs in CPU time, where several are in work in one process.

The operating system counts the CPU time of the whole process, threads of the speech engine included. What passes while n calls are in
work is shared out to them in equal parts, so that the calls together cost what the process used. What else the process does meanwhile
(checks, waveforms) counts too: a few hundredths of a transcription.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Cost:
    """CPU seconds of one call, whole when its time is over."""

    cpu_s: float = 0.0


@dataclass(slots=True)
class CpuShare:
    """Shares the process's CPU time out. clock: CPU seconds of the process so far."""

    clock: Callable[[], float] = time.process_time
    _in_work: list[Cost] = field(default_factory=list)
    _shared_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def one(self) -> Iterator[Cost]:
        """One call in work."""
        cost = Cost()
        with self._lock:
            self._share_out()
            self._in_work.append(cost)
        try:
            yield cost
        finally:
            with self._lock:
                self._share_out()
                self._in_work.remove(cost)

    def _share_out(self) -> None:
        now_s = self.clock()
        for cost in self._in_work:
            cost.cpu_s += (now_s - self._shared_s) / len(self._in_work)
        self._shared_s = now_s
