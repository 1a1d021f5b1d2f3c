"""Awkward clocks and silences on the timeline: drift, comfort noise, changing frame lengths, bursts."""

from dataclasses import replace

import numpy as np
import pytest

from callqa.sip.media.align import to_stereo
from callqa.sip.media.codec import PCMA
from callqa.sip.media.rtp import RtpPacket, build_rtp
from callqa.sip.media.spool import PacketRecord
from callqa.sip.media.streams import Arrivals, arrange
from callqa.speech import GapKind
from callqa.units import Channel
from tests.media.builders import MS, ZERO_NS, Sender, call

TICK_NS = 125_000


def jitter_ns(n: int, seed: int, most_ms: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, most_ms * MS, n)


def drifting(minutes: float, ppm: float, jitter: np.ndarray | None = None) -> Arrivals:
    """A sender whose clock is so much slower than ours, sending 50 frames a second by it."""
    n = round(minutes * 60 * 50)
    sent = np.arange(n) * 20 * MS * (1 + ppm / 1e6)
    at = (sent + (jitter if jitter is not None else jitter_ns(n, 1)[:n])) // TICK_NS
    order = np.argsort(at, kind="stable")
    k = np.arange(n)[order]
    return Arrivals(
        at[order].astype(np.int64), k & 0xFFFF, k * 160 & 0xFFFF_FFFF, np.full(n, 7, np.int64), np.ones(n, bool),
        np.full(n, 160), np.zeros(n, np.int64),
    )  # fmt: skip


def away_ms(arrivals: Arrivals, ppm: float) -> np.ndarray:
    """How far each frame is from where it was spoken, by our clock; the constant part of the network's delay apart."""
    placed, _ = arrange(arrivals)
    assert placed.row.size == arrivals.at.size
    return (placed.position - np.arange(placed.row.size) * 160 * (1 + ppm / 1e6)) / 8


@pytest.mark.parametrize("ppm", [100, -100, 40, -300])
def test_a_clock_that_drifts_stays_within_ten_milliseconds_of_ours(ppm):
    away = away_ms(drifting(30, ppm), ppm)
    assert np.abs(away).max() <= 10


def test_both_sides_stay_together_when_their_clocks_part():
    """100 ppm either way over half an hour: 360 ms without correction."""
    citizen, agent = away_ms(drifting(30, 100), 100), away_ms(drifting(30, -100), -100)
    assert np.abs(citizen - agent).max() <= 20


@pytest.mark.parametrize("ppm", [0, 1, -2])
def test_a_good_clock_is_left_alone(ppm):
    placed, _ = arrange(drifting(30, ppm))
    assert set(np.diff(placed.position).tolist()) == {160}


def test_congestion_is_no_drift():
    """Delay that grows for minutes, falls and grows: the packets are late, the sender's clock is right."""
    n = 30 * 60 * 50
    swell = (np.abs(np.sin(np.arange(n) / 12_000)) * 150 * MS).astype(np.int64)
    placed, _ = arrange(drifting(30, 0, jitter_ns(n, 2) + swell))
    assert set(np.diff(placed.position).tolist()) == {160}


