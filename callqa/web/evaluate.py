"""评分: this month's sample as a queue, and the scoring form. Every action is a plain form; scripts only add comfort.

What cannot be kept or submitted comes back on the same form as typed, with what is missing beside the item it belongs to.
"""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import PlainTextResponse, Response

from callqa.errors import CallqaError, ConflictError, PermissionDenied
from callqa.periods import Month
from callqa.scoring.evaluation import STATUS_LABELS
from callqa.scoring.explain import gate_text
from callqa.scoring.plan import STRATUM_LABELS
from callqa.store.queries import evaluate as queries
from callqa.store.queries.evaluate import CardView
from callqa.store.queries.people import agent_names
from callqa.usecases import evaluate, second_look, second_person
from callqa.usecases.blind import rescores_due
from callqa.usecases.evaluate_input import EvaluationInput, IncompleteError
from callqa.usecases.evaluate_rows import stored_input
from callqa.usecases.note_access import note_access
from callqa.web.deps import DbDep, NowDep, PageNotFound, Person, PersonDep, own_path, page, redirect, require, state_of
from callqa.web.evaluate_form import ShownForm, read_form, write_form
from callqa.web.evaluate_page import (
    Notice,
    form_page,
    hides_machine,
    load,
    load_card,
    mode_of,
    next_open,
    parts,
    standing_of,
    suggested,
    version_now,
)
from callqa.web.evaluate_queue import QUEUE_HEAD, first_scorer, only, progress_of, queue_cells
from callqa.web.fields import PairsDep, read_version
from callqa.web.format import agent_label, points
from callqa.web.navigation import NavItem
from callqa.web.private import private_pieces
from callqa.web.reasoning_view import view_reasoning
from callqa.web.tables import csv_answer

router = APIRouter(prefix="/evaluate")
NAV = (NavItem("评分", "/evaluate", "evaluate.view", "score", group="质检"),)


@router.get("", dependencies=[require("evaluate.view")])
def queue(request: Request, db: DbDep, person: PersonDep, now_ms: NowDep, month: str = "", state: str = "") -> Response:
    """A month's sample, drawn call by drawn call; state: open | done."""
    with db.read() as session:
        frame, rows = queries.drawn_queue(session, str(Month.parse(month)) if month else None)
        fatals = queries.pending_fatals(session)
        months = queries.drawn_months(session)
        again = rescores_due(session, now_ms) if person.can("evaluate.score") else []
        secret = queries.count_hidden_sample(session, frame.id) if frame is not None and frame.id is not None else 0
        agents = agent_names(session)
    done = [row for row in rows if row.is_done]
    return page(
        request,
        "evaluate/queue.html",
        frame=frame,
        month=Month.parse(frame.month) if frame else None,
        months=[Month.parse(m) for m in months],
        rows=rows,
        shown=only(rows, state),
        state=state,
        done=len(done),
        secret=secret,
        fatals=fatals,
        fatal_titles=state_of(request).rubrics.fatal_titles(db, fatals),
        agents=agents,
        again=[due for due in again if first_scorer(rows, due) in (None, person.account_id)],
        hidden={due.call.call_id for due in again},
        status_labels=STATUS_LABELS,
        stratum_labels=STRATUM_LABELS,
        **progress_of(done),
    )


@router.get("/export", dependencies=[require("evaluate.view")])
def export(db: DbDep, person: PersonDep, now_ms: NowDep, month: str = "", state: str = "") -> Response:
    """What the queue shows, as CSV; written to the audit chain."""
    with db.read() as session:
        frame, rows = queries.drawn_queue(session, str(Month.parse(month)) if month else None)
        hidden = {due.call.call_id for due in rescores_due(session, now_ms)} if person.can("evaluate.score") else set()
    if frame is None:
        raise PageNotFound("还没有抽取样本，没有可导出的内容")
    note_access(
        db,
        actor=person.username,
        action="evaluation.export",
        subject=frame.month,
        detail={"state": state, "rows": len(rows)},
        now_ms=now_ms,
    )
    return csv_answer(
        f"{Month.parse(frame.month).label}抽检评分.csv", QUEUE_HEAD, queue_cells(only(rows, state), hidden)
    )


