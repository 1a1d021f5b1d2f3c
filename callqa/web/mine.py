"""我的质检: an agent's own scores, what they rest on, and the answer to them. Nobody else's, by no address."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fastapi import APIRouter, Request
from fastapi.responses import Response

from callqa.errors import CallqaError, PermissionDenied
from callqa.periods import Month
from callqa.reports.render_svg import figure_svg
from callqa.reports.trend import trend_figure
from callqa.scoring.evaluation import STATUS_LABELS
from callqa.store.db import Database
from callqa.store.queries import reviews as queries
from callqa.store.queries.reviews import ReviewPage
from callqa.store.tables import RubricVersion
from callqa.usecases import appeal as appeals
from callqa.usecases.coaching import sign_note
from callqa.usecases.load_rubric import rubric_in_force
from callqa.usecases.own_trend import trend_of
from callqa.web.deps import DbDep, NowDep, PageNotFound, Person, PersonDep, page, redirect, require, state_of
from callqa.web.fields import FieldsDep, read_version
from callqa.web.navigation import NavItem
from callqa.web.score_page import AS_STORED, GivenBack, score_page

router = APIRouter(prefix="/mine")
NAV = (NavItem("我的质检", "/mine", "evaluate.own", "score", group="质检"),)


TEMPLATE = "mine/evaluation.html"


@router.get("", dependencies=[require("evaluate.own")])
def own_list(request: Request, db: DbDep, person: PersonDep) -> Response:
    """The released scores of one's own calls, newest first, by month."""
    with db.read() as session:
        lines = queries.own_reviews(session, person.session.agent_no or "")
        points = trend_of(session, person.session.agent_no or "")
    months: dict[Month, list[queries.ReviewLine]] = {}
    for line in lines:
        months.setdefault(Month.of(line.call.started_at_ms), []).append(line)
    return page(
        request,
        "mine/list.html",
        lines=lines,
        points=points,
        chart=trend_figure(points),
        figure_svg=figure_svg,
        months=[(month, months[month]) for month in sorted(months, key=str, reverse=True)],
        status_labels=STATUS_LABELS,
    )


@router.get("/rubric", dependencies=[require("evaluate.own")])
def own_rubric(request: Request, db: DbDep, now_ms: NowDep, version: str = "") -> Response:
    """What calls are scored by: the rubric in force, or the one of a score; items, deductions and fatal items, no machine's rules."""
    with db.read() as session:
        row = session.get(RubricVersion, version) if version else rubric_in_force(session, now_ms)
    rubric = state_of(request).rubrics.find(db, row.rubric_hash) if row is not None else None
    if row is None or rubric is None:
        raise PageNotFound("没有这个标准版本；请从“我的质检”进入")
    labels = {each.call_type: each.label for each in rubric.call_types}
    return page(request, "mine/rubric.html", row=row, rubric=rubric, call_type_labels=labels)


@router.get("/{evaluation_id}", dependencies=[require("evaluate.own")])
def own_page(request: Request, evaluation_id: int, db: DbDep, person: PersonDep) -> Response:
    """One score: each item with the rubric's text and the evidence, the window, the answer."""
    return score_page(request, db, TEMPLATE, _load(db, person, evaluation_id), AS_STORED)


@router.post("/{evaluation_id}/acknowledge", dependencies=[require("evaluate.own")])
def acknowledge(
    request: Request, evaluation_id: int, db: DbDep, person: PersonDep, now_ms: NowDep, fields: FieldsDep
) -> Response:
    """Agree with the score."""

    def answer() -> str:
        version = read_version(fields.get("version", ""))
        appeals.acknowledge(db, evaluation_id, version=version, account_id=person.account_id, now_ms=now_ms)
        return "已确认"

    return _answer(request, db, person, evaluation_id, answer)


@router.post("/{evaluation_id}/appeal", dependencies=[require("evaluate.own")])
def appeal(
    request: Request, evaluation_id: int, db: DbDep, person: PersonDep, now_ms: NowDep, fields: FieldsDep
) -> Response:
    """Appeal the ticked items: `a:ITEM`, with the reason in `why:ITEM`. What cannot be taken comes back as typed."""

    def answer() -> str:
        version = read_version(fields.get("version", ""))
        reasons = {name[2:]: fields.get(f"why:{name[2:]}", "") for name in fields if name.startswith("a:")}
        appeals.appeal(db, evaluation_id, reasons, version=version, account_id=person.account_id, now_ms=now_ms)
        return f"已申诉 {len(reasons)} 项，等待裁定"

    return _answer(request, db, person, evaluation_id, answer, fields)


@router.post("/{evaluation_id}/withdraw", dependencies=[require("evaluate.own")])
def withdraw(
    request: Request, evaluation_id: int, db: DbDep, person: PersonDep, now_ms: NowDep, fields: FieldsDep
) -> Response:
    """Take the open appeals back."""

    def answer() -> str:
        version = read_version(fields.get("version", ""))
        appeals.withdraw(db, evaluation_id, version=version, account_id=person.account_id, now_ms=now_ms)
        return "申诉已撤回"

    return _answer(request, db, person, evaluation_id, answer)


@router.post("/{evaluation_id}/coaching/{note_id}/sign", dependencies=[require("evaluate.own")])
def note_sign(evaluation_id: int, note_id: int, db: DbDep, person: PersonDep, now_ms: NowDep) -> Response:
    """Say that a coaching note was read."""
    _load(db, person, evaluation_id)
    sign_note(db, note_id, account_id=person.account_id, now_ms=now_ms)
    return redirect(f"/mine/{evaluation_id}", "已签阅")


def _load(db: Database, person: Person, evaluation_id: int) -> ReviewPage:
    """The person's own released score. Raise PageNotFound or PermissionDenied."""
    with db.read() as session:
        found = queries.find_review(session, evaluation_id, person.session.agent_no or "")
    if found is None:
        raise PageNotFound("没有这份评分。")
    person.must_own(found.view.call.agent_no)
    if found.view.evaluation.kind != "first" or found.view.evaluation.status not in queries.VISIBLE_TO_AGENT:
        raise PermissionDenied("这份评分还没有发布")
    return found


def _answer(
    request: Request,
    db: Database,
    person: Person,
    evaluation_id: int,
    answer: Callable[[], str],
    typed: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    """The agent's answer to the own score; answer: does it and says so. Refused, the page as it is now with what was typed."""
    _load(db, person, evaluation_id)
    try:
        done = answer()
    except CallqaError as e:
        now = _load(db, person, evaluation_id)
        return score_page(request, db, TEMPLATE, now, GivenBack.of(e, typed))
    return redirect(f"/mine/{evaluation_id}", done)
