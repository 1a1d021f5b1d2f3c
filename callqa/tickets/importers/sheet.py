"""Bytes of a table file -> rows of cells: CSV (UTF-8, UTF-16 with mark, GB18030; comma, semicolon, tab) and XLSX.

A registry by kind: one row in READERS each. Every reader is total: any bytes give a Sheet or ImportFileError.
A cell keeps what it was (text, number, date, formula), because a phone number that Excel stored as a number
may have lost digits, and a formula has no value we would trust. Nothing here is ever calculated.
"""

import csv
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum

import openpyxl

from callqa.errors import ImportFileError

MAX_FILE_BYTES = 64 * 2**20  # a year of tickets is about 20 MB as CSV
MAX_UNPACKED_BYTES = 512 * 2**20  # an XLSX unpacks about tenfold; beyond this it is a bomb
MAX_ROWS = 200_000
MAX_COLUMNS = 200
MAX_CELL_CHARS = 20_000  # Excel's own limit is 32 767; the longest ticket text seen in practice is under 3 000


class CellKind(StrEnum):
    """What a cell was in the file; CSV has only text."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    FORMULA = "formula"
    UNCLOSED = "unclosed"  # a quote that never ends: the rest of the file is inside it


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text (dates as ISO, whole numbers without `.0`) and what it was."""

    text: str
    kind: CellKind = CellKind.TEXT


@dataclass(frozen=True, slots=True)
class SheetRow:
    """row: 1-based line of the table, the header counted; cells may be fewer than the header's."""

    row: int
    cells: tuple[Cell, ...]

    @property
    def blank(self) -> bool:
        return not any(c.text.strip() for c in self.cells)


@dataclass(frozen=True, slots=True)
class Sheet:
    """All rows that are not blank. kind: the reader's name for people."""

    kind: str
    rows: tuple[SheetRow, ...]


@dataclass(frozen=True, slots=True)
class Reader:
    """One kind of file: how to recognise it by its first bytes, and how to read it."""

    label: str
    recognises: Callable[[bytes], bool]
    read: Callable[[bytes], Iterator[SheetRow]]


def read_sheet(file_name: str, data: bytes) -> Sheet:
    """Read a table of any registered kind; the content decides, not the name. Raise ImportFileError."""
    if not data.strip(b"\xef\xbb\xbf\r\n\t ,;\x00"):
        raise ImportFileError(f"{file_name} 是空文件；请重新导出")
    if len(data) > MAX_FILE_BYTES:
        raise ImportFileError(f"{file_name} 有 {len(data) >> 20} MB，超过 {MAX_FILE_BYTES >> 20} MB；请按月分开导出")
    for magic, what in _REFUSED:
        if data.startswith(magic):
            raise ImportFileError(f"{file_name} 是{what}，不能导入；请另存为 .xlsx 或 .csv")
    reader = next(r for r in READERS if r.recognises(data))
    rows: list[SheetRow] = []
    try:
        for row in reader.read(data):
            if len(row.cells) > MAX_COLUMNS:
                raise ImportFileError(f"第 {row.row} 行有 {len(row.cells)} 列，超过 {MAX_COLUMNS} 列")
            if not row.blank:
                rows.append(row)
            if len(rows) > MAX_ROWS:
                raise ImportFileError(f"超过 {MAX_ROWS} 行；请按月分开导出")
    except ImportFileError as e:
        raise ImportFileError(f"{file_name}：{e}") from e
    return Sheet(reader.label, tuple(rows))


_REFUSED = (
    (b"\xd0\xcf\x11\xe0", "旧版 Excel（.xls）或加密的文件"),
    (b"%PDF", " PDF"),
    (b"{\\rtf", " RTF 文档"),
    (b"\x89PNG", "图片"),
    (b"\xff\xd8\xff", "图片"),
    (b"RIFF", "音频或视频"),
)


# ---------- CSV ----------

_END = "\x00callqa-end\x00"  # appended as a last line of its own; swallowed only by a quote that never closes


def _read_csv(data: bytes) -> Iterator[SheetRow]:
    text = decode_text(data)
    lines = io.StringIO(text + ("" if text.endswith(("\n", "\r")) else "\n") + _END, newline="")
    rows = csv.reader(lines, delimiter=_delimiter(text))
    number = 0
    try:
        for cells in rows:
            number += 1
            if cells == [_END]:
                return
            unclosed = any(_END in c for c in cells)
            kind = CellKind.UNCLOSED if unclosed else CellKind.TEXT
            yield SheetRow(number, tuple(Cell(_unguarded(c.replace(_END, "")), kind) for c in cells))
    except csv.Error as e:
        raise ImportFileError(f"第 {number + 1} 行读不下去（{e}）；多半是引号没有成对，请检查这一行") from e


