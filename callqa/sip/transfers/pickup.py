"""INVITE with Replaces (RFC 3891): a seat's phone asks to have an answered call instead of the phone that has it now, which
is told BYE. Only a dialog of ours with a seat's phone can be replaced, and only by a registered seat that gave its password.
"""

from callqa.errors import ProtocolError
from callqa.sip.calls.exchange import Exchange
from callqa.sip.core import Core
from callqa.sip.events import Address
from callqa.sip.legs.leg import Leg
from callqa.sip.legs.leg_owner import LegState
from callqa.sip.legs.transaction import Transaction
from callqa.sip.transfers.parting import Parting
from callqa.sip.transfers.refer import parse_replaces
from callqa.sip.wire.sdp import EVENTS, Codecs, Session


def pick_up(
    core: Core, exchange: Exchange, t: Transaction, replaces: str, extension: str, source: Address,
    offer: Session | None, now: float,
) -> None:  # fmt: skip
    """Put the caller in the place of the leg that he names, or refuse: 400, 481, 486 (early-only), 488, 491, 503."""

    def refuse(status: int) -> None:
        core.transactions.reply(t, status, now, to_tag=core.tokens())

    try:
        named = parse_replaces(replaces)
    except ProtocolError:
        refuse(400)
        return
    old = exchange.leg_named(named)
    call = exchange.call_of(old) if old is not None else None
    if old is None or call is None or old.seat_extension is None or not old.talks:
        refuse(481)
        return
    if named.early_only:
        refuse(486)
        return
    other = call.beside(old)
    agreed = _as_it_is(other.codecs, offer)
    if call.transfers.busy or not call.answered or other.state is LegState.GONE:
        refuse(491)
        return
    port = call.take_port() if agreed and offer is not None else None
    if port is None:
        refuse(503 if agreed and offer is not None else 488)
        return
    new = Leg.incoming(core, call, old.channel, t, source, port)
    new.seat_extension, new.dialog.behind_nat = extension, True
    new.session, new.codecs = offer, agreed
    new.accept(new.sdp(agreed, new.direction_for(offer), offer), now)
    call.take_over(old, new, None if extension == old.seat_extension else "attended", extension, now)
    Parting(old, None, now)


def _as_it_is(codecs: Codecs, offer: Session | None) -> Codecs:
    """What the other side speaks already, as far as the newcomer offers it under the same number: nobody is asked to
    change for a call that is picked up."""
    if offer is None:
        return ()
    voice = tuple(c for c in codecs if c[1] != EVENTS and c in offer.codecs)
    return (*voice, *(c for c in codecs if c[1] == EVENTS and c in offer.codecs)) if voice else ()