def test_a_route_that_changes_is_no_drift():
    n = 10 * 60 * 50
    step = np.where(np.arange(n) > n // 2, 40 * MS, 0)
    placed, _ = arrange(drifting(10, 0, jitter_ns(n, 3) + step))
    assert set(np.diff(placed.position).tolist()) == {160}


def test_drift_is_found_under_bursts_and_stalls():
    n = 30 * 60 * 50
    noise = jitter_ns(n, 4)
    stalls = np.random.default_rng(5).integers(0, n - 200, 60)
    for at in stalls:
        noise[at : at + 100] = np.maximum(noise[at : at + 100], (2000 - 20 * np.arange(100)) * MS)
    away = away_ms(drifting(30, 100, noise), 100)
    assert np.abs(away).max() <= 12


def test_a_step_of_drift_leaves_no_hole_in_the_recording():
    n = 5 * 60 * 50
    sender = Sender(0, n)
    packets = []
    for k in range(n):
        record = sender.record(k)
        packets.append(replace(record, arrival_ns=record.arrival_ns + round(k * 20 * MS * 200e-6)))
    stereo = to_stereo(call(packets, n * 20 + 60, None))
    assert [g for g in stereo.gaps if g.channel is Channel.CITIZEN and g.span.end_ms < n * 20 - 100] == []
    found = stereo.samples[:, 0].tobytes()
    whole = sum(sender.payload(k) in found for k in range(0, n, 100))
    assert whole == n // 100


def comfort(sender: Sender, k: int, level: int, *, payload_type: int = 13, at_ms: float | None = None) -> PacketRecord:
    """A comfort noise packet in the place of frame k."""
    data = build_rtp(replace(sender.packet(k), payload_type=payload_type, marker=False, payload=bytes([level, 1, 2])))
    record = sender.record(k)
    return PacketRecord(0, record.arrival_ns if at_ms is None else ZERO_NS + round(at_ms * MS), data)


def suppressed(sender: Sender, begin: int, end: int, *noise: PacketRecord) -> list[PacketRecord]:
    """The sender's frames but for [begin, end), whose numbers are not used: packet `end` follows the noise."""
    packets = [sender.record(k) for k in range(begin)] + list(noise)
    for k in range(end, sender.frames):
        p = sender.packet(k)
        number = sender.sequence + begin + len(noise) + k - end
        packets.append(replace(sender.record(k), data=build_rtp(replace(p, sequence=number & 0xFFFF))))
    return packets


def level_db(samples: np.ndarray) -> float:
    return 20 * np.log10(np.sqrt(np.mean(samples.astype(float) ** 2)) / 32768)


def test_comfort_noise_sounds_softly_where_the_sender_is_silent():
    sender = Sender(0, 200)
    packets = suppressed(sender, 50, 150, comfort(sender, 50, 60))
    stereo = to_stereo(call(packets, 4000))
    assert [g for g in stereo.gaps if g.channel is Channel.CITIZEN] == []
    assert (stereo.streams[0].lost, stereo.faults) == (0, ())
    noise = PCMA.decode(stereo.samples[8000:24_000, 0].tobytes())
    assert level_db(noise) == pytest.approx(-60, abs=2)
    assert stereo.samples[:8000, 0].tobytes() == sender.audio()[:8000]
    assert stereo.samples[24_000:32_000, 0].tobytes() == sender.audio()[24_000:]


def test_its_level_follows_what_is_told_and_is_never_loud():
    sender = Sender(0, 200)
    packets = suppressed(sender, 50, 150, comfort(sender, 50, 0), comfort(sender, 51, 50, at_ms=2000))
    stereo = to_stereo(call(packets, 4000))
    first, second = (PCMA.decode(stereo.samples[a:b, 0].tobytes()) for a, b in ((8000, 15_900), (16_100, 24_000)))
    assert level_db(first) == pytest.approx(-30, abs=1) and level_db(second) == pytest.approx(-50, abs=1)


def test_two_runs_make_the_same_noise():
    sender = Sender(0, 100)
    packets = suppressed(sender, 20, 80, comfort(sender, 20, 55))
    first, second = (to_stereo(call(packets, 2000)).samples.tobytes() for _ in range(2))
    assert first == second


def test_lost_packets_stay_lost_beside_comfort_noise():
    sender = Sender(0, 200)
    packets = [p for k, p in enumerate(suppressed(sender, 50, 150, comfort(sender, 50, 60))) if not 70 <= k < 75]
    gaps = [g for g in to_stereo(call(packets, 4000)).gaps if g.channel is Channel.CITIZEN]
    assert [(g.kind, g.span.duration_ms) for g in gaps] == [(GapKind.LOST, 100)]


def test_silence_without_comfort_noise_stays_a_gap():
    sender = Sender(0, 200)
    early = comfort(sender, 0, 60, at_ms=-500)
    gaps = [
        g for g in to_stereo(call([early, *suppressed(sender, 50, 150)], 4000)).gaps if g.channel is Channel.CITIZEN
    ]
    assert [(g.kind, g.span.start_ms, g.span.end_ms) for g in gaps] == [(GapKind.NO_MEDIA, 1000, 3000)]


def test_frames_may_change_their_length_in_mid_call():
    """10, 20, 30, 40 and 60 ms, as phones do after a re-INVITE."""
    at, k, packets, said = 0, 0, [], b""
    for frame_ms in (20, 10, 30, 60, 40, 20):
        for _ in range(25):
            payload = np.random.default_rng(k).integers(0, 256, frame_ms * 8, np.uint8).tobytes()
            data = build_rtp(RtpPacket(8, False, k, at * 8, 7, payload))
            packets.append(PacketRecord(0, ZERO_NS + at * MS, data))
            at, k, said = at + frame_ms, k + 1, said + payload
    stereo = to_stereo(call(packets, at))
    assert stereo.samples[: len(said), 0].tobytes() == said
    assert [g for g in stereo.gaps if g.channel is Channel.CITIZEN] == [] and stereo.streams[0].lost == 0


def test_a_burst_after_a_stall_is_put_where_it_was_spoken():
    sender = Sender(0, 300)
    packets = [sender.record(k, delay_ms=max(0, 2000 - 20 * (k - 100)) if 100 <= k < 200 else 0) for k in range(300)]
    stereo = to_stereo(call(packets, 6000))
    assert stereo.samples[:48_000, 0].tobytes() == sender.audio()
