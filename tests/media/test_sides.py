"""Calls of more than two streams: several on one side, told late, mixed by the sender, or hostile."""

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest

from callqa.sip.media.align import to_stereo
from callqa.sip.media.codec import PCMA
from callqa.sip.media.export import to_frames
from callqa.sip.media.layers import read_datagrams
from callqa.sip.media.rtp import RtpPacket, build_rtp
from callqa.sip.media.spool import (
    STREAMS_MOST,
    FactsMark,
    MediaMark,
    PacketRecord,
    PartyMark,
    SideMark,
    read_records,
    sides_of,
)
from callqa.sip.media.story import sidecar_of, tell
from callqa.speech import GapKind
from tests.media.builders import G711, MS, ZERO_NS, Sender, call, replace, spool_bytes, when

DATA = Path(__file__).parents[1] / "data" / "spool"
IDLE = PCMA.encode_table[0]


def side(channel: int, of: int | None, at_ms: int = 0) -> SideMark:
    return SideMark(at_ns=ZERO_NS + at_ms * MS, channel=channel, side=of)


def mixed_by_hand(a: bytes, b: bytes) -> bytes:
    total = PCMA.decode(a).astype(np.int32) + PCMA.decode(b)
    return PCMA.encode(np.clip(total, -32768, 32767).astype(np.int16))


def muted(sender: Sender) -> list[PacketRecord]:
    """The sender's packets with nothing but idle code in them."""
    return [
        PacketRecord(sender.channel, sender.record(k).arrival_ns, build_rtp(replace(sender.packet(k), payload=bytes([IDLE]) * 160)))
        for k in range(sender.frames)
    ]  # fmt: skip


def in_order(*senders: list[PacketRecord]) -> list[PacketRecord]:
    return sorted((record for records in senders for record in records), key=when)


def test_a_spool_written_before_there_were_streams_gives_the_same_audio():
    stereo = to_stereo(read_records((DATA / "two_frames.spool").read_bytes()))
    digest = "e0a645183a297ba8cf688dbf69c3515f9d98b5b0f40914980ed1f326c4ff82a3"
    assert hashlib.sha256(stereo.samples.tobytes()).hexdigest() == digest


def test_without_a_mark_even_streams_are_the_citizens_and_odd_ones_the_agents():
    assert sides_of([])[:4] == (0, 1, 0, 1)
    assert sides_of([side(3, 0), side(2, None), side(2, 1)])[:4] == (0, 1, 1, 0)


def test_one_after_the_other_on_one_side_both_stay_bit_for_bit():
    first, second, agent = Sender(0, 10), Sender(2, 10, 200, seed=2, ssrc=9), Sender(1, 20, seed=3, ssrc=5)
    stereo = to_stereo(call(in_order(first.records(), second.records(), agent.records()), 400))
    assert stereo.encoding == "alaw"
    assert stereo.samples[:, 0].tobytes() == first.audio() + second.audio()
    assert stereo.samples[:, 1].tobytes() == agent.audio()
    assert not stereo.gaps


def test_of_two_on_one_side_at_once_the_samples_are_added():
    one, two = Sender(1, 10), Sender(3, 10, seed=2, ssrc=9)
    stereo = to_stereo(call(in_order(one.records(), two.records()), 200))
    assert stereo.encoding == "alaw"
    agreed = stereo.samples[:, 1].tobytes()
    expected = mixed_by_hand(one.audio(), two.audio())
    loud = ~np.isin(np.frombuffer(one.audio(), np.uint8), (IDLE, IDLE ^ 0x80))
    loud &= ~np.isin(np.frombuffer(two.audio(), np.uint8), (IDLE, IDLE ^ 0x80))
    assert np.array_equal(np.frombuffer(agreed, np.uint8)[loud], np.frombuffer(expected, np.uint8)[loud])
    assert PCMA.decode(agreed).max() == PCMA.decode_table.max()  # saturated, not wrapped


