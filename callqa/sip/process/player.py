"""Plays prompts to callers: one timer of 20 ms for all of them, each packet on its leg's RTP port.

The timer keeps to a grid of the loop's clock, so prompts do not drift; what it comes late for is sent at once, up to
LATE_MOST packets, beyond that the prompt goes on later, as a pause on the wire. Files are read and decoded beside the loop, and again when
they changed. A file that is missing or no audio is told once, and the call goes on: with our own music, without a notice.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from callqa.errors import AudioError
from callqa.files import DISK, Files
from callqa.refusals import os_reason
from callqa.sip.events import PromptStarted
from callqa.sip.media import prompt
from callqa.sip.media.codec import CODECS, Codec, codec_named
from callqa.sip.media.prompt import FRAME_MS, SAMPLE_RATE_HZ, RtpVoice, Samples, payloads
from callqa.sip.process.disk import Workers
from callqa.sip.process.worker import Worker, WorkerThread
from callqa.sip.wire.sdp import EVENTS, Codecs
from callqa.units import Channel

log = logging.getLogger(__name__)

FRAME_S = FRAME_MS / 1000
LATE_MOST = 5
ONCE_MOST_S, LOOP_MOST_S = 120, 600  # of a file; what is beyond is cut off
FILE_MOST_BYTES = 64 << 20

_Key = tuple[str, Channel]
Version = tuple[int, int, int]


@dataclass(slots=True)
class _Sound:
    """A prompt that is there. frames: by the name of each codec."""

    frames: dict[str, tuple[bytes, ...]]
    version: Version | None = None


def _sound(samples: Samples, version: Version | None = None) -> _Sound:
    """int16 (n,) at 8 kHz, ready to be sent: milliseconds of work, so not while calls wait for their packets."""
    return _Sound({codec.name: payloads(samples, codec) for codec in CODECS}, version)


@cache
def _built_in() -> dict[str, _Sound]:
    """What is played where nobody gave a file: 15 ms of work, once."""
    return {"music": _sound(prompt.music()), "ringback": _sound(prompt.ringback())}


@dataclass(slots=True)
class _Playing:
    """One prompt at one leg. frames: () while its file is being read."""

    event: PromptStarted
    codec: Codec
    voice: RtpVoice
    send: Callable[[bytes], None]
    frames: tuple[bytes, ...] = ()
    at: int = 0


class Player:
    """on_over(call_id, prompt): one that was to be played once has been, or cannot be; called from the loop, never from
    `play`. tell: reports a fault, a Chinese sentence."""

    def __init__(
        self, folder: Path, loop: asyncio.AbstractEventLoop, on_over: Callable[[str, str], None], tell: Callable[[str], None],
        random: Callable[[int], bytes], files: Files = DISK, workers: Workers = WorkerThread,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._loop = loop
        self._on_over = on_over
        self._tell = tell
        self._random = random
        self._files = files
        self._workers = workers
        self._worker: Worker | None = None  # made with the first file
        self._playing: dict[_Key, _Playing] = {}
        self._voices: dict[_Key, RtpVoice] = {}
        self._made = dict(_built_in())
        self._sounds: dict[str, _Sound] = {}  # by file
        self._bad: dict[str, Version | None] = {}  # files that were told of, as they were then
        self._loading: set[str] = set()
        self._base = loop.time()
        self._frame = 0  # of the grid, the last that was played
        self._timer: asyncio.TimerHandle | None = None

    def play(self, event: PromptStarted, codecs: Codecs, send: Callable[[bytes], None]) -> None:
        """Play a prompt to a leg, instead of what plays there. codecs: the leg's; send: takes an RTP packet to its peer."""
        key = (event.call_id, event.channel)
        number, name = next((c for c in codecs if c[1] != EVENTS), (-1, ""))
        codec = codec_named(name)
        if codec is None:
            log.warning("call %s: no prompt for %s can be made in %r", event.call_id, event.prompt, name)
            self._end(key, event)
            return
        voice = self._voices.get(key)
        if voice is None:
            voice = self._voices[key] = RtpVoice(
                number,
                int.from_bytes(self._random(4)),
                int.from_bytes(self._random(2)),
                int.from_bytes(self._random(4)),
            )
        self._playing[key] = _Playing(event, codec, voice, send)
        if event.file and not self._is_current(event.file):
            self._load(event)
        else:
            self._begin(key)

    def stop(self, call_id: str, channel: Channel) -> None:
        """Play nothing more to a leg."""
        gone = self._playing.pop((call_id, channel), None)
        if gone is not None:
            gone.voice.silent = True

    def forget(self, call_id: str) -> None:
        """The call is over, or connected."""
        for key in [k for k in self._voices if k[0] == call_id]:
            self._playing.pop(key, None)
            del self._voices[key]

    def finish(self) -> None:
        """Play nothing more to anybody."""
        self._playing.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._worker is not None:
            self._worker.finish()

    # -- what is played ---------------------------------------------------------------------------------------------

    def _begin(self, key: _Key) -> None:
        """Give a prompt its frames: of its file, else of our own tone, else it is over at once."""
        playing = self._playing[key]
        event = playing.event
        sound = self._sounds.get(event.file) if event.file else None
        if sound is None:
            sound = self._own(event.prompt)
        if sound is None:
            self._end(key, event)
            return
        playing.frames = sound.frames[playing.codec.name]
        if self._timer is None:
            self._frame = self._now_frame()
            self._set_timer()

    def _own(self, name: str) -> _Sound | None:
        kind, _, number = name.partition(":")
        if kind == "position" and name not in self._made:
            self._made[name] = _sound(prompt.position(int(number)))
        return self._made.get(name)

    def _end(self, key: _Key, event: PromptStarted) -> None:
        playing = self._playing.pop(key, None)
        if playing is not None:
            playing.voice.silent = True
        if not event.loop:
            self._loop.call_soon(self._on_over, event.call_id, event.prompt)

    # -- files ------------------------------------------------------------------------------------------------------

    def _is_current(self, name: str) -> bool:
        """Whether what we have of a file, or its being no use, is how it is on disk."""
        try:
            version = self._files.version(self._folder / name)
        except OSError:
            version = None
        known = self._sounds.get(name)
        if known is not None:
            return known.version == version
        return name in self._bad and self._bad[name] == version

    def _load(self, event: PromptStarted) -> None:
        name = event.file
        if name in self._loading:
            return
        self._loading.add(name)
        most_s = LOOP_MOST_S if event.loop else ONCE_MOST_S

        def job() -> None:
            version, found = self._read(name, most_s)
            self._loop.call_soon_threadsafe(self._loaded, event, version, found)

        if self._worker is None:
            self._worker = self._workers("prompts", None, 0.0)
        self._worker.put(job)

    def _read(self, name: str, most_s: int) -> tuple[Version | None, _Sound | str]:
        """In the worker: what is in a file, or the reason why that is nothing."""
        from callqa.audiofile import decode_audio, resample  # PyAV: only where there are such files

        path, version = self._folder / name, None
        try:
            version = self._files.version(path)
            if self._files.size_of(path) > FILE_MOST_BYTES:
                return version, f"超过 {FILE_MOST_BYTES >> 20} MB"
            audio = decode_audio(self._files.read(path), name)
        except OSError as e:
            return version, os_reason(e)
        except AudioError as e:
            return version, str(e).rstrip("。")
        mono = audio.samples[: most_s * audio.sample_rate_hz].astype("float32").mean(axis=1).astype("int16")
        return version, _sound(resample(mono, audio.sample_rate_hz, SAMPLE_RATE_HZ), version)

    def _loaded(self, event: PromptStarted, version: Version | None, found: _Sound | str) -> None:
        name = event.file
        self._loading.discard(name)
        if isinstance(found, str):
            self._sounds.pop(name, None)
            expected = event.prompt.startswith("position:") and version is None  # may be there, need not
            if not expected and self._bad.get(name, ()) != version:
                self._tell(_trouble(event.prompt, name, found))
            self._bad[name] = version
        else:
            self._bad.pop(name, None)
            self._sounds[name] = found
        for key, playing in list(self._playing.items()):
            if playing.event.file == name and not playing.frames:
                self._begin(key)

    # -- the timer --------------------------------------------------------------------------------------------------

    def _now_frame(self) -> int:
        return int((self._loop.time() - self._base) / FRAME_S + 1e-6)

    def _set_timer(self) -> None:
        self._timer = self._loop.call_at(self._base + (self._frame + 1) * FRAME_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._now_frame()
        for frame in range(max(self._frame + 1, now - LATE_MOST + 1), now + 1):
            for key, playing in list(self._playing.items()):
                try:
                    self._play_frame(key, playing, frame)
                except Exception:  # the timer of all prompts: trouble with one stops no other
                    log.exception("prompt %s", playing.event)
                    self._end(key, playing.event)
        self._frame = max(self._frame, now)
        if self._playing:
            self._set_timer()

    def _play_frame(self, key: _Key, playing: _Playing, frame: int) -> None:
        if not playing.frames:
            return
        if playing.at >= len(playing.frames):
            if not playing.event.loop:
                self._end(key, playing.event)
                return
            playing.at = 0
        playing.send(playing.voice.packet(playing.frames[playing.at], frame))
        playing.at += 1


def _trouble(name: str, file: str, reason: str) -> str:
    if name == "notice":
        return f"录音告知 {file} 播放不了（{reason}）：来电没有听到告知就接通；请检查 var/prompts 文件夹"
    instead = "排队音乐改用系统自带的" if name == "music" else "改用系统自带的提示音"
    return f"提示音 {file} 播放不了（{reason}），{instead}；请检查 var/prompts 文件夹"
