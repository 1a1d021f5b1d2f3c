"""回叫: a transfer failed and whoever asked for it has hung up: his phone rings again, then everybody's who is free, until
somebody takes the call. The far end hears music meanwhile; it may wait as long as a caller in the queue may.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from callqa.sip.calls.routing import Target
from callqa.sip.events import CallEnded, HangupParty
from callqa.sip.legs.leg import Leg
from callqa.sip.transfers.change import codecs_beside
from callqa.sip.transfers.finder import Finder
from callqa.sip.transfers.handover import Handover

if TYPE_CHECKING:
    from callqa.sip.calls.exchange import Exchange
    from callqa.sip.calls.talk import Talk

FIRST_RING_S = 20.0  # at the phone of whoever asked for the transfer, alone
THEN_RING_S = 30.0
PAUSE_S = 3.0


class Recall(Handover):
    """One recall. leaving: the leg that is no more; on_over: it is settled."""

    def __init__(self, call: "Talk", exchange: "Exchange", gone: Leg, port: int, on_over: Callable[[], None]) -> None:
        super().__init__(call, gone, port)
        self._exchange = exchange
        self._on_over = on_over
        self._until = 0.0
        self._rounds = 0

    def start(self, now: float) -> None:
        """Begin."""
        self._until = now + self._call.core.desk.routing.queue_wait_s
        self._call.play_music(self._other, now)
        self._ring(now)

    def _ring(self, now: float) -> None:
        if self._over:
            return
        if now >= self._until:
            self._end_alone(now)
            return
        self._rounds += 1
        seat = self._leaving.seat_extension
        first = self._exchange.free_phones((seat,)) if seat else ()
        targets = first if self._rounds == 1 else (*self._exchange.free_phones(self._exchange.manned_but(seat)), *first)
        if not targets:
            self.nobody(480, now)
            return
        self._finder = Finder(self._call, self, self._leaving.channel, self._port, codecs_beside(self._other))
        limit_s = FIRST_RING_S if self._rounds == 1 else THEN_RING_S
        self._finder.start(targets, min(limit_s, self._until - now), now, self._call.number_of(self._other))

    def ringing(self, status: int, now: float) -> None:
        """Somebody's phone rings."""

    def nobody(self, status: int, now: float) -> None:
        """Nobody took it this time."""
        self._finder = None
        self._call.core.timers.at(now + (0.0 if self._rounds == 1 else PAUSE_S), self._ring)

    def _end_alone(self, now: float) -> None:
        self._over = True
        call = self._call
        call.core.fault(now, "转接没有成功，也没有席位接回，通话已结束；请尽快给诉求人回电", None, call.call_id)
        self._on_over()
        call.hang_up_legs(now)
        call.finish(CallEnded(call.call_id, now, HangupParty.NETWORK), now)

    def _taken(self, leg: Leg, target: Target, now: float) -> None:
        self._on_over()
        self._call.stop_music(self._other, now)
        how = None if target.seat_extension == self._leaving.seat_extension else "blind"
        self._call.take_over(self._leaving, leg, how, target.seat_extension or "", now)

    def _given_up(self, now: float) -> None:
        self._on_over()
