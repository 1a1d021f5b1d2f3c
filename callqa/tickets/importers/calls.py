"""Facts of imported calls (通话清单) -> CallInput rows and one error per bad cell: CSV, XLSX or JSON.

One row names a recording and says what its file cannot: when, who called whom, which seat, which ticket. A JSON file
is a list of objects, an object holding one such list, or one object for the recording of the same name.
Whether the recording, the agent and the seat exist is the use case's question, not this file's.
"""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from callqa.errors import ImportFileError, ImportRowError
from callqa.tickets.importers import values as v
from callqa.tickets.importers.columns import Column, clean_header, columns_with, find_layout
from callqa.tickets.importers.sheet import MAX_COLUMNS, MAX_ROWS, Cell, Sheet, SheetRow, decode_text, read_sheet
from callqa.tickets.importers.tickets import read_cells

CALL_COLUMNS = (
    Column("recording", "录音文件", ("录音", "录音文件名", "录音名称", "录音路径", "录音地址", "文件名", "文件", "file", "filename"), "recording"),
    Column("started_at", "开始时间", ("通话开始时间", "呼叫时间", "通话时间", "来电时间", "呼入时间", "拨打时间", "录音开始时间", "录音时间", "起始时间"), "time"),
    Column("answered_at", "接通时间", ("应答时间", "摘机时间", "接听时间"), "time"),
    Column("ended_at", "结束时间", ("通话结束时间", "挂机时间", "挂断时间", "录音结束时间")),
    Column("from_number", "主叫", ("主叫号码", "来电号码", "呼入号码", "主叫电话", "caller", "from")),
    Column("to_number", "被叫", ("被叫号码", "被叫电话", "callee", "to")),
    Column("citizen_number", "诉求人号码", ("客户号码", "对方号码", "市民号码", "联系电话", "电话号码", "客户电话")),
    Column("direction", "方向", ("呼叫方向", "通话方向", "呼入呼出", "呼叫类型", "通话类型")),
    Column("agent_no", "工号", ("坐席工号", "座席工号", "话务员工号", "员工号", "员工编号")),
    Column("seat_extension", "席位", ("席位号", "座席", "座席号", "坐席号", "分机", "分机号", "坐席分机", "座席分机", "坐席", "extension")),
    Column("ticket_no", "工单编号", ("工单号", "工单编码", "受理编号", "单号")),
    Column("hangup_party", "挂机方", ("挂断方", "结束方", "释放方")),
    Column("left", "左声道", ("左声道是",)),
)  # fmt: skip
TITLES: Mapping[str, str] = {c.field: c.title for c in CALL_COLUMNS}

_DIRECTIONS = {
    "呼入": "inbound", "呼出": "outbound", "来电": "inbound", "去电": "outbound", "入": "inbound", "出": "outbound",
    "呼入受理": "inbound", "呼出核实": "outbound", "呼出回访": "outbound", "外呼": "outbound", "in": "inbound", "out": "outbound",
}  # fmt: skip
_PARTIES = {
    "坐席": "agent", "诉求人": "citizen", "网络": "network", "座席": "agent", "话务员": "agent", "市民": "citizen",
    "客户": "citizen", "用户": "citizen", "系统": "network", "线路": "network",
}  # fmt: skip
_SIDES = {"诉求人": "citizen", "坐席": "agent", "座席": "agent", "市民": "citizen", "客户": "citizen"}


