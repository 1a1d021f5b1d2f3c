"""Prompts: what is in them, how their packets are paced, files that are good, bad or changed; on a clock of our own."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from callqa.audiofile import wav_bytes
from callqa.sip.events import PromptStarted
from callqa.sip.media import prompt
from callqa.sip.media.codec import PCMA, PCMU
from callqa.sip.media.rtp import RtpPacket, parse_rtp
from callqa.sip.process.player import FRAME_S, LATE_MOST, Player
from callqa.units import Channel

ALAW = ((8, "PCMA/8000"), (101, "telephone-event/8000"))
ULAW = ((0, "PCMU/8000"),)


class Loop:
    """As much of an event loop as the player needs; its time moves when it is told to."""

    def __init__(self) -> None:
        self.now = 50.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.soon: list[tuple[Callable[..., None], tuple[object, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, action: Callable[[], None]) -> "Handle":
        self.timers.append((when, action))
        return Handle(self, (when, action))

    def call_soon(self, action: Callable[..., None], *args: object) -> None:
        self.soon.append((action, args))

    call_soon_threadsafe = call_soon

    def run(self, seconds: float, *, late_s: float = 0.0) -> None:
        """Let time pass; late_s: timers ring so much too late."""
        end = self.now + seconds
        while True:
            while self.soon:
                action, args = self.soon.pop(0)
                action(*args)
            due = min(self.timers, default=None, key=lambda t: t[0])
            if due is None or due[0] + late_s > end:
                break
            self.timers.remove(due)
            self.now = max(self.now, due[0] + late_s)
            due[1]()
        self.now = end


class Handle:
    def __init__(self, loop: Loop, entry: tuple[float, Callable[[], None]]) -> None:
        self.loop, self.entry = loop, entry

    def cancel(self) -> None:
        if self.entry in self.loop.timers:
            self.loop.timers.remove(self.entry)


class AtOnce:
    """A worker without a thread."""

    def __init__(self, name: str, at_times: object, every_s: float) -> None:
        self.jobs = 0

    def put(self, job: Callable[[], None]) -> None:
        self.jobs += 1
        job()

    def finish(self) -> None:
        pass


class Stage:
    """A player and what came out of it."""

    def __init__(self, folder: Path) -> None:
        self.loop = Loop()
        self.over: list[tuple[str, str]] = []
        self.faults: list[str] = []
        self.sent: dict[str, list[tuple[float, RtpPacket]]] = {}
        self.player = Player(
            folder, self.loop, lambda c, p: self.over.append((c, p)), self.faults.append, lambda n: b"\xab" * n, workers=AtOnce,  # type: ignore[arg-type]
        )  # fmt: skip

    def play(self, name: str, *, loop: bool = False, file: str = "", call: str = "C1", codecs: object = ALAW) -> None:
        out = self.sent.setdefault(call, [])
        event = PromptStarted(call, 0.0, Channel.CITIZEN, name, loop, file)
        self.player.play(event, codecs, lambda data: out.append((self.loop.now, parse_rtp(data))))  # type: ignore[arg-type]

    def packets(self, call: str = "C1") -> list[RtpPacket]:
        return [p for _, p in self.sent[call]]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def level(payload: bytes, codec: object = PCMA) -> float:
    return float(np.abs(codec.decode(payload).astype(float)).mean())  # type: ignore[attr-defined]


def write_wav(path: Path, seconds: float, *, rate: int = 8000, hz: float = 300.0, channels: int = 1) -> None:
    t = np.arange(round(seconds * rate)) / rate
    tone = np.rint(8000 * np.sin(2 * np.pi * hz * t)).astype(np.int16)
    path.write_bytes(wav_bytes(np.repeat(tone[:, None], channels, axis=1), rate))


def test_our_tones_are_soft_bounded_and_what_they_say():
    music = prompt.music()
    assert music.size == 16 * 8000 and 2000 < np.abs(music).max() < 4000
    seconds = music.reshape(-1, 8000).astype(float)
    assert (np.abs(seconds).mean(axis=1) > 100).all(), "no second of it is silent"
    assert abs(int(music[0]) - int(music[-1])) < 400, "it can be repeated without a click"
    ringing = prompt.ringback()
    assert ringing.size == 40_000 and np.abs(ringing[:8000].astype(int)).mean() > 1000 and not ringing[8000:].any()
    for n in (1, 3, 9):
        assert tones(prompt.position(n)) == 2 + n - 1, "two that run into one, then one for each place"
    assert tones(prompt.position(10)) == tones(prompt.position(137)) == 2


def tones(samples: prompt.Samples) -> int:
    loud = np.abs(samples.astype(int)).reshape(-1, 80).max(axis=1) > 300
    return int(loud[0]) + int((loud[1:] & ~loud[:-1]).sum())


@pytest.mark.parametrize(("codecs", "codec"), [(ALAW, PCMA), (ULAW, PCMU), (((96, "PCMA/8000"),), PCMA)])
def test_packets_come_every_20_ms_with_the_agreed_payload_type(stage: Stage, codecs: object, codec: object):
    stage.play("music", loop=True, codecs=codecs)
    stage.loop.run(20.01)
    times = [at for at, _ in stage.sent["C1"]]
    assert len(times) == 1000
    assert np.allclose(np.diff(times), FRAME_S, atol=1e-6)
    packets = stage.packets()
    assert {p.payload_type for p in packets} == {codecs[0][0]}  # type: ignore[index]
    assert (
        {p.ssrc for p in packets} == {0xABABABAB} and [p.marker for p in packets].count(True) == 1 and packets[0].marker
    )
    assert {(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(packets)} == {1}
    assert {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(packets)} == {160}
    assert np.mean([level(p.payload, codec) for p in packets]) > 200
    assert packets[800].payload == packets[0].payload, "again from the start after 16 s"
    assert not stage.over


def test_late_timers_do_not_drift_and_a_stall_is_a_pause(stage: Stage):
    stage.play("music", loop=True)
    stage.loop.run(2.0, late_s=0.013)
    assert 98 <= len(stage.packets()) <= 100
    stage.loop.run(0.0)
    before = stage.packets()[-1]
    stage.loop.now += 1.0
    stage.loop.run(0.0)
    burst = stage.packets()[stage.packets().index(before) + 1 :]
    assert 1 <= len(burst) <= LATE_MOST
    gap = (burst[0].timestamp - before.timestamp) & 0xFFFFFFFF
    assert gap > 160 * 40 and burst[0].sequence == (before.sequence + 1) & 0xFFFF


def test_one_timer_for_all_and_none_when_nobody_listens(stage: Stage):
    for n in range(50):
        stage.play("music", loop=True, call=f"C{n}")
    stage.loop.run(1.0)
    assert len(stage.loop.timers) == 1
    assert all(49 <= len(stage.packets(f"C{n}")) <= 51 for n in range(50))
    for n in range(50):
        stage.player.stop(f"C{n}", Channel.CITIZEN)
    stage.loop.run(1.0)
    assert not stage.loop.timers and all(len(stage.packets(f"C{n}")) <= 51 for n in range(50))


def test_stopping_is_at_once_and_the_next_prompt_is_the_same_source(stage: Stage):
    stage.play("music", loop=True)
    stage.loop.run(0.5)
    stage.player.stop("C1", Channel.CITIZEN)
    n = len(stage.packets())
    stage.loop.run(1.0)
    assert len(stage.packets()) == n
    stage.play("position:2")
    stage.loop.run(5.0)
    after = stage.packets()[n]
    assert after.marker and after.ssrc == stage.packets()[0].ssrc
    assert after.sequence == (stage.packets()[n - 1].sequence + 1) & 0xFFFF
    assert (after.timestamp - stage.packets()[n - 1].timestamp) & 0xFFFFFFFF >= 160 * 50
    assert stage.over == [("C1", "position:2")]
    stage.player.forget("C1")
    stage.loop.run(1.0)
    assert not stage.loop.timers


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2), (44100, 1)])
def test_a_file_is_heard_to_its_end_then_it_is_over(stage: Stage, tmp_path: Path, rate: int, channels: int):
    write_wav(tmp_path / "notice.wav", 1.5, rate=rate, channels=channels)
    stage.play("notice", file="notice.wav")
    stage.loop.run(1.4)
    assert not stage.over
    stage.loop.run(0.3)
    assert stage.over == [("C1", "notice")] and len(stage.packets()) == 75
    assert all(level(p.payload) > 2000 for p in stage.packets()[3:-3]) and not stage.faults


def test_a_missing_or_bad_notice_is_told_once_and_holds_up_nobody(stage: Stage, tmp_path: Path):
    stage.play("notice", file="notice.wav")
    stage.loop.run(0.1)
    stage.play("notice", file="notice.wav", call="C2")
    stage.loop.run(0.1)
    assert stage.over == [("C1", "notice"), ("C2", "notice")] and not stage.sent["C1"]
    assert (
        len(stage.faults) == 1
        and "录音告知 notice.wav 播放不了" in stage.faults[0]
        and "No such" not in stage.faults[0]
    )
    (tmp_path / "notice.wav").write_bytes(b"RIFF no audio at all")
    stage.play("notice", file="notice.wav", call="C3")
    stage.loop.run(0.1)
    assert len(stage.faults) == 2 and stage.over[-1] == ("C3", "notice")
    write_wav(tmp_path / "notice.wav", 0.5)
    stage.play("notice", file="notice.wav", call="C4")
    stage.loop.run(1.0)
    assert len(stage.faults) == 2 and len(stage.packets("C4")) == 25


def test_bad_music_is_replaced_by_ours(stage: Stage):
    stage.play("music", loop=True, file="mine.wav")
    stage.loop.run(2.0)
    assert len(stage.packets()) >= 99 and len(stage.faults) == 1 and "排队音乐改用系统自带的" in stage.faults[0]


def test_places_are_said_where_the_site_recorded_them(stage: Stage, tmp_path: Path):
    write_wav(tmp_path / "position-1.wav", 0.4)
    stage.play("position:1", file="position-1.wav")
    stage.play("position:2", file="position-2.wav", call="C2")
    stage.loop.run(6.0)
    assert len(stage.packets("C1")) == 20 and len(stage.packets("C2")) > 50 and not stage.faults
    assert sorted(stage.over) == [("C1", "position:1"), ("C2", "position:2")]


def test_a_file_is_read_once_and_again_when_it_changed(stage: Stage, tmp_path: Path):
    write_wav(tmp_path / "m.wav", 0.5)
    for call in ("C1", "C2", "C3"):
        stage.play("music", loop=True, file="m.wav", call=call)
        stage.loop.run(0.1)
    assert stage.player._worker.jobs == 1  # type: ignore[union-attr]
    write_wav(tmp_path / "m.wav", 0.7)
    stage.play("music", loop=True, file="m.wav", call="C4")
    stage.loop.run(0.1)
    assert stage.player._worker.jobs == 2  # type: ignore[union-attr]


def test_a_codec_that_we_cannot_make_ends_the_prompt(stage: Stage):
    stage.play("notice", codecs=((9, "G722/8000"),))
    stage.loop.run(0.1)
    assert stage.over == [("C1", "notice")]


def test_trouble_with_one_listener_stops_no_other(stage: Stage):
    def fail(data: bytes) -> None:
        raise RuntimeError("socket")

    stage.player.play(PromptStarted("C9", 0.0, Channel.CITIZEN, "music", True), ALAW, fail)
    stage.play("music", loop=True)
    stage.loop.run(1.0)
    assert len(stage.packets()) >= 49
