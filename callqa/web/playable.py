"""Recordings as browsers can play them: 16-bit PCM WAV made from the master, the last few kept in memory.

Browsers do not play A-law WAV reliably. A ten-minute call is 19 MB of PCM and decodes in some tens of milliseconds,
so nothing is written to disk. Peaks for drawing are small and kept as files under var/cache/peaks.
"""

import json
import threading
from collections import OrderedDict
from pathlib import Path

from callqa.audiofile import peaks, read_audio, wav_bytes
from callqa.errors import AudioError
from callqa.sidecar import write_atomically

MAX_CACHED_BYTES = 96 * 1024 * 1024  # five ten-minute calls: what a leader has open at once
PEAKS_PER_SECOND = 20
MAX_PEAKS = 6000


def master_path(recordings: Path, relative: str) -> Path:
    """The master's file. Raise AudioError when the stored path would leave the recordings folder."""
    path = (recordings / relative).resolve()
    if not path.is_relative_to(recordings.resolve()):
        raise AudioError("录音的存放路径不在录音文件夹内，拒绝打开；请联系管理员")
    return path


class PlayableCache:
    """recording_sha256 -> WAV bytes, least recently used out first. Safe between threads."""

    def __init__(self, max_bytes: int = MAX_CACHED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, path: Path, recording_sha256: str) -> bytes:
        """The recording as a 16-bit PCM WAV. Raise AudioError."""
        with self._lock:
            found = self._held.get(recording_sha256)
            if found is not None:
                self._held.move_to_end(recording_sha256)
                return found
        audio = read_audio(path)
        made = wav_bytes(audio.samples, audio.sample_rate_hz)
        with self._lock:
            self._held[recording_sha256] = made
            while sum(map(len, self._held.values())) > self._max_bytes and len(self._held) > 1:
                self._held.popitem(last=False)
        return made


def load_peaks(path: Path, recording_sha256: str, cache: Path) -> bytes:
    """JSON for the waveform: {"duration_s": ..., "channels": [[peak in 0..1, ...], ...]}; made once a recording."""
    kept = cache / f"{recording_sha256}.json"
    if kept.exists():
        return kept.read_bytes()
    audio = read_audio(path)
    duration_s = len(audio.samples) / audio.sample_rate_hz
    buckets = max(1, min(MAX_PEAKS, int(duration_s * PEAKS_PER_SECOND)))
    channels = [
        [round(max(abs(low), abs(high)), 3) for low, high in channel] for channel in peaks(audio.samples, buckets)
    ]
    made = json.dumps({"duration_s": round(duration_s, 3), "channels": channels}, separators=(",", ":")).encode()
    cache.mkdir(parents=True, exist_ok=True)
    write_atomically(kept, made)
    return made


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
