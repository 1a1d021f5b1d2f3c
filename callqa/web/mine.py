"""我的质检: an agent's own scores, what they rest on, and the answer to them. Nobody else's, by no address."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from callqa.errors import CallqaError, ConflictError, PermissionDenied
from callqa.periods import Month
from callqa.scoring.evaluation import OUTCOME_LABELS, STATUS_LABELS
from callqa.store.db import Database
from callqa.store.queries import reviews as queries
from callqa.store.queries.coaching import notes_of
from callqa.store.queries.reviews import ReviewPage
from callqa.usecases import appeal as appeals
from callqa.usecases.coaching import sign_note
from callqa.web.deps import DbDep, NowDep, PageNotFound, Person, PersonDep, page, redirect, require, state_of
from callqa.web.navigation import NavItem
from callqa.web.score_sheet import score_sheet

router = APIRouter(prefix="/mine")
NAV = (NavItem("我的质检", "/mine", "evaluate.own", "score", group="质检"),)


async def _fields(request: Request) -> dict[str, str]:
    return {k: v for k, v in (await request.form()).items() if isinstance(v, str)}


FieldsDep = Annotated[dict[str, str], Depends(_fields)]
VersionForm = Annotated[int, Form()]


@router.get("", dependencies=[require("evaluate.own")])
def own_list(request: Request, db: DbDep, person: PersonDep) -> Response:
    """The released scores of one's own calls, newest first, by month."""
    with db.read() as session:
        lines = queries.own_reviews(session, person.session.agent_no or "")
    months: dict[Month, list[queries.ReviewLine]] = {}
    for line in lines:
        months.setdefault(Month.of(line.call.started_at_ms), []).append(line)
    return page(
        request,
        "mine/list.html",
        lines=lines,
        months=[(month, months[month]) for month in sorted(months, key=str, reverse=True)],
        status_labels=STATUS_LABELS,
    )


@router.get("/{evaluation_id}", dependencies=[require("evaluate.own")])
def own_page(request: Request, evaluation_id: int, db: DbDep, person: PersonDep) -> Response:
    """One score: each item with the rubric's text and the evidence, the window, the answer."""
    return _show(request, db, _load(db, person, evaluation_id))


@router.post("/{evaluation_id}/acknowledge", dependencies=[require("evaluate.own")])
def acknowledge(
    request: Request, evaluation_id: int, db: DbDep, person: PersonDep, now_ms: NowDep, version: VersionForm
) -> Response:
    """Agree with the score."""
    _load(db, person, evaluation_id)
    try:
        appeals.acknowledge(db, evaluation_id, version=version, account_id=person.account_id, now_ms=now_ms)
    except CallqaError as e:
        return _give_back(request, db, person, evaluation_id, e, {})
    return redirect(f"/mine/{evaluation_id}", "已确认")


@router.post("/{evaluation_id}/appeal", dependencies=[require("evaluate.own")])
def appeal(
    request: Request, evaluation_id: int, db: DbDep, person: PersonDep, now_ms: NowDep, fields: FieldsDep
) -> Response:
    """Appeal the ticked items: `a:ITEM`, with the reason in `why:ITEM`."""
    _load(db, person, evaluation_id)
    reasons = {name[2:]: fields.get(f"why:{name[2:]}", "") for name in fields if name.startswith("a:")}
    version = fields.get("version", "")
    try:
        appeals.appeal(
            db,
            evaluation_id,
            reasons,
            version=int(version) if version.isdigit() else 0,
            account_id=person.account_id,
            now_ms=now_ms,
        )
    except CallqaError as e:
        return _give_back(request, db, person, evaluation_id, e, fields)
    return redirect(f"/mine/{evaluation_id}", f"已申诉 {len(reasons)} 项，等待裁定")


@router.post("/{evaluation_id}/withdraw", dependencies=[require("evaluate.own")])
def withdraw(
    request: Request, evaluation_id: int, db: DbDep, person: PersonDep, now_ms: NowDep, version: VersionForm
) -> Response:
    """Take the open appeals back."""
    _load(db, person, evaluation_id)
    try:
        appeals.withdraw(db, evaluation_id, version=version, account_id=person.account_id, now_ms=now_ms)
    except CallqaError as e:
        return _give_back(request, db, person, evaluation_id, e, {})
    return redirect(f"/mine/{evaluation_id}", "申诉已撤回")


@router.post("/{evaluation_id}/coaching/{note_id}/sign", dependencies=[require("evaluate.own")])
def note_sign(evaluation_id: int, note_id: int, db: DbDep, person: PersonDep, now_ms: NowDep) -> Response:
    """Say that a coaching note was read."""
    _load(db, person, evaluation_id)
    sign_note(db, note_id, account_id=person.account_id, now_ms=now_ms)
    return redirect(f"/mine/{evaluation_id}", "已签阅")


def _load(db: Database, person: Person, evaluation_id: int) -> ReviewPage:
    """The person's own released score. Raise PageNotFound or PermissionDenied."""
    with db.read() as session:
        found = queries.find_review(session, evaluation_id)
    if found is None:
        raise PageNotFound("没有这份评分。")
    person.must_own(found.view.call.agent_no)
    if found.view.evaluation.kind != "first" or found.view.evaluation.status not in queries.VISIBLE_TO_AGENT:
        raise PermissionDenied("这份评分还没有发布")
    return found


def _show(
    request: Request,
    db: Database,
    found: ReviewPage,
    *,
    problem: str = "",
    typed: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    rubric = state_of(request).rubrics.load(db, found.view.evaluation.rubric_hash)
    with db.read() as session:
        notes = notes_of(session, found.view.evaluation.id or 0)
    return page(
        request,
        "mine/evaluation.html",
        status_code=status,
        found=found,
        view=found.view,
        sheet=score_sheet(found.view, rubric, {row.item_id: row for row in found.appeals}),
        rubric=rubric,
        notes=notes,
        problem=problem,
        typed=typed or {},
        status_labels=STATUS_LABELS,
        outcome_labels=OUTCOME_LABELS,
    )


def _give_back(
    request: Request, db: Database, person: Person, evaluation_id: int, error: CallqaError, typed: Mapping[str, str]
) -> Response:
    """The page as it is now, with what was typed and why it was not taken."""
    status = 409 if isinstance(error, ConflictError) else 422
    found = _load(db, person, evaluation_id)
    return _show(request, db, found, problem=str(error), typed=typed, status=status)
