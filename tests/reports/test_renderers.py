"""Renderers on a small report with every kind of block: well-formed, marked, and carrying the same numbers."""

import io
import zipfile
from dataclasses import replace
from xml.etree import ElementTree

import docx
import openpyxl
import pytest
from docx.oxml.ns import qn

from callqa.reports import render_docx, render_xlsx
from callqa.reports.document import Figure, FigureKind, Series
from callqa.reports.native_charts import chart_parts, value_range
from callqa.reports.render_svg import figure_svg
from tests.reports.test_document import small_report

REPORT = small_report()
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"


@pytest.mark.parametrize("figure", REPORT.figures(), ids=lambda f: f.no)
def test_svg_is_well_formed_and_names_every_category(figure: Figure) -> None:
    root = ElementTree.fromstring(figure_svg(figure))
    words = "".join(root.itertext())
    assert root.attrib["aria-label"].startswith(f"图 {figure.no}")
    assert all(category in words for category in figure.categories) if figure.categories else "无数据" in words
    numbers = [v for s in figure.series for v in s.values if v is not None]
    assert all(f"{v:g}" in words for v in numbers)


def many_lines() -> Figure:
    series = tuple(Series(f"80{n} 欧阳", (90.0 + n, 91.0)) for n in range(12))
    return Figure("4-2", "八席", FigureKind.LINES, ("9月", "10月"), series, "分")


@pytest.mark.parametrize("units", [860.0, 507.0])
def test_svg_stays_inside_its_box(units: float) -> None:
    for figure in (*REPORT.figures(), many_lines()):
        root = ElementTree.fromstring(figure_svg(figure, width=units))
        assert root.attrib["viewBox"].split()[2] == f"{units:g}"
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for element in root.iter():
            for key in ("x", "cx", "x1", "x2"):
                assert -1 <= float(element.attrib.get(key, 0)) <= width + 1
            for key in ("y", "cy", "y1", "y2"):
                assert -1 <= float(element.attrib.get(key, 0)) <= height + 1


@pytest.mark.parametrize(("units", "rows"), [(860.0, 2), (507.0, 3)])
def test_a_long_legend_takes_more_rows_under_the_categories(units: float, rows: int) -> None:
    words = [e for e in ElementTree.fromstring(figure_svg(many_lines(), width=units)).iter() if e.tag.endswith("text")]
    names = [e for e in words if (e.text or "").endswith("欧阳")]
    assert len(names) == 12 and len({e.attrib["y"] for e in names}) == rows
    assert all(float(e.attrib["x"]) + 7 * len("801 ") + 12 * 2 <= units for e in names)
    months = [float(e.attrib["y"]) for e in words if (e.text or "").endswith("月")]
    assert max(months) + 12 < min(float(e.attrib["y"]) for e in names)


def test_svg_escapes_what_people_typed() -> None:
    figure = Figure("1-1", "<script>", FigureKind.BARS, ('"><script>',), (Series("<b>", (1.0,)), Series("&", (2.0,))))
    svg = figure_svg(figure)
    assert "<script>" not in svg and "<b>" not in svg
    ElementTree.fromstring(svg)


def test_native_chart_carries_values_and_lengths_of_error_bars() -> None:
    figure = next(f for f in REPORT.figures() if f.kind is FigureKind.FOREST)
    chart_xml, workbook = chart_parts(figure)
    root = ElementTree.fromstring(chart_xml)
    values = [v.text for v in root.findall(f".//{C}ser[1]/{C}val//{C}v")]
    assert [float(v or 0) for v in values][:1] == [91.0]
    plus = [float(v.text or 0) for v in root.findall(f".//{C}errBars/{C}plus//{C}v")]
    minus = [float(v.text or 0) for v in root.findall(f".//{C}errBars/{C}minus//{C}v")]
    assert (plus, minus) == ([1.0, 0.0, 1.5], [1.0, 0.0, 1.5])
    assert {e.attrib["val"] for e in root.iter(f"{C}smooth")} == {"0"}
    assert openpyxl.load_workbook(io.BytesIO(workbook)).sheetnames == ["数据"]


def test_scores_start_at_a_round_number_below_the_lowest_interval() -> None:
    figure = next(f for f in REPORT.figures() if f.no == "3-1")
    assert value_range(figure) == (85.0, 100)


def test_docx_is_a4_with_repeated_heads_page_fields_and_named_fonts() -> None:
    data = render_docx.render(REPORT)
    document = docx.Document(io.BytesIO(data))
    sides = [(round(s.page_width.cm, 1), round(s.page_height.cm, 1)) for s in document.sections]
    assert sides == [(21.0, 29.7), (21.0, 29.7), (29.7, 21.0)]
    table = next(t for t in document.tables if t.rows[0].cells[0].text == "坐席")
    assert [row._tr.find(f".//{qn('w:tblHeader')}") is not None for row in table.rows] == [True, True, False, False]
    footer = document.sections[-1].footer._element.xml
    assert "PAGE" in footer and "NUMPAGES" in footer and REPORT.frame_hash[:12] in footer and REPORT.report_no in footer
    normal = document.styles["Normal"].element.rPr.rFonts
    assert normal.get(qn("w:eastAsia")) == "宋体"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
    assert sum(n.startswith("word/charts/chart") and n.endswith(".xml") for n in names) == 5
    assert sum(n.startswith("word/embeddings/") for n in names) == 5


def test_docx_and_xlsx_say_demo_only_in_a_demo() -> None:
    for demo in (False, True):
        report = small_report(demo=demo)
        header = docx.Document(io.BytesIO(render_docx.render(report))).sections[-1].header.paragraphs[0].text
        book = openpyxl.load_workbook(io.BytesIO(render_xlsx.render(report)))
        assert ("演示" in header) is demo and ("演示" in (book.worksheets[0].oddHeader.left.text or "")) is demo


def test_xlsx_index_opens_every_sheet_and_titles_keep_their_year() -> None:
    book = openpyxl.load_workbook(io.BytesIO(render_xlsx.render(REPORT)))
    index = book["目录"]
    targets = {
        link.location.split("!")[0].strip("'") for row in index.iter_rows() for c in row if (link := c.hyperlink)
    }
    assert targets <= set(book.sheetnames) and "图表" in targets and "摘要" in targets
    assert "2026年10月" in (index.oddHeader.left.text or "")
    assert len(book["图表"]._charts) == 5


def test_an_empty_table_says_so_in_both_formats() -> None:
    chapter = REPORT.chapters[1]
    table = next(b for b in chapter.blocks if hasattr(b, "rows"))
    empty = replace(table, rows=(), total_rows=0)
    report = replace(REPORT, chapters=(REPORT.chapters[0], replace(chapter, blocks=(empty,))), attachments=())
    words = [
        c.text for t in docx.Document(io.BytesIO(render_docx.render(report))).tables for r in t.rows for c in r.cells
    ]
    book = openpyxl.load_workbook(io.BytesIO(render_xlsx.render(report)))
    assert "本月无" in words and any(
        "本月无" in [c.value for c in row] for s in book.worksheets for row in s.iter_rows()
    )
