"""What others ask about a deleted call: whether it is, and in which words to say so."""

from sqlmodel import Session, col, select

from callqa.errors import StateError
from callqa.periods import say_instant
from callqa.store.tables import Call, CallDeletion


def say_deleted(deletion: CallDeletion) -> str:
    """One sentence for whoever asks for the content."""
    when = say_instant(deletion.done_at_ms or deletion.asked_at_ms)
    done = f"已于 {when} 删除" if deletion.state == "deleted" else f"自 {when} 起正在删除"
    return f"这通电话的录音和转写{done}（{deletion.reason}）"


def refuse_deleted(session: Session, call_id: str) -> None:
    """Raise StateError for a deleted call; the row is held, so that nobody deletes it before the caller's transaction ends."""
    query = select(Call.deleted_at_ms).where(col(Call.call_id) == call_id).with_for_update(read=True)
    if session.exec(query).first() is not None:
        deletion = session.get(CallDeletion, call_id)
        raise StateError(say_deleted(deletion) if deletion else "这通电话的内容已经删除")


__all__ = ["refuse_deleted", "say_deleted"]
