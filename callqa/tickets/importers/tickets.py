"""A ticket platform's export -> TicketInput rows and one error per bad cell; good rows are always kept.

The file is refused as a whole (ImportFileError) only when it is unreadable or its columns are not a ticket table's.
A row with a bad cell is not taken at all: half a ticket would look like a whole one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from callqa.errors import ImportFileError, ImportRowError
from callqa.periods import say_instant
from callqa.tickets.importers import values as v
from callqa.tickets.importers.columns import MASKED_TITLE, TICKET_COLUMNS, Layout, clean_header, find_layout
from callqa.tickets.importers.sheet import Cell, CellKind, SheetRow, read_sheet

TITLES: Mapping[str, str] = {c.field: c.title for c in TICKET_COLUMNS}
_MAX_TEXT = {"title": 300, "citizen_name": 60, "district": 60, "location": 500, "handling_unit": 120}


class TicketInput(BaseModel):
    """One checked ticket of a file. Times are UTC milliseconds, numbers canonical digits, enums glossary codes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    ticket_no: str = Field(min_length=1)
    title: str = ""
    category: str | None = None
    matter_category: str | None = None
    caller_number: str = ""
    contact_phone: str = ""
    citizen_name: str = ""
    district: str = ""
    location: str = ""
    content: str = ""
    occurred_at_ms: int | None = None
    accepted_at_ms: int
    accepted_by_agent_no: str = ""
    handling_unit: str = ""
    dispatched_at_ms: int | None = None
    due_at_ms: int | None = None
    result_received_at_ms: int | None = None
    closed_at_ms: int | None = None
    result: str = ""
    callback_done_at_ms: int | None = None
    callback_attempts: int | None = None
    satisfaction: str = ""
    urgent_flag: bool = False
    reported_at_ms: int | None = None
    parent_ticket_no: str | None = None
    rework_requested_at_ms: int | None = None
    verify_note: str = ""
    extra: tuple[tuple[str, str], ...] = ()  # (header, text) of columns we do not know

    @model_validator(mode="after")
    def _times_in_order(self) -> "TicketInput":
        for field in ("dispatched_at_ms", "closed_at_ms", "callback_done_at_ms", "due_at_ms"):
            value = getattr(self, field)
            if value is not None and value < self.accepted_at_ms - _CLOCK_SLACK_MS:
                title = TITLES[field.removesuffix("_ms")]
                raise ValueError(
                    f"{title} {say_instant(value)} 早于受理时间 {say_instant(self.accepted_at_ms)}；请核对两个时间"
                )
        if self.parent_ticket_no == self.ticket_no:
            raise ValueError("原工单编号与工单编号相同；应为先前那张工单的编号，没有请留空")
        return self


_CLOCK_SLACK_MS = 60_000  # platforms stamp steps on different machines


@dataclass(frozen=True, slots=True)
class TicketFile:
    """What a file held. columns: the fields it has at all, so that an absent column never erases what is stored."""

    rows: tuple[TicketInput, ...]
    errors: tuple[ImportRowError, ...]
    columns: frozenset[str]
    kind: str = ""


_PARSERS: Mapping[str, Callable[[Cell], Any]] = {
    "ticket_no": v.parse_ticket_no,
    "category": lambda c: v.parse_enum(c, v.CATEGORIES, "诉求性质"),
    "matter_category": lambda c: v.parse_enum(c, v.MATTER_CATEGORIES, "事项类别"),
    "caller_number": v.parse_number,
    "contact_phone": v.parse_number,
    "occurred_at": v.parse_instant,
    "accepted_at": v.parse_instant,
    "accepted_by_agent_no": v.parse_agent_no,
    "dispatched_at": v.parse_instant,
    "due_at": v.parse_deadline,
    "result_received_at": v.parse_instant,
    "closed_at": v.parse_instant,
    "callback_done_at": v.parse_instant,
    "callback_attempts": v.parse_count,
    "satisfaction": v.parse_satisfaction,
    "urgent_flag": v.parse_flag,
    "reported_at": v.parse_instant,
    "parent_ticket_no": lambda c: v.parse_ticket_no(c) or None,
    "rework_requested_at": v.parse_instant,
}


