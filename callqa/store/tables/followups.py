"""未接来电回拨: one row a number and day that was missed, and everything that happened about it."""

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field, SQLModel


class MissedCallFollowup(SQLModel, table=True):  # 来电回拨（未接）
    """One entry of the work list; all but `assigned_to` is derived from its events (tickets/followups.py)."""

    __tablename__ = "missed_call_followup"
    __table_args__ = (
        UniqueConstraint("key"),
        CheckConstraint("state in ('wanted','done','given_up','not_needed','no_number')", name="ck_followup_state"),
        Index("ix_followup_work", "state", "missed_at_ms"),
    )
    id: int | None = Field(default=None, primary_key=True)
    key: str  # day/number; the call_id where the number is withheld
    number: str = Field(default="", index=True)  # canonical digits; "" = cannot be called back
    first_call_id: str = Field(foreign_key="call.call_id")
    missed_at_ms: int  # the first time that day
    last_missed_at_ms: int
    n_missed: int = 1
    n_attempts: int = 0
    reason: str = ""  # of the last missed call, as its outcome_reason
    state: str
    assigned_to: str | None = Field(default=None, foreign_key="agent.agent_no")
    closed_as: str = ""  # kind of the event that closed it
    closing_call_id: str | None = Field(default=None, foreign_key="call.call_id")
    done_by: str = ""  # user name of the person who closed it; "" where a call did: see its agent_no
    done_at_ms: int | None = None
    note: str = ""  # of the event that closed it
    demo: bool = False
    version: int = 1


class FollowupEvent(SQLModel, table=True):
    """One thing that happened about an entry. call_id: the call it was; None = a person wrote it down."""

    __tablename__ = "followup_event"
    __table_args__ = (
        UniqueConstraint("followup_id", "call_id"),
        CheckConstraint(
            "kind in ('missed','reached','not_reached','called_again','tried','given_up','not_needed','reopened')",
            name="ck_followup_event_kind",
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    followup_id: int = Field(foreign_key="missed_call_followup.id", index=True)
    at_ms: int
    kind: str
    call_id: str | None = Field(default=None, foreign_key="call.call_id", index=True)
    by: str = ""  # user name of the person; "" for a call: see its agent_no
    note: str = ""
