"""质检可信度: how far the machine agrees with people item by item, a person with themselves, and raters with each other."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from callqa.errors import StateError
from callqa.scoring.agreement import MIN_CALLS, PRESELECT_MIN
from callqa.store.queries.confidential import hidden_from
from callqa.store.queries.people import agent_names
from callqa.usecases import calibrate, second_look
from callqa.usecases.trust import rescored, rubric_versions_with_cards, version_trust
from callqa.web.deps import DbDep, NowDep, PageNotFound, PersonDep, page, redirect, require, state_of
from callqa.web.navigation import NavItem
from callqa.web.trust_view import figure_cells

router = APIRouter(prefix="/trust")
NAV = (NavItem("质检可信度", "/trust", "trust.view", "trust", group="质检"),)


@router.get("", dependencies=[require("trust.view")])
def trust_page(request: Request, db: DbDep, person: PersonDep, version: str = "") -> Response:
    """One rubric version's figures, the newest that has cards unless another is asked for."""
    with db.read() as session:
        versions = rubric_versions_with_cards(session)
        again = rescored(session)
        hidden = hidden_from(session, person.account_id)
        sessions = calibrate.list_sessions(session)
    chosen = next((v for v in versions if v.version.rubric_hash.startswith(version)), None) if versions else None
    rubric = state_of(request).rubrics.find(db, chosen.version.rubric_hash) if chosen else None
    found = None
    if chosen is not None and rubric is not None:
        with db.read() as session:
            found = version_trust(session, chosen.version, rubric)
    titles = {item.item_id: item.title for item in rubric.items} if rubric else {}
    return page(
        request,
        "trust/trust.html",
        versions=versions,
        chosen=chosen,
        found=found,
        titles=titles,
        cells=figure_cells,
        again=again,
        hidden=hidden,
        sessions=sessions,
        least=MIN_CALLS,
        threshold=PRESELECT_MIN,
    )


@router.get("/calibration/new", dependencies=[require("calibration.manage")])
def new_session(request: Request, db: DbDep, person: PersonDep) -> Response:
    """The form of a new calibration session."""
    return _form(request, db, person, title="", calls=(), raters=(person.account_id,))


@router.post("/calibration", dependencies=[require("calibration.manage")])
def create(
    request: Request,
    db: DbDep,
    person: PersonDep,
    now_ms: NowDep,
    title: Annotated[str, Form()] = "",
    call_id: Annotated[list[str], Form()] = [],  # noqa: B006  # FastAPI copies it
    more: Annotated[str, Form()] = "",
    rater: Annotated[list[int], Form()] = [],  # noqa: B006
    reference: Annotated[str, Form()] = "",
) -> Response:
    """Begin a session. reference: the account of the 基准评分人, "" without one."""
    calls = [*call_id, *more.split()]
    try:
        session_id = second_look.create_session(
            db,
            title,
            calls,
            rater,
            reference=int(reference) if reference.isdecimal() and len(reference) < 12 else None,
            account_id=person.account_id,
            now_ms=now_ms,
        )
    except StateError as e:
        return _form(request, db, person, title=title, calls=calls, raters=rater, reference=reference, problem=str(e))
    return redirect(f"/trust/calibration/{session_id}", "校准已发起；各评分人在本页各评各的，全部提交后再公布比对")


def _form(
    request: Request,
    db: DbDep,
    person: PersonDep,
    *,
    title: str,
    calls: object,
    raters: object,
    reference: str = "",
    problem: str = "",
) -> Response:
    with db.read() as session:
        choices = calibrate.choices(session)
        agents = agent_names(session)
    return page(
        request,
        "trust/calibration_new.html",
        status_code=422 if problem else 200,
        choices=choices,
        agents=agents,
        title_given=title,
        calls_given=calls,
        raters_given=raters,
        reference_given=reference,
        problem=problem,
    )


@router.get("/calibration/{session_id}", dependencies=[require("trust.view")])
def session_page(request: Request, session_id: int, db: DbDep, person: PersonDep) -> Response:
    """One session: one's own cards until it is opened, the comparison afterwards."""
    with db.read() as session:
        view = calibrate.session_view(session, session_id, person.account_id)
        agents = agent_names(session)
        hidden = hidden_from(session, person.account_id)
    if view is None:
        raise PageNotFound("没有这次校准")
    rubric = state_of(request).rubrics.find(db, view.rubric_hash)
    titles = {item.item_id: item.title for item in rubric.items} if rubric else {}
    return page(
        request,
        "trust/calibration.html",
        view=view,
        titles=titles,
        agents=agents,
        hidden=hidden,
        cells=figure_cells,
        least=MIN_CALLS,
        fewest=calibrate.MIN_INTERVAL_CALLS,
    )


@router.get("/calibration/{session_id}/call/{call_id}", dependencies=[require("trust.view")])
def open_card(
    request: Request, session_id: int, call_id: str, db: DbDep, person: PersonDep, now_ms: NowDep
) -> Response:
    """A rater's own card of one call."""
    evaluation_id = second_look.open_calibration_card(
        db, session_id, call_id, account_id=person.account_id, now_ms=now_ms
    )
    return redirect(f"/evaluate/{evaluation_id}")


@router.post("/calibration/{session_id}/open", dependencies=[require("calibration.manage")])
def open_comparison(session_id: int, db: DbDep, person: PersonDep, now_ms: NowDep) -> Response:
    """公布比对."""
    second_look.open_comparison(db, session_id, account_id=person.account_id, now_ms=now_ms)
    return redirect(f"/trust/calibration/{session_id}", "比对已公布，各评分人现在都能看到全部评分")
