"""The monthly report as DOCX: A4, cover with sign-off, summary upright, the chapters with wide tables across.

Charts are native (see native_charts), fonts are asked for by name, header rows repeat, page numbers are fields.
"""

import io
from collections.abc import Callable

import docx
from docx.document import Document
from docx.enum.section import WD_ORIENT, WD_SECTION
from docx.enum.table import WD_CELL_VERTICAL_ALIGNMENT, WD_TABLE_ALIGNMENT
from docx.enum.text import WD_ALIGN_PARAGRAPH, WD_TAB_ALIGNMENT
from docx.oxml.ns import qn
from docx.section import Section
from docx.shared import Cm, Emu, Pt, RGBColor
from docx.text.paragraph import Paragraph as DocxParagraph

from callqa.reports import docx_parts, palette
from callqa.reports.document import (
    Block,
    Card,
    Cards,
    Cell,
    Chapter,
    Figure,
    FigureKind,
    MonthlyReport,
    Paragraph,
    Table,
    Tone,
)
from callqa.reports.kpi import STATE_LABELS
from callqa.reports.native_charts import chart_parts
from callqa.reports.render_xlsx import NO_ROWS, group_spans

_LATIN = "Times New Roman"
_SIDE, _TOP, _BOTTOM = Cm(2.0), Cm(2.2), Cm(1.8)
_ALIGN = {
    "left": WD_ALIGN_PARAGRAPH.LEFT,
    "center": WD_ALIGN_PARAGRAPH.CENTER,
    "right": WD_ALIGN_PARAGRAPH.RIGHT,
}
CARDS_A_ROW = 3
_CHART_HEIGHT, _PARETO_HEIGHT = Cm(6.6), Cm(8.8)  # the items' names stand askew under a Pareto chart
_UPRIGHT_CHAPTERS = ("summary",)
SIGNATURES = ("编制人（班长）", "审核人", "采购人确认")
STATE_TONES = {"met": Tone.GOOD, "missed": Tone.BAD, "no_data": Tone.MUTED}
DEMO_MARK = "演示数据　不作考核依据"


def render(report: MonthlyReport) -> bytes:
    """The document's bytes."""
    document = docx.Document()
    _Writer(document, report).write()
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


