"""The user agent of the recorder: datagrams and deadlines in, datagrams and events out; no socket, no clock.

Whoever speaks is let in or not (budget.py); what a request is for is in requests.py, what becomes of an INVITE in new_calls.py, the rest
in registrar.py, the roles of calls/ and recording/, and legs/.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from callqa.desk import Desk
from callqa.errors import ProtocolError
from callqa.sip.budget import SOURCES_MOST, Door, Standing
from callqa.sip.calls.bridge import BridgeCall
from callqa.sip.calls.call import CallView
from callqa.sip.calls.exchange import Exchange
from callqa.sip.calls.queue import Queue
from callqa.sip.calls.routing import Refusal, find_trunk
from callqa.sip.core import Core, PortPool, UserAgentSettings
from callqa.sip.events import Address, Event, HangupParty
from callqa.sip.new_calls import CallInProgress, NewCalls
from callqa.sip.registrar import Registrar, SavedBinding
from callqa.sip.requests import Requests
from callqa.sip.trunks import Trunks, TrunkView
from callqa.sip.wire.auth import DigestServer
from callqa.sip.wire.headers import plain
from callqa.sip.wire.hop import is_stream
from callqa.sip.wire.message import Response, is_keepalive, parse_message

__all__ = ["CallView", "PortPool", "SavedBinding", "SeatView", "UserAgent", "UserAgentSettings"]

_SERVED_AT_ONCE = 3  # serving may turn somebody away, which may free something
CLOSING = Refusal(503, "录音服务停止")


@dataclass(frozen=True, slots=True)
class SeatView:
    """A seat for the live board."""

    extension: str
    agent_no: str | None
    registered: bool
    contact: str
    busy: bool
    ringing: bool


class UserAgent:
    """One SIP user agent. `now` is monotonic seconds throughout.

    After every `receive`, `advance` or command: send `datagrams()`, handle `events()` in order, and call `advance` again at
    `next_deadline()`. garbage_count: datagrams that were no SIP message.
    """

    def __init__(
        self,
        settings: UserAgentSettings,
        desk: Desk,
        ports: PortPool,
        call_ids: Callable[[], str],
        tokens: Callable[[], str],
    ) -> None:
        self._core = Core(settings, desk, ports, call_ids, tokens)
        self._trunk_hosts: dict[str, bool] = {}  # by the present desk, for the hosts seen
        self._trunks = Trunks(self._core)
        self._door = Door(self._standing)
        self._registrar = Registrar(
            self._core,
            DigestServer(settings.nonce_secret or tokens().encode(), offered=settings.digest_algorithms),
            self._door,
        )
        self._calls: dict[str, CallInProgress] = {}
        self._exchange = Exchange(self._core, self._registrar, self._trunks, self._calls)
        self._queue = Queue(self._core, self._registrar.contacts, self._exchange.busy, self._trunks.is_up)
        self._new_calls = NewCalls(self._core, self._registrar, self._exchange, self._queue, self._calls)
        self._requests = Requests(self._core, self._registrar, self._new_calls)
        self.garbage_count = 0

    # -- the loop around it -----------------------------------------------------------------------------------------

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """Take one message. Nothing in it can raise. What a source sends beyond its budget is not even read."""
        if not self._door.admits(source, now):
            if self._door.is_news(source, now):
                self._core.fault(
                    now, f"来自 {source[0]} 的 SIP 消息过多，已限速；如果是自己的设备，请加进中继白名单", source
                )
            return
        if is_keepalive(data):
            return
        try:
            message = parse_message(data)
            if isinstance(message, Response):
                self._core.transactions.receive_response(message, source, now)
            else:
                self._requests.receive(message, source, now)
        except ProtocolError:
            self.garbage_count += 1
        self._serve_queue(now)

    def stream_opened(self, address: Address) -> None:
        """A connection with that far end is open."""
        self._core.streams.add(address)

    def stream_closed(self, address: Address, now: float) -> None:
        """A connection has closed, or could not be opened."""
        self._core.stream_closed(address, now)
        self._registrar.stream_closed(address)
        self._serve_queue(now)

    def acquaintances(self) -> Callable[[Address], bool]:
        """The test, as things stand, whether somebody who belongs here is at an address: a trunk (one that is only called,
        too), a registered phone, or whoever a call is with."""
        hosts = {trunk.host for trunk in self._core.desk.trunks}
        parties = {leg.dialog.observed for leg in self._core.legs.values() if is_stream(leg.dialog.observed)}

        def knows(address: Address) -> bool:
            return address in parties or address[0] in hosts or self._standing(address) is not Standing.STRANGER

        return knows

    def advance(self, now: float) -> None:
        """Do what is due by `now`."""
        self._core.timers.ring(now)
        self._serve_queue(now)

    def next_deadline(self) -> float | None:
        """When `advance` has something to do, or None."""
        return self._core.timers.next_deadline()

    def datagrams(self) -> list[tuple[bytes, Address]]:
        """Datagrams to send since the last call, in order."""
        out, self._core.outbox[:] = list(self._core.outbox), []
        return out

    def events(self) -> list[Event]:
        """What happened since the last call, in order."""
        out, self._core.happened[:] = list(self._core.happened), []
        return out

    # -- commands ---------------------------------------------------------------------------------------------------

    def set_desk(self, desk: Desk, now: float) -> None:
        """Use another desk; calls in progress go on."""
        self._new_calls.set_desk(desk)
        self._trunk_hosts.clear()
        self._trunks.set_desk(desk, now)
        self._registrar.keep_only(self._core.extensions, now)
        self._queue.touch()
        self._serve_queue(now)

    def hang_up(self, call_id: str, now: float, party: HangupParty = HangupParty.NETWORK) -> bool:
        """End a call in any state; False when there is none of that id."""
        call = self._calls.get(call_id)
        if call is not None:
            call.stop(now, party)
            self._serve_queue(now)
        return call is not None

    def prompt_over(self, call_id: str, prompt: str, now: float) -> None:
        """A prompt that was to be played once has been, or cannot be: the call goes on."""
        call = self._calls.get(call_id)
        if isinstance(call, BridgeCall):
            call.prompt_over(prompt, now)
            self._serve_queue(now)

    def shut_down(self, now: float) -> None:
        """End every call and take no more: whoever rings or talks is told, and each call has its end on record."""
        self._new_calls.closing = CLOSING
        for call in list(self._calls.values()):
            call.stop(now, HangupParty.NETWORK, CLOSING)

    def settled(self) -> bool:
        """Whether everybody has confirmed the end of his call."""
        return not self._calls and not self._core.legs and not self._core.transactions.asking

    def media_timeout(self, call_id: str, now: float) -> bool:
        """End a call whose media stopped on both sides."""
        return self.hang_up(call_id, now)

    def registrations(self, now: float, wall_ms: int) -> tuple[SavedBinding, ...]:
        """The registrations as JSON-able values; wall_ms: the wall time at `now`, UTC milliseconds."""
        return self._registrar.save(now, wall_ms)

    def restore_registrations(self, bindings: Iterable[SavedBinding], now: float, wall_ms: int) -> None:
        """Take back saved registrations that have not expired."""
        self._registrar.restore(bindings, now, wall_ms)

    def calls(self) -> tuple[CallView, ...]:
        """Calls in progress, oldest first."""
        return tuple(c.view() for c in self._calls.values())

    def seats(self) -> tuple[SeatView, ...]:
        """All seats of the desk."""
        contacts, busy = self._registrar.contacts(), self._exchange.busy()
        rung = {extension for call in self.calls() for extension in call.rung}
        return tuple(
            SeatView(
                s.extension,
                s.agent_no,
                s.extension in contacts,
                plain(contacts[s.extension][0].uri) if s.extension in contacts else "",
                s.extension in busy,
                s.extension in rung,
            )
            for s in self._core.desk.seats
        )

    def trunks(self) -> tuple[TrunkView, ...]:
        """All trunks of the desk."""
        return self._trunks.views()

    def idle(self) -> bool:
        """Whether no call, leg or transaction is left (registrations may be)."""
        return not self._calls and not self._core.legs and not len(self._core.transactions)

    # -- who speaks, who waits ---------------------------------------------------------------------------------------

    def _standing(self, source: Address) -> Standing:
        if self._registrar.seat_at(source) is not None:
            return Standing.PHONE
        known = self._trunk_hosts.get(source[0])
        if known is None:
            if len(self._trunk_hosts) > SOURCES_MOST:
                self._trunk_hosts.clear()
            known = self._trunk_hosts[source[0]] = find_trunk(self._core.desk, source[0]) is not None
        return Standing.TRUNK if known else Standing.STRANGER

    def _serve_queue(self, now: float) -> None:
        """Let callers who wait have what just became free. Everything that frees a seat, or mans one, is also an event."""
        for _ in range(_SERVED_AT_ONCE):
            if not self._queue.dirty and not self._core.happened:
                return
            self._queue.serve(now)
            if not self._queue.dirty:
                return
