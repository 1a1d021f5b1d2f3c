"""系统: is everything running, what waits, what is broken, and is the audit chain whole."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from callqa import __version__
from callqa.config import Settings
from callqa.desk import load_desk
from callqa.errors import SpoolError
from callqa.store.queries.figures import audit_size, current_rubric, journal_position, stage_counts, troubles
from callqa.usecases.health import disk_state, model_state, scorecard_states, verify_chain, word_model_state
from callqa.usecases.progress import STAGES, work_counts
from callqa.web.deps import DbDep, NowDep, PersonDep, SettingsDep, page, redirect, require, state_of
from callqa.web.live_socket import find_board
from callqa.web.navigation import NavItem

router = APIRouter()
NAV = (NavItem("系统", "/system", "system.view", "system", group="管理"),)


@router.get("/system", dependencies=[require("system.view")])
def system_page(request: Request, db: DbDep, settings: SettingsDep, now_ms: NowDep) -> Response:
    """Health of the three processes and of what they need."""
    with db.read() as session:
        context: dict[str, Any] = {
            "journal": journal_position(session),
            "audit": audit_size(session),
            "rubric": current_rubric(session, now_ms),
            "troubles": troubles(session),
            "counts": stage_counts(session),
        }
    return page(
        request,
        "system/system.html",
        board=find_board(settings.live_socket),
        work=work_counts(db),
        stages=STAGES,
        model=model_state(settings.model_dir),
        word_model=word_model_state(settings.word_model),
        scorecards=scorecard_states(settings.scorecards_dir),
        disk=disk_state(settings.recordings_dir),
        desk_number=_desk_number(settings),
        database=_database_kind(settings),
        version=__version__,
        **context,
    )


@router.post("/system/verify", dependencies=[require("system.verify")])
def verify(request: Request, person: PersonDep, db: DbDep, now_ms: NowDep) -> Response:
    """Check the whole audit chain."""
    found = verify_chain(db, actor=person.username, now_ms=now_ms)
    if found.wrong:
        first = "、".join(str(n) for n in found.wrong[:10])
        message = f"审计链有 {len(found.wrong)} 处不符：第 {first} 条{'…' if len(found.wrong) > 10 else ''}。请保留现场，联系管理员核对备份。"
        return redirect("/system", message, "danger")
    return redirect("/system", f"审计链完整：{found.entries} 条，末条哈希 {found.head_hash[:16]}…")


@router.get("/healthz")
def healthz(request: Request) -> Response:
    """For watchdogs: 200 when the web process and its database answer. Tells nothing else."""
    with state_of(request).db.read() as session:
        audit_size(session)
    return PlainTextResponse("ok")


def _desk_number(settings: Settings) -> int | None:
    try:
        return load_desk(settings.desk_path).number
    except SpoolError:
        return None


def _database_kind(settings: Settings) -> str:
    url = settings.database_url
    return f"SQLite · {Path(url.removeprefix('sqlite:///')).name}" if url.startswith("sqlite") else "PostgreSQL"
