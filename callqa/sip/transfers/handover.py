"""One side of an answered call is handed to somebody who is sought for it: what blind transfer and recall have in common."""

from typing import TYPE_CHECKING

from callqa.sip.calls.routing import Target
from callqa.sip.legs.leg import Leg
from callqa.sip.transfers.change import fit
from callqa.sip.transfers.finder import Finder
from callqa.sip.wire.sdp import Codecs

if TYPE_CHECKING:
    from callqa.sip.calls.talk import Talk


class Handover:
    """A change of a call (change.py), and who looks for somebody (finder.py). leaving: the leg whose side is handed on; port:
    for whoever takes it."""

    def __init__(self, call: "Talk", leaving: Leg, port: int) -> None:
        self._call = call
        self._leaving = leaving
        self._port = port
        self._over = False
        self._finder: Finder | None = None
        self._found: Leg | None = None

    @property
    def _other(self) -> Leg:
        """The leg that stays."""
        return self._call.beside(self._leaving)

    def found(self, leg: Leg, target: Target, agreed: Codecs, now: float) -> None:
        """Somebody answered; he has the call once the other side speaks what he agreed to."""
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
            self._taken(leg, target, at)

        fit(self._call, self._other, agreed, fitted, now)

    def nobody(self, status: int, now: float) -> None:
        """Nobody takes it."""
        raise NotImplementedError

    def _taken(self, leg: Leg, target: Target, now: float) -> None:
        """Somebody has it."""
        raise NotImplementedError

    def _given_up(self, now: float) -> None:
        """The call is over, and with it the search."""
        raise NotImplementedError

    def survives(self, leg: Leg, now: float) -> bool:
        """The leg that leaves may be over; without the other there is no call."""
        return leg is self._leaving

    def call_over(self, call: "Talk", now: float) -> None:
        """The far end hung up, or the call was ended from here."""
        if self._over:
            return
        self._over = True
        if self._finder is not None:
            self._finder.cancel(now)
        if self._found is not None:
            self._found.end(now)
        self._given_up(now)

    def seat_taken(self, extension: str, now: float) -> None:
        """A seat answered another call."""
        if self._finder is not None:
            self._finder.seat_taken(extension, now)
