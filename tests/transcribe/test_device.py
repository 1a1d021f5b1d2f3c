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
    asked: list[dict[str, Any]] = []

    def __init__(self, path: str, *, device: str, **_: Any) -> None:
        self.loaded.append(device)
        self.model = type("Inner", (), {"device": device})()

    def transcribe(self, samples: Any, **options: Any) -> tuple[list[Any], None]:
        self.asked.append(options)
        if self.model.device in self.broken:
            raise RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")
        return [], None


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> type[Model]:
    made = type("Made", (Model,), {"loaded": [], "asked": [], "broken": ()})
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


def test_a_decode_begins_from_one_seed_and_ends_where_nobody_can_have_said_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: type[Model]
) -> None:
    """Sampling above temperature 0 gives one text for one audio; a loop in a short window ends early."""
    seeds: list[int] = []
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    monkeypatch.setattr(ctranslate2, "set_random_seed", seeds.append)
    engine = whisper.load_engine(folder(tmp_path / "m"))
    for seconds in (2, 4, 28):
        engine.decode(np.zeros(seconds * 16_000, np.float32), DecodeRequest("", 5, (0.0, 0.2)))
    assert len(seeds) == 3 and len(set(seeds)) == 1
    short, longer, longest = (asked["max_new_tokens"] for asked in model.asked[1:])
    assert short < longer <= 200 and longest is None
    assert all(
        asked["condition_on_previous_text"] is False and asked["word_timestamps"] for asked in model.asked[1:]
    )  # the first was a trial


@pytest.mark.parametrize("seconds", [0, 0.01, 100, 120, 125.3, 400])
def test_long_audio_is_listened_to_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: type[Model], seconds: float
) -> None:
    """Each frame has its own probability, each part begins a little earlier, none is longer than two minutes and some."""
    heard: list[int] = []

    def detector(samples: Any) -> Any:
        heard.append(len(samples))
        return samples.reshape(-1, 512).max(axis=1, keepdims=True)

    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    monkeypatch.setattr("faster_whisper.vad.get_vad_model", lambda: detector)
    samples = np.random.default_rng(1).random(round(seconds * 16_000), np.float32)
    told = whisper.load_engine(folder(tmp_path / "m")).speech_probabilities(samples)
    frames = np.pad(samples, (0, -len(samples) % 512)).reshape(-1, 512)
    assert told.dtype == np.float32 and np.array_equal(told, frames.max(axis=1, initial=0)[: len(told)])
    assert len(told) == len(frames) and max(heard, default=0) <= 129 * 16_000
    assert sum(heard) >= len(samples) + 8 * 16_000 * (len(heard) - 1)


def test_a_folder_that_only_fails_at_the_first_decode_is_refused_when_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: type[Model]
) -> None:
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    model.broken = ("cpu",)  # 128 mel bands asked of a model of 80
    with pytest.raises(EngineError, match=r"重新复制.*speech\.model_dir"):
        whisper.load_engine(folder(tmp_path / "m"))


def test_a_decode_that_breaks_down_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: type[Model]
) -> None:
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    engine = whisper.load_engine(folder(tmp_path / "m"))
    model.broken = ("cpu",)
    with pytest.raises(EngineError, match="callqa asr check"):
        engine.decode(np.zeros(16_000, np.float32), DecodeRequest())


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_what_the_tokenizers_library_raises_is_no_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    monkeypatch.setattr("faster_whisper.WhisperModel", lambda *_, **__: tokenizers.Tokenizer.from_str(text))
    with pytest.raises(EngineError, match="装载失败"):
        whisper.load_engine(folder(tmp_path / "m"))
