"""核对话单: a PBX's call list against our calls, for the command line and the page.

Every answered call must have a recording or a stated reason; what has neither is named, and so is what we have that the
PBX does not know. Nothing is changed but the saved column mapping; that it was done is in the audit chain.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

from sqlmodel import Session, col, select

from callqa.errors import ImportFileError, ImportRowError
from callqa.periods import SHANGHAI, from_ms, say_duration, to_ms
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Call, DeskSetting, Seat
from callqa.tickets.export import table_csv, table_xlsx
from callqa.tickets.importers.cdr import CDR_COLUMNS, CdrRow, read_cdr
from callqa.tickets.importers.columns import check_mapping
from callqa.tickets.reconcile import (
    MOST_OFFSET_MS,
    TOLERANCE_MS,
    Line,
    OurCall,
    Reconciled,
    Verdict,
    missing_spans,
    reconcile,
)

MAPPING_KEY = "cdr_mapping"
VERDICT_LABELS = {
    Verdict.RECORDED: "有录音",
    Verdict.PENDING: "整理中",
    Verdict.STATED: "无录音，有原因",
    Verdict.UNANSWERED: "未接通",
    Verdict.DIFFERS: "交换机记接通，我方记未接通",
    Verdict.PART: "同一通话的另一段",
    Verdict.INTERNAL: "席位之间的内部通话",
    Verdict.NOT_HERE: "未接通，未到本系统",
    Verdict.MISSING: "缺录音",
    Verdict.EXTRA: "交换机话单里没有",
}
SECRET = "保密件"
# What a person has to look at, in this order; the rest is as it should be.
TO_LOOK_AT = (Verdict.MISSING, Verdict.DIFFERS, Verdict.EXTRA)
HEAD = ("结论", "说明", "开始时间（本系统时钟）", "交换机时间", "时差（秒）", "主叫", "被叫", "席位", "时长", "话单行", "话单号", "话单状态", "通话编号")  # fmt: skip


@dataclass(frozen=True, slots=True)
class CdrCheck:
    """What one comparison found. n_rows: rows compared; errors: rows that could not be read."""

    result: Reconciled
    n_rows: int
    errors: tuple[ImportRowError, ...]
    spans: tuple[tuple[int, int, int], ...]

    @property
    def complete(self) -> bool:
        """Every answered call has a recording or a stated reason, and every row could be read."""
        return not self.result.missing and not self.errors


def check_cdr(
    db: Database,
    *,
    file_name: str,
    data: bytes,
    actor: str,
    now_ms: int,
    first: date | None = None,
    last: date | None = None,
    tolerance_ms: int = TOLERANCE_MS,
    mapping: Mapping[str, str] | None = None,
) -> CdrCheck:
    """Compare a call list with our calls. first, last: days on the PBX's clock, both included. mapping: {header of the
    file: our column}, remembered. Raise ImportFileError when the file is no call list or has no row in the span."""
    columns = load_cdr_mapping(db) | check_mapping(CDR_COLUMNS, mapping or {})
    file = read_cdr(file_name, data, columns)
    span_ms = _span(first, last)
    rows = [r for r in file.rows if span_ms is None or span_ms[0] <= r.started_at_ms < span_ms[1]]
    if not rows and not file.errors:
        raise ImportFileError(f"{file_name} 里没有{'这段时间的' if span_ms else ''}通话；请检查日期范围与文件")
    with db.read() as session:
        calls = _our_calls(session, rows)
        seats = frozenset(session.exec(select(Seat.extension)).all())
    result = reconcile(rows, calls, tolerance_ms=tolerance_ms, seats=seats)
    detail = {
        "file": file_name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "rows": len(rows),
        "errors": len(file.errors),
        "offset_ms": result.offset_ms,
        **{verdict.value: result.count(verdict) for verdict in Verdict},
    }
    with db.write() as session:
        if mapping:
            row = session.get(DeskSetting, MAPPING_KEY) or DeskSetting(key=MAPPING_KEY, value={})
            row.value = columns
            session.add(row)
        audit.append(session, actor=actor, action="cdr.reconcile", subject="calls", detail=detail, now_ms=now_ms)
    return CdrCheck(result, len(rows), file.errors, missing_spans(result))


def load_cdr_mapping(db: Database) -> dict[str, str]:
    """The saved column mapping of call lists: {header: field}."""
    with db.read() as session:
        row = session.get(DeskSetting, MAPPING_KEY)
    return {str(k): str(v) for k, v in row.value.items()} if row is not None and isinstance(row.value, dict) else {}


def say_summary(check: CdrCheck) -> list[str]:
    """The result in Chinese sentences, the most important first."""
    result = check.result
    n_missing = len(result.missing)
    said = [
        f"缺录音 {n_missing} 通：接通了，既没有录音也没有原因"
        if n_missing
        else ("每个接通的通话都有录音或说明了原因" if not check.errors else "读得懂的行里，接通的都有录音或说明了原因")
    ]
    said += [f"　{_clock(a)} 至 {_clock(b)} 连续 {n} 通都没有录音，请查录音服务当时是否停机" for a, b, n in check.spans]
    counts = [(v, result.count(v)) for v in Verdict if v is not Verdict.EXTRA]
    said.append(f"话单 {check.n_rows} 行：" + "；".join(f"{VERDICT_LABELS[v]} {n} 行" for v, n in counts if n))
    if result.count(Verdict.EXTRA):
        said.append(f"另有 {result.count(Verdict.EXTRA)} 通，本系统有而话单里没有")
    said.append(_say_offset(result))
    if check.errors:
        said.append(f"有 {len(check.errors)} 处看不懂，没有核对")
    return said


def _say_offset(result: Reconciled) -> str:
    if not result.n_pairs:
        return "号码相同的通话太少，未估计时钟差，按两边时钟一致核对"
    seconds = round(result.offset_ms / 1000)
    if not seconds:
        return f"交换机与本系统时钟一致（依据 {result.n_pairs} 通）"
    fast = "快" if seconds > 0 else "慢"
    return f"交换机时钟比本系统{fast} {say_duration(abs(seconds) * 1000)}（依据 {result.n_pairs} 通），已扣除"


def table_of(
    check: CdrCheck, *, only: Sequence[Verdict] | None = None, hidden: Collection[str] = ()
) -> list[tuple[str, ...]]:
    """The lines as texts under HEAD; only: with these verdicts; hidden: confidential calls of which nothing of ours is told."""
    offset_ms = check.result.offset_ms
    return [
        _secret_cells(line, offset_ms) if line.call and line.call.call_id in hidden else _cells(line, offset_ms)
        for line in check.result.lines
        if only is None or line.verdict in only
    ]


def cdr_csv(check: CdrCheck, hidden: Collection[str] = ()) -> bytes:
    """All lines as CSV that no spreadsheet takes for formulas."""
    return table_csv([HEAD, *table_of(check, hidden=hidden)])


def cdr_xlsx(check: CdrCheck, hidden: Collection[str] = ()) -> bytes:
    """All lines as a workbook."""
    return table_xlsx("话单核对", [HEAD, *table_of(check, hidden=hidden)])


def _secret_cells(line: Line, offset_ms: int) -> tuple[str, ...]:
    """Nothing of what we know of a confidential call; the PBX's own row stays, it came from outside."""
    cells = _cells(replace(line, call=None), offset_ms)
    return (cells[0], SECRET, cells[2] if line.row else SECRET, *cells[3:])


