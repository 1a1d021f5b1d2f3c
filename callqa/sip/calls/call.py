"""What every call has, whatever its role: its facts, its media events, its end. Ports go back when it is over."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from callqa.sip.calls.routing import Refusal, addresses_around
from callqa.sip.core import Core
from callqa.sip.events import (
    NOT_WAITED,
    Address,
    CallAbandoned,
    CallAnswered,
    CallEnded,
    CallMode,
    CallStarted,
    CallUnanswered,
    HangupParty,
    MediaChanged,
    MediaClosed,
    MediaOpened,
    MediaTerms,
    Waited,
)
from callqa.sip.legs.leg import Leg
from callqa.sip.wire.headers import plain
from callqa.sip.wire.hop import Transport, transport_of
from callqa.sip.wire.message import Request
from callqa.sip.wire.sdp import Codecs
from callqa.units import Channel, Direction

STOPPED = Refusal(487, "系统结束呼叫")
CLEAR_KEYS_MOST = 1_000  # peers told of
Told = tuple[Codecs, Address | None, bool, MediaTerms]  # of a leg: codecs, remote, held, terms
HINT_MOST_CHARS = 256  # X-Ticket-Id and User-to-User: longer ones are cut


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of a call when its first INVITE is taken."""

    mode: CallMode
    direction: Direction
    from_number: str
    to_number: str
    seat_extension: str | None = None
    withheld: bool = False
    diverted_from: str = ""
    forwards: int = 70  # Max-Forwards of its INVITE


@dataclass(frozen=True, slots=True)
class CallView:
    """A call for the live board. since: when it entered this state. number: the citizen's."""

    call_id: str
    direction: Direction
    state: str  # ringing, queued, talking, held
    number: str
    seat_extension: str | None
    since: float
    position: int | None = None  # in the queue, 1 = next
    mode: CallMode = CallMode.BRIDGE
    rung: tuple[str, ...] = ()  # extensions whose phones ring for it now


def hint(request: Request, name: str) -> str | None:
    """A header that is kept with the call and passed on."""
    value = request.headers.first(name)
    return plain(value[:HINT_MOST_CHARS]) if value else None


