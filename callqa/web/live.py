"""实时: the recorder's board in the browser.

The page shows a board at once; with scripts it follows by server-sent events, each a ready-made piece of HTML. When
the socket is gone the page says 录音服务未连接 and never keeps showing an old board.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse

from callqa.live import Board
from callqa.store.db import Database
from callqa.store.queries.people import agent_names, list_seats
from callqa.usecases import people
from callqa.usecases.desk import load_routing
from callqa.usecases.recorder_line import ASK_AGAIN_S
from callqa.web import live_call
from callqa.web.deps import (
    DbDep,
    NowDep,
    Person,
    PersonDep,
    SettingsDep,
    get_person,
    page,
    redirect,
    require,
    state_of,
    still_may,
)
from callqa.web.live_board import PAUSE_REASONS, own_seat, view_board
from callqa.web.live_socket import MAX_LINE_BYTES, find_board, parse_board
from callqa.web.navigation import NavItem

router = APIRouter()
router.include_router(live_call.router)
NAV = (
    NavItem("实时", "/live", "live.view", "live"),
    NavItem("我的席位", "/live/own", "live.own", "live"),
)

AGAIN_AFTER_S = 2.0  # how soon a lost recorder is tried again
REST_S = 0.3  # at most three boards a second to a browser
KEEPALIVE_S = 15.0
STREAM_S = 600.0  # then the browser connects anew and is asked again who it is


async def boards(path: Path) -> AsyncIterator[Board | None]:
    """Every new board, the newest only when they come fast; None each time the recorder is found gone."""
    while True:
        writer = None
        try:
            reader, writer = await asyncio.open_unix_connection(str(path), limit=MAX_LINE_BYTES)
            while line := await reader.readline():
                board = parse_board(line)
                if board is not None:
                    yield board
        except (OSError, ValueError):  # ValueError: a line over the limit
            pass
        finally:
            if writer is not None:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        yield None
        await asyncio.sleep(AGAIN_AFTER_S)


def _context(db: Database, board: Board | None) -> dict[str, Any]:
    with db.read() as session:
        seats, names = list(list_seats(session)), agent_names(session)
        pausing = load_routing(session).pause_allowed
    free = [no for no in names if not any(s.login and s.login.agent_no == no for s in seats)]
    return {
        "view": view_board(board, seats, names) if board else None,
        "free_agents": [(no, names[no]) for no in free],
        "pausing": pausing,
        "pause_reasons": PAUSE_REASONS,
    }


def _own_context(db: Database, person: Person, board: Board | None) -> dict[str, Any]:
    seat, call = own_seat(board, person.session.agent_no or "") if board else (None, None)
    with db.read() as session:
        pausing = load_routing(session).pause_allowed
    return {"board": board, "seat": seat, "call": call, "pausing": pausing, "pause_reasons": PAUSE_REASONS}


@router.get("/live", dependencies=[require("live.view")])
def live_page(request: Request, db: DbDep, settings: SettingsDep) -> Response:
    """The board as it is now; scripts keep it fresh."""
    return page(request, "live/live.html", **_context(db, find_board(settings.live_socket)))


@router.get("/live/events", dependencies=[require("live.view")])
def live_events(request: Request, person: PersonDep, db: DbDep, settings: SettingsDep) -> Response:
    """Server-sent events, `board` with HTML, until the browser leaves or ten minutes have passed."""
    template = state_of(request).templates.get_template("live/board.html")

    def render(board: Board | None) -> str:
        return template.render({**_context(db, board), "can": person.can})

    return _stream(events(settings.live_socket, render, still_may(request, "live.view")))


@router.get("/live/own", dependencies=[require("live.own")])
def own_page(request: Request, person: PersonDep, db: DbDep, settings: SettingsDep) -> Response:
    """An agent's own seat and call; scripts keep it fresh."""
    return page(request, "live/own.html", **_own_context(db, person, find_board(settings.live_socket)))


@router.get("/live/own/events", dependencies=[require("live.own")])
def own_events(request: Request, person: PersonDep, db: DbDep, settings: SettingsDep) -> Response:
    """The same as /live/events for the own seat."""
    template = state_of(request).templates.get_template("live/own_board.html")

    def render(board: Board | None) -> str:
        return template.render({**_own_context(db, person, board), "can": person.can})

    return _stream(events(settings.live_socket, render, still_may(request, "live.own")))


def _stream(pieces: AsyncIterator[str]) -> Response:
    return StreamingResponse(
        pieces, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


async def events(
    path: Path, render: Callable[[Board | None], str], may_go_on: Callable[[], bool]
) -> AsyncIterator[str]:
    """Server-sent events of the boards as they come; render is called in a thread, and so is may_go_on: whether the person still
    may, asked every ASK_AGAIN_S."""
    latest: asyncio.Queue[Board | None] = asyncio.Queue(maxsize=1)

    async def follow() -> None:
        async for board in boards(path):
            if latest.full():
                latest.get_nowait()
            latest.put_nowait(board)

    follower = asyncio.create_task(follow())
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + STREAM_S
    ask_at = loop.time() + ASK_AGAIN_S
    try:
        while loop.time() < ends_at:
            try:
                board = await asyncio.wait_for(latest.get(), KEEPALIVE_S)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            if loop.time() >= ask_at:
                if not await run_in_threadpool(may_go_on):
                    return
                ask_at = loop.time() + ASK_AGAIN_S
            html = await run_in_threadpool(render, board)
            lines = "".join(f"data: {line}\n" for line in html.splitlines() if line.strip())
            yield f"event: board\nid: {board.at_ms if board else 0}\n{lines}\n"
            await asyncio.sleep(REST_S)
    finally:
        follower.cancel()
        with suppress(asyncio.CancelledError):
            await follower


@router.post("/live/sign-in", dependencies=[require("live.sign")])
def sign_in(
    request: Request,
    db: DbDep,
    settings: SettingsDep,
    now_ms: NowDep,
    extension: Annotated[str, Form()],
    agent_no: Annotated[str, Form()],
    next: Annotated[str, Form()] = "/live",
) -> Response:
    """Sign an agent in at a seat."""
    people.sign_in(
        db,
        seat_extension=extension,
        agent_no=agent_no,
        actor=get_person(request).username,
        now_ms=now_ms,
        desk_path=settings.desk_path,
    )
    return redirect(_back(next), f"工号 {agent_no} 已在 {extension} 签入")


@router.post("/live/sign-out", dependencies=[require("live.sign")])
def sign_out(
    request: Request,
    db: DbDep,
    settings: SettingsDep,
    now_ms: NowDep,
    extension: Annotated[str, Form()],
    next: Annotated[str, Form()] = "/live",
) -> Response:
    """Sign out whoever sits at a seat."""
    ended = people.sign_out(
        db,
        seat_extension=extension,
        actor=get_person(request).username,
        now_ms=now_ms,
        desk_path=settings.desk_path,
    )
    if ended is None:
        return redirect(_back(next), f"{extension} 上现在没有人签入", "info")
    return redirect(_back(next), f"工号 {ended.agent_no} 已从 {extension} 签出")


def _back(target: str) -> str:
    return target if target in ("/live", "/people") else "/live"