def read_tickets(file_name: str, data: bytes) -> TicketFile:
    """Read a ticket file. Raise ImportFileError when it is no ticket table or one of our own with masked
    numbers; row errors are returned, in row order."""
    sheet = read_sheet(file_name, data)
    layout = find_layout(sheet, TICKET_COLUMNS, "工单")
    if any(clean_header(text) == clean_header(MASKED_TITLE) for _, text in layout.unknown):
        raise ImportFileError(f"{file_name} 是号码已脱敏的导出，导入会盖掉完整号码；请由班长导出带完整号码的文件再导入")
    rows: list[TicketInput] = []
    errors: list[ImportRowError] = []
    first_seen: dict[str, tuple[int, TicketInput]] = {}
    for sheet_row in sheet.rows:
        if sheet_row.row <= layout.header_row:
            continue
        ticket, row_errors = _read_row(sheet_row, layout)
        errors.extend(row_errors)
        if ticket is None:
            continue
        if ticket.ticket_no in first_seen:
            errors.append(_duplicate(sheet_row.row, ticket, *first_seen[ticket.ticket_no]))
            continue
        first_seen[ticket.ticket_no] = (sheet_row.row, ticket)
        rows.append(ticket)
    return TicketFile(tuple(rows), tuple(errors), _stored_fields(layout), sheet.kind)


def _stored_fields(layout: Layout) -> frozenset[str]:
    names = {f + "_ms" if f.endswith("_at") else f for f in layout.present}
    return frozenset(names | ({"extra"} if layout.unknown else set()))


def read_cells(
    row: SheetRow, layout: Layout, parsers: Mapping[str, Callable[[Cell], Any]], titles: Mapping[str, str]
) -> tuple[dict[str, Any], list[ImportRowError]]:
    """Every known cell of one row through its parser (plain text without one), and an error per refused cell."""
    found: dict[str, Any] = {}
    errors: list[ImportRowError] = []
    if len(row.cells) > layout.width and any(c.text.strip() for c in row.cells[layout.width :]):
        message = f"有 {len(row.cells)} 格，表头只有 {layout.width} 格；多半是内容里的逗号没有加引号，请加上引号或导出为 Excel"
        return {}, [ImportRowError(row.row, "", message)]
    for field, index in layout.fields:
        cell = row.cells[index] if index < len(row.cells) else Cell("")
        try:
            found[field] = parsers.get(field, v.plain)(cell)
        except v.CellRefused as e:
            errors.append(ImportRowError(row.row, titles[field], str(e)))
            if cell.kind is CellKind.UNCLOSED:
                break
    return found, errors


def _read_row(row: SheetRow, layout: Layout) -> tuple[TicketInput | None, list[ImportRowError]]:
    row, more_numbers = _one_number_a_cell(row, layout)
    found, errors = read_cells(row, layout, _PARSERS, TITLES)
    if not errors:
        for field in ("ticket_no", "accepted_at"):
            if found[field] in ("", None):
                errors.append(ImportRowError(row.row, TITLES[field], "是空的；每张工单必须有"))
        for field, limit in _MAX_TEXT.items():
            if len(found.get(field, "")) > limit:
                message = f"有 {len(found[field])} 个字，最多 {limit}；可能与别的列错位"
                errors.append(ImportRowError(row.row, TITLES[field], message))
    if errors:
        return None, errors
    extra = [(name, row.cells[i].text.strip()) for i, name in layout.unknown if i < len(row.cells)]
    facts = {f + "_ms" if f.endswith("_at") else f: value for f, value in found.items()}
    try:
        return TicketInput(**facts, extra=(*(p for p in extra if p[1]), *more_numbers)), []
    except ValidationError as e:
        return None, [_explain(row.row, problem) for problem in e.errors()]


def _one_number_a_cell(row: SheetRow, layout: Layout) -> tuple[SheetRow, tuple[tuple[str, str], ...]]:
    """Keep the first of several phone numbers in a cell; the others go to `extra` under `联系电话（其余）`."""
    cells, rest = list(row.cells), []
    for field, index in layout.fields:
        if field in ("caller_number", "contact_phone") and index < len(cells):
            cells[index], others = v.split_numbers(cells[index])
            if others:
                rest.append((f"{TITLES[field]}（其余）", others))
    return SheetRow(row.row, tuple(cells)), tuple(rest)


def _explain(row: int, problem: Any) -> ImportRowError:
    """A pydantic problem as ours: our own sentence where we raised one, else column, expectation and value."""
    message = str(problem["msg"])
    if problem["type"] == "value_error":
        return ImportRowError(row, "", message.removeprefix("Value error, "))
    field = str(problem["loc"][0]) if problem["loc"] else ""
    return ImportRowError(row, TITLES.get(field.removesuffix("_ms"), field), f"不合要求：{message}")


def _duplicate(row: int, ticket: TicketInput, first_row: int, first: TicketInput) -> ImportRowError:
    differing = [
        TITLES.get(f.removesuffix("_ms"), "其他列")
        for f in TicketInput.model_fields
        if getattr(ticket, f) != getattr(first, f)
    ]
    how = f"但{'、'.join(differing)}不同" if differing else "内容也相同"
    return ImportRowError(
        row, TITLES["ticket_no"], f"“{ticket.ticket_no}”与第 {first_row} 行重复，{how}；只采用第 {first_row} 行"
    )
