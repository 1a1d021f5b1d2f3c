"""回叫: a transfer failed and whoever asked for it has hung up: his phone rings again, then everybody's who is free, until
somebody takes the call. The far end hears music meanwhile; it may wait as long as a caller in the queue may.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from callqa.sip.calls.routing import Target
from callqa.sip.events import CallEnded, HangupParty
from callqa.sip.legs.leg import Leg
from callqa.sip.transfers.change import codecs_beside, fit
from callqa.sip.transfers.finder import Finder
from callqa.sip.wire.sdp import Codecs

if TYPE_CHECKING:
    from callqa.sip.calls.exchange import Exchange
    from callqa.sip.calls.talk import Talk

FIRST_RING_S = 20.0  # at the phone of whoever asked for the transfer, alone
THEN_RING_S = 30.0
PAUSE_S = 3.0


class Recall:
    """One recall. gone: the leg that is no more; port: for whoever takes the call; on_over: it is settled."""

    def __init__(self, call: "Talk", exchange: "Exchange", gone: Leg, port: int, on_over: Callable[[], None]) -> None:
        self._call = call
        self._exchange = exchange
        self._gone = gone
        self._port = port
        self._on_over = on_over
        self._until = 0.0
        self._rounds = 0
        self._over = False
        self._finder: Finder | None = None
        self._found: Leg | None = None

    def start(self, now: float) -> None:
        """Begin."""
        self._until = now + self._call.core.desk.routing.queue_wait_s
        self._call.play_music(self._call.beside(self._gone), now)
        self._ring(now)

    def _ring(self, now: float) -> None:
        if self._over:
            return
        if now >= self._until:
            self._give_up(now)
            return
        self._rounds += 1
        seat = self._gone.seat_extension
        first = self._exchange.free_phones((seat,)) if seat else ()
        targets = first if self._rounds == 1 else (*self._exchange.free_phones(self._exchange.manned_but(seat)), *first)
        if not targets:
            self.nobody(480, now)
            return
        other = self._call.beside(self._gone)
        self._finder = Finder(self._call, self, self._gone.channel, self._port, codecs_beside(other))
        limit_s = FIRST_RING_S if self._rounds == 1 else THEN_RING_S
        self._finder.start(targets, min(limit_s, self._until - now), now, self._call.number_of(other))

    def ringing(self, status: int, now: float) -> None:
        """Somebody's phone rings."""

    def found(self, leg: Leg, target: Target, agreed: Codecs, now: float) -> None:
        """Somebody takes the call."""
        self._found = leg
        leg.codecs = agreed

        def fitted(fits: bool, at: float) -> None:
            self._found = None
            if self._over or not fits or not leg.talks:
                leg.end(at)
                if not self._over:
                    self.nobody(488, at)
                return
            self._over = True
            self._on_over()
            self._call.stop_music(self._call.beside(self._gone), at)
            how = None if target.seat_extension == self._gone.seat_extension else "blind"
            self._call.take_over(self._gone, leg, how, target.seat_extension or "", at)

        fit(self._call, self._call.beside(self._gone), agreed, fitted, now)

    def nobody(self, status: int, now: float) -> None:
        """Nobody took it this time."""
        self._finder = None
        self._call.core.timers.at(now + (0.0 if self._rounds == 1 else PAUSE_S), self._ring)

    def _give_up(self, now: float) -> None:
        self._over = True
        call = self._call
        call.core.fault(now, "转接没有成功，也没有座席接回，通话已结束；请尽快给诉求人回电", None, call.call_id)
        self._on_over()
        call.hang_up_legs(now)
        call.finish(CallEnded(call.call_id, now, HangupParty.NETWORK), now)

    # -- as a change of the call ------------------------------------------------------------------------------------

    def survives(self, leg: Leg, now: float) -> bool:
        """Only the far end is left, and with it the call is over."""
        return leg is self._gone

    def call_over(self, call: "Talk", now: float) -> None:
        """The far end hung up."""
        if self._over:
            return
        self._over = True
        if self._finder is not None:
            self._finder.cancel(now)
        if self._found is not None:
            self._found.end(now)
        self._on_over()

    def seat_taken(self, extension: str, now: float) -> None:
        """A seat answered another call."""
        if self._finder is not None:
            self._finder.seat_taken(extension, now)
