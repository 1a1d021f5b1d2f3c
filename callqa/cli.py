"""The `callqa` command: verbs that parse arguments, call one function and say the outcome in Chinese."""

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from callqa import __version__, app
from callqa.arguments import Parser, day
from callqa.cli_calls import add_call_verbs
from callqa.cli_speech import add_speech_verbs
from callqa.config import Settings, load_settings, settings_markdown
from callqa.errors import CallqaError
from callqa.refusals import os_reason
from callqa.terminal import say, say_findings

Verb = Callable[[Settings, argparse.Namespace], int]


def main(argv: list[str] | None = None) -> int:
    """Run one verb. Exit status: 0 done, 1 failed, 2 settings or arguments refused."""
    args = _parser().parse_args(argv)
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
        return verb(load_settings(Path(args.config)), args)
    except app.ConfigError as e:
        say(f"设置有误：{e}", error=True)
        return app.CONFIG_ERROR_STATUS
    except CallqaError as e:
        say(str(e), error=True)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> Parser:
    p = Parser(prog="callqa", description="水务热线的通话录音与质检")
    p.add_argument("--config", metavar="文件", default="callqa.toml", help="设置文件，默认 ./callqa.toml")
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
    add("web", lambda s, _: app.web(s), "只启动网页服务")
    add("migrate", _migrate, "建立或升级数据库")
    add("doctor", _doctor, "检查安装：什么正常，缺什么，怎么补")
    add("settings", _settings, "列出全部设置（docs/configuration.md 由此生成）")
    add_speech_verbs(add)
    tickets = add("import-tickets", _import_tickets, "导入工单文件（CSV 或 XLSX）")
    tickets.add_argument("file", metavar="文件", type=Path)
    roster = add("import-roster", _import_roster, "导入排班文件（CSV 或 XLSX）")
    roster.add_argument("file", metavar="文件", type=Path)
    calls = add("import", _import, "导入别处的录音：音频文件、抓包（pcap、pcapng），或连同通话清单的文件夹")
    calls.add_argument("paths", nargs="+", type=Path, metavar="路径")
    calls.add_argument(
        "--left", choices=["citizen", "agent"], default="citizen", help="双声道录音的左声道是谁，默认诉求人"
    )
    calls.add_argument(
        "--seat", action="append", default=[], metavar="分机", help="抓包里的席位分机，可写多次；已登记的不用写"
    )
    calls.add_argument(
        "--bare-rtp", action="store_true", help="抓包里没有 SIP 信令时，把两个地址之间的 RTP 当作一通电话导入"
    )
    calls.add_argument("--direction", choices=["inbound", "outbound"], help="抓包里的通话都是呼入或都是呼出")
    calls.add_argument(
        "--map", action="append", default=[], metavar="列名=我方列名", help="清单的列对应，如 录音流水=录音文件；会记住"
    )
    cdr = add("reconcile", _reconcile, "核对交换机话单：每个接通的通话是否都有录音或说明了原因")
    cdr.add_argument("--cdr", metavar="文件", type=Path, required=True, help="交换机导出的话单（CSV 或 XLSX）")
    cdr.add_argument("--from", dest="first", metavar="日期", type=day, help="从哪天起，如 2026-11-01；默认整个文件")
    cdr.add_argument("--to", dest="last", metavar="日期", type=day, help="到哪天止（含）")
    cdr.add_argument("--tolerance", metavar="秒", type=int, default=60, help="两边时间相差多少秒以内算同一通，默认 60")
    cdr.add_argument(
        "--map", action="append", default=[], metavar="列名=我方列名", help="话单的列对应，如 呼叫起始=开始时间；会记住"
    )
    cdr.add_argument("--out", type=Path, metavar="文件", help="逐条结果写到 .csv 或 .xlsx 文件")
    checked = add("check", _check, "机器预评一通电话（不入库）：每条规则的结论；--explain 逐个算子说明依据")
    checked.add_argument("call_id", metavar="通话编号")
    checked.add_argument("--explain", action="store_true", help="看了哪里、要求什么、发现什么、为何不判")
    add_call_verbs(add)
    draw = add("verify-draw", _verify_draw, "由抽样框、方案和两个随机串独立复算抽样")
    draw.add_argument("frame", metavar="抽样框", type=Path)
    draw.add_argument("plan", metavar="方案", type=Path)
    draw.add_argument("nonce_a", metavar="随机串甲")
    draw.add_argument("nonce_b", metavar="随机串乙")
    return p


def _now_ms() -> int:
    return int(time.time() * 1000)


def _up(settings: Settings, args: argparse.Namespace) -> int:
    return app.up(settings, Path(args.config))


def _migrate(settings: Settings, _: argparse.Namespace) -> int:
    app.prepare_folders(settings)
    prepared = app.prepare_database(settings, _now_ms())
    say("数据库已就绪")
    if prepared.admin_password is not None:
        say(f"首个管理员账号：admin  密码：{prepared.admin_password}（只显示这一次，登录后请修改）")
    if prepared.rubric_problem:
        say(prepared.rubric_problem, error=True)
        return 1
    return 0


