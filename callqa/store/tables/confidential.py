"""保密件: calls that only named people may open, and who they are."""

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel


class ConfidentialCall(SQLModel, table=True):  # 保密件
    """No foreign key on the call: one in progress is marked before the worker has taken it in."""

    __tablename__ = "confidential_call"
    call_id: str = Field(primary_key=True)
    reason: str
    marked_by: int = Field(foreign_key="account.id")
    marked_at_ms: int


class ConfidentialReader(SQLModel, table=True):  # 可查看的人
    __tablename__ = "confidential_reader"
    __table_args__ = (UniqueConstraint("call_id", "account_id"),)
    id: int | None = Field(default=None, primary_key=True)
    call_id: str = Field(foreign_key="confidential_call.call_id", index=True)
    account_id: int = Field(foreign_key="account.id")


__all__ = ["ConfidentialCall", "ConfidentialReader"]
