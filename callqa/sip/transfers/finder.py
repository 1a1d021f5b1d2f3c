"""Finding somebody to take over one side of an answered call: the phones of seats ring all at once, the trunks to a number
one after the other, the next where one cannot put the call through. The first who answers with a codec that fits wins.
The call itself is not touched here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from callqa.sip.calls.dialling import outgoing_leg
from callqa.sip.calls.routing import TRUNK_SILENT_S, Target, is_trunks_fault
from callqa.sip.legs.leg import Leg
from callqa.sip.legs.leg_owner import SilentOwner
from callqa.sip.legs.timers import Alarm
from callqa.sip.wire.sdp import Codecs, Session, agreed_codecs
from callqa.units import Channel

if TYPE_CHECKING:
    from callqa.sip.calls.talk import Talk


class Seeker(Protocol):
    """Who looks for somebody."""

    def ringing(self, status: int, now: float) -> None:
        """Somebody's phone rings (18x)."""

    def found(self, leg: Leg, target: Target, agreed: Codecs, now: float) -> None:
        """Somebody answered."""

    def nobody(self, status: int, now: float) -> None:
        """Nobody takes it; status: why, as the last of them said."""


class Finder(SilentOwner):
    """One search. port: our RTP port for whoever is found; shown: the number he sees."""

    def __init__(self, call: "Talk", seeker: Seeker, channel: Channel, port: int, offered: Codecs) -> None:
        self._call = call
        self._core = call.core
        self._seeker = seeker
        self._channel = channel
        self._port = port
        self._offered = offered
        self._legs: dict[Leg, Target] = {}
        self._later: list[Target] = []
        self._status = 480
        self._alarm: Alarm | None = None
        self._try_alarm: Alarm | None = None

    def start(self, targets: Sequence[Target], limit_s: float, now: float, shown: str = "") -> None:
        """Ring them, at most limit_s long."""
        seats = [t for t in targets if t.seat_extension]
        at_once, self._later = (seats, []) if seats else (list(targets[:1]), list(targets[1:]))
        self._shown = shown
        self._alarm = self._core.timers.at(now + limit_s, self._give_up)
        for target in at_once:
            self._dial(target, now)
        self._watch(now)

    def cancel(self, now: float) -> None:
        """Stop ringing everybody."""
        for alarm in (self._alarm, self._try_alarm):
            if alarm is not None:
                alarm.cancel()
        self._later.clear()
        legs, self._legs = list(self._legs), {}
        for leg in legs:
            leg.end(now)

    def seat_taken(self, extension: str, now: float) -> None:
        """A seat that rings for us took another call."""
        for leg in [x for x, t in self._legs.items() if t.seat_extension == extension]:
            leg.end(now)
            self.leg_refused(leg, 486, now)

    def _dial(self, target: Target, now: float) -> None:
        leg = outgoing_leg(self._core, self, self._call, self._channel, target, self._port, self._offered, self._shown)
        self._legs[leg] = target
        leg.dial(leg.sdp(self._offered), now)

    def _watch(self, now: float) -> None:
        if self._later:
            (leg,) = self._legs
            self._try_alarm = self._core.timers.at(now + TRUNK_SILENT_S, lambda at: self._silent(leg, at))

    def _silent(self, leg: Leg, now: float) -> None:
        if leg in self._legs and not leg.heard:
            leg.end(now)
            self.leg_refused(leg, 408, now)

    def _give_up(self, now: float) -> None:
        self.cancel(now)
        self._seeker.nobody(408 if self._status == 480 else self._status, now)

    # -- what the legs tell -----------------------------------------------------------------------------------------

    def leg_provisional(self, leg: Leg, status: int, session: Session | None, now: float) -> None:
        """Somebody's phone rings."""
        if leg in self._legs:
            leg.session = session or leg.session
            self._seeker.ringing(status, now)

    def leg_answered(self, leg: Leg, session: Session | None, now: float) -> None:
        """Somebody answered; some networks describe the media only with their early media."""
        target = self._legs.pop(leg, None)
        session = session or leg.session
        agreed = agreed_codecs(self._offered, session) if session else ()
        if target is None or not agreed:
            leg.end(now)
            if target is not None:
                self._one_less(488, now)
            return
        self.cancel(now)
        leg.session = session
        self._seeker.found(leg, target, agreed, now)

    def leg_refused(self, leg: Leg, status: int, now: float) -> None:
        """One less."""
        if self._legs.pop(leg, None) is not None:
            self._one_less(status, now)

    def _one_less(self, status: int, now: float) -> None:
        self._status = status
        if self._try_alarm is not None:
            self._try_alarm.cancel()
        if self._later and is_trunks_fault(status):
            self._dial(self._later.pop(0), now)
            self._watch(now)
        elif not self._legs:
            self.cancel(now)
            self._seeker.nobody(status if status not in (401, 407) else 480, now)
