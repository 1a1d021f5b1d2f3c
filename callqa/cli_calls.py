"""The verbs about what is stored: `export`, `search`, `reindex`. As in cli.py: parse, call one function, say the outcome."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from callqa import app
from callqa.arguments import AddVerb, Parser, day, one_of
from callqa.background import clock_ms
from callqa.config import Settings
from callqa.errors import UsageError
from callqa.speech import SIDES_BY_LABEL
from callqa.terminal import check_writable, say, write_named

if TYPE_CHECKING:
    from callqa.store.db import Database


def add_call_verbs(add: AddVerb) -> None:
    """The verbs with their arguments."""
    export = add(
        "export", _export, "导出一通电话：--audio 录音，--pcap 原始媒体（供 Wireshark 打开）；或 --tickets 工单"
    )
    export.add_argument("call_id", metavar="通话编号", nargs="?")
    what = export.add_mutually_exclusive_group(required=True)
    what.add_argument("--audio", action="store_true", help="导出录音（WAV，与母版逐字节相同）")
    what.add_argument("--pcap", action="store_true", help="导出为抓包文件")
    what.add_argument(
        "--tickets", type=Path, metavar="文件", help="导出工单，号码完整，可再导入；文件名以 .csv 或 .xlsx 结尾"
    )
    export.add_argument(
        "--beep", action="store_true", help="消音：转写里的电话、证件、银行卡号换成提示音；须与 --audio 一起用"
    )
    export.add_argument("--out", type=Path, metavar="文件", help="写到哪里，默认 通话编号.wav 或 通话编号.pcap")
    _add_days(export, "只导出这天起受理的工单，如 2026-11-01；须与 --tickets 一起用")
    words = add("search", _search, "在所有转写里找词：几个词都要在同一通电话里说到")
    words.add_argument("words", nargs="+", metavar="词")
    words.add_argument(
        "--speaker",
        metavar="诉求人|坐席",
        type=one_of(SIDES_BY_LABEL),
        help="只找诉求人或坐席说的",
    )
    _add_days(words, "从哪天起，如 2026-11-01")
    words.add_argument("--agent", metavar="工号", help="只找这位坐席的通话")
    words.add_argument("--ticket", metavar="工单编号", help="只找这张工单的通话")
    words.add_argument("--json", action="store_true", help="每通电话一行 JSON")
    add("reindex", _reindex, "由转写重建检索索引（索引损坏、检索不全时）")


def _add_days(verb: Parser, first: str) -> None:
    verb.add_argument("--from", dest="first", metavar="日期", type=day, help=first)
    verb.add_argument("--to", dest="last", metavar="日期", type=day, help="到哪天止（含）")


@contextmanager
def _database(settings: Settings) -> Iterator["Database"]:
    db = app.open_database(settings)
    try:
        yield db
    finally:
        db.dispose()


def _export(settings: Settings, args: argparse.Namespace) -> int:
    if args.beep and not args.audio:
        raise UsageError("--beep 是给录音消音的，须与 --audio 一起用；抓包里的声音不能消音")
    if args.tickets:
        if args.call_id or args.out:
            raise UsageError(f"--tickets 不与“{args.call_id or '--out'}”一起用；写到哪里写在 --tickets 后面")
        return _export_tickets(settings, args)
    if args.first or args.last:
        raise UsageError("--from、--to 是选工单的，须与 --tickets 一起用")
    if not args.call_id:
        raise UsageError("缺少“通话编号”；请写明导出哪一通")
    return _export_audio(settings, args) if args.audio else _export_pcap(settings, args)


def _export_audio(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.usecases.export_audio import export_audio, export_beeped

    export = export_beeped if args.beep else export_audio
    target = args.out or Path(f"{args.call_id}{'-消音' if args.beep else ''}.wav")
    check_writable(target)
    with _database(settings) as db:
        made = export(db, args.call_id, recordings=settings.recordings_dir, actor="system", now_ms=clock_ms())
    write_named(target, made.data)
    say(f"已导出 {target}（{len(made.data)} 字节）")
    if args.beep:
        say(f"消音 {len(made.beeped)} 处，共 {made.beeped_ms / 1000:.1f} 秒；位置由转写推算，对外提供前请听一遍")
    return 0


def _export_pcap(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.usecases.export_pcap import export_pcap

    keep_days = settings.retention.spool_keep_days
    target = args.out or Path(f"{args.call_id}.pcap")
    check_writable(target)
    with _database(settings) as db:
        data = export_pcap(
            db, args.call_id, spool=settings.spool_dir, keep_days=keep_days, actor="system", now_ms=clock_ms()
        )
    write_named(target, data)
    say(f"已导出 {target}（{len(data)} 字节）；媒体是收到的原样，信令按记录重建")
    return 0


def _export_tickets(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.store.queries.tickets import TicketFilter
    from callqa.tickets.importers.sheet import MAX_ROWS
    from callqa.usecases.export_tickets import TableKind, export_tickets
    from callqa.usecases.find_words import day_range_ms

    target, kinds = args.tickets, {f".{kind}": kind for kind in TableKind}
    if target.suffix.lower() not in kinds:
        raise UsageError(f"文件名“{target.name}”看不出格式；应以 {' 或 '.join(kinds)} 结尾")
    start_ms, end_ms = day_range_ms(args.first, args.last)
    check_writable(target)
    with _database(settings) as db:
        made = export_tickets(
            db,
            TicketFilter(start_ms=start_ms, end_ms=end_ms),
            kind=kinds[target.suffix.lower()],
            limit=MAX_ROWS - 1,  # what one import reads, its header counted
            actor="system",
            now_ms=clock_ms(),
            asked=f"{args.first or ''}..{args.last or ''}" if args.first or args.last else "all",
        )
    write_named(target, made.data)
    say(f"已导出 {target}（{made.n_rows} 张工单，号码完整；对外提供前请遮住）")
    if made.n_rows < made.n_found:
        say(f"共 {made.n_found} 张，只导出了最近受理的 {made.n_rows} 张；请用 --from、--to 分开导出", error=True)
    return 0 if made.n_rows == made.n_found else 1


def _search(settings: Settings, args: argparse.Namespace) -> int:
    """Exit status 1 where nothing was found. Private numbers are neither found nor shown."""
    from callqa.searching import terms_of
    from callqa.speech import Speaker
    from callqa.store.queries.search import MOST_CALLS, SearchQuery, search_calls
    from callqa.usecases.find_words import day_range_ms, found_json, found_lines

    start_ms, end_ms = day_range_ms(args.first, args.last)
    terms = terms_of(" ".join(args.words))
    if not terms:
        raise UsageError(f"“{' '.join(args.words)}”里没有可查的字；请写汉字、字母或数字")
    wanted = SearchQuery(
        terms,
        Speaker(args.speaker) if args.speaker else None,
        start_ms,
        end_ms,
        args.agent,
        None,
        args.ticket,
    )
    with _database(settings) as db, db.read() as session:
        found = search_calls(session, wanted, offset=0, limit=MOST_CALLS)
    for each in found.calls:
        for line in [found_json(each)] if args.json else found_lines(each):
            say(line)
    if not args.json:
        more = "，还有更早的，请加条件" if found.capped else ""
        say(f"共 {found.total} 通{more}")
    return 0 if found.calls else 1


def _reindex(settings: Settings, _: argparse.Namespace) -> int:
    from callqa.usecases.reindex import reindex

    with _database(settings) as db:
        done = reindex(db, now_ms=clock_ms(), progress=lambda n: say(f"已重建 {n} 通") if n % 1000 == 0 else None)
    say(f"检索索引已重建，共 {done} 通")
    return 0
