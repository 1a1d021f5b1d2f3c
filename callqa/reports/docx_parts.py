"""Pieces of WordprocessingML that python-docx has no call for: fonts of Chinese text, fields, borders, native charts."""

from collections.abc import Sequence
from typing import Any

from docx.document import Document
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml
from docx.oxml.ns import qn
from docx.oxml.parser import OxmlElement
from docx.shared import Emu
from docx.text.paragraph import Paragraph

_CHART_TYPE = "application/vnd.openxmlformats-officedocument.drawingml.chart+xml"
_XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_CHART_NS = "http://schemas.openxmlformats.org/drawingml/2006/chart"


def set_fonts(properties: Any, east_asian: str, latin: str) -> None:
    """Set both scripts' fonts of a run's or style's properties (`w:rPr`)."""
    fonts = properties.find(qn("w:rFonts"))
    if fonts is None:
        fonts = OxmlElement("w:rFonts")
        properties.insert(0, fonts)
    for name in list(fonts.attrib):
        del fonts.attrib[name]  # theme fonts would win over names
    fonts.set(qn("w:ascii"), latin)
    fonts.set(qn("w:hAnsi"), latin)
    fonts.set(qn("w:cs"), latin)
    fonts.set(qn("w:eastAsia"), east_asian)
    fonts.set(qn("w:hint"), "eastAsia")


def set_language(properties: Any) -> None:
    """Say that the text is simplified Chinese, so that readers choose its forms of the punctuation."""
    language = OxmlElement("w:lang")
    language.set(qn("w:val"), "en-US")
    language.set(qn("w:eastAsia"), "zh-CN")
    properties.append(language)


def add_field(paragraph: Paragraph, code: str, *, shown: str = "1") -> None:
    """Append a field such as PAGE or NUMPAGES."""
    for kind, text in (("begin", ""), ("", code), ("separate", ""), ("text", shown), ("end", "")):
        run = paragraph.add_run()
        if kind in ("begin", "separate", "end"):
            mark = OxmlElement("w:fldChar")
            mark.set(qn("w:fldCharType"), kind)
            run._r.append(mark)
        elif kind == "text":
            run.text = text
        else:
            instruction = OxmlElement("w:instrText")
            instruction.set(qn("xml:space"), "preserve")
            instruction.text = f" {text} "
            run._r.append(instruction)


def shade(cell: Any, colour: str) -> None:
    """Background of a table cell."""
    properties = cell._tc.get_or_add_tcPr()
    mark = OxmlElement("w:shd")
    mark.set(qn("w:val"), "clear")
    mark.set(qn("w:color"), "auto")
    mark.set(qn("w:fill"), colour)
    properties.append(mark)


def style_table(table: Any, colour: str, *, cell_margin: int = 50) -> None:
    """Thin borders of one colour, fixed layout, narrow cell margins (twentieths of a point)."""
    properties = table._tbl.tblPr
    for old in properties.findall(qn("w:tblBorders")) + properties.findall(qn("w:tblLayout")):
        properties.remove(old)
    edges = "".join(
        f'<w:{edge} w:val="single" w:sz="4" w:space="0" w:color="{colour}"/>'
        for edge in ("top", "left", "bottom", "right", "insideH", "insideV")
    )
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    properties.append(parse_xml(f"<w:tblBorders {space}>{edges}</w:tblBorders>"))
    properties.append(parse_xml(f'<w:tblLayout {space} w:type="fixed"/>'))
    sides = "".join(f'<w:{side} w:w="{cell_margin}" w:type="dxa"/>' for side in ("left", "right"))
    properties.append(parse_xml(f"<w:tblCellMar {space}>{sides}</w:tblCellMar>"))


def set_widths(table: Any, widths: Sequence[int]) -> None:
    """Column widths in EMU, on the grid and on every cell (readers differ in which they believe)."""
    for column, width in zip(table.columns, widths, strict=True):
        column.width = Emu(width)
    for row in table.rows:
        for cell, width in zip(row.cells, widths, strict=True):
            cell.width = Emu(width)


def repeat_row(row: Any) -> None:
    """Print the row again on each page of the table."""
    row._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))


def keep_row_whole(row: Any) -> None:
    """Do not break the row across pages."""
    row._tr.get_or_add_trPr().append(OxmlElement("w:cantSplit"))


def add_chart(
    document: Document, paragraph: Paragraph, number: int, chart_xml: bytes, workbook: bytes, *, size: tuple[int, int]
) -> None:
    """Put a native chart into a paragraph. number: 1-based in the document; size: width and height in EMU."""
    package = document.part.package
    chart_root = parse_xml(chart_xml)
    book = Part(PackURI(f"/word/embeddings/chart{number}.xlsx"), _XLSX_TYPE, workbook, package)
    external = OxmlElement("c:externalData", nsdecls={"c": _CHART_NS})
    update = OxmlElement("c:autoUpdate", nsdecls={"c": _CHART_NS})
    update.set("val", "0")
    external.append(update)
    for old in chart_root.findall(f"{{{_CHART_NS}}}printSettings"):
        chart_root.remove(old)
    chart_root.append(external)
    part = _ChartPart(PackURI(f"/word/charts/chart{number}.xml"), _CHART_TYPE, b"", package)
    external.set(qn("r:id"), part.relate_to(book, RELATIONSHIP_TYPE.PACKAGE))
    part.root = chart_root
    relation = document.part.relate_to(part, RELATIONSHIP_TYPE.CHART)
    paragraph.add_run()._r.append(parse_xml(_drawing(number, relation, size)))


class _ChartPart(Part):
    """A chart part that is serialised when the package is saved, after its relationships are known."""

    root: Any = None

    @property
    def blob(self) -> bytes:
        from lxml import etree

        return bytes(etree.tostring(self.root, xml_declaration=True, encoding="UTF-8", standalone=True))


def _drawing(number: int, relation: str, size: tuple[int, int]) -> str:
    width, height = size
    return f"""
<w:drawing xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"
 xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"
 xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"
 xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">
 <wp:inline distT="0" distB="0" distL="0" distR="0">
  <wp:extent cx="{width}" cy="{height}"/>
  <wp:docPr id="{1000 + number}" name="chart{number}"/>
  <wp:cNvGraphicFramePr/>
  <a:graphic>
   <a:graphicData uri="{_CHART_NS}">
    <c:chart xmlns:c="{_CHART_NS}" r:id="{relation}"/>
   </a:graphicData>
  </a:graphic>
 </wp:inline>
</w:drawing>"""
