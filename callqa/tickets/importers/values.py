"""One cell -> one value: times, phone numbers, enums, yes/no, counts. Each refusal is one Chinese sentence.

A refusal says what was found and what is expected. A blank is None or "", never a guess.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta

from callqa.matching import canonical_number
from callqa.periods import SHANGHAI, to_ms
from callqa.tickets.importers.sheet import MAX_CELL_CHARS, Cell, CellKind

CATEGORIES = {
    "咨询": "consult", "求助": "help", "投诉": "complaint", "举报": "report", "建议": "suggestion", "表扬": "praise",
}  # fmt: skip
MATTER_CATEGORIES = {
    "供水": "water_supply", "排水": "drainage", "积水": "waterlogging", "河湖": "river_lake", "防汛": "flood",
    "节水": "saving", "执法": "enforcement", "其他": "other",
}  # fmt: skip
_ENUM_SYNONYMS = {
    "求决": "求助", "意见建议": "建议", "感谢": "表扬", "内涝": "积水", "渍水": "积水", "积水内涝": "积水",
    "湖泊": "河湖", "其它": "其他", "水政执法": "执法", "节约用水": "节水", "供水排水": "",
}  # fmt: skip
SATISFACTION_LEVELS = ("非常满意", "满意", "基本满意", "不满意", "非常不满意")
_NO_RATING = frozenset({"", "未评价", "未回访", "无", "未参评", "-", "—", "/"})
_YES = frozenset({"是", "1", "y", "yes", "true", "√", "✓", "有", "加急", "紧急"})
_NO = frozenset({"", "否", "0", "n", "no", "false", "×", "无", "不加急", "普通", "一般"})
SHIFTS = {
    "白班": "day", "日班": "day", "早班": "day", "中班": "day", "白": "day",
    "夜班": "night", "晚班": "night", "夜": "night", "大夜": "night",
    "节假日": "holiday", "节假日班": "holiday", "假日班": "holiday", "节日班": "holiday", "节日": "holiday",
}  # fmt: skip
_NO_NUMBER = frozenset({"", "匿名", "无", "未提供", "未知", "不详", "保密", "-", "—", "/", "0"})
_SCIENTIFIC = re.compile(r"[+-]?\d+(\.\d+)?[eE]\+?\d+")


class CellRefused(ValueError):
    """A cell that cannot be taken; str() is the Chinese sentence."""


def shown(text: str) -> str:
    """A value as quoted in a message: one line, at most 30 characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= 30 else flat[:30] + "…"


def plain(cell: Cell) -> str:
    """Text of a cell as a person meant it: trimmed, and Excel's text guard `="…"` taken off.

    Anything else that begins with = is kept as the text it is; it is never calculated.
    """
    if cell.kind is CellKind.FORMULA:
        raise CellRefused(f"是公式“{shown(cell.text)}”，只认数值；请在 Excel 中“选择性粘贴—数值”后再导出")
    if cell.kind is CellKind.UNCLOSED:
        raise CellRefused("引号没有成对，这一行之后的内容都被当成一格；请补上引号再导入")
    text = cell.text.strip().strip("\ufeff")
    wrapped = re.fullmatch(r'="([^"]*)"', text)
    if wrapped:
        text = wrapped[1].strip()
    if len(text) > MAX_CELL_CHARS:
        raise CellRefused(f"有 {len(text)} 个字，超过 {MAX_CELL_CHARS}")
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", text):
        raise CellRefused("含有看不见的控制字符；请删去后再导入")
    return text


def parse_ticket_no(cell: Cell) -> str:
    """A ticket number as written, without spaces and without Excel's apostrophe."""
    text = unicodedata.normalize("NFKC", plain(cell)).replace(" ", "").lstrip("'")
    if _SCIENTIFIC.fullmatch(text):
        raise CellRefused(f"“{text}”被 Excel 存成了科学计数，末几位已丢失；请把该列设为“文本”后重新导出")
    if text and not re.fullmatch(r"[0-9A-Za-z\u4e00-\u9fff][0-9A-Za-z\u4e00-\u9fff_\-./\[\]()#〔〕]{2,63}", text):
        raise CellRefused(f"“{shown(text)}”不像工单编号；应为 3 至 64 位字母、数字或连字符，如 SW202611030112")
    return text


def parse_agent_no(cell: Cell) -> str:
    """A 工号, `801`."""
    text = unicodedata.normalize("NFKC", plain(cell)).removesuffix("号").lstrip("'")
    if text and not re.fullmatch(r"[0-9A-Za-z_-]{1,16}", text):
        raise CellRefused(f"“{shown(text)}”不是工号；应为数字或字母，如 801")
    return text


