"""Whose audio a leg takes: nearness to what the signalling said decides, not who came first."""

import socket

import pytest

from callqa.sip.media.spool import PacketRecord, read_records
from callqa.sip.process.capture import MOVED_AFTER_NS, LegMedia
from callqa.sip.process.clock import Clock
from callqa.units import Channel

PHONE, NAT = ("10.0.2.1", 30000), ("198.51.100.7", 41000)
LOSER, STRANGER = ("10.0.2.2", 30000), ("203.0.113.9", 5)


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


@pytest.mark.parametrize("host", ["2001:db8::1", "phone.example.net"])
def test_a_peer_that_cannot_be_reached_costs_the_recording_nothing(legs, clock, host):
    """An IPv6 address in the SDP of one side raised in the relay of the other; a name would be looked up for each packet."""
    (citizen, kept), (agent, _) = legs
    agent.ask_for((host, 4000), LOSER[0])
    for k in range(3):
        citizen.datagram_received(b"%d" % k, PHONE)
    assert heard(kept) == [b"0", b"1", b"2"]
    assert agent.unsent == 3
