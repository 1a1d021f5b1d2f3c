"""What a recorder leaves behind, in small: masters, sidecars and journal lines, and an engine that needs no model."""

import hashlib
import threading
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from callqa.journal import JournalEntry, JournalKind, encode_entry
from callqa.sidecar import Recording, Sidecar, save_sidecar
from callqa.transcribe.engine import DETECTOR_FRAME_SAMPLES, DecodeRequest, Float, Segment, Word

RATE_HZ = 8000
BASE_MS = 1_793_664_000_000  # 2026-11-03 00:00 UTC; call_ids sort by time
DAY_FOLDER = "2026/11/03"


@dataclass(slots=True)
class Recorder:
    """Writes as the recorder would. recordings: the folder; every call is `seconds` long."""

    recordings: Path
    number: int = 0
    seconds: float = 4.0

    def journal(self, kind: JournalKind, call_id: str | None = None, /, *, at_ms: int = BASE_MS, **facts: Any) -> None:
        """Append one line."""
        self.number += 1
        entry = JournalEntry(number=self.number, at_ms=at_ms, kind=kind, call_id=call_id, facts=facts)
        folder = self.recordings / "journal"
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "2026-11-03.jsonl", "ab") as f:
            f.write(encode_entry(entry))

    def master(self, call_id: str) -> Recording:
        """A stereo WAV with a tone where each side speaks in turn."""
        n = int(self.seconds * RATE_HZ)
        t = np.arange(n) / RATE_HZ
        stereo = np.zeros((n, 2), dtype=np.int16)
        half = n // 2
        stereo[:half, 1] = (6000 * np.sin(2 * np.pi * 220 * t[:half])).astype(np.int16)
        stereo[half:, 0] = (6000 * np.sin(2 * np.pi * 180 * t[half:])).astype(np.int16)
        path = self.recordings / DAY_FOLDER / f"{call_id}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as w:
            w.setnchannels(2)
            w.setsampwidth(2)
            w.setframerate(RATE_HZ)
            w.writeframes(stereo.tobytes())
        return Recording(
            path=f"{DAY_FOLDER}/{call_id}.wav",
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            encoding="pcm16",
            sample_rate_hz=RATE_HZ,
            n_samples=n,
            duration_ms=n * 1000 // RATE_HZ,
        )

    def sidecar(self, call_id: str, *, recorded: bool = True, **fields: Any) -> Sidecar:
        """Master and sidecar of one answered call, without a journal line."""
        answered_ms = fields.pop("started_at_ms", BASE_MS) + 3000
        given: dict[str, Any] = {
            "call_id": call_id,
            "mode": "bridge",
            "direction": "inbound",
            "from_number": "013871206358",
            "to_number": "02784770000",
            "seat_extension": "8001",
            "started_at_ms": answered_ms - 3000,
            "answered_at_ms": answered_ms,
            "ended_at_ms": answered_ms + int(self.seconds * 1000),
            "hangup_party": "citizen",
        }
        if "recording" not in fields:
            given["recording"] = self.master(call_id) if recorded else None
        made = Sidecar(**{**given, **fields})
        path = self.recordings / DAY_FOLDER / f"{call_id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_sidecar(path, made)
        return made

    def call(self, call_id: str, **fields: Any) -> Sidecar:
        """A whole answered call: journal lines in order, master, sidecar."""
        at_ms = fields.get("started_at_ms", BASE_MS)
        facts = {
            "direction": fields.get("direction", "inbound"),
            "from_number": fields.get("from_number", "013871206358"),
            "to_number": fields.get("to_number", "02784770000"),
        }
        self.journal(JournalKind.CALL_STARTED, call_id, at_ms=at_ms, started_at_ms=at_ms, **facts)
        self.journal(JournalKind.CALL_ANSWERED, call_id, at_ms=at_ms + 3000, seat_extension="8001")
        made = self.sidecar(call_id, **fields)
        self.journal(JournalKind.CALL_ENDED, call_id, at_ms=made.ended_at_ms, hangup_party="citizen")
        self.journal(
            JournalKind.CALL_COMPLETE, call_id, at_ms=made.ended_at_ms + 500, sidecar=f"{DAY_FOLDER}/{call_id}.json"
        )
        return made


@dataclass(slots=True)
class FakeEngine:
    """Hears a sentence in every window it is given. `before_decode` runs first: a place to wait, to look, to fail."""

    text: str = "您好水务热线"
    before_decode: Any = None
    decoded: int = 0
    name: str = "fake 1"
    model_sha256: str = "0" * 64
    options: tuple[tuple[str, str], ...] = (("device", "none"),)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def decode(self, samples: Float, request: DecodeRequest) -> list[Segment]:
        if self.before_decode is not None:
            self.before_decode()
        with self._lock:
            self.decoded += 1
        each_ms = max(1, len(samples) * 1000 // 16_000 // len(self.text))
        words = tuple(Word(c, i * each_ms, (i + 1) * each_ms, 0.9) for i, c in enumerate(self.text))
        return [Segment(words, no_speech=0.01, compression_ratio=1.0, mean_log_probability=-0.1)]

    def speech_probabilities(self, samples: Float) -> Float:
        whole = np.zeros(-(-len(samples) // DETECTOR_FRAME_SAMPLES) * DETECTOR_FRAME_SAMPLES, dtype=np.float32)
        whole[: len(samples)] = samples
        level = np.sqrt(np.mean(whole.reshape(-1, DETECTOR_FRAME_SAMPLES) ** 2, axis=1))
        return (level > 0.01).astype(np.float32)
