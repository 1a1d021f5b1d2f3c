"""A PBX's call list (话单) -> CdrRow and one error per bad cell: CSV, XLSX; what Asterisk and FreeSWITCH write as well.

Only what a comparison with our calls needs is read: when, who, how long, whether it was answered. A number that is none
(anonymous, a name) is "" and no error; a masked one (138****6358) is, for it cannot be compared.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from callqa.errors import ImportRowError
from callqa.matching import canonical_number
from callqa.tickets.importers import values as v
from callqa.tickets.importers.columns import Column, columns_with, find_layout
from callqa.tickets.importers.sheet import Cell, Sheet, SheetRow, read_sheet
from callqa.tickets.importers.tickets import read_cells

CDR_COLUMNS = (
    Column("started_at", "开始时间", ("呼叫时间", "通话时间", "通话开始时间", "来电时间", "呼入时间", "拨打时间", "起始时间", "calldate", "start", "start_time", "starttime", "start_stamp"), "time"),
    Column("answered_at", "接通时间", ("应答时间", "摘机时间", "接听时间", "answer", "answer_time", "answer_stamp"), "time"),
    Column("ended_at", "结束时间", ("通话结束时间", "挂机时间", "挂断时间", "end", "end_time", "end_stamp")),
    Column("talk", "通话时长", ("通话秒数", "接通时长", "通话时长(秒)", "billsec", "talk_time")),
    Column("from_number", "主叫", ("主叫号码", "来电号码", "主叫电话", "src", "caller", "callerid", "caller_id_number", "from"), "number"),
    Column("to_number", "被叫", ("被叫号码", "被叫电话", "dst", "callee", "destination_number", "to"), "number"),
    Column("status", "状态", ("呼叫结果", "通话结果", "接通状态", "呼叫状态", "通话状态", "是否接通", "disposition", "hangup_cause")),
    Column("seat_extension", "席位", ("席位号", "座席", "座席号", "坐席号", "分机", "分机号", "坐席分机", "座席分机", "坐席", "dstchannel", "extension")),
    Column("pbx_id", "话单号", ("流水号", "呼叫标识", "通话标识", "uniqueid", "uuid", "linkedid", "call_id", "callid")),
)  # fmt: skip
TITLES: Mapping[str, str] = {c.field: c.title for c in CDR_COLUMNS}

# The lists that these write by themselves have no header line.
_ASTERISK = (
    "accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata", "start", "answer",
    "end", "duration", "billsec", "disposition", "amaflags", "uniqueid", "userfield",
)  # fmt: skip
_FREESWITCH = (
    "caller_id_name", "caller_id_number", "destination_number", "context", "start_stamp", "answer_stamp", "end_stamp",
    "duration", "billsec", "hangup_cause", "uuid", "bleg_uuid", "accountcode",
)  # fmt: skip
_YES = frozenset({"answered", "answer", "normal_clearing", "接通", "已接通", "已接", "成功", "是", "接听", "已接听", "正常", "完成", "1", "yes"})  # fmt: skip
_NO = frozenset({
    "no answer", "noanswer", "no_answer", "busy", "failed", "congestion", "cancel", "canceled", "cancelled", "user_busy",
    "originator_cancel", "no_user_response", "call_rejected", "未接通", "未接", "未接听", "无应答", "无人应答", "忙",
    "忙线", "失败", "拒接", "呼损", "放弃", "取消", "空号", "否", "0", "no",
})  # fmt: skip
_MASKED = re.compile(r"\d+\*{2,}\d*")
_SCIENTIFIC = re.compile(r"[+-]?\d+(\.\d+)?[eE]\+?\d+")
_CHANNEL = re.compile(r"(?:PJSIP|SIP|IAX2|sofia/[\w.-]+)/(?:sip:)?([0-9A-Za-z_.]+?)(?:[-@].*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CdrRow:
    """One line of the PBX's list. row: its line in the file. answered: None when the list does not tell."""

    row: int
    started_at_ms: int
    answered_at_ms: int | None
    ended_at_ms: int | None
    talk_ms: int | None
    from_number: str
    to_number: str
    seat_extension: str
    answered: bool | None
    status: str
    pbx_id: str


@dataclass(frozen=True, slots=True)
class CdrFile:
    """What a call list held, in its order."""

    rows: tuple[CdrRow, ...]
    errors: tuple[ImportRowError, ...]


