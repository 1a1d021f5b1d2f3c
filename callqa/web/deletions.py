"""删除与保全: deleting a call from its page, keeping one, and the record of both. Who may is asked by `require` alone."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from callqa.errors import CallqaError
from callqa.store.queries import deletions as queries
from callqa.store.queries import people as people_queries
from callqa.store.queries.confidential import hidden_from
from callqa.usecases import legal_hold
from callqa.usecases.delete import delete_call
from callqa.usecases.delete_files import places_of
from callqa.web.deps import DbDep, NowDep, PersonDep, SettingsDep, page, redirect, require
from callqa.web.listing import PER_PAGE, view_of
from callqa.web.navigation import NavItem

router = APIRouter()
NAV = (NavItem("删除与保全", "/deletions", "deletions.view", "bin", group="管理"),)
MOST_CHARS = 400


@router.get("/deletions", dependencies=[require("deletions.view")])
def deletion_list(request: Request, db: DbDep, person: PersonDep) -> Response:
    """What was deleted and what is kept. A confidential call stands there without its number for who was not named."""
    with db.read() as session:
        view = view_of(
            request.query_params, "/deletions", (), {"time": None}, "-time", queries.count_deletions(session)
        )
        return page(
            request,
            "deletions/list.html",
            view=view,
            lines=queries.list_deletions(session, offset=(view.page - 1) * PER_PAGE, limit=PER_PAGE),
            holds=queries.list_holds(session),
            hidden=hidden_from(session, person.account_id),
            names=people_queries.account_names(session),
        )


@router.post("/calls/{call_id}/delete", dependencies=[require("calls.delete")])
def delete(
    call_id: str,
    person: PersonDep,
    db: DbDep,
    settings: SettingsDep,
    now_ms: NowDep,
    reason: Annotated[str, Form(max_length=MOST_CHARS)] = "",
    typed: Annotated[str, Form(max_length=MOST_CHARS)] = "",
) -> Response:
    """Delete the call's content for good; its number typed once more says that this is the one."""
    back = f"/calls/{call_id}"
    if typed.strip() != call_id:
        return redirect(back, "没有删除：再次输入的通话编号与这通不符", "danger")
    try:
        done = delete_call(
            db,
            call_id,
            reason=reason,
            actor=person.username,
            places=places_of(settings),
            fatal_case_days=settings.retention.fatal_case_days,
            now_ms=now_ms,
        )
    except CallqaError as e:
        return redirect(back, str(e), "danger")
    if done.state != "deleted":
        return redirect(back, "内容已不可见；有文件暂时删不掉，处理服务会继续删", "warning")
    return redirect(back, "已删除，删除记录在“删除与保全”页")


@router.post("/calls/{call_id}/hold", dependencies=[require("calls.hold")])
def hold(
    call_id: str, person: PersonDep, db: DbDep, now_ms: NowDep, reason: Annotated[str, Form(max_length=MOST_CHARS)] = ""
) -> Response:
    """Keep the call until somebody lifts that."""
    try:
        legal_hold.place_hold(db, call_id, reason=reason, actor=person.username, now_ms=now_ms)
    except CallqaError as e:
        return redirect(f"/calls/{call_id}", str(e), "danger")
    return redirect(f"/calls/{call_id}", "已保全，解除之前不会被删除")


@router.post("/calls/{call_id}/hold/lift", dependencies=[require("calls.hold")])
def hold_lift(
    call_id: str, person: PersonDep, db: DbDep, now_ms: NowDep, reason: Annotated[str, Form(max_length=MOST_CHARS)] = ""
) -> Response:
    """Let the call be deleted again when its time comes."""
    try:
        legal_hold.lift_hold(db, call_id, reason=reason, actor=person.username, now_ms=now_ms)
    except CallqaError as e:
        return redirect(f"/calls/{call_id}", str(e), "danger")
    return redirect(f"/calls/{call_id}", "已解除保全")
