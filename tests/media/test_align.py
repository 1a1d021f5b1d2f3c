import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.errors import SpoolError
from callqa.sip.media.align import END_MARGIN_MS, to_stereo
from callqa.sip.media.codec import PCMA, PCMU
from callqa.sip.media.rtp import RtpPacket, build_rtp
from callqa.sip.media.spool import AnsweredMark, EndedMark, ForeignMark, MediaMark, PacketRecord
from callqa.speech import Gap, GapKind, Span
from callqa.units import Channel
from tests.media.builders import G711, MS, ZERO_NS, Sender, call, replace


def channel_bytes(stereo, channel):
    return stereo.samples[:, channel].tobytes()


def lost(channel, start_ms, end_ms):
    return Gap(Channel(channel), Span(start_ms, end_ms), GapKind.LOST)


def no_media(channel, start_ms, end_ms):
    return Gap(Channel(channel), Span(start_ms, end_ms), GapKind.NO_MEDIA)


def test_a_clean_call_is_bit_exact_on_one_timeline():
    citizen = Sender(0, 100)
    agent = Sender(1, 60, start_ms=600, seed=2, ssrc=9, sequence=65_530, timestamp=2**32 - 1600)
    stereo = to_stereo(call(citizen.records() + agent.records(), 2000))
    assert stereo.encoding == "alaw"
    assert stereo.duration_ms == 2000
    assert channel_bytes(stereo, 0) == citizen.audio()
    assert channel_bytes(stereo, 1) == bytes([PCMA.idle]) * 4800 + agent.audio() + bytes([PCMA.idle]) * 1600
    assert stereo.gaps == (no_media(1, 0, 600), no_media(1, 1800, 2000))
    assert [(s.packets, s.lost, s.foreign, s.ssrcs, s.codec) for s in stereo.streams] == [
        (100, 0, 0, 1, "PCMA"),
        (60, 0, 0, 1, "PCMA"),
    ]


def test_both_legs_in_ulaw_stay_ulaw_and_two_laws_become_samples():
    citizen, agent = Sender(0, 50, payload_type=0), Sender(1, 50, payload_type=0, seed=2)
    assert channel_bytes(to_stereo(call(citizen.records() + agent.records(), 1000)), 0) == citizen.audio()
    agent = replace(agent, payload_type=8)
    stereo = to_stereo(call(citizen.records() + agent.records(), 1000))
    assert stereo.encoding == "pcm16"
    assert stereo.samples[:, 0].tolist() == PCMU.decode(citizen.audio()).tolist()
    assert stereo.samples[:, 1].tolist() == PCMA.decode(agent.audio()).tolist()


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF))
def test_reordering_and_duplicates_do_not_change_the_audio(rng, sequence, timestamp):
    """Packets are late, never early; any tenth packet is on time, which is what the anchor needs."""
    sender = Sender(0, 80, sequence=sequence, timestamp=timestamp)
    clean = to_stereo(call(sender.records(), 1600))
    late = [sender.record(k, 0 if k % 10 == 9 else rng.uniform(0, 150)) for k in range(80)]
    late += [sender.record(k, rng.uniform(0, 300)) for k in rng.sample(range(80), 20)]
    stereo = to_stereo(call(late, 1600))
    assert channel_bytes(stereo, 0) == channel_bytes(clean, 0) == sender.audio()
    assert stereo.streams[0].lost == 0
    assert stereo.streams[0].duplicates == 20


def test_the_first_packet_is_kept_when_the_second_is_held_up():
    sender = Sender(0, 80)
    late = [sender.record(k, {1: 101, 4: 71}.get(k, 0)) for k in range(80)]
    assert channel_bytes(to_stereo(call(late, 1600)), 0) == sender.audio()


def test_losses_are_gaps_of_their_own_length():
    sender = Sender(0, 100)
    missing = {10, 11, 12, 50}
    stereo = to_stereo(call([sender.record(k) for k in range(100) if k not in missing], 2000))
    expected = bytearray(sender.audio())
    for k in missing:
        expected[k * 160 : k * 160 + 160] = bytes([PCMA.idle]) * 160
    assert channel_bytes(stereo, 0) == bytes(expected)
    assert [g for g in stereo.gaps if g.channel == 0] == [lost(0, 200, 260), lost(0, 1000, 1020)]
    assert stereo.streams[0].lost == 4


