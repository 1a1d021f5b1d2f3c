"""A SIP endpoint on our own core, for the demo (citizen), the tests (seat phone) and the bench: one asyncio task-free object.

It registers with digest, calls, answers by a policy, plays ready-made G.711 payload bytes in 20 ms frames on a clock that does
not drift, keeps what it hears, puts on hold and hangs up. It makes no sound of its own and decodes nothing.
"""

import asyncio
import secrets
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from callqa.desk import Desk
from callqa.errors import CallqaError, ProtocolError
from callqa.sip.core import Core, UserAgentSettings
from callqa.sip.events import Address, MediaTerms
from callqa.sip.legs.leg import Leg, LegState
from callqa.sip.legs.transaction import Transaction
from callqa.sip.process.secrecy import Secrecy
from callqa.sip.wire.auth import answer_challenge, parse_challenge
from callqa.sip.wire.headers import Headers
from callqa.sip.wire.message import Request, Response, is_keepalive, parse_message
from callqa.sip.wire.sdes import Encryption
from callqa.sip.wire.sdp import Codecs, MediaDirection, Session, agreed_codecs, parse_sdp
from callqa.units import Channel

FRAME_BYTES = 160  # 20 ms of G.711
FRAME_S = 0.02
WIRE_KEPT = 200
CODECS: dict[str, tuple[int, str]] = {"PCMU": (0, "PCMU/8000"), "PCMA": (8, "PCMA/8000")}
EVENT_CODEC = (101, "telephone-event/8000")
SILENCE = {0: b"\xff", 8: b"\xd5"}
CodecName = Literal["PCMU", "PCMA"]


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


@dataclass(frozen=True, slots=True)
class HeardFrame:
    """One RTP packet as it came. at: loop time."""

    at: float
    sequence: int
    timestamp: int
    payload_type: int
    ssrc: int
    payload: bytes


