"""A small network with a virtual clock: a UserAgent in the middle, phones and trunks around it, datagrams that can be lost."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from callqa.desk import Desk, DeskRouting, DeskSeat, DeskTrunk, DialRule
from callqa.errors import ProtocolError
from callqa.sip.core import Core, UserAgentSettings
from callqa.sip.events import Address, Event
from callqa.sip.legs.leg import Leg, LegState
from callqa.sip.legs.transaction import Transaction
from callqa.sip.useragent import UserAgent
from callqa.sip.wire.auth import answer_challenge, ha1, parse_challenge
from callqa.sip.wire.headers import Headers
from callqa.sip.wire.hop import is_stream, moved
from callqa.sip.wire.message import Message, Request, Response, parse_message
from callqa.sip.wire.sdp import OUR_CODECS, Codecs, MediaDirection, Session, agreed_codecs, parse_sdp
from callqa.units import Channel

UA: Address = ("10.0.0.1", 5060)
TRUNK: Address = ("10.0.1.1", 5060)
DELAY_S = 0.005
PASSWORD = "水务-8001"


def seat(extension: str, agent_no: str | None = "801") -> DeskSeat:
    md5, sha = (ha1(a, extension, "callqa", PASSWORD) for a in ("MD5", "SHA-256"))
    return DeskSeat(extension=extension, ha1_md5=md5, ha1_sha256=sha, agent_no=agent_no)


def desk(*seats: DeskSeat, number: int = 1, mode: str = "bridge", ring_timeout_s: int = 30) -> Desk:
    return Desk(
        number=number,
        seats=seats or (seat("8001", "801"), seat("8002", "802")),
        trunks=(DeskTrunk(name="运营商", addresses=(TRUNK[0],), host=TRUNK[0], port=TRUNK[1]),),
        dial_plan=(DialRule(pattern=r"1[3-9]\d{9}", trunk="运营商"),),
        routing=DeskRouting(inbound_mode=mode, ring_timeout_s=ring_timeout_s, hotline_number="02784770000"),  # type: ignore[arg-type]
    )


class Ports:
    """A pool that knows what is out."""

    def __init__(self, n: int = 100) -> None:
        self.free = [20000 + 2 * i for i in range(n)]
        self.out: set[int] = set()

    def take(self) -> int | None:
        if not self.free:
            return None
        port = self.free.pop(0)
        self.out.add(port)
        return port

    def give_back(self, port: int) -> None:
        self.out.remove(port)
        self.free.append(port)


def counter(prefix: str) -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"{prefix}{next(numbers)}"


class SimPhone:
    """A phone (or trunk) on the core, driven by hand: what it got is in `got`, its legs in `legs`, endings in `log`."""

    def __init__(self, net: "Network", address: Address, user: str) -> None:
        self.net = net
        self.address = address
        self.user = user
        self.server = moved(address, *UA)
        settings = UserAgentSettings(address, lambda _: address[0], tcp_port=address[1], tls_port=address[1])
        self.core = Core(settings, Desk(number=0), Ports(), counter("x"), counter(f"{user}-"))
        self.got: list[Message] = []
        self.legs: list[Leg] = []
        self.log: list[str] = []
        self.codecs: Codecs = OUR_CODECS
        self.rings = True
        self.status: dict[Leg, int] = {}
        self.answers: list[Response] = []
        self.notified: list[Request] = []
        self.notify_status = 200
        self._cseq = 0
        net.add(self)

    # network side
    def receive(self, data: bytes, source: Address, now: float) -> None:
        message = parse_message(data)
        self.got.append(message)
        core = self.core
        if isinstance(message, Response):
            core.transactions.receive_response(message, source, now)
            return
        leg = core.legs.get((message.call_id, message.to_tag))
        if message.method == "ACK":
            if leg is not None:
                leg.receive_ack(message, now)
            core.transactions.receive_ack(message, now)
            return
        t = core.transactions.receive_request(message, source, now)
        if t is None:
            return
        if message.method == "CANCEL":
            invite = core.transactions.find_invite(message)
            core.transactions.reply(t, 200 if invite else 481, now, to_tag="c")
            for x in [x for x in core.legs.values() if invite is not None and x.invite is invite]:
                x.receive_cancel(now)
        elif leg is not None:
            if self.lets_ask(t, now):
                leg.receive(t, source, now)
        elif message.method == "INVITE":
            self._invited(t, source, now)
        else:
            self.asked(t, now)

    def lets_ask(self, t: Transaction, now: float) -> bool:
        """Whether a request inside a dialog is taken; else it has been answered."""
        return True

    def asked(self, t: Transaction, now: float) -> None:
        """A request outside any dialog that is no call."""
        self.core.transactions.reply(t, 481, now, to_tag="u")

    def _invited(self, t: Transaction, source: Address, now: float) -> None:
        leg = Leg.incoming(self.core, self, Channel.AGENT, t, source, 30000)
        leg.session = parse_sdp(t.request.body) if t.request.body else None
        leg.on_request = self._asked_in_dialog
        self.legs.append(leg)
        if self.rings:
            leg.ring(180, b"", now)

    def _asked_in_dialog(self, leg: Leg, t: Transaction, now: float) -> bool:
        if t.request.method != "NOTIFY":
            return False
        self.notified.append(t.request)
        self.core.transactions.reply(t, self.notify_status, now)
        return True

    @property
    def told(self) -> list[str]:
        """The status lines of the NOTIFYs so far."""
        return [r.body.decode().strip().removeprefix("SIP/2.0 ") for r in self.notified]

    # actions
    def within(
        self, leg: Leg, method: str, *fields: tuple[str, str | None], body: bytes = b"", content_type: str = ""
    ) -> None:
        """A request inside a dialog; its final answer comes into `answers`."""
        request = leg.dialog.request(method, fields=fields, body=body, content_type=content_type)

        def on_response(response: Response, source: Address, now: float) -> None:
            self.answers.append(response)

        hop = leg.dialog.next_hop
        self.core.transactions.request(request, hop, self.address, self.net.now, on_response=on_response)
        self.net.flush()

    def refer(self, leg: Leg, number: str, *fields: tuple[str, str | None]) -> None:
        """Ask for a blind transfer."""
        self.within(leg, "REFER", ("Refer-To", f"<sip:{number}@{UA[0]}>"), *fields)

    def refer_to_dialog(self, leg: Leg, other: Leg, number: str) -> None:
        """Ask for the far ends of two calls to be joined."""
        d = other.dialog
        call_id = d.call_id.replace("@", "%40")
        early = next(
            (r.to_tag for r in reversed(self.responses("INVITE")) if r.headers.first("Call-ID") == d.call_id), ""
        )
        named = f"{call_id}%3Bto-tag%3D{d.remote_tag or early}%3Bfrom-tag%3D{d.local_tag}"
        self.within(leg, "REFER", ("Refer-To", f"<sip:{number}@{UA[0]}?Replaces={named}>"))

    def answer(self, leg: Leg | None = None, codecs: Codecs | None = None) -> None:
        leg = leg or self.legs[-1]
        offer = leg.session
        leg.codecs = tuple(c for c in (codecs or self.codecs) if offer is None or c in offer.codecs) or (codecs or ())
        leg.accept(leg.sdp(leg.codecs, leg.direction_for(offer), offer), self.net.now)
        self.net.flush()

    def refuse(self, status: int) -> None:
        self.legs[-1].refuse(status, self.net.now)
        self.net.flush()

    def call(
        self,
        number: str,
        *fields: tuple[str, str],
        codecs: Codecs | None = None,
        sdp: bytes | None = None,
        uri: str = "",
    ) -> Leg:
        leg = Leg.outgoing(
            self.core, self, Channel.CITIZEN, 31000, target=uri or f"sip:{number}@{UA[0]}", peer=self.server,
            caller=f"<sip:{self.user}@{self.address[0]}>", called=f"<sip:{number}@{UA[0]}>", fields=fields,
        )  # fmt: skip
        leg.codecs = codecs or self.codecs
        leg.on_request = self._asked_in_dialog
        leg.authorise = lambda response, request: self.credentials(response, request.method, request.uri)
        self.legs.append(leg)
        leg.dial(leg.sdp(leg.codecs) if sdp is None else sdp, self.net.now)
        self.net.flush()
        return leg

    def hang_up(self, leg: Leg | None = None) -> None:
        (leg or self.legs[-1]).end(self.net.now)
        self.net.flush()

    def reinvite(
        self, direction: MediaDirection, leg: Leg | None = None, method: str = "INVITE", codecs: Codecs | None = None
    ) -> None:
        leg = leg or self.legs[-1]
        body = leg.sdp(codecs or leg.codecs, direction)
        request = leg.dialog.request(method, body=body)

        def on_response(response: Response, source: Address, now: float) -> None:
            self.answers.append(response)
            if response.status == 200 and method == "INVITE":
                leg.acknowledge(leg.dialog, response.cseq.number)

        self.core.transactions.request(request, self.server, self.address, self.net.now, on_response=on_response)
        self.net.flush()

    def ask(
        self, method: str, *fields: tuple[str, str | None], uri: str = "", to: str = "", call_id: str = ""
    ) -> Transaction:
        """A request outside any dialog of ours; its answers come into `answers`."""
        self._cseq += 1
        headers = Headers.of(
            ("Max-Forwards", "70"), ("From", f"<sip:{self.user}@{self.address[0]}>;tag=f{self._cseq}"),
            ("To", to or f"<sip:{self.user}@{UA[0]}>"), ("Call-ID", call_id or f"{self.user}-ask-{self.address[0]}"),
            ("CSeq", f"{self._cseq} {method}"), *fields,
        )  # fmt: skip
        names = [n for n, _ in fields]
        if "Max-Forwards" in names:
            headers = headers.replaced("Max-Forwards", dict(fields)["Max-Forwards"] or "")
        request = Request(method, uri or f"sip:{UA[0]}", headers)
        t = self.core.transactions.request(
            request, self.server, self.address, self.net.now, on_response=lambda r, _s, _n: self.answers.append(r)
        )
        self.net.flush()
        return t

    def register(
        self, expires_s: int = 600, password: str = PASSWORD, contact: str = "", algorithm: str = "MD5"
    ) -> int:
        """Register with digest and run the network until answered; returns the last status."""
        fields = (
            ("Contact", contact or f"<sip:{self.user}@{self.address[0]}:{self.address[1]}>"),
            ("Expires", str(expires_s)),
        )
        self.ask("REGISTER", *fields)
        self.net.run(0.1)
        found = self.credentials(self.answers[-1], "REGISTER", f"sip:{UA[0]}", password, algorithm)
        if found is None:
            return self.answers[-1].status
        self.ask("REGISTER", *fields, found)
        self.net.run(0.1)
        return self.answers[-1].status

    def credentials(
        self, response: Response, method: str, uri: str, password: str = PASSWORD, algorithm: str = "MD5"
    ) -> tuple[str, str] | None:
        for value in response.headers.all("WWW-Authenticate"):
            challenge = parse_challenge(value)
            if challenge.algorithm == algorithm:
                made = answer_challenge(
                    challenge, method=method, uri=uri, user=self.user, password=password, cnonce="c0ffee"
                )
                return "Authorization", str(made)
        return None

    # owner of its legs
    def leg_provisional(self, leg: Leg, status: int, session: Session | None, now: float) -> None:
        self.log.append(f"{status}{' sdp' if session else ''}")

    def leg_answered(self, leg: Leg, session: Session | None, now: float) -> None:
        leg.session = session
        leg.codecs = agreed_codecs(leg.codecs, session) if session else ()
        self.log.append("answered")

    def leg_refused(self, leg: Leg, status: int, now: float) -> None:
        self.log.append(f"refused {status}")

    def leg_cancelled(self, leg: Leg, now: float) -> None:
        self.log.append("cancelled")

    def leg_media(self, leg: Leg, now: float) -> None:
        self.log.append("media")

    def leg_ended(self, leg: Leg, now: float) -> None:
        self.log.append("ended")

    def leg_lost(self, leg: Leg, now: float) -> None:
        self.log.append("lost")

    def requests(self, method: str) -> list[Request]:
        return [m for m in self.got if isinstance(m, Request) and m.method == method]

    def responses(self, method: str) -> list[Response]:
        return [m for m in self.got if isinstance(m, Response) and m.cseq.method == method]


@dataclass
class Network:
    """The virtual wire. lose: predicate over (data, from, to) of datagrams that vanish. wire: everything that was sent."""

    desk: Desk = field(default_factory=desk)
    now: float = 1000.0
    ports: Ports = field(default_factory=Ports)
    events: list[Event] = field(default_factory=list)
    wire: list[tuple[float, bytes, Address, Address]] = field(default_factory=list)
    lose: Callable[[bytes, Address, Address], bool] = lambda data, a, b: False
    digest: tuple[str, ...] = ("MD5",)  # as it is by default

    def __post_init__(self) -> None:
        settings = UserAgentSettings(UA, lambda _: UA[0], b"secret", self.digest, tcp_port=5060, tls_port=5061)
        self.ua = UserAgent(settings, self.desk, self.ports, counter("CALL-"), counter("ua"))
        self.phones: dict[Address, SimPhone] = {}
        self._flying: list[tuple[float, int, bytes, Address, Address]] = []
        self._n = itertools.count()
        self.open: set[Address] = set()

    def close(self, address: Address) -> None:
        """A connection breaks."""
        self.open.discard(address)
        self.ua.stream_closed(address, self.now)
        self.flush()

    def add(self, phone: SimPhone) -> None:
        self.phones[phone.address] = phone

    def inject(self, data: bytes, source: Address) -> None:
        """A datagram for the user agent from anywhere."""
        heapq.heappush(self._flying, (self.now + DELAY_S, next(self._n), data, source, UA))

    def inject_via(self, source: Address, via: bytes) -> None:
        """An OPTIONS from anywhere with that Via."""
        self.inject(
            b"OPTIONS sip:10.0.0.1 SIP/2.0\r\nVia: " + via + b"\r\nFrom: <sip:x@h>;tag=1\r\nTo: <sip:h>\r\n"
            b"Call-ID: " + via[-8:] + b"\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\r\n",
            source,
        )

    def flush(self) -> None:
        """Put what everybody wants to send on the wire."""
        for source, out in [(UA, self.ua.datagrams()), *((a, self._drain(p)) for a, p in self.phones.items())]:
            for data, to in out:
                self.wire.append((self.now, data, source, to))
                if not self.lose(data, source, to):
                    seen = moved(to, *UA) if source == UA else source
                    heapq.heappush(self._flying, (self.now + DELAY_S, next(self._n), data, seen, to))
        self.events += self.ua.events()

    @staticmethod
    def _drain(phone: SimPhone) -> list[tuple[bytes, Address]]:
        out, phone.core.outbox[:] = list(phone.core.outbox), []
        return out

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        self.flush()
        while True:
            due = [
                d
                for d in (self.ua.next_deadline(), *(p.core.timers.next_deadline() for p in self.phones.values()))
                if d is not None
            ]
            due += [self._flying[0][0]] if self._flying else []
            when = min(due, default=end + 1)
            if when > end:
                break
            self.now = max(self.now, when)
            while self._flying and self._flying[0][0] <= self.now:
                _, _, data, source, to = heapq.heappop(self._flying)
                if tuple(to) == UA:
                    if is_stream(source) and source not in self.open:
                        self.open.add(source)
                        self.ua.stream_opened(source)
                    self.ua.receive(data, source, self.now)
                elif to in self.phones:
                    self.phones[to].receive(data, source, self.now)
                self.flush()
            self.ua.advance(self.now)
            for phone in self.phones.values():
                phone.core.timers.ring(self.now)
            self.flush()
        self.now = end

    def of(self, kind: type[Event]) -> list[Event]:  # type: ignore[valid-type]
        """Events of one kind."""
        return [e for e in self.events if isinstance(e, kind)]

    def names(self) -> list[str]:
        """Names of the events so far, registrations left out."""
        return [type(e).__name__ for e in self.events if not type(e).__name__.startswith("Seat")]

    def settle(self) -> None:
        """Let every timer run out and check that nothing is left behind."""
        self.run(200)
        assert self.ua.idle(), "something is left in the user agent"
        assert not self.ports.out, f"ports {self.ports.out} were not given back"


def ringing_hotline(net: Network, *extensions: str) -> tuple[SimPhone, list[SimPhone]]:
    """A trunk and registered phones around the user agent."""
    phones = [SimPhone(net, (f"10.0.2.{i}", 5060), e) for i, e in enumerate(extensions or ("8001", "8002"), 1)]
    for phone in phones:
        assert phone.register() == 200
    return SimPhone(net, TRUNK, "13871206358"), phones


def readable(data: bytes) -> bool:
    try:
        parse_message(data)
    except ProtocolError:
        return False
    return True


__all__ = [
    "DELAY_S",
    "TRUNK",
    "UA",
    "LegState",
    "Network",
    "Ports",
    "SimPhone",
    "desk",
    "readable",
    "ringing_hotline",
    "seat",
]