def _doctor(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.doctor import examine

    return say_findings(examine(settings, Path(args.config)))


def _settings(_: Settings, __: argparse.Namespace) -> int:
    say(settings_markdown().rstrip("\n"))
    return 0


def _import_tickets(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.usecases.import_tickets import import_tickets

    db = app.open_database(settings)
    result = import_tickets(db, file_name=args.file.name, data=_read(args.file), actor="system", now_ms=_now_ms())
    say(f"新增 {result.rows_new} 条，更新 {result.rows_changed} 条，未变 {result.rows_same} 条")
    return _row_errors(result.errors)


def _import_roster(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.usecases.import_roster import import_roster

    db = app.open_database(settings)
    result = import_roster(db, file_name=args.file.name, data=_read(args.file), actor="system", now_ms=_now_ms())
    say(f"新增 {result.rows_new} 条，未变 {result.rows_same} 条")
    return _row_errors(result.errors)


def _mapping(given: list[str], example: str) -> dict[str, str]:
    """{header of the file: our column} of --map options."""
    mapping = {}
    for each in given:
        header, equals, column = each.partition("=")
        if not equals:
            raise CallqaError(f"--map {each} 看不懂；应如 --map {example}")
        mapping[header] = column
    return mapping


def _reconcile(settings: Settings, args: argparse.Namespace) -> int:
    """Exit status 1 where an answered call has neither a recording nor a reason, or a row could not be read."""
    from callqa.usecases import reconcile

    check = reconcile.check_cdr(
        app.open_database(settings),
        file_name=args.cdr.name,
        data=_read(args.cdr),
        actor="system",
        now_ms=_now_ms(),
        first=args.first,
        last=args.last,
        tolerance_ms=max(1, args.tolerance) * 1000,
        mapping=_mapping(args.map, "呼叫起始=开始时间"),
    )
    for verdict in reconcile.TO_LOOK_AT:
        for cells in reconcile.table_of(check, only=(verdict,)):
            say("　".join(cell for cell in cells if cell), error=verdict is reconcile.Verdict.MISSING)
    for error in check.errors:
        say(str(error), error=True)
    for sentence in reconcile.say_summary(check):
        say(sentence)
    if args.out is not None:
        write = reconcile.cdr_xlsx if args.out.suffix.lower() == ".xlsx" else reconcile.cdr_csv
        try:
            args.out.write_bytes(write(check))
        except OSError as e:
            raise CallqaError(f"文件 {args.out} 写不了：{os_reason(e)}") from e
        say(f"逐条结果在 {args.out}")
    return 0 if check.complete else 1


def _import(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.units import Direction
    from callqa.usecases.import_calls import import_calls, save_mapping
    from callqa.usecases.import_pcap import import_captures

    mapping = _mapping(args.map, "录音流水=录音文件")
    db = app.open_database(settings)
    now_ms = _now_ms()
    if mapping:
        save_mapping(db, mapping, actor="system", now_ms=now_ms)
    where: dict[str, Any] = {"recordings": settings.recordings_dir, "actor": "system", "now_ms": now_ms}
    where["demo"] = settings.demo
    result = import_calls(db, args.paths, left=args.left, **where)
    direction = Direction(args.direction) if args.direction else None
    import_captures(db, result.captures, result, seats=args.seat, direction=direction, bare_rtp=args.bare_rtp, **where)
    for note in result.notes:
        say(note)
    for error in result.errors:
        say(error, error=True)
    say(f"导入 {len(result.new)} 通，已有 {len(result.known)} 通，未能导入 {len(result.errors)} 处")
    return 1 if result.errors else 0


def _check(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.usecases.check import HOUR_MS
    from callqa.usecases.reasoning import explain_call, report_lines

    rubric, explained = explain_call(
        app.open_database(settings),
        args.call_id,
        recordings=settings.recordings_dir,
        now_ms=_now_ms(),
        ticket_wait_ms=settings.checks.ticket_wait_h * HOUR_MS,
    )
    for line in report_lines(rubric, explained, steps=args.explain):
        say(line)
    return 0


def _row_errors(errors: tuple[CallqaError, ...]) -> int:
    for error in errors:
        say(str(error), error=True)
    return 1 if errors else 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise CallqaError(f"文件 {path} 读不了：{os_reason(e)}") from e


def _read_text(path: Path) -> str:
    try:
        return _read(path).decode()
    except UnicodeDecodeError as e:
        raise CallqaError(f"文件 {path} 不是 UTF-8 文本；请用抽检页下载的原文件") from e


def _verify_draw(_: Settings, args: argparse.Namespace) -> int:
    from callqa.usecases.verify_draw import repeated_lines

    plan = _read_text(args.plan).rstrip("\r\n")
    sys.stdout.write(repeated_lines(_read_text(args.frame), plan, args.nonce_a, args.nonce_b))
    return 0
