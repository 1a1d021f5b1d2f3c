"""Tickets out of the list and in again: what the filters show, masked by right, safe for spreadsheets, nothing changed."""

import csv
import io
from urllib.parse import unquote

import openpyxl
import pytest
from sqlmodel import select

from callqa.store.tables import AuditEntry, Ticket
from callqa.web import tickets as page
from callqa.web.listing import PER_PAGE
from tests.builders import add_ticket, at

NUMBER, OTHER = "13871206358", "15007137485"
HEAD = "工单编号,标题,诉求性质,事项类别,来电号码,联系电话,诉求人,地点,诉求内容,受理时间,受理工号,办理时限,办理结果,满意度,险情加急,回访次数,原工单编号,来源渠道,主题"
ROWS = (
    f'SW202611200001,=1+1,投诉,排水,{NUMBER},{NUMBER}、{OTHER},周建国,-宝丰路,"@第一行\n第二行，电话{NUMBER}",2026-11-20 09:00:00,801,2026-11-23,+已办,满意,是,2,,网站,\'=旧主题',
    f"SW202611200002,水压低,,,,,,,请回电{OTHER},2026-11-20 10:00:00,,,,,否,,SW202611200001,,",
    f"SW202611200003,咨询水价,咨询,供水,02783330000,{OTHER},,,,2026-11-19 10:00:00,802,,,,,0,,电话,",
)


def upload(client, name: str, data: bytes):
    return client.post("/tickets/import", files={"file": (name, data, "application/octet-stream")})


@pytest.fixture
def imported(browser, database):
    """Three tickets taken in by the page, with cells a spreadsheet would run, and no column left as it came."""
    answer = upload(browser("admin"), "平台.csv", "\n".join((HEAD, *ROWS)).encode())
    assert answer.status_code == 303
    assert len(stored(database)) == 3


def stored(database) -> dict[str, dict]:
    with database.read() as session:
        return {t.ticket_no: t.model_dump() for t in session.exec(select(Ticket))}


def entries(database, action: str) -> list[AuditEntry]:
    with database.read() as session:
        return list(session.exec(select(AuditEntry).where(AuditEntry.action == action)))


def table(answer) -> list[list[str]]:
    if answer.content.startswith(b"PK"):
        sheet = openpyxl.load_workbook(io.BytesIO(answer.content)).active
        return [[str(cell or "") for cell in row] for row in sheet.iter_rows(values_only=True)]
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_an_export_comes_in_again_without_any_change(browser, imported, database, kind):
    leader, before = browser("shift_leader"), stored(database)
    made = leader.get(f"/tickets.{kind}?month=2026-11")
    assert unquote(made.headers["content-disposition"]).endswith(f"工单.{kind}")
    assert "no-store" in made.headers["cache-control"]
    answer = upload(leader, f"工单.{kind}", made.content)
    html = leader.get(answer.headers["location"]).text
    assert "新增 0 张，更新 0 张，不变 3 张" in html and "有误" not in html.split("cq-flash")[1].split("</div>")[0]
    assert stored(database) == before


def test_an_export_into_an_empty_desk_gives_the_same_tickets(browser, imported, database):
    leader, before = browser("shift_leader"), stored(database)
    made = leader.get("/tickets.xlsx?month=2026-11").content
    with database.write() as session:
        for ticket in session.exec(select(Ticket)):
            session.delete(ticket)
    assert upload(leader, "工单.xlsx", made).status_code == 303
    after = stored(database)
    for ticket in (*before.values(), *after.values()):
        del ticket["import_id"]
    assert after == before


