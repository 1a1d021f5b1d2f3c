"""SIP transactions over UDP, TCP and TLS: whatever transaction_table.py says, done.

A 2xx to INVITE and its ACK belong to the user of the transaction (leg_called.py, leg_calling.py): here they only pass.
Server transactions are matched by branch, sent-by, CSeq number and method: the CSeq number is ours, because
pyVoIP sends its authenticated INVITE with the branch of the refused one.
A request too large for a datagram goes over a stream where `larger` knows one to that peer (RFC 3261 §18.1.1).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from callqa.sip.events import Address
from callqa.sip.legs.timers import Alarm, Timers
from callqa.sip.legs.transaction_table import AT_ONCE_OVER_STREAMS, GIVE_UP_S, TABLE, TIMERS, Do, Kind, On, State
from callqa.sip.wire.headers import Headers
from callqa.sip.wire.hop import is_stream, transport_of
from callqa.sip.wire.message import Request, Response, reply, serialise

BRANCH_COOKIE = "z9hG4bK"
DATAGRAM_SAFE_BYTES = 1300  # RFC 3261 §18.1.1: larger requests may be cut into fragments that NATs drop


Key = tuple[str, ...]


@dataclass(slots=True, eq=False)
class Transaction:
    """One transaction. peer: where its messages go. last: the request (client) or the last response (server)."""

    kind: Kind
    state: State
    key: Key
    request: Request
    peer: Address
    last: bytes = b""
    on_response: Callable[[Response, Address, float], None] | None = None
    on_timeout: Callable[[float], None] | None = None
    on_ack: Callable[[Request, float], None] | None = None
    cancelled: bool = False
    cancel_reason: str = ""
    alarms: list[Alarm] = field(default_factory=list)
    started: float = 0.0


def reply_address(request: Request, source: Address) -> Address:
    """RFC 3261 §18.2.2 with RFC 3581: back on the connection; over UDP back to the source address, its port where the
    Via has rport, else the Via's."""
    if is_stream(source):
        return source
    via = request.via
    return source if any(n == "rport" for n, _ in via.params) else (source[0], via.port or 5060)


def with_received(request: Request, source: Address) -> Request:
    """The request with received and rport filled into its top Via."""
    via = request.via
    rport = any(n == "rport" for n, _ in via.params)
    if not rport and via.host == source[0]:
        return request
    params = tuple((n, v) for n, v in via.params if n not in ("rport", "received"))
    params += (("received", source[0]),) + ((("rport", str(source[1])),) if rport else ())
    others = request.headers.all("Via")[1:]
    top = str(type(via)(via.transport, via.host, via.port, params))
    return Request(request.method, request.uri, request.headers.replaced("Via", top, *others), request.body)


