"""发布与申诉: a month's scores on their way to the agents and back, and the decision of an appeal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from callqa.errors import CallqaError, PermissionDenied, StateError
from callqa.periods import Month
from callqa.scoring.evaluation import ACTION_LABELS, STATUS_LABELS, Action, Outcome
from callqa.store.db import Database
from callqa.store.queries import reviews as queries
from callqa.store.queries.reviews import ReviewPage
from callqa.usecases import appeal as appeals
from callqa.usecases import review
from callqa.usecases.appeal import Ruling
from callqa.usecases.blind import ASKED_AGAIN, asked_again, is_asked_again
from callqa.usecases.evaluate_state import actor_of, must_be_author
from callqa.web.deps import (
    MOST_ROW_ID,
    DbDep,
    NowDep,
    PageNotFound,
    Person,
    PersonDep,
    SettingsDep,
    page,
    redirect,
    require,
)
from callqa.web.fields import FieldsDep, read_version
from callqa.web.navigation import NavItem
from callqa.web.score_page import AS_STORED, GivenBack, rubric_of, score_page

router = APIRouter(prefix="/reviews")
NAV = (NavItem("发布与申诉", "/reviews", "evaluate.view", "check", counter=queries.count_open_appeals, group="质检"),)

STATES = ("submitted", "released", "appealed", "acknowledged", "finalized")
REVISION_LABELS = {str(action): ACTION_LABELS[action] for action in Action}


@router.get("", dependencies=[require("evaluate.view")])
def review_list(
    request: Request,
    db: DbDep,
    person: PersonDep,
    settings: SettingsDep,
    now_ms: NowDep,
    month: str = "",
    state: str = "",
) -> Response:
    """A month's submitted scores by state; the random sample and the others kept apart."""
    period = Month.parse(month) if month else Month.of(now_ms)
    with db.read() as session:
        lines = queries.month_reviews(session, period.start_ms, period.end_ms)
        again = asked_again(session, now_ms) if person.can("evaluate.score") else frozenset()
    shown = [line for line in lines if state not in STATES or line.evaluation.status == state]
    return page(
        request,
        "reviews/list.html",
        month=period,
        lines=lines,
        groups=[
            ("随机抽检", [x for x in shown if x.drawn]),
            ("样本之外（定向必检等）", [x for x in shown if not x.drawn]),
        ],
        again=again,
        counts={s: sum(line.evaluation.status == s for line in lines) for s in STATES},
        state=state if state in STATES else "",
        states=STATES,
        status_labels=STATUS_LABELS,
        answer_days=settings.review.answer_days,
    )


@router.post("/release", dependencies=[require("evaluate.release")])
def release(
    db: DbDep, person: PersonDep, settings: SettingsDep, now_ms: NowDep,
    month: Annotated[str, Form()], evaluation_id: Annotated[int | None, Form(le=MOST_ROW_ID)] = None,
) -> Response:  # fmt: skip
    """Release one submitted score, or all of the month."""
    ids = _chosen(db, month, "submitted", evaluation_id)
    days = settings.review.answer_days
    done = review.release(db, ids, account_id=person.account_id, answer_days=days, now_ms=now_ms)
    return redirect(f"/reviews?month={month}", f"已发布 {len(done)} 份，坐席有 {days} 天确认或申诉")


@router.post("/finalize", dependencies=[require("evaluate.release")])
def finalize(
    db: DbDep, person: PersonDep, now_ms: NowDep,
    month: Annotated[str, Form()], evaluation_id: Annotated[int | None, Form(le=MOST_ROW_ID)] = None,
) -> Response:  # fmt: skip
    """Close one acknowledged score, or all of the month."""
    ids = _chosen(db, month, "acknowledged", evaluation_id)
    done = review.finalize(db, ids, account_id=person.account_id, now_ms=now_ms)
    return redirect(f"/reviews?month={month}", f"已定稿 {len(done)} 份")


def _chosen(db: Database, month: str, status: str, evaluation_id: int | None) -> list[int]:
    if evaluation_id is not None:
        return [evaluation_id]
    period = Month.parse(month)
    with db.read() as session:
        lines = queries.month_reviews(session, period.start_ms, period.end_ms)
    return [line.evaluation.id for line in lines if line.evaluation.status == status and line.evaluation.id is not None]


