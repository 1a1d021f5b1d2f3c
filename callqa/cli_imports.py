"""The verbs that bring files in or hold them against what we have: tickets, rosters, recordings, a PBX's call list.

As in cli.py: parse, call one function, say the outcome.
"""

import argparse
from pathlib import Path
from typing import Any

from callqa import app
from callqa.arguments import AddVerb, day, one_of, seconds
from callqa.background import clock_ms
from callqa.config import Settings
from callqa.errors import CallqaError, UsageError
from callqa.speech import SIDES_BY_LABEL
from callqa.terminal import check_writable, read_named, say, write_named


def add_import_verbs(add: AddVerb) -> None:
    """The verbs with their arguments."""
    tickets = add("import-tickets", _import_tickets, "导入工单文件（CSV 或 XLSX）")
    tickets.add_argument("file", metavar="文件", type=Path)
    roster = add("import-roster", _import_roster, "导入排班文件（CSV 或 XLSX）")
    roster.add_argument("file", metavar="文件", type=Path)
    calls = add("import", _import, "导入别处的录音：音频文件、抓包（pcap、pcapng），或连同通话清单的文件夹")
    calls.add_argument("paths", nargs="+", type=Path, metavar="路径")
    calls.add_argument(
        "--left",
        metavar="诉求人|坐席",
        type=one_of(SIDES_BY_LABEL),
        default="citizen",
        help="双声道录音的左声道是谁，默认诉求人",
    )
    calls.add_argument(
        "--seat", action="append", default=[], metavar="分机", help="抓包里的席位分机，可写多次；已登记的不用写"
    )
    calls.add_argument(
        "--bare-rtp", action="store_true", help="抓包里没有 SIP 信令时，把两个地址之间的 RTP 当作一通电话导入"
    )
    calls.add_argument(
        "--direction",
        metavar="呼入|呼出",
        type=one_of({"呼入": "inbound", "呼出": "outbound"}),
        help="抓包里的通话都是呼入或都是呼出",
    )
    calls.add_argument(
        "--again", action="store_true", help="删除过的通话也重新导入（如误删后取回）；默认认出来就不导入"
    )
    calls.add_argument(
        "--map", action="append", default=[], metavar="列名=我方列名", help="清单的列对应，如 录音流水=录音文件；会记住"
    )
    cdr = add("reconcile", _reconcile, "核对交换机话单：每个接通的通话是否都有录音或说明了原因")
    cdr.add_argument("--cdr", metavar="文件", type=Path, required=True, help="交换机导出的话单（CSV 或 XLSX）")
    cdr.add_argument("--from", dest="first", metavar="日期", type=day, help="从哪天起，如 2026-11-01；默认整个文件")
    cdr.add_argument("--to", dest="last", metavar="日期", type=day, help="到哪天止（含）")
    cdr.add_argument(
        "--tolerance", metavar="秒", type=seconds, default=60, help="两边时间相差多少秒以内算同一通，默认 60"
    )
    cdr.add_argument(
        "--map", action="append", default=[], metavar="列名=我方列名", help="话单的列对应，如 呼叫起始=开始时间；会记住"
    )
    cdr.add_argument("--out", type=Path, metavar="文件", help="逐条结果写到 .csv 或 .xlsx 文件")


def _import_tickets(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.usecases.import_tickets import import_tickets

    db = app.open_database(settings)
    result = import_tickets(db, file_name=args.file.name, data=read_named(args.file), actor="system", now_ms=clock_ms())
    say(f"新增 {result.rows_new} 条，更新 {result.rows_changed} 条，未变 {result.rows_same} 条")
    return _row_errors(result.errors)


def _import_roster(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.usecases.import_roster import import_roster

    db = app.open_database(settings)
    result = import_roster(db, file_name=args.file.name, data=read_named(args.file), actor="system", now_ms=clock_ms())
    say(
        f"新增 {result.rows_new} 条，更新 {result.rows_changed} 条，未变 {result.rows_same} 条，"
        f"撤销 {result.rows_removed} 条"
    )
    return _row_errors(result.errors)


def _mapping(given: list[str], example: str) -> dict[str, str]:
    """{header of the file: our column} of --map options."""
    mapping = {}
    for each in given:
        header, equals, column = each.partition("=")
        if not equals:
            raise UsageError(f"--map {each} 看不懂；应如 --map {example}")
        mapping[header] = column
    return mapping


def _reconcile(settings: Settings, args: argparse.Namespace) -> int:
    """Exit status 1 where an answered call has neither a recording nor a reason, or a row could not be read."""
    from callqa.usecases import reconcile

    if args.out is not None:
        if args.out.suffix.lower() not in (".csv", ".xlsx"):
            raise UsageError(f"--out {args.out} 不合用；文件名请以 .csv 或 .xlsx 结尾")
        check_writable(args.out)
    check = reconcile.check_cdr(
        app.open_database(settings),
        file_name=args.cdr.name,
        data=read_named(args.cdr),
        actor="system",
        now_ms=clock_ms(),
        first=args.first,
        last=args.last,
        tolerance_ms=args.tolerance * 1000,
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
        write_named(args.out, write(check))
        say(f"逐条结果在 {args.out}")
    return 0 if check.complete else 1


def _import(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.units import Direction
    from callqa.usecases.import_calls import import_calls, save_mapping
    from callqa.usecases.import_pcap import import_captures

    mapping = _mapping(args.map, "录音流水=录音文件")
    db = app.open_database(settings)
    now_ms = clock_ms()
    if mapping:
        save_mapping(db, mapping, actor="system", now_ms=now_ms)
    where: dict[str, Any] = {"recordings": settings.recordings_dir, "actor": "system", "now_ms": now_ms}
    where |= {"demo": settings.demo, "again": args.again}
    result = import_calls(db, args.paths, left=args.left, **where)
    direction = Direction(args.direction) if args.direction else None
    import_captures(db, result.captures, result, seats=args.seat, direction=direction, bare_rtp=args.bare_rtp, **where)
    for note in result.notes:
        say(note)
    for error in result.errors:
        say(error, error=True)
    say(f"导入 {len(result.new)} 通，已有 {len(result.known)} 通，未能导入 {len(result.errors)} 处")
    return 1 if result.errors else 0


def _row_errors(errors: tuple[CallqaError, ...]) -> int:
    for error in errors:
        say(str(error), error=True)
    return 1 if errors else 0
