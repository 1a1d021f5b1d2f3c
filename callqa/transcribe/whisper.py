"""faster-whisper behind the `Engine` protocol: the only file that imports it.

Works from a folder on disk and never asks the network. Does not cut, map or judge: windows.py and guard.py do.
"""

import logging
import os
import threading
from pathlib import Path
from typing import Any, Final

import numpy as np

from callqa.errors import EngineError
from callqa.transcribe.audio import ENGINE_RATE_HZ
from callqa.transcribe.engine import DETECTOR_FRAME_SAMPLES, DecodeRequest, Float, Segment, Word
from callqa.transcribe.model import ModelFacts, inspect_model

log = logging.getLogger(__name__)

LANGUAGE: Final = "zh"
_TOKENS_PER_S, _TOKENS_SPARE, _TOKENS_BOUND = 20, 40, 200  # nobody says more; a loop in a short window ends early
# Two minutes at once cost the detector 100 MB; what it remembers is gone after some seconds.
_DETECT_AT_ONCE: Final = 3_750 * DETECTOR_FRAME_SAMPLES
_DETECT_BEFORE: Final = 250 * DETECTOR_FRAME_SAMPLES
_SEED: Final = 20_261  # sampling above temperature 0 must give the same text each time


class WhisperEngine:
    """A loaded Whisper model and a voice detector."""

    def __init__(
        self, model: Any, detector: "VoiceDetector", facts: ModelFacts, version: str, compute_type: str
    ) -> None:
        self._model = model
        self._detector = detector
        self._facts = facts
        self._version = version
        self._compute_type = compute_type
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return f"faster-whisper {self._version}"

    @property
    def model_sha256(self) -> str:
        return self._facts.sha256

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        return (
            ("model", self._facts.name),
            ("device", str(self._model.model.device)),
            ("compute_type", self._compute_type),
            ("language", LANGUAGE),
        )

    def decode(self, samples: Float, request: DecodeRequest) -> list[Segment]:
        """Words of float32 (n_samples,) at 16 000 Hz. Each window stands alone: no text of another leaks into it."""
        import ctranslate2

        bound = _TOKENS_SPARE + _TOKENS_PER_S * len(samples) // ENGINE_RATE_HZ
        try:
            with self._lock:
                ctranslate2.set_random_seed(_SEED)
                segments, _ = self._model.transcribe(
                    samples,
                    language=LANGUAGE,
                    beam_size=request.beam_size,
                    temperature=list(request.temperatures),
                    initial_prompt=request.prompt or None,
                    condition_on_previous_text=False,
                    word_timestamps=True,
                    max_new_tokens=bound if bound < _TOKENS_BOUND else None,
                )
                return [_segment(s) for s in segments]
        except (
            RuntimeError,
            ValueError,
        ) as e:  # memory of the device is full; a config.json that lacks what words need
            raise EngineError(f"语音引擎解码失败：{e}。请运行 callqa asr check；模型文件夹不完整时请重新复制。") from e

    def speech_probabilities(self, samples: Float) -> Float:
        """float32 (n_frames,): probability of speech per 32 ms."""
        return self._detector.probabilities(samples)


class VoiceDetector:
    """The voice detector that comes with faster-whisper (Silero, ONNX). For any thread."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._lock = threading.Lock()

    def probabilities(self, samples: Float) -> Float:
        """float32 (n_frames,) of float32 (n_samples,) at 16 000 Hz: probability of speech per 32 ms. Long audio is heard in
        parts, each from a little before where it begins, so that the detector knows what went before: memory is that of one."""
        parts = [
            self._detect(samples[max(0, start - _DETECT_BEFORE) : start + _DETECT_AT_ONCE])[-frames:]
            for start in range(0, len(samples), _DETECT_AT_ONCE)
            if (frames := -(-min(_DETECT_AT_ONCE, len(samples) - start) // DETECTOR_FRAME_SAMPLES))
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _detect(self, samples: Float) -> Float:
        short = -len(samples) % DETECTOR_FRAME_SAMPLES
        with self._lock:
            return np.asarray(self._model(np.pad(samples, (0, short))), np.float32).reshape(-1)


def load_detector() -> VoiceDetector:
    """The detector alone: it lies in the package and needs no model folder."""
    from faster_whisper.vad import get_vad_model

    return VoiceDetector(get_vad_model())


def _segment(heard: Any) -> Segment:
    words = tuple(
        Word(w.word, round(w.start * 1000), round(w.end * 1000), float(w.probability)) for w in heard.words or ()
    )
    return Segment(words, float(heard.no_speech_prob), float(heard.compression_ratio), float(heard.avg_logprob))


def load_engine(
    model_dir: Path, *, device: str = "auto", compute_type: str = "int8", threads: int = 1
) -> WhisperEngine:
    """Load the model folder. Raise EngineError, in Chinese and with the setting to change, when that cannot be."""
    facts = inspect_model(model_dir)
    os.environ["HF_HUB_OFFLINE"] = "1"  # read by huggingface_hub when it is first imported, just below
    import ctranslate2
    import faster_whisper

    chosen = _device(device, ctranslate2.get_cuda_device_count())
    supported = ctranslate2.get_supported_compute_types(chosen)
    if compute_type not in supported:
        raise EngineError(
            f"运算设备 {chosen} 不支持精度 {compute_type}；请把设置 speech.compute_type 改为 {'、'.join(sorted(supported))} 之一。"
        )
    try:
        model = faster_whisper.WhisperModel(
            str(model_dir), device=chosen, compute_type=compute_type, cpu_threads=threads, local_files_only=True
        )
        _try(model)
    except Exception as e:  # the tokenizer's library raises nothing narrower
        if device == "auto" and chosen == "cuda":
            log.warning("speech model does not load on cuda, using cpu: %s", e)
            return load_engine(model_dir, device="cpu", compute_type=compute_type, threads=threads)
        raise EngineError(
            f"语音模型 {model_dir} 装载失败：{e}。请重新复制整个模型文件夹，"
            "并检查设置 speech.model_dir、speech.device 与 speech.compute_type。"
        ) from e
    return WhisperEngine(model, load_detector(), facts, faster_whisper.__version__, compute_type)


def _try(model: Any) -> None:
    """Hear a second of silence: some of what is wrong with a folder is only met at the first decode, and CUDA's libraries
    (cuBLAS, cuDNN) are only looked for there."""
    segments, _ = model.transcribe(np.zeros(ENGINE_RATE_HZ, np.float32), language=LANGUAGE, beam_size=1)
    list(segments)


def _device(device: str, cuda_devices: int) -> str:
    if device == "cuda" and not cuda_devices:
        raise EngineError("设置 speech.device 是 cuda，但本机没有可用的 CUDA 设备。请改为 auto 或 cpu。")
    if device == "auto":
        return "cuda" if cuda_devices else "cpu"
    return device
