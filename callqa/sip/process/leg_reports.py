"""RTCP of one leg (RFC 3550): the port above its RTP port, or the RTP port itself where both sides agreed (RFC 5761).

Reports of the peer become spool marks; ours go out when they are due, looked at once a second. The jitter that we report is
measured on a second of packets before each report: to measure each packet would cost as much as relaying some.
"""

import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from callqa.sip.events import Address, MediaTerms
from callqa.sip.media.rtcp import PeerReport, RtcpSession, Sent
from callqa.sip.media.spool import RtcpMark
from callqa.sip.process.clock import Clock

if TYPE_CHECKING:
    from callqa.sip.process.leg_media import LegMedia

log = logging.getLogger(__name__)

LARGEST_BYTES = 2048
DEAF_PCT = 90.0  # of our packets did not reach the peer
SENT_LEAST = 100  # between two reports, that it should have heard of
DEAF_REPORTS = 2  # in a row: 7 to 10 s
NOTED_AT_MOST_EVERY_NS = 1_000_000_000
MEASURED_BEFORE_NS = 1_500_000_000  # so long before a report is due its packets are measured
MEASURED_MOST = 100
SENDING_NS = 10_000_000_000  # §6.4: a sender of the last two intervals


class LegReports:
    """bound: the RTCP socket, None where there is none; note: takes the marks. shared: RTCP on the RTP port."""

    def __init__(
        self, leg: "LegMedia", bound: socket.socket | None, clock: Clock, tokens: Callable[[], str], note: Callable[[RtcpMark], None],
    ) -> None:  # fmt: skip
        self.bound = bound
        self.shared = False
        self.report_ns = 0
        self.reported: int | None = None
        self.arrivals: list[tuple[int, int]] | None = None  # (ns, timestamp) of packets being measured
        self._leg = leg
        self._clock = clock
        self._note = note
        self._session = RtcpSession(tokens, clock.monotonic_ns())
        self._remote: Address | None = None
        self._source: Address | None = None
        self._noted_ns = 0
        self._deaf = 0
        self._there: tuple[int, int] | None = None  # the last of our packets the peer had, and how many we had sent

    @property
    def peer_hears_nothing(self) -> bool:
        """Whether its last reports say that next to nothing of ours arrives there."""
        return self._deaf >= DEAF_REPORTS

    def agree(self, terms: MediaTerms) -> None:
        """The leg's SDP says this of RTCP now."""
        if terms.rtcp != self._remote:
            self._remote, self._source = terms.rtcp, None
        self._deaf, self._there = 0, None  # a phone on hold may take nothing on purpose
        self.shared = terms.rtcp_mux  # the leg looks again itself

    def read(self) -> bool:
        """Take one waiting datagram; False when there is none."""
        assert self.bound is not None
        try:
            data, address = self.bound.recvfrom(LARGEST_BYTES)
        except OSError:
            return False
        self.received(data, self._leg.shown(address))
        return True

    def received(self, data: bytes, source: Address) -> None:
        """Take one datagram of RTCP; a stranger's is passed over."""
        if not self._leg.is_near(source):
            return
        secrecy = self._leg.secrecy
        plain = secrecy.unlock_rtcp(data) if secrecy is not None else data
        if plain is None:
            return
        now_ns = self._clock.monotonic_ns()
        told = self._session.receive(plain, now_ns)
        if told is None:
            return
        self._source = source
        self._deaf = self._deaf + 1 if self._hears_nothing(told) else 0
        self.report_ns, self.reported = now_ns, told.packets
        if now_ns - self._noted_ns < NOTED_AT_MOST_EVERY_NS:
            return
        self._noted_ns = now_ns
        self._note(
            RtcpMark(
                at_ns=now_ns,
                channel=self._leg.stream,
                packets=told.packets,
                ntp=told.ntp,
                rtp=told.rtp,
                peer_lost_pct=told.peer_lost_pct,
                peer_jitter_ms=told.peer_jitter_ms,
                rtt_ms=told.rtt_ms,
            )
        )

    def _hears_nothing(self, told: PeerReport) -> bool:
        """Next to all of ours got lost, or its last packet is still the same after many more."""
        if told.highest is None:
            return False
        sent = self._leg.other.packets if self._leg.other is not None else 0
        before, self._there = self._there, (told.highest, sent)
        stuck = before is not None and before[0] == told.highest and sent - before[1] >= SENT_LEAST
        return stuck or (told.peer_lost_pct or 0.0) >= DEAF_PCT

    def tick(self, now_ns: int, wall_ms: int) -> None:
        """Send our report when it is due; called about once a second."""
        leg = self._leg
        self._session.heard.look(leg.latest, leg.packets)
        if now_ns < self._session.due_ns:
            wanted = (self._source or self._remote) is not None  # else nobody is told
            if wanted and self.arrivals is None and now_ns > self._session.due_ns - MEASURED_BEFORE_NS:
                self.arrivals = []
                leg.look_again()
            return
        if self.arrivals is not None:
            self._session.heard.measure(self.arrivals)
            self.arrivals = None
            leg.look_again()
        self._send(self._session.report(now_ns, wall_ms, self._sent(now_ns)))

    def measure(self, now_ns: int, data: bytes) -> None:
        """Note one packet's arrival, while arrivals are wanted."""
        if self.arrivals is not None and len(self.arrivals) < MEASURED_MOST:
            self.arrivals.append((now_ns, int.from_bytes(data[4:8], "big")))

    def close(self) -> None:
        """Say good-bye and close the socket."""
        self._send(self._session.farewell(self._sent(self._clock.monotonic_ns())))
        if self.bound is not None:
            self.bound.close()

    def _sent(self, now_ns: int) -> Sent | None:
        """What goes to the peer is what comes from the other leg."""
        other = self._leg.other
        if other is None or len(other.latest) < 12 or now_ns - other.last_ns > SENDING_NS:
            return None
        ssrc = int.from_bytes(other.latest[8:12], "big")
        secrecy = self._leg.secrecy
        return Sent(
            ssrc if secrecy is None else secrecy.shown_as(ssrc),
            int.from_bytes(other.latest[4:8], "big"),
            other.last_ns,
            other.packets,
            other.packets * (len(other.latest) - 12),
        )

    def _send(self, data: bytes) -> None:
        """To where the peer's reports come from, else where its SDP wants them."""
        target = self._source or self._remote
        sendable = self._leg.sendable(target) if target is not None else None
        via = self._leg.bound if self.shared else self.bound
        if not data or sendable is None or via is None:
            return
        secrecy = self._leg.secrecy
        locked = secrecy.lock_rtcp(data) if secrecy is not None else data
        if locked is None:
            return
        try:
            via.sendto(locked, sendable)
        except OSError as e:
            log.debug("RTCP of port %d: to %s: %s", self._leg.port, sendable, e)
