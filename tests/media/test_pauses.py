"""Paused recording: nothing of it is kept, the gap map says so on both channels, and the rest is untouched."""

import pytest

from callqa.sip.media.align import to_stereo
from callqa.sip.media.codec import PCMA
from callqa.sip.media.columns import columns_of
from callqa.sip.media.dtmf import read_digits
from callqa.sip.media.pauses import cut_at_pauses
from callqa.sip.media.spool import MediaMark, PacketRecord, PausedMark, ResumedMark
from callqa.sip.media.story import sidecar_of, tell
from callqa.speech import Gap, GapKind, Span
from callqa.units import Channel
from tests.media.builders import MS, WALL_MS, ZERO_NS, Sender, call, replace


def paused(channel, start_ms, end_ms):
    return Gap(Channel(channel), Span(start_ms, end_ms), GapKind.PAUSED)


def marks(from_ms, to_ms=None, again_ms=()):
    found = [PausedMark(at_ns=ZERO_NS + at * MS, by="8001", reason="银行卡号") for at in (from_ms, *again_ms)]
    return [*found, *([ResumedMark(at_ns=ZERO_NS + to_ms * MS, by="8001")] if to_ms is not None else [])]


def kept(sender, *pauses):
    """The sender's packets but for those that arrive in a pause."""
    records = sender.records()
    return [r for r in records if not any(a <= (r.arrival_ns - ZERO_NS) / MS < b for a, b in pauses)]


def expected(sender, missing):
    audio = bytearray(sender.audio())
    for k in missing:
        audio[k * 160 : k * 160 + 160] = bytes([PCMA.idle]) * 160
    return bytes(audio)


def test_a_pause_is_a_gap_on_both_channels_with_the_exact_edges_of_what_is_missing():
    citizen, agent = Sender(0, 150), Sender(1, 150, seed=2, ssrc=9, start_ms=7)
    packets = kept(citizen, (1000, 2000)) + kept(agent, (1000, 2000))
    stereo = to_stereo(call(packets, 3000, marks(1000, 2000)))
    own = [g for g in stereo.gaps if g.kind is GapKind.PAUSED]
    assert own == [paused(0, 1000, 2000), paused(1, 1007, 2007)]
    assert stereo.samples[:, 0].tobytes()[: 3000 * 8] == expected(citizen, range(50, 100))
    assert [s.lost for s in stereo.streams] == [0, 0], "what was not kept is no loss of the network"


def test_hanging_up_in_a_pause_leaves_a_whole_recording_with_the_gap():
    sender = Sender(0, 100)
    stereo = to_stereo(call(kept(sender, (1000, 2000)), 2000, marks(1000)))
    assert stereo.duration_ms == 2000
    assert [g for g in stereo.gaps if g.channel == 0] == [paused(0, 1000, 2000)]
    assert stereo.samples[:, 0].tobytes() == expected(sender, range(50, 100))


def test_a_crash_in_a_pause_is_known_up_to_the_last_mark():
    sender = Sender(0, 100)
    records = call(kept(sender, (1000, 9000)), 9000, marks(1000, again_ms=(2000, 3000)))[:-1]
    stereo = to_stereo(records)
    assert stereo.duration_ms == 3000
    assert [g for g in stereo.gaps if g.channel == 0] == [paused(0, 1000, 3000)]
    story = tell(records)
    assert (story.ended, story.ended_at_ms) == (None, WALL_MS + 3000 + 3000)


@pytest.mark.parametrize("length_ms", [900, 90_000, 900_000])
def test_the_timeline_goes_on_where_it_should_after_a_pause_of_any_length(length_ms):
    """15 minutes are 45,000 packets: more than a sequence number may leap, less than its wrap."""
    n_after = 50
    sender = Sender(0, 50 + length_ms // 20 + n_after)
    first, again = 50, 50 + length_ms // 20
    packets = [sender.record(k, 3.0) for k in (*range(first), *range(again, sender.frames))]
    stereo = to_stereo(call(packets, 2000 + length_ms, marks(1000, 1000 + length_ms)))
    own = [g for g in stereo.gaps if g.channel == 0 and g.kind is GapKind.PAUSED]
    assert own == [paused(0, 1003, 1003 + length_ms)]
    after = b"".join(sender.payload(k) for k in range(again, sender.frames))
    start = (1003 + length_ms) * 8
    assert stereo.samples[start : start + len(after), 0].tobytes() == after[: stereo.n_samples - start]
    assert stereo.streams[0].lost == 0


def test_a_loss_before_the_pause_stays_a_loss():
    sender = Sender(0, 150)
    packets = [r for k, r in enumerate(sender.records()) if not 20 <= k < 100]  # 400 ms: lost; from 1000 ms: paused
    stereo = to_stereo(call(packets, 3000, marks(1000, 2000)))
    assert [g for g in stereo.gaps if g.channel == 0] == [
        Gap(Channel.CITIZEN, Span(400, 1000), GapKind.LOST),
        paused(0, 1000, 2000),
    ]
    assert stereo.streams[0].lost == 30


def test_a_pause_on_hold_is_a_pause():
    sender = Sender(0, 150)
    held = MediaMark(at_ns=ZERO_NS + 500 * MS, channel=1, codecs=((8, "PCMA/8000"),), held=True)
    packets = [replace(sender, frames=25).record(k) for k in range(25)]
    stereo = to_stereo(call(packets, 3000, [held, *marks(1000, 2000)]))
    assert [(g.span.start_ms, g.span.end_ms, g.kind) for g in stereo.gaps if g.channel == 0] == [
        (500, 1000, GapKind.HELD),
        (1000, 2000, GapKind.PAUSED),
        (2000, 3000, GapKind.HELD),
    ]


def event(at_ms, digit, duration, timestamp, sequence):
    """An RFC 4733 packet: duration in ticks of 8000 Hz."""
    head = bytes([0x80, 101]) + sequence.to_bytes(2, "big") + timestamp.to_bytes(4, "big") + (7).to_bytes(4, "big")
    body = bytes([digit, 0x8A]) + duration.to_bytes(2, "big")
    return PacketRecord(0, ZERO_NS + at_ms * MS, head + body)


def test_a_key_that_went_down_in_the_pause_is_not_told_even_when_its_end_came_after():
    before, across, after = event(900, 1, 800, 0, 1), event(2050, 2, 1600, 9000, 2), event(2500, 3, 800, 20_000, 3)
    found = read_digits(columns_of(call([before, across, after], 3000, marks(1000, 2000))))
    assert [d.digit for d in found] == ["1", "3"]


def test_the_sidecar_says_who_paused_and_why():
    records = call(kept(Sender(0, 150), (1000, 2000)), 3000, marks(1000, 2000))
    sidecar = sidecar_of(tell(records), to_stereo(records), None, recovered=False, recorder="t")
    (note,) = sidecar.pauses
    assert (note.at_ms, note.until_ms, note.by, note.reason) == (WALL_MS + 4000, WALL_MS + 5000, "8001", "银行卡号")
    assert {g.kind for g in sidecar.gaps if g.channel == 0} == {"paused"}


def test_cuts_cover_the_gap_exactly_once():
    for pauses in ([(5, 9)], [(0, 3), (8, 40)], [(30, 40), (60, 70)], []):
        pieces = list(cut_at_pauses(10, 50, pauses, 2))
        assert [a for a, _, _ in pieces] == [10, *[b for _, b, _ in pieces][:-1]]
        assert pieces[-1][1] == 50
