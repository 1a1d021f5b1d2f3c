"""The legs dialled for one call and not decided yet.

Rules: the first 200 with a codec in common wins and the others are cancelled; a 200 that comes too late is acknowledged
and ended (leg_calling.py). A seat that picks the call up (pickup.py) wins like one that answers. The phones that lose are told
that somebody else has it (RFC 3326). All share one RTP port of ours and are offered only what the caller can take.
Whom to ring, and what follows when nobody takes the call, is decided in inbound.py (seats) and outbound.py (trunks).
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from callqa.sip.calls.dialling import outgoing_leg
from callqa.sip.calls.routing import Target
from callqa.sip.legs.leg import Leg
from callqa.sip.wire.sdp import Session, agreed_codecs

if TYPE_CHECKING:
    from callqa.sip.calls.bridge import BridgeCall

ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'  # RFC 3326 §2: the phone notes no missed call


class Ringing:
    """Who rings for a call. legs: by the target each was dialled for, in order."""

    def __init__(self, call: "BridgeCall") -> None:
        self._call = call
        self._opened = False
        self.legs: dict[Leg, Target] = {}

    @property
    def seats(self) -> tuple[str, ...]:
        """Seats of which a phone rings."""
        return tuple(dict.fromkeys(t.seat_extension for t in self.legs.values() if t.seat_extension))

    def dial(self, target: Target, now: float, shown: str = "") -> Leg:
        """Ring one more. shown: as `outgoing_leg` has it."""
        call = self._call
        leg = outgoing_leg(call.core, call, call, call.far, target, call.far_port, call.caller.codecs, shown)
        self.legs[leg] = target
        if not self._opened:
            self._opened = True
            call.open_media(leg, now)
        leg.dial(leg.sdp(leg.codecs), now)
        return leg

    def is_heard(self, leg: Leg) -> bool:
        """Whether it is one whose early media the caller hears."""
        target = self.legs.get(leg)
        return target is not None and target.seat_extension is None

    def of_seat(self, extension: str) -> list[Leg]:
        """The phones of a seat that ring."""
        return [leg for leg, t in self.legs.items() if t.seat_extension == extension]

    def end(self, legs: Iterable[Leg], now: float, why: str = "") -> None:
        """Stop ringing some of them. why: what their phones are told (RFC 3326)."""
        for leg in list(legs):
            if self.legs.pop(leg, None) is not None:
                leg.end(now, why)

    def answered(self, leg: Leg, session: Session | None, now: float) -> Target | None:
        """One answered: the call is connected, or else its target is given back, which has no codec in common with the
        caller. Some networks describe the media only with their early media."""
        call = self._call
        session = session or leg.session
        target = self.legs.pop(leg, None)
        agreed = agreed_codecs(leg.codecs, session) if session else ()
        if call.over or call.callee is not None or target is None:
            leg.end(now)
            return None
        if not agreed:
            leg.end(now)
            text = f"{target.seat_extension or '中继'} 接听时没有共同的语音编码或加密方式"
            call.core.fault(now, text, leg.dialog.observed, call.call_id)
            return target
        leg.session, leg.codecs = session, agreed
        self.taken(leg, target.seat_extension, now)
        return None

    def taken(self, leg: Leg, seat_extension: str | None, now: float) -> None:
        """Somebody has the call, with `leg.codecs` agreed: nobody rings any more."""
        self.end(self.legs, now, ELSEWHERE)
        self._call.side.connect(leg.codecs, now)
        self._call.connect(leg, seat_extension, now)
