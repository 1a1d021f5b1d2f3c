"""Whose audio a leg takes: nearness to what the signalling said decides, not who came first."""

import asyncio
import socket
import struct
from time import time_ns

import pytest

from callqa.sip.events import MediaTerms
from callqa.sip.media.spool import PacketRecord, read_records
from callqa.sip.process.batches import SO_TIMESTAMPNS
from callqa.sip.process.clock import Clock
from callqa.sip.process.leg_media import EARLY_MOST, MOVED_AFTER_NS, STRANGER_AWAITED_MOST_NS, LegMedia
from callqa.sip.process.nearness import Listed
from callqa.sip.process.ports import bind_rtp
from callqa.sip.process.rtp_sockets import RtpSockets
from callqa.units import Channel
from tests.recorder.harness import LIMIT_S

PHONE, NAT = ("10.0.2.1", 30000), ("198.51.100.7", 41000)
LOSER, STRANGER = ("10.0.2.2", 30000), ("203.0.113.9", 5)
GATEWAY = ("192.0.2.20", 9000)
S = 1_000_000_000


class Wire:
    """A socket that notes what is sent."""

    family = socket.AF_INET

    def __init__(self):
        self.sent = []

    def sendto(self, data, address):
        self.sent.append((data, address))


@pytest.fixture
def clock():
    """[monotonic nanoseconds]"""
    return [10 * MOVED_AFTER_NS]


@pytest.fixture
def legs(clock):
    """Citizen and agent, connected; what each kept."""
    made = []
    time = Clock()
    time.monotonic_ns = lambda: clock[0]
    for channel in (Channel.CITIZEN, Channel.AGENT):
        kept = []
        made.append((LegMedia(channel, 20000, Wire(), kept.append, time), kept))
    (citizen, _), (agent, _) = made
    citizen.other, agent.other = agent, citizen
    return made


def heard(kept):
    return [r.data for r in read_records(b"callqa-spool/1\n" + b"".join(kept)) if isinstance(r, PacketRecord)]


def test_a_stranger_who_was_first_is_displaced_by_a_phone_behind_nat(legs, clock):
    """Its SDP names its private address; its SIP comes from the same host as its RTP."""
    leg, kept = legs[1]
    leg.ask_for(("192.168.1.9", 4000), NAT[0])
    leg.datagram_received(b"stranger", STRANGER)
    for _ in range(3):
        leg.datagram_received(b"phone", NAT)
    leg.datagram_received(b"stranger", STRANGER)
    assert heard(kept) == [b"stranger", b"phone", b"phone", b"phone"]
    assert (leg.source, leg.foreign) == (NAT, 1)


def test_a_phone_that_lost_the_race_cannot_keep_the_winner_out(legs, clock):
    """Every phone that rang was offered the same port; one that answered too late may speak first."""
    leg, kept = legs[1]
    leg.ask_for(None, LOSER[0])
    leg.ask_for(("192.168.1.9", 4000), NAT[0])
    leg.datagram_received(b"loser", LOSER)
    leg.datagram_received(b"winner", NAT)
    leg.datagram_received(b"loser", LOSER)
    assert leg.source == NAT
    assert heard(kept)[-1] == b"winner"


def test_nobody_farther_takes_over_however_long_the_peer_is_silent(legs, clock):
    leg, _ = legs[0]
    leg.ask_for(PHONE, PHONE[0])
    leg.datagram_received(b"phone", PHONE)
    clock[0] += 60 * MOVED_AFTER_NS
    leg.datagram_received(b"stranger", STRANGER)
    assert (leg.source, leg.foreign) == (PHONE, 1)


def test_a_phone_that_moves_to_another_port_of_its_host_is_followed_after_a_second(legs, clock):
    leg, _ = legs[0]
    leg.ask_for(PHONE, PHONE[0])
    leg.datagram_received(b"phone", PHONE)
    moved = (PHONE[0], 30100)
    leg.datagram_received(b"too soon", moved)
    assert leg.source == PHONE
    clock[0] += MOVED_AFTER_NS + 1
    leg.datagram_received(b"phone", moved)
    assert leg.source == moved


