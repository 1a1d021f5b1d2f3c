"""How a transfer goes, told to the phone that asked for it: NOTIFY with a status line (RFC 3515 §2.4.4, RFC 3420).

One NOTIFY at a time; what is overtaken meanwhile is not told any more. A phone that does not answer, or knows nothing of
it, changes nothing: the transfer goes on. Without a subscription (RFC 4488) nothing is sent.
"""

from collections.abc import Callable

from callqa.sip.events import Address
from callqa.sip.legs.asking import ask
from callqa.sip.legs.leg import Leg
from callqa.sip.wire.message import REASONS, Response

LASTS_S = 180  # longer than any transfer rings; said in Subscription-State
_SIPFRAG = "message/sipfrag;version=2.0"


class Progress:
    """The implicit subscription of one REFER. event: `refer`, with an id for every REFER but the first of a dialog."""

    def __init__(self, leg: Leg, event: str, subscribed: bool) -> None:
        self._leg = leg
        self._event = event
        self._on_air = False
        self._next: tuple[int, bool] | None = None
        self._told = 0
        self._over = not subscribed
        self._then: Callable[[float], None] | None = None

    def tell(self, status: int, now: float) -> None:
        """The new call has come so far."""
        if status != self._told:
            self._send(status, now, final=False)

    def final(self, status: int, now: float) -> None:
        """How it ended; nothing is told after that."""
        self._send(status, now, final=True)

    def when_told(self, action: Callable[[float], None], now: float) -> None:
        """Do something once nothing is under way to the phone any more: now, or then."""
        if self._on_air:
            self._then = action
        else:
            action(now)

    def _send(self, status: int, now: float, *, final: bool) -> None:
        if self._over:
            return
        if self._on_air:
            self._next = (status, final)
            self._over = final
            return
        self._over = final
        self._put(status, final, now)

    def _put(self, status: int, final: bool, now: float) -> None:
        leg, self._on_air, self._told = self._leg, True, status
        state = "terminated;reason=noresource" if final else f"active;expires={LASTS_S}"
        line = f"SIP/2.0 {status} {REASONS.get(status, 'Unknown')}\r\n".encode()
        request = leg.dialog.request(
            "NOTIFY", fields=(("Event", self._event), ("Subscription-State", state)), body=line, content_type=_SIPFRAG
        )
        ask(leg, request, now, on_response=self._answered, on_timeout=self._done)

    def _answered(self, response: Response, _source: Address, now: float) -> None:
        if response.status < 200:
            return
        if response.status >= 300:  # it does not care, or not any more
            self._next, self._over = None, True
        self._done(now)

    def _done(self, now: float) -> None:
        self._on_air = False
        if self._next is not None:
            (status, final), self._next = self._next, None
            self._put(status, final, now)
        elif self._then is not None:
            action, self._then = self._then, None
            action(now)