@router.get("/{evaluation_id}", dependencies=[require("evaluate.view")])
def review_page(request: Request, evaluation_id: int, db: DbDep, person: PersonDep, now_ms: NowDep) -> Response:
    """One score with its appeals, both views side by side, and every state of its points."""
    return _show(request, db, _load(db, person, evaluation_id, now_ms), person)


@router.post("/{evaluation_id}/decide", dependencies=[require("evaluate.decide")])
def decide(
    request: Request, evaluation_id: int, db: DbDep, person: PersonDep, now_ms: NowDep, fields: FieldsDep
) -> Response:
    """Decide every open appeal of the score. What cannot be taken comes back as typed."""
    found = _load(db, person, evaluation_id, now_ms)
    try:
        rulings = {row.id: _ruling(row.id, fields) for row in found.open_appeals if row.id is not None}
        version = read_version(fields.get("version", ""))
        appeals.decide(db, evaluation_id, rulings, version=version, account_id=person.account_id, now_ms=now_ms)
    except PermissionDenied:
        raise
    except CallqaError as e:
        return _show(request, db, _load(db, person, evaluation_id, now_ms), person, GivenBack.of(e, fields))
    return redirect(f"/reviews/{evaluation_id}", "申诉已裁定，评分定稿")


def _ruling(appeal_id: int, fields: Mapping[str, str]) -> Ruling:
    """`o:ID` upheld | revised, `r:ID` why, `d:ID:CODE` the options that stand with `t:ID:CODE` times, `na:ID`."""
    chosen = fields.get(f"o:{appeal_id}", "")
    if chosen not in (Outcome.UPHELD, Outcome.REVISED):
        raise CallqaError("请对每一项申诉选“维持”或“改判”")
    prefix = f"d:{appeal_id}:"
    codes = [name.removeprefix(prefix) for name in fields if name.startswith(prefix)]
    times = {code: _times(fields.get(f"t:{appeal_id}:{code}", "1")) for code in codes}
    return Ruling(Outcome(chosen), fields.get(f"r:{appeal_id}", ""), times, f"na:{appeal_id}" in fields)


def _times(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 3 else 1


def _load(db: Database, person: Person, evaluation_id: int, now_ms: int) -> ReviewPage:
    """The score. Raise PageNotFound; PermissionDenied for somebody's draft; StateError for what who scores may not see now."""
    with db.read() as session:
        found = queries.find_review(session, evaluation_id)
        if (
            found is not None
            and person.can("evaluate.score")
            and is_asked_again(session, found.view.evaluation, now_ms)
        ):
            raise StateError(ASKED_AGAIN)
    if found is None:
        raise PageNotFound("没有这份评分；请从“发布与申诉”列表进入")
    must_be_author(found.view.evaluation, person.account_id)
    return found


def _show(request: Request, db: Database, found: ReviewPage, person: Person, given: GivenBack = AS_STORED) -> Response:
    return score_page(
        request,
        db,
        "reviews/review.html",
        found,
        given,
        options={item.item_id: item.options for item in rubric_of(request, db, found).items},
        score_month=Month.of(found.view.call.started_at_ms),
        deciding=_deciding(db, found, person),
        revision_labels=REVISION_LABELS,
    )


@dataclass(frozen=True, slots=True)
class Deciding:
    """What the person may do where appeals wait for a decision. note: why not, or what to know; "" for nothing."""

    may: bool
    note: str = ""


def _deciding(db: Database, found: ReviewPage, person: Person) -> Deciding | None:
    """None where nothing waits for a decision of this role."""
    if not found.open_appeals or not person.can("evaluate.decide"):
        return None
    with db.read() as session:
        try:
            alone = appeals.may_decide(session, found.view.evaluation, actor_of(session, person.account_id))
        except PermissionDenied as e:
            return Deciding(may=False, note=str(e))
    return Deciding(may=True, note="没有第二个人可以裁定：由评分人本人裁定，记录与报告都会注明" if alone else "")
