"""What a report is made of: chapters of paragraphs, cards, tables and figures. Values only; renderers draw them.

Every number is text exactly as printed, with the number beside it for spreadsheets; all formats print the same text.
`to_json` and `from_json` keep a report in a database: from_json(to_json(x)) == x.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any

MISSING = "—"
UNFILLED = "（待补充）"


class CellKind(StrEnum):
    """How a cell's text came about; spreadsheets write numbers as numbers."""

    TEXT = "text"
    NUMBER = "number"  # a whole number or one with decimals, as printed
    PERCENT = "percent"  # number is the share in [0, 1]
    FILL = "fill"  # a text the leader writes


class Tone(StrEnum):
    """Meaning of a colour; renderers choose the colour."""

    NONE = ""
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    MUTED = "muted"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. heat: 0 (poor) to 1 (full) for a heat map, None elsewhere. slot: where a FILL text is kept.

    call_ids: the calls that the cell counts, so that a page can open them.
    """

    text: str
    kind: CellKind = CellKind.TEXT
    number: float | None = None
    tone: Tone = Tone.NONE
    heat: float | None = None
    slot: str = ""
    call_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """A column's head; group spans neighbours of the same group. width: relative. align: left | center | right."""

    label: str
    width: float = 1.0
    align: str = "center"
    group: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """表. total_rows: how many rows at the end are sums."""

    no: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total_rows: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wrong = [i for i, row in enumerate(self.rows) if len(row) != len(self.columns)]
        if wrong:
            raise ValueError(
                f"table {self.no}: row {wrong[0]} has {len(self.rows[wrong[0]])} cells of {len(self.columns)}"
            )


class FigureKind(StrEnum):
    """Kinds of figure that every renderer knows."""

    BARS = "bars"
    STACKED = "stacked"  # shares of 100 %
    LINES = "lines"  # with a band where low and high are given
    FOREST = "forest"  # points with intervals, one row each
    PARETO = "pareto"  # bars, and the cumulative share as a line on the right axis


@dataclass(frozen=True, slots=True)
class Series:
    """One run of values over the categories. low, high: intervals, empty without any."""

    name: str
    values: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """图. reference: a line across, e.g. the team's mean. marks: categories with a vertical line (rubric changed)."""

    no: str
    title: str
    kind: FigureKind
    categories: tuple[str, ...]
    series: tuple[Series, ...]
    unit: str = ""
    reference: float | None = None
    reference_label: str = ""
    minimum: float | None = None
    maximum: float | None = None
    marks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def caption(self) -> str:
        """`图 2-1　… （单位：通）`."""
        return f"图 {self.no}　{self.title}{f'（单位：{self.unit}）' if self.unit else ''}"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """正文. slot: set where the text is the leader's; tone MUTED for notes."""

    text: str
    tone: Tone = Tone.NONE
    slot: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """指标卡: title, the value as printed, and lines under it. state: met | missed | no_data | "" without a target."""

    title: str
    value: str
    lines: tuple[str, ...] = ()
    state: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Cards:
    """Cards of a page, in reading order."""

    cards: tuple[Card, ...]


Block = Paragraph | Cards | Table | Figure


@dataclass(frozen=True, slots=True)
class Chapter:
    """章."""

    key: str
    number: str  # 一, 二 …
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class MonthlyReport:
    """《月度质检报告》 as values. attachments: tables that only spreadsheets carry. blockers: what forbids finalising."""

    title: str
    month: str
    month_label: str
    report_no: str
    version: int
    demo: bool
    hotline_name: str
    organisation: str
    cover: tuple[tuple[str, str], ...]
    rubric_label: str
    frame_hash: str
    made_at: str
    chapters: tuple[Chapter, ...]
    attachments: tuple[Table, ...]
    blockers: tuple[str, ...]
    made_at_ms: int = 0  # of made_at; 0 in values stored before it was kept

    @property
    def footer(self) -> str:
        """页脚 without the page number."""
        return f"{self.report_no}　标准 {self.rubric_label}　抽样框 {self.frame_hash[:12]}　生成 {self.made_at}"

    @property
    def file_stem(self) -> str:
        """File name without its ending."""
        return f"{self.month_label}{self.hotline_name}月度质检报告"

    def tables(self) -> tuple[Table, ...]:
        """All tables of the chapters, in order."""
        return tuple(block for chapter in self.chapters for block in chapter.blocks if isinstance(block, Table))

    def figures(self) -> tuple[Figure, ...]:
        """All figures of the chapters, in order."""
        return tuple(block for chapter in self.chapters for block in chapter.blocks if isinstance(block, Figure))


_CLASSES: Mapping[str, type] = {
    c.__name__: c for c in (Cell, Column, Table, Series, Figure, Paragraph, Card, Cards, Chapter, MonthlyReport)
}
_ENUMS: Mapping[tuple[str, str], type[StrEnum]] = {
    ("Cell", "kind"): CellKind,
    ("Cell", "tone"): Tone,
    ("Figure", "kind"): FigureKind,
    ("Paragraph", "tone"): Tone,
}


def to_json(report: MonthlyReport) -> dict[str, Any]:
    """Plain JSON values; each object names its class under `_`, and fields at their default are left out."""
    encoded = _encode(report)
    assert isinstance(encoded, dict)
    return encoded


def from_json(stored: Mapping[str, Any]) -> MonthlyReport:
    """The report that `to_json` stored. Raise ValueError when it is none."""
    report = _decode(stored)
    if not isinstance(report, MonthlyReport):
        raise ValueError("stored values are no monthly report")
    return report


def _encode(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        kept = {f.name: _encode(v) for f in fields(value) if (v := getattr(value, f.name)) != f.default}
        return {"_": type(value).__name__, **kept}
    if isinstance(value, tuple):
        return [_encode(child) for child in value]
    return str(value) if isinstance(value, StrEnum) else value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(child) for child in value)
    if isinstance(value, Mapping):
        name = str(value.get("_"))
        if name not in _CLASSES:
            raise ValueError(f"stored value of unknown class {name!r}")
        kept = {str(key): _decode(child) for key, child in value.items() if key != "_"}
        kept |= {key: _ENUMS[name, key](child) for key, child in kept.items() if (name, key) in _ENUMS}
        return _CLASSES[name](**kept)
    return value
