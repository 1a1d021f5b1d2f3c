"""辅导、整改、案例库: what follows from a score."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from callqa.errors import CallqaError
from callqa.periods import Month, from_ms, say_instant
from callqa.speech import SPEAKER_LABELS, Speaker
from callqa.store.queries import coaching as queries
from callqa.store.queries.people import active_agent_names
from callqa.usecases import case_study
from callqa.usecases.coaching import STEP_LABELS, Step, follow_up, open_action, write_note
from callqa.usecases.load_rubric import rubric_in_force
from callqa.usecases.note_access import note_access
from callqa.web.deps import MOST_ROW_ID, DbDep, NowDep, PersonDep, own_path, page, redirect, require, state_of
from callqa.web.navigation import NavItem
from callqa.web.tables import csv_answer

router = APIRouter()
NAV = (
    NavItem("整改", "/actions", "actions.view", "refresh", group="质检"),
    NavItem("案例库", "/cases", "cases.view", "info", group="质检"),
)

AROUND_MS = 20_000  # proposed on either side of the moment a case is made from
A_DAY_MS = 86_400_000  # longer than any call
_Text = Annotated[str, Form(max_length=8000)]


@router.post("/reviews/{evaluation_id}/coaching", dependencies=[require("coaching.write")])
def note_write(evaluation_id: int, person: PersonDep, db: DbDep, now_ms: NowDep, text: _Text = "") -> Response:
    """Write a coaching note to a released score."""
    try:
        write_note(db, evaluation_id, text, account_id=person.account_id, now_ms=now_ms)
    except CallqaError as e:
        return redirect(f"/reviews/{evaluation_id}", str(e), "danger")
    return redirect(f"/reviews/{evaluation_id}", "辅导记录已写，坐席在“我的质检”签阅")


@router.get("/actions", dependencies=[require("actions.view")])
def action_list(request: Request, db: DbDep, now_ms: NowDep, month: str = "") -> Response:
    """A month's corrective actions, and what came over from the months before."""
    period = Month.parse(month) if month else Month.of(now_ms)
    with db.read() as session:
        lines = queries.actions_of(session, period)
        agents = active_agent_names(session)
        row = rubric_in_force(session, now_ms)
    rubric = state_of(request).rubrics.find(db, row.rubric_hash) if row is not None else None
    return page(
        request,
        "coaching/actions.html",
        titles={item.item_id: item.title for item in rubric.items} if rubric is not None else {},
        month=period,
        lines=lines,
        carried=[line for line in lines if line.action.month != str(period)],
        own=[line for line in lines if line.action.month == str(period)],
        agents=agents,
        today=from_ms(now_ms).date().isoformat(),
        step_labels=STEP_LABELS,
    )


@router.post("/actions", dependencies=[require("actions.edit")])
def action_open(
    person: PersonDep, db: DbDep, now_ms: NowDep,
    month: Annotated[str, Form()], text: _Text = "", due_on: Annotated[str, Form(max_length=20)] = "",
    agent_no: Annotated[str, Form(max_length=32)] = "", item_id: Annotated[str, Form(max_length=16)] = "",
    evaluation_id: Annotated[int | None, Form(le=MOST_ROW_ID)] = None, next: Annotated[str, Form(max_length=80)] = "",
) -> Response:  # fmt: skip
    """Open a corrective action."""
    period = Month.parse(month)
    back = own_path(next or f"/actions?month={period}", "/actions")
    try:
        open_action(
            db, month=period, text=text, due_on=due_on, account_id=person.account_id, now_ms=now_ms,
            agent_no=agent_no.strip(), item_id=item_id.strip(), evaluation_id=evaluation_id,
        )  # fmt: skip
    except CallqaError as e:
        return redirect(back, str(e), "danger")
    return redirect(back, "已列入整改")


