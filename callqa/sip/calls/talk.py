"""A call of two sides after its answer 通话中: hold, another codec, who hangs up, and who takes over one side.

Rules: hold, refresh and a moved address concern only the leg they come on; a side that changes its codec takes the other
along, since packets pass unchanged. BYE of one side ends the other, unless somebody is about to take its place
(transfer.py). What a side asks for is in in_call.py, what a seat's two calls have to do with each other in consult.py.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from callqa.sip.calls.call import Call, CallFacts
from callqa.sip.calls.consult import link, taken_off_hold
from callqa.sip.calls.in_call import asked_in_call
from callqa.sip.core import Core
from callqa.sip.events import CallEnded, CallTransferred, HangupParty, PartyKnown, PromptStarted, PromptStopped
from callqa.sip.legs.leg import Leg, LegState
from callqa.sip.legs.leg_owner import SilentOwner
from callqa.sip.legs.transaction import Transaction
from callqa.sip.transfers.transfer import Transfers
from callqa.sip.wire.headers import plain
from callqa.sip.wire.message import Request
from callqa.sip.wire.sdp import Codecs, Session, agreed_codecs
from callqa.units import Channel

if TYPE_CHECKING:
    from callqa.sip.calls.exchange import Exchange

PARTIES = {Channel.CITIZEN: HangupParty.CITIZEN, Channel.AGENT: HangupParty.AGENT}
MUSIC = "music"


class Talk(Call, SilentOwner):
    """caller: the leg of the INVITE that came in, or who took its place; callee: who answered, or who took his place."""

    caller: Leg
    callee: Leg | None

    def __init__(
        self, core: Core, facts: CallFacts, invite: Request, on_over: Callable[[Call], None], exchange: "Exchange"
    ) -> None:
        super().__init__(core, facts, invite, on_over)
        self.callee = None
        self.exchange = exchange
        self.transfers = Transfers(self, exchange)
        self._numbers: dict[Leg, str] = {}  # of those who came by transfer
        self._parties: set[tuple[str, Channel]] = set()

    def talks(self, now: float) -> None:
        """Both sides are connected."""
        assert self.callee is not None
        for leg in (self.caller, self.callee):
            leg.recode, leg.on_request = self._recode, self._asked
        for extension in self.seats:
            self.exchange.seat_taken(self, extension, now)
        link(self.exchange, self, now)

    # -- who is in it -----------------------------------------------------------------------------------------------

    @property
    def seats(self) -> frozenset[str]:
        """Seats whose phones are in the call; not those that only ring."""
        legs = self._legs()  # asked of every call at every event: a list is quicker than what makes one
        return frozenset([leg.seat_extension for leg in legs if leg.seat_extension and leg.state is not LegState.GONE])

    def beside(self, leg: Leg) -> Leg:
        """The other side of an answered call."""
        assert self.callee is not None
        return self.callee if leg is self.caller else self.caller

    def number_of(self, leg: Leg) -> str:
        """The number or extension at one side, as far as it is known."""
        known = leg.seat_extension or self._numbers.get(leg)
        return known or (self.facts.from_number if leg is self.caller else self.facts.to_number)

    def far_number(self, extension: str) -> str:
        """Who talks with a seat."""
        its = self._leg_of(extension)
        return self.number_of(self.beside(its)) if its is not None else ""

    def held_by(self, extension: str) -> bool:
        """Whether a seat has this call on hold."""
        its = self._leg_of(extension)
        return its is not None and self.is_held_by(its.channel)

    def _legs(self) -> tuple[Leg, ...]:
        return (self.caller,) if self.callee is None else (self.caller, self.callee)

    def _leg_of(self, extension: str) -> Leg | None:
        return next((leg for leg in self._legs() if leg.seat_extension == extension), None)

    # -- what changes -----------------------------------------------------------------------------------------------

    def leg_media(self, leg: Leg, now: float) -> None:
        """Hold, refresh or a new address on one side."""
        if leg not in self._legs():
            return
        before = self.is_held_by(leg.channel)
        self.change_media(leg, now)
        if before and not self.is_held_by(leg.channel):
            taken_off_hold(self.exchange, self, leg, now)

    def _recode(self, leg: Leg, wanted: Codecs, done: Callable[[Codecs, float], None], now: float) -> None:
        """One side changes its codec: the other must go along."""
        if self.callee is None:
            done((), now)
            return
        other = self.beside(leg)

        def answered(session: Session | None, at: float) -> None:
            agreed = agreed_codecs(wanted, session) if session else ()
            if agreed:
                other.session, other.codecs = session, agreed
                self.change_media(other, at)
            done(agreed, at)

        other.reoffers.offer(wanted, answered, now)

    def _asked(self, leg: Leg, t: Transaction, now: float) -> bool:
        return asked_in_call(self, leg, t, now)

    def join_party(self, number: str, extension: str, now: float) -> None:
        """The seat's phone lets somebody else be heard in this call, on the seat's side."""
        its = self._leg_of(extension)
        if its is not None and (number, its.channel) not in self._parties:
            self._parties.add((number, its.channel))
            self.core.emit(PartyKnown(self.call_id, now, "", number, its.channel))

    def take_over(self, old: Leg, new: Leg, kind: str | None, to: str, now: float) -> None:
        """`new` has the side of `old` from now on. kind: of the transfer; None where the same seat has it back."""
        new.owner, new.recode, new.on_request, new.channel = self, self._recode, self._asked, old.channel
        if old is self.caller:
            self.caller = new
        else:
            self.callee = new
        self._numbers[new] = to
        self.open_media(new, now)
        self.change_media(new, now)
        self.release_port(old.local_port)
        if old.seat_extension is not None:
            self.exchange.left(self, old.seat_extension, now)
        if new.seat_extension is not None and new.channel is Channel.AGENT:
            self.seat_extension = new.seat_extension
        if kind is not None:
            by, sip_call_id = old.seat_extension, plain(new.dialog.call_id)
            self.core.emit(CallTransferred(self.call_id, now, kind, plain(to), new.seat_extension, by, sip_call_id))
        if new.seat_extension is not None:
            self.exchange.seat_taken(self, new.seat_extension, now)

    def play_music(self, leg: Leg, now: float) -> None:
        """While the other side is away."""
        self.core.emit(PromptStarted(self.call_id, now, leg.channel, MUSIC, True, self.core.desk.routing.queue_music))

    def stop_music(self, leg: Leg, now: float) -> None:
        """The other side is there again."""
        self.core.emit(PromptStopped(self.call_id, now, leg.channel))

    def seat_taken(self, extension: str, now: float) -> None:
        """A seat that may ring for us answered another call."""
        self.transfers.seat_taken(extension, now)

    # -- how it ends ------------------------------------------------------------------------------------------------

    def leg_ended(self, leg: Leg, now: float) -> None:
        """BYE from one side ends the other."""
        if leg in self._legs() and not self._goes_on_without(leg, now):
            self.hang_up_legs(now)
            self.closed_by(leg, now)

    def _goes_on_without(self, leg: Leg, now: float) -> bool:
        """Whether somebody is about to take the place of a side that is gone."""
        if not self.transfers.survives(leg, now):
            return False
        self.side_away(leg, now)
        return True

    def closed_by(self, leg: Leg, now: float) -> None:
        """The call is over on behalf of one side, its other side is elsewhere already."""
        self.finish(CallEnded(self.call_id, now, PARTIES[leg.channel]), now)

    def leg_lost(self, leg: Leg, now: float) -> None:
        """One side is not there any more."""
        if leg in self._legs() and not self._goes_on_without(leg, now):
            self.hang_up_legs(now)
            self.finish(CallEnded(self.call_id, now, HangupParty.NETWORK), now)

    def hang_up_legs(self, now: float) -> None:
        """End both legs, and whoever is rung to take over."""
        self.transfers.call_over(now)
        for leg in self._legs():
            leg.end(now)


def _is_gone(leg: Leg) -> bool:
    return leg.state is LegState.GONE
