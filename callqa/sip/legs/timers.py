"""Deadlines without a clock: a heap of (when, what to do), driven by whoever knows the time."""

import heapq
from collections.abc import Callable


class Alarm:
    """One deadline; cancel() makes it nothing."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[float], None]) -> None:
        self.action: Callable[[float], None] | None = action

    def cancel(self) -> None:
        """Forget it; harmless when it has already rung."""
        self.action = None


class Timers:
    """Alarms by time. Instants are the caller's monotonic seconds; equal instants ring in the order they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._set = 0

    def __len__(self) -> int:
        return sum(a.action is not None for _, _, a in self._heap)

    def at(self, when: float, action: Callable[[float], None]) -> Alarm:
        """Ring `action(now)` once `when` is reached."""
        alarm = Alarm(action)
        self._set += 1
        heapq.heappush(self._heap, (when, self._set, alarm))
        if self._set % 1024 == 0:  # cancelled alarms must not wait for their hour in memory
            self._heap = [x for x in self._heap if x[2].action is not None]
            heapq.heapify(self._heap)
        return alarm

    def next_deadline(self) -> float | None:
        """When the next alarm rings, or None."""
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def ring(self, now: float) -> None:
        """Ring every alarm due by `now`, also those set meanwhile."""
        while (due := self.next_deadline()) is not None and due <= now:
            alarm = heapq.heappop(self._heap)[2]
            action, alarm.action = alarm.action, None
            if action is not None:
                action(now)
