"""Whether speech recognition works on this machine: model, mel bands, hash, speed, word model. For `callqa asr check`.

Loads the engine and decodes a made-up sound once. Prints nothing.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from callqa.transcribe.audio import ENGINE_RATE_HZ
from callqa.transcribe.engine import DecodeRequest, Engine, Float
from callqa.transcribe.language import find_word_model
from callqa.transcribe.model import ModelFacts, inspect_model
from callqa.transcribe.whisper import load_engine

SAMPLE_S: Final = 20


@dataclass(frozen=True, slots=True)
class Checkup:
    """options: as the engine runs (device, precision). cpu_s_per_audio_s: on `SAMPLE_S` of sound, below real speech."""

    facts: ModelFacts
    engine: str
    options: tuple[tuple[str, str], ...]
    load_s: float
    cpu_s_per_audio_s: float
    word_model: str | None

    def describe(self) -> tuple[str, ...]:
        """Lines for people, in Chinese."""
        repair = (
            self.word_model or "未安装（不做同音修正；Debian：apt install libime-data-language-model，并安装 kenlm）"
        )
        return (
            f"模型：{self.facts.name}（{self.facts.path}）",
            f"梅尔频带：{self.facts.n_mels}；词表：{self.facts.n_tokens} 个；{self.facts.size_bytes / 1e6:.0f} MB",
            f"SHA-256：{self.facts.sha256}",
            f"引擎：{self.engine}；" + "，".join(f"{key}={value}" for key, value in self.options),
            f"装载 {self.load_s:.1f} 秒；每秒声音用 {self.cpu_s_per_audio_s:.2f} 秒 CPU",
            f"词模型：{repair}",
        )


def check_speech(model_dir: Path, *, device: str = "auto", compute_type: str = "int8", threads: int = 1) -> Checkup:
    """Load the model, decode once, look for the word model. Raise EngineError where the engine cannot run."""
    facts = inspect_model(model_dir)
    begun = time.monotonic()
    engine = load_engine(model_dir, device=device, compute_type=compute_type, threads=threads)
    load_s = time.monotonic() - begun
    model = find_word_model()
    return Checkup(facts, engine.name, engine.options, load_s, _cost(engine), model.name if model else None)


def _cost(engine: Engine) -> float:
    begun = time.process_time()
    engine.decode(_sound(), DecodeRequest())
    return (time.process_time() - begun) / SAMPLE_S


def _sound() -> Float:
    """A hum of 140 Hz in syllables: float32 (SAMPLE_S * 16 000,)."""
    t = np.arange(SAMPLE_S * ENGINE_RATE_HZ) / ENGINE_RATE_HZ
    hum = sum(np.sin(2 * np.pi * 140 * h * t) / h for h in range(1, 12))
    return (0.1 * hum * np.clip(np.sin(2 * np.pi * 2.5 * t), 0, 1)).astype(np.float32)