@router.post("/actions/{action_id}", dependencies=[require("actions.edit")])
def action_follow(
    action_id: int, person: PersonDep, db: DbDep, now_ms: NowDep,
    step: Annotated[str, Form()], month: Annotated[str, Form()], text: _Text = "",
) -> Response:  # fmt: skip
    """Write down how an action goes on, or close it."""
    back = f"/actions?month={Month.parse(month)}"
    try:
        chosen = Step(step) if step in set(Step) else Step.NOTE
        follow_up(db, action_id, chosen, text, account_id=person.account_id, now_ms=now_ms)
    except CallqaError as e:
        return redirect(back, str(e), "danger")
    return redirect(back, f"已记下：{STEP_LABELS[chosen]}")


@router.get("/cases", dependencies=[require("cases.view")])
def case_list(request: Request, db: DbDep, kind: str = "") -> Response:
    """The library: excerpts without names and numbers, for training."""
    kind = kind if kind in case_study.KINDS else ""
    with db.read() as session:
        rows = queries.cases(session, kind)
    return page(request, "coaching/cases.html", rows=rows, kind=kind, kinds=case_study.KINDS)


@router.get("/cases.csv", dependencies=[require("cases.export")])
def case_export(db: DbDep, person: PersonDep, now_ms: NowDep, kind: str = "") -> Response:
    """The library as CSV; written to the audit chain."""
    kind = kind if kind in case_study.KINDS else ""
    with db.read() as session:
        rows = queries.cases(session, kind)
    detail = {"rows": len(rows)}
    note_access(db, actor=person.username, action="case.export", subject=kind or "all", detail=detail, now_ms=now_ms)
    return csv_answer(
        "案例库.csv",
        ("类别", "标题", "评分项", "要点", "节选", "列入时间"),
        (
            (
                case_study.KINDS[row.kind],
                row.title,
                row.item_id,
                row.lesson,
                "\n".join(f"{SPEAKER_LABELS[Speaker(line['speaker'])]}：{line['text']}" for line in row.excerpt),
                say_instant(row.added_at_ms),
            )
            for row in rows
        ),
    )


@router.get("/cases/call/{call_id}", dependencies=[require("cases.edit")])
def case_form(
    request: Request, call_id: str, db: DbDep, at_ms: int = 0, item: str = "", whole: bool = False
) -> Response:
    """A case in the making: the words around a moment, proposed without names and numbers."""
    with db.read() as session:
        end_ms = A_DAY_MS if whole else at_ms + AROUND_MS
        text = case_study.propose(session, call_id, start_ms=at_ms - AROUND_MS, end_ms=end_ms)
    typed = {"excerpt": text, "item_id": item[:16], "kind": "exemplary"}
    return page(request, "coaching/case_form.html", call_id=call_id, typed=typed, problem="", kinds=case_study.KINDS)


@router.post("/cases/call/{call_id}", dependencies=[require("cases.edit")])
def case_add(
    request: Request, call_id: str, person: PersonDep, db: DbDep, now_ms: NowDep,
    kind: Annotated[str, Form()] = "", title: _Text = "", lesson: _Text = "", excerpt: _Text = "",
    item_id: Annotated[str, Form(max_length=16)] = "",
) -> Response:  # fmt: skip
    """Keep the case; what cannot be kept comes back as typed."""
    typed = {"kind": kind, "title": title, "lesson": lesson, "excerpt": excerpt, "item_id": item_id}
    try:
        case_study.add_case(db, call_id, **typed, account_id=person.account_id, now_ms=now_ms)
    except CallqaError as e:
        context = {"call_id": call_id, "typed": typed, "problem": str(e), "kinds": case_study.KINDS}
        return page(request, "coaching/case_form.html", status_code=422, **context)
    return redirect("/cases", "已列入案例库")


@router.post("/cases/{case_id}/remove", dependencies=[require("cases.edit")])
def case_remove(case_id: int, person: PersonDep, db: DbDep, now_ms: NowDep) -> Response:
    """Take a case out of the library."""
    case_study.remove_case(db, case_id, account_id=person.account_id, now_ms=now_ms)
    return redirect("/cases", "已从案例库移出")
