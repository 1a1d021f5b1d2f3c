"""线路, a tab of 人员与席位: trunks, dial plan. What happens to an inbound call is in `routing`."""

import re
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from callqa.desk import DeskRouting
from callqa.errors import CallqaError
from callqa.store.queries import people as queries
from callqa.usecases import desk, trunks
from callqa.usecases.prompts import list_prompts
from callqa.web.call_path import call_path
from callqa.web.deps import DbDep, NowDep, PersonDep, SettingsDep, page, redirect, require

router = APIRouter()

_TRUNK_TEXTS = ("host", "transport", "prefix", "username", "domain", "realm", "media_encryption")
_TRUNK_NUMBERS = ("port", "keepalive_s", "expires_s")
_TRUNK_CHOICES = ("register_here", "refer_allowed")


@router.get("/people/lines", dependencies=[require("people.view")])
def lines_page(request: Request, db: DbDep, settings: SettingsDep, trunk: str = "", rule: str = "") -> Response:
    """Trunks, dial plan and routing; trunk and rule name what the forms are filled with."""
    return show_lines(request, db, settings, trunk=trunk, rule=rule)


def show_lines(
    request: Request, db: DbDep, settings: SettingsDep, *, trunk: str = "", rule: str = "",
    entered: dict[str, Any] | None = None, problem: str = "",
) -> Response:  # fmt: skip
    """The page. entered: a routing that was refused, with the problem, so that nobody types it again."""
    with db.read() as session:
        # Through the desk's own models: what an earlier version stored has the defaults of fields it did not know.
        found = [t.model_dump(mode="json") for t in desk.load_trunks(session)]
        rules = [r.model_dump(mode="json") for r in desk.load_dial_plan(session)]
        routing: DeskRouting = desk.load_routing(session)
        seats = [line.seat for line in queries.list_seats(session) if line.seat.active]
    prompts = list_prompts(settings.prompts_dir)
    return page(
        request,
        "people/lines.html",
        status_code=422 if problem else 200,
        tab="lines",
        trunks=found,
        rules=rules,
        routing={**routing.model_dump(mode="json"), **(entered or {})},
        problem=problem,
        steps=call_path(routing, {prompt.name: prompt.duration_ms for prompt in prompts}),
        prompts=prompts,
        in_use=(routing.notice, routing.queue_music),
        seats=seats,
        trunk=next((t for t in found if t["name"] == trunk), {}),
        rule=next((r for r in rules if r["pattern"] == rule), {}),
    )


async def _shown_of_trunk(request: Request) -> dict[str, Any]:
    """What the form sent of a trunk. A field that it did not send is not changed; a text sent empty is emptied."""
    sent = {key: value.strip() for key, value in (await request.form()).items() if isinstance(value, str)}
    shown: dict[str, Any] = {key: sent[key] for key in _TRUNK_TEXTS if key in sent}
    shown |= {key: sent[key] for key in _TRUNK_NUMBERS if sent.get(key)}
    shown |= {key: sent[key] == "true" for key in _TRUNK_CHOICES if key in sent}
    if "addresses" in sent:
        shown["addresses"] = [part for part in re.split(r"[\s,;，、；]+", sent["addresses"]) if part]
    return shown


async def _further_trunks(request: Request) -> dict[str, Any]:
    """The rule's further trunks, by commas; nothing where the form did not send them."""
    sent = (await request.form()).get("then")
    return {"then": [n.strip() for n in re.split("[,，、]", sent) if n.strip()]} if isinstance(sent, str) else {}


@router.post("/people/lines/trunks", dependencies=[require("lines.edit")])
def trunk_save(
    person: PersonDep,
    db: DbDep,
    settings: SettingsDep,
    now_ms: NowDep,
    shown: Annotated[dict[str, Any], Depends(_shown_of_trunk)],
    name: Annotated[str, Form(max_length=64)],
    password: Annotated[str, Form(max_length=200)] = "",
    remove: Annotated[bool, Form()] = False,
) -> Response:
    """Add, replace or remove one trunk."""
    name = name.strip()
    actor = person.username

    def change() -> None:
        if remove:
            trunks.remove_trunk(db, name, actor=actor, now_ms=now_ms)
        else:
            trunks.save_trunk(db, name, shown, password=password, actor=actor, now_ms=now_ms)

    return _apply(change, db, settings, now_ms, f"中继“{name}”")


@router.post("/people/lines/rules", dependencies=[require("lines.edit")])
def rule_save(
    person: PersonDep,
    db: DbDep,
    settings: SettingsDep,
    now_ms: NowDep,
    further: Annotated[dict[str, Any], Depends(_further_trunks)],
    pattern: Annotated[str, Form(max_length=200)],
    trunk: Annotated[str, Form(max_length=64)] = "",
    remove: Annotated[bool, Form()] = False,
) -> Response:
    """Add, replace or remove one dial rule."""
    actor = person.username

    def change() -> None:
        if remove:
            trunks.remove_dial_rule(db, pattern, actor=actor, now_ms=now_ms)
        else:
            trunks.save_dial_rule(db, pattern, {"trunk": trunk, **further}, actor=actor, now_ms=now_ms)

    return _apply(change, db, settings, now_ms, "拨号方案")


def _apply(change: Callable[[], object], db: DbDep, settings: SettingsDep, now_ms: NowDep, what: str) -> Response:
    try:
        change()
    except CallqaError as e:
        return redirect("/people/lines", str(e), "danger")
    desk.publish_desk(db, settings.desk_path, now_ms)
    return redirect("/people/lines", f"{what}已更新，录音服务一秒内生效")
