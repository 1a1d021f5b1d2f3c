"""Session timers (RFC 4028): what is agreed, from the headers of a request and its answer. Nothing is refused here: an
interval that a peer wants is taken as it is, however short; who wants none has none. reoffer.py does the refreshing.
"""

from dataclasses import dataclass

from callqa.errors import ProtocolError
from callqa.sip.wire.headers import Headers, param, parse_number, parse_params

USUAL_S = 1800
LEAST_S = 90  # RFC 4028 §4: what others must not go below when they ask us again
SHORTEST_S = 10  # an interval below it would be nothing but refreshing
LONGEST_S = 86_400

Fields = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class SessionTimer:
    """An agreed timer. Without a refresh for interval_s the session is over."""

    interval_s: int
    we_refresh: bool

    @property
    def refresh_after_s(self) -> float:
        """When whoever refreshes does so (§10)."""
        return self.interval_s / 2

    @property
    def over_after_s(self) -> float:
        """When whoever waits for a refresh gives up (§10)."""
        return self.interval_s - min(32.0, self.interval_s / 3)


def _session_expires(headers: Headers) -> tuple[int, str] | None:
    """Seconds and refresher ("uac", "uas" or ""); None without a readable header."""
    text = headers.first("Session-Expires")
    if text is None:
        return None
    seconds, _, params = text.partition(";")
    try:
        interval_s = min(max(parse_number(seconds, "Session-Expires", 2**31), SHORTEST_S), LONGEST_S)
    except ProtocolError:
        return None
    return interval_s, (param(parse_params(params), "refresher") or "").lower()


def supports(headers: Headers, option: str) -> bool:
    """Whether the sender knows an option tag."""
    return any(t.lower() == option for name in ("Supported", "Require") for t in headers.tokens(name))


def agree_as_server(request: Headers) -> tuple[SessionTimer | None, Fields]:
    """The timer of a request that we accept, and what its 2xx says of it."""
    asked = _session_expires(request)
    if asked is None:
        return None, ()
    interval_s, refresher = asked
    knows = supports(request, "timer")
    refresher = refresher if knows and refresher in ("uac", "uas") else "uac" if knows else "uas"
    fields: Fields = (("Session-Expires", f"{interval_s};refresher={refresher}"),)
    if refresher == "uac":
        fields = (*fields, ("Require", "timer"))
    return SessionTimer(interval_s, refresher == "uas"), fields


def agree_as_client(response: Headers) -> SessionTimer | None:
    """The timer that a 2xx to our request sets; None: there is none."""
    said = _session_expires(response)
    return SessionTimer(said[0], said[1] != "uas") if said else None


def asking(timer: SessionTimer | None) -> Fields:
    """What a refresh of ours says."""
    if timer is None:
        return (("Supported", "timer"),)
    refresher = "uac" if timer.we_refresh else "uas"
    return (("Supported", "timer"), ("Session-Expires", f"{timer.interval_s};refresher={refresher}"))


def asking_longer(refusal: Headers) -> Fields:
    """What to ask after 422: the interval that somebody on the way wants at least."""
    try:
        least_s = parse_number(refusal.first("Min-SE") or "", "Min-SE", LONGEST_S)
    except ProtocolError:
        least_s = USUAL_S
    return (("Session-Expires", str(max(least_s, LEAST_S))), ("Min-SE", str(max(least_s, LEAST_S))))