class Call:
    """Base of the roles. on_over: called once, when the user agent may forget the call."""

    def __init__(self, core: Core, facts: CallFacts, invite: Request, on_over: Callable[["Call"], None]) -> None:
        self.core = core
        self.facts = facts
        self.call_id = core.call_ids()
        self.seat_extension = facts.seat_extension
        self.ticket_hint = hint(invite, "X-Ticket-Id")
        self.user_to_user = hint(invite, "User-to-User")
        self.sip_call_id = plain(invite.call_id)
        self.answered = False
        self.over = False
        self.begun = 0.0
        self.since = 0.0
        self._on_over = on_over
        self._ports: list[int] = []
        self._told: dict[Channel, Told] = {}

    def begin(self, now: float) -> None:
        """Report the call."""
        self.begun = self.since = now
        f = self.facts
        self.core.emit(
            CallStarted(
                self.call_id, now, f.mode, f.direction, f.from_number, f.to_number, self.sip_call_id,
                f.seat_extension, self.ticket_hint, self.user_to_user, f.withheld, f.diverted_from,
            )
        )  # fmt: skip

    def take_ports(self, n: int) -> list[int] | None:
        """n RTP ports, or None (and none kept) when the pool is empty."""
        for _ in range(n):
            port = self.core.ports.take()
            if port is None:
                return None
            self._ports.append(port)
        return self._ports

    def take_port(self) -> int | None:
        """One more RTP port, or None when the pool is empty."""
        port = self.core.ports.take()
        if port is not None:
            self._ports.append(port)
        return port

    def release_port(self, port: int) -> None:
        """Give one port back before the call is over."""
        if port in self._ports:
            self._ports.remove(port)
            self.core.ports.give_back(port)

    def open_media(self, leg: Leg, now: float) -> None:
        """Report a leg's port with the codecs offered or agreed."""
        remote = leg.session.remote if leg.session else None
        self._told[leg.channel] = (leg.codecs, remote, False, leg.terms)
        self._warn_of_clear_keys(leg, now)
        host = leg.dialog.observed[0]
        around = addresses_around(self.core.desk, host)
        self.core.emit(
            MediaOpened(
                self.call_id, now, leg.channel, leg.local_port, leg.codecs, remote, host,
                terms=leg.terms, trunk_addresses=around,
            )
        )  # fmt: skip

    def change_media(self, leg: Leg, now: float) -> None:
        """Report a leg's media when anything in it differs from what was last reported."""
        if self.over or leg.session is None:
            return
        told = (leg.codecs, leg.session.remote, leg.session.held, leg.terms)
        before = self._told.get(leg.channel)
        if told != before:
            self._told[leg.channel] = told
            self._warn_of_clear_keys(leg, now)
            if before is not None and told[2] != before[2]:
                self.since = now
            self._emit_change(leg, told, now)

    def _warn_of_clear_keys(self, leg: Leg, now: float) -> None:
        """Keys that came over signalling which anybody may read protect nothing: said once for each peer."""
        host = leg.dialog.observed[0]
        if leg.terms.keys is None or transport_of(leg.dialog.observed) is Transport.TLS:
            return
        if host not in self.core.clear_keys and len(self.core.clear_keys) < CLEAR_KEYS_MOST:
            self.core.clear_keys.add(host)
            text = f"{host} 的媒体已加密，但密钥随没有加密的信令传来，能抓包的人就能听；请把它的信令传输改成 TLS"
            self.core.fault(now, text, leg.dialog.observed, self.call_id)

    def side_away(self, leg: Leg, now: float) -> None:
        """Report that nobody is at one side until somebody takes its place: the other is as if on hold."""
        told = (leg.codecs, None, True, leg.terms)
        if self._told.get(leg.channel) != told:
            self._told[leg.channel] = told
            self.since = now
            self._emit_change(leg, told, now)

    def _emit_change(self, leg: Leg, told: Told, now: float) -> None:
        host = leg.dialog.observed[0]
        around = addresses_around(self.core.desk, host)
        self.core.emit(
            MediaChanged(self.call_id, now, leg.channel, *told[:3], host, terms=told[3], trunk_addresses=around)
        )

    def is_held_by(self, channel: Channel) -> bool:
        """Whether that side put the call on hold."""
        return channel in self._told and self._told[channel][2]

    def connected(self, now: float, sip_call_ids: tuple[str, ...]) -> None:
        """Report the answer."""
        self.answered, self.since = True, now
        self.core.emit(CallAnswered(self.call_id, now, self.seat_extension, sip_call_ids, self.waited(now)))

    def waited(self, now: float) -> Waited:
        """What the caller went through until now; only in a role that lets callers wait."""
        return NOT_WAITED

    def finish(self, event: CallEnded | CallUnanswered | CallAbandoned, now: float) -> None:
        """Report the end, give the ports back, let go; only the first time."""
        if self.over:
            return
        self.over, self.since = True, now
        self.core.emit(event if isinstance(event, CallEnded) else replace(event, waited=self.waited(now)))
        self.core.emit(MediaClosed(self.call_id, now))
        for port in self._ports:
            self.core.ports.give_back(port)
        self._on_over(self)

    def stop(self, now: float, party: HangupParty, refusal: Refusal = STOPPED) -> None:
        """End the call from our side, in whatever state it is. refusal: what a caller is told who still waits."""
        if self.answered:
            self.hang_up_legs(now)
            self.finish(CallEnded(self.call_id, now, party), now)
        else:
            self.turn_away(refusal, now)
            self.hang_up_legs(now)
            self.finish(CallUnanswered(self.call_id, now, refusal.reason, refusal.status), now)

    def turn_away(self, refusal: Refusal, now: float) -> None:
        """Refuse the caller; only in a role that lets callers wait."""

    def hang_up_legs(self, now: float) -> None:
        """End every leg; each role knows its own."""
        raise NotImplementedError

    def view(self) -> CallView:
        """How the live board shows it."""
        held = any(told[2] for told in self._told.values())
        f = self.facts
        state = ("held" if held else "talking") if self.answered else "ringing"
        number = f.from_number if f.direction is Direction.INBOUND else f.to_number
        return CallView(self.call_id, f.direction, state, number, self.seat_extension, self.since, mode=f.mode)