@router.get("/next", dependencies=[require("evaluate.score")])
def next_call(
    db: DbDep, person: PersonDep, month: str = "", after: Annotated[str, Query(max_length=64)] = ""
) -> Response:
    """The next drawn call without a submitted evaluation that nobody else has begun; after: behind that call, in its month."""
    with db.read() as session:
        places = queries.places_of(session, after) if after else []
        if not places:
            places = queries.drawn_places(session, str(Month.parse(month)) if month else None)
    place = next_open(places, after, person)
    if place is not None:
        return redirect(f"/evaluate/call/{place.call_id}")
    message = "样本已全部评完" if places else "本月还没有抽取样本；请先到“抽检”页冻结抽样框并抽取"
    return redirect("/evaluate", message, "success" if places else "info")


@router.get("/call/{call_id}", dependencies=[require("evaluate.score")])
def open_call(request: Request, call_id: str, db: DbDep, person: PersonDep, now_ms: NowDep) -> Response:
    """The scoring page of a call, its draft made where there is none."""
    evaluation_id = evaluate.open_evaluation(db, call_id, evaluator_id=person.account_id, now_ms=now_ms)
    return form(request, evaluation_id, db, person)


@router.get("/{evaluation_id}", dependencies=[require("evaluate.view")])
def form(request: Request, evaluation_id: int, db: DbDep, person: PersonDep, revise: str = "") -> Response:
    """The scoring page; a submitted evaluation is shown as it stands, with revise=1 it may be changed."""
    view, rubric = load(request, db, evaluation_id, person)
    shown = ShownForm.of(write_form(stored_input(view)))
    return form_page(request, db, view, rubric, shown, mode=mode_of(view, person, revise=revise == "1"))


@router.get("/rescore/{call_id}", dependencies=[require("evaluate.score")])
def open_rescore(request: Request, call_id: str, db: DbDep, person: PersonDep, now_ms: NowDep) -> Response:
    """Open the blind re-score of a call that is due."""
    evaluation_id = second_look.open_rescore(db, call_id, evaluator_id=person.account_id, now_ms=now_ms)
    return redirect(f"/evaluate/{evaluation_id}")


@router.post("/{evaluation_id}", dependencies=[require("evaluate.fill")])
def save(
    request: Request, evaluation_id: int, db: DbDep, person: PersonDep, now_ms: NowDep, pairs: PairsDep
) -> Response:
    """Save the draft; with do=submit or submit-next submit it, or submit a revision. `onto`: the version knowingly replaced."""
    fields = dict(pairs)
    view, rubric = load_card(request, db, evaluation_id, person)
    _must_fill(view, person)
    quiet = "X-Autosave" in request.headers
    try:
        given = read_form(pairs, suggested(view, rubric))
        version = read_version(fields.get("onto") or fields.get("version", ""))
        if fields.get("do") in ("submit", "submit-next"):
            return _submit(db, view, given, version=version, fields=fields, person=person, now_ms=now_ms)
        new_version = evaluate.save_draft(db, evaluation_id, given, version=version, account_id=person.account_id)
    except CallqaError as e:
        return _quiet_refusal(db, view, e) if quiet else _give_back(request, db, evaluation_id, pairs, e, person)
    if quiet:
        return PlainTextResponse(str(new_version))
    return redirect(f"/evaluate/{evaluation_id}", "草稿已保存")


def _must_fill(view: CardView, person: Person) -> None:
    """Raise PermissionDenied unless the person may write on this card: a rater on the own calibration card, else who scores."""
    own = second_look.session_id_of(view.evaluation) is not None and view.evaluation.evaluator_id == person.account_id
    if not own and not person.can("evaluate.score"):
        raise PermissionDenied("您的角色不能评分")


