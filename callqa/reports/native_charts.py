"""Figures as native spreadsheet charts (XlsxWriter); DOCX carries the same chart XML, so both can be restyled by the reader.

Intervals are error bars. A forest plot is drawn upright: agents along the bottom, points with bars, the team as a line.
"""

import io
import zipfile
from typing import Any

import xlsxwriter
from lxml import etree
from xlsxwriter.chart import Chart
from xlsxwriter.utility import xl_rowcol_to_cell
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

from callqa.reports import palette
from callqa.reports.document import Figure, FigureKind, Series

_DATA_SHEET = "数据"
_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_FONT = {"name": palette.SONG, "size": 9, "color": f"#{palette.INK}"}


def write_data(sheet: Worksheet, figure: Figure, top: int) -> int:
    """Write a figure's numbers from row `top` on (title, head, one row a category). Returns the first free row."""
    sheet.write_string(top, 0, f"图 {figure.no} {figure.title}")
    head = ["", *_column_names(figure)]
    for column, name in enumerate(head):
        sheet.write_string(top + 1, column, name)
    for index, category in enumerate(figure.categories):
        sheet.write_string(top + 2 + index, 0, category)
        for column, values in enumerate(_columns(figure), 1):
            value = values[index] if index < len(values) else None
            if value is not None:
                sheet.write_number(top + 2 + index, column, value)
    return top + 3 + len(figure.categories)


def _column_names(figure: Figure) -> list[str]:
    names = [series.name for series in figure.series]
    if figure.reference is not None:
        names.append(figure.reference_label)
    for series in figure.series:
        if series.low:
            names += [f"{series.name} 区间下限", f"{series.name} 区间上限", "上限差", "下限差"]
    return names


def _columns(figure: Figure) -> list[tuple[float | None, ...]]:
    columns = [series.values for series in figure.series]
    if figure.reference is not None:
        columns.append((figure.reference,) * len(figure.categories))
    for series in figure.series:
        if series.low:
            columns += [series.low, series.high, _apart(series.values, series.high), _apart(series.low, series.values)]
    return columns


def _apart(below: tuple[float | None, ...], above: tuple[float | None, ...]) -> tuple[float | None, ...]:
    """Lengths of error bars; 0 without an interval."""
    pairs = zip(below, above, strict=True)
    return tuple(0.0 if low is None or high is None else round(high - low, 4) for low, high in pairs)


def make_chart(workbook: Workbook, sheet_name: str, figure: Figure, top: int) -> Chart:
    """A chart over data that `write_data` wrote at `top` of the named sheet."""
    first, last = top + 2, top + 1 + len(figure.categories)
    base: dict[str, Any] = {"categories": [sheet_name, first, 0, last, 0]}
    kind = figure.kind
    if kind in (FigureKind.LINES, FigureKind.FOREST):
        chart = workbook.add_chart({"type": "line"})
    else:
        chart = workbook.add_chart({"type": "column", **({"subtype": "stacked"} if kind is FigureKind.STACKED else {})})
    bars = figure.series[:1] if kind is FigureKind.PARETO else figure.series
    for index, series in enumerate(bars):
        place = {"name": [sheet_name, top + 1, index + 1], "values": [sheet_name, first, index + 1, last, index + 1]}
        chart.add_series({**base, **place, **_style(figure, series, index), **_bars(sheet_name, figure, index, top)})
    if kind is FigureKind.PARETO:
        _add_cumulative(workbook, chart, sheet_name, base, first, last, top)
    if figure.reference is not None:
        column = len(figure.series) + 1
        place = {"name": [sheet_name, top + 1, column], "values": [sheet_name, first, column, last, column]}
        line = {"color": f"#{palette.REFERENCE}", "width": 1.25, "dash_type": "dash"}
        chart.add_series({**base, **place, "line": line, "marker": {"type": "none"}})
    _dress(chart, figure)
    return chart


def _style(figure: Figure, series: Series, index: int) -> dict[str, Any]:
    colours = palette.GRADES if figure.kind is FigureKind.STACKED else palette.SERIES
    colour = f"#{colours[index % len(colours)]}"
    if figure.kind in (FigureKind.BARS, FigureKind.STACKED, FigureKind.PARETO):
        gap = 60 if figure.kind is FigureKind.STACKED else 45
        labels = {"value": True, "font": {**_FONT, "size": 8}, "num_format": "General"}
        shown = {"data_labels": labels} if len(figure.series) == 1 or figure.kind is FigureKind.PARETO else {}
        return {"fill": {"color": colour}, "border": {"none": True}, "gap": gap, **shown}
    forest = figure.kind is FigureKind.FOREST
    style: dict[str, Any] = {
        "line": {"none": True} if forest else {"color": colour, "width": 1.75},
        "marker": {
            "type": "diamond" if forest else "circle",
            "size": 7 if forest else 4,
            "fill": {"color": colour},
            "border": {"color": colour},
        },
    }
    if forest:
        style["data_labels"] = {"value": True, "position": "right", "font": {**_FONT, "size": 8}, "num_format": "0.0"}
    return style


