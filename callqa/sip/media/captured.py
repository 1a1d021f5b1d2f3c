"""SIP calls with their RTP out of a capture: datagrams → dialogs → spool records, one list a call.

Any port may carry SIP; UDP and TCP are read. A datagram belongs to the party that sent it: it goes to where the other
party's SDP asked for it, or comes from where its own SDP said it would listen (behind a NAT). Capture points that see
both legs of a B2BUA see each call twice; `without_twins` keeps the leg nearer to the seat.

Total and bounded on hostile input. Does not read TLS; SRTP and media without signalling are in captured_media.py.
"""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from callqa.errors import ProtocolError
from callqa.sip.media.layers import Address, Datagram
from callqa.sip.media.spool import AnsweredMark, EndedMark, MediaMark, PacketRecord, SpoolRecord, StartedMark
from callqa.sip.wire.framing import StreamFramer
from callqa.sip.wire.identity import called_number, caller_number, dialled, number_of
from callqa.sip.wire.message import Message, Request, Response, parse_message
from callqa.sip.wire.sdes import CryptoLine
from callqa.sip.wire.sdp import Codecs, Session, parse_sdp
from callqa.units import Direction

MAX_CALLS = 20_000  # a day of a large desk; a capture beyond is cut into files anyway
MAX_STREAMS = 1024  # TCP directions that carry SIP
MAX_UNCLAIMED = 2000  # packets that may come before the SDP that explains them: some seconds of a busy line
MAX_SHARING = 8  # calls that name one address at a time; two are a retry, more are an attack
MAX_KEYS = 32  # of one party: two or three lines in each description
TWIN_WITHIN_NS = 3_000_000_000  # a B2BUA passes an answer on within this
_METHODS = (b"INVITE ", b"ACK ", b"BYE ", b"CANCEL ", b"UPDATE ", b"PRACK ", b"SIP/2.0 ")


class Party(IntEnum):
    """Who sent the first INVITE, and who got it."""

    CALLER = 0
    CALLEE = 1

    @property
    def other(self) -> "Party":
        return Party(1 - self)


@dataclass(slots=True)
class CapturedCall:
    """One INVITE dialog as it was captured; instants in nanoseconds since 1970 UTC.

    users: names and numbers of each party as signalled. marks: (instant, party, its codecs, on hold by it).
    """

    sip_call_id: str
    invite: Request
    started_ns: int
    ends: tuple[Address, Address]
    from_tag: str
    to_tag: str = ""
    answered_ns: int | None = None
    ended_ns: int | None = None
    hung_up: Party | None = None
    refused: int = 0  # final status of a call that was not answered
    refused_ns: int | None = None
    encrypted: bool = False
    crypto: dict[Party, list[CryptoLine]] = field(default_factory=lambda: {party: [] for party in Party})
    sessions: dict[Party, Session] = field(default_factory=dict)
    media: list[tuple[int, Party, Codecs, bool]] = field(default_factory=list)
    packets: list[tuple[int, Party, bytes]] = field(default_factory=list)
    contacts: dict[Party, str] = field(default_factory=dict)
    to_number: str = ""  # where a twin nearer to the network knew better

    def users(self, party: Party) -> tuple[str, ...]:
        """Names under which the party's phone may be known, likeliest first."""
        if party is Party.CALLER:
            found: tuple[str, ...] = (self.invite.from_.uri.user, self.contacts.get(party, ""))
        else:
            found = (dialled(self.invite), self.invite.to.uri.user, self.contacts.get(party, ""))
        return tuple(user for user in found if user)


