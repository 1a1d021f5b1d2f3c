"""Tickets out and in again: nothing changes, and nothing a spreadsheet would run gets out."""

import csv
import io
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.tickets.export import guard_formula, tickets_csv, tickets_xlsx
from callqa.tickets.importers import TicketInput, read_tickets

DATA = Path(__file__).resolve().parent.parent / "data" / "import"


@pytest.mark.parametrize("write", [tickets_csv, tickets_xlsx])
@pytest.mark.parametrize("name", ["tickets_utf8.csv", "tickets_gb18030_semicolon.csv", "injected.csv", "tickets.xlsx"])
def test_what_is_exported_is_read_back_equal(write, name):
    rows = read_tickets(name, (DATA / name).read_bytes()).rows
    back = read_tickets("back", write(rows))
    assert not back.errors
    assert back.rows == rows


def test_a_formula_is_guarded_in_csv_and_a_text_in_xlsx():
    rows = read_tickets("injected.csv", (DATA / "injected.csv").read_bytes()).rows
    table = list(csv.reader(io.StringIO(tickets_csv(rows).decode("utf-8-sig"))))
    assert not [cell for row in table for cell in row if cell[:1] in "=+-@\t\r" and cell]
    sheet = openpyxl.load_workbook(io.BytesIO(tickets_xlsx(rows))).active
    assert not [c.coordinate for row in sheet.iter_rows() for c in row if c.data_type == "f"]


def test_only_what_would_run_is_guarded():
    assert [guard_formula(t) for t in ("普通", "=1", "'=1", "a=1", "")] == ["普通", "'=1", "''=1", "a=1", ""]


_TEXT = st.text(st.sampled_from("中a1=+-@'\", ;\n"), max_size=12).map(lambda t: t.strip().replace("\r", ""))


@settings(max_examples=60)
@given(st.lists(st.tuples(_TEXT, _TEXT), max_size=4))
def test_any_text_survives_csv_and_xlsx(texts):
    rows = tuple(
        TicketInput(ticket_no=f"WH-{i:03d}", accepted_at_ms=1_790_000_000_000, title=a, content=b)
        for i, (a, b) in enumerate(texts)
    )
    for write in (tickets_csv, tickets_xlsx):
        data = write(rows)
        if rows:
            assert [(t.title, t.content) for t in read_tickets("x", data).rows] == [(t.title, t.content) for t in rows]
