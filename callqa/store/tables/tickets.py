"""Tickets 工单 as the ticket platform exported them, their imports, and their links to calls."""

from sqlalchemy import JSON, CheckConstraint, Column, UniqueConstraint
from sqlmodel import Field, SQLModel


class Ticket(SQLModel, table=True):  # 工单
    __tablename__ = "ticket"
    ticket_no: str = Field(primary_key=True)
    title: str = ""
    category: str | None = None  # consult | help | complaint | report | suggestion | praise
    matter_category: str | None = (
        None  # water_supply | drainage | waterlogging | river_lake | flood | saving | enforcement | other
    )
    caller_number: str = Field(default="", index=True)  # canonical digits
    contact_phone: str = Field(default="", index=True)  # canonical digits
    citizen_name: str = ""
    district: str = ""
    location: str = ""
    content: str = ""
    occurred_at_ms: int | None = None
    accepted_at_ms: int | None = Field(default=None, index=True)  # 受理时间 = ticket_created_at of the rubric
    accepted_by_agent_no: str = ""
    handling_unit: str = ""
    dispatched_at_ms: int | None = None
    due_at_ms: int | None = None
    result_received_at_ms: int | None = None
    closed_at_ms: int | None = None
    result: str = ""
    callback_done_at_ms: int | None = None
    callback_attempts: int | None = None
    satisfaction: str = ""  # 非常满意 | 满意 | 基本满意 | 不满意 | 非常不满意 | ""
    urgent_flag: bool = False
    reported_at_ms: int | None = None
    parent_ticket_no: str | None = None
    rework_requested_at_ms: int | None = None
    verify_note: str = ""
    extra: dict = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))  # columns we do not know
    import_id: int | None = Field(default=None, foreign_key="ticket_import.id")
    version: int = 1


class TicketImport(SQLModel, table=True):
    __tablename__ = "ticket_import"
    id: int | None = Field(default=None, primary_key=True)
    file_name: str
    file_sha256: str
    imported_at_ms: int
    imported_by: str
    rows_new: int
    rows_changed: int
    rows_same: int
    errors: list = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # [{row, column, message}]


class TicketLink(SQLModel, table=True):
    """A call and its ticket, with why. state: linked, doubtful (waits for a person), rejected."""

    __tablename__ = "ticket_link"
    __table_args__ = (
        UniqueConstraint("call_id", "ticket_no"),
        CheckConstraint("state in ('linked','doubtful','rejected')", name="ck_link_state"),
        CheckConstraint("method in ('header','evidence','manual')", name="ck_link_method"),
    )
    id: int | None = Field(default=None, primary_key=True)
    call_id: str = Field(foreign_key="call.call_id", index=True)
    ticket_no: str = Field(foreign_key="ticket.ticket_no", index=True)
    state: str
    method: str
    score: float
    reasons: list = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # Chinese sentences
    decided_by: str | None = None
    decided_at_ms: int
