"""提示音: the site's own recordings that callers hear (notice, music), as the recorder plays them.

Any audio file becomes 8 000 Hz, one channel, 16-bit WAV in `var/prompts/`, written whole or not at all. Which of them is
played is the routing's business (routing.set_routing); one that it names cannot be deleted.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from callqa.audiofile import Samples, decode_audio, resample, wav_bytes
from callqa.errors import AudioError, StateError
from callqa.refusals import os_reason
from callqa.sidecar import write_atomically
from callqa.store import audit
from callqa.store.db import Database
from callqa.usecases.desk import load_routing

RATE_HZ = 8000
NOTICE_MOST_S, MUSIC_MOST_S = 120, 600  # what the recorder plays of one, once and in a loop
SHORTEST_MS = 300
UPLOAD_MOST_BYTES = 20 << 20  # ten minutes of 16-bit stereo at 8 kHz, or hours of anything compressed
PROMPTS_MOST = 50
QUIETEST_PEAK = 100  # of 32 767: what stays below is an empty recording
_STEM = re.compile(r"\w[\w ()（）.·-]{0,59}")
_HEADER_BYTES = 44


@dataclass(frozen=True, slots=True)
class PromptFile:
    """One file of var/prompts."""

    name: str
    duration_ms: int


def list_prompts(folder: Path) -> tuple[PromptFile, ...]:
    """What lies there, by name; nothing when the folder cannot be read."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".wav" and not path.name.startswith("."))
        return tuple(PromptFile(path.name, _duration_ms(path.stat().st_size)) for path in paths)
    except OSError:
        return ()


def find_prompt(folder: Path, name: str) -> Path | None:
    """Where a prompt lies; None for any name that is not one of the list."""
    return folder / name if any(prompt.name == name for prompt in list_prompts(folder)) else None


def save_prompt(db: Database, folder: Path, filename: str, data: bytes, *, actor: str, now_ms: int) -> PromptFile:
    """Convert one upload and keep it under its own name, in the place of one that has it. Raise AudioError in Chinese."""
    name = _name_of(filename)
    if len(data) > UPLOAD_MOST_BYTES:
        raise AudioError(f"文件“{filename}”超过 {UPLOAD_MOST_BYTES >> 20} MB；提示音最长 {MUSIC_MOST_S // 60} 分钟")
    samples = _telephone_samples(data, filename)
    known = {prompt.name for prompt in list_prompts(folder)}
    if name not in known and len(known) >= PROMPTS_MOST:
        raise AudioError(f"提示音已有 {PROMPTS_MOST} 个；请先删除不用的")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, wav_bytes(samples, RATE_HZ))
    except OSError as e:
        raise AudioError(f"提示音存不进 {folder}：{os_reason(e)}；请检查磁盘和权限") from e
    made = PromptFile(name, samples.size * 1000 // RATE_HZ)
    detail = {"duration_ms": made.duration_ms, "replaced": name in known}
    _note(db, "prompt.save", name, detail, actor, now_ms)
    return made


def remove_prompt(db: Database, folder: Path, name: str, *, actor: str, now_ms: int) -> None:
    """Delete a prompt that nothing plays. Raise StateError in Chinese."""
    path = find_prompt(folder, name)
    if path is None:
        raise StateError(f"没有提示音“{name}”；请刷新页面")
    with db.read() as session:
        routing = load_routing(session)
    used = [
        what for what, chosen in (("录音告知", routing.notice), ("排队音乐", routing.queue_music)) if chosen == name
    ]
    if used:
        raise StateError(f"“{name}”正用作{'和'.join(used)}；请先在来电路由里改选别的")
    try:
        path.unlink(missing_ok=True)
    except OSError as e:
        raise StateError(f"“{name}”删不掉：{os_reason(e)}") from e
    _note(db, "prompt.remove", name, {}, actor, now_ms)


def _telephone_samples(data: bytes, filename: str) -> Samples:
    """int16 (n,) at 8 000 Hz, all channels mixed."""
    audio = decode_audio(data, filename, most_s=MUSIC_MOST_S)
    mixed = np.rint(audio.samples.astype(np.float32).mean(axis=1)).astype(np.int16)
    samples = resample(mixed, audio.sample_rate_hz, RATE_HZ)
    if samples.size < SHORTEST_MS * RATE_HZ // 1000:
        raise AudioError(f"文件“{filename}”不到 {SHORTEST_MS / 1000:.1f} 秒，不像一段提示音；请检查是否录全")
    if int(np.abs(samples.astype(np.int32)).max()) < QUIETEST_PEAK:
        raise AudioError(f"文件“{filename}”里没有声音（全程静音）；请重新录制")
    return samples


def _name_of(filename: str) -> str:
    stem = unicodedata.normalize("NFC", PurePosixPath(filename).stem).strip()
    if not _STEM.fullmatch(stem):
        raise AudioError(f"文件名“{filename}”不能用；请改成 60 个字以内的文字、数字、横线，如“录音告知.wav”")
    return f"{stem}.wav"


def _duration_ms(size_bytes: int) -> int:
    return max(0, size_bytes - _HEADER_BYTES) // 2 * 1000 // RATE_HZ


def _note(db: Database, action: str, name: str, detail: Mapping[str, object], actor: str, now_ms: int) -> None:
    with db.write() as session:
        audit.append(session, actor=actor, action=action, subject=name, detail=dict(detail), now_ms=now_ms)