def test_a_muted_participant_changes_no_byte():
    one, two = Sender(0, 10), Sender(2, 10, seed=2, ssrc=9)
    for packets in (in_order(one.records(), muted(two)), in_order(muted(two), one.records())):
        stereo = to_stereo(call(packets, 200))
        heard = stereo.samples[:, 0].tobytes()
        quiet = {IDLE, IDLE ^ 0x80}
        assert all(a == b or {a, b} <= quiet for a, b in zip(heard, one.audio(), strict=True))


def test_a_side_that_is_told_late_counts_from_the_first_packet():
    citizen, agent = Sender(0, 20), Sender(1, 20, seed=2, ssrc=9)
    stereo = to_stereo(call(in_order(citizen.records(), agent.records()), 400, [side(0, 1, 300), side(1, 0, 300)]))
    assert stereo.samples[:, 0].tobytes() == agent.audio()
    assert stereo.samples[:, 1].tobytes() == citizen.audio()


def test_two_voices_in_one_stream_make_a_recording_of_one_channel():
    both = Sender(0, 10)
    records = call(both.records(), 200, [side(0, None)])
    stereo = to_stereo(records)
    assert stereo.mono
    assert stereo.samples.shape == (1600, 1)
    assert stereo.samples[:, 0].tobytes() == both.audio()
    assert [f.packets for f in stereo.streams] == [10]
    sidecar = sidecar_of(tell(records), stereo, None, recovered=False, recorder="t")
    (fault,) = sidecar.faults
    assert "不区分说话人" in fault


def test_a_mix_beside_both_sides_is_left_out():
    citizen, agent, mix = Sender(0, 10), Sender(1, 10, seed=2, ssrc=9), Sender(2, 10, seed=3, ssrc=7)
    packets = in_order(citizen.records(), agent.records(), mix.records())
    stereo = to_stereo(call(packets, 200, [side(2, None)]))
    assert not stereo.mono
    assert stereo.samples[:, 0].tobytes() == citizen.audio()
    assert stereo.samples[:, 1].tobytes() == agent.audio()


def test_a_mix_beside_one_side_alone_is_what_is_kept():
    """Else the other voice would be lost."""
    citizen, mix = Sender(0, 10), Sender(2, 10, seed=3, ssrc=7)
    stereo = to_stereo(call(in_order(citizen.records(), mix.records()), 200, [side(2, None)]))
    assert stereo.samples[:, 0].tobytes() == mix.audio()


def test_a_lost_packet_is_a_gap_while_another_of_the_side_goes_on():
    one, two = Sender(0, 20), Sender(2, 20, seed=2, ssrc=9)
    packets = in_order(
        [r for k, r in enumerate(one.records()) if k not in (7, 8)], two.records(), Sender(1, 20).records()
    )
    stereo = to_stereo(call(packets, 400))
    lost = [(g.channel, g.span.start_ms, g.span.end_ms) for g in stereo.gaps if g.kind is GapKind.LOST]
    assert lost == [(0, 140, 180)]
    assert stereo.streams[0].lost == 2
    assert stereo.streams[0].packets == 38


def test_streams_of_two_laws_are_added_as_linear_samples():
    one, two = Sender(0, 10), Sender(2, 10, seed=2, ssrc=9, payload_type=0)
    stereo = to_stereo(call(in_order(one.records(), two.records()), 200, [replace_codecs(2)]))
    assert stereo.encoding == "pcm16"


def replace_codecs(channel: int) -> MediaMark:
    return MediaMark(at_ns=ZERO_NS - MS, channel=channel, codecs=G711)


