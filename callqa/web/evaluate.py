"""评分: this month's sample as a queue, and the scoring form. Every action is a plain form; scripts only add comfort."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from callqa.errors import CallqaError
from callqa.scoring.criteria import Rubric
from callqa.store.queries.evaluate import (
    EvaluationView,
    drawn_frame,
    find_evaluation,
    pending_fatals,
    sample_queue,
)
from callqa.units import CallType
from callqa.usecases import evaluate
from callqa.web.deps import DbDep, NavItem, NowDep, PageNotFound, PersonDep, page, redirect, require, state_of
from callqa.web.evaluate_form import SuggestedOption, read_form
from callqa.web.suggestion_view import SuggestionView, view_suggestions

router = APIRouter(prefix="/evaluate")
NAV = (NavItem("评分", "/evaluate", "evaluate.view", "score"),)


@router.get("", dependencies=[require("evaluate.view")])
def queue(request: Request, db: DbDep, month: str | None = None) -> Response:
    """The month's sample, drawn call by drawn call."""
    with db.read() as session:
        frame = drawn_frame(session, month)
        rows = sample_queue(session, frame.id) if frame and frame.id else []
        fatals = pending_fatals(session)
    done = sum(r.evaluation is not None and r.evaluation.status != "draft" for r in rows)
    return page(request, "evaluate/queue.html", frame=frame, rows=rows, done=done, fatals=fatals)


@router.get("/next", dependencies=[require("evaluate.score")])
def next_call(request: Request, db: DbDep) -> Response:
    """The first drawn call without a submitted evaluation."""
    with db.read() as session:
        frame = drawn_frame(session)
        rows = sample_queue(session, frame.id) if frame and frame.id else []
    for row in rows:
        if row.evaluation is None or row.evaluation.status == "draft":
            return redirect(f"/evaluate/call/{row.call.call_id}")
    message = "本月样本已全部评完" if rows else "本月还没有抽取样本；请先到“抽检”页冻结抽样框并抽取"
    return redirect("/evaluate", message, "success" if rows else "info")


@router.get("/call/{call_id}", dependencies=[require("evaluate.score")])
def open_call(request: Request, call_id: str, db: DbDep, person: PersonDep, now_ms: NowDep) -> Response:
    """Open the evaluation of a call, making the draft where there is none."""
    evaluation_id = evaluate.open_evaluation(db, call_id, evaluator_id=person.account_id, now_ms=now_ms)
    return redirect(f"/evaluate/{evaluation_id}")


@router.get("/{evaluation_id}", dependencies=[require("evaluate.view")])
def form(request: Request, evaluation_id: int, db: DbDep, person: PersonDep) -> Response:
    """The scoring page."""
    return _form_page(request, db, evaluation_id)


@router.post("/{evaluation_id}", dependencies=[require("evaluate.score")])
async def save(request: Request, evaluation_id: int, db: DbDep, person: PersonDep, now_ms: NowDep) -> Response:
    """Save the draft, or submit (`do=submit`)."""
    pairs = [(k, v) for k, v in (await request.form()).multi_items() if isinstance(v, str)]
    fields = dict(pairs)
    view, _ = _load(request, db, evaluation_id)
    given = read_form(pairs, _suggested(view))
    version = int(fields.get("version", "0") or 0)
    if fields.get("do") == "submit":
        if view.evaluation.status == "draft":
            version = evaluate.save_draft(db, evaluation_id, given, version=version)  # kept whatever submitting says
        try:
            evaluate.submit(
                db, evaluation_id, given, version=version, actor=person.username, now_ms=now_ms,
                reason=fields.get("reason", ""),
            )  # fmt: skip
        except evaluate.IncompleteError as e:
            return redirect(f"/evaluate/{evaluation_id}", str(e), "danger")
        return redirect("/evaluate/next" if fields.get("go") == "next" else f"/evaluate/{evaluation_id}", "评分已提交")
    if view.evaluation.status != "draft":
        raise CallqaError("这份评分已提交；修改请写明理由后点“重新提交”")
    new_version = evaluate.save_draft(db, evaluation_id, given, version=version)
    if request.headers.get("X-Autosave"):
        return Response(str(new_version), media_type="text/plain")
    return redirect(f"/evaluate/{evaluation_id}", "草稿已保存")


@router.post("/{evaluation_id}/preview", dependencies=[require("evaluate.score")])
async def preview(request: Request, evaluation_id: int, db: DbDep) -> Response:
    """The score the form would give now, as a fragment; stores nothing."""
    pairs = [(k, v) for k, v in (await request.form()).multi_items() if isinstance(v, str)]
    view, rubric = _load(request, db, evaluation_id)
    try:
        card = evaluate.preview(rubric, CallType(view.call.call_type), read_form(pairs, _suggested(view)))
    except CallqaError as e:
        return page(request, "evaluate/totals.html", card=None, problem=str(e))
    return page(request, "evaluate/totals.html", card=card, problem="")


@router.post("/fatal/{finding_id}/confirm", dependencies=[require("evaluate.confirm_fatal")])
def confirm_fatal(
    request: Request,
    finding_id: int,
    db: DbDep,
    person: PersonDep,
    now_ms: NowDep,
    back: Annotated[str, Form()] = "/evaluate",
) -> Response:
    """Second confirmation of a fatal finding by another person."""
    evaluate.confirm_fatal(db, finding_id, account_id=person.account_id, actor=person.username, now_ms=now_ms)
    return redirect("/evaluate", "致命项已由第二人确认，最终分已按规则计为 0")


def _load(request: Request, db: DbDep, evaluation_id: int) -> tuple[EvaluationView, Rubric]:
    with db.read() as session:
        view = find_evaluation(session, evaluation_id)
    if view is None:
        raise PageNotFound("没有这份评分；可能已随抽样框作废，请从“评分”列表进入")
    return view, state_of(request).rubrics.load(db, view.evaluation.rubric_hash)


def _suggested(view: EvaluationView) -> list[SuggestedOption]:
    return [
        SuggestedOption(s.id, s.item_id, s.option_code, s.evidence[0]["start_ms"] if s.evidence else None, s.reason)
        for s in view.suggestions
        if s.id is not None
    ]


def _form_page(request: Request, db: DbDep, evaluation_id: int) -> Response:
    view, rubric = _load(request, db, evaluation_id)
    call_type = CallType(view.call.call_type)
    items = {i.item_id: i for i in rubric.items_for(call_type)}
    sections = [(s, [i for i in s.items if i.item_id in items]) for s in rubric.sections]
    suggestions = view_suggestions(view.suggestions, rubric)
    by_item: dict[str, list[SuggestionView]] = {}
    for suggestion in suggestions:
        by_item.setdefault(suggestion.item_id, []).append(suggestion)
    with db.read() as session:
        frame = drawn_frame(session)
        rows = sample_queue(session, frame.id) if frame and frame.id else []
    return page(
        request,
        "evaluate/form.html",
        view=view,
        rubric=rubric,
        sections=[(s, chosen) for s, chosen in sections if chosen],
        fatal_items=[f for f in rubric.fatal_items if call_type in f.applies_to],
        suggestions=suggestions,
        by_item=by_item,
        queue=rows,
        place=next((r.position for r in rows if r.call.call_id == view.call.call_id), None),
    )