class _Rtp(asyncio.DatagramProtocol):
    """RTP of one call: plays payload frames at exact multiples of 20 ms after the start, keeps what comes."""

    def __init__(self, keep: bool) -> None:
        self.heard: list[HeardFrame] = []
        self.heard_count = 0
        self.sent_count = 0
        self.began_at: float | None = None
        self._keep = keep
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._ssrc = secrets.randbits(32)
        self.remote: Address | None = None
        self.secrecy = Secrecy()
        self.wire: list[bytes] = []  # the first datagrams as they came
        self.on_played: Callable[[], None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if len(data) < 12 or data[0] >> 6 != 2:
            return
        if len(self.wire) < WIRE_KEPT:
            self.wire.append(data)
        self._hear(data, addr)

    def _hear(self, data: bytes, addr: Any) -> None:
        if self.secrecy.needed:
            plain = self.secrecy.unlock(data, addr, 0)
            if plain is None:
                return
            data = plain
        self.heard_count += 1
        if self._keep:
            _, kind, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
            payload = data[12 + 4 * (data[0] & 15) :]
            self.heard.append(HeardFrame(self._loop.time(), sequence, timestamp, kind & 0x7F, ssrc, payload))

    def agree(self, terms: MediaTerms) -> None:
        """Encrypt as agreed; what came before is heard now."""
        for data, source, _ in self.secrecy.agree(terms):
            self._hear(data, source)

    def play(self, payload: bytes, payload_type: int) -> None:
        """Start sending; the last frame is filled with silence."""
        start = self.began_at = self._loop.time()

        def send(n: int) -> None:
            frame = payload[n * FRAME_BYTES : (n + 1) * FRAME_BYTES]
            if not frame:
                self._handle = None
                if self.on_played is not None:
                    self.on_played()
                return
            frame = frame.ljust(FRAME_BYTES, SILENCE[payload_type])
            head = struct.pack(
                "!BBHII",
                0x80,
                payload_type | (0x80 if n == 0 else 0),
                n & 0xFFFF,
                n * FRAME_BYTES & 0xFFFFFFFF,
                self._ssrc,
            )
            if self._transport is not None and self.remote is not None:
                locked = self.secrecy.lock(head + frame)
                if locked is not None:
                    self._transport.sendto(locked, self.remote)
                self.sent_count += 1
            self._handle = self._loop.call_at(start + (n + 1) * FRAME_S, send, n + 1)

        send(0)

    def close(self) -> None:
        """Stop playing and free the port."""
        if self._handle is not None:
            self._handle.cancel()
        if self._transport is not None:
            self._transport.close()


class EndpointCall:
    """One call of an endpoint.

    answered: future, True when connected, False when it ended before. ended: future, who ended it: "remote", "local", "refused",
    "cancelled" or "lost". status: the SIP status of a refusal. played: future, done when the payload has been sent.
    """

    def __init__(self, endpoint: "Endpoint", rtp: _Rtp, payload: bytes, codec: CodecName) -> None:
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[bool] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self.ringing: asyncio.Future[bool] = loop.create_future()
        self.played: asyncio.Future[bool] = loop.create_future()
        self.status = 0
        self.request: Request | None = None  # the INVITE of an incoming call
        self.leg: Leg | None = None
        self.codec = codec
        self.payload = payload
        self.held_by_remote = False
        self._endpoint = endpoint
        self._rtp = rtp
        rtp.on_played = lambda: _settle(self.played, True)

    @property
    def heard(self) -> list[HeardFrame]:
        """Packets heard, in order of arrival (empty with keep_media=False)."""
        return self._rtp.heard

    @property
    def wire(self) -> list[bytes]:
        """The first RTP datagrams as they came, encrypted where the call is."""
        return self._rtp.wire

    @property
    def encrypted(self) -> bool:
        """Whether keys were agreed for this call."""
        return self.leg is not None and self.leg.terms.keys is not None

    @property
    def sent_count(self) -> int:
        """RTP packets sent."""
        return self._rtp.sent_count

    @property
    def began_at(self) -> float | None:
        """Loop time that frame 0 was due at; frame n is due 20 n ms later, even where the loop was late."""
        return self._rtp.began_at

    @property
    def heard_count(self) -> int:
        """RTP packets heard."""
        return self._rtp.heard_count

    def heard_payload(self) -> bytes:
        """Payload heard, in order of sequence number of arrival, telephone-events left out."""
        return b"".join(f.payload for f in self.heard if f.payload_type in SILENCE)

    def hang_up(self) -> None:
        """End the call: CANCEL, refusal or BYE."""
        if self.leg is not None:
            self.leg.end(self._endpoint.now)
            self._endpoint.flush()
        self._over("local")

    async def hold(self) -> int:
        """Put the other side on hold (a=sendonly); returns the status of the re-INVITE."""
        return await self._reinvite(MediaDirection.SENDONLY)

    async def unhold(self) -> int:
        """Take the other side back."""
        return await self._reinvite(MediaDirection.SENDRECV)

    async def _reinvite(self, direction: MediaDirection) -> int:
        leg, core = self.leg, self._endpoint.core
        if leg is None or leg.state is not LegState.CONFIRMED:
            raise CallqaError("通话没有接通，不能保持")
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def on_response(response: Response, source: Address, now: float) -> None:
            if response.status >= 200:
                if response.status < 300:
                    leg.acknowledge(leg.dialog, response.cseq.number)
                _settle(done, response.status)

        request = leg.dialog.request("INVITE", body=leg.sdp(leg.codecs, direction))
        hop = leg.dialog.next_hop
        core.transactions.request(
            request,
            hop,
            core.local(hop),
            self._endpoint.now,
            on_response=on_response,
            on_timeout=lambda _: _settle(done, 408),
        )
        self._endpoint.flush()
        return await done

    # -- what the leg tells -----------------------------------------------------------------------------------------

    def leg_provisional(self, leg: Leg, status: int, session: Session | None, now: float) -> None:
        self.status = status
        _settle(self.ringing, True)

    def leg_answered(self, leg: Leg, session: Session | None, now: float) -> None:
        agreed = agreed_codecs(leg.codecs, session) if session else ()
        if session is None or not agreed:
            leg.end(now)
            self._over("refused")
            return
        leg.codecs, leg.session = agreed, session
        self._connect()

    def leg_refused(self, leg: Leg, status: int, now: float) -> None:
        self.status = status
        self._over("refused")

    def leg_cancelled(self, leg: Leg, now: float) -> None:
        self._over("cancelled")

    def leg_media(self, leg: Leg, now: float) -> None:
        if leg.session is not None:
            self.held_by_remote = leg.session.held
            self._rtp.remote = leg.session.remote
            self._rtp.agree(leg.terms)

    def leg_ended(self, leg: Leg, now: float) -> None:
        self._over("remote")

    def leg_lost(self, leg: Leg, now: float) -> None:
        self._over("lost")

    def _connect(self) -> None:
        assert self.leg is not None and self.leg.session is not None
        self._rtp.remote = self.leg.session.remote
        self._rtp.agree(self.leg.terms)
        self.status = 200
        _settle(self.answered, True)
        self._rtp.play(self.payload, CODECS[self.codec][0])

    def _over(self, how: str) -> None:
        self._rtp.close()
        _settle(self.ringing, False)
        _settle(self.answered, False)
        _settle(self.played, False)
        _settle(self.ended, how)


def _settle(future: "asyncio.Future[Any]", value: object) -> None:
    if not future.done():
        future.set_result(value)


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
        self._refresh: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._register_cseq = 0
        self._register_call_id = secrets.token_hex(8)
        self._account: tuple[Address, str, str, int] | None = None
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
        for handle in (self._handle, self._refresh):
            if handle is not None:
                handle.cancel()
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
        status = await self._register(server, extension, password, expires_s)
        if status == 200 and expires_s:
            self._account = (server, extension, password, expires_s)
            self._refresh = self._loop.call_later(expires_s / 2, self._register_again)
        return status

    async def unregister(self) -> int:
        """Give the registration up."""
        if self._account is None:
            return 0
        server, extension, password, _ = self._account
        if self._refresh is not None:
            self._refresh.cancel()
        return await self._register(server, extension, password, 0)

    def _register_again(self) -> None:
        if self._account is not None:

            async def again(account: tuple[Address, str, str, int]) -> None:
                await self.register(*account)

            self._spawn(again(self._account))

    async def _register(self, server: Address, extension: str, password: str, expires_s: int) -> int:
        credentials: tuple[str, str] | None = None
        status = 408
        for _ in range(3):
            self._register_cseq += 1
            at = f"{server[0]}:{server[1]}"
            address = f"<sip:{extension}@{at}>"
            headers = Headers.of(
                ("Max-Forwards", "70"), ("From", f"{address};tag={secrets.token_hex(4)}"), ("To", address),
                ("Call-ID", self._register_call_id), ("CSeq", f"{self._register_cseq} REGISTER"),
                ("Contact", f"<sip:{extension}@{self.host}:{self.port}>"), ("Expires", str(expires_s)), credentials or ("Expires", None),
            )  # fmt: skip
            response = await self._ask(Request("REGISTER", f"sip:{at}", headers), server)
            if response is None:
                return 408
            status = response.status
            given = credentials is not None
            credentials = credentials_for(response, "REGISTER", f"sip:{at}", extension, password)
            stale = any("stale=true" in v for v in response.headers.all("WWW-Authenticate"))
            if credentials is None or (given and not stale):
                break
        return status

    async def options(self, server: Address) -> int:
        """Ask for OPTIONS; returns the status."""
        headers = Headers.of(
            ("Max-Forwards", "70"), ("From", f"<sip:{self.user}@{self.host}>;tag=o"), ("To", f"<sip:{server[0]}>"),
            ("Call-ID", secrets.token_hex(8)), ("CSeq", "1 OPTIONS"),
        )  # fmt: skip
        response = await self._ask(Request("OPTIONS", f"sip:{server[0]}:{server[1]}", headers), server)
        return response.status if response else 408

    async def _ask(self, request: Request, server: Address) -> Response | None:
        done: asyncio.Future[Response | None] = self._loop.create_future()

        def on_response(response: Response, source: Address, now: float) -> None:
            if response.status >= 200:
                _settle(done, response)

        self.core.transactions.request(
            request, server, self.address, self.now, on_response=on_response, on_timeout=lambda _: _settle(done, None)
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
            self.core, call, Channel.CITIZEN, call_port(call), target=f"sip:{number}@{at}", peer=server,
            caller=f"<sip:{user}@{self.host}:{self.port}>", called=f"<sip:{number}@{at}>", fields=tuple((headers or {}).items()),
        )  # fmt: skip
        leg.authorise = lambda response, request: credentials_for(
            response, request.method, request.uri, self.user, self._passwords.get(self.user, "")
        )
        leg.codecs = (CODECS[codec], EVENT_CODEC)
        leg.keyring.wanted = self.encryption
        call._rtp.agree(leg.terms)
        call.leg = leg
        leg.dial(leg.sdp(leg.codecs), self.now)
        self.flush()
        return call

    async def _new_call(self, payload: bytes, codec: CodecName) -> EndpointCall:
        _, rtp = await self._loop.create_datagram_endpoint(lambda: _Rtp(self._keep_media), local_addr=(self.host, 0))
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
        leg = Leg.incoming(self.core, call, Channel.AGENT, t, source, call_port(call))
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
            call._over("refused")
            return
        leg.accept(leg.sdp(leg.codecs, leg.direction_for(offer), offer), self.now)
        if offer is not None:
            call._connect()

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
            self._spawn(self._receive_invite(t, source))
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

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def call_port(call: EndpointCall) -> int:
    """The local RTP port of a call."""
    transport = call._rtp._transport
    assert transport is not None
    return int(transport.get_extra_info("sockname")[1])


def credentials_for(response: Response, method: str, uri: str, user: str, password: str) -> tuple[str, str] | None:
    """The Authorization field for a 401 or 407, with SHA-256 where that is offered; None for other responses."""
    names = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}
    if response.status not in names or not password:
        return None
    challenge_name, name = names[response.status]
    offered = {}
    for value in response.headers.all(challenge_name):
        try:
            challenge = parse_challenge(value)
        except ProtocolError:
            continue
        offered[challenge.algorithm] = challenge
    best = offered.get("SHA-256") or offered.get("MD5")
    if best is None:
        return None
    made = answer_challenge(best, method=method, uri=uri, user=user, password=password, cnonce=secrets.token_hex(8))
    return name, str(made)
