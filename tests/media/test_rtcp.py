"""RTCP: any bytes are read in bounds, reports come back as they were written, and both ends find loss, jitter and delay."""

import struct
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.sip.media.rtcp import MOST_PACKETS, Heard, RtcpSession, Sent, is_rtcp, ntp_of, parse_rtcp
from callqa.sip.media.rtp import RtpPacket, build_rtp

S, MS = 1_000_000_000, 1_000_000
WALL_MS = 1_795_291_200_000


def tokens(seed: str):
    numbers = count()
    return lambda: f"{seed}{next(numbers)}"


def session(seed: str = "a", now_ns: int = 0) -> RtcpSession:
    return RtcpSession(tokens(seed), now_ns)


def packet(n: int, ssrc: int = 7, stamp: int | None = None) -> bytes:
    return build_rtp(
        RtpPacket(8, False, n & 0xFFFF, (n * 160 if stamp is None else stamp) & 0xFFFF_FFFF, ssrc, bytes(160))
    )


SENT = Sent(0x1234, 160_000, 10 * S, 1000, 160_000)


def test_a_sender_report_as_it_stands_on_the_wire():
    """RFC 3550 §6.4.1, made by hand."""
    made = struct.pack("!BBHIQIIIIIIIII", 0x81, 200, 12, 1, 2 << 32, 3, 4, 5, 6, 64 << 24 | 0xFF_FFFE, 8, 80, 10, 65536)
    report = parse_rtcp(made + bytes.fromhex("81cb0001") + struct.pack("!I", 1))
    assert report.sender is not None and report.bye
    assert (report.sender.ntp, report.sender.rtp, report.sender.packets, report.sender.octets) == (2 << 32, 3, 4, 5)
    (block,) = report.blocks
    assert (block.ssrc, block.fraction_lost, block.lost, block.highest, block.jitter, block.lsr, block.dlsr) == (
        6,
        0.25,
        -2,
        8,
        80,
        10,
        65536,
    )


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_any_bytes_are_a_report(data):
    report = parse_rtcp(data)
    assert len(report.blocks) <= 31 * MOST_PACKETS


@given(st.data())
@settings(max_examples=200)
def test_a_torn_or_altered_report_is_read_in_bounds(data):
    whole = bytearray(session().report(20 * S, WALL_MS, SENT))
    for _ in range(data.draw(st.integers(0, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    parse_rtcp(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


def test_rtp_and_rtcp_on_one_port_are_told_apart():
    assert is_rtcp(session().report(S, WALL_MS, SENT)) and is_rtcp(session().report(S, WALL_MS, None))
    for payload_type in (0, 8, 13, 96, 101, 127):
        for marker in (False, True):
            assert not is_rtcp(build_rtp(RtpPacket(payload_type, marker, 1, 1, 1, bytes(160))))


def test_intervals_are_those_of_the_rfc_and_differ():
    one, now = session("x"), 0
    pauses = []
    for _ in range(400):
        one.report(now, WALL_MS, None)
        pauses.append((one.due_ns - now) / S)
        now = one.due_ns
    assert 2.0 <= min(pauses) < 2.4 and 5.8 < max(pauses) <= 6.2
    assert 3.8 < sum(pauses) / len(pauses) < 4.4 and len(set(pauses)) > 390
    assert session("y").due_ns <= 3.1 * S


def test_round_trip_time_and_what_the_peer_hears():
    """Ours goes out at 10 s, is there 40 ms later, answered after 2 s, and here another 40 ms later."""
    ours, peer = session("o"), session("p")
    peer.heard.look(packet(1), 1)
    for n in range(2, 101):
        peer.heard.look(packet(n * 2), n)  # every second packet gets lost
    first = ours.report(10 * S, WALL_MS, SENT)
    assert peer.receive(first, 10 * S + 40 * MS) is not None
    answer = peer.report(12 * S + 40 * MS, WALL_MS + 2040, None)
    told = ours.receive(answer, 12 * S + 80 * MS)
    assert told is not None and told.packets is None
    assert told.rtt_ms == pytest.approx(80, abs=1)
    assert told.peer_lost_pct == pytest.approx(50, abs=1)


def test_a_report_of_a_report_we_never_sent_gives_no_delay():
    ours, peer = session("o"), session("p")
    peer.heard.look(packet(1), 1)
    peer.receive(session("z").report(S, WALL_MS - 5_000_000, SENT), S)
    told = ours.receive(peer.report(2 * S, WALL_MS, None), 3 * S)
    assert told is not None and told.rtt_ms is None


def test_what_is_heard_survives_the_wrap_of_the_number():
    heard, total = Heard(), 0
    for n in range(65_000, 67_000, 250):
        total += 250
        heard.look(packet(n), total)
    block = parse_rtcp(struct.pack("!BBHI", 0x81, 201, 7, 1) + heard.block(0, 0)).blocks[0]
    assert (block.highest, block.lost, block.fraction_lost) == (66_750, 0, 0.0)


def test_another_sender_begins_anew():
    heard = Heard()
    heard.look(packet(50_000, ssrc=1), 100)
    heard.look(packet(10, ssrc=2), 110)
    block = parse_rtcp(struct.pack("!BBHI", 0x81, 201, 7, 1) + heard.block(0, 0)).blocks[0]
    assert (block.ssrc, block.lost) == (2, 0)


def test_jitter_is_that_of_the_rfc():
    heard = Heard()
    heard.measure([(n * 20 * MS + (8 * MS if n % 2 else 0), n * 160) for n in range(200)])
    assert heard.jitter == pytest.approx(64, rel=0.05)  # |D| is always 8 ms
    steady = Heard()
    steady.measure([(n * 20 * MS, n * 160 + 0xFFFF_FF00 & 0xFFFF_FFFF) for n in range(200)])
    assert steady.jitter == 0


def test_ntp_time():
    assert ntp_of(0) == 2_208_988_800 << 32
    assert (ntp_of(WALL_MS + 500) >> 16) - (ntp_of(WALL_MS) >> 16) == 32768


def test_the_clocks_of_a_sender_report_meet():
    """The RTP time of the report is the last packet's, carried on by our clock."""
    report = parse_rtcp(session().report(11 * S, WALL_MS, SENT))
    assert report.sender is not None
    assert (report.sender.rtp, report.sender.ntp, report.sender.ssrc) == (168_000, ntp_of(WALL_MS), 0x1234)


def test_nothing_is_taken_leave_of_that_was_never_greeted():
    one = session()
    assert one.farewell(None) == b""
    one.report(S, WALL_MS, None)
    assert parse_rtcp(one.farewell(None)).bye
