"""Whether speech recognition works on this machine, line by line with what to do: for `callqa asr check` and doctor.

Loads the engine and transcribes the sample call that comes with the program, whose words are known. Prints nothing.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from callqa.audiofile import read_audio
from callqa.errors import AudioError, EngineError, WordModelError
from callqa.findings import Finding
from callqa.matching import edit_distance
from callqa.text import is_han
from callqa.transcribe.assemble import transcribe_call
from callqa.transcribe.engine import Engine
from callqa.transcribe.engines import EngineLoader
from callqa.transcribe.language import load_word_model, locate_word_model
from callqa.transcribe.model import PACKAGED_SHA256, ModelFacts, inspect_model
from callqa.transcribe.repair import Repairer

SAMPLE: Final = Path(__file__).parent / "sample"
SLOW: Final = 0.7  # seconds a second of call: a busy hotline (talk half of the day on two seats) outruns such a machine
DEAF: Final = 0.6  # character error rate: Whisper base has 0.1 to 0.3 here, another language's model above 0.9


@dataclass(frozen=True, slots=True)
class Heard:
    """The sample call as this engine hears it. wall_s, cpu_s: per second of call; cer: against what is said in it."""

    text: str
    wall_s: float
    cpu_s: float
    cer: float


def check_speech(
    load: EngineLoader,
    model_dir: Path,
    *,
    device: str = "auto",
    compute_type: str = "int8",
    threads: int = 1,
    repairer: Repairer | None = None,
    word_model: Path | None = None,
    needs_model: bool = True,
) -> Iterator[Finding]:
    """One finding after the other, as they are known; ends at the first thing that everything else needs.

    needs_model: the engine works from a Whisper folder, which is looked at first. word_model: the file of the setting.
    """
    if needs_model:
        try:
            yield from _model_findings(inspect_model(model_dir))
        except EngineError as e:
            yield Finding("missing", "模型", str(e))
            yield word_model_finding(word_model)
            return
    begun = time.monotonic()
    try:
        engine = load(model_dir, device=device, compute_type=compute_type, threads=threads)
    except EngineError as e:
        yield Finding("missing", "引擎", str(e))
        yield word_model_finding(word_model)
        return
    options = dict(engine.options)
    yield Finding("well", "引擎", f"{engine.name}，装载 {time.monotonic() - begun:.1f} 秒")
    yield _device_finding(options.get("device", "—"), device)
    yield Finding("well", "精度", options.get("compute_type", "—"))
    yield word_model_finding(word_model)
    yield from twins_finding(repairer)
    yield from _sample_findings(engine, repairer)


def word_model_finding(wanted: Path | None = None) -> Finding:
    """Whether the language data for homophone repair are there; without them everything else works.

    wanted: the file of the setting, None for the usual places.
    """
    place = locate_word_model(wanted)
    if place is None:
        return Finding(
            "warn",
            "词模型",
            "没有语言数据，不修正同音字",
            "Debian：apt install libime-data-language-model；别的系统把文件路径写进设置 speech.word_model",
        )
    try:
        return Finding("well", "词模型", load_word_model(place).name)
    except WordModelError as e:
        remedy = "改正设置 speech.word_model" if wanted else "重新安装 libime-data-language-model"
        return Finding("warn", "词模型", f"{e}；不修正同音字", remedy)


def twins_finding(repairer: Repairer | None) -> Iterator[Finding]:
    """The vocabulary's words between which nobody can choose by ear, where there are any."""
    if repairer is not None and repairer.twins:
        shown = "、".join("／".join(group) for group in repairer.twins[:5])
        rest = f" 等 {len(repairer.twins)} 组" if len(repairer.twins) > 5 else ""
        remedy = "删去 vocabulary.yaml 里用不着的；都要用就由人核听"
        yield Finding("warn", "词表", f"这些词听不出分别，同音修正不在它们之间选：{shown}{rest}", remedy)


def hear_sample(engine: Engine, repairer: Repairer | None = None) -> Heard:
    """Transcribe the sample call. Raise AudioError or EngineError."""
    audio = read_audio(SAMPLE / "call.wav")
    told = json.loads((SAMPLE / "call.json").read_text(encoding="utf-8"))["turns"]
    wall_s, cpu_s = time.monotonic(), time.process_time()
    transcript = transcribe_call(audio, engine, recording_sha256="", repairer=repairer)
    wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
    said, heard = _han(turn["text"] for turn in told), _han(u.text for u in transcript.utterances)
    length_s = audio.duration_ms / 1000
    text = "".join(u.text for u in transcript.utterances)
    return Heard(text, wall_s / length_s, cpu_s / length_s, edit_distance(said, heard) / len(said))


def _model_findings(facts: ModelFacts) -> Iterator[Finding]:
    known = "，与随包的一致" if facts.sha256 == PACKAGED_SHA256 else ""
    yield Finding("well", "模型文件夹", str(facts.path))
    yield Finding("well", "模型", f"{facts.name}，{facts.size_bytes / 1e6:.0f} MB")
    yield Finding("well", "语种", f"多语种，词表 {facts.n_tokens} 个")
    yield Finding("well", "梅尔频带", str(facts.n_mels))
    yield Finding("well", "SHA-256", facts.sha256 + known)


def _device_finding(used: str, wanted: str) -> Finding:
    if used == "cpu" and wanted == "auto":
        return Finding("well", "运算设备", "cpu（没有可用的 CUDA）")
    return Finding("well", "运算设备", used)


def _sample_findings(engine: Engine, repairer: Repairer | None) -> Iterator[Finding]:
    try:
        heard = hear_sample(engine, repairer)
    except (AudioError, EngineError) as e:
        yield Finding("missing", "试听样本", str(e), "重新安装 callqa；仍不行时换 speech.device 或 speech.compute_type")
        return
    text = f"字错误率 {heard.cer:.0%}：{heard.text}"
    if heard.cer > DEAF:
        yield Finding("missing", "试听样本", text, "这个模型听不懂普通话；请换多语种模型（设置 speech.model_dir）")
    else:
        yield Finding("well", "试听样本", text)
    speed = f"每秒通话用 {heard.wall_s:.2f} 秒（CPU {heard.cpu_s:.2f} 秒）"
    if heard.wall_s > SLOW:
        yield Finding(
            "warn",
            "速度",
            speed,
            "高峰时会积压：增大 speech.threads，换小一些的模型，或再开转写进程（callqa work --speech）",
        )
    else:
        yield Finding("well", "速度", speed)


def _han(texts: Iterator[str]) -> str:
    return "".join(char for text in texts for char in text if is_han(char))