def test_a_pause_of_the_recording_client_is_called_so():
    marks = [
        MediaMark(at_ns=ZERO_NS + at_ms * MS, channel=c, codecs=G711, held=at_ms == 200, paused=at_ms == 200)
        for at_ms in (200, 600)
        for c in (0, 1)
    ]
    parts = [Sender(c, 10, at, seed=c + 1, ssrc=c + 5, sequence=s, timestamp=t)
             for c in (0, 1) for at, s, t in ((0, 100, 1000), (600, 110, 5800))]  # fmt: skip
    stereo = to_stereo(call(in_order(*(p.records() for p in parts)), 800, marks))
    assert [(g.channel, g.span.start_ms, g.span.end_ms, g.kind) for g in stereo.gaps] == [
        (0, 200, 600, GapKind.PAUSED),
        (1, 200, 600, GapKind.PAUSED),
    ]


def test_what_is_learnt_late_stands_in_the_sidecar():
    marks = [
        FactsMark(at_ns=ZERO_NS, direction="outbound", from_number="96510", seat_extension="8002", joined_by="UCID:1"),
        PartyMark(at_ns=ZERO_NS, address="sip:8002@pbx", side=1),
        PartyMark(at_ns=ZERO_NS + MS, address="sip:8002@pbx", name="张三", side=1),
        PartyMark(at_ns=ZERO_NS + MS, address="sip:8003@pbx", side=1),
        PartyMark(at_ns=ZERO_NS + 50 * MS, address="sip:8003@pbx", side=1, left=True),
        PartyMark(at_ns=ZERO_NS + 90 * MS, address="sip:8003@pbx", name="李四", side=1, left=True),
        PartyMark(at_ns=ZERO_NS + MS, address="sip:8004@pbx", side=1, left=True),
        PartyMark(at_ns=ZERO_NS + 60 * MS, address="sip:8004@pbx", side=1),
        FactsMark(at_ns=ZERO_NS + MS, to_number="13871206358", sip_call_ids=("a", "b", "c")),
    ]
    records = call(Sender(0, 10).records(), 200, marks)
    sidecar = sidecar_of(tell(records), to_stereo(records), None, recovered=False, recorder="t")
    assert (sidecar.direction, sidecar.from_number, sidecar.to_number) == ("outbound", "96510", "13871206358")
    assert sidecar.seat_extension == "8002"
    assert sidecar.joined_by == "UCID:1"
    assert sidecar.sip_call_ids == ("a", "b", "c")
    left_at_ms = sidecar.answered_at_ms + 50
    assert [(p.name, p.address, p.channel, p.left_at_ms) for p in sidecar.parties] == [
        ("张三", "sip:8002@pbx", 1, None),
        ("李四", "sip:8003@pbx", 1, left_at_ms),  # when he went, not when his name was told
        ("", "sip:8004@pbx", 1, None),  # he came back
    ]
    assert list(read_records(spool_bytes(records))) == records


def test_an_export_shows_each_stream_from_a_port_of_its_own():
    packets = in_order(*(Sender(c, 2, seed=c + 1, ssrc=c + 5).records() for c in range(4)))
    sent = [d for d in read_datagrams(to_frames(call(packets, 40))) if d.data[0] == 0x80]
    assert len({d.source for d in sent}) == 4
    assert len(sent) == 8


@pytest.mark.parametrize("seed", range(3))
def test_sixteen_hostile_streams_cost_no_more_than_the_duration(seed):
    rng = random.Random(seed)
    packets = [
        PacketRecord(
            rng.randrange(STREAMS_MOST),
            ZERO_NS + rng.randrange(1000) * MS,
            build_rtp(RtpPacket(8, False, rng.getrandbits(16), rng.getrandbits(32), rng.getrandbits(2), b"\x11" * 160)),
        )
        for _ in range(2000)
    ]
    marks = [side(rng.randrange(STREAMS_MOST), rng.choice((0, 1, None)), rng.randrange(1000)) for _ in range(100)]
    stereo = to_stereo(call(in_order(packets), 1000, marks))
    assert stereo.n_samples <= 8000 * 1.3 + 8000
    assert len(stereo.gaps) < 2000
