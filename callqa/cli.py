"""The `callqa` command: verbs that parse arguments, call one function and say the outcome in Chinese."""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from callqa import __version__, app
from callqa.arguments import Parser
from callqa.background import clock_ms
from callqa.cli_calls import add_call_verbs
from callqa.cli_delete import add_delete_verbs
from callqa.cli_imports import add_import_verbs
from callqa.cli_speech import add_speech_verbs
from callqa.config import DEFAULT_CONFIG, Settings, load_settings
from callqa.config_text import settings_markdown
from callqa.errors import CallqaError, RubricError, UsageError
from callqa.refusals import database_reason, os_reason
from callqa.terminal import read_named_text, say, say_findings

Verb = Callable[[Settings, argparse.Namespace], int]
log = logging.getLogger("callqa.cli")
SERVICES = ("up", "record", "work", "web")


def main(argv: list[str] | None = None) -> int:
    """Run one verb. Exit status: 0 done, 1 failed, 2 settings or arguments refused."""
    parser = _parser()
    if not (sys.argv[1:] if argv is None else argv):  # nothing said: what there is to say, and how
        parser.exit(app.CONFIG_ERROR_STATUS, f"缺少“命令”\n{parser.format_help()}")
    args = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    for chatty in ("alembic", "httpx", "faster_whisper", "dbos"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    os.umask(os.umask(0o077) | 0o027)  # recordings, numbers and the phones' secrets are nobody else's business
    verb: Verb = args.run
    try:
        return verb(_settings_for(args), args)
    except app.ConfigError as e:
        say(f"设置有误：{e}", error=True)
        return app.CONFIG_ERROR_STATUS
    except UsageError as e:
        say(str(e), error=True)
        return app.CONFIG_ERROR_STATUS
    except CallqaError as e:
        say(str(e), error=True)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `callqa search 漏水 | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as e:  # the top of a verb: one sentence for a person, the rest for whom it is sent to
        log.log(
            logging.ERROR if args.verbose or args.verb in SERVICES else logging.DEBUG,
            "%s broke",
            args.verb,
            exc_info=True,
        )
        say(_unforeseen(e), error=True)
        return 1


def _unforeseen(error: Exception) -> str:
    driver = getattr(error, "orig", None)  # SQLAlchemy's frame around what the database said
    if driver is not None:
        return f"数据库出错：{database_reason(str(driver))}；请运行 ./run callqa doctor"
    if isinstance(error, OSError):
        where = f"{error.filename}：" if error.filename else ""
        return f"没有做完：{where}{os_reason(error)}；请检查后再运行一次"
    return (
        f"没有做完，程序出错（{type(error).__name__}：{error}）；请用 callqa --verbose 再运行一次，把输出发给维护人员"
    )


def _settings_for(args: argparse.Namespace) -> Settings:
    """The settings of the named file. Raise UsageError where a file named with --config is not there: a new, empty
    installation beside a misspelt name would answer as if nothing had ever been recorded. `up` writes the file, `doctor`
    tells of it, and a service that is started again must not stay away because somebody moved it; but none of them where
    the file lies there under its usual name: then this name is a slip."""
    path = Path(args.config or DEFAULT_CONFIG)
    usual = path.with_name(DEFAULT_CONFIG)
    if args.config and not path.exists() and usual.exists():
        raise UsageError(
            f"没有设置文件 {path}，同一文件夹里有 {DEFAULT_CONFIG}；请改成 --config {usual}，另装一套请换一个文件夹"
        )
    if args.config and args.verb not in (*SERVICES, "doctor") and not path.exists():
        raise UsageError(f"没有设置文件 {path}；请检查 --config，新安装请先运行 callqa --config {path} up")
    args.config = path
    return load_settings(path)


def _parser() -> Parser:
    p = Parser(prog="callqa", description="水务热线的通话录音与质检")
    p.add_argument("--config", metavar="文件", default="", help="设置文件，默认 ./callqa.toml")
    p.add_argument("--verbose", action="store_true", help="记录更详细的日志")
    p.add_argument("--version", action="version", version=f"callqa {__version__}", help="显示版本")
    verbs = p.add_subparsers(dest="verb", required=True, metavar="命令")

    def add(name: str, run: Verb, text: str) -> Parser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.add_argument("--config", metavar="文件", default=argparse.SUPPRESS, help="设置文件，默认 ./callqa.toml")
        sub.set_defaults(run=run)
        return sub

    add("up", _up, "启动录音、处理、网页三个服务")
    add("record", lambda s, _: app.record(s), "只启动录音服务")
    worker = add(
        "work",
        lambda s, args: app.speech_work(s) if args.speech else app.work(s),
        "只启动处理服务（关联、转写、预评）；--speech 再加一个只转写的进程",
    )
    worker.add_argument("--speech", action="store_true", help="只转写：可开几个，也可在共用数据库和录音的别的机器上开")
    web = add("web", _web, "只启动网页服务；--new-password 给忘了密码的账号换发密码")
    web.add_argument("--new-password", metavar="用户名", default="", help="换发这个账号的密码，显示一次，不启动服务")
    add("migrate", _migrate, "建立或升级数据库")
    add("doctor", _doctor, "检查安装：什么正常，缺什么，怎么补")
    add("settings", _settings, "列出全部设置（docs/configuration.md 由此生成）")
    add_speech_verbs(add)
    add_import_verbs(add)
    checked = add("check", _check, "机器预评一通电话（不入库）：每条规则的结论；--explain 逐个算子说明依据")
    checked.add_argument("call_id", metavar="通话编号")
    checked.add_argument("--explain", action="store_true", help="看了哪里、要求什么、发现什么、为何不判")
    add_call_verbs(add)
    add_delete_verbs(add)
    draw = add("verify-draw", _verify_draw, "由抽样框、方案和两个随机串独立复算抽样")
    draw.add_argument("frame", metavar="抽样框", type=Path)
    draw.add_argument("plan", metavar="方案", type=Path)
    draw.add_argument("nonce_a", metavar="随机串甲")
    draw.add_argument("nonce_b", metavar="随机串乙")
    return p


def _up(settings: Settings, args: argparse.Namespace) -> int:
    return app.up(settings, args.config)


def _web(settings: Settings, args: argparse.Namespace) -> int:
    if not args.new_password:
        return app.web(settings)
    from callqa.usecases.accounts import reset_password

    db = app.open_database(settings)
    try:
        password = reset_password(db, args.new_password, actor="system", now_ms=clock_ms())
    finally:
        db.dispose()
    say(f"账号 {args.new_password} 的新密码：{password}（只显示这一次，登录后请修改；原来的登录已全部退出）")
    return 0


def _migrate(settings: Settings, _: argparse.Namespace) -> int:
    app.prepare_folders(settings)
    prepared = app.prepare_database(settings, clock_ms())
    say("数据库已就绪")
    if prepared.admin_password is not None:
        say(f"首个管理员账号：admin  密码：{prepared.admin_password}（只显示这一次，登录后请修改）")
    if prepared.rubric_problem:
        say(prepared.rubric_problem, error=True)
        return 1
    return 0


def _doctor(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.doctor import examine

    return say_findings(examine(settings, args.config))


def _settings(_: Settings, __: argparse.Namespace) -> int:
    say(settings_markdown().rstrip("\n"))
    return 0


def _check(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.usecases.check import HOUR_MS
    from callqa.usecases.reasoning import explain_call, report_lines

    rubric, explained = explain_call(
        app.open_database(settings),
        args.call_id,
        recordings=settings.recordings_dir,
        now_ms=clock_ms(),
        ticket_wait_ms=settings.checks.ticket_wait_h * HOUR_MS,
    )
    for line in report_lines(rubric, explained, steps=args.explain):
        say(line)
    return 0


def _verify_draw(_: Settings, args: argparse.Namespace) -> int:
    from callqa.usecases.verify_draw import repeated_lines

    frame, plan = (read_named_text(path, "请用抽检页下载的原文件") for path in (args.frame, args.plan))
    try:
        lines = repeated_lines(frame, plan.rstrip("\r\n"), args.nonce_a, args.nonce_b)
    except RubricError as e:
        raise CallqaError(f"抽样框 {args.frame} 或方案 {args.plan} 不对：{e}；请用抽检页下载的原文件") from e
    sys.stdout.write(lines)
    return 0
