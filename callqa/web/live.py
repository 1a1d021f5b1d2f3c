"""实时: the recorder's board in the browser. This file is the only client of the recorder's Unix socket.

The page shows a board at once; with scripts it follows by server-sent events, each a ready-made piece of HTML. When
the socket is gone the page says 录音服务未连接 and never keeps showing an old board.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from pydantic import ValidationError

from callqa.live import Board, LiveCall, LiveSeat
from callqa.store.db import Database
from callqa.store.queries.people import SeatLine, agent_names, list_seats
from callqa.usecases import people
from callqa.web.deps import (
    DbDep,
    NavItem,
    NowDep,
    Person,
    PersonDep,
    SettingsDep,
    get_person,
    page,
    redirect,
    require,
    state_of,
)

router = APIRouter()
NAV = (NavItem("实时", "/live", "live.view", "live"),)

FIRST_BOARD_WITHIN_S = 0.5
MAX_LINE_BYTES = 1024 * 1024  # a board of a thousand calls is 200 KB
AGAIN_AFTER_S = 2.0  # how soon a lost recorder is tried again
REST_S = 0.3  # at most three boards a second to a browser
KEEPALIVE_S = 15.0
STREAM_S = 600.0  # then the browser connects anew and is asked again who it is


@dataclass(frozen=True, slots=True)
class SeatRow:
    """A seat with its phone, its agent and its call."""

    extension: str
    label: str
    agent_no: str | None
    agent_name: str | None
    phone: LiveSeat | None
    call: LiveCall | None


def find_board(path: Path) -> Board | None:
    """The recorder's board now; None when it does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(FIRST_BOARD_WITHIN_S)
        try:
            connection.connect(str(path))
            with connection.makefile("rb") as lines:
                return _parse(lines.readline(MAX_LINE_BYTES))
        except OSError:
            return None


def _parse(line: bytes) -> Board | None:
    try:
        return Board.model_validate_json(line)
    except ValidationError:
        return None


async def boards(path: Path) -> AsyncIterator[Board | None]:
    """Every new board, the newest only when they come fast; None each time the recorder is found gone."""
    while True:
        writer = None
        try:
            reader, writer = await asyncio.open_unix_connection(str(path), limit=MAX_LINE_BYTES)
            while line := await reader.readline():
                board = _parse(line)
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


def seat_rows(board: Board, seats: list[SeatLine], names: dict[str, str]) -> list[SeatRow]:
    """Every seat of the database and the board, with its call."""
    phones = {seat.extension: seat for seat in board.seats}
    calls = {call.seat_extension: call for call in board.calls if call.seat_extension}
    lines = {line.seat.extension: line for line in seats if line.seat.active}
    rows = []
    for extension in sorted({*phones, *lines}):
        line, phone = lines.get(extension), phones.get(extension)
        agent_no = phone.agent_no if phone else (line.login.agent_no if line and line.login else None)
        rows.append(
            SeatRow(
                extension=extension,
                label=line.seat.label if line else "",
                agent_no=agent_no,
                agent_name=names.get(agent_no) if agent_no else None,
                phone=phone,
                call=calls.get(extension),
            )
        )
    return rows


def _context(db: Database, board: Board | None) -> dict[str, Any]:
    with db.read() as session:
        seats, names = list(list_seats(session)), agent_names(session)
    free = [no for no in names if not any(s.login and s.login.agent_no == no for s in seats)]
    return {
        "board": board,
        "rows": seat_rows(board, seats, names) if board else [],
        "unseated": [call for call in board.calls if call.seat_extension is None] if board else [],
        "free_agents": [(no, names[no]) for no in free],
    }


@router.get("/live", dependencies=[require("live.view")])
def live_page(request: Request, db: DbDep, settings: SettingsDep) -> Response:
    """The board as it is now; scripts keep it fresh."""
    return page(request, "live/live.html", **_context(db, find_board(settings.live_socket)))


@router.get("/live/events", dependencies=[require("live.view")])
def live_events(request: Request, person: PersonDep, db: DbDep, settings: SettingsDep) -> Response:
    """Server-sent events, `board` with HTML, until the browser leaves or ten minutes have passed."""
    stream = _events(request, person, db, settings.live_socket)
    return StreamingResponse(
        stream, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


async def _events(request: Request, person: Person, db: Database, path: Path) -> AsyncIterator[str]:
    latest: asyncio.Queue[Board | None] = asyncio.Queue(maxsize=1)

    async def follow() -> None:
        async for board in boards(path):
            if latest.full():
                latest.get_nowait()
            latest.put_nowait(board)

    template = state_of(request).templates.get_template("live/board.html")
    follower = asyncio.create_task(follow())
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + STREAM_S
    try:
        while loop.time() < ends_at:
            try:
                board = await asyncio.wait_for(latest.get(), KEEPALIVE_S)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            context = await run_in_threadpool(_context, db, board)
            html = template.render({**context, "can": person.can})
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
