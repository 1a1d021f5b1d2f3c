"""A SIP endpoint on our own core, for the demo (citizen), the tests (seat phone) and the bench: one asyncio task-free object.

It registers with digest, calls, answers by a policy, plays ready-made G.711 payload bytes in 20 ms frames on a clock that does
not drift, keeps what it hears, puts on hold and hangs up. It makes no sound of its own and decodes nothing.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from callqa.demo.endpoint_call import CODECS, CodecName, EndpointCall, settle
from callqa.demo.endpoint_rtp import EndpointRtp
from callqa.demo.registration import Registration, credentials_for
from callqa.desk import Desk
from callqa.errors import ProtocolError
from callqa.sip.core import Core, UserAgentSettings
from callqa.sip.events import Address
from callqa.sip.legs.leg import Leg
from callqa.sip.legs.leg_owner import LegState
from callqa.sip.legs.transaction import Transaction
from callqa.sip.wire.headers import Headers
from callqa.sip.wire.message import Request, Response, is_keepalive, parse_message
from callqa.sip.wire.sdes import Encryption
from callqa.sip.wire.sdp import Codecs, parse_sdp
from callqa.units import Channel

EVENT_CODEC = (101, "telephone-event/8000")


@dataclass(frozen=True, slots=True)
class AutoAnswer:
    """Ring, answer after after_s, play payload. codec: the only one accepted. hang_up_after_s: counted from the answer."""

    after_s: float = 0.0
    payload: bytes = b""
    codec: CodecName = "PCMU"
    hang_up_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with a failure."""

    status: int = 486


@dataclass(frozen=True, slots=True)
class RingForever:
    """Ring until the caller gives up."""


Policy = AutoAnswer | Refuse | RingForever


class _NoPorts:
    def take(self) -> int | None:
        return None

    def give_back(self, port: int) -> None:
        return


