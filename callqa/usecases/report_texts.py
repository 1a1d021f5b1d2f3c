"""Keep the texts that the leader writes for a month's report (原因、建议 …); each enters the next version."""

from sqlmodel import select

from callqa.errors import CallqaError
from callqa.privacy import mask_text
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import ReportText

MAX_CHARS = 4000


def write_text(db: Database, month: str, *, slot: str, text: str, actor: str, now_ms: int) -> None:
    """Store one text, replacing an earlier one; an empty text takes it back. The report goes out of the house: a citizen's
    number in it is masked."""
    text = mask_text(text.replace("\r\n", "\n").strip())
    if not slot or len(slot) > 80:
        raise CallqaError("没有这个填写位置；请从报告页填写")
    if len(text) > MAX_CHARS:
        raise CallqaError(f"文字太长（{len(text)} 字），最多 {MAX_CHARS} 字")
    with db.write() as session:
        row = session.exec(select(ReportText).where(ReportText.month == month, ReportText.slot == slot)).first()
        before = row.text if row else ""
        if row is not None and not text:
            session.delete(row)
        elif text:
            row = row or ReportText(month=month, slot=slot, text="", written_by=actor, written_at_ms=now_ms)
            row.text, row.written_by, row.written_at_ms = text, actor, now_ms
            session.add(row)
        detail = {"slot": slot, "chars": len(text), "chars_before": len(before)}
        audit.append(session, actor=actor, action="report.text", subject=month, detail=detail, now_ms=now_ms)
