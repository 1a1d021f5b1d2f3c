"""What we ask inside a confirmed dialog: a refresh for the session timer (RFC 4028), an offer with other codecs.

One at a time (RFC 3261 §14.1): a request of the peer that crosses ours gets 491, and ours is tried again when 491 comes,
after 2.1-4 s where the Call-ID is ours, within 2 s where it is not, so that both sides do not meet again.
"""

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from callqa.errors import ProtocolError
from callqa.sip.events import Address
from callqa.sip.legs.asking import ask
from callqa.sip.legs.session_timer import SessionTimer, agree_as_client, asking
from callqa.sip.legs.timers import Alarm
from callqa.sip.wire.headers import Headers
from callqa.sip.wire.message import Response
from callqa.sip.wire.multipart import sdp_of
from callqa.sip.wire.sdp import Codecs, Session, parse_sdp

if TYPE_CHECKING:
    from callqa.sip.legs.leg import Leg

TRIES_MOST = 4
_GONE = frozenset({408, 481})  # RFC 3261 §12.2.1.2: the dialog is no more

Done = Callable[[Session | None, float], None]


class Reoffers:
    """Requests of ours on one leg. on_lost: the session is over without a BYE."""

    def __init__(self, leg: "Leg", on_lost: Callable[[float], None]) -> None:
        self._leg = leg
        self._on_lost = on_lost
        self._timer: SessionTimer | None = None
        self._alarms: list[Alarm] = []
        self.outstanding = False
        self.peer_updates = False  # the peer allows UPDATE

    def note_allow(self, headers: Headers) -> None:
        """Take what the peer says it allows."""
        allowed = {t.upper() for t in headers.tokens("Allow")}
        self.peer_updates = "UPDATE" in allowed if allowed else self.peer_updates

    def set_timer(self, timer: SessionTimer | None, now: float) -> None:
        """A session timer was agreed anew, or there is none."""
        self.stop()
        self._timer = timer
        if timer is None:
            return
        at = self._leg.core.timers.at
        if timer.we_refresh:
            self._alarms.append(at(now + timer.refresh_after_s, self._refresh))
        self._alarms.append(at(now + (timer.interval_s if timer.we_refresh else timer.over_after_s), self._over))

    def stop(self) -> None:
        """No timer any more."""
        for alarm in self._alarms:
            alarm.cancel()
        self._alarms.clear()

    def offer(self, codecs: Codecs, done: Done, now: float) -> None:
        """Offer these codecs to the peer; done gets its answer, or None when it wants none of it."""
        leg = self._leg
        if self.outstanding or not leg.talks:
            done(None, now)
            return
        body = leg.sdp(codecs, leg.direction_for(None))
        self._send("INVITE", body, lambda response, at: done(_session(response), at), now)

    def _refresh(self, now: float) -> None:
        if self.outstanding or not self._leg.talks:
            self._alarms.append(self._leg.core.timers.at(now + 1.0, self._refresh))
            return

        def done(response: Response | None, at: float) -> None:
            if response is None or response.status >= 300:
                if response is not None and response.status in (405, 501):
                    self.peer_updates = False
                self._alarms.append(self._leg.core.timers.at(at + 5.0, self._refresh))  # until the interval is over
            else:
                self.set_timer(agree_as_client(response.headers) or self._timer, at)

        if self.peer_updates:
            self._send("UPDATE", b"", done, now)
        else:
            self._send("INVITE", self._leg.last_sdp, done, now)

    def _over(self, now: float) -> None:
        self.stop()
        self._on_lost(now)

    def _send(
        self, method: str, body: bytes, done: Callable[[Response | None, float], None], now: float, nth: int = 1
    ) -> None:
        leg = self._leg
        request = leg.dialog.request(method, fields=asking(self._timer), body=body)
        self.outstanding = True

        def on_response(response: Response, _source: Address, at: float) -> None:
            if response.status < 200:
                return
            first, self.outstanding = self.outstanding, False
            if response.status < 300 and method == "INVITE":
                leg.acknowledge(leg.dialog, response.cseq.number)
            if not first or not leg.talks:
                return
            if response.status == 491 and nth < TRIES_MOST:
                self.outstanding = True
                leg.core.timers.at(at + self._pause_s(), lambda later: self._retry(method, body, done, later, nth + 1))
                return
            if response.status < 300:
                self.note_allow(response.headers)
                leg.dialog.refresh_target(response)
            if response.status in _GONE:
                self._over(at)
            done(response, at)

        def on_timeout(at: float) -> None:
            self.outstanding = False
            if leg.talks:
                done(None, at)
                self._over(at)

        ask(leg, request, now, on_response=on_response, on_timeout=on_timeout)

    def _retry(
        self, method: str, body: bytes, done: Callable[[Response | None, float], None], now: float, nth: int
    ) -> None:
        self.outstanding = False
        if self._leg.talks:
            self._send(method, body, done, now, nth)
        else:
            done(None, now)

    def _pause_s(self) -> float:
        dice = zlib.crc32(self._leg.core.tokens().encode()) % 20
        return 0.1 * dice if self._leg.called_us else 2.1 + 0.1 * min(dice, 19)


def _session(response: Response | None) -> Session | None:
    if response is None or response.status >= 300 or not response.body:
        return None
    try:
        body = sdp_of(response.headers.first("Content-Type"), response.body)
        return parse_sdp(body) if body else None
    except ProtocolError:
        return None
