"""The monthly report as PDF: A4, cover with sign-off, contents, every chapter of the report, the figures of the page.

The page design is report.typ. The values reach it as JSON strings, never as its markup: whatever a person wrote is drawn
as written. Fonts are those of a package (Noto Serif SC and Noto Sans SC, OFL), so that no font of the system matters.
The same report gives the same bytes: the date in the file is the report's own.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any, Literal

import pylopdf_fonts_zh_cn
import typst

from callqa.reports import palette
from callqa.reports.document import Block, Card, Cards, Cell, Chapter, Figure, MonthlyReport, Paragraph, Tone
from callqa.reports.kpi import STATE_LABELS
from callqa.reports.pdf_tables import ACROSS_PT, PAD_PT, UPRIGHT_PT, Laid, breakable, lay, lies_across
from callqa.reports.render_docx import (
    CARDS_A_ROW,
    DEMO_MARK,
    SIGNATURES,
    STATE_TONES,
    attachment_words,
    in_pairs,
    tells_attachments,
)
from callqa.reports.render_svg import figure_svg
from callqa.reports.render_xlsx import NO_ROWS, group_spans

_UNITS_A_POINT = 12 / 8.4  # a figure's 12 units of type are 8.4 pt on paper
_GUTTER_PT = 17.0  # between two figures side by side
_ROOM_CM = 5.5  # of a page that a chapter's beginning asks for
_LONG_LINES = 24  # a row of more lines may go on on the next page
# typst keeps what it laid out for ten compilations. Empty ones (3 ms each) let it go: 30 reports in one process took
# 640 MB without them and 260 MB with them.
_KEPT_COMPILATIONS = 10
_UNDRAWABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

Json = dict[str, Any]


def render(report: MonthlyReport) -> bytes:
    """The file's bytes. Takes some tenths of a second of one core; the fonts are read once a process."""
    source = files("callqa.reports").joinpath("report.typ").read_bytes()
    values = json.dumps(_drawable(_report(report)), ensure_ascii=False)
    try:
        return _compile(source, values, report.made_at_ms, standard="a-2u")
    except typst.TypstError as exc:
        if "could not be displayed" not in exc.message:
            raise
        # PDF/A allows no character that the fonts lack (an emoji in somebody's text): then it is a plain PDF.
        return _compile(source, values, report.made_at_ms, standard=None)
    finally:
        for _ in range(_KEPT_COMPILATIONS):
            _compile(b" ", "", 0, standard=None)


def _drawable(value: Any) -> Any:
    """The same values without characters that no font has and no file may hold; a tab is a space."""
    if isinstance(value, str):
        return _UNDRAWABLE.sub("", value.replace("\t", " "))
    if isinstance(value, dict):
        return {key: _drawable(child) for key, child in value.items()}
    return [_drawable(child) for child in value] if isinstance(value, list | tuple) else value


def _compile(source: bytes, values: str, made_at_ms: int, *, standard: Literal["a-2u"] | None) -> bytes:
    pdf = typst.compile(
        source,
        font_paths=_fonts(),
        format="pdf",
        sys_inputs={"report": values},
        timestamp=made_at_ms // 1000,
        pdf_standards=standard,
        pdf_tags=False,
    )
    assert isinstance(pdf, bytes)
    return pdf


@cache
def _fonts() -> typst.Fonts:
    folder = pylopdf_fonts_zh_cn.serif_path().parent
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(folder)])


def _report(report: MonthlyReport) -> Json:
    return {
        "title": report.title,
        "heading": breakable(report.title, 45),
        "organisation": report.organisation,
        "report_no": report.report_no,
        "demo": report.demo,
        "demo_mark": DEMO_MARK,
        "hotline_name": breakable(report.hotline_name, 19),
        "month_label": report.month_label,
        "cover": [[breakable(label, 9), breakable(value, 20)] for label, value in report.cover],
        "signatures": SIGNATURES,
        "footer": breakable(report.footer, 45),
        "no_rows": NO_ROWS,
        "colours": {
            "ink": palette.INK,
            "muted": palette.MUTED,
            "grid": palette.GRID,
            "head": palette.HEAD,
            "accent": palette.ACCENT,
            "bad": palette.TONES[Tone.BAD],
        },
        "runs": list(_runs(report)),
    }


def _runs(report: MonthlyReport) -> Iterator[Json]:
    """Chapters in runs of pages that lie the same way: upright up to the first wide table, across from there on."""
    chapters = report.chapters
    if not tells_attachments(report):
        chapters = (*chapters, Chapter("attachments", "", "附件", attachment_words(report)))
    first_across = next((i for i, chapter in enumerate(chapters) if lies_across(chapter)), len(chapters))
    for run, across in ((chapters[:first_across], False), (chapters[first_across:], True)):
        if run:
            yield {"across": across, "chapters": [_chapter(c, i, across=across) for i, c in enumerate(run)]}


