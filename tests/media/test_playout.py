"""What a listener hears: the right side, soon, in order, whatever the network and the sender do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.sip.media.codec import PCMA
from callqa.sip.media.playout import DELAY_S, MOST_S, RATE_HZ, Playout
from callqa.sip.media.rtp import build_rtp
from callqa.sip.media.spool import MediaMark, PacketRecord
from tests.media.builders import G711, Sender, replace

STEP_S = 0.02


def heard(packets, until_s, start_s=100.0):
    """int16 (n, 2) played from start_s; packets: (when after the start, record)."""
    playout = Playout(start_s)
    for channel in (0, 1):
        playout.receive(MediaMark(at_ns=0, channel=channel, codecs=G711), start_s)
    waiting = sorted(packets, key=lambda each: each[0])
    out = []
    for step in range(round(until_s / STEP_S) + 1):
        now = start_s + step * STEP_S
        while waiting and start_s + waiting[0][0] <= now:
            playout.receive(waiting.pop(0)[1], now)
        out.append(playout.take(now))
    return np.concatenate(out)


def sent(sender, delay_s=lambda k: 0.0):
    return [
        (k * 0.02 + delay_s(k), PacketRecord(sender.channel, 0, build_rtp(sender.packet(k))))
        for k in range(sender.frames)
    ]


def test_each_side_is_heard_on_its_own_channel_after_the_delay():
    sender = Sender(1, 50)
    samples = heard(sent(sender), 1.5)
    start = round(DELAY_S * RATE_HZ)
    assert samples[start : start + 8000, 1].tolist() == PCMA.decode(sender.audio()).tolist()
    assert not samples[:, 0].any()


def test_reordering_duplicates_and_jitter_are_not_heard():
    sender = Sender(0, 100)
    jittered = sent(sender, lambda k: (0.0, 0.05, 0.02, 0.09)[k % 4])
    start = round(DELAY_S * RATE_HZ)
    assert (
        heard([*jittered, *jittered[::7]], 2.5)[start : start + 16000, 0].tolist()
        == PCMA.decode(sender.audio()).tolist()
    )


@pytest.mark.parametrize("second", [{"ssrc": 77}, {"timestamp": 3_000_000_000}, {"timestamp": 2**32 - 5}])
def test_a_sender_that_starts_anew_is_heard_again_within_a_third_of_a_second(second):
    first, again = Sender(0, 50), replace(Sender(0, 50, seed=5, sequence=9), **second)
    packets = sent(first) + [(1.0 + at, record) for at, record in sent(again)]
    samples = heard(packets, 3.0)[:, 0]
    last = PCMA.decode(again.payload(45))
    found = [
        at for at in range(samples.size - 160) if samples[at] == last[0] and (samples[at : at + 160] == last).all()
    ]
    assert found and 1.9 <= found[0] / RATE_HZ <= 1.9 + 0.33


def test_a_slow_reader_gets_a_second_at_most_and_the_newest():
    playout = Playout(0.0)
    playout.receive(MediaMark(at_ns=0, channel=0, codecs=G711), 0.0)
    assert playout.take(60.0).shape == (int(MOST_S * RATE_HZ), 2)
    sender = Sender(0, 10)
    for k in range(10):
        playout.receive(PacketRecord(0, 0, build_rtp(sender.packet(k))), 60.0 + k * 0.02)
    assert playout.take(60.5)[:, 0].any()


def test_wideband_is_heard_too():
    av = pytest.importorskip("av")
    encoder = av.CodecContext.create("g722", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 16000, "mono", "s16"
    tone = (8000 * np.sin(2 * np.pi * 400 * np.arange(16000) / 16000)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(tone[None, :], format="s16", layout="mono")
    frame.sample_rate = 16000
    coded = b"".join(bytes(p) for p in [*encoder.encode(frame), *encoder.encode(None)])
    sender = Sender(1, 40, payload_type=9)
    packets = []
    for k in range(40):
        packet = replace(sender.packet(k), payload=coded[k * 160 : k * 160 + 160])
        packets.append((k * 0.02, PacketRecord(1, 0, build_rtp(packet))))
    samples = heard(packets, 1.0)[:, 1].astype(float)[2000:6000]
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(np.argmax(spectrum) * RATE_HZ / samples.size - 400) < 5
    assert samples.std() > 3000


@settings(max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 15), st.binary(max_size=300), st.floats(0, 3)), max_size=30))
def test_any_packet_is_played_or_left_out(packets):
    playout = Playout(0.0)
    now = 0.0
    for channel, data, later in packets:
        now += later
        playout.receive(PacketRecord(channel, 0, b"\x80\x08" + data), now)
        taken = playout.take(now)
        assert taken.shape[0] <= MOST_S * RATE_HZ
