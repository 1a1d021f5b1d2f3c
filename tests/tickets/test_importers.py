"""Ticket and roster files: golden good and bad ones, and laws any file obeys."""

import io
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.errors import ImportFileError
from callqa.periods import SHANGHAI, to_ms
from callqa.tickets.importers import read_roster, read_tickets
from callqa.tickets.importers import sheet as sheet_module
from callqa.tickets.importers.calls import CALL_COLUMNS
from callqa.tickets.importers.cdr import CDR_COLUMNS
from callqa.tickets.importers.columns import ROSTER_COLUMNS, TICKET_COLUMNS, check_mapping, clean_header
from callqa.tickets.importers.sheet import Cell
from callqa.tickets.importers.values import CellRefused, parse_deadline, parse_instant, parse_number

DATA = Path(__file__).resolve().parent.parent / "data" / "import"


def at(*parts: int) -> int:
    return to_ms(datetime(*parts, tzinfo=SHANGHAI))


def tickets(name: str):
    return read_tickets(name, (DATA / name).read_bytes())


def messages(name: str) -> dict[tuple[int, str], str]:
    return {(e.row, e.column): e.message for e in tickets(name).errors}


def test_the_platform_export_is_read_whole():
    file = tickets("tickets_utf8.csv")
    assert not file.errors
    assert [t.ticket_no for t in file.rows] == ["SW202611030112", "SW202611040057", "SW202611050203", "SW202611060031"]
    first = file.rows[0]
    assert (first.category, first.matter_category, first.satisfaction) == ("help", "water_supply", "非常满意")
    assert first.accepted_at_ms == at(2026, 11, 3, 8, 14, 30)
    assert first.callback_attempts == 1 and first.urgent_flag is False and first.parent_ticket_no is None
    assert "result_received_at_ms" not in file.columns  # the file has no such column, so it may erase nothing


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_encoding_and_delimiter_do_not_change_what_is_read(encoding, delimiter):
    text = (DATA / "tickets_utf8.csv").read_text(encoding="utf-8")
    data = text.replace(",", delimiter).encode(encoding)
    assert read_tickets("x.csv", data).rows == tickets("tickets_utf8.csv").rows


def test_other_platforms_columns_title_line_and_number_forms():
    file = tickets("tickets_gb18030_semicolon.csv")
    assert not file.errors
    first, second = file.rows
    assert (first.caller_number, first.contact_phone) == ("02785310466", "13900010417")
    assert first.extra == (("渠道", "微信"),)
    assert second.caller_number == "13900010418" and second.accepted_by_agent_no == "812"
    assert second.accepted_at_ms == at(2026, 11, 7, 9, 12, 30)
    assert second.title == "水表读数疑问；本月翻倍"


def test_excels_unicode_text_and_a_withheld_number():
    file = tickets("tickets_tab_utf16.txt")
    assert not file.errors
    assert [t.accepted_at_ms for t in file.rows] == [at(2026, 11, 8, 21, 40, 5), at(2026, 11, 8, 21, 45)]
    assert file.rows[1].caller_number == ""


def test_xlsx_dates_numbers_and_text_cells():
    file = tickets("tickets.xlsx")
    assert not file.errors, [str(e) for e in file.errors]
    first, second, third = file.rows
    assert first.accepted_at_ms == at(2026, 11, 9, 8, 14, 30) and first.urgent_flag
    assert first.due_at_ms == at(2026, 11, 12, 23, 59, 59), "a bare day is a deadline at its end"
    assert first.caller_number == "13900010900" and first.extra == (("备注", "甲"),)
    assert (second.ticket_no, second.caller_number) == ("202611090901", "02784770000")
    assert third.title == "=文字" and third.accepted_at_ms == at(2026, 11, 9, 15, 5)


def test_cells_a_spreadsheet_would_run_stay_text():
    file = tickets("injected.csv")
    assert not file.errors
    first, second = file.rows
    assert (
        first.title == "=cmd|' /C calc'!A0" and first.content == "+1+1; @SUM(A1)" and first.citizen_name == "=HYPERLINK"
    )
    assert (second.ticket_no, second.contact_phone) == ("WH-26-000601", "13900010601")


