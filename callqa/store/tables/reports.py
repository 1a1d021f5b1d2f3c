"""Reports made, and the audit chain."""

from sqlalchemy import JSON, Column, UniqueConstraint
from sqlmodel import Field, SQLModel


class ReportRow(SQLModel, table=True):  # 月度质检报告的一个版本
    __tablename__ = "report"
    __table_args__ = (UniqueConstraint("month", "version"),)
    id: int | None = Field(default=None, primary_key=True)
    month: str
    version: int
    report_no: str
    state: str = "draft"  # draft | final
    demo: bool = False
    frame_id: int | None = Field(default=None, foreign_key="sampling_frame.id")
    made_at_ms: int
    made_by: str
    values: dict = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))  # MonthlyReport as JSON
    files: list = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # [{name, sha256, bytes}]


class ReportText(SQLModel, table=True):
    """A text the leader writes (原因、建议 …), by month and slot."""

    __tablename__ = "report_text"
    __table_args__ = (UniqueConstraint("month", "slot"),)
    id: int | None = Field(default=None, primary_key=True)
    month: str
    slot: str
    text: str
    written_by: str
    written_at_ms: int


class AuditEntry(SQLModel, table=True):  # 审计链
    """hash = SHA-256(prev_hash + canonical JSON of the other fields); sequence without holes."""

    __tablename__ = "audit_log"
    sequence: int = Field(primary_key=True)
    at_ms: int
    actor: str
    action: str  # call.play, evaluation.submit, sampling.freeze ...
    subject: str  # call_id, evaluation id ...
    detail: dict = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    prev_hash: str
    hash: str
