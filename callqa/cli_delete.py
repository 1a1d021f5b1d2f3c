"""The verbs that take calls away and keep them: `delete`, `hold`, `retention`. As in cli.py: parse, call one function, say the outcome."""

import argparse

from callqa import app
from callqa.arguments import AddVerb
from callqa.background import clock_ms
from callqa.config import Settings
from callqa.periods import say_instant
from callqa.terminal import say

ACTOR = "system"  # whoever is at the terminal of the machine


def add_delete_verbs(add: AddVerb) -> None:
    """The verbs with their arguments."""
    delete = add("delete", _delete, "删除一通电话的录音、转写等内容，只留统计所需的事实和删除记录；不能恢复")
    delete.add_argument("call_id", metavar="通话编号")
    delete.add_argument(
        "--reason", required=True, metavar="原因", help="如“来电人申请删除（个人信息保护法第四十七条）”"
    )
    hold = add("hold", _hold, "保全一通电话：解除之前不会被删除；--lift 解除")
    hold.add_argument("call_id", metavar="通话编号")
    hold.add_argument("--reason", required=True, metavar="原因", help="如“某某号诉讼取证”")
    hold.add_argument("--lift", action="store_true", help="解除保全")
    retention = add(
        "retention", _retention, "列出超过保存期限（retention.recordings_days）的通话：哪些会删，哪些暂留、为什么"
    )
    retention.add_argument("--delete", action="store_true", help="现在就删，不等夜间；也清掉从备份恢复回来的已删文件")


def _delete(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.usecases.delete import delete_call
    from callqa.usecases.delete_files import places_of

    db = app.open_database(settings)
    try:
        done = delete_call(
            db,
            args.call_id,
            reason=args.reason,
            actor=ACTOR,
            places=places_of(settings),
            fatal_case_days=settings.retention.fatal_case_days,
            now_ms=clock_ms(),
        )
    finally:
        db.dispose()
    if done.state != "deleted":
        say(f"通话 {args.call_id} 的内容已不可见，但有文件暂时删不掉；处理服务会继续删，请检查磁盘和权限", error=True)
        return 1
    say(f"通话 {args.call_id} 已删除，留有删除记录；原因：{done.reason}")
    return 0


def _hold(settings: Settings, args: argparse.Namespace) -> int:
    from callqa.usecases.legal_hold import lift_hold, place_hold

    db = app.open_database(settings)
    try:
        act = lift_hold if args.lift else place_hold
        act(db, args.call_id, reason=args.reason, actor=ACTOR, now_ms=clock_ms())
    finally:
        db.dispose()
    say(f"通话 {args.call_id} 已{'解除保全' if args.lift else '保全，解除之前不会被删除'}")
    return 0


def _retention(settings: Settings, args: argparse.Namespace) -> int:
    """Exit status 1 where something that should go could not."""
    from callqa.store.queries.deletions import unfinished_ids
    from callqa.usecases.delete import finish_deletions, remove_restored
    from callqa.usecases.delete_files import places_of
    from callqa.usecases.retention import Terms, delete_expired, expired_calls

    terms = Terms(settings.retention.recordings_days, settings.retention.fatal_case_days)
    places, now_ms = places_of(settings), clock_ms()
    db = app.open_database(settings)
    try:
        if not terms.recordings_days:
            say("没有设保存期限（retention.recordings_days = 0）：不会自动删除任何通话")
        if args.delete:
            finished = finish_deletions(db, places=places, now_ms=now_ms)
            for call_id in (*finished, *remove_restored(db, places=places)):
                say(f"{call_id}　已删，清掉了剩下或恢复回来的文件")
            while done := delete_expired(db, terms, places=places, actor=ACTOR, now_ms=now_ms):
                for call_id in done:
                    say(f"{call_id}　已删除")
        with db.read() as session:
            unfinished = unfinished_ids(session)
        for call_id in unfinished:
            say(f"{call_id}　内容已不可见，有文件删不掉；请检查磁盘和权限，处理服务会接着删", error=True)
        going = held = 0
        for call in expired_calls(db, terms, now_ms=now_ms):
            going, held = going + (not call.held), held + bool(call.held)
            what = f"暂留：{'；'.join(call.held)}" if call.held else "到期，没有删成" if args.delete else "到期，将删除"
            say(f"{call.call_id}　{say_instant(call.started_at_ms)}　{what}")
    finally:
        db.dispose()
    say(f"超过保存期限：{'没有删成' if args.delete else '将删除'} {going} 通，暂留 {held} 通")
    return 1 if args.delete and (going or unfinished) else 0
