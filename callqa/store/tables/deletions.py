"""删除与保全: which calls' content was deleted, why and by whom; and which calls nothing may delete for now."""

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field, SQLModel


class CallDeletion(SQLModel, table=True):  # 删除记录
    """The tombstone of a call. `deleting`: its rows are empty already, its files go; taken up again after a crash."""

    __tablename__ = "call_deletion"
    __table_args__ = (
        CheckConstraint("state in ('deleting','deleted')", name="ck_deletion_state"),
        CheckConstraint("kind in ('request','retention')", name="ck_deletion_kind"),
        Index("ix_call_deletion_state", "state"),
    )
    call_id: str = Field(primary_key=True, foreign_key="call.call_id")
    state: str = "deleting"
    kind: str  # request: somebody asked | retention: its 保存期限 is over
    reason: str  # numbers in it are blotted out
    asked_by: str  # user name, or system
    asked_at_ms: int
    done_at_ms: int | None = None
    recording_sha256: str | None = None  # of the master that was deleted
    recording_path: str | None = None  # where it lay, relative to the recordings folder


class LegalHold(SQLModel, table=True):  # 保全
    """As long as lifted_at_ms is None nothing deletes the call."""

    __tablename__ = "legal_hold"
    id: int | None = Field(default=None, primary_key=True)
    call_id: str = Field(foreign_key="call.call_id", index=True)
    reason: str
    placed_by: str  # user name
    placed_at_ms: int
    lifted_by: str = ""
    lifted_at_ms: int | None = None
    lifted_why: str = ""


__all__ = ["CallDeletion", "LegalHold"]
