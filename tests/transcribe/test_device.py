"""Which device the engine takes: CUDA when it is there and works, the processor otherwise; never a silent other one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from callqa.errors import EngineError
from callqa.transcribe import whisper
from callqa.transcribe.engine import DecodeRequest
from tests.transcribe.test_model import folder

ctranslate2 = pytest.importorskip("ctranslate2")


class Model:
    """faster_whisper.WhisperModel as far as the loader and a decode touch it. broken: devices whose libraries are missing."""

    broken: tuple[str, ...] = ()
    loaded: list[str] = []

    def __init__(self, path: str, *, device: str, **_: Any) -> None:
        self.loaded.append(device)
        self.model = type("Inner", (), {"device": device})()

    def transcribe(self, samples: Any, **_: Any) -> tuple[list[Any], None]:
        if self.model.device in self.broken:
            raise RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")
        return [], None


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> type[Model]:
    made = type("Made", (Model,), {"loaded": [], "broken": ()})
    monkeypatch.setattr("faster_whisper.WhisperModel", made)
    monkeypatch.setattr("faster_whisper.vad.get_vad_model", lambda: None)
    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda device: {"int8", "float32"})
    return made


@pytest.mark.parametrize(
    ("cards", "broken", "wanted", "taken"),
    [
        (1, (), "auto", ["cuda"]),
        (0, (), "auto", ["cpu"]),
        (1, ("cuda",), "auto", ["cuda", "cpu"]),
        (1, (), "cpu", ["cpu"]),
        (1, (), "cuda", ["cuda"]),
    ],
)
def test_the_device_taken(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: type[Model],
    cards: int,
    broken: tuple[str, ...],
    wanted: str,
    taken: list[str],
) -> None:
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: cards)
    model.broken = broken
    engine = whisper.load_engine(folder(tmp_path / "m"), device=wanted)
    assert model.loaded == taken
    assert dict(engine.options)["device"] == taken[-1]
    assert engine.decode(np.zeros(16_000, np.float32), DecodeRequest()) == []


def test_cuda_asked_for_and_not_working_is_an_error_and_not_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: type[Model]
) -> None:
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 1)
    model.broken = ("cuda",)
    with pytest.raises(EngineError, match=r"libcublas.*speech\.device"):
        whisper.load_engine(folder(tmp_path / "m"), device="cuda")
