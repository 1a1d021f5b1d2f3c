"""标准与词表: versions, the draft with its mistakes, word lists, trials over a month, publishing from a date on."""

from datetime import date, datetime, time
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from callqa.errors import CallqaError, RubricError, StateError
from callqa.periods import Month, from_ms, to_ms
from callqa.scoring.criteria import Rubric
from callqa.scoring.rubric_text import SCHEMA_HELP, operator_help, word_lists
from callqa.store.db import Database
from callqa.store.queries.confidential import confidential_ids
from callqa.store.queries.people import agent_names
from callqa.usecases import edit_rubric, try_rubric
from callqa.usecases.edit_rubric import Draft
from callqa.web.deps import DbDep, NowDep, PageNotFound, PersonDep, page, redirect, require, state_of
from callqa.web.navigation import NavItem

router = APIRouter(prefix="/rubrics")
NAV = (NavItem("标准与词表", "/rubrics", "rubric.view", "rubric", group="管理"),)
LIST_LABELS = {  # of the rubric delivered with the program; lists of one's own show their name
    "opening": "开场问候",
    "agent_id": "报工号",
    "polite": "文明用语",
    "wait_ask": "请对方等待",
    "wait_back": "等待后致谢",
    "confirm": "复述核对",
    "next_step": "告知去向与时限",
    "closing_more": "询问其他诉求",
    "rating_invite": "征询评价",
    "closing": "致谢与道别",
    "callback_intro": "回访说明来意",
    "satisfaction": "满意度用语",
    "empathy": "安抚",
    "hazard_words": "险情",
    "hazard_advice": "安全提示",
    "redirect_ok": "转办与引导",
    "taboo_insult": "忌语：侮辱",
    "taboo_impatient": "忌语：不耐烦",
    "taboo_challenge": "忌语：质问",
    "taboo_shirk": "忌语：推诿",
    "taboo_provoke": "忌语：激化矛盾",
    "taboo_promise": "忌语：不当承诺",
    "taboo_privacy": "忌语：泄露信息",
    "taboo_leading": "忌语：诱导评价",
    "taboo_casual": "忌语：口语随意",
}
STATE_LABELS = {"wanted": "排队", "running": "进行中", "done": "完成", "failed": "出错", "stopped": "已停止"}


@router.get("", dependencies=[require("rubric.view")])
def index(request: Request, db: DbDep, now_ms: NowDep) -> Response:
    """Every version, the draft, the last trials."""
    with db.read() as session:
        versions = edit_rubric.versions(session)
        draft = edit_rubric.find_draft(session, now_ms)
        trials = try_rubric.recent_trials(session)
    current = next((v.rubric_hash for v in versions if v.effective_from_ms <= now_ms), None)
    return page(
        request,
        "rubric/index.html",
        versions=versions,
        current=current,
        draft=draft,
        trials=trials,
        months={t.month: Month.parse(t.month).label for t in trials},
        by_hash={v.rubric_hash: v for v in versions},
        month=str(Month.of(now_ms).previous()),
        this_month=str(Month.of(now_ms)),
        state_labels=STATE_LABELS,
    )


@router.get("/version/{rubric_hash}", dependencies=[require("rubric.view")])
def version_page(request: Request, rubric_hash: str, db: DbDep) -> Response:
    """One version's text, with the lines that today's rules refuse."""
    with db.read() as session:
        row = next((v for v in edit_rubric.versions(session) if v.rubric_hash == rubric_hash), None)
    if row is None:
        raise PageNotFound("没有这个标准版本")
    return page(request, "rubric/version.html", row=row, mistakes=edit_rubric.read(row.source)[1])


@router.get("/draft", dependencies=[require("rubric.edit")])
def edit(request: Request, db: DbDep, now_ms: NowDep) -> Response:
    """The editor."""
    return _editor(request, db, _draft(db, now_ms), now_ms)


@router.post("/draft", dependencies=[require("rubric.edit")])
def save(
    request: Request,
    db: DbDep,
    person: PersonDep,
    now_ms: NowDep,
    source: Annotated[str, Form()] = "",
    version: Annotated[int, Form()] = 0,
    do: Annotated[str, Form()] = "save",
    month: Annotated[str, Form()] = "",
    effective: Annotated[str, Form()] = "",
) -> Response:
    """Save the text; with do=try also ask for a trial, with do=publish make it a version. Nothing typed is lost."""
    source = edit_rubric.tidy(source)
    try:
        version = edit_rubric.save_draft(db, source, version=version, account_id=person.account_id, now_ms=now_ms)
        if do == "discard":
            edit_rubric.discard_draft(db, account_id=person.account_id, now_ms=now_ms)
            return redirect("/rubrics", "草稿已丢弃")
        if do == "publish":
            edit_rubric.publish(
                db,
                version=version,
                effective_from_ms=_effective_ms(effective, now_ms),
                account_id=person.account_id,
                now_ms=now_ms,
            )
            return redirect("/rubrics", "新版本已发布；已评的通话仍按各自的版本")
        if do == "try":
            draft = _draft(db, now_ms)
            trial_id = try_rubric.ask_trial(
                db,
                month=month,
                old_hash=draft.based_on or "",
                new_source=source,
                account_id=person.account_id,
                now_ms=now_ms,
            )
            return redirect(f"/rubrics/trial/{trial_id}")
    except CallqaError as e:
        rubric, mistakes = edit_rubric.read(source)
        shown = Draft(source, version, _draft(db, now_ms).based_on, mistakes, rubric)
        said = "" if isinstance(e, RubricError) else str(e)
        return _editor(request, db, shown, now_ms, problem=said, status_code=422)
    draft = _draft(db, now_ms)
    if draft.mistakes:
        return _editor(request, db, draft, now_ms, status_code=200)
    return redirect("/rubrics/draft", "草稿已保存，没有发现错误")


