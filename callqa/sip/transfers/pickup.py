"""代接: a seat's phone takes a call that rings at a colleague's (`*8`, or INVITE with Replaces of that early dialog), or asks to
have an answered call instead of the phone that has it now, which is told BYE.

Rules of RFC 3891 §3 for Replaces: 400 where it cannot be read or is there twice; 481 where no dialog of ours with a seat's phone
has that name, or it is an early one that the phone itself began; 603 where it was ours and is over; 486 where it is answered
and only an early one was wanted. Only a registered seat that gave its password may pick up. The citizen's side is not asked for
another codec: a phone that does not speak his is refused (488) and he goes on ringing, or talking, where he was.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from callqa.errors import ProtocolError
from callqa.sip.calls.bridge import BridgeCall
from callqa.sip.calls.exchange import Exchange
from callqa.sip.calls.talk import Talk
from callqa.sip.core import Core
from callqa.sip.events import Address
from callqa.sip.legs.leg import Leg
from callqa.sip.legs.leg_owner import LegState
from callqa.sip.legs.transaction import Transaction
from callqa.sip.transfers.parting import Parting
from callqa.sip.transfers.refer import Replaces, parse_replaces
from callqa.sip.wire.sdp import EVENTS, Codecs, Session
from callqa.units import Channel


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Who wants to have a call: the INVITE, the seat that was proved, where it came from, its offer."""

    invite: Transaction
    extension: str
    source: Address
    offer: Session | None


def pick_up(core: Core, exchange: Exchange, replaces: Sequence[str], who: Newcomer, now: float) -> None:
    """Put the caller in the place of the leg that he names, or refuse. replaces: every Replaces header of his INVITE."""
    status = _pick_up(core, exchange, replaces, who, now)
    if status is not None:
        core.transactions.reply(who.invite, status, now, to_tag=core.tokens())


def pick_up_ringing(core: Core, exchange: Exchange, at: str | None, who: Newcomer, now: float) -> None:
    """`*8`: have the call that rings longest, with an extension only one that rings there; 404 where nothing rings."""
    call = exchange.to_pick_up(who.extension, at)
    status = _take_ringing(core, call, who, now) if call is not None else 404
    if status is not None:
        core.transactions.reply(who.invite, status, now, to_tag=core.tokens())


def _pick_up(core: Core, exchange: Exchange, replaces: Sequence[str], who: Newcomer, now: float) -> int | None:
    named = _only(replaces)
    if named is None:
        return 400
    old = exchange.leg_named(named)
    if old is None:
        return 603 if exchange.was_ours(named) else 481
    ringing = exchange.ringing_with(old)
    if ringing is not None:
        return _take_ringing(core, ringing, who, now)
    if not old.talks or old.seat_extension is None:
        return 481
    return 486 if named.early_only else _take_answered(core, exchange, old, who, now)


def _only(replaces: Sequence[str]) -> Replaces | None:
    try:
        return parse_replaces(replaces[0]) if len(replaces) == 1 else None
    except ProtocolError:
        return None


def _take_ringing(core: Core, call: BridgeCall, who: Newcomer, now: float) -> int | None:
    """The status to refuse with, or None: the caller is connected and every phone that rang is told who else has him."""
    agreed = _as_it_is(call.caller.codecs, who.offer)
    if not agreed:
        return 488
    voice, *others = agreed
    new = _newcomer(core, call, call.far, who, call.far_port, (voice, *(c for c in others if c[1] == EVENTS)), now)
    call.ringing.taken(new, who.extension, now)
    return None


def _take_answered(core: Core, exchange: Exchange, old: Leg, who: Newcomer, now: float) -> int | None:
    call = exchange.call_of(old)
    if call is None:
        return 481
    other = call.beside(old)
    if call.transfers.busy or not call.answered or other.state is LegState.GONE:
        return 491
    agreed = _as_it_is(other.codecs, who.offer)
    if not agreed:
        return 488
    port = call.take_port()
    if port is None:
        return 503
    new = _newcomer(core, call, old.channel, who, port, agreed, now)
    kind = None if who.extension == old.seat_extension else "attended"
    call.take_over(old, new, kind, who.extension, now)
    Parting(old, None, now)
    return None


def _newcomer(core: Core, call: Talk, channel: Channel, who: Newcomer, port: int, agreed: Codecs, now: float) -> Leg:
    """His leg, answered."""
    new = Leg.incoming(core, call, channel, who.invite, who.source, port)
    new.seat_extension, new.dialog.behind_nat = who.extension, True
    new.session, new.codecs = who.offer, agreed
    new.accept(new.sdp(agreed, new.direction_for(who.offer), who.offer), now)
    return new


def _as_it_is(codecs: Codecs, offer: Session | None) -> Codecs:
    """What the other side speaks already, as far as the newcomer offers it under the same number: nobody is asked to
    change for a call that is picked up."""
    if offer is None:
        return ()
    voice = tuple(c for c in codecs if c[1] != EVENTS and c in offer.codecs)
    return (*voice, *(c for c in codecs if c[1] == EVENTS and c in offer.codecs)) if voice else ()