def test_a_media_gateway_that_the_signalling_never_named_is_heard_but_not_sent_to(legs, clock):
    """Sending to whoever is first on the port would give the call away."""
    (citizen, kept), (agent, _) = legs
    citizen.ask_for(PHONE, PHONE[0])
    citizen.datagram_received(b"gateway", STRANGER)
    agent.datagram_received(b"agent", LOSER)
    assert heard(kept) == [b"gateway"]
    assert citizen.bound.sent == [(b"agent", PHONE)]


def rtp(ssrc, number=0):
    return struct.pack(">BBHII", 0x80, 8, number, number * 160, ssrc) + b"voice"


@pytest.mark.parametrize("listed", [("192.0.2.0/24",), ("junk/99", GATEWAY[0])])
def test_a_gateway_on_the_trunks_list_is_believed_before_any_stranger(legs, clock, listed):
    """Though the stranger was first and never is silent; where the call is sent to remains the SDP's to say."""
    (citizen, kept), (agent, _) = legs
    citizen.ask_for(PHONE, PHONE[0], Listed.of(listed))
    for k in range(3):
        citizen.datagram_received(b"stranger", STRANGER)
        citizen.datagram_received(b"%d" % k, GATEWAY)
    agent.datagram_received(b"agent", LOSER)
    assert heard(kept) == [b"stranger", b"0", b"1", b"2"]
    assert (citizen.source, citizen.foreign) == (GATEWAY, 2)
    assert citizen.bound.sent == [(b"agent", PHONE)]


def test_nobody_takes_a_call_from_a_gateway_that_pauses(legs, clock):
    """It was heard for ten minutes and says nothing for twenty seconds: a stranger may not go on in its place."""
    leg, _ = legs[0]
    leg.ask_for(PHONE, PHONE[0])
    for k in range(600):
        clock[0] += S
        leg.datagram_received(rtp(1, k), GATEWAY)
    for _ in range(20):
        clock[0] += S
        leg.datagram_received(rtp(2), STRANGER)
    leg.datagram_received(rtp(1, 600), GATEWAY)
    assert (leg.source, leg.foreign, leg.packets) == (GATEWAY, 20, 601)


def test_a_gateway_whose_stream_goes_on_from_elsewhere_is_followed_after_a_second(legs, clock):
    leg, _ = legs[0]
    leg.ask_for(PHONE, PHONE[0])
    for k in range(60):
        clock[0] += S
        leg.datagram_received(rtp(1, k), GATEWAY)
    clock[0] += S + 1
    leg.datagram_received(rtp(1, 60), STRANGER)
    assert leg.source == STRANGER


def test_one_packet_of_a_stranger_does_not_keep_the_gateway_out(legs, clock):
    leg, _ = legs[0]
    leg.ask_for(PHONE, PHONE[0])
    leg.datagram_received(rtp(2), STRANGER)
    clock[0] += S + 1
    leg.datagram_received(rtp(1), GATEWAY)
    assert leg.source == GATEWAY


def test_a_gateway_that_failed_over_is_heard_again_but_not_while_silence_is_meant(legs, clock):
    leg, _ = legs[0]
    leg.ask_for(PHONE, PHONE[0])
    for k in range(600):
        clock[0] += S
        leg.datagram_received(rtp(1, k), GATEWAY)
    leg.agree(MediaTerms(sends=False))
    clock[0] += STRANGER_AWAITED_MOST_NS + 1
    leg.datagram_received(rtp(2), STRANGER)
    assert leg.source == GATEWAY
    leg.agree(MediaTerms())
    leg.datagram_received(rtp(2), STRANGER)
    assert leg.source == STRANGER


@pytest.mark.parametrize("host", ["2001:db8::1", "phone.example.net"])
def test_a_peer_that_cannot_be_reached_costs_the_recording_nothing(legs, clock, host):
    """An IPv6 address in the SDP of one side raised in the relay of the other; a name would be looked up for each packet."""
    (citizen, kept), (agent, _) = legs
    agent.ask_for((host, 4000), LOSER[0])
    for k in range(3):
        citizen.datagram_received(b"%d" % k, PHONE)
    assert heard(kept) == [b"0", b"1", b"2"]
    assert agent.unsent == 3


