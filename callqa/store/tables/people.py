"""People and places: agents, seats, sign-ins, roster, accounts, web sessions, desk settings."""

from sqlalchemy import JSON, CheckConstraint, Column, Index, UniqueConstraint
from sqlmodel import Field, SQLModel


class Agent(SQLModel, table=True):  # 坐席人员
    __tablename__ = "agent"
    agent_no: str = Field(primary_key=True)  # 工号
    name: str
    active: bool = True
    hired_on: str | None = None  # ISO date
    left_on: str | None = None


class Seat(SQLModel, table=True):  # 席位
    __tablename__ = "seat"
    extension: str = Field(primary_key=True)  # SIP account, 8001
    label: str = ""
    ha1_md5: str
    ha1_sha256: str
    active: bool = True


class SeatLogin(SQLModel, table=True):  # 签入 / 签出
    __tablename__ = "seat_login"
    id: int | None = Field(default=None, primary_key=True)
    seat_extension: str = Field(foreign_key="seat.extension", index=True)
    agent_no: str = Field(foreign_key="agent.agent_no", index=True)
    started_at_ms: int
    ended_at_ms: int | None = None
    source: str = "web"  # web | phone | import | demo


class RosterEntry(SQLModel, table=True):  # 排班
    __tablename__ = "roster_entry"
    __table_args__ = (UniqueConstraint("agent_no", "start_at_ms"), Index("ix_roster_time", "start_at_ms", "end_at_ms"))
    id: int | None = Field(default=None, primary_key=True)
    agent_no: str = Field(foreign_key="agent.agent_no")
    seat_extension: str | None = Field(default=None, foreign_key="seat.extension")
    shift: str  # day | night | holiday
    start_at_ms: int
    end_at_ms: int


class Account(SQLModel, table=True):  # 账号
    __tablename__ = "account"
    __table_args__ = (
        CheckConstraint("role in ('shift_leader','agent','client_supervisor','admin')", name="ck_account_role"),
    )
    id: int | None = Field(default=None, primary_key=True)
    username: str = Field(unique=True)
    display_name: str
    role: str  # shift_leader | agent | client_supervisor | admin
    password_hash: str  # Argon2id
    agent_no: str | None = Field(default=None, foreign_key="agent.agent_no")
    active: bool = True
    must_change_password: bool = False
    failed_logins: int = 0
    last_failed_at_ms: int | None = None


class WebSession(SQLModel, table=True):
    __tablename__ = "web_session"
    token_sha256: str = Field(primary_key=True)  # the cookie's hash; the token itself is never stored
    account_id: int = Field(foreign_key="account.id", index=True)
    created_at_ms: int
    last_seen_at_ms: int
    expires_at_ms: int
    user_agent: str = ""


class DeskSetting(SQLModel, table=True):
    """Data the recorder reloads without a restart: realm, trunks, dial_plan, routing, number of the snapshot."""

    __tablename__ = "desk_setting"
    key: str = Field(primary_key=True)
    value: dict | list | str | int = Field(sa_column=Column(JSON, nullable=False))


__all__ = ["Account", "Agent", "DeskSetting", "RosterEntry", "Seat", "SeatLogin", "WebSession"]
