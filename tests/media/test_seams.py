"""Where one stretch of a leg's audio meets the next: nothing is written over another's audio, and nothing unsaid."""

import numpy as np
import pytest

from callqa.sip.media.align import Stereo, to_stereo
from callqa.sip.media.codec import PCMA
from callqa.sip.media.rtp import build_rtp
from callqa.sip.media.spool import MediaMark, PacketRecord
from tests.media.builders import G711, MS, ZERO_NS, Sender, call, replace


def side(stereo: Stereo, channel: int = 0) -> bytes:
    return stereo.samples[:, channel].tobytes()


def clock_set(sender: Sender, frames: list[int], after: int, by: int) -> list[PacketRecord]:
    """These frames of a sender whose timestamps are `by` further from frame `after` on."""
    late = replace(sender, timestamp=sender.timestamp + by)
    return [(late if k >= after else sender).record(k) for k in frames]


@pytest.mark.parametrize("by", [4000, 1600, -4000])
@pytest.mark.parametrize("frames", [[0, 2], [0, 2, 3], [1, 2, 3], [0, 1, 3], [0, 1, 3, 4], [0, 1, 2, 3, 4, 5]])
def test_a_clock_set_among_few_packets_moves_none_of_them(by, frames):
    """How long a packet lasts is known from itself: what few packets lie apart says nothing where one clock was set."""
    sender = Sender(0, 8)
    stereo = to_stereo(call(clock_set(sender, frames, 2, by), 400))
    before, after = [k for k in frames if k < 2], [k for k in frames if k >= 2]
    believed = [k for alike in (before, after) for k in alike if len(alike) > 1]  # one packet of a clock is not
    expected = bytearray(PCMA.encode(np.zeros(len(side(stereo)), np.int16)))
    for k in believed:
        expected[160 * k : 160 * k + 160] = sender.payload(k)
    assert side(stereo) == bytes(expected)


@pytest.mark.parametrize("short", [2, 3, 4])
def test_a_short_stream_between_two_has_its_turn(short):
    """A phone that took over a call and changed its source at once: both neighbours were near, but neither spoke on."""
    senders = [
        Sender(0, 30, ssrc=1),
        Sender(0, short, start_ms=610, seed=2, ssrc=2, sequence=9),
        Sender(0, 60, start_ms=610 + 20 * short, seed=3, ssrc=3, sequence=500),
    ]
    stereo = to_stereo(call([r for s in senders for r in s.records()], 2000))
    assert stereo.streams[0].foreign == 0
    for s in senders:
        assert s.audio() in side(stereo)


def test_a_straggler_does_not_make_the_next_stream_a_stranger():
    """A packet of the old stream that came twice, the second time when the new one had begun."""
    old, new = Sender(0, 30, ssrc=1), Sender(0, 2, start_ms=600, seed=2, ssrc=2, sequence=5000)
    stereo = to_stereo(call([*old.records(), *new.records(), old.record(29, delay_ms=60)], 700))
    assert stereo.streams[0].foreign == 0
    assert old.audio() + new.audio() in side(stereo)


def test_a_packet_held_up_does_not_make_the_next_stream_a_stranger():
    """The last of the old stream overtaken by the first two of the new one."""
    old, new = Sender(0, 30, ssrc=1), Sender(0, 2, start_ms=600, seed=2, ssrc=2, sequence=5000)
    records = [*(old.record(k) for k in range(29)), old.record(29, delay_ms=45), *new.records()]
    stereo = to_stereo(call(records, 700))
    assert stereo.streams[0].foreign == 0
    assert old.audio() + new.audio() in side(stereo)


def test_a_phone_that_took_over_is_no_stranger_however_long_the_other_stayed():
    """Its answer got lost twice: most of what it said came while the old one spoke, and then the call was over."""
    old, new = Sender(0, 50, ssrc=1), Sender(0, 40, start_ms=500, seed=2, ssrc=2, sequence=7000)
    marks = [
        MediaMark(at_ns=ZERO_NS, channel=0, codecs=G711, remote=("10.0.0.1", 4000)),
        MediaMark(at_ns=ZERO_NS + 1000 * MS, channel=0, codecs=G711, remote=("10.0.0.2", 4000)),
    ]
    head, end = call([], 1400)[:4], call([], 1400)[4:]
    stereo = to_stereo(
        [*head, marks[0], *old.records(), marks[1], *new.records(), *end]
    )  # kept when its answer was read
    assert stereo.streams[0].foreign == 0
    assert new.audio()[4000:] in side(stereo)


@pytest.mark.parametrize("early_ms", [25, 60, 300])
def test_two_who_talk_at_once_on_one_leg_are_added(early_ms):
    """At a transfer the new phone spoke before the old one had gone: its first frames were written over the old one's."""
    old = Sender(0, 50, ssrc=1)
    new = Sender(0, 50, start_ms=1001 - early_ms, seed=2, ssrc=2, sequence=7000)
    stereo = to_stereo(call([*old.records(), *new.records()], 2500))
    column = side(stereo)
    begin = (1001 - early_ms) * 8
    assert column[:begin] == old.audio()[:begin]
    assert column[8000 : begin + 8000] == new.audio()[8000 - begin :]
    both = PCMA.decode(old.audio()[begin:]).astype(np.int32) + PCMA.decode(new.audio()[: 8000 - begin])
    silent = np.abs(both) <= 16  # where one of them is silent the other stays as it was
    sums = np.frombuffer(PCMA.encode(np.clip(both, -32768, 32767).astype(np.int16)), np.uint8)
    there = np.frombuffer(column[begin:8000], np.uint8)
    assert (there == sums)[~silent].mean() > 0.95
    assert stereo.streams[0].foreign == 0


def test_what_follows_a_stretch_that_was_pushed_is_pushed_too():
    """Each begins anew where the one before it ends; the first ends late, and a last packet comes after the next one's first."""
    first = Sender(0, 30, ssrc=1)
    second = Sender(0, 30, start_ms=580, seed=2, ssrc=2, sequence=5000)
    third = Sender(0, 30, start_ms=1180, seed=3, ssrc=3, sequence=9000)
    delayed = [second.record(k, delay_ms=45 if k == 29 else 2) for k in range(30)]
    stereo = to_stereo(call([*first.records(), *delayed, *third.records()], 2000))
    assert first.audio() + second.audio() + third.audio() in side(stereo)


def test_a_talker_who_began_anew_is_not_laid_over_himself():
    """His first packets were all 40 ms late, so that their end seemed later than it was."""
    first, second = Sender(0, 3, ssrc=1), Sender(0, 40, start_ms=60, seed=2, ssrc=2, sequence=6000)
    held_up = [first.record(k, delay_ms=40 - 0.1 * k) for k in range(3)]
    stereo = to_stereo(call([*held_up, *second.records()[1:]], 1500))
    assert first.audio() + b"".join(second.payload(k) for k in range(1, 40)) in side(stereo)


def test_packets_of_one_time_are_said_to_be_so():
    """A sender whose clock stands still: one frame is left of ten, and the recording says it."""
    sender = Sender(0, 40)
    stuck = [
        PacketRecord(0, ZERO_NS + (800 + 20 * k) * 1_000_000, build_rtp(replace(sender.packet(39), sequence=140 + k)))
        for k in range(10)
    ]
    stereo = to_stereo(call([*sender.records(), *stuck], 1200))
    assert stereo.faults == ("诉求人一侧有 10 个媒体包与后一个包时间戳相同，只留下了后一个；请检查话机或中继的媒体",)
    assert to_stereo(call(sender.records(), 1200)).faults == ()
