"""通话: the list with its filters and export, the page of one call, its progress, and asking for work again."""

from collections.abc import Collection
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, Response

from callqa.errors import CallqaError
from callqa.periods import Month, say_duration, say_instant
from callqa.privacy import MAY_BE_PRIVATE
from callqa.searching import fold_text
from callqa.store.db import Database
from callqa.store.queries import people as people_queries
from callqa.store.queries.call_page import (
    CallPage,
    find_call_page,
    history_of,
    neighbours,
    siblings,
)
from callqa.store.queries.calls import (
    FEATURES,
    LINK_STATES,
    SORTS,
    TRANSCRIPT_STATES,
    CallFilter,
    CallLine,
    count_calls,
    list_calls,
)
from callqa.store.queries.confidential import find_confidential
from callqa.store.queries.deletions import find_deletion, hold_of
from callqa.store.queries.followups import entry_of_call
from callqa.store.queries.people import accounts_of
from callqa.store.queries.sampling import waits_to_be_scored
from callqa.units import DIRECTION_LABELS
from callqa.usecases.blind import asked_again
from callqa.usecases.confidential import READER_ROLES
from callqa.usecases.held_back import held_back
from callqa.usecases.note_access import note_access
from callqa.usecases.progress import Stage, StageState, StageView, progress_of_call, want_again
from callqa.web import format as fmt
from callqa.web.deps import (
    DbDep,
    NowDep,
    PageNotFound,
    Person,
    PersonDep,
    load_own_call,
    page,
    redirect,
    require,
    state_of,
)
from callqa.web.history import say_history
from callqa.web.listing import PER_PAGE, ListView, read_period, view_of
from callqa.web.navigation import NavItem
from callqa.web.private import private_pieces
from callqa.web.suggestion_view import view_suggestions
from callqa.web.tables import csv_answer

router = APIRouter()
NAV = (NavItem("通话", "/calls", "calls.view", "phone"),)

MAX_EXPORTED = 20_000  # a year of this hotline; more belongs into the report


def read_filter(
    person: PersonDep,
    now_ms: NowDep,
    month: str = "",
    date: str = "",
    direction: str = "",
    call_type: str = "",
    outcome: str = "",
    agent: str = "",
    link: str = "",
    transcript: str = "",
    recording: str = "",
    number: Annotated[str, Query(max_length=32)] = "",
    words: Annotated[str, Query(max_length=64)] = "",
    feature: str = "",
) -> CallFilter:
    """The filter in the address, narrowed to what the person may see. Unknown codes count as not given."""
    start_ms, end_ms = read_period(month, date, now_ms)
    if not person.can("calls.private") and not MAY_BE_PRIVATE.isdisjoint(fold_text(words)):
        raise CallqaError("带数字的词不能在这里筛选：它可能是别人的号码；请到“检索”页查找")
    return CallFilter(
        start_ms=start_ms,
        end_ms=end_ms,
        direction=direction if direction in DIRECTION_LABELS else "",
        call_type=call_type if call_type in fmt.LABELS["call_type"] else "",
        outcome=outcome if outcome in fmt.OUTCOME_LABELS else "",
        agent_no=agent,
        link=link if link in LINK_STATES else "",
        transcript=transcript if transcript in TRANSCRIPT_STATES else "",
        recording=recording if recording in fmt.RECORDING_LABELS else "",
        number=number.strip() if person.can("calls.number") else "",
        words=words.strip() if person.can("calls.transcript") else "",
        feature=feature if feature in FEATURES else "",
        own_agent_no=person.own_agent_no,
    )


FilterDep = Annotated[CallFilter, Depends(read_filter)]

FILTER_NAMES = (
    "month", "date", "direction", "call_type", "outcome", "agent", "link", "transcript", "recording", "number", "words",
    "feature",
)  # fmt: skip


def _view(request: Request, db: Database, wanted: CallFilter) -> ListView:
    with db.read() as session:
        total = count_calls(session, wanted)
    return view_of(request.query_params, "/calls", FILTER_NAMES, SORTS, "-time", total)