def test_every_bad_cell_has_one_clear_error_and_good_rows_are_kept():
    file = tickets("bad_rows.csv")
    assert [t.ticket_no for t in file.rows] == ["WH-26-000700", "WH-26-000709"]
    found = messages("bad_rows.csv")
    expected = {
        (3, "受理时间"): "不存在",
        (4, "来电号码"): "科学计数",
        (4, "诉求性质"): "应为咨询、求助",
        (4, "满意度"): "非常满意",
        (4, "险情加急"): "“是”或“否”",
        (4, "回访次数"): "整数",
        (4, "受理工号"): "如 801",
        (5, "工单编号"): "空的",
        (6, "受理时间"): "空的",
        (7, "受理时间"): "只有日期",
        (7, "来电号码"): "脱敏",
        (8, "受理时间"): "日期序号",
        (9, ""): "早于受理时间",
        (10, ""): "表头只有 9 格",
        (11, "工单编号"): "与第 2 行重复，内容也相同",
        (12, "工单编号"): "但受理时间不同",
    }
    assert found.keys() == expected.keys()
    for place, part in expected.items():
        assert part in found[place], place
    assert str(file.errors[0]).startswith("第 3 行“受理时间”：")


def test_an_unclosed_quote_is_named_and_the_rows_before_it_are_kept():
    file = tickets("bad_unclosed_quote.csv")
    assert [t.ticket_no for t in file.rows] == ["WH-26-000800"]
    assert [(e.row, "引号没有成对" in e.message) for e in file.errors] == [(3, True)]


def test_formulas_long_numbers_and_serials_in_excel_are_refused():
    file = tickets("bad_cells.xlsx")
    assert [t.ticket_no for t in file.rows] == ["WH-26-001004"]
    assert [(e.row, e.column) for e in file.errors] == [
        (2, "受理时间"), (3, "工单编号"), (4, "受理时间"), (5, "标题"),
    ]  # fmt: skip
    assert "是公式“=NOW()”" in file.errors[0].message and "选择性粘贴" in file.errors[0].message


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "bad_wrong_columns.csv",
            ["缺少“工单编号”", "相近的“编号”", "缺少“受理时间”", "“受里时间”", "“来电”", "诉求描素"],
        ),
        ("bad_two_columns_alike.csv", ["受理时间", "第 2 列", "第 3 列"]),
        ("bad_truncated.xlsx", ["bad_truncated.xlsx", "不是完整的 Excel"]),
        ("bad_other_zip.xlsx", ["不是完整的 Excel"]),
        ("bad_old.xls", ["旧版 Excel", "另存为"]),
        ("bad_bytes.csv", ["UTF-8", "GB18030"]),
        ("bad_empty.csv", ["空文件"]),
        ("roster.csv", ["不是工单表", "工单编号"]),
    ],
)
def test_a_file_of_another_kind_is_refused_with_what_is_wrong(name, parts):
    with pytest.raises(ImportFileError) as caught:
        tickets(name)
    for part in parts:
        assert part in str(caught.value)


def test_a_zip_bomb_is_refused_by_its_size(monkeypatch):
    monkeypatch.setattr(sheet_module, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(ImportFileError, match="过大"):
        tickets("tickets.xlsx")


def test_one_of_two_numbers_is_taken_and_the_other_kept():
    file = read_tickets(
        "x.csv", "工单编号,受理时间,联系电话\nWH-1,2026-11-03 8:00,13900010001、027-84770000\n".encode()
    )
    assert file.rows[0].contact_phone == "13900010001"
    assert file.rows[0].extra == (("联系电话（其余）", "027-84770000"),)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("2026-11-03 08:14:30", (2026, 11, 3, 8, 14, 30)),
        ("2026/11/3 8:14", (2026, 11, 3, 8, 14)),
        ("2026.11.3 08:14:30.250", (2026, 11, 3, 8, 14, 30)),
        ("2026年11月3日8时14分", (2026, 11, 3, 8, 14)),
        ("2026-11-03T00:14:30Z", (2026, 11, 3, 8, 14, 30)),
        ("2026-11-03 下午 3:05", (2026, 11, 3, 15, 5)),
        ("2026-11-03 12:05 AM", (2026, 11, 3, 0, 5)),
        ("2026-11-03 24:00", (2026, 11, 4)),
        ("２０２６－１１－０３　０８：１４", (2026, 11, 3, 8, 14)),
    ],
)
def test_times_in_the_forms_platforms_write(text, parts):
    assert parse_instant(Cell(text)) == at(*parts)


@pytest.mark.parametrize(
    "text", ["昨天", "2026-02-30 08:00", "1999-01-01 08:00", "0000-01-01 08:00", "2026-11-03 上午 15:00", "08:14"]
)
def test_impossible_times_are_refused(text):
    with pytest.raises(CellRefused):
        parse_instant(Cell(text))


