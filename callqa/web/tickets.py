"""工单: list with its filters and export, one ticket with its calls, import with a result page that names every refused row."""

from typing import Annotated

from fastapi import APIRouter, Depends, File, Query, Request, UploadFile
from fastapi.responses import Response

from callqa.errors import ConflictError, ImportFileError, PermissionDenied
from callqa.periods import Month
from callqa.store.db import Database
from callqa.store.queries.people import account_names, agent_names
from callqa.store.queries.tickets import (
    SORTS,
    TicketFilter,
    concerns_agent,
    count_tickets,
    find_import,
    find_ticket_page,
    list_tickets,
    recent_imports,
)
from callqa.usecases.export_tickets import Masking, TableKind, export_tickets
from callqa.usecases.import_tickets import import_tickets
from callqa.web import format as fmt
from callqa.web.deps import DbDep, NowDep, PageNotFound, Person, PersonDep, page, redirect, require
from callqa.web.listing import PER_PAGE, ListView, read_period, view_of
from callqa.web.navigation import NavItem
from callqa.web.tables import attachment
from callqa.web.uploads import read_upload

router = APIRouter()
NAV = (NavItem("工单", "/tickets", "tickets.view", "ticket"),)

FILTER_NAMES = ("month", "text", "category", "matter", "linked")
MAX_EXPORTED = 20_000
_TYPES = {
    TableKind.CSV: "text/csv; charset=utf-8",
    TableKind.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def read_filter(
    person: PersonDep,
    now_ms: NowDep,
    month: str = "",
    text: Annotated[str, Query(max_length=64)] = "",
    category: str = "",
    matter: str = "",
    linked: str = "",
) -> TicketFilter:
    """The filter in the address, narrowed to what the person may see. Unknown codes count as not given."""
    start_ms, end_ms = read_period(month, "", now_ms)
    return TicketFilter(
        start_ms=start_ms,
        end_ms=end_ms,
        text=text.strip(),
        category=category if category in fmt.CATEGORY_LABELS else "",
        matter=matter if matter in fmt.MATTER_LABELS else "",
        linked=linked if linked in ("yes", "no") else "",
        own_agent_no=person.own_agent_no,
        numbers=person.can("calls.number"),
    )


FilterDep = Annotated[TicketFilter, Depends(read_filter)]


def _view(request: Request, db: Database, wanted: TicketFilter) -> ListView:
    with db.read() as session:
        total = count_tickets(session, wanted)
    return view_of(request.query_params, "/tickets", FILTER_NAMES, SORTS, "-accepted", total)


@router.get("/tickets", dependencies=[require("tickets.view")])
def ticket_list(request: Request, db: DbDep, wanted: FilterDep, now_ms: NowDep) -> Response:
    """One page of the list."""
    view = _view(request, db, wanted)
    with db.read() as session:
        lines = list_tickets(
            session,
            wanted,
            sort=view.sort,
            descending=view.descending,
            offset=(view.page - 1) * PER_PAGE,
            limit=PER_PAGE,
        )
    return page(request, "tickets/list.html", view=view, lines=lines, this_month=str(Month.of(now_ms)))


@router.get("/tickets.csv", dependencies=[require("tickets.export")])
def export_csv(request: Request, person: PersonDep, db: DbDep, wanted: FilterDep, now_ms: NowDep) -> Response:
    """What the list shows, all pages, as CSV that can be imported again; written to the audit chain."""
    return _export(_view(request, db, wanted), person, db, wanted, now_ms, TableKind.CSV)


@router.get("/tickets.xlsx", dependencies=[require("tickets.export")])
def export_xlsx(request: Request, person: PersonDep, db: DbDep, wanted: FilterDep, now_ms: NowDep) -> Response:
    """The same as a workbook."""
    return _export(_view(request, db, wanted), person, db, wanted, now_ms, TableKind.XLSX)


def _export(
    view: ListView, person: Person, db: Database, wanted: TicketFilter, now_ms: int, kind: TableKind
) -> Response:
    whole = person.can("calls.number")
    made = export_tickets(
        db,
        wanted,
        kind=kind,
        limit=MAX_EXPORTED,
        actor=person.username,
        now_ms=now_ms,
        asked=view.query(),
        sort=view.sort,
        descending=view.descending,
        masking=None if whole else Masking(fmt.mask_number, fmt.mask_numbers_in),
    )
    cut = f"（共{made.n_found}张，只含前{made.n_rows}张）" if made.n_rows < made.n_found else ""
    headers = attachment(f"工单{'' if whole else '-号码已脱敏'}{cut}.{kind}")
    return Response(made.data, media_type=_TYPES[kind], headers=headers | {"Cache-Control": "private, no-store"})


@router.get("/tickets/import", dependencies=[require("tickets.import")])
def import_form(request: Request, db: DbDep) -> Response:
    """The upload form and the last imports."""
    with db.read() as session:
        imports = recent_imports(session)
    return page(request, "tickets/import.html", imports=imports, error="")


@router.post("/tickets/import", dependencies=[require("tickets.import")])
def import_file(
    request: Request, person: PersonDep, db: DbDep, now_ms: NowDep, file: Annotated[UploadFile, File()]
) -> Response:
    """Take a file in; wrong rows are listed on the result page, the others are stored."""
    try:
        name, data = read_upload(file)
        result = import_tickets(db, file_name=name, data=data, actor=person.username, now_ms=now_ms)
    except (ImportFileError, ConflictError) as e:
        with db.read() as session:
            imports = recent_imports(session)
        return page(request, "tickets/import.html", status_code=400, imports=imports, error=str(e))
    if result.already_imported:
        return redirect(f"/tickets/imports/{result.import_id}", "这个文件以前导入过，没有新的内容", "info")
    kind = "warning" if result.errors else "success"
    return redirect(
        f"/tickets/imports/{result.import_id}",
        f"新增 {result.rows_new} 张，更新 {result.rows_changed} 张，不变 {result.rows_same} 张"
        + (f"；{len({e.row for e in result.errors})} 行有误，未导入" if result.errors else ""),
        kind,
    )


@router.get("/tickets/imports/{import_id}", dependencies=[require("tickets.import")])
def import_result(request: Request, db: DbDep, import_id: int) -> Response:
    """What one import did, row by row where it was refused."""
    with db.read() as session:
        found = find_import(session, import_id)
        names = account_names(session)
    if found is None:
        raise PageNotFound("没有这次导入。")
    return page(request, "tickets/imported.html", found=found, names=names)


@router.get("/tickets/{ticket_no}", dependencies=[require("tickets.view")])
def ticket_page(request: Request, person: PersonDep, db: DbDep, ticket_no: str) -> Response:
    """One ticket, its process times, and its calls."""
    with db.read() as session:
        found = find_ticket_page(session, ticket_no)
        own = person.own_agent_no
        hidden = own is not None and not concerns_agent(session, ticket_no, own)
        names = agent_names(session)
    if found is None:
        raise PageNotFound(f"没有工单 {ticket_no}；请核对编号，或先导入该工单。")
    if hidden:
        raise PermissionDenied("这张工单与您的通话无关；坐席只能查看自己受理或关联到自己通话的工单")
    calls = [c for c in found.calls if own is None or c.call.agent_no == own]
    return page(request, "tickets/ticket.html", found=found, ticket=found.ticket, calls=calls, agents=names)
