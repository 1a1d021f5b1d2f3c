"""Role `siprec`: the recording server of RFC 7866. A recording client (SBC, PBX) sends us the streams of a call by a session of
its own; we answer at once, line by line, and send nothing.

One call may come in several sessions, one a leg (Cisco's fork, Avaya's and Genesys' recorders): those that name the same
call (UCID, GUID, x-refci …) within JOIN_WINDOW_S are one recording, which ends with the last of them. Which side a stream is
on may be told late or change: it is reported again whenever the picture changes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from callqa.errors import ProtocolError
from callqa.sip.calls.call import Call, CallFacts
from callqa.sip.calls.routing import Refusal
from callqa.sip.core import Core
from callqa.sip.events import (
    Address,
    CallEnded,
    CallMode,
    CallUnanswered,
    FactsLearnt,
    HangupParty,
    PartyKnown,
    StreamSide,
)
from callqa.sip.legs.leg import SUPPORTED, Leg
from callqa.sip.legs.leg_owner import LegState
from callqa.sip.legs.transaction import Transaction
from callqa.sip.recording.call_streams import CallStreams
from callqa.sip.recording.offers import RecordingOffers
from callqa.sip.recording.parties import Signs, Who, side_of, signs_of
from callqa.sip.recording.sdp import read_offer
from callqa.sip.recording.session import NO_AUDIO, Reading, RecordingSession, Whole, read_request
from callqa.sip.wire.headers import plain
from callqa.sip.wire.sdp import Session
from callqa.units import Channel, Direction

JOIN_WINDOW_S = 60.0  # the second leg of a call comes within a second or two; a consultation may take longer
SESSIONS_MOST = 8  # of one call
PARTIES_MOST = 64
NO_PORT = Refusal(503, "没有空闲的媒体端口")


@dataclass(frozen=True, slots=True)
class Brought:
    """All that the INVITE of a session says."""

    signs: Signs
    read: Reading

    @property
    def call_keys(self) -> tuple[str, ...]:
        return *self.signs.call_keys, *self.read.call_keys


class RecordingCall(Call):
    """One recorded call."""

    def __init__(
        self, core: Core, invite: Transaction, source: Address, brought: Brought, on_over: Callable[[Call], None]
    ) -> None:
        facts = CallFacts(CallMode.SIPREC, Direction.INBOUND, "", "")
        super().__init__(core, facts, invite.request, on_over)
        self.sessions: list[RecordingSession] = []
        self.keys: set[str] = set()
        self.began = 0.0
        self._sip_call_ids: list[str] = []
        who = Who(core.extensions, core.desk.routing.hotline_number)
        self._whole = Whole(self.sessions, who)
        self._parties: dict[str, tuple[str, Channel, bool]] = {}  # address -> as told: name, side, whether he left
        self._joined_by: str | None = None
        self._told_join: str | None = None
        self._told_ids = 1  # Call-IDs
        self._streams = CallStreams(self, self.sessions, self._whole)
        self._brought = brought
        self._open(invite, source, brought)

    # -- sessions ---------------------------------------------------------------------------------------------------

    def start(self, refusal: Refusal | None, now: float) -> None:
        """Answer the first session. refusal: we are closing."""
        session = self.sessions[0]
        self.began = now
        read = self._brought.read
        not_taken = self._take(session, read, now)
        self.facts = self._whole.facts()
        self.seat_extension = self.facts.seat_extension
        self.begin(now)
        self._tell_problem(read.problem, session, now)
        why = refusal or not_taken
        body = None if why else self._streams.answer(session, read.lines, now)
        if body is None:
            why = why or NO_PORT
            self.core.fault(now, why.reason, session.leg.dialog.observed, self.call_id)
            session.leg.refuse(why.status, now)
            self.finish(CallUnanswered(self.call_id, now, why.reason, why.status), now)
            return
        session.leg.accept(body, now)
        self.connected(now, (self.sip_call_id,))
        self._settle(now)

    def admits(self, brought: Brought, now: float) -> str:
        """The key by which another session belongs to this call, or ""."""
        if now - self.began > JOIN_WINDOW_S or self.over or not self.answered or len(self.sessions) >= SESSIONS_MOST:
            return ""
        if any(len(s.streams) > 1 for s in self.sessions):
            return ""  # it has both sides by itself: joined, every voice would be there twice
        return next((key for key in brought.call_keys if key in self.keys), "")

    def join(self, invite: Transaction, source: Address, brought: Brought, key: str, now: float) -> None:
        """Take one more session."""
        session = self._open(invite, source, brought)
        self._joined_by = self._joined_by or key
        why = self._take(session, brought.read, now)
        self._tell_problem(brought.read.problem, session, now)
        body = None if why else self._streams.answer(session, brought.read.lines, now)
        if body is None:
            why = why or NO_PORT
            self.core.fault(now, why.reason, source, self.call_id)
            self.sessions.remove(session)
            session.leg.refuse(why.status, now)
            return
        session.leg.accept(body, now)
        self._settle(now)

    def _open(self, invite: Transaction, source: Address, brought: Brought) -> RecordingSession:
        leg = Leg.incoming(self.core, self, Channel.CITIZEN, invite, source, 0)
        leg.dialog.contact += ";+sip.srs"
        leg.supported = f"{SUPPORTED}, siprec"
        leg.listen_only = True
        session = RecordingSession(leg, brought.signs, sdp_id=int.from_bytes(self.core.tokens().encode()[:6], "big"))
        leg.offers = RecordingOffers(
            leg, lambda t, now: self._reoffer(session, t, now), lambda body, now: self._late(session, body, now)
        )
        leg.on_request = lambda _, t, now: self._info(session, t, now)
        self.sessions.append(session)
        self.keys |= set(brought.signs.call_keys)
        self._sip_call_ids.append(plain(invite.request.call_id))
        return session

    def _take(self, session: RecordingSession, read: Reading, now: float) -> Refusal | None:
        self.keys |= set(read.call_keys)
        return session.take(read)

    def _tell_problem(self, problem: str, session: RecordingSession, now: float) -> None:
        if problem:
            text = f"录音客户端的通话信息读不全（{plain(problem)[:80]}），录音照常，双方姓名号码可能缺"
            self.core.fault(now, text, session.leg.dialog.observed, self.call_id)

    # -- offers -----------------------------------------------------------------------------------------------------

    def _reoffer(self, session: RecordingSession, t: Transaction, now: float) -> bytes | Refusal | None:
        """The answer to a re-INVITE or UPDATE; None where it has no SDP."""
        read = read_request(t.request)
        why = self._take(session, read, now)
        self._tell_problem(read.problem, session, now)
        if why is not None:
            return why
        if read.lines is None:
            self._settle(now)
            return session.last if t.request.method == "INVITE" else None
        body = self._streams.answer(session, read.lines, now)
        self._settle(now)
        return body if body is not None else NO_AUDIO

    def _late(self, session: RecordingSession, sdp: bytes, now: float) -> None:
        """The answer to our offer, in an ACK."""
        try:
            lines = read_offer(sdp)
        except ProtocolError:
            return
        session.lines = lines
        self._streams.accept(session, lines, now)
        self._settle(now)

    def _info(self, session: RecordingSession, t: Transaction, now: float) -> bool:
        """Metadata in an INFO, as some clients send it."""
        read = read_request(t.request) if t.request.method == "INFO" else None
        if read is None or read.told is None:
            return False
        self._take(session, read, now)
        self._tell_problem(read.problem, session, now)
        session.leg.respond(t, 200, now)
        self._settle(now)
        return True

    def _settle(self, now: float) -> None:
        """Report what the picture, as it is now, says otherwise than it did."""
        if self.over:
            return
        for session in self.sessions:
            for stream in session.streams.values():
                side = self._whole.side(session, stream.offered) if stream.offered.session else stream.side
                if side is not stream.side:
                    stream.side = side
                    self.core.emit(StreamSide(self.call_id, now, stream.number, side))
        agents = self._whole.agents
        left = self._whole.left
        for party in self._whole.parties:
            self._tell_party(party.key, (party.name, side_of(party.key, agents), party.key in left), now)
        named = {party.key for party in self._whole.parties}
        for key, (name, side, _) in list(self._parties.items()):
            if key in left and key not in named:  # a complete document does not name him any more
                self._tell_party(key, (name, side, True), now)
        self._learn(now)

    def _tell_party(self, key: str, told: tuple[str, Channel, bool], now: float) -> None:
        known = self._parties.get(key)
        if known != told and (known is not None or len(self._parties) < PARTIES_MOST):
            self._parties[key] = told
            self.core.emit(PartyKnown(self.call_id, now, told[0], key, told[1], told[2]))

    def _learn(self, now: float) -> None:
        facts = self._whole.facts()
        learnt = FactsLearnt(
            self.call_id,
            now,
            facts.direction if facts.direction is not self.facts.direction else None,
            facts.from_number if facts.from_number and facts.from_number != self.facts.from_number else None,
            facts.to_number if facts.to_number and facts.to_number != self.facts.to_number else None,
            facts.seat_extension if facts.seat_extension and facts.seat_extension != self.seat_extension else None,
            tuple(self._sip_call_ids) if len(self._sip_call_ids) > self._told_ids else None,
            self._joined_by if self._joined_by != self._told_join else None,
        )
        self._told_ids, self._told_join = len(self._sip_call_ids), self._joined_by
        if learnt == FactsLearnt(self.call_id, now):
            return
        self.facts = replace(
            self.facts,
            direction=facts.direction,
            from_number=facts.from_number or self.facts.from_number,
            to_number=facts.to_number or self.facts.to_number,
        )
        self.seat_extension = learnt.seat_extension or self.seat_extension
        self.core.emit(learnt)

    # -- the end ----------------------------------------------------------------------------------------------------

    def hang_up_legs(self, now: float) -> None:
        """End every session."""
        for session in self.sessions:
            session.leg.end(now)

    def leg_ended(self, leg: Leg, now: float) -> None:
        """BYE from the client: the recording ends with its last session."""
        self._leave(leg, now, None)

    def leg_lost(self, leg: Leg, now: float) -> None:
        """Our 200 was never acknowledged, or the session timer ran out."""
        self._leave(leg, now, HangupParty.NETWORK)

    def leg_cancelled(self, leg: Leg, now: float) -> None:
        """Given up before we could say yes (a PRACK was awaited)."""
        self._leave(leg, now, HangupParty.NETWORK)

    def _leave(self, leg: Leg, now: float, party: HangupParty | None) -> None:
        live = [s for s in self.sessions if s.leg is not leg and s.leg.state is not LegState.GONE]
        if not live:
            self.finish(CallEnded(self.call_id, now, party), now)
            return
        for session in self.sessions:
            if session.leg is leg:
                self._streams.end(session, now)

    def leg_media(self, leg: Leg, now: float) -> None:
        """Told by our own offers."""

    def leg_provisional(self, leg: Leg, status: int, session: Session | None, now: float) -> None:
        """Cannot happen: we never dial."""

    def leg_answered(self, leg: Leg, session: Session | None, now: float) -> None:
        """Cannot happen: we never dial."""

    def leg_refused(self, leg: Leg, status: int, now: float) -> None:
        """Cannot happen: we never dial."""


def take_recording(
    core: Core,
    calls: Iterable[Call],
    invite: Transaction,
    source: Address,
    refusal: Refusal | None,
    on_over: Callable[[Call], None],
    now: float,
) -> RecordingCall | None:
    """Take a recording client's INVITE: into a call that is there already (None), or as a new one."""
    brought = Brought(signs_of(invite.request), read_request(invite.request))
    if refusal is None and brought.read.streams <= 1:  # not one with both sides by itself
        for call in list(calls):
            key = call.admits(brought, now) if isinstance(call, RecordingCall) else ""
            if key and isinstance(call, RecordingCall):
                call.join(invite, source, brought, key, now)
                return None
    return RecordingCall(core, invite, source, brought, on_over)
