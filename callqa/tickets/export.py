"""Tickets -> CSV (UTF-8 with mark, so Excel opens it) and XLSX, with the same columns the importer reads.

A text that a spreadsheet would run (=, +, -, @, tab, return at its head) gets an apostrophe in front in CSV, as OWASP
advises against formula injection; the importer takes exactly that apostrophe off again. In XLSX every cell is written
as text, which is never run. Round trip: read_tickets(export(rows)).rows == rows.

A table whose numbers are masked says so in a column of its own, by which the importer refuses it: what is masked must
not come back over what is whole.
"""

import csv
import io
import re
from collections.abc import Sequence

import openpyxl
from openpyxl.cell import WriteOnlyCell

from callqa.periods import from_ms
from callqa.tickets.importers.columns import MASKED_TITLE, TICKET_COLUMNS
from callqa.tickets.importers.tickets import TicketInput
from callqa.tickets.importers.values import CATEGORIES, MATTER_CATEGORIES

_LABELS = {
    "category": {code: label for label, code in CATEGORIES.items()},
    "matter_category": {code: label for label, code in MATTER_CATEGORIES.items()},
}
_RUNS = re.compile(r"'*[=+\-@\t\r]")
_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def guard_formula(text: str) -> str:
    """The text with an apostrophe in front when a spreadsheet would run it."""
    return "'" + text if _RUNS.match(text) else text


def table_csv(rows: Sequence[Sequence[str]]) -> bytes:
    """CSV bytes of a table, its header first: comma separated, CRLF, UTF-8 with mark."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    for row in rows:
        writer.writerow([guard_formula(text) for text in row])
    return out.getvalue().encode("utf-8-sig")


def table_xlsx(title: str, rows: Sequence[Sequence[str]]) -> bytes:
    """An XLSX workbook with one sheet, all cells text, the header line fixed."""
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "B2"
    for row in rows:
        cells = []
        for text in row:
            cell = WriteOnlyCell(sheet, value=_NOT_IN_XML.sub("", text))
            cell.data_type = "s"  # a text that begins with = stays a text
            cell.number_format = "@"
            cells.append(cell)
        sheet.append(cells)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def tickets_csv(tickets: Sequence[TicketInput], *, masked: bool = False) -> bytes:
    """Tickets as CSV. masked: their numbers are, and the table says so."""
    return table_csv(_table(tickets, masked))


def tickets_xlsx(tickets: Sequence[TicketInput], *, masked: bool = False) -> bytes:
    """Tickets as a workbook with one sheet 工单. masked: as for CSV."""
    return table_xlsx("工单", _table(tickets, masked))


def _table(tickets: Sequence[TicketInput], masked: bool) -> list[list[str]]:
    unknown = sorted({name for t in tickets for name, _ in t.extra})
    header = [c.title for c in TICKET_COLUMNS] + unknown
    mark = ([MASKED_TITLE], ["是"]) if masked else ([], [])
    return [header + mark[0]] + [_row(t, unknown) + mark[1] for t in tickets]


def _row(ticket: TicketInput, unknown: Sequence[str]) -> list[str]:
    extra = dict(ticket.extra)
    return [_text(ticket, c.field) for c in TICKET_COLUMNS] + [extra.get(name, "") for name in unknown]


def _text(ticket: TicketInput, field: str) -> str:
    if field.endswith("_at"):
        instant_ms = getattr(ticket, field + "_ms")
        return "" if instant_ms is None else f"{from_ms(instant_ms):%Y-%m-%d %H:%M:%S}"
    value: object = getattr(ticket, field)
    if isinstance(value, bool):
        return "是" if value else "否"
    text = "" if value is None else str(value)
    return _LABELS.get(field, {}).get(text, text)