def _unguarded(text: str) -> str:
    """Without the one apostrophe that an exporter put before a text a spreadsheet would run (see tickets/export.py)."""
    return text[1:] if re.match(r"'+[=+\-@\t\r]", text) else text


def decode_text(data: bytes) -> str:
    """Text of a CSV: by its mark, else UTF-8, else GB18030. Raise ImportFileError when it is none."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as e:
                raise ImportFileError(f"文件标明是 {encoding}，但第 {e.start + 1} 个字节起不是；文件可能没传完") from e
    if b"\x00" in data:
        raise ImportFileError("文件不是文本表格（含零字节）；请导出为 .xlsx 或 .csv")
    for encoding in ("utf-8", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ImportFileError("文件的文字编码既不是 UTF-8 也不是 GB18030；请另存为“CSV UTF-8”")


def _delimiter(text: str) -> str:
    """The separator most frequent outside quotes in the first lines; comma when there is none."""
    head = "".join(part for i, part in enumerate(text[:4000].split('"')) if i % 2 == 0)
    first_lines = "\n".join(head.splitlines()[:3])
    return max(",;\t", key=lambda d: (first_lines.count(d), d == ","))


# ---------- XLSX ----------

# What openpyxl and the XML and ZIP readers under it raise on damaged workbooks.
_WORKBOOK_ERRORS = (
    zipfile.BadZipFile, zlib.error, SyntaxError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError,
    OSError, EOFError, RuntimeError, AssertionError,
)  # fmt: skip


def _read_xlsx(data: bytes) -> Iterator[SheetRow]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(i.file_size for i in archive.infolist())
        if unpacked > MAX_UNPACKED_BYTES:
            raise ImportFileError(f"解开后有 {unpacked >> 20} MB，过大；请按月分开导出")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of styles and validations that do not concern values
            yield from _workbook_rows(data)
    except _WORKBOOK_ERRORS as e:
        raise ImportFileError("不是完整的 Excel 文件（.xlsx）；请重新导出，或另存为 CSV") from e


def _workbook_rows(data: bytes) -> Iterator[SheetRow]:
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=False, keep_links=False)
    try:
        sheets = [s for s in book.worksheets if s.sheet_state == "visible"] or book.worksheets
        if not sheets:
            raise ImportFileError("Excel 文件里没有工作表")
        sheet = sheets[0]
        sheet.reset_dimensions()  # the stored size is often wrong
        for number, row in enumerate(sheet.iter_rows(max_col=MAX_COLUMNS + 1), 1):
            cells = [_xlsx_cell(c) for c in row]
            while cells and not cells[-1].text:
                cells.pop()
            yield SheetRow(number, tuple(cells))
    finally:
        book.close()


def _xlsx_cell(cell: object) -> Cell:
    value = getattr(cell, "value", None)
    if value is None:
        return Cell("")
    if getattr(cell, "data_type", "") == "f":
        return Cell(str(value), CellKind.FORMULA)
    if isinstance(value, bool):
        return Cell("是" if value else "否")
    if isinstance(value, datetime):
        shows_time = "h" in str(getattr(cell, "number_format", "h")).lower()
        whole_day = value.time() == time(0) and not shows_time
        return Cell(value.strftime("%Y-%m-%d" if whole_day else "%Y-%m-%d %H:%M:%S"), CellKind.DATE)
    if isinstance(value, time):
        return Cell(value.strftime("%H:%M:%S"), CellKind.DATE)
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return Cell(f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}", CellKind.DATE)
    if isinstance(value, int | float):
        return Cell(_number_text(value), CellKind.NUMBER)
    return Cell(str(value))


def _number_text(value: int | float) -> str:
    """Whole numbers Excel holds exactly (15 digits) without `.0`; others as Python writes them, `1.38E+17`."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, int) and abs(value) >= 10**15:
        return f"{float(value):.5E}"
    return str(value)


READERS = (
    Reader("Excel", lambda data: data.startswith(b"PK\x03\x04"), _read_xlsx),
    Reader("CSV", lambda data: True, _read_csv),
)