def parse_number(cell: Cell) -> str:
    """A phone number in canonical form; "" when the platform wrote that there is none."""
    text = unicodedata.normalize("NFKC", plain(cell)).lstrip("'")
    if text in _NO_NUMBER:
        return ""
    if _SCIENTIFIC.fullmatch(text):
        raise CellRefused(f"“{text}”被 Excel 存成了科学计数，末几位已丢失；请把该列设为“文本”后重新导出")
    if "*" in text:
        raise CellRefused(f"“{shown(text)}”已脱敏，无法与通话核对；请导出完整号码")
    if cell.kind is CellKind.NUMBER and re.fullmatch(r"2\d{9}", text):
        text = "0" + text  # Excel dropped the 0 of 027-…: two-digit area codes 20-29 carry eight digits
    digits = canonical_number(re.sub(r"(转|分机|-)\d{1,5}$", "", text) if re.search("转|分机", text) else text)
    if not 3 <= len(digits) <= 20:
        raise CellRefused(f"“{shown(text)}”不是电话号码；应为 11 位手机号或带区号的座机")
    return digits


def split_numbers(cell: Cell) -> tuple[Cell, str]:
    """The first of several numbers in one cell, and the rest as text ("" when there is one)."""
    if cell.kind is not CellKind.TEXT:
        return cell, ""
    parts = [p for p in re.split(r"[,，、/;；\s]+", cell.text.strip()) if p]
    if len(parts) > 1 and all(len(canonical_number(p)) >= 7 for p in parts):
        return Cell(parts[0]), "、".join(parts[1:])
    return cell, ""


_DATE = r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?"
_CLOCK = r"(上午|下午|晚上|中午|凌晨|早上|[aApP][mM])?\s*(\d{1,2})[:时点](\d{1,2})分?(?:[:]?(\d{1,2})(?:\.\d+)?秒?)?\s*([aApP][mM])?"
_INSTANT = re.compile(rf"{_DATE}(?:[T\s]*{_CLOCK})?\s*(Z|[+-]\d{{2}}:?\d{{2}})?")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?")
_EPOCH_S, _EPOCH_MS = re.compile(r"1\d{9}(\.\d+)?"), re.compile(r"1\d{12}")
_EXPECTED_TIME = "应如 2026-11-03 08:14:30"


def parse_instant(cell: Cell) -> int | None:
    """UTC milliseconds of a time written on the hotline's clock (or with its own offset); None when blank."""
    return _instant(cell, day_end=False)


def parse_stamp(cell: Cell) -> int | None:
    """As parse_instant; what telephone systems write is read too: seconds or milliseconds since 1970, parts of a second."""
    text = cell.text.strip()
    if _EPOCH_MS.fullmatch(text):
        return int(text)
    if _EPOCH_S.fullmatch(text):
        return round(float(text) * 1000)
    return parse_instant(Cell(re.sub(r"\.\d+$", "", text), cell.kind))


def parse_deadline(cell: Cell) -> int | None:
    """As parse_instant, but a bare day means its end: `2026-11-06` -> 23:59:59 of that day."""
    return _instant(cell, day_end=True)


def _instant(cell: Cell, day_end: bool) -> int | None:
    text = unicodedata.normalize("NFKC", plain(cell))
    if text in ("", "-", "—", "/", "无"):
        return None
    compact = _COMPACT.fullmatch(text)
    if compact and cell.kind is CellKind.TEXT:
        year, month, day, hour, minute, second = (int(g or 0) for g in compact.groups())
        return _to_ms(text, year, month, day, hour, minute, second, None)
    match = _INSTANT.fullmatch(text)
    if match is None:
        if re.fullmatch(r"\d{5}(\.\d+)?", text):
            raise CellRefused(f"“{text}”是 Excel 的日期序号；请把该列设为日期格式后重新导出")
        raise CellRefused(f"看不懂时间“{shown(text)}”；{_EXPECTED_TIME}")
    year_text, month_text, day_text, half, hour_text, minute_text, second_text, half_after, offset = match.groups()
    month, day = int(month_text), int(day_text)
    if hour_text is None:
        if not day_end:
            raise CellRefused(f"“{shown(text)}”只有日期没有时刻；{_EXPECTED_TIME}")
        return _to_ms(text, int(year_text), month, day, 23, 59, 59, offset)
    hour = _hour(text, int(hour_text), (half or half_after or "").lower())
    return _to_ms(text, int(year_text), month, day, hour, int(minute_text), int(second_text or 0), offset)


