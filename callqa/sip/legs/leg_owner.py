"""What a leg is in, and what it tells the call it belongs to."""

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from callqa.sip.wire.sdp import Codecs, Session

if TYPE_CHECKING:
    from callqa.sip.legs.leg import Leg

Recode = Callable[["Leg", Codecs, Callable[[Codecs, float], None], float], None]


class LegState(Enum):
    EARLY = "early"
    ANSWERED = "answered"  # our 200 is out, its ACK is not here
    CONFIRMED = "confirmed"
    GONE = "gone"


class LegOwner(Protocol):
    """The call around a leg."""

    def leg_provisional(self, leg: "Leg", status: int, session: Session | None, now: float) -> None:
        """Our INVITE got 180, 183 …"""

    def leg_answered(self, leg: "Leg", session: Session | None, now: float) -> None:
        """Our INVITE got its 200; session None: without readable SDP."""

    def leg_refused(self, leg: "Leg", status: int, now: float) -> None:
        """Our INVITE failed; 408 also when nothing came."""

    def leg_cancelled(self, leg: "Leg", now: float) -> None:
        """The peer gave up its INVITE."""

    def leg_media(self, leg: "Leg", now: float) -> None:
        """The peer's media address, codecs or hold may have changed."""

    def leg_ended(self, leg: "Leg", now: float) -> None:
        """The peer sent BYE."""

    def leg_lost(self, leg: "Leg", now: float) -> None:
        """The peer did not confirm our 200, or a reliable provisional response: it is not there."""


class SilentOwner:
    """An owner that wants to know of nothing; for those who care for a few things only."""

    def leg_provisional(self, leg: "Leg", status: int, session: Session | None, now: float) -> None:
        """Nothing to do."""

    def leg_answered(self, leg: "Leg", session: Session | None, now: float) -> None:
        """Nothing to do."""

    def leg_refused(self, leg: "Leg", status: int, now: float) -> None:
        """Nothing to do."""

    def leg_cancelled(self, leg: "Leg", now: float) -> None:
        """Nothing to do."""

    def leg_media(self, leg: "Leg", now: float) -> None:
        """Nothing to do."""

    def leg_ended(self, leg: "Leg", now: float) -> None:
        """Nothing to do."""

    def leg_lost(self, leg: "Leg", now: float) -> None:
        """Nothing to do."""