def _cells(line: Line, offset_ms: int) -> tuple[str, ...]:
    row, call = line.row, line.call
    started_ms = row.started_at_ms - offset_ms if row else call.started_at_ms if call else 0
    talk_ms = row.talk_ms if row else _talk(call)
    return (
        VERDICT_LABELS[line.verdict],
        _why(line),
        _clock(started_ms),
        _clock(row.started_at_ms) if row else "",
        "" if line.off_ms is None else f"{line.off_ms / 1000:.1f}",
        row.from_number if row else (call.citizen_number if call else ""),
        row.to_number if row else "",
        (row.seat_extension if row else "") or (call.seat_extension if call else ""),
        say_duration(talk_ms) if talk_ms is not None else "",
        str(row.row) if row else "",
        row.pbx_id if row else "",
        row.status if row else "",
        call.call_id if call else "",
    )


def _why(line: Line) -> str:
    if line.verdict is Verdict.MISSING:
        return "这通接通了，但没有录音也没有原因" if line.call else "接通了，但本系统没有这通电话"
    if line.verdict is Verdict.EXTRA:
        return "本系统有，话单没有；可能话单不全，或号码、时间对不上"
    return line.call.reason if line.call and line.verdict not in (Verdict.RECORDED, Verdict.PART) else ""


def _talk(call: OurCall | None) -> int | None:
    if call is None or call.answered_at_ms is None or call.ended_at_ms is None:
        return None
    return call.ended_at_ms - call.answered_at_ms


def _clock(at_ms: int) -> str:
    return f"{from_ms(at_ms):%Y-%m-%d %H:%M:%S}"


def _span(first: date | None, last: date | None) -> tuple[int, int] | None:
    if first is None and last is None:
        return None
    start = to_ms(datetime.combine(first, time.min, SHANGHAI)) if first else 0
    end = to_ms(datetime.combine(last + timedelta(days=1), time.min, SHANGHAI)) if last else 1 << 62
    if start >= end:
        raise ImportFileError("起始日期晚于结束日期；请核对")
    return start, end


def _our_calls(session: Session, rows: Sequence[CdrRow]) -> list[OurCall]:
    if not rows:
        return []
    times = [r.started_at_ms for r in rows]
    first_ms, last_ms = min(times) - MOST_OFFSET_MS, max(times) + MOST_OFFSET_MS
    found = session.exec(select(Call).where(col(Call.started_at_ms) >= first_ms, col(Call.started_at_ms) <= last_ms))
    return [
        OurCall(
            call_id=call.call_id,
            started_at_ms=call.started_at_ms,
            answered_at_ms=call.answered_at_ms,
            ended_at_ms=call.ended_at_ms,
            outcome=call.outcome,
            citizen_number="" if call.withheld else call.citizen_number,
            seat_extension=call.seat_extension or "",
            recording_status=call.recording_status,
            reason=_reason(call),
        )
        for call in found
        if call.excluded_as != "internal_call"  # from seat to seat: no PBX in front of us knows of it
    ]


def _reason(call: Call) -> str:
    if call.outcome != "answered":
        return call.outcome_reason or ("诉求人先挂断" if call.outcome == "abandoned" else "未接通")
    return "；".join(str(fault) for fault in call.faults) if call.recording_status != "ok" else ""


__all__ = [
    "HEAD",
    "TO_LOOK_AT",
    "VERDICT_LABELS",
    "CdrCheck",
    "Verdict",
    "cdr_csv",
    "cdr_xlsx",
    "check_cdr",
    "load_cdr_mapping",
    "say_summary",
    "table_of",
]