class Endpoint(asyncio.DatagramProtocol):
    """A phone, or a citizen behind a trunk address. port 0 takes any. on_invite: policy for a call that comes in."""

    def __init__(
        self, host: str, port: int = 0, *, user: str = "citizen",
        on_invite: Callable[[Request], Policy] | None = None, keep_media: bool = True, encryption: Encryption = "off",
    ) -> None:  # fmt: skip
        """encryption: whether its own calls offer SDES-SRTP; calls to it are encrypted as they ask for it."""
        self.encryption: Encryption = encryption
        self.host = host
        self.port = port
        self.user = user
        self.on_invite = on_invite or (lambda _: Refuse(480))
        self.calls: list[EndpointCall] = []
        self.incoming: asyncio.Queue[EndpointCall] = asyncio.Queue()
        self.core: Core
        self._keep_media = keep_media
        self._transport: asyncio.DatagramTransport | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._registration = Registration(self)
        self._passwords: dict[str, str] = {}

    @property
    def now(self) -> float:
        return self._loop.time()

    @property
    def address(self) -> Address:
        """Where it receives SIP."""
        return (self.host, self.port)

    async def start(self) -> "Endpoint":
        """Open the socket."""
        self._loop = asyncio.get_running_loop()
        self._transport, _ = await self._loop.create_datagram_endpoint(lambda: self, local_addr=(self.host, self.port))
        self.port = self._transport.get_extra_info("sockname")[1]
        settings = UserAgentSettings(self.address, lambda _: self.host)
        self.core = Core(settings, Desk(number=0), _NoPorts(), lambda: "", lambda: secrets.token_hex(8))
        return self

    async def close(self) -> None:
        """Hang up everything and close; registrations are left to expire."""
        for call in self.calls:
            if not call.ended.done():
                call.hang_up()
        self._registration.forget()
        if self._handle is not None:
            self._handle.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._transport is not None:
            self._transport.close()
        await asyncio.sleep(0)

    # -- registering ------------------------------------------------------------------------------------------------

    async def register(self, server: Address, extension: str, password: str, expires_s: int = 600) -> int:
        """Register and keep registered; returns the final status."""
        self.user = extension
        self._passwords[extension] = password
        return await self._registration.begin(server, extension, password, expires_s)

    async def unregister(self) -> int:
        """Give the registration up; returns the final status."""
        return await self._registration.give_up()

    async def options(self, server: Address) -> int:
        """Ask for OPTIONS; returns the status."""
        headers = Headers.of(
            ("Max-Forwards", "70"), ("From", f"<sip:{self.user}@{self.host}>;tag=o"), ("To", f"<sip:{server[0]}>"),
            ("Call-ID", secrets.token_hex(8)), ("CSeq", "1 OPTIONS"),
        )  # fmt: skip
        response = await self.ask(Request("OPTIONS", f"sip:{server[0]}:{server[1]}", headers), server)
        return response.status if response else 408

    async def ask(self, request: Request, server: Address) -> Response | None:
        """The final response to a request outside of any call; None where none came."""
        done: asyncio.Future[Response | None] = self._loop.create_future()

        def on_response(response: Response, source: Address, now: float) -> None:
            if response.status >= 200:
                settle(done, response)

        self.core.transactions.request(
            request, server, self.address, self.now, on_response=on_response, on_timeout=lambda _: settle(done, None)
        )
        self.flush()
        return await done

    # -- calling ----------------------------------------------------------------------------------------------------

    async def call(
        self, server: Address, number: str, payload: bytes = b"", codec: CodecName = "PCMU",
        headers: Mapping[str, str] | None = None, *, caller: str = "",
    ) -> EndpointCall:  # fmt: skip
        """Send an INVITE for `number` to `server` and come back at once. caller: the number shown, else `user`."""
        call = await self._new_call(payload, codec)
        user = caller or self.user
        at = f"{server[0]}:{server[1]}"
        leg = Leg.outgoing(
            self.core, call, Channel.CITIZEN, call.rtp.port, target=f"sip:{number}@{at}", peer=server,
            caller=f"<sip:{user}@{self.host}:{self.port}>", called=f"<sip:{number}@{at}>", fields=tuple((headers or {}).items()),
        )  # fmt: skip
        leg.authorise = lambda response, request: credentials_for(
            response, request.method, request.uri, self.user, self._passwords.get(self.user, "")
        )
        leg.codecs = (CODECS[codec], EVENT_CODEC)
        leg.keyring.wanted = self.encryption
        call.rtp.agree(leg.terms)
        call.leg = leg
        leg.dial(leg.sdp(leg.codecs), self.now)
        self.flush()
        return call

    async def _new_call(self, payload: bytes, codec: CodecName) -> EndpointCall:
        _, rtp = await self._loop.create_datagram_endpoint(
            lambda: EndpointRtp(self._keep_media), local_addr=(self.host, 0)
        )
        call = EndpointCall(self, rtp, payload, codec)
        self.calls.append(call)
        return call

    async def _receive_invite(self, t: Transaction, source: Address) -> None:
        policy = self.on_invite(t.request)
        if isinstance(policy, Refuse):
            self.core.transactions.reply(t, policy.status, self.now, to_tag=secrets.token_hex(4))
            self.flush()
            return
        codec = policy.codec if isinstance(policy, AutoAnswer) else "PCMU"
        call = await self._new_call(policy.payload if isinstance(policy, AutoAnswer) else b"", codec)
        leg = Leg.incoming(self.core, call, Channel.AGENT, t, source, call.rtp.port)
        call.leg, call.request = leg, t.request
        self.incoming.put_nowait(call)
        leg.ring(180, b"", self.now)
        self.flush()
        if isinstance(policy, AutoAnswer):
            await asyncio.sleep(policy.after_s)
            self._answer(call, policy)
            self.flush()
            if policy.hang_up_after_s is not None and call.answered.done():
                await asyncio.sleep(policy.hang_up_after_s)
                call.hang_up()

    def _answer(self, call: EndpointCall, policy: AutoAnswer) -> None:
        leg = call.leg
        assert leg is not None and call.request is not None
        if leg.state is not LegState.EARLY:
            return
        offer = parse_sdp(call.request.body) if call.request.body else None
        wanted: Codecs = (CODECS[policy.codec], EVENT_CODEC)
        leg.session = offer
        leg.codecs = tuple(c for c in wanted if offer is None or c in offer.codecs)
        if CODECS[policy.codec] not in leg.codecs:
            leg.refuse(488, self.now)
            call.over("refused")
            return
        leg.accept(leg.sdp(leg.codecs, leg.direction_for(offer), offer), self.now)
        if offer is not None:
            call.connect()

    # -- the socket -------------------------------------------------------------------------------------------------

    def datagram_received(self, data: bytes, addr: Any) -> None:
        source = (str(addr[0]), int(addr[1]))
        if is_keepalive(data):
            return
        try:
            message = parse_message(data)
            if isinstance(message, Response):
                self.core.transactions.receive_response(message, source, self.now)
            else:
                self._receive_request(message, source)
        except ProtocolError:
            return
        self.flush()

    def _receive_request(self, request: Request, source: Address) -> None:
        core = self.core
        leg = core.legs.get((request.call_id, request.to_tag))
        if request.method == "ACK":
            if leg is not None:
                leg.receive_ack(request, self.now)
            core.transactions.receive_ack(request, self.now)
            return
        t = core.transactions.receive_request(request, source, self.now)
        if t is None:
            return
        if request.method == "CANCEL":
            invite = core.transactions.find_invite(request)
            core.transactions.reply(t, 200 if invite else 481, self.now, to_tag=secrets.token_hex(4))
            for leg in [x for x in core.legs.values() if invite is not None and x.invite is invite]:
                leg.receive_cancel(self.now)
        elif leg is not None:
            leg.receive(t, source, self.now)
        elif request.method == "INVITE" and not request.to_tag:
            self.spawn(self._receive_invite(t, source))
        else:
            core.transactions.reply(
                t, 200 if request.method == "OPTIONS" else 481, self.now, to_tag=secrets.token_hex(4)
            )

    def flush(self) -> None:
        """Send what the core has to send and set the next alarm."""
        out, self.core.outbox[:] = list(self.core.outbox), []
        for data, peer in out:
            if self._transport is not None and not self._transport.is_closing():
                self._transport.sendto(data, peer)
        if self._handle is not None:
            self._handle.cancel()
        deadline = self.core.timers.next_deadline()
        self._handle = self._loop.call_at(deadline, self._ring) if deadline is not None else None

    def _ring(self) -> None:
        self.core.timers.ring(self.now)
        self.flush()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Work that is ended when the endpoint closes."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