def test_silence_suppression_leaves_a_gap_without_media_and_no_loss():
    sender = Sender(0, 100)
    packets = []
    for k in [*range(30), *range(70, 100)]:
        packet = sender.packet(k)
        sequence = packet.sequence - (40 if k >= 70 else 0)
        packets.append(PacketRecord(0, sender.record(k).arrival_ns, build_rtp(replace(packet, sequence=sequence))))
    stereo = to_stereo(call(packets, 2000))
    assert [g for g in stereo.gaps if g.channel == 0] == [no_media(0, 600, 1400)]
    assert stereo.streams[0].lost == 0
    assert channel_bytes(stereo, 0)[11_200:] == sender.audio()[11_200:]


def test_hold_leaves_a_gap_and_keeps_both_channels_aligned():
    """The agent holds from 400 to 1200 ms; its phone stops its clock meanwhile, as some do, and resumes."""
    citizen = Sender(0, 100)
    first, second = Sender(1, 20, seed=2), Sender(1, 40, start_ms=1200, seed=3, sequence=120, timestamp=1000 + 20 * 160)
    marks = [
        MediaMark(at_ns=ZERO_NS + 400 * MS, channel=1, codecs=G711, held=True),
        MediaMark(at_ns=ZERO_NS + 1200 * MS, channel=1, codecs=G711),
    ]
    stereo = to_stereo(call(citizen.records() + first.records() + second.records(), 2000, marks))
    assert stereo.gaps == (Gap(Channel.AGENT, Span(400, 1200), GapKind.HELD),)
    assert channel_bytes(stereo, 0) == citizen.audio()
    assert channel_bytes(stereo, 1)[9600:] == second.audio()


def test_a_stall_of_the_network_keeps_the_place_of_every_frame():
    """Nothing comes for 2 s, then everything at once: late, but numbered as if nothing had happened."""
    sender = Sender(0, 300)
    packets = [sender.record(k, max(0, 4000 - 20 * k) if 100 <= k < 200 else 0) for k in range(300)]
    stereo = to_stereo(call(packets, 6000))
    assert channel_bytes(stereo, 0) == sender.audio()
    assert not [g for g in stereo.gaps if g.channel == 0]


def test_a_new_ssrc_is_placed_by_its_arrival():
    first = Sender(0, 100)
    second = Sender(0, 100, start_ms=3000, seed=2, ssrc=77, sequence=5, timestamp=4_000_000_000)
    stereo = to_stereo(call(first.records() + second.records(), 5000))
    assert channel_bytes(stereo, 0)[:16_000] == first.audio()
    assert channel_bytes(stereo, 0)[24_000:] == second.audio()
    assert [g for g in stereo.gaps if g.channel == 0] == [no_media(0, 2000, 3000)]
    assert stereo.streams[0].ssrcs == 2


def test_a_restarted_sender_is_placed_by_its_arrival():
    """The same SSRC with new numbers and another clock."""
    first = Sender(0, 100)
    second = Sender(0, 100, start_ms=2000, seed=2, sequence=40_000, timestamp=3_000_000_000)
    stereo = to_stereo(call(first.records() + second.records(), 4000))
    assert channel_bytes(stereo, 0) == first.audio() + second.audio()
    assert stereo.streams[0].lost == 0


def test_a_stranger_on_the_port_is_counted_and_left_out():
    sender = Sender(0, 100)
    stranger = Sender(0, 40, start_ms=500, seed=9, ssrc=666)
    stereo = to_stereo(
        call(sender.records() + stranger.records(), 2000, [ForeignMark(at_ns=ZERO_NS, channel=0, count=7)])
    )
    assert channel_bytes(stereo, 0) == sender.audio()
    assert stereo.streams[0].foreign == 47


def test_a_packet_with_a_wild_timestamp_moves_nothing():
    sender = Sender(0, 100)
    packets = sender.records()
    wild = replace(sender.packet(40), timestamp=3_999_999_999)
    packets[40] = PacketRecord(0, packets[40].arrival_ns, build_rtp(wild))
    stereo = to_stereo(call(packets, 2000))
    assert channel_bytes(stereo, 0)[: 40 * 160] == sender.audio()[: 40 * 160]
    assert channel_bytes(stereo, 0)[41 * 160 :] == sender.audio()[41 * 160 :]


