"""What all ways of giving one side of an answered call to somebody else have in common."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from callqa.sip.legs.leg import Leg
from callqa.sip.wire.sdp import EVENTS, G711, OUR_CODECS, Codecs, Session, agreed_codecs

if TYPE_CHECKING:
    from callqa.sip.calls.talk import Talk


class Change(Protocol):
    """Such a change under way."""

    def survives(self, leg: Leg, now: float) -> bool:
        """A leg of a call is over: whether its call goes on without it."""

    def call_over(self, call: "Talk", now: float) -> None:
        """A call it concerns has ended."""

    def seat_taken(self, extension: str, now: float) -> None:
        """A seat answered another call."""


def codecs_beside(other: Leg) -> Codecs:
    """What to offer somebody who shall talk with `other`: its own codec first, since packets pass unchanged, then the other
    law, which would need a change there."""
    voice = tuple(c for c in other.codecs if c[1] != EVENTS)
    more = tuple(c for c in OUR_CODECS if c[1] in G711 and c[1] not in {name for _, name in voice})
    return (*voice, *more, *(c for c in other.codecs if c[1] == EVENTS))


def fit(call: "Talk", other: Leg, agreed: Codecs, done: Callable[[bool, float], None], now: float) -> None:
    """Make `other` speak what the new side agreed to; done gets whether it does."""
    if other.codecs and agreed[0] == other.codecs[0]:
        done(True, now)
        return

    def answered(session: Session | None, at: float) -> None:
        its = agreed_codecs(agreed, session) if session else ()
        if its:
            other.session, other.codecs = session, its
            call.change_media(other, at)
        done(bool(its), at)

    other.reoffers.offer(agreed, answered, now)