@dataclass(slots=True)
class _Reader:
    calls: dict[str, CapturedCall] = field(default_factory=dict)
    listening: dict[Address, list[tuple[CapturedCall, Party]]] = field(default_factory=dict)
    streams: dict[tuple[Address, Address], StreamFramer] = field(default_factory=dict)
    unclaimed: deque[Datagram] = field(default_factory=lambda: deque(maxlen=MAX_UNCLAIMED))

    def take(self, datagram: Datagram) -> None:
        if datagram.stream:
            for message in self._framed(datagram):
                self._take_message(message, datagram)
        elif datagram.data.startswith(_METHODS):
            self._take_message(datagram.data, datagram)
        elif may_be_rtp(datagram.data) and not self._take_rtp(datagram):
            self.unclaimed.append(datagram)

    def _framed(self, datagram: Datagram) -> Iterable[bytes]:
        key = (datagram.source, datagram.destination)
        framer = self.streams.get(key)
        if framer is None:
            if not datagram.data.lstrip(b"\r\n").startswith(_METHODS) or len(self.streams) >= MAX_STREAMS:
                return ()
            framer = self.streams[key] = StreamFramer()
        try:
            return framer.feed(datagram.data)
        except ProtocolError:
            del self.streams[key]  # joined in mid-message: the next start of a message begins anew
            return ()

    def _take_rtp(self, datagram: Datagram) -> bool:
        found = self._listener(datagram.destination)
        if found is not None:
            call, party = found[0], found[1].other
        else:
            found = self._listener(datagram.source)
            if found is None:
                return False
            call, party = found
        call.packets.append((datagram.at_ns, party, datagram.data))
        return True

    def _listener(self, address: Address) -> tuple[CapturedCall, Party] | None:
        """Who listens at an address now: a call that is talking before one that only rings, the latest first."""
        known = self.listening.get(address)
        if known is None or len(known) == 1:
            return known[0] if known else None
        talking = (each for each in reversed(known) if each[0].answered_ns is not None and each[0].ended_ns is None)
        return next(talking, known[-1])

    def _take_message(self, data: bytes, datagram: Datagram) -> None:
        try:
            message = parse_message(data)
            call = self._call_of(message, datagram)
            if call is not None:
                _follow(call, message, datagram.at_ns)
                self._take_sdp(call, message, datagram.at_ns)
        except ProtocolError:
            return

    def _call_of(self, message: Message, datagram: Datagram) -> CapturedCall | None:
        call = self.calls.get(message.call_id)
        if isinstance(message, Response) or message.method != "INVITE" or message.to_tag:
            return call
        if call is None and len(self.calls) < MAX_CALLS:
            ends = (datagram.source, datagram.destination)
            call = CapturedCall(message.call_id, message, datagram.at_ns, ends, message.from_tag)
            self.calls[message.call_id] = call
        elif call is not None and call.answered_ns is None and message.cseq.number > call.invite.cseq.number:
            call.invite, call.from_tag, call.refused = message, message.from_tag, 0  # with credentials this time
        return call

    def _take_sdp(self, call: CapturedCall, message: Message, at_ns: int) -> None:
        if not message.body or "sdp" not in (message.headers.first("Content-Type") or "sdp").lower():
            return
        sender = _sender(call, message)
        try:
            session = parse_sdp(message.body)
        except ProtocolError:
            call.encrypted = call.encrypted or b"RTP/SAVP" in message.body
            return
        call.sessions[sender] = session
        keys = call.crypto[sender]
        keys += [line for line in session.crypto if line not in keys][: MAX_KEYS - len(keys)]
        for party in Party:
            own, other = call.sessions.get(party), call.sessions.get(party.other)
            # A party sends the numbers that the other one asked for; both lists agree almost always.
            codecs = dict((own.codecs if own else ()) + (other.codecs if other else ()))
            call.media.append((at_ns, party, tuple(codecs.items()), own.held if own else False))
        if not session.no_address:
            self._listen((session.host, session.port), call, sender)

    def _listen(self, address: Address, call: CapturedCall, party: Party) -> None:
        """Note where a party listens, and give it the packets that overtook its SDP."""
        others = [each for each in self.listening.get(address, []) if each[0] is not call and each[0].ended_ns is None]
        self.listening[address] = [*others[-MAX_SHARING:], (call, party)]
        waiting = [d for d in self.unclaimed if address in (d.source, d.destination)]
        if waiting:
            kept = [d for d in self.unclaimed if address not in (d.source, d.destination)]
            self.unclaimed = deque(kept, maxlen=MAX_UNCLAIMED)
            for datagram in waiting:
                self._take_rtp(datagram)


def read_calls(datagrams: Iterable[Datagram]) -> list[CapturedCall]:
    """Every INVITE dialog of a capture, in order of its start, with the RTP of its two parties."""
    reader = _Reader()
    for datagram in datagrams:
        reader.take(datagram)
    return list(reader.calls.values())


def may_be_rtp(data: bytes) -> bool:
    """RTP version 2 and no RTCP (RFC 5761 §4)."""
    return len(data) >= 12 and data[0] & 0xC0 == 0x80 and not 72 <= data[1] & 0x7F <= 76


def _sender(call: CapturedCall, message: Message) -> Party:
    """A request comes from the party its From names, a response from the other."""
    tag = message.from_tag if isinstance(message, Request) else _from_tag(message)
    asked = Party.CALLER if tag == call.from_tag else Party.CALLEE
    return asked if isinstance(message, Request) else asked.other


def _from_tag(response: Response) -> str:
    value = response.headers.first("From") or ""
    return next((p.strip()[4:] for p in value.split(";") if p.strip().lower().startswith("tag=")), "")


def _follow(call: CapturedCall, message: Message, at_ns: int) -> None:
    """What a message does to its call's story."""
    sender = _sender(call, message)
    contact = message.headers.first("Contact")
    if contact and "sip" in contact and sender not in call.contacts:
        user = contact.partition("sip:")[2].partition("@")[0]
        call.contacts[sender] = user if user.isalnum() else ""
    if isinstance(message, Request):
        if message.method == "BYE" and call.answered_ns is not None and call.ended_ns is None:
            call.ended_ns, call.hung_up = at_ns, sender
        return
    if message.cseq.method != "INVITE" or message.cseq.number != call.invite.cseq.number:
        return
    if 200 <= message.status < 300 and call.answered_ns is None:
        call.answered_ns, call.to_tag, call.refused, call.refused_ns = at_ns, message.to_tag, 0, None
    elif message.status >= 300 and call.answered_ns is None and message.status not in (401, 407):
        call.refused, call.refused_ns = message.status, at_ns