def test_digits_pressed_are_no_audio_and_no_loss():
    sender = Sender(0, 100)
    packets = sender.records()
    for k in range(30, 36):
        event = replace(sender.packet(k), payload_type=101, timestamp=sender.packet(30).timestamp, payload=b"\5\0\0\0")
        packets[k] = PacketRecord(0, packets[k].arrival_ns, build_rtp(event))
    stereo = to_stereo(call(packets, 2000))
    assert [g for g in stereo.gaps if g.channel == 0] == [no_media(0, 600, 720)]
    assert stereo.streams[0].lost == 0


def test_early_media_is_cut_at_the_answer():
    early = Sender(1, 200, start_ms=-2000)
    stereo = to_stereo(call(early.records(), 2000))
    assert channel_bytes(stereo, 1) == early.audio()[16_000:]
    assert stereo.lead_ms == 0


def test_a_recording_begins_with_the_audio_that_overtook_the_answer():
    """Both legs keep their distance: t = 0 moves, no audio does."""
    agent, citizen = Sender(1, 50, start_ms=-246), Sender(0, 40, start_ms=14, seed=2)
    stereo = to_stereo(call(agent.records() + citizen.records(), 814))
    assert stereo.lead_ms == 246
    assert stereo.duration_ms == 246 + 814
    assert channel_bytes(stereo, 1)[:8000] == agent.audio()
    assert channel_bytes(stereo, 0)[260 * 8 :] == citizen.audio()


def test_the_frame_in_flight_at_the_end_is_kept():
    sender = Sender(0, 50)
    stereo = to_stereo(call(sender.records(), 985))
    assert channel_bytes(stereo, 0) == sender.audio()


def test_unknown_codecs_are_named():
    stereo = to_stereo(call(Sender(0, 10, payload_type=12).records(), 200))
    assert not stereo.heard
    assert stereo.faults == ("诉求人一侧有 10 个媒体包的编码无法解码（RTP 载荷类型 12）；请把话机或中继设为 G.711",)


def test_no_media_at_all_is_silence_of_the_whole_call():
    stereo = to_stereo(call([], 1500))
    assert not stereo.heard
    assert stereo.gaps == (no_media(0, 0, 1500), no_media(1, 0, 1500))


def test_a_call_that_was_never_answered_has_no_timeline():
    with pytest.raises(SpoolError, match="never answered"):
        to_stereo([r for r in call([], 100) if not isinstance(r, AnsweredMark)])


def test_without_an_end_the_last_record_is_the_end():
    records = [r for r in call(Sender(0, 50).records(), 9000) if not isinstance(r, EndedMark)]
    assert to_stereo(records).duration_ms == 1000


def test_jitter_is_that_of_rfc_3550():
    sender = Sender(0, 400)
    stereo = to_stereo(call([sender.record(k, 10 * (k % 2)) for k in range(400)], 8000))
    assert stereo.streams[0].jitter_ms == pytest.approx(10, abs=0.1)


hostile_packets = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 2_000),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFF_FFFF),
        st.integers(0, 3),
        st.sampled_from([0, 8, 13, 96, 101]),
        st.integers(0, 400),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(hostile_packets)
def test_hostile_packets_cannot_make_the_recording_longer_than_the_call(rows):
    packets = [
        PacketRecord(channel, ZERO_NS + ms * MS, build_rtp(RtpPacket(pt, False, seq, ts, ssrc, b"\x11" * size)))
        for channel, ms, seq, ts, ssrc, pt, size in rows
    ]
    stereo = to_stereo(call(packets, 2000))
    assert 2000 <= stereo.duration_ms - stereo.lead_ms <= 2000 + END_MARGIN_MS
    for channel in (Channel.CITIZEN, Channel.AGENT):
        spans = [g.span for g in stereo.gaps if g.channel == channel]
        assert all(a.end_ms <= b.start_ms + 1 for a, b in pairwise(spans))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.binary(max_size=60)), max_size=40))
def test_garbage_on_the_port_is_counted(rows):
    sender = Sender(0, 50)
    garbage = [PacketRecord(0, ZERO_NS + ms * MS, b"\0" + data) for ms, data in rows]
    stereo = to_stereo(call(sender.records() + garbage, 3000))
    assert channel_bytes(stereo, 0)[:8000] == sender.audio()
    assert stereo.streams[0].foreign == len(rows)