class Transactions:
    """All transactions of one user agent. send: hands a datagram out; tokens: random text for branches."""

    def __init__(
        self,
        send: Callable[[bytes, Address], None],
        tokens: Callable[[], str],
        timers: Timers,
        larger: Callable[[Address], tuple[Address, Address] | None] = lambda peer: None,
    ) -> None:
        self._send = send
        self._larger = larger  # peer -> (its stream address, ours towards it), where it is known to take streams
        self._tokens = tokens
        self._timers = timers
        self._clients: dict[Key, Transaction] = {}
        self._servers: dict[Key, Transaction] = {}
        self._merged: dict[Key, Transaction] = {}  # RFC 3261 §8.2.2.2

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    @property
    def asking(self) -> bool:
        """Whether a request of ours still waits for its final response."""
        waiting = (State.CALLING, State.TRYING, State.PROCEEDING)
        return any(t.state in waiting for t in self._clients.values())

    def request(
        self,
        request: Request,
        peer: Address,
        local: Address,
        now: float,
        *,
        on_response: Callable[[Response, Address, float], None] | None = None,
        on_timeout: Callable[[float], None] | None = None,
    ) -> Transaction:
        """Start a client transaction; the Via is added here. local: the address we are reached at."""
        branch = BRANCH_COOKIE + self._tokens()
        unsent, request = request, self.with_via(request, branch, local)
        if not is_stream(peer) and len(serialise(request)) > DATAGRAM_SAFE_BYTES:
            stream = self._larger(peer)
            if stream is not None:
                peer, local = stream
                request = self.with_via(unsent, branch, local)
        kind, state = (Kind.INVITE_CLIENT, State.CALLING) if request.method == "INVITE" else (Kind.CLIENT, State.TRYING)
        t = Transaction(
            kind,
            state,
            (branch, request.method),
            request,
            peer,
            serialise(request),
            on_response,
            on_timeout,
            started=now,
        )
        self._clients[t.key] = t
        self._send(t.last, peer)
        self._enter(t, now)
        return t

    def with_via(self, request: Request, branch: str, local: Address) -> Request:
        """The request with our Via on top."""
        host = f"[{local[0]}]" if ":" in local[0] else local[0]
        alias = ";alias" if is_stream(local) else ""  # RFC 5923: requests to us may come on this connection
        via = f"SIP/2.0/{transport_of(local)} {host}:{local[1]};branch={branch};rport{alias}"
        return Request(request.method, request.uri, request.headers.on_top("Via", via), request.body)

    def new_branch(self) -> str:
        """A branch for an ACK outside any transaction."""
        return BRANCH_COOKIE + self._tokens()

    def cancel(self, invite: Transaction, now: float, why: str = "") -> None:
        """CANCEL a pending INVITE: at once when it has a provisional response, else when one comes (RFC 3261 §9.1). why: its
        Reason (RFC 3326), or ""."""
        if invite.cancelled or invite.state not in (State.CALLING, State.PROCEEDING):
            return
        invite.cancelled, invite.cancel_reason = True, why
        if invite.state is State.PROCEEDING:
            self._send_cancel(invite, now)

    def _send_cancel(self, invite: Transaction, now: float) -> None:
        kept = [(n, v) for n, v in invite.request.headers.fields if n in ("From", "To", "Call-ID", "Route")]
        via = invite.request.headers.first("Via")
        cseq = f"{invite.request.cseq.number} CANCEL"
        headers = Headers.of(
            ("Via", via), *kept, ("CSeq", cseq), ("Max-Forwards", "70"), ("Reason", invite.cancel_reason or None)
        )
        request = Request("CANCEL", invite.request.uri, headers)
        t = Transaction(
            Kind.CLIENT, State.TRYING, (invite.key[0], "CANCEL"), request, invite.peer, serialise(request), started=now
        )
        self._clients[t.key] = t
        self._send(t.last, t.peer)
        self._enter(t, now)
        invite.alarms.append(self._timers.at(now + GIVE_UP_S, lambda at: self._step(invite, On.TIME_OUT, None, at)))

    def receive_response(self, response: Response, source: Address, now: float) -> bool:
        """Feed a response; False when no transaction of ours waits for it."""
        t = self._clients.get((response.via.branch, response.cseq.method))
        if t is None:
            return False
        on = On.P1XX if response.status < 200 else On.P2XX if response.status < 300 else On.FAILURE
        self._step(t, on, response, now, source)
        if t.cancelled and on is On.P1XX and (t.key[0], "CANCEL") not in self._clients:
            self._send_cancel(t, now)
        return True

    def receive_request(self, request: Request, source: Address, now: float) -> Transaction | None:
        """Feed a request other than ACK: a new server transaction, or None when it was a retransmission."""
        key = self._server_key(request, request.method)
        known = self._servers.get(key)
        if known is not None:
            self._step(known, On.REQUEST, None, now)
            return None
        kind, state = (
            (Kind.INVITE_SERVER, State.PROCEEDING) if request.method == "INVITE" else (Kind.SERVER, State.TRYING)
        )
        t = Transaction(kind, state, key, with_received(request, source), reply_address(request, source), started=now)
        self._servers[key] = t
        if not request.to_tag:
            self._merged.setdefault(self._merge_key(request), t)
        return t

    def is_merged(self, t: Transaction) -> bool:
        """Whether the same request is already being handled under another branch (482)."""
        return not t.request.to_tag and self._merged.get(self._merge_key(t.request), t) is not t

    def receive_ack(self, ack: Request, now: float) -> bool:
        """Feed an ACK; True when a server transaction knew it (by branch; a 2xx is acknowledged under another one)."""
        t = self._servers.get(self._server_key(ack, "INVITE"))
        if t is None:
            return False
        self._step(t, On.ACK, ack, now)
        return True

    def find_invite(self, cancel: Request) -> Transaction | None:
        """The INVITE server transaction that a CANCEL means."""
        return self._servers.get(self._server_key(cancel, "INVITE"))

    def respond(self, t: Transaction, response: Response, now: float) -> None:
        """Send a response through its server transaction; one that comes too late for the state is dropped."""
        on = On.TELL_1XX if response.status < 200 else On.TELL_2XX if response.status < 300 else On.TELL_FAILURE
        self._step(t, on, response, now)

    def reply(self, t: Transaction, status: int, now: float, **more: object) -> None:
        """Respond with a status to the request of a server transaction; `more` as message.reply."""
        self.respond(t, reply(t.request, status, **more), now)  # type: ignore[arg-type]  # keywords of message.reply

    def lost(self, peer: Address, now: float) -> None:
        """A connection could not be opened or has closed: what was just asked on it counts as unanswered at once."""
        for t in [t for t in self._clients.values() if t.peer == peer and t.state in (State.CALLING, State.TRYING)]:
            self._step(t, On.TIME_OUT, None, now)

    def _step(
        self, t: Transaction, on: On, message: Request | Response | None, now: float, source: Address | None = None
    ) -> None:
        row = TABLE.get((t.kind, t.state, on))
        if row is None:
            return
        next_state, actions = row
        if next_state is not t.state:
            t.state = next_state
            self._enter(t, now)
        for action in actions:
            self._do(t, action, message, now, source)

    def _do(
        self, t: Transaction, action: Do, message: Request | Response | None, now: float, source: Address | None
    ) -> None:
        if action is Do.SEND and isinstance(message, Response):
            t.last = serialise(message)
            self._send(t.last, t.peer)
        elif action is Do.RESEND and t.last:
            self._send(t.last, t.peer)
        elif action is Do.SEND_ACK and isinstance(message, Response):
            self._send(serialise(self._failure_ack(t, message)), t.peer)
        elif action is Do.REPORT and t.on_timeout is not None:
            t.on_timeout(now)
        elif action is Do.DELIVER and isinstance(message, Response) and t.on_response is not None:
            t.on_response(message, source or t.peer, now)
        elif action is Do.DELIVER and isinstance(message, Request) and t.on_ack is not None:
            t.on_ack(message, now)

    def _failure_ack(self, t: Transaction, response: Response) -> Request:
        h = t.request.headers
        routes = tuple(("Route", v) for v in h.all("Route"))
        fields = (("From", h.first("From")), ("To", response.headers.first("To")), ("Call-ID", t.request.call_id))
        cseq = f"{t.request.cseq.number} ACK"
        headers = Headers.of(("Via", h.first("Via")), ("Max-Forwards", "70"), *routes, *fields, ("CSeq", cseq))
        return Request("ACK", t.request.uri, headers)

    def _enter(self, t: Transaction, now: float) -> None:
        for alarm in t.alarms:
            alarm.cancel()
        t.alarms.clear()
        if t.state is State.TERMINATED:
            self._forget(t)
            return
        repeat, on, after_s = TIMERS.get((t.kind, t.state), (None, None, 0.0))
        if is_stream(t.peer):  # nothing is sent again and nothing comes twice
            repeat, after_s = None, 0.0 if t.state in AT_ONCE_OVER_STREAMS and on is On.DONE else after_s
        if repeat is not None:
            self._repeat(t, repeat.first_s, repeat.most_s, now)
        if on is not None:
            start = t.started if t.state is State.PROCEEDING else now  # F counts from the request
            t.alarms.append(self._timers.at(start + after_s, lambda at: self._step(t, on, None, at)))

    def _repeat(self, t: Transaction, after_s: float, most_s: float, now: float) -> None:
        state = t.state

        def ring(at: float) -> None:
            if t.state is state:
                self._step(t, On.AGAIN, None, at)
                self._repeat(t, min(after_s * 2, most_s), most_s, at)

        t.alarms.append(self._timers.at(now + after_s, ring))

    def _forget(self, t: Transaction) -> None:
        if t.kind in (Kind.CLIENT, Kind.INVITE_CLIENT):
            self._clients.pop(t.key, None)
            return
        self._servers.pop(t.key, None)
        merge = self._merge_key(t.request)
        if self._merged.get(merge) is t:
            del self._merged[merge]

    @staticmethod
    def _server_key(request: Request, method: str) -> Key:
        via, number = request.via, str(request.cseq.number)
        if via.branch.startswith(BRANCH_COOKIE):
            return (via.branch, via.sent_by, number, method)
        # RFC 2543 peers have no unique branch (RFC 3261 §17.2.3)
        return (request.call_id, request.from_tag, str(via), number, method)

    @staticmethod
    def _merge_key(request: Request) -> Key:
        return (request.call_id, request.from_tag, str(request.cseq))
