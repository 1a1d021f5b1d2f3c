"""Blind transfer 盲转: the new one is rung while the old one still has the call; who asked is told how it goes.

A phone may hang up as soon as its REFER was taken: the call waits for the new one then, and is called back where he does not
answer (recall.py). What the phone is told is in progress.py.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from callqa.sip.calls.routing import Target
from callqa.sip.legs.leg import Leg
from callqa.sip.transfers.change import codecs_beside
from callqa.sip.transfers.finder import Finder
from callqa.sip.transfers.handover import Handover
from callqa.sip.transfers.parting import Parting
from callqa.sip.transfers.progress import Progress

if TYPE_CHECKING:
    from callqa.sip.calls.talk import Talk

OUTSIDE_RING_S = 90.0  # networks give up after 60-90 s themselves


class BlindTransfer(Handover):
    """One of them. leaving: the leg that asked; number: whom for; on_over: (failed) it is settled."""

    def __init__(
        self, call: "Talk", leaving: Leg, port: int, progress: Progress, number: str,
        on_over: Callable[[Leg, int | None, float], None],
    ) -> None:  # fmt: skip
        super().__init__(call, leaving, port)
        self._progress = progress
        self._number = number
        self._on_over = on_over

    def start(self, targets: Sequence[Target], now: float) -> None:
        """Ring the new one."""
        call, routing = self._call, self._call.core.desk.routing
        call.play_music(self._other, now)
        to_seat = targets[0].seat_extension is not None
        ours = routing.hotline_number or self._leaving.seat_extension or ""
        shown = call.number_of(self._other) if to_seat else ours
        self._finder = Finder(call, self, self._leaving.channel, self._port, codecs_beside(self._other))
        self._finder.start(targets, routing.ring_timeout_s if to_seat else OUTSIDE_RING_S, now, shown)

    def ringing(self, status: int, now: float) -> None:
        """The new one's phone rings."""
        self._progress.tell(180 if status not in (182, 183) else status, now)

    def nobody(self, status: int, now: float) -> None:
        """The new one does not take the call: it stays with, or goes back to, the one who had it."""
        self._over = True
        self._call.stop_music(self._other, now)
        self._progress.final(status, now)
        self._on_over(self._leaving, self._port, now)

    def _taken(self, leg: Leg, target: Target, now: float) -> None:
        self._call.stop_music(self._other, now)
        self._on_over(self._leaving, None, now)
        self._call.take_over(self._leaving, leg, "blind", self._number, now)
        self._progress.final(200, now)
        Parting(self._leaving, self._progress, now)

    def _given_up(self, now: float) -> None:
        self._progress.final(487, now)
        self._on_over(self._leaving, None, now)
