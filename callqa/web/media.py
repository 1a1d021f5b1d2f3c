"""Audio and peaks of a call. Every playback is written to the audit chain before the first byte goes out."""

import zlib
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from callqa.usecases.draw_peaks import load_peaks
from callqa.usecases.export_audio import export_audio, export_beeped, find_stretches
from callqa.usecases.note_access import note_access
from callqa.web.deps import (
    DbDep,
    NowDep,
    PageNotFound,
    PersonDep,
    SettingsDep,
    load_own_call,
    require,
    state_of,
)
from callqa.web.navigation import NavItem
from callqa.web.playable import load_playable, master_path
from callqa.web.ranges import ByteRange, RangeNotSatisfiable, etag_matches, parse_range
from callqa.web.tables import attachment

AHEAD_MOST_BYTES = 131_072

router = APIRouter()
NAV: tuple[NavItem, ...] = ()


def _recording(db: DbDep, settings: SettingsDep, person: PersonDep, call_id: str) -> tuple[Path, str]:
    call = load_own_call(db, person, call_id)
    if call.recording_status != "ok" or not call.recording_path or not call.recording_sha256:
        raise PageNotFound("这通电话没有可播放的录音。")
    path = master_path(settings.recordings_dir, call.recording_path)
    if not path.exists():
        raise PageNotFound("录音文件不在原处；请在“系统”页核对录音文件夹。")
    return path, call.recording_sha256


@router.api_route("/calls/{call_id}/audio", methods=["GET", "HEAD"], dependencies=[require("calls.listen")])
def audio(
    request: Request, call_id: str, person: PersonDep, db: DbDep, settings: SettingsDep, now_ms: NowDep
) -> Response:
    """The recording as 16-bit PCM WAV, whole or one byte range; private numbers are a tone for who may not see them."""
    path, sha256 = _recording(db, settings, person, call_id)
    state = state_of(request)
    private = None if person.can("calls.private") else find_stretches(db, call_id, sha256)
    playable = state.beeped.load(path, sha256, private) if private else load_playable(path)
    etag = f'"{sha256[:32]}-pcm16{f"-{zlib.crc32(repr(private.spans).encode()):08x}" if private else ""}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        # The browser may not keep what the person may only hear.
        "Cache-Control": "private, max-age=300" if person.can("calls.export") else "private, no-store",
        "Content-Disposition": f'inline; filename="{call_id}.wav"',
    }
    if etag_matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    if_range = request.headers.get("if-range")
    wanted = request.headers.get("range", "") if if_range in (None, etag) else ""
    try:
        part = parse_range(wanted, playable.size)
    except RangeNotSatisfiable:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{playable.size}"})
    if request.method == "GET":
        ahead = "x-ahead" in request.headers and person.can("evaluate.score") and _is_beginning(part)
        action = "call.preload" if ahead else "call.play"
        if state.plays.is_new(person.session.token_sha256, f"{action} {call_id}", now_ms):
            note_access(db, actor=person.username, action=action, subject=call_id, now_ms=now_ms)
    headers["Content-Length"] = str(part.length if part else playable.size)
    if part is not None:
        headers["Content-Range"] = f"bytes {part.first}-{part.last}/{playable.size}"
    pieces = playable.pieces(part) if request.method == "GET" else ()
    return StreamingResponse(pieces, status_code=206 if part else 200, media_type="audio/wav", headers=headers)


def _is_beginning(part: ByteRange | None) -> bool:
    """Whether it is no more than the first seconds, which the scoring page fetches of the next call (static/evaluate.js)."""
    return part is not None and part.first == 0 and part.last < AHEAD_MOST_BYTES


@router.get("/calls/{call_id}/recording", dependencies=[require("calls.download")])
def download(
    call_id: str, person: PersonDep, db: DbDep, settings: SettingsDep, now_ms: NowDep, beep: str = ""
) -> Response:
    """The recording as a file in its own coding; beeped where asked for, and always for who may not take it whole."""
    load_own_call(db, person, call_id)
    whole = person.can("calls.download_whole") and not beep
    export = export_audio if whole else export_beeped
    made = export(db, call_id, recordings=settings.recordings_dir, actor=person.username, now_ms=now_ms)
    name = f"{call_id}.wav" if whole else f"{call_id}-消音.wav"
    headers = {**attachment(name), "Cache-Control": "private, no-store"}
    return Response(made.data, media_type="audio/wav", headers=headers)


@router.get("/calls/{call_id}/peaks.json", dependencies=[require("calls.listen")])
def peaks_json(request: Request, call_id: str, person: PersonDep, db: DbDep, settings: SettingsDep) -> Response:
    """Peaks for the waveform, made once and kept."""
    path, sha256 = _recording(db, settings, person, call_id)
    etag = f'"{sha256[:32]}-peaks1"'
    kept = "max-age=300" if person.can("calls.export") else "max-age=0, must-revalidate"
    headers = {"ETag": etag, "Cache-Control": f"private, {kept}"}
    if etag_matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    body = load_peaks(path, sha256, settings.var_dir)
    return Response(body, media_type="application/json", headers=headers)