@router.get("/lexicons", dependencies=[require("rubric.edit")])
def lexicons(request: Request, db: DbDep, now_ms: NowDep) -> Response:
    """Every word list of the draft."""
    return _lexicons(request, db, now_ms)


@router.post("/lexicons", dependencies=[require("rubric.edit")])
def save_lexicon(
    request: Request,
    db: DbDep,
    person: PersonDep,
    now_ms: NowDep,
    name: Annotated[str, Form()],
    words: Annotated[str, Form()] = "",
    version: Annotated[int, Form()] = 0,
) -> Response:
    """Replace one list in the draft; words one a line."""
    try:
        edit_rubric.save_words(
            db, name, words.splitlines(), version=version, account_id=person.account_id, now_ms=now_ms
        )
    except CallqaError as e:
        return _lexicons(request, db, now_ms, problem=str(e), typed=(name, words), status_code=422)
    return redirect(f"/rubrics/lexicons#{name}", f"词表“{LIST_LABELS.get(name, name)}”已改入草稿；发布后才生效")


@router.get("/trial/{trial_id}", dependencies=[require("rubric.view")])
def trial(request: Request, trial_id: int, db: DbDep) -> Response:
    """A trial's progress or result; as a fragment while it goes on."""
    with db.read() as session:
        row = try_rubric.find_trial(session, trial_id)
        versions = {v.rubric_hash: v for v in edit_rubric.versions(session)}
        agents = agent_names(session)
        secret = confidential_ids(session)
    if row is None:
        raise PageNotFound("没有这次试跑；只保留最近 10 次")
    return page(
        request,
        "rubric/trial.html",
        row=row,
        result=row.result,
        examples=[each for each in row.result.get("examples", ()) if each["call_id"] not in secret],
        old=versions.get(row.old_hash),
        new=versions.get(row.new_hash),
        agents=agents,
        titles=_titles(state_of(request).rubrics.find(db, row.old_hash)) | _titles(edit_rubric.read(row.new_source)[0]),
        month=Month.parse(row.month),
        state_labels=STATE_LABELS,
        busy=row.state in ("wanted", "running"),
    )


@router.post("/compare", dependencies=[require("rubric.edit")])
def compare(
    db: DbDep,
    person: PersonDep,
    now_ms: NowDep,
    old: Annotated[str, Form()] = "",
    new: Annotated[str, Form()] = "",
    month: Annotated[str, Form()] = "",
) -> Response:
    """Ask for a trial of two versions over a month."""
    with db.read() as session:
        source = next((v.source for v in edit_rubric.versions(session) if v.rubric_hash == new), None)
    if source is None:
        raise StateError("没有这个标准版本")
    trial_id = try_rubric.ask_trial(
        db, month=month, old_hash=old, new_source=source, account_id=person.account_id, now_ms=now_ms
    )
    return redirect(f"/rubrics/trial/{trial_id}")


@router.post("/trial/{trial_id}/stop", dependencies=[require("rubric.edit")])
def stop(trial_id: int, db: DbDep, now_ms: NowDep) -> Response:
    """Stop a trial."""
    try_rubric.stop_trial(db, trial_id, now_ms=now_ms)
    return redirect(f"/rubrics/trial/{trial_id}", "试跑已停止")


def _titles(rubric: Rubric | None) -> dict[str, str]:
    """What items and fatal items are called, by id."""
    if rubric is None:
        return {}
    return {i.item_id: i.title for i in rubric.items} | {f.fatal_id: f.title for f in rubric.fatal_items}


def _draft(db: Database, now_ms: int) -> Draft:
    with db.read() as session:
        found = edit_rubric.find_draft(session, now_ms)
    return found or Draft("", 0, None, (), None)


def _effective_ms(text: str, now_ms: int) -> int:
    """The first instant of a day in Shanghai; today means now."""
    try:
        day = date.fromisoformat(text)
    except ValueError as e:
        raise StateError("请选启用日期") from e
    today = from_ms(now_ms)
    start_ms = to_ms(datetime.combine(day, time(), tzinfo=today.tzinfo))
    return now_ms if day == today.date() else start_ms


def _editor(
    request: Request, db: Database, draft: Draft, now_ms: int, *, problem: str = "", status_code: int = 200
) -> Response:
    return page(
        request,
        "rubric/draft.html",
        status_code=status_code,
        draft=draft,
        problem=problem,
        operators=operator_help(),
        schema_help=SCHEMA_HELP,
        today=f"{from_ms(now_ms):%Y-%m-%d}",
        month=str(Month.of(now_ms).previous()),
        this_month=str(Month.of(now_ms)),
    )


def _lexicons(
    request: Request,
    db: Database,
    now_ms: int,
    *,
    problem: str = "",
    typed: tuple[str, str] = ("", ""),
    status_code: int = 200,
) -> Response:
    draft = _draft(db, now_ms)
    try:
        lists = word_lists(draft.source)
    except RubricError as e:
        lists, problem = (), problem or f"草稿有误，先在标准文本里改正：{e}"
    return page(
        request,
        "rubric/lexicons.html",
        status_code=status_code,
        draft=draft,
        lists=lists,
        list_labels=LIST_LABELS,
        problem=problem,
        typed=typed,
    )