def test_ten_minutes_with_one_loss_in_a_hundred_stay_on_the_clock():
    rng = random.Random(5)
    sender = Sender(0, 30_000, sequence=65_000, timestamp=2**32 - 80_000)
    keep = sorted(rng.sample(range(1, 29_999), 29_700))
    stereo = to_stereo(call([sender.record(0), *(sender.record(k) for k in keep)], 600_000))
    frames = stereo.samples[:, 0].reshape(-1, 160)
    assert all(frames[k].tobytes() == sender.payload(k) for k in keep)
    idle = np.full(160, PCMA.idle, np.uint8)
    assert all((frames[k] == idle).all() for k in set(range(1, 29_998)) - set(keep))


@pytest.mark.parametrize("off_ms", [-8, -0.5, 0, 0.5, 8])
@pytest.mark.parametrize("ssrc", [0x1234, 77], ids=["timestamp_jump", "new_ssrc"])
def test_a_sender_that_starts_anew_in_mid_speech_cuts_into_no_frame(ssrc, off_ms):
    """Its new clock is anchored by arrival, which is some samples off; the audio must go on where it was."""
    first = Sender(0, 100)
    second = Sender(0, 100, start_ms=2000, seed=2, ssrc=ssrc, sequence=200, timestamp=3_000_000_000)
    packets = first.records() + [second.record(k, off_ms) for k in range(100)]
    stereo = to_stereo(call(packets, 4000))
    assert channel_bytes(stereo, 0) == first.audio() + second.audio()
    assert not [g for g in stereo.gaps if g.channel == 0]


def test_a_frame_lost_where_a_sender_starts_anew_stays_a_gap():
    first = Sender(0, 100)
    second = Sender(0, 100, start_ms=2020, seed=2, ssrc=77)
    stereo = to_stereo(call(first.records() + second.records(), 4020))
    assert channel_bytes(stereo, 0)[: 160 * 100] == first.audio()
    assert channel_bytes(stereo, 0)[160 * 101 :] == second.audio()


@pytest.mark.parametrize("jump", [4000, -4000, 1600, -1600, 2400, 1 << 31, (1 << 31) - 40])
def test_a_clock_that_is_set_anew_in_one_stream_moves_nothing(jump):
    """Half a second and less was once taken for delay, and half the range lay now before, now behind; with jitter here."""
    rng = random.Random(jump)
    first = Sender(0, 100, sequence=65_500, timestamp=7)
    second = Sender(0, 100, start_ms=2000, seed=2, sequence=65_600 % 65_536, timestamp=(7 + 16_000 + jump) % (1 << 32))
    packets = [first.record(k, rng.choice((0, 0, 3, 12))) for k in range(100)]
    packets += [second.record(k, rng.choice((0, 0, 3, 12))) for k in range(100)]
    stereo = to_stereo(call(packets, 4000))
    assert channel_bytes(stereo, 0) == first.audio() + second.audio()


@pytest.mark.parametrize("late_ms", [150, 400])
def test_a_stall_after_a_silence_is_no_clock_set_anew(late_ms):
    """The first words after a pause come late, together with those after them: they stay where they were said."""
    sender = Sender(0, 200, timestamp=2**32 - 5000)
    spoken = [k for k in range(200) if not 60 <= k < 90]
    renumbered = [sender.record(k, max(0, late_ms - 20 * (k - 90)) if k >= 90 else 0) for k in spoken]
    stereo = to_stereo(call(_in_sequence(renumbered), 4000))
    frames = stereo.samples[:, 0].reshape(-1, 160)
    assert all(frames[k].tobytes() == sender.payload(k) for k in spoken)


def _in_sequence(packets):
    """A sender that is silent sends nothing, so its sequence numbers go on."""
    return [replace(p, data=p.data[:2] + k.to_bytes(2, "big") + p.data[4:]) for k, p in enumerate(packets)]


@pytest.mark.parametrize("jitter_ms", [(0,), (0, 0, 3, 12)])
def test_a_clock_that_stands_still_in_each_silence_lets_the_sides_not_drift(jitter_ms):
    """Some phones stop their clock while they are silent. Each of these 300 ms is less than a stall, ten are a sentence."""
    rng = random.Random(3)
    sender = Sender(0, 300, timestamp=2**32 - 5000)
    packets = [
        replace(sender.record(k), arrival_ns=ZERO_NS + (20 * k + 300 * (k // 25) + rng.choice(jitter_ms)) * MS)
        for k in range(300)
    ]
    stereo = to_stereo(call(packets, 10_000))
    heard = channel_bytes(stereo, 0)
    assert all(heard.find(sender.payload(k)) == 8 * (20 * k + 300 * (k // 25)) for k in range(300))
