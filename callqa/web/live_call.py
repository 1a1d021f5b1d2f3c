"""A call in progress: pause and resume its recording, listen in. By fetch or by a plain form."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from callqa.errors import PermissionDenied, StateError
from callqa.live import LiveCommand, LiveReply
from callqa.usecases.recorder_line import GONE, Listening, listen, set_paused
from callqa.web.deps import DbDep, NowDep, Person, PersonDep, SettingsDep, redirect, require, still_may
from callqa.web.live_board import own_seat
from callqa.web.live_socket import find_board

router = APIRouter()

_Reason = Annotated[str, Form(max_length=60)]
_Back = Annotated[str, Form(max_length=32)]
_DONE = {"pause": "录音已暂停", "resume": "录音已继续"}


@router.post("/api/live/{call_id}/pause", dependencies=[require("live.pause_own")])
def pause(
    request: Request, call_id: str, person: PersonDep, db: DbDep, settings: SettingsDep, now_ms: NowDep,
    reason: _Reason = "", next: _Back = "/live",
) -> Response:  # fmt: skip
    """Stop keeping what is said, where the policy allows it. The call goes on."""
    reason = " ".join(reason.split())
    if not reason.isprintable() or not reason:
        return _answer(request, LiveReply(reply="pause", ok=False, text="请写明暂停录音的原因，如“银行卡号”"), next)
    return _set_paused(request, "pause", call_id, reason, person, db, settings, now_ms, next)


@router.post("/api/live/{call_id}/resume", dependencies=[require("live.pause_own")])
def resume(
    request: Request, call_id: str, person: PersonDep, db: DbDep, settings: SettingsDep, now_ms: NowDep,
    next: _Back = "/live",
) -> Response:  # fmt: skip
    """Keep again what is said."""
    return _set_paused(request, "resume", call_id, "", person, db, settings, now_ms, next)


def _set_paused(
    request: Request, op: Literal["pause", "resume"], call_id: str, reason: str,
    person: Person, db: DbDep, settings: SettingsDep, now_ms: int, back: str,
) -> Response:  # fmt: skip
    try:
        _must_be_own(person, call_id, settings)
        command = LiveCommand(op=op, call_id=call_id[:64], actor=person.username, reason=reason)
        reply = set_paused(db, settings.live_socket, command, now_ms=now_ms)
    except StateError as e:
        reply = LiveReply(reply=op, ok=False, text=str(e))
    return _answer(request, reply, back)


def _must_be_own(person: Person, call_id: str, settings: SettingsDep) -> None:
    """Raise PermissionDenied unless the person may pause any call, or this one is at the own seat."""
    if person.can("live.pause"):
        return
    board = find_board(settings.live_socket)
    if board is None:
        raise StateError(GONE)
    _, call = own_seat(board, person.session.agent_no or "")
    if call is None or call.call_id != call_id:
        raise PermissionDenied("这通电话不在您的席位上；坐席只能暂停自己正在接打的通话")


def _answer(request: Request, reply: LiveReply, back: str) -> Response:
    text = reply.text or _DONE.get(reply.reply, "")
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"ok": reply.ok, "text": text}, status_code=200 if reply.ok else 409)
    return redirect(back if back in ("/live", "/live/own") else "/live", text, "success" if reply.ok else "danger")


@router.post("/live/{call_id}/listen", dependencies=[require("live.listen")])
async def listen_in(
    request: Request, call_id: str, person: PersonDep, db: DbDep, settings: SettingsDep, now_ms: NowDep
) -> Response:
    """Stereo 16-bit samples at 8 000 Hz, little endian, citizen left, as they are spoken. A POST: it leaves a trace. It ends
    when the person signs out or loses the right, and when the call becomes confidential."""
    may_go_on = still_may(request, "live.listen")
    command = LiveCommand(op="listen", call_id=call_id[:64], actor=person.username)
    try:
        granted = await listen(db, settings.live_socket, command, now_ms=now_ms, may_go_on=may_go_on)
    except StateError as e:
        granted = LiveReply(reply="listen", ok=False, text=str(e))
    if not isinstance(granted, Listening):
        return JSONResponse({"ok": False, "text": granted.text}, status_code=409)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(granted.sound(), media_type="application/octet-stream", headers=headers)