def _hour(text: str, hour: int, half: str) -> int:
    if half in ("下午", "晚上", "pm", "中午") and 1 <= hour < 12:
        return hour if half == "中午" and hour >= 10 else hour + 12
    if half in ("上午", "am", "凌晨") and hour == 12:
        return 0
    if half in ("上午", "am", "凌晨", "早上") and hour > 12:
        raise CellRefused(f"时间“{shown(text)}”自相矛盾；{_EXPECTED_TIME}")
    return hour


def _to_ms(text: str, year: int, month: int, day: int, hour: int, minute: int, second: int, offset: str | None) -> int:
    if not 2000 <= year <= 2099:
        raise CellRefused(f"时间“{shown(text)}”的年份不在 2000 至 2099 之间")
    try:
        midnight_after = hour == 24 and minute == second == 0
        local = datetime(year, month, day, 0 if midnight_after else hour, minute, second, tzinfo=SHANGHAI)
    except ValueError as e:
        raise CellRefused(f"时间“{shown(text)}”不存在；{_EXPECTED_TIME}") from e
    if midnight_after:
        local += timedelta(days=1)
    if offset is None:
        return to_ms(local)
    try:
        return to_ms(datetime.fromisoformat(local.replace(tzinfo=None).isoformat() + offset.replace("Z", "+00:00")))
    except ValueError as e:
        raise CellRefused(f"时间“{shown(text)}”的时区写法不对；{_EXPECTED_TIME}") from e


def parse_enum(cell: Cell, values: Mapping[str, str], what: str) -> str | None:
    """The code of a Chinese label (or of the code itself); None when blank."""
    text = unicodedata.normalize("NFKC", plain(cell))
    text = _ENUM_SYNONYMS.get(text.removesuffix("类"), text.removesuffix("类")) or text
    if not text or text in ("-", "—", "/"):
        return None
    if text in values:
        return values[text]
    if text.lower() in values.values():
        return text.lower()
    labels: dict[str, str] = {}
    for label, code in values.items():
        labels.setdefault(code, label)
    raise CellRefused(f"“{shown(text)}”不是{what}；应为{'、'.join(labels.values())}之一")


def parse_satisfaction(cell: Cell) -> str:
    """One of the five levels, or ""."""
    text = unicodedata.normalize("NFKC", plain(cell))
    if text in _NO_RATING:
        return ""
    if text not in SATISFACTION_LEVELS:
        raise CellRefused(f"“{shown(text)}”不是满意度；应为{'、'.join(SATISFACTION_LEVELS)}之一，未评价请留空")
    return text


def parse_flag(cell: Cell) -> bool:
    """是 / 否; blank is 否."""
    text = unicodedata.normalize("NFKC", plain(cell)).lower()
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise CellRefused(f"“{shown(text)}”应为“是”或“否”")


def parse_count(cell: Cell) -> int | None:
    """A small whole number; None when blank."""
    text = unicodedata.normalize("NFKC", plain(cell)).removesuffix("次")
    if text in ("", "-", "—"):
        return None
    if not re.fullmatch(r"\d{1,3}(\.0)?", text):
        raise CellRefused(f"“{shown(text)}”不是次数；应为 0 至 999 的整数")
    return int(float(text))


def parse_clock(cell: Cell) -> tuple[int, bool]:
    """Minutes after midnight of a shift's start or end, and whether it says 次日. `24:00` -> 1440."""
    text = unicodedata.normalize("NFKC", plain(cell))
    match = re.fullmatch(r"(次日|第二天|翌日)?\s*(\d{1,2})[:时点](?:(\d{1,2})分?)?(?::\d{1,2})?", text)
    if match is None:
        raise CellRefused(f"看不懂时刻“{shown(text)}”；应如 08:00 或 次日08:00")
    hour, minute = int(match[2]), int(match[3] or 0)
    if hour > 24 or minute > 59 or (hour == 24 and minute):
        raise CellRefused(f"时刻“{shown(text)}”不存在；应在 00:00 至 24:00 之间")
    return hour * 60 + minute, bool(match[1])


def parse_day(cell: Cell) -> datetime:
    """Midnight of a roster day, on the hotline's clock."""
    text = unicodedata.normalize("NFKC", plain(cell))
    match = re.fullmatch(_DATE + r"(?:\s*\(?(?:星期|周).\)?)?(?:[T\s]+0{1,2}:00(?::00)?)?", text) or re.fullmatch(
        r"(\d{4})(\d{2})(\d{2})", text
    )
    if match is None:
        raise CellRefused(f"看不懂日期“{shown(text)}”；应如 2026-11-03")
    try:
        day = datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=SHANGHAI)
    except ValueError as e:
        raise CellRefused(f"日期“{shown(text)}”不存在") from e
    if not 2000 <= day.year <= 2099:
        raise CellRefused(f"日期“{shown(text)}”的年份不在 2000 至 2099 之间")
    return day
