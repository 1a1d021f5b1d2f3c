"""What the player fetches: a recording as browsers can play it, and its peaks. And which playbacks were noted lately.

Browsers do not play A-law WAV reliably, so the master is turned into 16-bit PCM WAV as it goes out, only the bytes asked for.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from callqa.audiofile import read_audio, wav_bytes
from callqa.errors import AudioError
from callqa.playback import find_playable
from callqa.speech import Span
from callqa.usecases.export_audio import PrivateStretches
from callqa.web.ranges import ByteRange


def master_path(recordings: Path, relative: str) -> Path:
    """The master's file. Raise AudioError when the stored path would leave the recordings folder."""
    path = (recordings / relative).resolve()
    if not path.is_relative_to(recordings.resolve()):
        raise AudioError("录音的存放路径不在录音文件夹内，拒绝打开；请联系管理员")
    return path


@dataclass(frozen=True, slots=True)
class Playable:
    """A recording as a 16-bit PCM WAV of `size` bytes. whole: of a master that cannot be turned piece by piece."""

    path: Path
    size: int
    whole: bytes | None = None

    def pieces(self, part: ByteRange | None) -> Iterable[bytes]:
        """The bytes of a range, or all."""
        first, last = (part.first, part.last) if part is not None else (0, self.size - 1)
        if self.whole is not None:
            return (self.whole[first : last + 1],)
        file = find_playable(self.path)
        return file.pieces(first, last) if file is not None else ()


def load_playable(path: Path) -> Playable:
    """Raise AudioError when it is missing, empty or no audio."""
    file = find_playable(path)
    if file is not None:
        return Playable(path, file.size)
    audio = read_audio(path)
    whole = wav_bytes(audio.samples, audio.sample_rate_hz)
    return Playable(path, len(whole), whole)


class BeepedRecordings:
    """The last few that were played with a tone in place of private numbers, whole: a player asks for many ranges of one.

    Few people hear them so. Safe between threads.
    """

    MAX_BYTES = 64 * 1024 * 1024  # three ten-minute calls

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, tuple[Span, ...]], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, path: Path, recording_sha256: str, private: PrivateStretches) -> Playable:
        """Raise AudioError."""
        key = (recording_sha256, private.spans)
        with self._lock:
            made = self._held.pop(key, None)
        if made is None:
            made = private.take_out(b"".join(load_playable(path).pieces(None)))
        with self._lock:
            self._held[key] = made
            while sum(map(len, self._held.values())) > self.MAX_BYTES and len(self._held) > 1:
                self._held.popitem(last=False)
        return Playable(path, len(made), made)


class PlayNotes:
    """Which playbacks were noted lately, so that one listening is one audit entry and not one per byte range."""

    AGAIN_AFTER_MS = 5 * 60_000
    MAX_NOTES = 5_000

    def __init__(self) -> None:
        self._last_ms: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._lock = threading.Lock()

    def is_new(self, session_key: str, call_id: str, now_ms: int) -> bool:
        """Whether this request begins a playback that has to be noted. Each request prolongs the present one."""
        key = (session_key, call_id)
        with self._lock:
            last = self._last_ms.pop(key, None)
            self._last_ms[key] = now_ms
            while len(self._last_ms) > self.MAX_NOTES:
                self._last_ms.popitem(last=False)
        return last is None or now_ms - last >= self.AGAIN_AFTER_MS