@given(st.text(max_size=40))
def test_value_parsers_give_a_value_or_refuse(text):
    for parse in (parse_instant, parse_deadline, parse_number):
        try:
            parse(Cell(text))
        except CellRefused as e:
            assert str(e)


def test_every_column_name_belongs_to_one_column():
    for columns in (TICKET_COLUMNS, ROSTER_COLUMNS):
        names = [clean_header(n) for c in columns for n in (c.field, c.title, *c.synonyms)]
        assert len(names) == len(set(names))
        assert all(clean_header(n) == n for n in names)


@settings(max_examples=150)
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\xef\xbb\xbf", b"PK\x03\x04", "工单编号,受理时间,来电号码\n".encode()]),
)
def test_any_bytes_give_a_file_or_our_error(data, head):
    for read in (read_tickets, read_roster):
        try:
            read("x", head + data)
        except ImportFileError as e:
            assert str(e)


@settings(max_examples=40)
@given(st.data())
def test_a_damaged_workbook_gives_a_file_or_our_error(data):
    whole = bytearray((DATA / "tickets.xlsx").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(4, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_tickets("x.xlsx", bytes(whole))
    except ImportFileError as e:
        assert str(e)


@given(st.lists(st.integers(0, 3), max_size=12))
def test_each_row_is_either_taken_or_has_an_error(kinds):
    lines = ["工单编号,受理时间,来电号码"]
    for i, kind in enumerate(kinds):
        time = "2026-11-03 08:00" if kind else "什么时候"
        lines.append(f"{'WH-DUP' if kind == 3 else f'WH-{i:03d}'},{time},{'x' if kind == 2 else '13900010001'}")
    file = read_tickets("x.csv", "\n".join(lines).encode())
    assert len(file.rows) + len({e.row for e in file.errors}) == len(kinds)


def test_roster_night_shift_ends_the_next_day():
    file = read_roster("roster.csv", (DATA / "roster.csv").read_bytes())
    assert not file.errors
    day, night, holiday, whole = file.rows
    assert (day.shift, day.seat_extension, day.name) == ("day", "8001", "周敏")
    assert (night.start_at_ms, night.end_at_ms) == (at(2026, 11, 3, 20), at(2026, 11, 4, 8))
    assert (holiday.shift, holiday.seat_extension, holiday.end_at_ms) == ("holiday", None, at(2026, 11, 5, 8, 30))
    assert (whole.start_at_ms, whole.end_at_ms) == (at(2026, 11, 5), at(2026, 11, 6))


def test_roster_from_excel_date_and_time_cells():
    file = read_roster("roster.xlsx", (DATA / "roster.xlsx").read_bytes())
    assert not file.errors, [str(e) for e in file.errors]
    assert (file.rows[0].agent_no, file.rows[0].start_at_ms) == ("801", at(2026, 11, 3, 20))


def test_bad_roster_rows_are_named():
    file = read_roster("bad_roster.csv", (DATA / "bad_roster.csv").read_bytes())
    assert [r.row for r in file.rows] == [3]
    assert [(e.row, e.column) for e in file.errors] == [
        (2, "日期"), (2, "班次"), (4, ""), (5, "工号"), (6, "结束"), (7, "开始"), (7, "结束"),
    ]  # fmt: skip
    assert "与第 3 行的时间重叠" in file.errors[2].message


def test_a_hidden_first_sheet_is_passed_over():
    book = openpyxl.Workbook()
    book.active.sheet_state = "hidden"
    sheet = book.create_sheet("数据")
    sheet.append(["工单编号", "受理时间", "来电号码"])
    sheet.append(["WH-001", "2026-11-03 08:00:00", "13900010001"])
    out = io.BytesIO()
    book.save(out)
    assert len(read_tickets("x.xlsx", out.getvalue()).rows) == 1


@pytest.mark.parametrize("header", ["席位", "座席", "坐席", "分机", "seat_extension"])
@pytest.mark.parametrize("columns", [ROSTER_COLUMNS, CDR_COLUMNS, CALL_COLUMNS])
def test_a_seat_is_known_by_each_of_its_names(columns, header):
    assert check_mapping(columns, {"话机": header}) == {"话机": "seat_extension"}
    titles = {column.title for column in columns}
    assert "席位" in titles and "座席" not in titles