class _Writer:
    """One document being written, top to bottom."""

    def __init__(self, document: Document, report: MonthlyReport) -> None:
        self.document = document
        self.report = report
        self.charts = 0

    def write(self) -> None:
        self._styles()
        self.document.core_properties.title = self.report.title
        self.document.core_properties.author = self.report.organisation
        self.document.core_properties.subject = self.report.report_no
        section = self.document.sections[0]
        _page(section, across=False)
        self._cover()
        laid: bool | None = None  # how the present section lies; the cover is by itself
        for chapter in self.report.chapters:
            across = chapter.key not in _UPRIGHT_CHAPTERS
            if across != laid:
                section = self.document.add_section(WD_SECTION.NEW_PAGE)
                _page(section, across=across)
                self._edges(section)
            self._chapter(chapter, new_page=across == laid)
            laid = across
        if not tells_attachments(self.report):
            self._attachments()

    def _styles(self) -> None:
        normal = self.document.styles["Normal"]
        normal.font.size = Pt(10.5)
        docx_parts.set_fonts(normal.element.get_or_add_rPr(), palette.SONG, _LATIN)
        docx_parts.set_language(normal.element.get_or_add_rPr())
        normal.font.color.rgb = RGBColor.from_string(palette.INK)
        for level, size in ((1, 16), (2, 11)):
            style = self.document.styles[f"Heading {level}"]
            style.font.size, style.font.bold, style.font.italic = Pt(size), level == 1, False
            style.font.color.rgb = RGBColor.from_string(palette.ACCENT if level == 1 else palette.INK)
            docx_parts.set_fonts(style.element.get_or_add_rPr(), palette.HEI, _LATIN)
            style.paragraph_format.space_before = Pt(0 if level == 1 else 8)
            style.paragraph_format.space_after = Pt(8 if level == 1 else 4)
            style.paragraph_format.keep_with_next = True

    def _edges(self, section: Section) -> None:
        """Header and footer of a section; the cover has neither."""
        section.header.is_linked_to_previous = False
        section.footer.is_linked_to_previous = False
        width = Emu(section.page_width - section.left_margin - section.right_margin)  # type: ignore[operator]
        head = section.header.paragraphs[0]
        _tab_right(head, width)
        self._run(head, self.report.title, 9, Tone.MUTED)
        if self.report.demo:
            self._run(head, f"\t{DEMO_MARK}", 9, Tone.BAD)
        _line(head, "bottom")
        foot = section.footer.paragraphs[0]
        _tab_right(foot, width)
        self._run(foot, f"{self.report.footer}\t第 ", 8, Tone.MUTED)
        docx_parts.add_field(foot, "PAGE")
        self._run(foot, " 页 / 共 ", 8, Tone.MUTED)
        docx_parts.add_field(foot, "NUMPAGES")
        self._run(foot, " 页", 8, Tone.MUTED)
        for run in foot.runs:
            run.font.size = Pt(8)
            run.font.color.rgb = RGBColor.from_string(palette.MUTED)
        _line(foot, "top")

    def _run(self, paragraph: DocxParagraph, text: str, size: float, tone: Tone, *, font: str = palette.SONG) -> None:
        run = paragraph.add_run(text)
        run.font.size = Pt(size)
        run.font.color.rgb = RGBColor.from_string(palette.TONES[tone])
        docx_parts.set_fonts(run._r.get_or_add_rPr(), font, _LATIN)

    def _cover(self) -> None:
        report = self.report
        for _ in range(3):
            self.document.add_paragraph()
        if report.demo:
            mark = self.document.add_paragraph()
            mark.alignment = WD_ALIGN_PARAGRAPH.CENTER
            self._run(mark, f"〔{DEMO_MARK}〕", 14, Tone.BAD, font=palette.HEI)
        for text, size, after in ((report.hotline_name, 26, 6), ("月度质检报告", 32, 14), (report.month_label, 18, 60)):
            line = self.document.add_paragraph()
            line.alignment = WD_ALIGN_PARAGRAPH.CENTER
            line.paragraph_format.space_after = Pt(after)
            self._run(line, text, size, Tone.NONE, font=palette.HEI)
        table = self.document.add_table(rows=len(report.cover), cols=2)
        table.alignment = WD_TABLE_ALIGNMENT.CENTER
        for row, (label, value) in zip(table.rows, report.cover, strict=True):
            self._text(row.cells[0], label, 12, "right", Tone.MUTED)
            self._text(row.cells[1], value, 12, "left", Tone.NONE)
            for cell in row.cells:
                cell.paragraphs[0].paragraph_format.space_after = Pt(5)
        docx_parts.set_widths(table, [Cm(5.0), Cm(9.0)])
        self.document.add_paragraph().paragraph_format.space_after = Pt(36)
        signs = self.document.add_table(rows=3, cols=len(SIGNATURES) + 1)
        signs.alignment = WD_TABLE_ALIGNMENT.CENTER
        docx_parts.style_table(signs, palette.GRID)
        for column, name in enumerate(("签批", *SIGNATURES)):
            self._text(signs.rows[0].cells[column], name, 10.5, "center", Tone.NONE)
            docx_parts.shade(signs.rows[0].cells[column], palette.HEAD)
        for row, name in zip(signs.rows[1:], ("签字", "日期"), strict=True):
            row.height = Cm(1.3 if name == "签字" else 0.9)
            self._text(row.cells[0], name, 10.5, "center", Tone.NONE)
        docx_parts.set_widths(signs, [Cm(2.0), Cm(5.0), Cm(5.0), Cm(5.0)])

    def _chapter(self, chapter: Chapter, *, new_page: bool) -> None:
        heading = self.document.add_heading(f"{chapter.number}、{chapter.title}", level=1)
        heading.paragraph_format.page_break_before = new_page
        for block in in_pairs(chapter.blocks):
            if isinstance(block, tuple):
                self._pair(block)
            elif isinstance(block, Paragraph):
                self._paragraph(block)
            elif isinstance(block, Cards):
                self._cards(block)
            elif isinstance(block, Table):
                self._table(block)
            else:
                self._figure(block)

    def _paragraph(self, block: Paragraph) -> None:
        paragraph = self.document.add_paragraph()
        paragraph.paragraph_format.line_spacing = 1.4
        paragraph.paragraph_format.space_after = Pt(4)
        small = block.tone is Tone.MUTED
        if not small:
            paragraph.paragraph_format.first_line_indent = Pt(21)
        if block.label:
            self._run(paragraph, f"{block.label}：", 10.5, Tone.NONE, font=palette.HEI)
        self._run(paragraph, block.text, 9 if small else 10.5, block.tone)

    def _width(self) -> int:
        section = self.document.sections[-1]
        return int(section.page_width - section.left_margin - section.right_margin)  # type: ignore[operator]

    def _cards(self, block: Cards) -> None:
        rows = -(-len(block.cards) // CARDS_A_ROW)
        table = self.document.add_table(rows=rows, cols=CARDS_A_ROW)
        docx_parts.style_table(table, palette.GRID, cell_margin=110)
        for index, card in enumerate(block.cards):
            self._card(table.rows[index // CARDS_A_ROW].cells[index % CARDS_A_ROW], card)
        docx_parts.set_widths(table, [self._width() // CARDS_A_ROW] * CARDS_A_ROW)
        for row in table.rows:
            docx_parts.keep_row_whole(row)
        self.document.add_paragraph().paragraph_format.space_after = Pt(2)

    def _card(self, cell: object, card: Card) -> None:
        tone = STATE_TONES.get(card.state, Tone.NONE)
        title = cell.paragraphs[0]  # type: ignore[attr-defined]  # python-docx's _Cell
        title.paragraph_format.space_before = Pt(4)
        title.paragraph_format.space_after = Pt(0)
        self._run(title, card.title, 9.5, Tone.MUTED, font=palette.HEI)
        if card.state:
            self._run(title, f"　{STATE_LABELS[card.state]}", 9, tone)
        value = cell.add_paragraph()  # type: ignore[attr-defined]
        value.paragraph_format.space_after = Pt(0)
        self._run(value, card.value, 18 if len(card.value) < 9 else 12, Tone.NONE, font=palette.HEI)
        for line in (*card.lines, *([f"目标 {card.target}"] if card.target else [])):
            below = cell.add_paragraph()  # type: ignore[attr-defined]
            below.paragraph_format.space_after = Pt(0)
            self._run(below, line, 8, Tone.MUTED)
        below.paragraph_format.space_after = Pt(4)

    def _caption(self, text: str) -> None:
        self.document.add_heading(text, level=2)

    def _table(self, table: Table) -> None:
        self._caption(f"表 {table.no}　{table.title}")
        spans = group_spans(table)
        heads = 2 if spans else 1
        made = self.document.add_table(rows=heads + len(table.rows), cols=len(table.columns))
        made.alignment = WD_TABLE_ALIGNMENT.CENTER
        docx_parts.style_table(made, palette.GRID)
        size = 9.0 if len(table.columns) <= 8 else 8.0
        total = sum(column.width for column in table.columns)
        docx_parts.set_widths(made, [int(self._width() * c.width / total) for c in table.columns])
        self._heads(made, table, spans, size)
        for index, cells in enumerate(table.rows):
            row = made.rows[heads + index]
            docx_parts.keep_row_whole(row)
            is_total = index >= len(table.rows) - table.total_rows
            for column, (place, cell) in enumerate(zip(row.cells, cells, strict=True)):
                self._cell(place, cell, table.columns[column].align, size, total=is_total)
        if not table.rows:
            row = made.add_row()
            merged = row.cells[0].merge(row.cells[-1])
            self._text(merged, NO_ROWS, size, "center", Tone.MUTED)
        for note in table.notes:
            line = self.document.add_paragraph()
            line.paragraph_format.space_after = Pt(0)
            self._run(line, f"注：{note}", 8, Tone.MUTED)

    def _heads(self, made: object, table: Table, spans: list[tuple[int, int, str]], size: float) -> None:
        rows = made.rows  # type: ignore[attr-defined]
        last = 1 if spans else 0
        for row in rows[: last + 1]:
            docx_parts.repeat_row(row)
            docx_parts.keep_row_whole(row)
            for cell in row.cells:
                docx_parts.shade(cell, palette.HEAD)
        for index, column in enumerate(table.columns):
            if spans and not column.group:
                merged = rows[0].cells[index].merge(rows[1].cells[index])
                self._text(merged, column.label, size, "center", Tone.NONE, font=palette.HEI)
            else:
                self._text(rows[last].cells[index], column.label, size, "center", Tone.NONE, font=palette.HEI)
        for first, final, group in spans:
            merged = rows[0].cells[first].merge(rows[0].cells[final])
            self._text(merged, group, size, "center", Tone.NONE, font=palette.HEI)

    def _cell(self, place: object, cell: Cell, align: str, size: float, *, total: bool) -> None:
        self._text(place, cell.text, size, align, cell.tone)
        if cell.heat is not None:
            docx_parts.shade(place, palette.heat_colour(cell.heat))
        elif total:
            docx_parts.shade(place, palette.TOTAL)
        if total:
            for run in place.paragraphs[0].runs:  # type: ignore[attr-defined]
                run.font.bold = True

    def _text(self, place: object, text: str, size: float, align: str, tone: Tone, *, font: str = palette.SONG) -> None:
        paragraph = place.paragraphs[0]  # type: ignore[attr-defined]  # python-docx's _Cell
        paragraph.alignment = _ALIGN[align]
        paragraph.paragraph_format.space_before = Pt(1.5)
        paragraph.paragraph_format.space_after = Pt(1.5)
        if size < 10:
            paragraph.paragraph_format.line_spacing = Pt(size * 1.3)  # fonts differ in height; tables should not
        place.vertical_alignment = WD_CELL_VERTICAL_ALIGNMENT.CENTER  # type: ignore[attr-defined]
        self._run(paragraph, text, size, tone, font=font)

    def _figure(self, figure: Figure) -> None:
        self._caption(figure.caption)
        self._chart(self.document.add_paragraph(), figure, self._width())
        self._figure_notes(figure, self.document.add_paragraph)

    def _pair(self, figures: tuple[Figure, Figure]) -> None:
        """Two figures side by side, each under its caption, never torn from it."""
        table = self.document.add_table(rows=1, cols=2)
        half = self._width() // 2
        docx_parts.keep_row_whole(table.rows[0])
        for cell, figure in zip(table.rows[0].cells, figures, strict=True):
            caption = cell.paragraphs[0]
            caption.style = self.document.styles["Heading 2"]
            caption.add_run(figure.caption)
            self._chart(cell.add_paragraph(), figure, half - int(Cm(0.5)))
            self._figure_notes(figure, cell.add_paragraph)
        docx_parts.set_widths(table, [half, half])

    def _chart(self, paragraph: DocxParagraph, figure: Figure, width: int) -> None:
        paragraph.alignment = WD_ALIGN_PARAGRAPH.CENTER
        if not figure.categories:
            self._run(paragraph, "无数据", 9, Tone.MUTED)
            return
        self.charts += 1
        chart_xml, workbook = chart_parts(figure)
        height = _PARETO_HEIGHT if figure.kind is FigureKind.PARETO else _CHART_HEIGHT
        docx_parts.add_chart(self.document, paragraph, self.charts, chart_xml, workbook, size=(width, int(height)))

    def _figure_notes(self, figure: Figure, add_paragraph: Callable[[], DocxParagraph]) -> None:
        for note in (*figure.notes, *(f"{mark} 起评分标准换版" for mark in figure.marks)):
            line = add_paragraph()
            line.paragraph_format.space_after = Pt(0)
            self._run(line, f"注：{note}", 8, Tone.MUTED)

    def _attachments(self) -> None:
        self.document.add_heading("附件", level=1).paragraph_format.space_before = Pt(18)
        for paragraph in attachment_words(self.report):
            self._paragraph(paragraph)


def tells_attachments(report: MonthlyReport) -> bool:
    """Whether a chapter of the report says where its attachments are."""
    return any(chapter.key == "appendix" for chapter in report.chapters)


def attachment_words(report: MonthlyReport) -> tuple[Paragraph, ...]:
    """Where the attachments are, and what holds for all numbers."""
    names = "、".join(f"{table.no}　{table.title}" for table in report.attachments)
    return (
        Paragraph(f"{names}，见同名 XLSX 文件；数字与本报告逐一相同。"),
        Paragraph("本报告数字的口径见各表表注；区间均为 95% 置信水平。", Tone.MUTED),
    )


def in_pairs(blocks: tuple[Block, ...]) -> list[Block | tuple[Figure, Figure]]:
    """The blocks, with each two figures in a row made one; a Pareto chart's long labels need the whole width."""
    found: list[Block | tuple[Figure, Figure]] = []
    for block in blocks:
        before = found[-1] if found else None
        figures = (before, block)
        if all(isinstance(figure, Figure) and figure.kind is not FigureKind.PARETO for figure in figures):
            found[-1] = figures  # type: ignore[assignment]  # both are figures
        else:
            found.append(block)
    return found


def _page(section: Section, *, across: bool) -> None:
    """A4, upright or across."""
    long, short = Cm(29.7), Cm(21.0)
    section.orientation = WD_ORIENT.LANDSCAPE if across else WD_ORIENT.PORTRAIT
    section.page_width, section.page_height = (long, short) if across else (short, long)
    section.left_margin = section.right_margin = _SIDE
    section.top_margin, section.bottom_margin = _TOP, _BOTTOM
    section.header_distance, section.footer_distance = Cm(1.1), Cm(0.9)


def _tab_right(paragraph: DocxParagraph, width: Emu) -> None:
    for stop in list(paragraph.paragraph_format.tab_stops):
        stop._tab.getparent().remove(stop._tab)
    paragraph.paragraph_format.tab_stops.add_tab_stop(width, WD_TAB_ALIGNMENT.RIGHT)


def _line(paragraph: DocxParagraph, side: str) -> None:
    """A thin rule above or below a paragraph."""
    properties = paragraph._p.get_or_add_pPr()
    border = docx.oxml.parser.OxmlElement("w:pBdr")
    edge = docx.oxml.parser.OxmlElement(f"w:{side}")
    for name, value in (("val", "single"), ("sz", "4"), ("space", "4"), ("color", palette.GRID)):
        edge.set(qn(f"w:{name}"), value)
    border.append(edge)
    properties.insert_element_before(border, "w:shd", "w:tabs", "w:spacing", "w:ind", "w:jc", "w:rPr")