def _submit(
    db: DbDep,
    view: CardView,
    given: EvaluationInput,
    *,
    version: int,
    fields: Mapping[str, str],
    person: Person,
    now_ms: int,
) -> Response:
    evaluation_id = view.evaluation.id or 0
    if view.evaluation.status == "draft":
        version = evaluate.save_draft(
            db, evaluation_id, given, version=version, account_id=person.account_id
        )  # kept whatever submitting says
    if second_look.is_second_look(view.evaluation):
        second_look.submit_second_look(
            db, evaluation_id, given, version=version, account_id=person.account_id, now_ms=now_ms
        )
        session_id = second_look.session_id_of(view.evaluation)
        return redirect(
            f"/trust/calibration/{session_id}" if session_id else "/evaluate",
            "已提交；这份评分不公布给坐席，也不进报告",
        )
    evaluate.submit(
        db,
        evaluation_id,
        given,
        version=version,
        account_id=person.account_id,
        now_ms=now_ms,
        reason=fields.get("reason", ""),
    )
    with db.read() as session:
        after = queries.find_card(session, evaluation_id)
    assert after is not None
    who = agent_label(after.call.agent_no, after.agent_name)
    message = f"{who}的评分已提交：质量分 {points(after.evaluation.quality_score)}"
    if after.evaluation.blind and view.evaluation.status == "draft":
        message += "。这是一张盲评卡：评分时没有显示机器建议，现在可在该页对照"
    if fields.get("do") == "submit-next" or fields.get("go") == "next":
        return redirect(f"/evaluate/next?after={after.call.call_id}", message)
    return redirect(f"/evaluate/{evaluation_id}", message)


def _quiet_refusal(db: DbDep, view: CardView, error: CallqaError) -> Response:
    """For the autosave: 409 with the version that is stored now, or 422 with the reason."""
    if not isinstance(error, ConflictError):
        return PlainTextResponse(str(error), status_code=422)
    return PlainTextResponse(str(version_now(db, view)), status_code=409)


def _give_back(
    request: Request,
    db: DbDep,
    evaluation_id: int,
    pairs: list[tuple[str, str]],
    error: CallqaError,
    person: Person,
) -> Response:
    """The same form with everything that was typed, and why it was not taken; a draft may have been kept all the same."""
    view, rubric = load(request, db, evaluation_id, person)
    mode = mode_of(view, person, revise=True)
    shown = ShownForm.of(pairs)
    if isinstance(error, ConflictError):
        notice = Notice(newer_version=version_now(db, view))
        return form_page(request, db, view, rubric, shown, mode=mode, notice=notice, status_code=409)
    if isinstance(error, IncompleteError):
        notice = Notice(text=str(error), tried=True, missing=error.missing)
        shown = ShownForm({**shown.fields, "version": str(view.evaluation.version)}, shown.comments)
    else:
        notice = Notice(text=str(error))
    return form_page(request, db, view, rubric, shown, mode=mode, notice=notice, status_code=422)


@router.post("/{evaluation_id}/preview", dependencies=[require("evaluate.fill")])
def preview_score(request: Request, evaluation_id: int, db: DbDep, person: PersonDep, pairs: PairsDep) -> Response:
    """The score the form would give now, and what is missing, as a fragment; stores nothing."""
    view, rubric = load_card(request, db, evaluation_id, person)
    _must_fill(view, person)
    return page(request, "evaluate/standing.html", **parts(view, rubric, standing_of(view, rubric, pairs)))


@router.get("/{evaluation_id}/reasoning", dependencies=[require("evaluate.view")])
def reasoning(request: Request, evaluation_id: int, db: DbDep, person: PersonDep, check: str = "") -> Response:
    """Why the machine said what it said: of one check, or of all. Nothing on a blind card that is not submitted."""
    view, rubric = load(request, db, evaluation_id, person)
    if hides_machine(view):
        raise PageNotFound("评分提交后才能查看机器依据")
    checks = view_reasoning(view.results, rubric, check, private_pieces(view.utterances))
    return page(request, "evaluate/reasoning.html", checks=checks, gate=gate_text(rubric))


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
    second_person.confirm_fatal(db, finding_id, account_id=person.account_id, now_ms=now_ms)
    return redirect(own_path(back, "/evaluate"), "致命项已由第二人确认，最终分已按规则重新计算")


@router.post("/fatal/{finding_id}/refuse", dependencies=[require("evaluate.confirm_fatal")])
def refuse_fatal(
    request: Request,
    finding_id: int,
    db: DbDep,
    person: PersonDep,
    now_ms: NowDep,
    reason: Annotated[str, Form()] = "",
    back: Annotated[str, Form()] = "/evaluate",
) -> Response:
    """The second person does not agree with a fatal finding, and says why."""
    second_person.refuse_fatal(db, finding_id, reason=reason, account_id=person.account_id, now_ms=now_ms)
    return redirect(own_path(back, "/evaluate"), "已记下：第二人不认可这条致命项，它不计入最终分")
