"""未接来电回拨: the work list with its filters and export, one entry, and what people write down about it."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import Response

from callqa.errors import CallqaError
from callqa.periods import Month, say_duration, say_instant
from callqa.store.db import Database
from callqa.store.queries import people as people_queries
from callqa.store.queries.confidential import confidential_ids
from callqa.store.queries.followups import (
    SORTS,
    FollowupFilter,
    FollowupLine,
    acts_of,
    count_followups,
    count_open,
    find_followup,
    followup_figures,
    list_followups,
)
from callqa.units import Ratio
from callqa.usecases.followups import EventKind, allowed_acts, assign, write_down
from callqa.usecases.note_access import note_access
from callqa.web import format as fmt
from callqa.web.deps import DbDep, NowDep, PageNotFound, Person, PersonDep, page, redirect, require
from callqa.web.listing import PER_PAGE, ListView, read_period, view_of
from callqa.web.navigation import NavItem
from callqa.web.tables import csv_answer

router = APIRouter()
NAV = (NavItem("未接回拨", "/followups", "followups.view", "again", counter=count_open),)

MAX_EXPORTED = 20_000
FILTER_NAMES = ("month", "date", "state", "number", "assigned")


def read_filter(
    person: PersonDep,
    now_ms: NowDep,
    month: str = "",
    date: str = "",
    state: str = "wanted",
    number: Annotated[str, Query(max_length=32)] = "",
    assigned: Annotated[str, Query(max_length=32)] = "",
) -> FollowupFilter:
    """The filter in the address. What waits is shown whatever its month, unless one is asked for."""
    state = state if state in fmt.FOLLOWUP_STATE_LABELS else ""
    period = ("all" if state == "wanted" else "") if not month and not date else month
    start_ms, end_ms = read_period(period, date, now_ms)
    return FollowupFilter(
        start_ms=start_ms,
        end_ms=end_ms,
        state=state,
        number=number.strip() if person.can("calls.number") else "",
        assigned_to=assigned.strip(),
    )


FilterDep = Annotated[FollowupFilter, Depends(read_filter)]


def _view(request: Request, db: Database, wanted: FollowupFilter) -> ListView:
    with db.read() as session:
        total = count_followups(session, wanted)
    view = view_of(request.query_params, "/followups", FILTER_NAMES, SORTS, "-time", total)
    return replace(view, params={**view.params, "state": wanted.state or "all"})


@router.get("/followups", dependencies=[require("followups.view")])
def followup_list(request: Request, db: DbDep, wanted: FilterDep, now_ms: NowDep) -> Response:
    """One page of the list, and the month's figures."""
    view = _view(request, db, wanted)
    month = Month.parse(request.query_params["month"]) if _is_month(request) else Month.of(now_ms)
    with db.read() as session:
        lines = list_followups(
            session,
            wanted,
            sort=view.sort,
            descending=view.descending,
            offset=(view.page - 1) * PER_PAGE,
            limit=PER_PAGE,
        )
        figures = followup_figures(session, month.start_ms, month.end_ms)
        names = people_queries.agent_names(session)
    return page(
        request,
        "followups/list.html",
        view=view,
        lines=lines,
        agents=names,
        month=month,
        figures=figures,
        rate=Ratio(figures.done, figures.due),
    )


@router.get("/followups.csv", dependencies=[require("followups.export")])
def followup_export(request: Request, person: PersonDep, db: DbDep, wanted: FilterDep, now_ms: NowDep) -> Response:
    """What the list shows, all pages, as CSV; written to the audit chain."""
    view = _view(request, db, wanted)
    with db.read() as session:
        lines = list_followups(
            session, wanted, sort=view.sort, descending=view.descending, offset=0, limit=MAX_EXPORTED
        )
    detail = {"rows": len(lines)}
    note_access(db, actor=person.username, action="followup.export", subject=view.query(), detail=detail, now_ms=now_ms)
    head = ("号码", "首次未接", "最近未接", "未接次数", "原因", "状态", "回拨次数", "指派", "处理结果", "处理人", "处理时间", "用时", "说明")  # fmt: skip
    return csv_answer("未接来电回拨.csv", head, (_csv_row(line, person) for line in lines))


def _csv_row(line: FollowupLine, person: Person) -> tuple[object, ...]:
    e = line.entry
    number = e.number if person.can("calls.number") else fmt.mask_number(e.number)
    return (
        number if e.number else "号码不显示",
        say_instant(e.missed_at_ms),
        say_instant(e.last_missed_at_ms),
        e.n_missed,
        fmt.label(e.reason, "outcome_reason"),
        fmt.label(e.state, "followup_state"),
        e.n_attempts,
        fmt.agent_label(e.assigned_to, line.assigned_name) if e.assigned_to else "",
        fmt.label(e.closed_as, "followup_event") if e.closed_as else "",
        fmt.agent_label(line.closing_agent_no, line.closing_name) if line.closing_agent_no else line.closing_name or "",
        say_instant(e.done_at_ms) if e.done_at_ms else "",
        say_duration(e.done_at_ms - e.missed_at_ms) if e.done_at_ms else "",
        fmt.mask_numbers_in(e.note) if not person.can("calls.number") else e.note,
    )


@router.get("/followups/{followup_id}", dependencies=[require("followups.view")])
def followup_page(request: Request, followup_id: int, db: DbDep) -> Response:
    """One entry: what happened about it, and what may be written down."""
    with db.read() as session:
        line = find_followup(session, followup_id)
        acts = acts_of(session, line.entry) if line else ()
        secret = confidential_ids(session)
        names = people_queries.active_agent_names(session)
    if line is None:
        raise PageNotFound("没有这一条回拨；对应的来电可能后来查明已接通。")
    return page(
        request,
        "followups/entry.html",
        line=line,
        entry=line.entry,
        acts=acts,
        secret=secret,
        agents=names,
        choices=[str(kind) for kind in allowed_acts(line.entry.state)],
    )


@router.post("/followups/{followup_id}", dependencies=[require("followups.work")])
def followup_act(
    followup_id: int,
    person: PersonDep,
    db: DbDep,
    now_ms: NowDep,
    kind: Annotated[str, Form()],
    version: Annotated[int, Form()],
    note: Annotated[str, Form(max_length=400)] = "",
) -> Response:
    """Write down an attempt, or close, give up or reopen the entry."""
    here = f"/followups/{followup_id}"
    if kind not in set(EventKind):
        raise PageNotFound("没有这种处理方式。")
    try:
        entry = write_down(
            db, followup_id, EventKind(kind), note=note, version=version, actor=person.username, now_ms=now_ms
        )
    except CallqaError as e:
        return redirect(here, str(e), "danger")
    return redirect(
        here, f"已记下：{fmt.label(kind, 'followup_event')}；现为“{fmt.label(entry.state, 'followup_state')}”"
    )


@router.post("/followups/{followup_id}/assign", dependencies=[require("followups.assign")])
def followup_assign(
    followup_id: int,
    person: PersonDep,
    db: DbDep,
    now_ms: NowDep,
    version: Annotated[int, Form()],
    agent_no: Annotated[str, Form(max_length=32)] = "",
) -> Response:
    """Say who is to call back."""
    here = f"/followups/{followup_id}"
    try:
        assign(db, followup_id, agent_no.strip() or None, version=version, actor=person.username, now_ms=now_ms)
    except CallqaError as e:
        return redirect(here, str(e), "danger")
    return redirect(here, f"已指派给工号 {agent_no}" if agent_no else "已取消指派")


def _is_month(request: Request) -> bool:
    return request.query_params.get("month", "") not in ("", "all")
