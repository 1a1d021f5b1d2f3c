"""The two clocks of the recorder: monotonic time orders, wall time labels."""

import time


class Clock:
    """The system's. A simulation has its own."""

    monotonic = staticmethod(time.monotonic)
    monotonic_ns = staticmethod(time.monotonic_ns)

    wall_ns = staticmethod(time.time_ns)

    def wall_ms(self) -> int:
        """UTC milliseconds; may be set back or forward at any moment."""
        return time.time_ns() // 1_000_000


CLOCK = Clock()