def kept_at(kept):
    return [
        (r.data, r.arrival_ns)
        for r in read_records(b"callqa-spool/1\n" + b"".join(kept))
        if isinstance(r, PacketRecord)
    ]


def test_what_came_before_the_sdp_is_kept_with_its_own_time_if_it_was_the_peers(legs, clock):
    """A phone that lost the race speaks first on the port that both were offered; the answer of the winner was lost once."""
    leg, kept = legs[1]
    leg.ask_for(None, LOSER[0])
    leg.wait_for_sdp()
    for k, who in enumerate((LOSER, PHONE, LOSER, PHONE)):
        leg.datagram_received(b"%d" % k, who, clock[0] + k)
    assert (heard(kept), leg.source) == ([], None)
    leg.ask_for(PHONE, PHONE[0])
    leg.settle([(b"4", PHONE, clock[0] + 4)])
    assert kept_at(kept) == [(b"1", clock[0] + 1), (b"3", clock[0] + 3), (b"4", clock[0] + 4)]
    assert (leg.source, leg.foreign) == (PHONE, 2)


def test_a_gateway_that_nobody_named_is_kept_from_before_the_sdp_when_it_speaks_on(legs, clock):
    leg, kept = legs[1]
    leg.wait_for_sdp()
    leg.datagram_received(b"early", STRANGER, 5)
    leg.ask_for(PHONE, PHONE[0])
    leg.settle()
    assert heard(kept) == []
    leg.datagram_received(b"late", STRANGER, 6)
    assert kept_at(kept) == [(b"early", 5), (b"late", 6)]


def test_what_waits_for_the_sdp_is_bounded(legs):
    leg, kept = legs[1]
    leg.wait_for_sdp()
    for _ in range(EARLY_MOST + 7):
        leg.datagram_received(b"flood", STRANGER)
    leg.ask_for(PHONE, PHONE[0])
    leg.settle()
    assert (heard(kept), leg.foreign) == ([], 7)
    leg.datagram_received(b"phone", PHONE)
    assert (heard(kept), leg.foreign) == ([b"phone"], 7 + EARLY_MOST)


def test_a_peer_on_hold_keeps_strangers_out(legs, clock):
    """With nothing to be sent to (c=0.0.0.0) its SDP names no address any more; it is the same peer."""
    leg, kept = legs[1]
    leg.ask_for(PHONE, PHONE[0])
    leg.datagram_received(b"phone", PHONE)
    leg.ask_for(None, PHONE[0])
    leg.datagram_received(b"stranger", STRANGER)
    leg.datagram_received(b"phone", PHONE)
    assert (heard(kept), leg.foreign) == ([b"phone", b"phone"], 1)


def test_what_waited_on_a_port_has_the_kernels_time(clock):
    """Read five seconds later, by a clock that says so."""
    later_ns = 5_000_000_000
    began_ns = time_ns() - 3600 * 1_000_000_000
    time = Clock()  # both of its times come from one source, so that comparing them costs no precision
    time.monotonic_ns = lambda: time_ns() - began_ns + later_ns
    time.wall_ns = lambda: time_ns() + later_ns
    loop = asyncio.new_event_loop()
    sockets = RtpSockets(loop, clock=time)
    bound = bind_rtp("127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        deadline_ns = time_ns() + int(LIMIT_S * 1_000_000_000)
        while True:  # the kernel begins to stamp a moment after the first socket asks for it
            bound.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            before_ns = time_ns() - began_ns
            for data in (b"1", b"2"):
                phone.sendto(data, bound.getsockname())
            (one, source, at_ns), (two, _, after_ns) = sockets.take_waiting(bound)
            assert (one, two, source) == (b"1", b"2", phone.getsockname())
            if at_ns < before_ns + later_ns or time_ns() > deadline_ns:
                break
    assert sockets.take_waiting(bound) == []
    near_ns = 100_000  # both clocks are read one after the other, the quickest of three times
    assert before_ns - near_ns <= at_ns <= after_ns <= time_ns() - began_ns + near_ns
    sockets.close()
    loop.close()
    bound.close()
