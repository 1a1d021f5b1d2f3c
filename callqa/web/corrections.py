"""更正 of one call's transcript, and its versions: who wrote what, when and why."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from callqa.errors import CallqaError
from callqa.store.queries import people as people_queries
from callqa.store.queries.transcription import find_version, versions_of
from callqa.usecases.correct import MAX_CHARS, MAX_REASON_CHARS, Correction, correct_transcript
from callqa.usecases.note_access import note_access
from callqa.web.calls import load_page
from callqa.web.deps import DbDep, NowDep, PageNotFound, PersonDep, page, redirect, require
from callqa.web.navigation import NavItem

router = APIRouter()
NAV: tuple[NavItem, ...] = ()

REASONS = ("听录音更正", "地名或人名", "号码或单号", "漏字多字", "机器听错说话内容")


@router.get("/calls/{call_id}/correct", dependencies=[require("calls.correct")])
def correct_page(request: Request, call_id: str, person: PersonDep, db: DbDep, now_ms: NowDep) -> Response:
    """Every utterance as a field to write in; numbers in it are whole, so opening it is noted."""
    found = load_page(db, person, call_id)
    if found.transcript is None:
        raise PageNotFound("这通电话还没有转写，不能更正。")
    detail = {"version": found.transcript.version}
    note_access(db, actor=person.username, action="transcript.open", subject=call_id, detail=detail, now_ms=now_ms)
    return page(
        request,
        "calls/correct.html",
        found=found,
        call=found.call,
        reasons=REASONS,
        max_chars=MAX_CHARS,
        max_reason_chars=MAX_REASON_CHARS,
    )


@router.post("/calls/{call_id}/correct", dependencies=[require("calls.correct")])
async def correct(
    request: Request,
    call_id: str,
    person: PersonDep,
    db: DbDep,
    now_ms: NowDep,
    base_id: Annotated[int, Form()],
    reason: Annotated[str, Form()] = "",
    verified: Annotated[str, Form()] = "",
) -> Response:
    """Save what was written as a new version. The fields are text_0, text_1, ... by utterance."""
    found = load_page(db, person, call_id)
    form = await request.form()
    fields = {f"text_{u.index}": u.index for u in found.utterances}
    texts = {fields[name]: value for name, value in form.items() if name in fields and isinstance(value, str)}
    try:
        made = correct_transcript(
            db,
            call_id,
            Correction(texts, reason, verified == "yes"),
            base_id=base_id,
            actor=person.username,
            now_ms=now_ms,
        )
    except CallqaError as e:
        return redirect(f"/calls/{call_id}/correct", str(e), "danger")
    return redirect(
        f"/calls/{call_id}", f"已存为第 {made.version} 版；机器原文与以前的版本都可查看，预评按更正后的文字重做"
    )


@router.get("/calls/{call_id}/transcripts/{version}", dependencies=[require("calls.transcript")])
def version_page(request: Request, call_id: str, version: int, person: PersonDep, db: DbDep) -> Response:
    """One version as it was, beside the list of all."""
    found = load_page(db, person, call_id)
    with db.read() as session:
        shown = find_version(session, call_id, version)
        versions = versions_of(session, call_id)
        names = people_queries.account_names(session)
    if shown is None:
        raise PageNotFound("没有这一版转写。")
    return page(
        request,
        "calls/version.html",
        found=found,
        call=found.call,
        row=shown[0],
        utterances=shown[1],
        versions=versions,
        names=names,
    )
