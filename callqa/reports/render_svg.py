"""Figures as SVG for pages and PDF: our own drawing, text as text, no script. The numbers are those of the native charts.

Sizes are in SVG user units; the picture scales to its container. Every mark has a title, read by pointer and screen reader.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape

from callqa.reports import palette
from callqa.reports.cells import fixed
from callqa.reports.document import Figure, FigureKind, Series
from callqa.reports.native_charts import value_range

WIDTH, HEIGHT = 860.0, 320.0
_FOREST_ROW = 30.0
_LEGEND_ROW, _LEGEND_GAP = 18.0, 36.0
_FONT_SIZE = 12
_NARROW = 7.0  # units of a Latin letter at our size; a Chinese character takes 12


@dataclass(frozen=True, slots=True)
class _Plot:
    """The area inside the axes and the value scale."""

    left: float
    top: float
    width: float
    height: float
    low: float
    high: float

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - (value - self.low) / (self.high - self.low))

    def x_value(self, value: float) -> float:
        """For a forest plot, whose values run across."""
        return self.left + self.width * (value - self.low) / (self.high - self.low)

    def centre(self, index: int, count: int) -> float:
        return self.left + self.width * (index + 0.5) / count


def figure_svg(figure: Figure, *, width: float = WIDTH) -> str:
    """The figure as one `<svg>` element, safe to put into a page. width: fewer units where it stands smaller, in print."""
    if not figure.categories or not any(v is not None for s in figure.series for v in s.values):
        return _svg([_text(width / 2, 40, "无数据", anchor="middle", colour=palette.MUTED)], (width, 80), figure)
    if figure.kind is FigureKind.FOREST:
        height = 70 + _FOREST_ROW * len(figure.categories)
        return _svg(list(_forest(figure, width, height)), (width, height), figure)
    turned = _turned(figure, width)
    legend = _legend_rows(figure, width)
    bottom = (92.0 if turned else 60.0) + _LEGEND_ROW * max(0, len(legend) - 1)
    right = 46.0 if figure.kind is FigureKind.PARETO else 14.0
    low, high = _scale(figure)
    plot = _Plot(46, 14, width - 46 - right, HEIGHT - 14 - bottom, low, high)
    parts = [*_grid(plot), *_category_labels(plot, figure, turned=turned), *_KINDS[figure.kind](plot, figure)]
    parts += [*_reference(plot, figure), *_marks(plot, figure), *_legend(figure, legend, width)]
    return _svg(parts, (width, HEIGHT), figure)


def _svg(parts: Iterable[str], size: tuple[float, float], figure: Figure) -> str:
    label = escape(f"图 {figure.no} {figure.title}", quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]:g} {size[1]:g}" role="img" aria-label="{label}" '
        f'class="figure-svg" width="100%" font-family="{escape(palette.SVG_FONTS, quote=True)}" font-size="{_FONT_SIZE}">'
        f"{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = palette.INK, turn: float = 0) -> str:
    turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#{colour}"{turned}>{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#{colour}" '
        f'stroke-width="{width:g}"{dashed}/>'
    )


def _titled(shape: str, words: str) -> str:
    """A shape with its tooltip; shape is an element without its closing."""
    return f"{shape}><title>{escape(words)}</title></{shape[1:].split(' ', 1)[0]}>"


def _scale(figure: Figure) -> tuple[float, float]:
    low, high = value_range(figure)
    tops = [v for s in figure.series[: 1 if figure.kind is FigureKind.PARETO else None] for v in (*s.values, *s.high)]
    biggest = max((v for v in tops if v is not None), default=1.0)
    bottom = low or 0.0
    if high is not None and high > bottom:
        return bottom, high
    step = _step(bottom, max(biggest, bottom + 1e-9))
    return bottom, bottom + step * max(1, -(-(biggest * 1.08 - bottom) // step))


def _step(low: float, high: float) -> float:
    """A round step that gives about five lines."""
    span = max(high - low, 1e-9)
    steps = [factor * 10.0**power for power in range(-3, 6) for factor in (1, 2, 5)]
    return next((step for step in steps if span / step <= 6), steps[-1])


def _grid(plot: _Plot) -> list[str]:
    parts = []
    step = _step(plot.low, plot.high)
    value = plot.low
    while value <= plot.high + 1e-6:
        y = plot.y(value)
        parts.append(_line(plot.left, y, plot.left + plot.width, y, palette.GRID, width=0.7))
        parts.append(_text(plot.left - 6, y + 4, f"{value:g}", anchor="end", colour=palette.MUTED))
        value = round(value + step, 6)
    return parts


def _length(words: str) -> float:
    return sum(_FONT_SIZE if ord(ch) > 0x2E80 else _NARROW for ch in words)


def _turned(figure: Figure, width: float) -> bool:
    room = (width - 60) / len(figure.categories)
    return max(map(_length, figure.categories)) > room - 4 and len(figure.categories) <= 20


def _category_labels(plot: _Plot, figure: Figure, *, turned: bool) -> list[str]:
    count = len(figure.categories)
    every = 1 if turned else max(1, -(-int(max(map(_length, figure.categories)) + 6) * count // int(plot.width)))
    parts = []
    y = plot.top + plot.height + 17
    for index, words in enumerate(figure.categories):
        if index % every == 0:
            x = plot.centre(index, count)
            short = words if _length(words) < 96 else f"{words[:9]}…"
            parts.append(_text(x, y, short, anchor="end", turn=-28) if turned else _text(x, y, words, anchor="middle"))
    return parts


def _bars(plot: _Plot, figure: Figure) -> list[str]:
    count, groups = len(figure.categories), len(figure.series)
    room = plot.width / count * 0.66
    parts = []
    for place, series in enumerate(figure.series):
        for index, value in enumerate(series.values):
            if value is None:
                continue
            x = plot.centre(index, count) - room / 2 + room / groups * place
            words = f"{figure.categories[index]} {series.name} {value:g}{figure.unit}"
            parts.append(_bar(plot, x, room / groups * 0.92, plot.low, value, palette.SERIES[place], words))
            if groups == 1 and value:
                parts.append(_text(x + room / 2, plot.y(value) - 4, f"{value:g}", anchor="middle"))
    return parts


def _bar(plot: _Plot, x: float, width: float, low: float, high: float, colour: str, words: str) -> str:
    top = plot.y(high)
    shape = f'<rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{max(0.0, plot.y(low) - top):.1f}" fill="#{colour}"'
    return _titled(shape, words)


def _stacked(plot: _Plot, figure: Figure) -> list[str]:
    count = len(figure.categories)
    width = min(90.0, plot.width / count * 0.6)
    parts = []
    for index, category in enumerate(figure.categories):
        below = 0.0
        for place, series in enumerate(figure.series):
            value = series.values[index] or 0.0
            x = plot.centre(index, count) - width / 2
            words = f"{category} {series.name} {fixed(value)}{figure.unit}"
            above = min(plot.high, below + value)
            parts.append(_bar(plot, x, width, below, above, palette.GRADES[place % 4], words))
            if value >= 6:
                colour = "FFFFFF" if place == 0 else palette.INK
                middle = (plot.y(below) + plot.y(above)) / 2 + 4
                parts.append(_text(x + width / 2, middle, f"{fixed(value)}%", anchor="middle", colour=colour))
            below = above
    return parts


def _lines(plot: _Plot, figure: Figure) -> list[str]:
    parts: list[str] = []
    for place, series in enumerate(figure.series):
        colour = palette.SERIES[place % len(palette.SERIES)]
        if series.low:
            parts += _band(plot, series, colour)
        parts += _polyline(plot, figure, series, colour)
    return parts


def _polyline(plot: _Plot, figure: Figure, series: Series, colour: str, *, unit: str | None = None) -> list[str]:
    count = len(figure.categories)
    points = [(plot.centre(i, count), plot.y(v), v, i) for i, v in enumerate(series.values) if v is not None]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in points)
    parts = (
        [f'<polyline points="{path}" fill="none" stroke="#{colour}" stroke-width="1.8"/>'] if len(points) > 1 else []
    )
    for x, y, value, index in points:
        words = f"{figure.categories[index]} {series.name} {value:g}{figure.unit if unit is None else unit}"
        if series.low and series.low[index] is not None and series.high[index] is not None:
            words += f"（{series.low[index]:g}–{series.high[index]:g}）"
        parts.append(_titled(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="#{colour}"', words))
    return parts


def _band(plot: _Plot, series: Series, colour: str) -> list[str]:
    count = len(series.values)
    known = [
        (plot.centre(i, count), low, high)
        for i, (low, high) in enumerate(zip(series.low, series.high, strict=True))
        if low is not None and high is not None
    ]
    bars = [_line(x, plot.y(low), x, plot.y(high), colour, width=1.2) for x, low, high in known]
    if len(known) < 2:
        return bars
    there = [f"{x:.1f},{plot.y(high):.1f}" for x, _, high in known]
    back = [f"{x:.1f},{plot.y(low):.1f}" for x, low, _ in reversed(known)]
    return [f'<polygon points="{" ".join(there + back)}" fill="#{colour}" fill-opacity="0.13"/>', *bars]


def _pareto(plot: _Plot, figure: Figure) -> list[str]:
    bars, cumulative = figure.series
    only = Figure(figure.no, figure.title, FigureKind.BARS, figure.categories, (bars,), figure.unit)
    right = _Plot(plot.left, plot.top, plot.width, plot.height, 0, 100)
    parts = _bars(plot, only)
    for value in (0, 20, 40, 60, 80, 100):
        x = plot.left + plot.width + 6
        parts.append(_text(x, right.y(value) + 4, f"{value}%", colour=palette.MUTED))
    return parts + _polyline(right, figure, cumulative, palette.SERIES[1], unit="%")


_KINDS: Mapping[FigureKind, Callable[[_Plot, Figure], list[str]]] = {
    FigureKind.BARS: _bars,
    FigureKind.STACKED: _stacked,
    FigureKind.LINES: _lines,
    FigureKind.PARETO: _pareto,
}


def _forest(figure: Figure, width: float, height: float) -> Iterable[str]:
    series = figure.series[0]
    low, high = _scale(figure)
    names = max(map(_length, figure.categories))
    plot = _Plot(24 + names, 12, width - names - 180, height - 70, low, high)
    step = _step(low, high)
    value = low
    while value <= high + 1e-6:
        x = plot.x_value(value)
        yield _line(x, plot.top, x, plot.top + plot.height, palette.GRID, width=0.7)
        yield _text(x, plot.top + plot.height + 16, f"{value:g}", anchor="middle", colour=palette.MUTED)
        value = round(value + step, 6)
    for index, name in enumerate(figure.categories):
        yield from _forest_row(plot, figure, series, index, name)
    if figure.reference is not None:
        x = plot.x_value(figure.reference)
        yield _line(x, plot.top, x, plot.top + plot.height, palette.REFERENCE, width=1.3, dash="5 4")
        y = plot.top + plot.height + 36
        yield _text(x, y, figure.reference_label, anchor="middle", colour=palette.REFERENCE)


def _forest_row(plot: _Plot, figure: Figure, series: Series, index: int, name: str) -> Iterable[str]:
    y = plot.top + plot.height * (index + 0.5) / len(figure.categories)
    yield _text(plot.left - 10, y + 4, name, anchor="end")
    value = series.values[index]
    if value is None:
        return
    low, high = (series.low[index], series.high[index]) if series.low else (None, None)
    words = fixed(value)
    if low is not None and high is not None:
        yield _line(plot.x_value(low), y, plot.x_value(high), y, palette.SERIES[0], width=2)
        for end in (low, high):
            yield _line(plot.x_value(end), y - 5, plot.x_value(end), y + 5, palette.SERIES[0], width=1.4)
        words += f"（{fixed(low)}–{fixed(high)}）"
    x = plot.x_value(value)
    shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.6" fill="#{palette.SERIES[0]}"'
    yield _titled(shape, f"{name} {words}{figure.unit}")
    yield _text(plot.left + plot.width + 14, y + 4, words)


def _reference(plot: _Plot, figure: Figure) -> list[str]:
    if figure.reference is None:
        return []
    y = plot.y(figure.reference)
    return [
        _line(plot.left, y, plot.left + plot.width, y, palette.REFERENCE, width=1.3, dash="5 4"),
        _text(plot.left + plot.width, y - 5, figure.reference_label, anchor="end", colour=palette.REFERENCE),
    ]


def _marks(plot: _Plot, figure: Figure) -> list[str]:
    """Vertical lines where the rubric changed."""
    parts = []
    for mark in figure.marks:
        x = plot.centre(figure.categories.index(mark), len(figure.categories)) - plot.width / len(figure.categories) / 2
        parts.append(_line(x, plot.top, x, plot.top + plot.height, palette.MUTED, dash="2 3"))
        parts.append(_text(x + 4, plot.top + 12, "标准换版", colour=palette.MUTED))
    return parts


def _legend_rows(figure: Figure, width: float) -> list[list[int]]:
    """The series' places in the legend, as many in a row as the width holds; nothing to say where there is one."""
    rows: list[list[int]] = []
    taken = 0.0
    for place, series in enumerate(figure.series if len(figure.series) > 1 else ()):
        taken += _length(series.name) + _LEGEND_GAP
        if not rows or taken > width - 20:
            rows.append([])
            taken = _length(series.name) + _LEGEND_GAP
        rows[-1].append(place)
    return rows


def _legend(figure: Figure, rows: list[list[int]], width: float) -> list[str]:
    colours = palette.GRADES if figure.kind is FigureKind.STACKED else palette.SERIES
    parts = []
    for number, row in enumerate(rows):
        x = max(10.0, (width - sum(_length(figure.series[place].name) + _LEGEND_GAP for place in row)) / 2)
        y = HEIGHT - 10 - _LEGEND_ROW * (len(rows) - 1 - number)
        for place in row:
            colour = colours[place % len(colours)]
            parts.append(f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="12" height="9" fill="#{colour}"/>')
            parts.append(_text(x + 18, y, figure.series[place].name))
            x += _length(figure.series[place].name) + _LEGEND_GAP
    return parts
