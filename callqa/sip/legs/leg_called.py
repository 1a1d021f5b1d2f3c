"""The called half of a leg: a peer's INVITE is rung, refused or accepted. Our 200 to it, and to every later INVITE on the
leg, is sent again until its ACK comes (RFC 3261 §13.3.1.4)."""

import zlib
from typing import TYPE_CHECKING

from callqa.sip.core import ALLOW
from callqa.sip.events import Address
from callqa.sip.legs.leg_owner import LegState
from callqa.sip.legs.provisional import ReliableSender
from callqa.sip.legs.session_timer import Fields, supports
from callqa.sip.legs.timers import Alarm
from callqa.sip.legs.transaction import Transaction
from callqa.sip.legs.transaction_table import GIVE_UP_S, T1_S, T2_S
from callqa.sip.wire.headers import one_line
from callqa.sip.wire.message import Response, reply, serialise

if TYPE_CHECKING:
    from callqa.sip.legs.leg import Leg


class Called:
    """The peer's INVITE on one leg, where the leg began with one."""

    def __init__(self, leg: "Leg", invite: Transaction) -> None:
        self._leg = leg
        self._invite = invite
        self._finishing: ReliableSender | None = None  # its PRACK is what our 200 waits for
        self._reliable: ReliableSender | None = None
        self.agreed_early = False  # the peer confirmed a response with our answer to its offer
        # With a late offer the first reliable response would have to carry ours: then only 100 and 200 are sent.
        if any(o.lower() == "100rel" for o in invite.request.headers.tokens("Require")):
            self.be_reliable(1 + zlib.crc32(leg.core.tokens().encode()) % 1_000_000)

    def be_reliable(self, first: int) -> None:
        """Send provisional responses reliably, numbered from `first`."""
        self._reliable = ReliableSender(self._leg.core.timers, first, self._send_reliable, self._never_acknowledged)

    def ring(self, status: int, body: bytes, now: float) -> None:
        """Send 100, 180, or 183 with a body."""
        leg = self._leg
        if leg.state is not LegState.EARLY:
            return
        if status == 100:
            leg.core.transactions.reply(self._invite, 100, now)  # without our tag: it makes no dialog
        elif self._reliable is not None:
            if self._invite.request.body:
                self._reliable.ring(status, body, now)
        else:
            leg.respond(self._invite, status, now, body)

    def repeat(self, status: int, body: bytes, now: float) -> None:
        """Say the same again, since it may have been lost; what is sent reliably needs no repetition."""
        if self._reliable is None:
            self.ring(status, body, now)

    def remind(self, status: int, body: bytes, now: float) -> None:
        """Say once more what was said, so that proxies keep the INVITE: reliably where the peer knows that, which also
        finds out whether it is still there."""
        before = self._reliable
        if before is None and self._invite.request.body and supports(self._invite.request.headers, "100rel"):
            self.be_reliable(1 + zlib.crc32(self._leg.core.tokens().encode()) % 1_000_000)
        # Reliably it is the answer to his offer, and an answer is not given twice (RFC 3262 §5).
        self.ring(status, body if before is None else b"", now)

    def accept(self, body: bytes, now: float) -> None:
        """Send the 200 and keep sending it until the ACK comes."""
        leg = self._leg
        if leg.state is not LegState.EARLY:
            return
        if self._reliable is not None:
            sender, self._reliable = self._reliable, None
            self._finishing = sender
            sender.when_free(lambda at: self.accept(body, at), now)
            return
        leg.state = LegState.ANSWERED
        leg.offers.wait_in_ack = not self._invite.request.body
        leg.oks.send(self._invite, body, now)

    def refuse(self, status: int, now: float, fields: Fields) -> None:
        """Answer the INVITE with a failure."""
        leg = self._leg
        if status == 415:
            fields = (*fields, ("Accept", "application/sdp"))
        if leg.state is LegState.EARLY:
            leg.gone()
            response = reply(self._invite.request, status, to_tag=leg.dialog.local_tag, fields=fields)
            leg.core.transactions.respond(self._invite, response, now)

    def receive_cancel(self, now: float) -> None:
        """The peer cancels its INVITE; too late once we answered."""
        if self._leg.state is LegState.EARLY:
            self.refuse(487, now, ())
            self._leg.owner.leg_cancelled(self._leg, now)

    def receive_prack(self, t: Transaction, now: float) -> None:
        """Take the PRACK of a reliable response."""
        sender = self._finishing or self._reliable
        described = sender is not None and sender.describes
        known = sender is not None and sender.acknowledge(t.request, self._invite.request.cseq.number, now)
        self.agreed_early |= known and described
        self._leg.core.transactions.reply(t, 200 if known else 481, now)
        if known and sender is not None:
            sender.go_on(now)

    def stop(self) -> None:
        """Nothing more to send."""
        for sender in (self._reliable, self._finishing):
            if sender is not None:
                sender.stop()

    def _send_reliable(self, number: int, status: int, body: bytes, now: float) -> None:
        leg = self._leg
        fields: Fields = (
            ("Contact", leg.dialog.contact), ("Allow", one_line(ALLOW)), ("Require", "100rel"), ("RSeq", str(number)),
        )  # fmt: skip
        response = reply(self._invite.request, status, to_tag=leg.dialog.local_tag, fields=fields, body=body)
        leg.core.transactions.respond(self._invite, response, now)

    def _never_acknowledged(self, now: float) -> None:
        if self._leg.state is LegState.EARLY:
            self.refuse(504, now, ())
            self._leg.owner.leg_lost(self._leg, now)


class Oks:
    """Our 200 to an INVITE, one at a time, until its ACK."""

    def __init__(self, leg: "Leg") -> None:
        self._leg = leg
        self._pending: tuple[bytes, int] | None = None  # our 200 and its CSeq number
        self._alarms: list[Alarm] = []

    def send(self, t: Transaction, body: bytes, now: float) -> None:
        """Answer an INVITE with 200 and wait for the ACK."""
        response: Response = self._leg.respond(t, 200, now, body)
        self.stop()
        self._pending = (serialise(response), t.request.cseq.number)
        self._alarms.append(self._leg.core.timers.at(now + GIVE_UP_S, self._leg.ack_never_came))
        self._again(t.peer, T1_S, now)

    def waits_for(self, cseq: int) -> bool:
        """Whether the 200 to that INVITE still lacks its ACK."""
        return self._pending is not None and self._pending[1] == cseq

    def stop(self) -> None:
        """The ACK is here, or nobody cares for it any more."""
        self._pending = None
        for alarm in self._alarms:
            alarm.cancel()
        self._alarms.clear()

    def _again(self, peer: Address, after_s: float, now: float) -> None:
        def ring(at: float) -> None:
            if self._pending is not None:
                self._leg.core.send(self._pending[0], peer)
                self._again(peer, min(2 * after_s, T2_S), at)

        self._alarms.append(self._leg.core.timers.at(now + after_s, ring))
