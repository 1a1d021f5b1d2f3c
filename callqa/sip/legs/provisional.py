"""Reliable provisional responses (RFC 3262): ours, sent again until PRACK; and which of the peer's are new.

One at a time: the next waits for the PRACK of the one before, and so does a 2xx where the one before carried SDP.
"""

import re
from collections.abc import Callable

from callqa.sip.legs.timers import Alarm, Timers
from callqa.sip.legs.transaction_table import GIVE_UP_S, T1_S
from callqa.sip.wire.message import Request

RSEQ_MOST = 2**31 - 1
_RACK = re.compile(r"([0-9]{1,10})\s+([0-9]{1,10})\s+([A-Za-z]+)")
_RSEQ = re.compile(r"[0-9]{1,10}")


class ReliableSender:
    """Our reliable provisional responses to one INVITE. send: (number, status, body, now) puts one on the wire."""

    def __init__(
        self,
        timers: Timers,
        first: int,
        send: Callable[[int, int, bytes, float], None],
        on_give_up: Callable[[float], None],
    ) -> None:
        self._timers = timers
        self._number = first
        self._send = send
        self._on_give_up = on_give_up
        self._waiting: list[tuple[int, bytes]] = []  # the first of them is on the wire
        self._then: list[Callable[[float], None]] = []
        self._alarms: list[Alarm] = []

    def ring(self, status: int, body: bytes, now: float) -> None:
        """Send one, or queue it behind what is not acknowledged."""
        if any(s == status and b == body for s, b in self._waiting):
            return
        self._waiting.append((status, body))
        if len(self._waiting) == 1:
            self._start(now)

    @property
    def describes(self) -> bool:
        """Whether the one that waits for its PRACK carries SDP."""
        return bool(self._waiting and self._waiting[0][1])

    def when_free(self, action: Callable[[float], None], now: float) -> None:
        """Do something once no SDP of ours waits for its PRACK: now, or then."""
        if self._waiting and self._waiting[0][1]:
            del self._waiting[1:]
            self._then.append(action)
        else:
            self.stop()
            action(now)

    def acknowledge(self, prack: Request, invite_cseq: int, now: float) -> bool:
        """Take a PRACK; False when it is for nothing of ours (481)."""
        match = _RACK.fullmatch((prack.headers.first("RAck") or "").strip())
        if match is None or not self._waiting or match[3] != "INVITE":
            return False
        if (int(match[1]), int(match[2])) != (self._number, invite_cseq):
            return False
        self._silence()
        self._waiting.pop(0)
        self._number += 1
        if self._waiting:
            self._start(now)
        return True

    def go_on(self, now: float) -> None:
        """After a PRACK was answered: what waited for it."""
        if not self._waiting and self._then:
            self._then.pop(0)(now)

    def stop(self) -> None:
        """Nothing more to send."""
        self._silence()
        self._waiting.clear()

    def _start(self, now: float) -> None:
        status, body = self._waiting[0]
        self._send(self._number, status, body, now)
        self._alarms.append(self._timers.at(now + GIVE_UP_S, self._give_up))
        self._again(T1_S, now)

    def _again(self, after_s: float, now: float) -> None:
        def ring(at: float) -> None:
            status, body = self._waiting[0]
            self._send(self._number, status, body, at)
            self._again(2 * after_s, at)

        self._alarms.append(self._timers.at(now + after_s, ring))

    def _give_up(self, now: float) -> None:
        self.stop()
        self._on_give_up(now)

    def _silence(self) -> None:
        for alarm in self._alarms:
            alarm.cancel()
        self._alarms.clear()


class ReliableReceiver:
    """Which reliable provisional responses of a peer are new; each early dialog counts for itself."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def is_new(self, to_tag: str, rseq: str) -> int | None:
        """The number to acknowledge; None for one that was seen, is out of order, or has no number."""
        number = int(rseq) if _RSEQ.fullmatch(rseq) else 0
        last = self._last.get(to_tag)
        if not 0 < number <= RSEQ_MOST or (last is not None and number != last + 1) or len(self._last) > 32:
            return None
        self._last[to_tag] = number
        return number
