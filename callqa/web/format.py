"""How values read on a page: labels instead of codes, masked numbers, points, sizes. Pure; registered as filters."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from callqa.live import LiveFault
from callqa.periods import say_short
from callqa.privacy import mask_text
from callqa.units import (
    CALL_TYPE_LABELS,
    DIRECTION_LABELS,
    DISPOSITION_LABELS,
    MATTER_LABELS,
    PARTY_LABELS,
    CallType,
    half_up,
)

COMPOUND_SURNAMES = frozenset(
    [
        "欧阳",
        "司马",
        "上官",
        "诸葛",
        "东方",
        "皇甫",
        "尉迟",
        "公孙",
        "慕容",
        "令狐",
        "司徒",
        "长孙",
        "宇文",
        "夏侯",
        "端木",
        "轩辕",
        "南宫",
        "独孤",
        "闻人",
        "澹台",
    ]
)

OUTCOME_LABELS = {"in_progress": "等待接听", "answered": "已接通", "unanswered": "未接通", "abandoned": "呼损"}
OUTCOME_REASON_LABELS = {
    "busy": "席位忙",
    "no_answer": "无人应答",
    "no_seat": "无签入席位",
    "cancelled": "对方取消",
    "declined": "被拒接",
    "unreachable": "无法接通",
}
RECORDING_LABELS = {"none": "无录音", "pending": "整理中", "ok": "完整", "missing": "缺失", "corrupt": "损坏"}
ATTRIBUTION_LABELS = {
    "pending": "待定",
    "login": "按签入",
    "roster": "按排班",
    "manual": "人工指定",
    "unknown": "归属不明",
}
LINK_LABELS = {"linked": "已关联", "doubtful": "待确认", "rejected": "已否定", "unlinked": "未关联"}
LINK_METHOD_LABELS = {"header": "话机带单号", "evidence": "按号码、坐席、时间", "manual": "人工"}
STAGE_LABELS = {"ingest": "入库", "attribute": "归属", "link": "关联", "transcribe": "转写", "check": "预评"}
PROGRESS_LABELS = {"wanted": "排队中", "running": "进行中", "done": "完成", "failed": "失败", "waiting": "等待条件"}
GAP_LABELS = {"lost": "丢失", "concealed": "补偿", "held": "保持", "paused": "暂停", "no_media": "无媒体"}
CATEGORY_LABELS = {
    "consult": "咨询",
    "help": "求助",
    "complaint": "投诉",
    "report": "举报",
    "suggestion": "建议",
    "praise": "表扬",
}
SHIFT_LABELS = {"day": "白班", "night": "夜班", "holiday": "节假日"}
LOGIN_SOURCE_LABELS = {"web": "网页", "phone": "话机", "import": "导入", "demo": "演示"}
LIVE_STATE_LABELS = {"ringing": "振铃", "queued": "排队", "talking": "通话", "held": "保持", "finalizing": "整理中"}
CALL_MODE_LABELS = {"bridge": "桥接", "answer": "单侧应答", "siprec": "SIPREC", "import": "导入"}
CALL_FEATURE_LABELS = {
    "withheld": "号码不显示",
    "diverted": "呼叫转移而来",
    "queued": "排过队",
    "overflowed": "溢出到外线",
    "transferred": "转接过",
    "marked": "有话机标记",
    "paused": "暂停过录音",
    "siprec": "SIPREC",
    "imported": "导入",
}
FOLLOWUP_STATE_LABELS = {
    "wanted": "待回拨",
    "done": "已回拨",
    "not_needed": "不必回拨",
    "given_up": "已放弃",
    "no_number": "无法回拨",
}
FOLLOWUP_EVENT_LABELS = {
    "missed": "未接来电",
    "reached": "已联系上",
    "not_reached": "回拨未通",
    "called_again": "诉求人再次来电已接通",
    "tried": "人工记录：未通",
    "given_up": "放弃回拨",
    "not_needed": "不必回拨",
    "reopened": "重新列为待回拨",
}
SUGGESTION_LEVEL_LABELS = {"preselect": "建议", "hint": "提示"}

LABELS: dict[str, dict[str, str]] = {
    "direction": {str(k): v for k, v in DIRECTION_LABELS.items()},
    "call_type": {str(k): v for k, v in CALL_TYPE_LABELS.items()},
    "outcome": OUTCOME_LABELS,
    "outcome_reason": OUTCOME_REASON_LABELS,
    "recording": RECORDING_LABELS,
    "attribution": ATTRIBUTION_LABELS,
    "link": LINK_LABELS,
    "link_method": LINK_METHOD_LABELS,
    "stage": STAGE_LABELS,
    "progress": PROGRESS_LABELS,
    "hangup": PARTY_LABELS,
    "gap": GAP_LABELS,
    "category": CATEGORY_LABELS,
    "matter": MATTER_LABELS,
    "shift": SHIFT_LABELS,
    "login_source": LOGIN_SOURCE_LABELS,
    "live_state": LIVE_STATE_LABELS,
    "call_mode": CALL_MODE_LABELS,
    "suggestion_level": SUGGESTION_LEVEL_LABELS,
    "disposition": DISPOSITION_LABELS,
    "call_feature": CALL_FEATURE_LABELS,
    "followup_state": FOLLOWUP_STATE_LABELS,
    "followup_event": FOLLOWUP_EVENT_LABELS,
}


def label(code: object, kind: str) -> str:
    """The Chinese label of a stored code; `—` for none, the code itself when it has no label yet."""
    if code is None or code == "":
        return "—"
    return LABELS[kind].get(str(code), str(code))


def call_type_label(code: str) -> str:
    """通话类型 in words."""
    return CALL_TYPE_LABELS.get(CallType(code), code) if code in set(CallType) else code


def surname(name: str) -> str:
    """The family name of a Chinese name; a name in other letters is given back whole."""
    text = name.strip()
    if text[:2] in COMPOUND_SURNAMES and len(text) > 2:
        return text[:2]
    return text[:1] if re.match(r"[\u4e00-\u9fff]", text) else text


def agent_label(agent_no: str | None, name: str | None) -> str:
    """工号 + 姓, `805 陈`; `—` when nobody is known."""
    if not agent_no:
        return "—"
    return f"{agent_no} {surname(name)}" if name else agent_no


def mask_number(number: str) -> str:
    """A phone number without its middle: `138****6358`, `027****0000`; short numbers (110, seats) stay whole."""
    if not number:
        return "号码不显示"
    if len(number) < 7:
        return number
    return f"{number[:3]}****{number[-4:]}"


def pieces(text: str, repairs: Sequence[Sequence[Any]]) -> list[tuple[str, str]]:
    """A text in (stretch, what the engine had written there), "" where homophone repair changed nothing."""
    out, at = [], 0
    for start, end, was in repairs:
        out += [(text[at:start], ""), (text[start:end], was)]
        at = end
    return [(piece, was) for piece, was in (*out, (text[at:], "")) if piece]


def corrected_pieces(text: str, corrections: Sequence[Sequence[Any]]) -> list[tuple[str, str | None]]:
    """A text in (stretch, what the machine had there), None where a person changed nothing. Either may be empty."""
    out: list[tuple[str, str | None]] = []
    at = 0
    for start, end, was in corrections:
        out += [(text[at:start], None), (text[start:end], was)]
        at = end
    return [(piece, was) for piece, was in (*out, (text[at:], None)) if piece or was]


def mask_numbers_in(text: str) -> str:
    """Mask every run of 7 or more digits in a longer text, and personal numbers however they are written."""
    return mask_text(re.sub(r"\d{7,}", lambda m: mask_number(m[0]), text))


def points(value: Decimal | float | int | None) -> str:
    """Points with one decimal, rounded half up; `—` for none."""
    return "—" if value is None else str(half_up(value, 1))


def signed(value: float) -> str:
    """A difference as `+1.2`, `−0.4` or `0.0`, with a real minus sign."""
    text = str(half_up(value, 1))
    if not float(text):
        return text.lstrip("-")
    return f"−{text[1:]}" if text.startswith("-") else f"+{text}"


def percent(value: float | None, decimals: int = 1) -> str:
    """A share in [0, 1] as `97.5%`."""
    return "—" if value is None else f"{half_up(Decimal(str(value)) * 100, decimals)}%"


def megabytes(value_mb: float | None) -> str:
    """A size in MB or GB."""
    if value_mb is None:
        return "—"
    return f"{value_mb / 1024:.1f} GB" if value_mb >= 1024 else f"{value_mb:.0f} MB"


def thousands(value: int | None) -> str:
    """An integer with separators: `12,345`."""
    return "—" if value is None else f"{value:,}"


def say_fault(fault: LiveFault) -> str:
    """`11月22日 14:05 话机 8001 的密码不对（3 次）`: when last, what, how often."""
    often = f"（{fault.times} 次）" if fault.times > 1 else ""
    return f"{say_short(fault.at_ms)} {fault.text}{often}"