@router.get("/calls", dependencies=[require("calls.view")])
def call_list(request: Request, person: PersonDep, db: DbDep, wanted: FilterDep, now_ms: NowDep) -> Response:
    """One page of the list."""
    view = _view(request, db, wanted)
    with db.read() as session:
        lines = list_calls(
            session,
            wanted,
            sort=view.sort,
            descending=view.descending,
            offset=(view.page - 1) * PER_PAGE,
            limit=PER_PAGE,
        )
        names = people_queries.agent_names(session)
    again = _asked_again(db, person, now_ms)
    this_month = str(Month.of(now_ms))
    return page(request, "calls/list.html", view=view, lines=lines, agents=names, this_month=this_month, again=again)


@router.get("/calls.csv", dependencies=[require("calls.export")])
def call_export(request: Request, person: PersonDep, db: DbDep, wanted: FilterDep, now_ms: NowDep) -> Response:
    """What the list shows, all pages, as CSV; written to the audit chain."""
    view = _view(request, db, wanted)
    with db.read() as session:
        lines = list_calls(session, wanted, sort=view.sort, descending=view.descending, offset=0, limit=MAX_EXPORTED)
    again = _asked_again(db, person, now_ms)
    note_access(
        db,
        actor=person.username,
        action="call.export",
        subject=view.query(),
        detail={"rows": len(lines)},
        now_ms=now_ms,
    )
    head = ("通话编号", "开始时间", "方向", "类型", "结果", "号码", "坐席", "归属方式", "振铃", "时长", "工单", "关联", "录音", "转写", "质检得分", "方式", "排队", "转自", "转接至", "标记")  # fmt: skip
    return csv_answer("通话.csv", head, (_csv_row(line, person, again) for line in lines))


def _asked_again(db: Database, person: Person, now_ms: int) -> frozenset[str]:
    """Calls whose first score who scores may not see before the blind re-score."""
    if not person.can("evaluate.score"):
        return frozenset()
    with db.read() as session:
        return asked_again(session, now_ms)


def _csv_row(line: CallLine, person: Person, again: Collection[str]) -> tuple[object, ...]:
    call = line.call
    return (
        call.call_id,
        say_instant(call.started_at_ms),
        fmt.label(call.direction, "direction"),
        fmt.call_type_label(call.call_type),
        fmt.label(call.outcome, "outcome"),
        _shown_number("" if call.withheld else call.citizen_number, person)
        or ("" if call.deleted_at_ms else "号码不显示"),
        fmt.agent_label(call.agent_no, line.agent_name),
        fmt.label(call.attribution_source, "attribution"),
        say_duration(call.ring_ms),
        say_duration(call.duration_ms),
        line.ticket_no or "",
        fmt.label(line.link_state, "link") if call.outcome == "answered" else "",
        "已删除" if call.deleted_at_ms else fmt.label(call.recording_status, "recording"),
        fmt.label(line.transcript_state, "progress"),
        "" if line.final_score is None or call.call_id in again else fmt.points(line.final_score),
        fmt.label(call.mode, "call_mode"),
        say_duration(call.queued_ms) if call.queued_ms is not None else "",
        _shown_number(call.diverted_from, person),
        "、".join(t.get("seat_extension") or _shown_number(t["to"], person) for t in call.transfers),
        "、".join(m["code"] or "*13" for m in call.marks),
    )


def _shown_number(number: str, person: Person) -> str:
    if not number:
        return ""
    return number if person.can("calls.number") else fmt.mask_number(number)