def _chapter(chapter: Chapter, index: int, *, across: bool) -> Json:
    """index: in its run; a short chapter does not take a page of its own."""
    room_pt = ACROSS_PT if across else UPRIGHT_PT
    title = f"{chapter.number}、{chapter.title}" if chapter.number else chapter.title
    blocks = [drawn for block in in_pairs(chapter.blocks) for drawn in _block(block, room_pt)]
    for block, following in pairwise(blocks):
        block["leads"] = block["kind"] == "paragraph" and following["kind"] in ("table", "figures")
    room_cm = 0.0 if not index else (_ROOM_CM if len(blocks) > 2 else _ROOM_CM / 2)
    return {"title": title, "room_cm": room_cm, "blocks": blocks}


def _block(block: Block | tuple[Figure, Figure], room_pt: float) -> Iterator[Json]:
    if isinstance(block, tuple):
        half_pt = (room_pt - _GUTTER_PT) / 2
        yield {"kind": "figures", "figures": [_figure(figure, half_pt) for figure in block]}
    elif isinstance(block, Figure):
        yield {"kind": "figures", "figures": [_figure(block, room_pt)]}
    elif isinstance(block, Paragraph):
        yield _paragraph(block, room_pt)
    elif isinstance(block, Cards):
        yield {"kind": "cards", "across": CARDS_A_ROW, "cards": [_card(card) for card in block.cards]}
    else:
        yield from (_table(part) for part in lay(block, room_pt))


def _paragraph(block: Paragraph, room_pt: float) -> Json:
    return {
        "kind": "paragraph",
        "leads": False,
        "text": breakable(block.text, room_pt / 10.5),
        "label": breakable(block.label, room_pt / 10.5),
        "colour": palette.TONES[block.tone],
        "small": block.tone is Tone.MUTED,
    }


def _card(card: Card) -> Json:
    lines = (*card.lines, *([f"目标 {card.target}"] if card.target else []))
    return {
        "title": breakable(card.title, 12),
        "value": breakable(card.value, 12 if len(card.value) >= 9 else 8),
        "long": len(card.value) >= 9,
        "lines": [breakable(line, 16) for line in lines],
        "state": STATE_LABELS[card.state] if card.state else "",
        "colour": palette.TONES[STATE_TONES.get(card.state, Tone.NONE)],
    }


def _figure(figure: Figure, room_pt: float) -> Json:
    notes = (*figure.notes, *(f"{mark} 起评分标准换版" for mark in figure.marks))
    svg = figure_svg(figure, width=round(room_pt * _UNITS_A_POINT)) if figure.categories else ""
    return {
        "caption": breakable(figure.caption, room_pt / 11),
        "svg": svg,
        "notes": [breakable(n, room_pt / 8) for n in notes],
    }


def _table(laid: Laid) -> Json:
    table = laid.table
    rows = [_row(laid, index) for index in range(len(table.rows))]
    last = _last_rows(laid)
    return {
        "kind": "table",
        "caption": breakable(f"表 {table.no}　{table.title}", sum(laid.widths_pt) / 11),
        "widths_pt": laid.widths_pt,
        "size_pt": laid.size_pt,
        "pad_pt": PAD_PT,
        "heads": _heads(laid),
        "rows": rows[: len(rows) - last],
        "last_rows": rows[len(rows) - last :],
        "empty": not rows,
        "short": laid.is_short,
        "notes": [breakable(note, sum(laid.widths_pt) / 8) for note in table.notes],
    }


def _last_rows(laid: Laid) -> int:
    """How many rows at the end stay with the notes: the sums and one more, unless they are long."""
    last = min(len(laid.table.rows), laid.table.total_rows + 1)
    lines = sum(laid.lines(len(laid.table.rows) - 1 - back) for back in range(last))
    return last if lines <= _LONG_LINES else 0


def _heads(laid: Laid) -> list[Json]:
    """Cells of the head with their places; groups span their columns, a column without one both rows."""
    spans = group_spans(laid.table)
    heads: list[Json] = []
    for index, column in enumerate(laid.table.columns):
        tall = bool(spans) and not column.group
        y = 1 if column.group else 0
        heads.append({"x": index, "y": y, "span": 1, "rows": 2 if tall else 1, "text": laid.head(index)})
    for first, last, group in spans:
        heads.append({"x": first, "y": 0, "span": last - first + 1, "rows": 1, "text": group})
    return heads


def _row(laid: Laid, index: int) -> list[Json]:
    """One row; a long one may go on on the next page."""
    table = laid.table
    total = index >= len(table.rows) - table.total_rows
    long = laid.lines(index) > _LONG_LINES
    return [_cell(laid, cell, i, total=total) | {"breakable": long} for i, cell in enumerate(table.rows[index])]


def _cell(laid: Laid, cell: Cell, column: int, *, total: bool) -> Json:
    fill = palette.heat_colour(cell.heat) if cell.heat is not None else (palette.TOTAL if total else "")
    return {
        "text": laid.text(cell.text, column),
        "align": laid.table.columns[column].align,
        "fill": fill,
        "colour": palette.TONES[cell.tone],
        "strong": total,
    }
