"""RTP of one call: its legs (leg_media.py), which of them hear each other, what is played to them, and its spool, to which every
packet and mark goes.

Who listens in gets what is kept, from the moment on; a paused call is relayed and not kept.
"""

import socket
from collections.abc import Callable

from callqa.sip.events import PLAIN_MEDIA, Address, MediaTerms
from callqa.sip.media.spool import (
    MAGIC,
    ForeignMark,
    Mark,
    MediaMark,
    SideMark,
    StartedMark,
    encode_mark,
)
from callqa.sip.media.trouble import LegNow
from callqa.sip.process.clock import CLOCK, Clock
from callqa.sip.process.disk import DiskWriter, SpoolFile
from callqa.sip.process.leg_media import LegMedia
from callqa.sip.process.leg_reports import LegReports
from callqa.sip.process.listen import Listener
from callqa.sip.process.nearness import NOBODY_LISTED, Listed
from callqa.sip.process.rtp_sockets import RtpSockets
from callqa.units import Channel


class CallCapture:
    """All legs of one call, by the number of their stream, and its spool."""

    def __init__(
        self, sockets: RtpSockets, disk: DiskWriter, file: SpoolFile, started: StartedMark, clock: Clock = CLOCK,
        tokens: Callable[[], str] | None = None,
    ) -> None:  # fmt: skip
        """tokens: unguessable text; without it there is no RTCP."""
        self._tokens = tokens
        self.file = file
        self._clock = clock
        self._sockets = sockets
        self._disk = disk
        self._legs: dict[int, LegMedia] = {}
        self._played_to: set[Channel] = set()
        self._told: dict[tuple[str, int], bytes] = {}  # each leg's last media and side marks, for who begins to listen
        self._listeners: list[Listener] = []
        self._kept = True
        self._keep_always: Callable[[bytes], None] = file.keep
        self._keep: Callable[[bytes], None] = self._keep_always  # what every packet goes to
        disk.append_mark(file, MAGIC)
        self.mark(started)

    def mark(self, mark: Mark) -> None:
        """Queue one mark for the spool."""
        record = encode_mark(mark)
        self._disk.append_mark(self.file, record)
        if isinstance(mark, MediaMark | SideMark):
            self._told[mark.mark, mark.channel] = record
        for listener in self._listeners:
            listener.push(record)

    def open_leg(
        self,
        stream: int,
        port: int,
        bound: socket.socket,
        remote: Address | None,
        signalling_host: str = "",
        terms: MediaTerms = PLAIN_MEDIA,
        rtcp: socket.socket | None = None,
        *,
        listening: bool = False,
        trunk: Listed = NOBODY_LISTED,
    ) -> None:
        """Receive on an RTP port and its RTCP port. A leg that has one already (another seat took the call) moves to the new port.

        listening: nothing is ever relayed, so packets may be read in batches; trunk: the addresses of the trunk it is of."""
        before = self._legs.pop(stream, None)
        if before is not None:
            self._close_leg(before)
        leg = LegMedia(stream, port, bound, self._keep, self._clock)
        leg.batched = listening
        leg.ask_for(remote, signalling_host, trunk)
        if remote is None and not listening:
            leg.wait_for_sdp()
        if self._tokens is not None:
            leg.reports = LegReports(leg, rtcp, self._clock, self._tokens, self.mark)
            if rtcp is not None:
                self._sockets.add(rtcp, leg.reports.read)
        leg.agree(terms)
        self._legs[stream] = leg
        if listening:
            self._sockets.listen(leg)
        else:
            self._sockets.add(bound, leg.read)

    def ask_for(
        self,
        stream: int,
        remote: Address | None,
        signalling_host: str = "",
        terms: MediaTerms = PLAIN_MEDIA,
        trunk: Listed = NOBODY_LISTED,
    ) -> None:
        """A leg's SDP changed its address."""
        if stream in self._legs:
            self._legs[stream].ask_for(remote, signalling_host, trunk)
            self._legs[stream].agree(terms)

    def take_waiting(self, stream: int) -> None:
        """Take what came on a new leg's port before it was opened. Its first mark is written."""
        leg = self._legs[stream]
        if leg.batched:
            return
        waited = [(data, leg.shown(source), at_ns) for data, source, at_ns in self._sockets.take_waiting(leg.bound)]
        if leg.remote is not None:
            leg.settle(waited)
            return
        for data, source, at_ns in waited:
            leg.datagram_received(data, source, at_ns)

    def settle(self, stream: int) -> None:
        """What a leg's SDP says was written down, so that what came before it can be."""
        if stream in self._legs:
            self._legs[stream].settle()

    def connect(self) -> None:
        """Relay each leg's audio to the other, but not to one that is played something."""
        citizen, agent = self._legs.get(Channel.CITIZEN), self._legs.get(Channel.AGENT)
        if citizen is not None and agent is not None:
            citizen.other = None if Channel.AGENT in self._played_to else agent
            agent.other = None if Channel.CITIZEN in self._played_to else citizen

    def start_playing(self, channel: Channel) -> Callable[[bytes], None]:
        """What sends packets of ours to a leg's peer; they are neither recorded nor mixed with the other leg's."""
        self._played_to.add(channel)
        self.connect()

        def send(data: bytes) -> None:
            leg = self._legs.get(channel)  # another one after a transfer
            if leg is not None:
                leg.send(data)

        return send

    def stop_playing(self, channel: Channel) -> None:
        """The other leg's audio is relayed again."""
        self._played_to.discard(channel)
        self.connect()

    @property
    def last_packet_ns(self) -> int:
        """Monotonic time of the last packet on either leg; 0 when none came."""
        return max((leg.last_ns for leg in self._legs.values()), default=0)

    def note_foreign(self, at_ns: int) -> int:
        """Write down how many strangers' datagrams came since the last time; return their number."""
        total = 0
        for leg in self._legs.values():
            if leg.foreign:
                self.mark(ForeignMark(at_ns=at_ns, channel=leg.stream, count=leg.foreign))
                total += leg.foreign
                leg.foreign = 0
        return total

    def take_elsewhere(self) -> list[tuple[int, str]]:
        """(stream, host) of the strangers that a leg believed since the last time."""
        found = [(n, leg.heard_elsewhere) for n, leg in self._legs.items() if leg.heard_elsewhere]
        for leg in self._legs.values():
            leg.heard_elsewhere = ""
        return found

    def report(self, now_ns: int, wall_ms: int) -> None:
        """Send what RTCP is due."""
        for leg in self._legs.values():
            if leg.reports is not None:
                leg.reports.tick(now_ns, wall_ms)

    def deaf(self) -> set[int]:
        """Streams whose peers report that they hear nothing of us."""
        return {n for n, leg in self._legs.items() if leg.reports is not None and leg.reports.peer_hears_nothing}

    def all_heard(self, since_ns: int) -> bool:
        """Whether every leg means to send, and a packet came on it since then."""
        return all(leg.last_ns >= since_ns and leg.sends for leg in self._legs.values())

    def legs_now(self) -> dict[int, LegNow]:
        """Every leg whose peer's address is known, for the watch over the media."""
        return {
            stream: LegNow(
                leg.port,
                leg.packets,
                leg.last_ns,
                leg.latest,
                leg.sends,
                leg.reports.report_ns if leg.reports is not None else 0,
                leg.reports.reported if leg.reports is not None else None,
            )
            for stream, leg in self._legs.items()
            if leg.remote is not None or leg.packets
        }

    def note_locked_out(self, at_ns: int) -> int:
        """Write down as foreign how many datagrams could not be unlocked since the last time; return their number."""
        total = 0
        for leg in self._legs.values():
            if leg.secrecy is not None and leg.secrecy.failed:
                count, leg.secrecy.failed = leg.secrecy.failed, 0
                self.mark(ForeignMark(at_ns=at_ns, channel=leg.stream, count=count))
                total += count
        return total

    def take_unsent(self) -> bool:
        """Whether, since the last time, a leg's audio could not be sent to the other's peer."""
        unsent = sum(leg.unsent for leg in self._legs.values())
        for leg in self._legs.values():
            leg.unsent = 0
        return unsent > 0

    def close(self, then: Callable[[], None]) -> None:
        """Close both ports and the spool, and call `then` when the spool is on disk."""
        self._close_legs()
        for listener in self._listeners:
            listener.end()
        self._disk.close(self.file, then)

    def discard(self) -> None:
        """Close both ports and delete the spool."""
        self._close_legs()
        self._disk.discard(self.file)

    def keep(self, kept: bool) -> None:
        """From now on packets are kept, or only relayed."""
        self._kept = kept
        self._keep = self._keep_always if kept and not self._listeners else self._keep_watched
        for leg in self._legs.values():
            leg.keep = self._keep

    def listen(self, listener: Listener) -> tuple[bytes, ...]:
        """From now on a listener is sent what is kept; returns the records to begin with."""
        self._listeners.append(listener)
        self.keep(self._kept)
        return tuple(self._told.values())

    def end_listening(self) -> None:
        """Everybody who listens is sent what waits and nothing more."""
        for listener in list(self._listeners):
            listener.end()
            self.unlisten(listener)

    def unlisten(self, listener: Listener) -> None:
        """Not any more."""
        if listener in self._listeners:
            self._listeners.remove(listener)
            self.keep(self._kept)

    def _keep_watched(self, record: bytes) -> None:
        """What a packet goes to while the call is paused or listened to."""
        if self._kept:
            for listener in self._listeners:
                listener.push(record)
            self._keep_always(record)

    def _close_legs(self) -> None:
        for leg in self._legs.values():
            self._close_leg(leg)

    def _close_leg(self, leg: LegMedia) -> None:
        if leg.reports is not None and leg.reports.bound is not None:
            self._sockets.remove(leg.reports.bound)
        self._sockets.remove(leg.bound)
        leg.close()
