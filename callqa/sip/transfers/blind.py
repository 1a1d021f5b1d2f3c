"""Blind transfer 盲转: the new one is rung while the old one still has the call; who asked is told how it goes.

A phone may hang up as soon as its REFER was taken: the call waits for the new one then, and is called back where he does not
answer (recall.py). What the phone is told is in progress.py.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from callqa.sip.calls.routing import Target
from callqa.sip.legs.leg import Leg
from callqa.sip.transfers.change import codecs_beside, fit
from callqa.sip.transfers.finder import Finder
from callqa.sip.transfers.parting import Parting
from callqa.sip.transfers.progress import Progress
from callqa.sip.wire.sdp import Codecs

if TYPE_CHECKING:
    from callqa.sip.calls.talk import Talk

OUTSIDE_RING_S = 90.0  # networks give up after 60-90 s themselves


class BlindTransfer:
    """One of them. leaving: the leg that asked; number: whom for; on_over: (failed) it is settled."""

    def __init__(
        self, call: "Talk", leaving: Leg, port: int, progress: Progress, number: str,
        on_over: Callable[[Leg, int | None, float], None],
    ) -> None:  # fmt: skip
        self._call = call
        self._leaving = leaving
        self._port = port
        self._progress = progress
        self._number = number
        self._on_over = on_over
        self._over = False
        self._found: Leg | None = None
        self._finder = Finder(call, self, leaving.channel, port, codecs_beside(call.beside(leaving)))

    def start(self, targets: Sequence[Target], now: float) -> None:
        """Ring the new one."""
        call, routing = self._call, self._call.core.desk.routing
        call.play_music(call.beside(self._leaving), now)
        to_seat = targets[0].seat_extension is not None
        ours = routing.hotline_number or self._leaving.seat_extension or ""
        shown = call.number_of(call.beside(self._leaving)) if to_seat else ours
        self._finder.start(targets, routing.ring_timeout_s if to_seat else OUTSIDE_RING_S, now, shown)

    def ringing(self, status: int, now: float) -> None:
        """The new one's phone rings."""
        self._progress.tell(180 if status not in (182, 183) else status, now)

    def found(self, leg: Leg, target: Target, agreed: Codecs, now: float) -> None:
        """The new one answered."""
        self._found = leg
        leg.codecs = agreed

        def fitted(fits: bool, at: float) -> None:
            self._found = None
            if self._over or not fits or not leg.talks:
                leg.end(at)
                if not self._over:
                    self.nobody(488 if not fits else 480, at)
                return
            self._over = True
            self._call.stop_music(self._call.beside(self._leaving), at)
            self._on_over(self._leaving, None, at)
            self._call.take_over(self._leaving, leg, "blind", self._number, at)
            self._progress.final(200, at)
            Parting(self._leaving, self._progress, at)

        fit(self._call, self._call.beside(self._leaving), agreed, fitted, now)

    def nobody(self, status: int, now: float) -> None:
        """The new one does not take the call: it stays with, or goes back to, the one who had it."""
        self._over = True
        self._call.stop_music(self._call.beside(self._leaving), now)
        self._progress.final(status, now)
        self._on_over(self._leaving, self._port, now)

    # -- as a change of the call ------------------------------------------------------------------------------------

    def survives(self, leg: Leg, now: float) -> bool:
        """The phone that asked may hang up."""
        return leg is self._leaving

    def call_over(self, call: "Talk", now: float) -> None:
        """The far end hung up, or the call was ended from here."""
        if self._over:
            return
        self._over = True
        self._finder.cancel(now)
        if self._found is not None:
            self._found.end(now)
        self._progress.final(487, now)
        self._on_over(self._leaving, None, now)

    def seat_taken(self, extension: str, now: float) -> None:
        """A seat answered another call."""
        self._finder.seat_taken(extension, now)
