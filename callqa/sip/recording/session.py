"""One session of a recording client as it stands: its dialog, its streams, and what it told; and what several of them say
together of one call: whose each stream is, who called whom.

A stream is on the side of whoever sends it by the metadata, else of its session's end of the fork, else as its label says
(caller, callee, mixed), else by its place: the first of several is the caller's. One that both send, or a lone one that nobody
says anything of, has both voices.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from callqa.errors import ProtocolError
from callqa.sip.calls.call import CallFacts
from callqa.sip.calls.routing import Refusal
from callqa.sip.events import Address, CallMode, MediaTerms
from callqa.sip.legs.leg import Leg
from callqa.sip.recording.metadata import Metadata, Participant, Picture, read_metadata
from callqa.sip.recording.parties import (
    Signs,
    Who,
    agents_of,
    bodies_of,
    direction_of,
    number_of_party,
    side_of,
    user_of,
)
from callqa.sip.recording.sdp import OfferedStream, read_offer
from callqa.sip.wire.message import Request
from callqa.sip.wire.sdes import Keyring
from callqa.sip.wire.sdp import Codecs
from callqa.units import Channel, Direction

_MIXED, _CALLER, _CALLEE = ("mix",), ("caller", "calling"), ("callee", "called")
UNREADABLE = Refusal(488, "对方的媒体描述（SDP）无法读懂")
NO_AUDIO = Refusal(488, "没有可以录音的音频流")


@dataclass(slots=True, eq=False)
class RecordedStream:
    """One accepted m= line. told: what was last reported of it; side: None = both voices."""

    number: int
    port: int
    offered: OfferedStream
    side: Channel | None
    keyring: Keyring
    told: tuple[Codecs, Address | None, bool, MediaTerms] | None = None

    @property
    def terms(self) -> MediaTerms:
        """What was agreed of its encryption."""
        session = self.offered.session
        keys = self.keyring.agreed(session.crypto) if session else None
        return MediaTerms(keys, sends=not self.offered.paused)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one request brought. lines: None without SDP; problem: of the metadata, which never refuses; why: it cannot be taken."""

    lines: tuple[OfferedStream, ...] | None
    told: Metadata | None = None
    problem: str = ""
    why: Refusal | None = None

    @property
    def call_keys(self) -> tuple[str, ...]:
        return self.told.call_keys if self.told else ()

    @property
    def streams(self) -> int:
        """How many lines we could take."""
        return sum(line.session is not None for line in self.lines or ())


def read_request(request: Request) -> Reading:
    """Read the SDP and the metadata of a request."""
    sdp, metadata, problem = bodies_of(request)
    told = read_metadata(metadata) if metadata is not None else None
    problem = told.problem if told else problem
    if sdp is None:
        return Reading(None, told, problem, UNREADABLE if request.body and told is None else None)
    try:
        return Reading(read_offer(sdp), told, problem)
    except ProtocolError:
        return Reading((), told, problem, UNREADABLE)


