"""Calls of one seat that belong together: while a citizen is on hold the agent asks somebody (咨询), and may then let all
three hear each other (三方通话).

Both calls are recorded, each on its own, and each names the other. In a conference the seat's phone mixes: what it sends to
the citizen then holds the third party too, so the citizen's recording has all three (left the citizen, right agent and
third party). Here that is only noticed, from the moment when the phone takes a call off hold while it has another that is
not on hold, and noted as a party of the recording.
"""

from typing import TYPE_CHECKING

from callqa.sip.events import CallLinked
from callqa.sip.legs.leg import Leg

if TYPE_CHECKING:
    from callqa.sip.calls.exchange import Exchange
    from callqa.sip.calls.talk import Talk

# A phone that swaps its two calls may take one off hold a moment before it holds the other.
SWAPPING_S = 2.0


def link(exchange: "Exchange", call: "Talk", now: float) -> None:
    """A call that a seat made was answered: name it and the one that the seat has already in each other."""
    extension = call.caller.seat_extension
    before = [c for c in exchange.calls_of(extension) if c is not call] if extension else []
    if before:
        first = before[0]
        call.core.emit(CallLinked(call.call_id, now, first.call_id))
        call.core.emit(CallLinked(first.call_id, now, call.call_id))


def taken_off_hold(exchange: "Exchange", call: "Talk", leg: Leg, now: float) -> None:
    """A seat's phone took a call off hold: a swap of its calls, or a conference."""
    extension = leg.seat_extension
    if extension is None or len(exchange.calls_of(extension)) < 2:
        return

    def look(at: float) -> None:
        open_calls = [c for c in exchange.calls_of(extension) if not c.held_by(extension)]
        if call not in open_calls or leg.seat_extension != extension:
            return
        for other in open_calls:
            if other is not call:
                other.join_party(call.far_number(extension), extension, at)
                call.join_party(other.far_number(extension), extension, at)

    call.core.timers.at(now + SWAPPING_S, look)
