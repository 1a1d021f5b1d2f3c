"""Attended transfer 咨询转: a seat has two calls and joins their far ends (Replaces, RFC 3891); it leaves both.

The older call goes on, with the far end of the younger one at the seat's side; the younger, which was recorded on its own,
ends with its recording. The far end that moves gets a re-INVITE to an RTP port of the older call: only when it has agreed
is anything changed, so that a failure leaves both calls as they were. Phones may hang up either call as soon as their REFER
was taken; neither ends by that.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from callqa.sip.legs.leg import Leg
from callqa.sip.transfers.change import codecs_beside, fit
from callqa.sip.transfers.parting import Parting
from callqa.sip.transfers.progress import Progress
from callqa.sip.wire.sdp import Session, agreed_codecs

if TYPE_CHECKING:
    from callqa.sip.calls.talk import Talk

TRIES_MOST = 5  # while something of ours is under way in the dialog
TRY_AGAIN_S = 0.5


class Joining:
    """One of them. leaving: the seat's leg in the older call; other: its leg in the younger; asked: the one of them that the
    REFER came on; on_over: (port or None) it is settled."""

    def __init__(
        self, main: "Talk", leaving: Leg, second: "Talk", other: Leg, port: int, progress: Progress,
        asked: Leg, on_over: Callable[[Leg, int | None, float], None],
    ) -> None:  # fmt: skip
        self._main = main
        self._leaving = leaving
        self._second = second
        self._other = other
        self._far = second.beside(other)
        self._port = port
        self._old_port = self._far.local_port
        self._offered = codecs_beside(main.beside(leaving))
        self._progress = progress
        self._asked = asked
        self._on_over = on_over
        self._tries = 0
        self._over = False

    def start(self, now: float) -> None:
        """Move the far end."""
        if self._over:
            return
        self._tries += 1
        if self._far.reoffers.outstanding:
            if self._tries < TRIES_MOST:
                self._main.core.timers.at(now + TRY_AGAIN_S, self.start)
            else:
                self._fail(491, now)
            return
        self._far.local_port = self._port
        self._far.reoffers.offer(self._offered, self._moved, now)

    def _moved(self, session: Session | None, now: float) -> None:
        agreed = agreed_codecs(self._offered, session) if session else ()
        if session is None or not agreed:
            self._far.local_port = self._old_port
            if not self._over:
                self._fail(488, now)
            return
        if self._over:
            self._move_back(now)
            return

        def fitted(fits: bool, at: float) -> None:
            if self._over or not fits or not self._far.talks:
                self._move_back(at)
                if not self._over:
                    self._fail(488, at)
                return
            self._far.session, self._far.codecs = session, agreed
            self._finish(at)

        fit(self._main, self._main.beside(self._leaving), agreed, fitted, now)

    def _finish(self, now: float) -> None:
        self._over = True
        to = self._second.number_of(self._far)
        self._on_over(self._leaving, None, now)
        self._second.transfers.end()
        self._main.take_over(self._leaving, self._far, "attended", to, now)
        self._second.closed_by(self._other, now)
        self._progress.final(200, now)
        for leg in (self._leaving, self._other):
            Parting(leg, self._progress if leg is self._asked else None, now)

    def _fail(self, status: int, now: float) -> None:
        self._over = True
        self._progress.final(status, now)
        self._second.transfers.end()
        self._on_over(self._leaving, self._port, now)
        if not self._other.talks:  # nobody is left there to talk with
            self._second.leg_ended(self._other, now)

    def _move_back(self, now: float) -> None:
        """The far end stays where it was: its audio goes to its old port again."""
        far = self._far
        far.local_port = self._old_port
        if far.talks and not self._second.over:
            far.reoffers.offer(far.codecs, lambda session, at: None, now)

    # -- as a change of both calls ----------------------------------------------------------------------------------

    def survives(self, leg: Leg, now: float) -> bool:
        """The seat may hang up both."""
        return leg is self._leaving or leg is self._other

    def call_over(self, call: "Talk", now: float) -> None:
        """One of the calls has ended by its far end, or from here: there is nothing to join."""
        if self._over:
            return
        self._over = True
        self._progress.final(487, now)
        if call is self._second:
            self._on_over(self._leaving, self._port, now)
            return
        self._second.transfers.end()
        if not self._other.talks:  # nobody is left there to talk with
            self._second.leg_ended(self._other, now)

    def seat_taken(self, extension: str, now: float) -> None:
        """Nobody is rung."""
