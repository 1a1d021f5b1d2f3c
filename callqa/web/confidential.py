"""保密件: those one was named for, marking and lifting. Who may open one is asked by `deps.require` on every route."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from callqa.errors import CallqaError
from callqa.store.queries import confidential as queries
from callqa.usecases import confidential
from callqa.web.deps import DbDep, NowDep, PersonDep, SettingsDep, own_path, page, redirect, require
from callqa.web.navigation import NavItem

router = APIRouter(prefix="/confidential")
NAV = (NavItem("保密件", "/confidential", "confidential.mark", "lock", group="管理"),)


@router.get("", dependencies=[require("confidential.mark")])
def confidential_list(request: Request, db: DbDep, person: PersonDep) -> Response:
    """The confidential calls the person was named for; of others nothing is said."""
    with db.read() as session:
        lines = queries.named_for(session, person.account_id)
    return page(request, "reviews/confidential.html", lines=lines)


@router.post("/{call_id}", dependencies=[require("confidential.mark")])
def mark(
    call_id: str,
    person: PersonDep,
    db: DbDep,
    settings: SettingsDep,
    now_ms: NowDep,
    reason: Annotated[str, Form(max_length=400)] = "",
    reader: Annotated[list[int] | None, Form()] = None,
    next: Annotated[str, Form(max_length=80)] = "/confidential",
) -> Response:
    """Mark a call, stored or in progress, or name other people for it."""
    back = own_path(next, "/confidential")
    try:
        live = confidential.mark_confidential(
            db,
            call_id,
            reason=reason,
            readers=reader or [],
            account_id=person.account_id,
            live_socket=settings.live_socket,
            now_ms=now_ms,
        )
    except CallqaError as e:
        return redirect(back, str(e), "danger")
    return redirect(back, "已列为保密件" + ("，号码不再显示在实时页，监听已停止" if live else "，只有指定的人能打开"))


@router.post("/{call_id}/lift", dependencies=[require("confidential.mark")])
def lift(
    call_id: str, person: PersonDep, db: DbDep, now_ms: NowDep, reason: Annotated[str, Form(max_length=400)] = ""
) -> Response:
    """Make it an ordinary call again."""
    try:
        confidential.lift(db, call_id, reason=reason, actor=person.username, now_ms=now_ms)
    except CallqaError as e:
        return redirect("/confidential", str(e), "danger")
    return redirect(f"/calls/{call_id}", "已解除保密")
