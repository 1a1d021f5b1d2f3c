"""Which streams of a leg count: whoever follows another is the same peer, whoever talks at the same time is not."""

import random
import time

import numpy as np
import pytest

from callqa.sip.media.align import to_stereo
from callqa.sip.media.streams import STREAMS_MOST, Arrivals, choose_streams
from tests.media.builders import Sender, call


def heard(sender, stereo):
    """Which of a sender's frames are in the recording at their place."""
    column = stereo.samples[:, sender.channel].tobytes()
    at = sender.start_ms * 8
    return [k for k in range(sender.frames) if column[at + 160 * k : at + 160 * k + 160] == sender.payload(k)]


@pytest.mark.parametrize("lengths", [(200, 25), (200, 70, 200), (10, 10, 10, 10), (215, 40, 40, 60), (5, 400)])
def test_every_stream_of_a_sender_that_changes_its_ssrc_is_kept(lengths):
    """A short stream within two seconds that others were heard in was taken for a stranger's: up to 2 s were lost."""
    senders, start_ms = [], 0
    for n, frames in enumerate(lengths):
        senders.append(Sender(0, frames, start_ms=start_ms, seed=n, ssrc=100 + n, sequence=1000 * n, timestamp=7 * n))
        start_ms += 20 * frames
    stereo = to_stereo(call([r for s in senders for r in s.records()], start_ms))
    assert [heard(s, stereo) for s in senders] == [list(range(s.frames)) for s in senders]
    assert (stereo.streams[0].foreign, stereo.streams[0].ssrcs) == (0, len(lengths))
    assert stereo.gaps[0].channel == 1


def test_a_change_of_ssrc_survives_jitter_and_a_few_late_packets():
    first = Sender(0, 120, ssrc=1)
    second = Sender(0, 30, start_ms=2400, seed=2, ssrc=2, sequence=60000)
    chance = random.Random(7)
    records = [s.record(k, delay_ms=chance.uniform(0, 45)) for s in (first, second) for k in range(s.frames)]
    stereo = to_stereo(call(records, 3000))
    assert stereo.streams[0].foreign == 0
    assert stereo.streams[0].ssrcs == 2


@pytest.mark.parametrize("frames", [10, 100, 200])
def test_a_stream_beside_another_stays_foreign(frames):
    ours = Sender(0, 300)
    other = Sender(0, frames, start_ms=1007, seed=9, ssrc=77)
    stereo = to_stereo(call(ours.records() + other.records(), 6000))
    assert heard(ours, stereo) == list(range(300))
    assert stereo.streams[0].foreign == frames


def test_a_second_voice_in_a_pause_of_the_first_is_kept():
    """A phone that sends nothing while silent, and music of another SSRC meanwhile."""
    before, after = Sender(0, 100), Sender(0, 100, start_ms=6000, seed=1, sequence=200, timestamp=49000)
    music = Sender(0, 150, start_ms=2500, seed=3, ssrc=9)
    stereo = to_stereo(call(before.records() + music.records() + after.records(), 8000))
    assert heard(music, stereo) == list(range(150))


def test_a_sender_with_a_new_ssrc_in_every_second_packet_costs_little_time():
    """Bounded: the streams chosen are counted, and each costs one pass over the packets."""
    n = 60_000
    at = np.arange(n) * 160
    column = np.arange(n) // 2
    arrivals = Arrivals(at, np.arange(n) % 65536, at, column, np.ones(n, bool), np.full(n, 160), np.zeros(n, np.int64))
    before = time.process_time()
    chosen, foreign = choose_streams(arrivals)
    assert len(chosen) == STREAMS_MOST
    assert foreign == n - 2 * STREAMS_MOST
    assert time.process_time() - before < 3


def test_one_packet_that_came_twice_is_one_packet():
    """A source is believed once two of its packets came, and not once one came twice."""
    ours, once = Sender(0, 100), Sender(0, 1, start_ms=3000, seed=9, ssrc=77)
    stereo = to_stereo(call([*ours.records(), once.record(0), once.record(0, delay_ms=9)], 4000))
    assert heard(once, stereo) == [] and stereo.streams[0].foreign == 2