def without_twins(calls: Sequence[CapturedCall]) -> list[CapturedCall]:
    """Leave out the leg of a B2BUA that is farther from the callee, its called number kept in the nearer one."""
    answered = [call for call in calls if call.answered_ns is not None]
    gone: set[int] = set()
    for far in answered:
        near = next((call for call in answered if id(call) not in gone and _is_passed_on(far, call)), None)
        if near is not None:
            gone.add(id(far))
            near.to_number = near.to_number or far.to_number or called_number(far.invite)
            near.started_ns = min(near.started_ns, far.started_ns)
    return [call for call in calls if id(call) not in gone]


def _is_passed_on(far: CapturedCall, near: CapturedCall) -> bool:
    """Whether `near` is what the receiver of `far` sent on: from its address, meanwhile, answered and ended together."""
    if near is far or near.ends[0][0] != far.ends[1][0] or near.ends[1][0] == far.ends[0][0]:
        return False
    if near.answered_ns is None or far.answered_ns is None or not far.started_ns <= near.started_ns <= far.answered_ns:
        return False
    together = abs(far.answered_ns - near.answered_ns) <= TWIN_WITHIN_NS
    if far.ended_ns is not None and near.ended_ns is not None:
        together = together and abs(far.ended_ns - near.ended_ns) <= TWIN_WITHIN_NS
    return together and caller_number(far.invite) == caller_number(near.invite)


@dataclass(frozen=True, slots=True)
class Sides:
    """Which party is the agent. seat_extension: None when no seat of ours took part."""

    agent: Party
    seat_extension: str | None

    @property
    def direction(self) -> Direction:
        return Direction.INBOUND if self.agent is Party.CALLEE else Direction.OUTBOUND


def sides_of(call: CapturedCall, seats: Collection[str], direction: Direction | None) -> Sides | None:
    """The agent is the party that the given direction says, else the one at a seat of ours; None when neither tells.

    Between two seats the called one is the agent.
    """
    at_seat = {party: next((u for u in call.users(party) if u in seats), None) for party in Party}
    if direction is not None:
        agent = Party.CALLEE if direction is Direction.INBOUND else Party.CALLER
        return Sides(agent, at_seat[agent])
    for agent in (Party.CALLEE, Party.CALLER):
        if at_seat[agent] is not None:
            return Sides(agent, at_seat[agent])
    return None


def to_records(call: CapturedCall, call_id: str, sides: Sides) -> list[SpoolRecord]:
    """The spool that the recorder would have written of an answered call: marks and packets in order of time."""
    assert call.answered_ns is not None, "only an answered call has a recording"
    channel = {sides.agent: 1, sides.agent.other: 0}
    to = call.to_number or called_number(call.invite) or number_of(call.invite.to.uri)
    started = StartedMark(
        at_ns=call.started_ns,
        wall_ms=call.started_ns // 1_000_000,
        call_id=call_id,
        mode="import",
        direction=sides.direction.value,
        from_number=caller_number(call.invite),
        to_number=to,
        sip_call_id=call.sip_call_id,
        seat_extension=sides.seat_extension,
        ticket_hint=call.invite.headers.first("X-Ticket-Id"),
        user_to_user=call.invite.headers.first("User-to-User"),
    )
    timed: list[tuple[int, int, SpoolRecord]] = []
    for at_ns, party, codecs, held in call.media:
        mark = MediaMark(at_ns=at_ns, channel=1 if channel[party] else 0, codecs=codecs, held=held)
        timed.append((at_ns, 0, mark))
    timed.append((call.answered_ns, 1, AnsweredMark(at_ns=call.answered_ns, sip_call_ids=(call.sip_call_id,))))
    timed += [(at_ns, 2, PacketRecord(channel[party], at_ns, data)) for at_ns, party, data in call.packets]
    timed.sort(key=lambda each: each[:2])
    records = [started, *_marks_first(timed)]
    if call.ended_ns is not None:
        party_name = {None: "network", sides.agent: "agent", sides.agent.other: "citizen"}[call.hung_up]
        records.append(EndedMark(at_ns=call.ended_ns, hangup_party=party_name))
    return records


def _marks_first(timed: Sequence[tuple[int, int, SpoolRecord]]) -> Iterable[SpoolRecord]:
    """The first description of each leg before any packet: packets that overtook it are read by it."""
    first: dict[int, MediaMark] = {}
    for _, _, record in timed:
        if isinstance(record, MediaMark) and record.codecs and record.channel not in first:
            first[record.channel] = _from_earlier(record, timed[0][0])
    return [*first.values(), *(record for _, _, record in timed)]


def _from_earlier(mark: MediaMark, at_ns: int) -> MediaMark:
    """The same description, valid from an earlier instant, not on hold."""
    return mark.model_copy(update={"at_ns": at_ns, "held": False})


__all__ = ["CapturedCall", "Party", "Sides", "read_calls", "sides_of", "to_records", "without_twins"]
