"""RTP of one leg: every packet relayed to the other leg at once, and kept for the spool; encrypted legs (secrecy.py) are
unlocked before and locked after, plain ones relayed unchanged. The spool has plain RTP, so that it can be read without keys.

A leg sends to where its own audio comes from (symmetric RTP, RFC 4961), or to the address in its SDP until audio came.
Whose audio a leg takes is decided by how near a sender is to what the signalling said (`Nearness`): a nearer one displaces
a stranger at once, so that nobody who was first on the port can keep the peer out; a farther one never displaces.
Of two strangers the signalling says nothing: the one that was heard first stays, unless what comes from elsewhere goes on with
its stream (the same SSRC, which only who hears it knows), or it has been silent as long as it was heard (`_gives_way`). Whenever
a stranger is believed it is told (`heard_elsewhere`), since only the trunk's list of addresses can say who it is.
Datagrams from anybody else on the leg's port are neither relayed nor kept, only counted. On an encrypted leg the key decides.

A phone may speak before its answer is read, and so may one that was rung for the same port and lost. What came before the
leg's SDP is known waits with the time of its arrival and is judged when it is: kept is what came from the nearest sender.
"""

import logging
import socket
from collections.abc import Callable, Iterable

from callqa.sip.events import Address, MediaTerms
from callqa.sip.media.rtcp import is_rtcp
from callqa.sip.media.spool import encode_packet
from callqa.sip.process.clock import CLOCK, Clock
from callqa.sip.process.leg_reports import LegReports
from callqa.sip.process.nearness import NOBODY_LISTED, Listed, Nearness, nearness
from callqa.sip.process.secrecy import Secrecy

log = logging.getLogger(__name__)

# A phone behind NAT may come from another port of the same host; it is believed once the old one is silent so long.
MOVED_AFTER_NS = 1_000_000_000
# A stranger that was heard is waited for as long as that, but no longer: a gateway that failed over must not lose the call.
STRANGER_AWAITED_MOST_NS = 30_000_000_000
# Datagrams of a leg whose SDP is not known: four seconds, an answer that got lost twice (T1, RFC 3261).
EARLY_MOST = 200
# Datagrams read from a port when its call ends: more than wait there would be a flood.
MAX_WAITING_AT_END = 1000
# Far above the longest telephone frame (rtp.MAX_PAYLOAD_BYTES); what a stranger sends beyond it is cut.
_LARGEST_DATAGRAM_BYTES = 8192
_MAPPED = "::ffff:"  # an IPv4 peer as an IPv6 socket shows it