def _bars(sheet_name: str, figure: Figure, index: int, top: int) -> dict[str, Any]:
    """Error bars of one series, from the two columns of lengths that `write_data` wrote."""
    if not figure.series[index].low:
        return {}
    before = sum(bool(series.low) for series in figure.series[:index])
    column = 1 + len(figure.series) + (figure.reference is not None) + 4 * before + 2
    first, last = top + 2, top + 1 + len(figure.categories)
    plus, minus = (
        f"='{sheet_name}'!{xl_rowcol_to_cell(first, c, True, True)}:{xl_rowcol_to_cell(last, c, True, True)}"
        for c in (column, column + 1)
    )
    colour = f"#{palette.SERIES[index % len(palette.SERIES)]}"
    line = {"color": colour, "width": 1.25}
    return {"y_error_bars": {"type": "custom", "plus_values": plus, "minus_values": minus, "line": line}}


def _add_cumulative(
    workbook: Workbook, chart: Chart, sheet_name: str, base: dict[str, Any], first: int, last: int, top: int
) -> None:
    line = workbook.add_chart({"type": "line"})
    colour = f"#{palette.SERIES[1]}"
    line.add_series(
        {
            **base,
            "name": [sheet_name, top + 1, 2],
            "values": [sheet_name, first, 2, last, 2],
            "y2_axis": True,
            "line": {"color": colour, "width": 1.75},
            "marker": {"type": "circle", "size": 4, "fill": {"color": colour}, "border": {"color": colour}},
        }
    )
    ticks = {"major_tick_mark": "none", "minor_tick_mark": "none"}
    line.set_y2_axis({**ticks, "min": 0, "max": 100, "num_font": _FONT, "num_format": '0"%"', "major_unit": 20})
    chart.combine(line)


def _dress(chart: Chart, figure: Figure) -> None:
    low, high = value_range(figure)
    ticks = {"major_tick_mark": "none", "minor_tick_mark": "none"}
    axis = {"num_font": _FONT, "line": {"color": f"#{palette.GRID}"}, **ticks}
    grid = {"visible": True, "line": {"color": f"#{palette.GRID}", "width": 0.5}}
    bounds = {key: value for key, value in (("min", low), ("max", high)) if value is not None}
    chart.set_title({"none": True})
    turned = {"num_font": {**_FONT, "rotation": -40}} if len(figure.categories) > 9 and _is_wordy(figure) else {}
    chart.set_x_axis({**axis, **turned, "label_position": "low"})
    chart.set_y_axis({**axis, **bounds, **_step(low, high), "major_gridlines": grid, "num_format": "General"})
    alone = len(figure.series) == 1 and figure.reference is None
    chart.set_legend({"none": True} if alone else {"position": "bottom", "font": _FONT})
    chart.set_chartarea({"border": {"none": True}})
    chart.show_blanks_as("gap")


def _step(low: float | None, high: float | None) -> dict[str, float]:
    """A step that gives round marks where both ends are given."""
    if low is None or high is None:
        return {}
    span = high - low
    return {"major_unit": next((s for s in (1, 2, 5, 10, 20, 50) if span / s <= 10 and span % s == 0), span)}


def _is_wordy(figure: Figure) -> bool:
    return max((len(category) for category in figure.categories), default=0) > 4


def value_range(figure: Figure) -> tuple[float | None, float | None]:
    """The value axis: as the figure asks; scores start at a round number under the lowest interval."""
    if figure.minimum is not None:
        return figure.minimum, figure.maximum
    numbers = [v for s in figure.series for v in (*s.values, *s.low) if v is not None]
    lowest = min(numbers, default=0.0)
    return max(0.0, (lowest - 1) // 5 * 5), figure.maximum


def chart_parts(figure: Figure) -> tuple[bytes, bytes]:
    """Chart XML and its workbook, for embedding into another document."""
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as workbook:
        sheet = workbook.add_worksheet(_DATA_SHEET)
        write_data(sheet, figure, 0)
        sheet.insert_chart(0, 8, make_chart(workbook, _DATA_SHEET, figure, 0))
    data = buffer.getvalue()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        chart_xml = archive.read("xl/charts/chart1.xml")
    return _say_defaults(chart_xml, figure), data


def _say_defaults(chart_xml: bytes, figure: Figure) -> bytes:
    """Spell out what spreadsheets take for granted and word processors do not: straight lines, labels of the value alone,
    and the lengths of error bars."""
    root = etree.fromstring(chart_xml)
    for series in root.iter(f"{_C}ser"):
        parent = series.getparent()
        if parent is not None and parent.tag == f"{_C}lineChart" and series.find(f"{_C}smooth") is None:
            etree.SubElement(series, f"{_C}smooth", val="0")
    for labels in root.iter(f"{_C}dLbls"):
        for old in [child for child in labels if child.tag.startswith(f"{_C}show")]:
            labels.remove(old)
        for name in ("LegendKey", "Val", "CatName", "SerName", "Percent", "BubbleSize"):
            etree.SubElement(labels, f"{_C}show{name}", val="1" if name == "Val" else "0")
    lengths = [series for series in figure.series if series.low]
    for bars, one in zip(root.iter(f"{_C}errBars"), lengths, strict=True):
        for side, values in (("plus", _apart(one.values, one.high)), ("minus", _apart(one.low, one.values))):
            cache = next(bars.iter(f"{_C}{side}")).find(f".//{_C}numCache")
            if cache is None:
                continue
            for point in cache.findall(f"{_C}pt") + cache.findall(f"{_C}ptCount"):
                cache.remove(point)
            etree.SubElement(cache, f"{_C}ptCount", val=str(len(values)))
            for index, value in enumerate(values):
                point = etree.SubElement(cache, f"{_C}pt", idx=str(index))
                etree.SubElement(point, f"{_C}v").text = str(value or 0.0)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True))