class CallInput(BaseModel):
    """One checked row. recording: its file name as written, folders with /; None and "" where the table is silent."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    row: int
    recording: str
    started_at_ms: int | None = None
    answered_at_ms: int | None = None
    ended_at_ms: int | None = None
    from_number: str = ""
    to_number: str = ""
    citizen_number: str = ""
    direction: Literal["inbound", "outbound"] | None = None
    agent_no: str = ""
    seat_extension: str = ""
    ticket_no: str = ""
    hangup_party: Literal["agent", "citizen", "network"] | None = None
    left: Literal["citizen", "agent"] | None = None


@dataclass(frozen=True, slots=True)
class CallFile:
    """What a table of call facts held, in its order."""

    rows: tuple[CallInput, ...]
    errors: tuple[ImportRowError, ...]


_PARSERS: Mapping[str, Callable[[Cell], Any]] = {
    "started_at": v.parse_stamp,
    "answered_at": v.parse_stamp,
    "ended_at": v.parse_stamp,
    "from_number": v.parse_number,
    "to_number": v.parse_number,
    "citizen_number": v.parse_number,
    "direction": lambda c: v.parse_enum(c, _DIRECTIONS, "方向"),
    "agent_no": v.parse_agent_no,
    "seat_extension": v.parse_agent_no,
    "ticket_no": v.parse_ticket_no,
    "hangup_party": lambda c: v.parse_enum(c, _PARTIES, "挂机方"),
    "left": lambda c: v.parse_enum(c, _SIDES, "左声道的一方"),
}


def read_calls(file_name: str, data: bytes, mapping: Mapping[str, str] | None = None) -> CallFile:
    """Read a table of call facts. Raise ImportFileError when it is none; row errors are returned, in row order."""
    is_json = file_name.lower().endswith(".json")
    sheet = _sheet_of_json(file_name, data) if is_json else read_sheet(file_name, data)
    layout = find_layout(sheet, columns_with(CALL_COLUMNS, mapping or {}), "通话清单")
    rows: list[CallInput] = []
    errors: list[ImportRowError] = []
    for sheet_row in sheet.rows:
        if sheet_row.row <= layout.header_row:
            continue
        found, row_errors = read_cells(sheet_row, layout, _PARSERS, TITLES)
        errors += row_errors
        if row_errors:
            continue
        made = _checked(sheet_row.row, found)
        if isinstance(made, CallInput):
            rows.append(made)
        else:
            errors.append(made)
    return CallFile(tuple(rows), tuple(errors))


def _checked(row: int, found: Mapping[str, Any]) -> CallInput | ImportRowError:
    recording = str(found.get("recording") or "").replace("\\", "/").strip()
    if not PurePosixPath(recording).name:
        return ImportRowError(row, TITLES["recording"], "是空的；每行应写明录音文件名")
    times = [(name, found.get(name)) for name in ("started_at", "answered_at", "ended_at")]
    known = [(name, at) for name, at in times if at is not None]
    if not known or known[0][0] == "ended_at":
        return ImportRowError(row, TITLES["started_at"], "是空的；每通电话应有开始时间或接通时间")
    for (earlier, first), (later, second) in itertools.pairwise(known):
        if second < first:
            return ImportRowError(row, TITLES[later], f"早于{TITLES[earlier]}；请核对两个时间")
    given: dict[str, Any] = {"row": row, "recording": recording}
    given |= {f"{name}_ms": at for name, at in times}
    given |= {name: found.get(name) or "" for name in ("from_number", "to_number", "citizen_number")}
    given |= {name: found.get(name) or "" for name in ("agent_no", "seat_extension", "ticket_no")}
    given |= {name: found.get(name) or None for name in ("direction", "hangup_party", "left")}
    return CallInput.model_validate(given)


def _sheet_of_json(file_name: str, data: bytes) -> Sheet:
    """The objects of a JSON file as a table: a header of all their keys, then one row an object."""
    try:
        value = json.loads(decode_text(data))
    except (ValueError, RecursionError) as e:
        raise ImportFileError(f"{file_name} 不是合法的 JSON：{str(e)[:80]}") from e
    objects = _objects(value)
    if objects is None:
        raise ImportFileError(f"{file_name} 里没有通话清单；应是对象的列表，每个对象一通电话")
    keys = list(dict.fromkeys(str(key) for each in objects for key in each))
    if len(objects) > MAX_ROWS or len(keys) > MAX_COLUMNS:
        raise ImportFileError(f"{file_name} 有 {len(objects)} 条、{len(keys)} 种字段，过多；请按月分开导出")
    if isinstance(value, dict) and objects == [value] and not _names_a_recording(keys):
        keys.append("recording")
        objects = [{**value, "recording": PurePosixPath(file_name).stem}]
    header = SheetRow(1, tuple(Cell(key) for key in keys))
    rows = (SheetRow(n, tuple(_json_cell(each.get(key)) for key in keys)) for n, each in enumerate(objects, 2))
    return Sheet("JSON", (header, *(row for row in rows if not row.blank)))


def _objects(value: object) -> list[dict[str, Any]] | None:
    if isinstance(value, dict):
        lists = [part for part in value.values() if isinstance(part, list) and part]
        if len(lists) == 1 and all(isinstance(each, dict) for each in lists[0]):
            return list(lists[0])
        return [value]
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return value
    return None


def _names_a_recording(keys: Sequence[str]) -> bool:
    names = {clean_header(n) for n in ("recording", TITLES["recording"], *CALL_COLUMNS[0].synonyms)}
    return any(clean_header(key) in names for key in keys)


def _json_cell(value: object) -> Cell:
    if value is None or isinstance(value, dict | list):
        return Cell("")
    if isinstance(value, bool):
        return Cell("是" if value else "否")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return Cell(str(int(value)))
    return Cell(str(value))


__all__ = ["CALL_COLUMNS", "TITLES", "CallFile", "CallInput", "read_calls"]