@dataclass(slots=True, eq=False)
class RecordingSession:
    """One session of a client: its dialog, what it told, its streams by place of their m= line."""

    leg: Leg
    signs: Signs
    picture: Picture = field(default_factory=Picture)
    streams: dict[int, RecordedStream] = field(default_factory=dict)
    lines: tuple[OfferedStream, ...] = ()
    sdp_id: int = 0
    version: int = 0
    last: bytes = b""
    _parties: tuple[Participant, ...] | None = None  # until another document comes

    @property
    def parties(self) -> tuple[Participant, ...]:
        """Who is on the call by this session, in the order they are named; each under his address, where that is known."""
        if self._parties is None:
            told = tuple(self.picture.participants.values()) or self.signs.parties
            named = (replace(p, key=p.address) if p.address and p.address != p.key else p for p in told)
            self._parties = tuple(named)
        return self._parties

    @property
    def left(self) -> frozenset[str]:
        """Who was on the call and is no more, by the same keys."""
        return frozenset(p.address or p.key for p in self.picture.left.values())

    def senders(self, label: str) -> list[str]:
        """Who sends the stream of a label, by the same keys."""
        known = self.picture.participants
        return [known[key].address or key for key in self.picture.senders(label)]

    def direction(self, agents: Collection[str]) -> Direction:
        """Outbound where the agent is named first and sends the first stream."""
        first = next((who for line in self.lines for who in self.senders(line.label)), None)
        return Direction.INBOUND if first is not None and first not in agents else direction_of(self.parties, agents)

    def take(self, read: Reading) -> Refusal | None:
        """Take in what a request brought; why it cannot be taken, if so. What it told of the call counts in any case."""
        if read.told is not None:
            self.picture.take(read.told)
            self._parties = None
        if read.why is not None or read.lines is None:
            return read.why
        if not self.streams and not read.streams:
            unfit = next((line.unfit for line in read.lines if line.unfit), "")
            return Refusal(488, unfit) if unfit else NO_AUDIO
        self.lines = read.lines
        return None


@dataclass(frozen=True, slots=True)
class Whole:
    """All sessions of one call together."""

    sessions: Sequence[RecordingSession]
    who: Who

    @property
    def parties(self) -> tuple[Participant, ...]:
        """Everybody, each once by his address."""
        found: dict[str, Participant] = {}
        for session in self.sessions:
            for party in session.parties:
                found.setdefault(party.key, party)
        return tuple(found.values())

    @property
    def left(self) -> frozenset[str]:
        """Who left every session that knew him."""
        gone = frozenset().union(*(session.left for session in self.sessions))
        return gone - {p.key for s in self.sessions for p in s.parties if p.key not in s.left}

    @property
    def agents(self) -> frozenset[str]:
        """Keys of those on the agent's side."""
        return agents_of(self.parties, self.who)

    def side(self, session: RecordingSession, line: OfferedStream) -> Channel | None:
        """The side of a stream by all that is known."""
        agents = self.agents
        senders = {side_of(key, agents) for key in session.senders(line.label)}
        if senders:
            return senders.pop() if len(senders) == 1 else None
        if session.signs.near is not None:
            return Channel.AGENT if session.signs.near else Channel.CITIZEN
        outbound = session.direction(agents) is Direction.OUTBOUND
        caller, callee = (Channel.AGENT, Channel.CITIZEN) if outbound else (Channel.CITIZEN, Channel.AGENT)
        label = line.label.lower()
        for words, side in ((_MIXED, None), (_CALLER, caller), (_CALLEE, callee)):
            if any(word in label for word in words):
                return side
        taken = [x.index for x in session.lines if x.session is not None]
        if len(taken) > 1:
            place = taken.index(line.index) if line.index in taken else 0
            return (caller, callee)[place] if place < 2 else None
        return self._lone_side(session, agents)

    def _lone_side(self, session: RecordingSession, agents: frozenset[str]) -> Channel | None:
        """A single stream that nobody says anything of: one leg of several sessions, or both voices."""
        if len(self.sessions) < 2:
            return None
        if len(session.parties) == 1:
            return side_of(session.parties[0].key, agents)
        return Channel.CITIZEN if session is self.sessions[0] else Channel.AGENT

    def facts(self) -> CallFacts:
        """The call as it looks now."""
        agents, parties = self.agents, self.parties
        outbound = any(session.direction(agents) is Direction.OUTBOUND for session in self.sessions)
        agent = next((p for p in parties if p.key in agents), None)
        citizen = next((p for p in parties if p.key not in agents), None)
        citizens = number_of_party(citizen) if citizen else ""
        extension = user_of(agent.address) if agent else ""
        ours = self.who.hotline or (number_of_party(agent) if agent else "")
        numbers = (ours, citizens) if outbound else (citizens, ours)
        direction = Direction.OUTBOUND if outbound else Direction.INBOUND
        return CallFacts(CallMode.SIPREC, direction, *numbers, extension if extension in self.who.seats else None)
