"""核对话单: upload a PBX's call list; see which answered calls have neither a recording nor a stated reason."""

from datetime import date
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import Response

from callqa.errors import CallqaError
from callqa.store.queries.confidential import hidden_from
from callqa.usecases import reconcile as verbs
from callqa.web import format as fmt
from callqa.web.deps import DbDep, NowDep, PersonDep, page, require
from callqa.web.navigation import NavItem
from callqa.web.uploads import read_upload

router = APIRouter()
NAV: tuple[NavItem, ...] = ()  # reached from 通话 and 系统

MOST_SHOWN = 500
_TYPES = {"csv": "text/csv; charset=utf-8", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
_NUMBER_COLUMNS = (5, 6)  # 主叫, 被叫 of HEAD


@router.get("/reconcile", dependencies=[require("calls.reconcile")])
def form(request: Request, db: DbDep) -> Response:
    """The upload form."""
    return page(request, "reconcile/form.html", mapping=verbs.load_cdr_mapping(db), error="")


@router.post("/reconcile", dependencies=[require("calls.reconcile")])
def compare(
    request: Request,
    person: PersonDep,
    db: DbDep,
    now_ms: NowDep,
    file: Annotated[UploadFile, File()],
    first: Annotated[str, Form(max_length=10)] = "",
    last: Annotated[str, Form(max_length=10)] = "",
    tolerance_s: Annotated[int, Form(ge=1, le=3600)] = 60,
    columns: Annotated[str, Form(max_length=1000)] = "",
    answer: Annotated[str, Form()] = "page",
) -> Response:
    """Compare and show the result, or give it as a file."""
    try:
        name, data = read_upload(file)
        check = verbs.check_cdr(
            db,
            file_name=name,
            data=data,
            actor=person.username,
            now_ms=now_ms,
            first=_day(first),
            last=_day(last),
            tolerance_ms=tolerance_s * 1000,
            mapping=_mapping(columns),
        )
    except CallqaError as e:
        mapping = verbs.load_cdr_mapping(db)
        return page(request, "reconcile/form.html", status_code=400, mapping=mapping, error=str(e))
    with db.read() as session:
        hidden = hidden_from(session, person.account_id)
    if answer in _TYPES and person.can("calls.number"):
        content = verbs.cdr_xlsx(check, hidden) if answer == "xlsx" else verbs.cdr_csv(check, hidden)
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(f'话单核对.{answer}')}"}
        return Response(content, media_type=_TYPES[answer], headers=headers | {"Cache-Control": "private, no-store"})
    tables = []
    for verdict in verbs.TO_LOOK_AT:
        found = verbs.table_of(check, only=(verdict,), hidden=hidden)
        if found:
            tables.append((verbs.VERDICT_LABELS[verdict], str(verdict), len(found), found[:MOST_SHOWN]))
    if not person.can("calls.number"):
        tables = [(*t[:3], [_masked(cells) for cells in t[3]]) for t in tables]
    counts = [(verbs.VERDICT_LABELS[v], check.result.count(v)) for v in verbs.Verdict]
    return page(
        request,
        "reconcile/result.html",
        file_name=name,
        check=check,
        summary=verbs.say_summary(check),
        counts=[(text, n) for text, n in counts if n],
        tables=tables,
        head=verbs.HEAD,
    )


def _masked(cells: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(fmt.mask_number(cell) if i in _NUMBER_COLUMNS and cell else cell for i, cell in enumerate(cells))


def _day(text: str) -> date | None:
    if not text.strip():
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError as e:
        raise CallqaError(f"看不懂日期“{text}”；请写成 2026-11-06") from e


def _mapping(text: str) -> dict[str, str]:
    """One `列名=我方列名` a line, or by commas."""
    found = {}
    for part in text.replace("，", "\n").replace(",", "\n").splitlines():
        if part.strip():
            header, equals, column = part.partition("=")
            if not equals:
                raise CallqaError(f"列对应“{part.strip()}”看不懂；应如 呼叫起始=开始时间")
            found[header.strip()] = column.strip()
    return found
