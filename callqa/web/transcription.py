"""转写: how far it is and when it will be done, asking for it again, how often the machine errs, the site's own words."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, Response

from callqa.errors import CallqaError
from callqa.periods import Month
from callqa.store.queries import people as people_queries
from callqa.store.queries.transcription import (
    count_offered,
    errors_by_month,
    offered_words,
    speech_cost,
    speech_work,
    vocabulary_versions,
)
from callqa.usecases.health import model_state
from callqa.usecases.progress import transcribe_again
from callqa.usecases.vocabulary import accept_candidate, packaged_words, refuse_candidate, remove_word
from callqa.web.deps import DbDep, NowDep, PersonDep, SettingsDep, page, redirect, require
from callqa.web.navigation import NavItem

router = APIRouter()
NAV = (NavItem("转写", "/transcription", "transcription.view", "words", counter=count_offered, group="管理"),)


@router.get("/transcription", dependencies=[require("transcription.view")])
def transcription_page(request: Request, db: DbDep, settings: SettingsDep, now_ms: NowDep) -> Response:
    """The whole page."""
    with db.read() as session:
        context: dict[str, Any] = {
            "work": speech_work(session, now_ms),
            "costs": speech_cost(session),
            "errors": errors_by_month(session),
            "offered": offered_words(session),
            "versions": vocabulary_versions(session),
            "names": people_queries.account_names(session),
        }
    return page(
        request,
        "transcription/page.html",
        model=model_state(settings.model_dir),
        this_month=str(Month.of(now_ms)),
        **context,
    )


@router.get("/transcription/progress", dependencies=[require("transcription.view")])
def transcription_progress(request: Request, db: DbDep, now_ms: NowDep) -> Response:
    """The progress piece, asked for again every few seconds until nothing is left to do."""
    with db.read() as session:
        work = speech_work(session, now_ms)
    answer: HTMLResponse = page(request, "transcription/progress.html", work=work)
    if not work.busy:
        answer.headers["X-Reload"] = "1"
    return answer


@router.post("/transcription/again", dependencies=[require("calls.retry")])
def again(
    person: PersonDep,
    db: DbDep,
    now_ms: NowDep,
    span: Annotated[str, Form()] = "month",
    month: Annotated[str, Form()] = "",
) -> Response:
    """Ask for the transcription of a month, or of all calls, once more."""
    try:
        wanted = Month.parse(month) if span == "month" else None
    except CallqaError as e:
        return redirect("/transcription", str(e), "danger")
    asked = transcribe_again(
        db,
        (wanted.start_ms, wanted.end_ms) if wanted else None,
        subject=str(wanted) if wanted else "全部",
        actor=person.username,
        now_ms=now_ms,
    )
    if not asked:
        return redirect("/transcription", "没有可重新转写的通话：没有录音，或都在处理中", "info")
    return redirect("/transcription", f"已列入队列：{asked} 通。原来的版本都保留，人工更正过的文字继续沿用")


@router.post("/transcription/words/{candidate_id}", dependencies=[require("vocabulary.edit")])
def decide_word(
    candidate_id: int,
    person: PersonDep,
    db: DbDep,
    settings: SettingsDep,
    now_ms: NowDep,
    decision: Annotated[str, Form()],
    word: Annotated[str, Form()] = "",
) -> Response:
    """Take a word that a correction offered into the vocabulary, or not."""
    try:
        if decision == "accept":
            packaged = packaged_words(settings.scorecards_dir / "vocabulary.yaml")
            version = accept_candidate(db, candidate_id, word, actor=person.username, now_ms=now_ms, packaged=packaged)
            return redirect(
                "/transcription#words", f"“{word.strip()}”已收入词表（第 {version} 版），以后的转写都会用到"
            )
        refuse_candidate(db, candidate_id, actor=person.username, now_ms=now_ms)
    except CallqaError as e:
        return redirect("/transcription#words", str(e), "danger")
    return redirect("/transcription#words", "已记为不收")


@router.post("/transcription/vocabulary/remove", dependencies=[require("vocabulary.edit")])
def drop_word(person: PersonDep, db: DbDep, now_ms: NowDep, word: Annotated[str, Form()]) -> Response:
    """Take a word out of the site's vocabulary again."""
    try:
        version = remove_word(db, word, actor=person.username, now_ms=now_ms)
    except CallqaError as e:
        return redirect("/transcription#words", str(e), "danger")
    return redirect("/transcription#words", f"“{word}”已删去（第 {version} 版）")