def parse_talk(cell: Cell) -> int | None:
    """Milliseconds of `63`, `63.5`, `01:03`, `0:01:03` or `1分3秒`; None when blank."""
    text = unicodedata.normalize("NFKC", v.plain(cell)).replace(" ", "")
    if text in ("", "-", "—"):
        return None
    if re.fullmatch(r"\d{1,6}(\.\d+)?秒?", text):
        return round(float(text.removesuffix("秒")) * 1000)
    clock = re.fullmatch(r"(?:(\d{1,3}):)?(\d{1,3}):(\d{2})(?:\.\d+)?", text) or re.fullmatch(
        r"(?:(\d{1,3})(?:小时|时))?(?:(\d{1,3})分钟?)?(?:(\d{1,2})秒)?", text
    )
    if clock is None:
        raise v.CellRefused(f"看不懂时长“{v.shown(text)}”；应为秒数，或如 01:03")
    hours, minutes, seconds = (int(part or 0) for part in clock.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000


def _number(cell: Cell) -> str:
    text = unicodedata.normalize("NFKC", v.plain(cell)).lstrip("'")
    if _MASKED.fullmatch(text):
        raise v.CellRefused(f"“{v.shown(text)}”已脱敏，无法与通话核对；请导出完整号码")
    if _SCIENTIFIC.fullmatch(text):
        raise v.CellRefused(f"“{text}”被 Excel 存成了科学计数，末几位已丢失；请把该列设为“文本”后重新导出")
    inside = re.search(r"<([^<>]*)>", text)  # "王" <13871206358>
    return canonical_number(inside[1] if inside else text)


def _seat(cell: Cell) -> str:
    text = v.plain(cell)
    found = _CHANNEL.fullmatch(text)
    return (found[1] if found else text)[:32]


_PARSERS: Mapping[str, Callable[[Cell], Any]] = {
    "started_at": v.parse_stamp,
    "answered_at": v.parse_stamp,
    "ended_at": v.parse_stamp,
    "talk": parse_talk,
    "from_number": _number,
    "to_number": _number,
    "seat_extension": _seat,
}


def read_cdr(file_name: str, data: bytes, mapping: Mapping[str, str] | None = None) -> CdrFile:
    """Read a PBX's call list. Raise ImportFileError when it is none; row errors are returned, in row order."""
    sheet = _with_header(read_sheet(file_name, data))
    layout = find_layout(sheet, columns_with(CDR_COLUMNS, mapping or {}), "话单")
    rows: list[CdrRow] = []
    errors: list[ImportRowError] = []
    for sheet_row in sheet.rows:
        if sheet_row.row <= layout.header_row:
            continue
        found, row_errors = read_cells(sheet_row, layout, _PARSERS, TITLES)
        errors += row_errors
        if not row_errors:
            made = _row_of(sheet_row.row, found)
            if isinstance(made, CdrRow):
                rows.append(made)
            else:
                errors.append(made)
    return CdrFile(tuple(rows), tuple(errors))


def _row_of(row: int, found: Mapping[str, Any]) -> CdrRow | ImportRowError:
    started_ms, answered_ms = found.get("started_at"), found.get("answered_at")
    if started_ms is None and answered_ms is None:
        return ImportRowError(row, TITLES["started_at"], "是空的；每通电话应有开始时间或接通时间")
    status = str(found.get("status") or "").strip()
    talk_ms = found.get("talk")
    answered = _answered(status, talk_ms, answered_ms, has_answer="answered_at" in found)
    return CdrRow(
        row=row,
        started_at_ms=started_ms if started_ms is not None else answered_ms or 0,
        answered_at_ms=answered_ms if answered is not False else None,
        ended_at_ms=found.get("ended_at"),
        talk_ms=talk_ms,
        from_number=found.get("from_number") or "",
        to_number=found.get("to_number") or "",
        seat_extension=str(found.get("seat_extension") or ""),
        answered=answered,
        status=status[:60],
        pbx_id=str(found.get("pbx_id") or "")[:80],
    )


def _answered(status: str, talk_ms: int | None, answered_ms: int | None, *, has_answer: bool) -> bool | None:
    """What the list says; a talk time of 0 beats a cause such as NORMAL_CLEARING, which unanswered calls end with too."""
    if talk_ms is not None:
        return talk_ms > 0
    said = unicodedata.normalize("NFKC", status).lower()
    if said in _NO:
        return False
    if answered_ms is not None or said in _YES:
        return True
    return False if has_answer else None


def _with_header(sheet: Sheet) -> Sheet:
    """The sheet with a header line where the PBX's own list has none."""
    first = sheet.rows[0] if sheet.rows else None
    if first is None:
        return sheet
    texts = [c.text.strip() for c in first.cells]
    for names, cause, causes in (
        (_ASTERISK, 14, {"ANSWERED", "NO ANSWER", "BUSY", "FAILED", "CONGESTION"}),
        (_FREESWITCH, 9, None),
    ):
        if not len(names) - 4 <= len(texts) <= len(names) + 6 or len(texts) <= cause:
            continue
        known = texts[cause] in causes if causes else bool(re.fullmatch(r"[A-Z]+(_[A-Z]+)+", texts[cause]))
        if known:
            header = SheetRow(0, tuple(Cell(name) for name in names))
            width = len(names)
            return Sheet(sheet.kind, (header, *(SheetRow(r.row, r.cells[:width]) for r in sheet.rows)))
    return sheet


__all__ = ["CDR_COLUMNS", "TITLES", "CdrFile", "CdrRow", "parse_talk", "read_cdr"]
