"""What follows from a score: coaching notes, corrective actions with their follow-up, cases for training."""

from sqlalchemy import JSON, CheckConstraint, Column
from sqlmodel import Field, SQLModel


class CoachingNote(SQLModel, table=True):  # 辅导记录
    """Written to an evaluation by the leader; the agent reads and signs it."""

    __tablename__ = "coaching_note"
    id: int | None = Field(default=None, primary_key=True)
    evaluation_id: int = Field(foreign_key="evaluation.id", index=True)
    text: str
    written_by: int = Field(foreign_key="account.id")
    written_at_ms: int
    signed_by: int | None = Field(default=None, foreign_key="account.id")
    signed_at_ms: int | None = None


class CorrectiveAction(SQLModel, table=True):  # 整改
    __tablename__ = "corrective_action"
    __table_args__ = (CheckConstraint("state in ('open','done','dropped')", name="ck_action_state"),)
    id: int | None = Field(default=None, primary_key=True)
    month: str = Field(index=True)  # 2026-11, of the scores it follows from
    agent_no: str | None = Field(default=None, foreign_key="agent.agent_no")  # None: the whole team
    evaluation_id: int | None = Field(default=None, foreign_key="evaluation.id")
    item_id: str = ""  # the item it is about: its loss is compared with the next month's
    text: str
    due_on: str  # ISO date
    state: str = "open"
    opened_by: int = Field(foreign_key="account.id")
    opened_at_ms: int
    closed_at_ms: int | None = None


class CorrectiveNote(SQLModel, table=True):  # 整改跟进
    __tablename__ = "corrective_note"
    id: int | None = Field(default=None, primary_key=True)
    action_id: int = Field(foreign_key="corrective_action.id", index=True)
    at_ms: int
    by_account_id: int = Field(foreign_key="account.id")
    kind: str  # note | done | dropped | reopened
    text: str


class CaseStudy(SQLModel, table=True):  # 典型案例
    """An excerpt without names and numbers, as a person left it. The call is known to those who may open it."""

    __tablename__ = "case_study"
    __table_args__ = (CheckConstraint("kind in ('exemplary','problem')", name="ck_case_kind"),)
    id: int | None = Field(default=None, primary_key=True)
    call_id: str = Field(foreign_key="call.call_id", index=True)
    kind: str
    title: str
    lesson: str
    item_id: str = ""
    excerpt: list = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # [{speaker, text}]
    added_by: int = Field(foreign_key="account.id")
    added_at_ms: int
    removed_at_ms: int | None = None


__all__ = ["CaseStudy", "CoachingNote", "CorrectiveAction", "CorrectiveNote"]
