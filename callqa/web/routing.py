"""来电路由 and 提示音, part of 线路: how inbound calls are handled, and what callers hear meanwhile."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Request, UploadFile
from fastapi.responses import FileResponse, Response

from callqa.desk import DeskRouting
from callqa.errors import CallqaError, ConfigError
from callqa.usecases import prompts
from callqa.usecases.desk import load_routing, publish_desk
from callqa.usecases.routing import set_routing
from callqa.web.deps import DbDep, NowDep, PageNotFound, PersonDep, SettingsDep, redirect, require
from callqa.web.lines import show_lines
from callqa.web.uploads import read_upload

router = APIRouter()
_PAGE = "/people/lines"
_FIELD_MOST_CHARS = 1000


async def _entered(request: Request) -> dict[str, Any]:
    """The routing's fields that the form sent, as text; the order of seats as a list."""
    sent = {k: v.strip()[:_FIELD_MOST_CHARS] for k, v in (await request.form()).items() if isinstance(v, str)}
    entered: dict[str, Any] = {name: sent[name] for name in DeskRouting.model_fields if name in sent}
    if "seat_order" in entered:
        entered["seat_order"] = [part for part in re.split(r"[\s,;，、；]+", entered["seat_order"]) if part]
    return entered


@router.post("/people/lines/routing", dependencies=[require("lines.edit")])
def routing_save(
    request: Request,
    person: PersonDep,
    db: DbDep,
    settings: SettingsDep,
    now_ms: NowDep,
    entered: Annotated[dict[str, Any], Depends(_entered)],
) -> Response:
    """Replace what the form shows of the routing; a routing that cannot be is shown again with the reason."""
    with db.read() as session:
        stored = load_routing(session).model_dump(mode="json")
    try:
        set_routing(db, {**stored, **entered}, actor=person.username, now_ms=now_ms, prompts_dir=settings.prompts_dir)
    except ConfigError as e:
        return show_lines(request, db, settings, entered=entered, problem=str(e))
    publish_desk(db, settings.desk_path, now_ms)
    return redirect(f"{_PAGE}#routing", "来电路由已更新，录音服务一秒内生效")


@router.post("/people/lines/prompts", dependencies=[require("lines.edit")])
def prompt_save(
    person: PersonDep, db: DbDep, settings: SettingsDep, now_ms: NowDep, file: Annotated[UploadFile, File()]
) -> Response:
    """Take in one recording; the recorder plays a replaced one from the next call on."""
    try:
        name, data = read_upload(file)
        made = prompts.save_prompt(db, settings.prompts_dir, name, data, actor=person.username, now_ms=now_ms)
    except CallqaError as e:
        return redirect(f"{_PAGE}#prompts", str(e), "danger")
    return redirect(
        f"{_PAGE}#prompts", f"提示音“{made.name}”已保存，长 {made.duration_ms / 1000:.1f} 秒；在来电路由里选用"
    )


@router.post("/people/lines/prompts/{name}/remove", dependencies=[require("lines.edit")])
def prompt_remove(name: str, person: PersonDep, db: DbDep, settings: SettingsDep, now_ms: NowDep) -> Response:
    """Delete one that nothing plays."""
    try:
        prompts.remove_prompt(db, settings.prompts_dir, name, actor=person.username, now_ms=now_ms)
    except CallqaError as e:
        return redirect(f"{_PAGE}#prompts", str(e), "danger")
    return redirect(f"{_PAGE}#prompts", f"提示音“{name}”已删除")


@router.get("/people/lines/prompts/{name}", dependencies=[require("people.view")])
def prompt_audio(name: str, settings: SettingsDep) -> Response:
    """The recording as callers hear it."""
    path = prompts.find_prompt(settings.prompts_dir, name)
    if path is None:
        raise PageNotFound("没有这个提示音。")
    return FileResponse(path, media_type="audio/wav", headers={"Cache-Control": "private, no-cache"})
