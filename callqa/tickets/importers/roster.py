"""A roster 排班表 -> RosterInput rows and one error per bad cell. One row is one agent on one shift of one day.

An end at or before the start is on the next day (夜班 20:00-08:00), as is one that says 次日. Whether the agent and
the seat exist is the use case's question, not this file's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from callqa.errors import ImportRowError
from callqa.periods import to_ms
from callqa.tickets.importers import values as v
from callqa.tickets.importers.columns import ROSTER_COLUMNS, Layout, find_layout
from callqa.tickets.importers.sheet import Cell, SheetRow, read_sheet
from callqa.tickets.importers.tickets import read_cells

TITLES: Mapping[str, str] = {c.field: c.title for c in ROSTER_COLUMNS}
MAX_SHIFT_MIN = 24 * 60  # 值守 of a whole day is the longest known


class RosterInput(BaseModel):
    """One checked line of a roster. day: ISO date of the start; row: its line in the file, for later messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    row: int
    day: str
    shift: str
    agent_no: str = Field(min_length=1)
    name: str = ""
    seat_extension: str | None = None
    start_at_ms: int
    end_at_ms: int


@dataclass(frozen=True, slots=True)
class RosterFile:
    """What a roster file held, in its order."""

    rows: tuple[RosterInput, ...]
    errors: tuple[ImportRowError, ...]
    kind: str = ""


_PARSERS: Mapping[str, Callable[[Cell], Any]] = {
    "day": v.parse_day,
    "shift": lambda c: v.parse_enum(c, v.SHIFTS, "班次"),
    "agent_no": v.parse_agent_no,
    "seat_extension": v.parse_agent_no,  # the same alphabet: 8001
    "start": v.parse_clock,
    "end": v.parse_clock,
}


def read_roster(file_name: str, data: bytes) -> RosterFile:
    """Read a roster file. Raise ImportFileError when it is no roster; row errors are returned, in row order."""
    sheet = read_sheet(file_name, data)
    layout = find_layout(sheet, ROSTER_COLUMNS, "排班")
    rows: list[RosterInput] = []
    errors: list[ImportRowError] = []
    by_agent: dict[str, list[RosterInput]] = {}
    for sheet_row in sheet.rows:
        if sheet_row.row <= layout.header_row:
            continue
        entry, row_errors = _read_row(sheet_row, layout)
        errors.extend(row_errors)
        if entry is None:
            continue
        clash = _clash(entry, by_agent.get(entry.agent_no, []))
        if clash is not None:
            errors.append(clash)
            continue
        by_agent.setdefault(entry.agent_no, []).append(entry)
        rows.append(entry)
    return RosterFile(tuple(rows), tuple(errors), sheet.kind)


def _read_row(row: SheetRow, layout: Layout) -> tuple[RosterInput | None, list[ImportRowError]]:
    blank = [f for f, i in layout.fields if f not in ("name", "seat_extension") and not _text(row, i)]
    if blank:
        return None, [ImportRowError(row.row, TITLES[f], "是空的；每行排班必须有") for f in blank]
    found, errors = read_cells(row, layout, _PARSERS, TITLES)
    if errors:
        return None, errors
    start_min, start_next = found["start"]
    end_min, end_next = found["end"]
    if start_next:
        return None, [ImportRowError(row.row, TITLES["start"], "不能写“次日”；请把日期写成开始的那一天")]
    if end_next or end_min <= start_min:
        end_min += 24 * 60
    if end_min - start_min > MAX_SHIFT_MIN:
        return None, [ImportRowError(row.row, TITLES["end"], "班次超过 24 小时；请核对开始与结束")]
    if found["end"][0] == found["start"][0] and not end_next:
        return None, [ImportRowError(row.row, TITLES["end"], "与开始相同；全天值守请写 次日 的时刻")]
    entry = RosterInput(
        row=row.row,
        day=f"{found['day']:%Y-%m-%d}",
        shift=found["shift"],
        agent_no=found["agent_no"],
        name=found.get("name", ""),
        seat_extension=found.get("seat_extension") or None,
        start_at_ms=to_ms(found["day"] + timedelta(minutes=start_min)),
        end_at_ms=to_ms(found["day"] + timedelta(minutes=end_min)),
    )
    return entry, []


def _text(row: SheetRow, index: int) -> str:
    return row.cells[index].text.strip() if index < len(row.cells) else ""


def _clash(entry: RosterInput, earlier: list[RosterInput]) -> ImportRowError | None:
    """An agent cannot be on two shifts at once; the first stands."""
    for other in earlier:
        if entry.start_at_ms < other.end_at_ms and other.start_at_ms < entry.end_at_ms:
            message = f"工号 {entry.agent_no} 与第 {other.row} 行的时间重叠；只采用第 {other.row} 行"
            return ImportRowError(entry.row, "", message)
    return None