@router.get("/calls/{call_id}", dependencies=[require("calls.view")])
def call_page(request: Request, call_id: str, person: PersonDep, db: DbDep, now_ms: NowDep) -> Response:
    """Everything of one call: player, transcript, ticket, suggestions, figures, history."""
    found = load_page(db, person, call_id)
    fatal_days = state_of(request).settings.retention.fatal_case_days
    if found.call.deleted_at_ms is not None:
        return _deleted_page(request, found, person, db)
    with db.read() as session:
        before, after = neighbours(session, found.call, person.own_agent_no)
        waits = waits_to_be_scored(session, call_id)
        history = history_of(session, call_id) if person.can("calls.view_all") else ()
        account_names = people_queries.account_names(session)
        others = siblings(session, found.call) if person.can("calls.view_all") else ()
        missed = found.call.direction == "inbound" and found.call.outcome in ("unanswered", "abandoned")
        confidential = find_confidential(session, call_id)
        marks = person.can("confidential.mark")
        readers = accounts_of(session, READER_ROLES) if marks else ()
        followup = entry_of_call(session, call_id) if missed and person.can("followups.view") else None
        hold = hold_of(session, call_id) if person.can("calls.hold") else None
        kept = held_back(session, found.call, now_ms, fatal_days) if person.can("calls.delete") else ()
    stages = progress_of_call(db, call_id)
    rubric = state_of(request).rubrics.find(db, found.run.rubric_hash if found.run else None)
    again = call_id in _asked_again(db, person, now_ms)
    shown = person.can("calls.suggestions") and not waits and not again
    pieces = private_pieces(found.utterances)
    suggestions = view_suggestions(found.suggestions, rubric, pieces=pieces) if shown else ()
    return page(
        request,
        "calls/call.html",
        found=found,
        call=found.call,
        before=before,
        after=after,
        siblings=others,
        followup=followup,
        confidential=confidential,
        hold=hold,
        kept=kept,
        readers=[r for r in readers if r.id != person.account_id],
        stages=stages,
        busy=is_busy(stages),
        transcribing=next((stage for stage in stages if stage.stage is Stage.TRANSCRIBE), None),
        suggestions=suggestions,
        waits=waits,
        asked_again=again,
        history=[say_history(entry, account_names) for entry in history],
        names=account_names,
        play_from_ms=request.query_params.get("t", ""),
    )


def _deleted_page(request: Request, found: CallPage, person: Person, db: Database) -> Response:
    """What stays of a call whose content was deleted."""
    call_id = found.call.call_id
    with db.read() as session:
        before, after = neighbours(session, found.call, person.own_agent_no)
        history = history_of(session, call_id) if person.can("calls.view_all") else ()
        names = people_queries.account_names(session)
        deletion = find_deletion(session, call_id)
    return page(
        request,
        "deletions/call.html",
        found=found,
        call=found.call,
        deletion=deletion,
        before=before,
        after=after,
        history=[say_history(entry, names) for entry in history],
        names=names,
    )


def load_page(db: Database, person: Person, call_id: str) -> CallPage:
    """The call with what hangs on it. Raise PageNotFound or PermissionDenied."""
    with db.read() as session:
        found = find_call_page(session, call_id)
    if found is None:
        raise PageNotFound("没有这通电话；它可能还没有入库，请稍后刷新“通话”列表。")
    person.must_own(found.call.agent_no)
    return found


def is_busy(stages: tuple[StageView, ...]) -> bool:
    """Whether something is still being done to the call without a person."""
    stuck = any(stage.state in (StageState.WAITING, StageState.FAILED) for stage in stages)
    running = any(stage.state is StageState.RUNNING for stage in stages)
    wanted = any(stage.state is StageState.WANTED for stage in stages)
    return running or (wanted and not stuck)  # what is wanted behind a stuck stage waits for a person too


@router.get("/calls/{call_id}/progress", dependencies=[require("calls.view")])
def call_progress(request: Request, call_id: str, person: PersonDep, db: DbDep) -> Response:
    """The progress piece, asked for again every few seconds until nothing is left to do; then the page reloads."""
    call = load_own_call(db, person, call_id)
    stages = progress_of_call(db, call_id)
    answer: HTMLResponse = page(request, "calls/progress.html", call=call, stages=stages, busy=is_busy(stages))
    if not is_busy(stages):
        answer.headers["X-Reload"] = "1"
    return answer


@router.post("/calls/{call_id}/retry", dependencies=[require("calls.retry")])
def call_retry(
    call_id: str, person: PersonDep, db: DbDep, now_ms: NowDep, stage: Annotated[str, Form()] = Stage.TRANSCRIBE
) -> Response:
    """Ask for a stage once more."""
    if stage not in set(Stage):
        raise PageNotFound("没有这个处理步骤。")
    asked = want_again(db, [call_id], Stage(stage), actor=person.username, now_ms=now_ms)
    if not asked:
        return redirect(f"/calls/{call_id}", "这一步正在进行或还没有开始，不必重做", "info")
    return redirect(f"/calls/{call_id}", "已列入处理队列")
