"""What the roles of the user agent share: transactions, timers, dialogs, events to report, datagrams to send.

Holds no rule about calls; those are in leg.py (one dialog), call.py, answer.py and bridge.py (one call).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from callqa.desk import Desk
from callqa.sip.events import Address, Event, SipFault
from callqa.sip.legs.dialog import DialogId
from callqa.sip.legs.timers import Timers
from callqa.sip.legs.transaction import Transactions
from callqa.sip.wire.headers import plain
from callqa.sip.wire.hop import Transport, hop, is_stream, transport_of

if TYPE_CHECKING:
    from callqa.sip.legs.leg import Leg

ALLOW = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "INFO", "UPDATE", "PRACK", "REFER")
FAULT_EVERY_S = 10.0  # the same fault from the same address is told once in so long
FAULTS_MOST = 1_000
ENDED_MOST = 500  # dialogs remembered after their end
SERVER = "callqa"


class PortPool(Protocol):
    """Free RTP ports. take() gives an even one, or None when all are in use."""

    def take(self) -> int | None: ...

    def give_back(self, port: int) -> None: ...


@dataclass(frozen=True, slots=True)
class UserAgentSettings:
    """listen: where the process receives SIP. host_for: our IP address as the peer at a given IP address reaches it.

    tcp_port, tls_port: where it takes streams; 0 = it does not.

    nonce_secret: random bytes for digest nonces; b"" lets the user agent draw from its tokens.
    digest_algorithms: what phones are challenged with, the first preferred. Only MD5 unless set: SIPp 3.6 reads just the first challenge, and
    phones on libre 1.x (baresip 1.0, tried 2026-11-22) give up at any challenge with SHA-256 in it.
    """

    listen: Address
    host_for: Callable[[str], str]
    nonce_secret: bytes = b""
    digest_algorithms: tuple[str, ...] = ("MD5",)
    tcp_port: int = 0
    tls_port: int = 0


class Core:
    """Shared state of one user agent. tokens: unguessable text for tags and branches; call_ids: our call_id."""

    def __init__(
        self,
        settings: UserAgentSettings,
        desk: Desk,
        ports: PortPool,
        call_ids: Callable[[], str],
        tokens: Callable[[], str],
    ) -> None:
        self.settings = settings
        self.set_desk(desk)
        self.ports = ports
        self.call_ids = call_ids
        self.tokens = tokens
        self.timers = Timers()
        self.outbox: list[tuple[bytes, Address]] = []
        self.happened: list[Event] = []
        self.legs: dict[DialogId, Leg] = {}
        self._ended: dict[DialogId, frozenset[str]] = {}  # dialogs that are over -> the tags of the peer
        self.streams: set[Address] = set()  # far ends of open connections
        self.aliases: dict[Address, Address] = {}  # what a peer says it is reached at -> the connection it opened
        self.transactions = Transactions(self.send, tokens, self.timers, self._stream_to)
        self.service_routes: Callable[[str], tuple[str, ...]] = lambda trunk: ()  # set by trunks.py
        self.clear_keys: set[str] = set()  # hosts of whom it was told that their keys came in the clear
        self._told: dict[tuple[str, str], float] = {}

    def forget(self, leg: "Leg") -> None:
        """A leg is over; its dialog is still known by name, as one that was."""
        if self.legs.pop(leg.dialog.key, None) is not None:
            self._ended[leg.dialog.key] = leg.remote_tags
            if len(self._ended) > ENDED_MOST:
                del self._ended[next(iter(self._ended))]

    def has_ended(self, call_id: str, ours: str, theirs: str) -> bool:
        """Whether a dialog of that name was ours, not long ago."""
        return theirs in self._ended.get((call_id, ours), frozenset())

    def set_desk(self, desk: Desk) -> None:
        """Use this desk from now on."""
        self.desk = desk
        self.extensions = frozenset(seat.extension for seat in desk.seats)

    def send(self, data: bytes, peer: Address) -> None:
        """Put a datagram into the outbox."""
        self.outbox.append((data, self.aliases.get(peer, peer)))

    def emit(self, event: Event) -> None:
        """Report an event."""
        self.happened.append(event)

    def local(self, peer: Address) -> Address:
        """Our address as that peer reaches it, by the transport it is reached by."""
        s, transport = self.settings, transport_of(peer)
        ports = {Transport.UDP: s.listen[1], Transport.TCP: s.tcp_port, Transport.TLS: s.tls_port}
        return hop(s.host_for(peer[0]), ports[transport] or s.listen[1], transport)

    def uri(self, peer: Address, user: str = SERVER) -> str:
        """Our SIP URI as that peer reaches us."""
        host, port = self.local(peer)
        transport = f";transport={transport_of(peer).lower()}" if is_stream(peer) else ""
        return f"sip:{user}@{f'[{host}]' if ':' in host else host}:{port}{transport}"

    def stream_closed(self, address: Address, now: float) -> None:
        """A connection is gone: whoever was reached by it is reached at his Contact, if at all."""
        self.streams.discard(address)
        for name in [name for name, to in self.aliases.items() if to == address]:
            del self.aliases[name]
        for leg in list(self.legs.values()):
            if leg.dialog.observed == address:
                leg.dialog.connection_closed()
        self.transactions.lost(address, now)

    def _stream_to(self, peer: Address) -> tuple[Address, Address] | None:
        for transport in (Transport.TLS, Transport.TCP):
            far = hop(*peer, transport)
            if far in self.streams or far in self.aliases:
                return far, self.local(far)
        return None

    def fault(self, now: float, text: str, source: Address | None = None, call_id: str | None = None) -> None:
        """Report a fault, the same text from the same host at most once in FAULT_EVERY_S."""
        text = plain(text)  # it may quote the peer
        key = (text, source[0] if source else "")
        if now - self._told.get(key, now - FAULT_EVERY_S) < FAULT_EVERY_S:
            return
        self._told.pop(key, None)
        self._told[key] = now
        if len(self._told) > FAULTS_MOST:
            del self._told[next(iter(self._told))]
        self.emit(SipFault(now, text, source, call_id))
