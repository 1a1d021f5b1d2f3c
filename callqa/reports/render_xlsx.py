"""The monthly report as XLSX: index, summary, one sheet a table, one of charts, and the attachments.

Numbers are written as numbers whose format prints the report's own text; texts stay texts.
"""

import io
import re

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

from callqa.reports import palette
from callqa.reports.document import Cards, Cell, CellKind, Chapter, MonthlyReport, Paragraph, Table, Tone
from callqa.reports.kpi import STATE_LABELS
from callqa.reports.native_charts import make_chart, write_data

_A4 = 9
_CHAR = 2.1  # column width of one Chinese character at our size
_CHART_ROWS = 19
NO_ROWS = "本月无"
_WIDE = 260.0  # characters; a wider table is not squeezed onto one page


def render(report: MonthlyReport) -> bytes:
    """The workbook's bytes."""
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as workbook:
        workbook.set_properties({"title": report.title, "author": report.organisation, "subject": report.report_no})
        _Writer(workbook, report).write()
    return buffer.getvalue()


class _Writer:
    """One workbook being written; formats are made once each."""

    def __init__(self, workbook: Workbook, report: MonthlyReport) -> None:
        self.workbook = workbook
        self.report = report
        self._formats: dict[tuple[tuple[str, object], ...], Format] = {}

    def format(self, **properties: object) -> Format:
        """A format by its properties, shared."""
        key = tuple(sorted(properties.items()))
        if key not in self._formats:
            base = {"font_name": palette.SONG, "font_size": 10, "valign": "vcenter", "font_color": f"#{palette.INK}"}
            self._formats[key] = self.workbook.add_format({**base, **properties})
        return self._formats[key]

    def write(self) -> None:
        index = self._sheet("目录")
        names: list[tuple[str, str]] = []
        for chapter in self.report.chapters:
            if chapter.key == "summary":
                names.append((self._summary(chapter), f"{chapter.number}、{chapter.title}"))
            for block in chapter.blocks:
                if isinstance(block, Table):
                    names.append((self._table(block), f"表 {block.no} {block.title}"))
        names.append((self._charts(), "图表"))
        names += [(self._table(table), f"{table.no} {table.title}") for table in self.report.attachments]
        self._index(index, names)

    def _sheet(self, name: str) -> Worksheet:
        sheet = self.workbook.add_worksheet(name[:31])
        sheet.set_paper(_A4)
        sheet.set_landscape()
        sheet.fit_to_pages(1, 0)
        sheet.set_margins(0.4, 0.4, 0.6, 0.6)
        sheet.hide_gridlines(2)
        mark = "　演示数据，不作考核依据" if self.report.demo else ""
        sheet.set_header(f"&L&9 {_plain(self.report.title)}{mark}")
        sheet.set_footer(f"&L&8 {_plain(self.report.footer)}&R&8 第 &P / &N 页")
        return sheet

    def _index(self, sheet: Worksheet, names: list[tuple[str, str]]) -> None:
        sheet.set_column(0, 0, 22)
        sheet.set_column(1, 1, 60)
        title = self.format(font_name=palette.HEI, font_size=16, font_color=f"#{palette.ACCENT}")
        sheet.write_string(0, 0, self.report.title, title)
        sheet.set_row(0, 30)
        row = 1
        if self.report.demo:
            sheet.write_string(row, 0, "演示数据，不作考核依据", self.format(font_color=f"#{palette.REFERENCE}"))
            row += 1
        label, value = self.format(font_color=f"#{palette.MUTED}"), self.format()
        for name, words in self.report.cover:
            sheet.write_string(row, 0, name, label)
            sheet.write_string(row, 1, words, value)
            row += 1
        sheet.write_string(row, 0, "抽样框哈希", label)
        sheet.write_string(row, 1, self.report.frame_hash, value)
        row += 2
        link = self.format(font_color=f"#{palette.ACCENT}", underline=1)
        for sheet_name, words in names:
            sheet.write_url(row, 0, f"internal:'{sheet_name}'!A1", link, words)
            row += 1

    def _summary(self, chapter: Chapter) -> str:
        sheet = self._sheet("摘要")
        widths = (20, 26, 12, 16, 40, 56)
        for column, width in enumerate(widths):
            sheet.set_column(column, column, width)
        self._title(sheet, f"{chapter.number}、{chapter.title}")
        head = self.format(bold=True, bg_color=f"#{palette.HEAD}", border=1, border_color=f"#{palette.GRID}")
        for column, name in enumerate(("指标", "本月值", "达标", "目标", "区间或分子分母", "说明")):
            sheet.write_string(2, column, name, head)
        row = 3
        box = {"border": 1, "border_color": f"#{palette.GRID}", "text_wrap": True}
        for block in chapter.blocks:
            for card in block.cards if isinstance(block, Cards) else ():
                words = (card.title, card.value, STATE_LABELS[card.state], card.target)
                detail = (card.lines[0] if card.lines else "", "；".join(card.lines[1:]))
                for column, text in enumerate((*words, *detail)):
                    sheet.write_string(row, column, text, self.format(**box))
                sheet.set_row(row, _height(tuple(Cell(text) for text in (*words, *detail)), list(map(float, widths))))
                row += 1
        wrap = self.format(text_wrap=True, valign="top")
        for block in chapter.blocks:
            if isinstance(block, Paragraph):
                text = f"{block.label}：{block.text}" if block.label else block.text
                row += 1
                sheet.merge_range(row, 0, row, len(widths) - 1, text, wrap)
                sheet.set_row(row, 16 * (1 + len(text) // 70))
        return "摘要"

    def _title(self, sheet: Worksheet, text: str) -> None:
        sheet.write_string(
            0, 0, text, self.format(font_name=palette.HEI, font_size=13, font_color=f"#{palette.ACCENT}")
        )
        sheet.set_row(0, 24)

    def _table(self, table: Table) -> str:
        name = f"{table.no} {table.title}"[:31]
        sheet = self._sheet(name)
        self._title(sheet, f"表 {table.no}　{table.title}" if table.no[0].isdigit() else f"{table.no}　{table.title}")
        top = self._head(sheet, table)
        widths = [_width(table, column) for column in range(len(table.columns))]
        if sum(widths) > _WIDE:
            sheet.fit_to_pages(0, 0)
        for index, cells in enumerate(table.rows):
            sheet.set_row(top + index, _height(cells, widths))
            total = index >= len(table.rows) - table.total_rows
            for column, cell in enumerate(cells):
                self._cell(sheet, top + index, column, cell, table.columns[column].align, total=total)
        if not table.rows:
            words = self.format(
                align="center", font_color=f"#{palette.MUTED}", border=1, border_color=f"#{palette.GRID}"
            )
            sheet.merge_range(top, 0, top, len(table.columns) - 1, NO_ROWS, words)
        for column, width in enumerate(widths):
            sheet.set_column(column, column, width)
        sheet.freeze_panes(top, 1)
        sheet.repeat_rows(1, top - 1)
        if len(table.rows) > 3 and not table.total_rows:
            sheet.autofilter(top - 1, 0, top + len(table.rows) - 1, len(table.columns) - 1)
        muted = self.format(font_color=f"#{palette.MUTED}", font_size=9)
        for index, note in enumerate(table.notes):
            sheet.write_string(top + max(1, len(table.rows)) + 1 + index, 0, f"注：{note}", muted)
        return name

    def _head(self, sheet: Worksheet, table: Table) -> int:
        """Write one or two rows of heads from row 1 on; returns the first row of data."""
        head = self.format(
            bold=True,
            align="center",
            text_wrap=True,
            bg_color=f"#{palette.HEAD}",
            border=1,
            border_color=f"#{palette.GRID}",
        )
        grouped = any(column.group for column in table.columns)
        row = 2 if grouped else 1
        for index, column in enumerate(table.columns):
            sheet.write_string(row, index, column.label, head)
            if grouped and not column.group:
                sheet.merge_range(1, index, 2, index, column.label, head)
        for first, last, group in group_spans(table):
            if first == last:
                sheet.write_string(1, first, group, head)
            else:
                sheet.merge_range(1, first, 1, last, group, head)
        sheet.set_row(row, 30)
        return row + 1

    def _cell(self, sheet: Worksheet, row: int, column: int, cell: Cell, align: str, *, total: bool) -> None:
        style: dict[str, object] = {"border": 1, "border_color": f"#{palette.GRID}", "align": align, "text_wrap": True}
        if total:
            style |= {"bg_color": f"#{palette.TOTAL}", "bold": True}
        if cell.tone is not Tone.NONE:
            style["font_color"] = f"#{palette.TONES[cell.tone]}"
        if cell.heat is not None:
            style["bg_color"] = f"#{palette.heat_colour(cell.heat)}"
        if cell.kind in (CellKind.NUMBER, CellKind.PERCENT) and cell.number is not None:
            sheet.write_number(row, column, cell.number, self.format(**style, num_format=number_format(cell)))
        else:
            sheet.write_string(row, column, cell.text, self.format(**style))

    def _charts(self) -> str:
        data, sheet = "图表数据", self._sheet("图表")
        numbers = self._sheet(data)
        numbers.set_column(0, 0, 28)
        sheet.set_portrait()
        sheet.set_h_pagebreaks(range(2 * (_CHART_ROWS + 2), 40 * (_CHART_ROWS + 2), 2 * (_CHART_ROWS + 2)))
        top = 0
        for index, figure in enumerate(self.report.figures()):
            free = write_data(numbers, figure, top)
            row = index * (_CHART_ROWS + 2)
            self._heading(sheet, row, figure.caption)
            if figure.categories:
                chart = make_chart(self.workbook, data, figure, top)
                chart.set_size({"width": 900, "height": _CHART_ROWS * 20 - 10})
                sheet.insert_chart(row + 1, 0, chart)
            top = free
        return "图表"

    def _heading(self, sheet: Worksheet, row: int, text: str) -> None:
        sheet.write_string(row, 0, text, self.format(font_name=palette.HEI, font_size=11))


def number_format(cell: Cell) -> str:
    """The number format that prints the cell's own text."""
    digits = cell.text.rstrip("%").partition(".")[2]
    decimals = "." + "0" * len(digits) if digits else ""
    return f"0{decimals}%" if cell.kind is CellKind.PERCENT else f"0{decimals}"


def group_spans(table: Table) -> list[tuple[int, int, str]]:
    """First and last column and name of each run of columns with the same group."""
    spans: list[tuple[int, int, str]] = []
    for index, column in enumerate(table.columns):
        if not column.group:
            continue
        if spans and spans[-1][2] == column.group and spans[-1][1] == index - 1:
            spans[-1] = (spans[-1][0], index, column.group)
        else:
            spans.append((index, index, column.group))
    return spans


def _width(table: Table, column: int) -> float:
    """Wide enough for the longest text up to a bound; heads may wrap."""
    longest = max((_display(row[column].text) for row in table.rows), default=2.0)
    return min(60.0, max(longest, _display(table.columns[column].label) / 2, 4.0) + 1.6)


def _height(cells: tuple[Cell, ...], widths: list[float]) -> float:
    """Row height in points for the cell that wraps most; spreadsheets do not all grow rows by themselves."""
    lines = max(-(-_display(cell.text) // max(1.0, width - 1.0)) for cell, width in zip(cells, widths, strict=True))
    return 5.0 + 13.5 * max(1.0, lines)


def _display(text: str) -> float:
    return sum(_CHAR if ord(ch) > 0x2E80 else 1.1 for ch in text)


def _plain(text: str) -> str:
    """Header text without control codes."""
    return re.sub(r"&", "＆", text)
