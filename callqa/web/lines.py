"""线路, a tab of 人员与席位: trunks, dial plan, routing."""

import re
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from callqa.desk import DeskTrunk, DialRule
from callqa.errors import CallqaError
from callqa.store.queries import people as queries
from callqa.usecases import desk, trunks
from callqa.web.deps import DbDep, NowDep, PersonDep, SettingsDep, page, redirect, require

router = APIRouter()

_TRUNK_TEXTS = ("host", "transport", "prefix", "username", "domain", "realm")
_TRUNK_NUMBERS = ("port", "keepalive_s")


@router.get("/people/lines", dependencies=[require("people.view")])
def lines_page(request: Request, db: DbDep, trunk: str = "", rule: str = "") -> Response:
    """Trunks, dial plan and routing; trunk and rule name what the forms are filled with."""
    with db.read() as session:
        stored = [queries.desk_setting(session, key) for key in ("trunks", "dial_plan")]
        routing = queries.desk_setting(session, "routing") or {}
    # Through the desk's own models: what an earlier version stored has the defaults of fields it did not know.
    trunks_stored, rules_stored = (v if isinstance(v, list) else [] for v in stored)
    found = [DeskTrunk.model_validate(row).model_dump(mode="json") for row in trunks_stored]
    rules = [DialRule.model_validate(row).model_dump(mode="json") for row in rules_stored]
    return page(
        request,
        "people/lines.html",
        tab="lines",
        trunks=found,
        rules=rules,
        routing=routing,
        trunk=next((t for t in found if t["name"] == trunk), {}),
        rule=next((r for r in rules if r["pattern"] == rule), {}),
    )


async def _shown_of_trunk(request: Request) -> dict[str, Any]:
    """What the form sent of a trunk. A field that it did not send is not changed; a text sent empty is emptied."""
    sent = {key: value.strip() for key, value in (await request.form()).items() if isinstance(value, str)}
    shown: dict[str, Any] = {key: sent[key] for key in _TRUNK_TEXTS if key in sent}
    shown |= {key: sent[key] for key in _TRUNK_NUMBERS if sent.get(key)}
    if "addresses" in sent:
        shown["addresses"] = [part for part in re.split(r"[\s,;，、；]+", sent["addresses"]) if part]
    if "register_here" in sent:
        shown["register_here"] = sent["register_here"] == "true"
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


@router.post("/people/lines/routing", dependencies=[require("lines.edit")])
def routing_save(
    person: PersonDep,
    db: DbDep,
    settings: SettingsDep,
    now_ms: NowDep,
    inbound_mode: Annotated[str, Form()],
    ring_timeout_s: Annotated[int, Form()],
    hotline_number: Annotated[str, Form(max_length=32)] = "",
) -> Response:
    """How inbound calls are handled."""
    with db.read() as session:
        stored = queries.desk_setting(session, "routing")
    routing = {
        **(stored if isinstance(stored, dict) else {}),
        "inbound_mode": inbound_mode,
        "ring_timeout_s": ring_timeout_s,
        "hotline_number": hotline_number.strip(),
    }
    return _apply(
        lambda: desk.set_routing(db, routing, actor=person.username, now_ms=now_ms), db, settings, now_ms, "来电路由"
    )


def _apply(change: Callable[[], object], db: DbDep, settings: SettingsDep, now_ms: NowDep, what: str) -> Response:
    try:
        change()
    except CallqaError as e:
        return redirect("/people/lines", str(e), "danger")
    desk.publish_desk(db, settings.desk_path, now_ms)
    return redirect("/people/lines", f"{what}已更新，录音服务一秒内生效")