def test_the_file_holds_what_the_list_shows_on_all_its_pages(browser, imported, database):
    with database.write() as session:
        for n in range(PER_PAGE + 1):
            add_ticket(session, f"SW20261001{n:04d}", accepted_at_ms=at("2026-10-01 08:00:00"))
    leader = browser("shift_leader")

    def found(query: str) -> list[str]:
        return [row[0] for row in table(leader.get(f"/tickets.csv?{query}"))[1:]]

    assert found("month=2026-11&sort=ticket") == [n for n in sorted(stored(database)) if n.startswith("SW202611")]
    assert found("month=2026-11&category=consult") == ["SW202611200003"]
    assert found("month=2026-11&text=水压") == ["SW202611200002"]
    assert found("month=2026-09") == []
    entry = entries(database, "ticket.export")[1]
    assert entry.actor == "shift_leader" and "category=consult" in entry.subject
    assert entry.detail == {"rows": 1, "found": 1, "kind": "csv", "masked": False}
    assert len(found("month=2026-10&page=2")) == PER_PAGE + 1


def test_nothing_a_spreadsheet_would_run_gets_out(browser, imported):
    leader = browser("shift_leader")
    cells = [cell for row in table(leader.get("/tickets.csv?month=2026-11")) for cell in row]
    assert not [cell for cell in cells if cell[:1] and cell[0] in "=+-@\t\r"] and "'=1+1" in cells
    sheet = openpyxl.load_workbook(io.BytesIO(leader.get("/tickets.xlsx?month=2026-11").content)).active
    assert not [c.coordinate for row in sheet.iter_rows() for c in row if c.data_type == "f"]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_who_may_not_see_numbers_gets_them_masked_and_no_import_takes_that_file(browser, imported, database, kind):
    before = stored(database)
    masked = browser("client_supervisor").get(f"/tickets.{kind}?month=2026-11")
    text = "\n".join("|".join(row) for row in table(masked))
    assert "138****6358" in text and "请回电150****7485" in text
    assert NUMBER not in text and OTHER not in text and "02783330000" not in text
    assert "号码已脱敏" in unquote(masked.headers["content-disposition"])
    assert entries(database, "ticket.export")[-1].detail["masked"] is True
    answer = upload(browser("admin"), f"工单.{kind}", masked.content)
    assert answer.status_code == 400 and "导入会盖掉完整号码" in answer.text
    assert stored(database) == before


def test_no_masked_text_replaces_a_whole_one_though_the_mark_was_taken_off(browser, imported, database):
    """Rows with a masked number are refused; one without a number has it in its text, and that text stays."""
    before = stored(database)
    rows = [row[:-1] for row in table(browser("client_supervisor").get("/tickets.csv?month=2026-11"))]
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    admin = browser("admin")
    html = admin.get(upload(admin, "x.csv", out.getvalue().encode()).headers["location"]).text
    assert "已脱敏，无法与通话核对" in html
    assert stored(database) == before


def test_a_file_says_when_it_does_not_hold_all(browser, imported, monkeypatch, database):
    monkeypatch.setattr(page, "MAX_EXPORTED", 2)
    made = browser("shift_leader").get("/tickets.csv?month=2026-11")
    assert len(table(made)) == 3
    assert unquote(made.headers["content-disposition"]).endswith("工单（共3张，只含前2张）.csv")
    assert entries(database, "ticket.export")[-1].detail["found"] == 3


def test_the_list_offers_it_with_its_filters_to_those_who_may(browser, imported):
    path = "/tickets?month=2026-11&category=consult"
    for role in ("shift_leader", "client_supervisor"):
        html = browser(role).get(path).text
        for kind in ("csv", "xlsx"):
            assert f'href="/tickets.{kind}?month=2026-11&amp;category=consult&amp;sort=-accepted"' in html
    assert "导出" not in browser("agent").get(path).text
    assert "/tickets.csv" not in browser("shift_leader").get("/tickets?month=2026-09").text, "nothing to export"


def test_a_ticket_that_no_import_would_take_is_given_as_it_is(browser, accounts, database):
    """Two files, each right by itself, can leave times out of order; the export tells them and does not fail."""
    with database.write() as session:
        add_ticket(session, "SW1", closed_at_ms=at("2026-11-01 00:00:00"))
    rows = table(browser("shift_leader").get("/tickets.csv?month=2026-11"))
    assert rows[1][rows[0].index("办结时间")] == "2026-11-01 00:00:00"
