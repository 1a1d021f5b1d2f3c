"""What happens to an evaluation after it was submitted: each state of its points, the agent's appeals, calibration."""

from sqlalchemy import JSON, CheckConstraint, Column, Index, UniqueConstraint
from sqlmodel import Field, SQLModel


class EvaluationRevision(SQLModel, table=True):  # 评分的一次定分：首次提交、修改、申诉改判、致命项确认
    """The points as they stood from then on; a revision is added, none is overwritten."""

    __tablename__ = "evaluation_revision"
    __table_args__ = (
        UniqueConstraint("evaluation_id", "number"),
        CheckConstraint("kind in ('submit','revise','decide','fatal_confirmed')", name="ck_revision_kind"),
    )
    id: int | None = Field(default=None, primary_key=True)
    evaluation_id: int = Field(foreign_key="evaluation.id", index=True)
    number: int  # 1 = as first submitted
    kind: str
    by_account_id: int = Field(foreign_key="account.id")
    at_ms: int
    reason: str = ""
    quality_score: float
    final_score: float
    items: dict = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    # items: item id -> {"points": 3.0 | null, "options": {code: times}}; fatal item id -> {"confirmed": true | false}


class Appeal(SQLModel, table=True):  # 申诉, one row an item
    __tablename__ = "appeal"
    __table_args__ = (
        CheckConstraint("state in ('open','upheld','revised','withdrawn')", name="ck_appeal_state"),
        Index("ix_appeal_state", "state"),
    )
    id: int | None = Field(default=None, primary_key=True)
    evaluation_id: int = Field(foreign_key="evaluation.id", index=True)
    item_id: str  # S1.1 or F1
    reason: str
    state: str = "open"
    opened_by: int = Field(foreign_key="account.id")
    opened_at_ms: int
    points_before: float | None = None  # None: not applicable, or a fatal item
    points_after: float | None = None
    decided_by: int | None = Field(default=None, foreign_key="account.id")
    decided_at_ms: int | None = None
    decision: str = ""  # why
    alone: bool = False  # decided by who gave the points: there was no second person


class CalibrationSession(SQLModel, table=True):  # 校准
    """Several raters score the same calls without seeing each other's cards; then the comparison is opened."""

    __tablename__ = "calibration_session"
    id: int | None = Field(default=None, primary_key=True)
    title: str
    created_by: int = Field(foreign_key="account.id")
    created_at_ms: int
    opened_by: int | None = Field(default=None, foreign_key="account.id")
    opened_at_ms: int | None = None
    call_ids: list = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    rater_ids: list = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # account ids
    reference_evaluator: int | None = Field(default=None, foreign_key="account.id")  # 基准评分人, one of them


__all__ = ["Appeal", "CalibrationSession", "EvaluationRevision"]