class LegMedia:
    """One leg's RTP port. stream: its number; source: where its audio comes from; remote: where its SDP asks for audio."""

    __slots__ = (
        "_believed_ns", "_closed", "_early", "_is_ipv6", "_monotonic_ns", "_settled", "_special", "_target", "_trunk",
        "_unreachable", "batched", "bound", "foreign", "heard_elsewhere", "keep", "last_ns", "latest", "other", "packets", "port", "remote",
        "reports", "secrecy", "sender", "sends", "signalling_host", "source", "stream", "unsent",
    )  # fmt: skip

    def __init__(
        self, stream: int, port: int, bound: socket.socket, keep: Callable[[bytes], None], clock: Clock = CLOCK
    ) -> None:
        self._monotonic_ns = clock.monotonic_ns
        self.stream = stream
        self.port = port
        self.bound = bound
        self.remote: Address | None = None
        self.signalling_host = ""
        self._trunk = NOBODY_LISTED
        self._believed_ns = 0  # since when `source` is
        self.heard_elsewhere = ""  # a host that was believed though nobody named it, until it is told
        self.source: Address | None = None
        self._target: Address | None = None  # as the socket wants it
        self._unreachable = False
        self.other: LegMedia | None = None
        self.last_ns = 0
        self.latest = b""  # the newest packet, from which rare readers take what they need
        self.packets = 0
        self.sends = True  # its SDP means to
        self.reports: LegReports | None = None
        self.batched = False  # nothing is relayed, so its packets are read several at a time
        self._special = False  # packets take the way round by `_receive_specially`
        self.foreign = 0
        self.secrecy: Secrecy | None = None  # None: plain RTP, as ever
        self.sender: bytes | None = None  # `source` as the kernel writes it: what comes from there needs no second look
        self.unsent = 0  # datagrams that could not be sent to its peer
        self.keep = keep  # what is done with every record
        self._closed = False
        self._settled = True  # its SDP is known
        self._early: list[tuple[bytes, Address, int]] = []  # datagrams that wait for a judgement, and when they came
        self._is_ipv6 = bound.family == socket.AF_INET6

    def read(self) -> bool:
        """Take one waiting datagram; False when there is none."""
        try:
            data, address = self.bound.recvfrom(_LARGEST_DATAGRAM_BYTES)
        except OSError:  # nothing there, or the socket is closed
            return False
        self.datagram_received(data, self.shown(address) if self._is_ipv6 else address)
        return True

    def take_batch(self, records: bytes, count: int, last_ns: int, last: bytes) -> None:
        """Keep records of packets that all came from `sender`. last: the newest of them."""
        self.last_ns = last_ns
        self.packets += count
        self.latest = last
        if self.reports is not None:
            self.reports.measure(last_ns, last)
        self.keep(records)

    def take_one(self, data: bytes, address: Address, raw: bytes, now_ns: int) -> None:
        """Look at one packet of a batch. raw: its address as the kernel writes it."""
        address = self.shown(address)
        self.datagram_received(data, address, now_ns)
        if address == self.source and not self._special:
            self.sender = raw

    def shown(self, address: Address) -> Address:
        """A sender's address as the signalling writes it."""
        return (address[0].removeprefix(_MAPPED), address[1]) if self._is_ipv6 else address

    def datagram_received(self, data: bytes, addr: Address, now_ns: int = 0) -> None:
        """Relay and keep one datagram. now_ns: when it came, 0 = now."""
        now_ns = now_ns or self._monotonic_ns()
        if self._special:
            plain = self._receive_specially(data, addr, now_ns)
            if plain is None:
                return
            data = plain
        elif addr != self.source and not self._believe(data, addr, now_ns):
            self._refuse(data, addr, now_ns)
            return
        self.last_ns = now_ns
        self.packets += 1
        self.latest = data
        if self.other is not None:
            self.other.send(data)
        self.keep(encode_packet(self.stream, now_ns, data))

    def _receive_specially(self, data: bytes, addr: Address, now_ns: int) -> bytes | None:
        """What is encrypted, shares its port with RTCP or is being measured. None: no RTP packet of the peer."""
        reports = self.reports
        if reports is not None and reports.shared and is_rtcp(data):
            reports.received(data, addr)
            return None
        if self.secrecy is not None:
            plain = self.secrecy.unlock(data, addr, now_ns)
            if plain is None:
                return None
            data = plain
            if addr != self.source:  # the key says that it is the peer
                self.source = addr
                self._aim()
        elif addr != self.source and not self._believe(data, addr, now_ns):
            self._refuse(data, addr, now_ns)
            return None
        if reports is not None:
            reports.measure(now_ns, data)
        return data

    def look_again(self) -> None:
        """Whether packets must take the way round may have changed."""
        reports = self.reports
        measured = reports is not None and (reports.shared or (reports.arrivals is not None and not self.batched))
        self._special = measured or self.secrecy is not None
        self.sender = None

    def send(self, data: bytes) -> None:
        """Send one datagram of the other leg to this one's peer, as far as we know where that is."""
        if self.secrecy is not None:
            locked = self.secrecy.lock(data)
            if locked is None:
                return
            data = locked
        if self._target is None:
            self.unsent += self._unreachable
            return
        try:
            self.bound.sendto(data, self._target)
        except OSError as e:  # no route, or the system's buffer is full; the recording goes on
            self.unsent += not self._closed
            log.debug("RTP port %d: to %s: %s", self.port, self._target, e)

    def agree(self, terms: MediaTerms) -> None:
        """The leg's SDP says this of encryption, RTCP and whether it sends now."""
        self.sends = terms.sends
        if self.reports is not None:
            self.reports.agree(terms)
        secrecy = self.secrecy or Secrecy()
        waited = secrecy.agree(terms)
        self.secrecy = secrecy if secrecy.needed else None
        self.look_again()
        for data, source, at_ns in waited:
            self.datagram_received(data, source, at_ns)
        held = [] if secrecy.due else list(secrecy.held)
        if held:
            secrecy.held.clear()
        for data in held:
            self.send(data)

    def ask_for(self, remote: Address | None, signalling_host: str, trunk: Listed = NOBODY_LISTED) -> None:
        """The leg's SDP names this address now; a change makes us learn its source anew, but for a peer that only wants
        nothing sent any more (hold): what it sends is still its own. trunk: the addresses of the trunk it is reached by."""
        self._trunk = trunk
        if (remote, signalling_host) != (self.remote, self.signalling_host):
            stays = remote is None and signalling_host == self.signalling_host
            self.remote, self.signalling_host = remote, signalling_host
            if not stays:
                self.source = self.sender = None
            self._aim()

    def wait_for_sdp(self) -> None:
        """The leg's SDP is not known: who speaks on its port now is judged later."""
        self._settled = False

    def settle(self, waited: Iterable[tuple[bytes, Address, int]] = ()) -> None:
        """The leg's SDP is known: keep what its nearest sender sent before. waited: further datagrams, in order of arrival.

        What none but senders from elsewhere sent waits until one of them goes on."""
        early, self._early, self._settled = [*self._early, *waited], [], True
        nearest = max((self._nearness(address) for _, address, _ in early), default=Nearness.ELSEWHERE)
        for data, address, at_ns in early:
            known = self.secrecy is not None or address == self.source
            if known or self._nearness(address) is nearest is not Nearness.ELSEWHERE:
                self.datagram_received(data, address, at_ns)
            elif nearest is Nearness.ELSEWHERE and len(self._early) < EARLY_MOST:
                self._early.append((data, address, at_ns))
            else:
                self.foreign += 1

    def close(self) -> None:
        """Close the port; safe before and after it was opened."""
        if self._closed:
            return
        self._closed = True
        for _ in range(MAX_WAITING_AT_END):  # BYE may overtake the last frames
            if not self.read():
                break
        if self.reports is not None:
            self.reports.close()
        self.other = None
        self.bound.close()

    def _believe(self, data: bytes, address: Address, now_ns: int) -> bool:
        """Whether a datagram from a new address is this leg's. The address in the SDP always is."""
        if not self._settled:
            return False
        here = self._nearness(address)
        if self.source is not None and not self._gives_way(self.source, data, address, here, now_ns):
            return False
        if here is Nearness.ELSEWHERE:
            self.heard_elsewhere = address[0]
        self.source, self._believed_ns = address, now_ns
        self._aim()
        early, self._early = self._early, []
        for data, came_from, at_ns in early:
            self.datagram_received(data, came_from, at_ns)
        return True

    def _gives_way(self, source: Address, data: bytes, address: Address, here: Nearness, now_ns: int) -> bool:
        """Whether the believed source stands back for a new address."""
        there = self._nearness(source)
        if here != there:
            return here > there or (address[0] == source[0] and now_ns - self.last_ns > MOVED_AFTER_NS)
        awaited_ns = MOVED_AFTER_NS
        if here is Nearness.ELSEWHERE and address[0] != source[0] and data[8:12] != self.latest[8:12]:
            if not self.sends:  # its silence is meant
                return False
            heard_ns = self.last_ns - self._believed_ns
            awaited_ns = min(max(heard_ns, MOVED_AFTER_NS), STRANGER_AWAITED_MOST_NS)
        return now_ns - self.last_ns > awaited_ns

    def _refuse(self, data: bytes, address: Address, now_ns: int) -> None:
        """A datagram that is not this leg's, or not yet."""
        if not self._settled and len(self._early) < EARLY_MOST:
            self._early.append((data, address, now_ns))
        else:
            self.foreign += 1

    def _aim(self) -> None:
        """Send to the source; a source that the signalling of this call did not speak of is heard, but not sent to."""
        source, remote = self.source, self.remote
        known = source is None or remote is None or self._nearness(source) >= Nearness.SAME_HOST
        target = (source or remote) if known else remote
        self._target = None if target is None else self.sendable(target)
        self._unreachable = target is not None and self._target is None

    def sendable(self, address: Address) -> Address | None:
        """An address as our socket takes it; None for a host name (which would be looked up) and the other IP version."""
        host = _MAPPED + address[0] if self._is_ipv6 and ":" not in address[0] else address[0]
        try:
            socket.inet_pton(self.bound.family, host)
        except OSError:
            return None
        return host, address[1]

    def is_near(self, address: Address) -> bool:
        """Whether the signalling, or the leg's own audio, speaks of that host."""
        near = self._nearness(address) is not Nearness.ELSEWHERE
        return near or (self.source is not None and address[0] == self.source[0])

    def _nearness(self, address: Address) -> Nearness:
        return nearness(address, self.remote, self.signalling_host, self._trunk)
