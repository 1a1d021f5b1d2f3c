"""Agents, seats, sign-ins, roster, accounts, for their pages. Reading only."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlmodel import Session, col, func, select

from callqa.store.tables import Account, Agent, DeskSetting, RosterEntry, Seat, SeatLogin, Ticket


@dataclass(frozen=True, slots=True)
class SeatLine:
    """A seat and who sits there now."""

    seat: Seat
    login: SeatLogin | None
    agent_name: str | None


@dataclass(frozen=True, slots=True)
class AgentLine:
    """An agent, where they are signed in now, and their account."""

    agent: Agent
    login: SeatLogin | None
    username: str | None


@dataclass(frozen=True, slots=True)
class LoginLine:
    """One sign-in."""

    login: SeatLogin
    agent_name: str


@dataclass(frozen=True, slots=True)
class RosterLine:
    """One planned shift."""

    entry: RosterEntry
    agent_name: str


@dataclass(frozen=True, slots=True)
class SetUp:
    """How far an installation is set up: counts of what it needs before the first call and the first month."""

    agents: int
    seats: int
    signed_in: int
    trunks: int
    dial_rules: int
    leaders: int
    tickets: int

    @property
    def complete(self) -> bool:
        return all((self.agents, self.seats, self.trunks, self.dial_rules, self.leaders, self.tickets))


def set_up(session: Session) -> SetUp:
    """Count what is there."""

    def count(table: type[Agent] | type[Seat] | type[SeatLogin] | type[Account] | type[Ticket], *which: Any) -> int:
        return session.exec(select(func.count()).select_from(table).where(*which)).one()

    def listed(key: str) -> int:
        value = desk_setting(session, key)
        return len(value) if isinstance(value, list) else 0

    return SetUp(
        agents=count(Agent, col(Agent.active).is_(True)),
        seats=count(Seat, col(Seat.active).is_(True)),
        signed_in=count(SeatLogin, col(SeatLogin.ended_at_ms).is_(None)),
        trunks=listed("trunks"),
        dial_rules=listed("dial_plan"),
        leaders=count(Account, col(Account.active).is_(True), Account.role == "shift_leader"),
        tickets=count(Ticket),
    )


def list_agents(session: Session) -> Sequence[AgentLine]:
    """All agents by number, those still here first."""
    open_logins = {login.agent_no: login for login in _open_logins(session)}
    usernames = {
        account.agent_no: account.username
        for account in session.exec(select(Account).where(col(Account.agent_no).is_not(None)))
    }
    agents = session.exec(select(Agent).order_by(col(Agent.active).desc(), col(Agent.agent_no)))
    return [AgentLine(a, open_logins.get(a.agent_no), usernames.get(a.agent_no)) for a in agents]


def agent_names(session: Session) -> dict[str, str]:
    """工号 -> name of every agent."""
    return dict(session.exec(select(Agent.agent_no, Agent.name).order_by(col(Agent.agent_no))).all())


def active_agent_names(session: Session) -> dict[str, str]:
    """工号 -> name of agents who still work here."""
    query = select(Agent.agent_no, Agent.name).where(col(Agent.active).is_(True)).order_by(col(Agent.agent_no))
    return dict(session.exec(query).all())


def hired_days(session: Session) -> dict[str, date]:
    """工号 -> first day of service, of those whose day is known and readable."""
    rows = session.exec(select(Agent.agent_no, Agent.hired_on).where(col(Agent.hired_on).is_not(None))).all()
    found = {}
    for agent_no, text in rows:
        with suppress(ValueError):
            found[agent_no] = date.fromisoformat(text or "")
    return found


def list_seats(session: Session) -> Sequence[SeatLine]:
    """All seats by extension with who is signed in."""
    open_logins = {login.seat_extension: login for login in _open_logins(session)}
    names = agent_names(session)
    seats = session.exec(select(Seat).order_by(col(Seat.active).desc(), col(Seat.extension)))
    return [
        SeatLine(s, login, names.get(login.agent_no) if login else None)
        for s in seats
        for login in [open_logins.get(s.extension)]
    ]


def recent_logins(session: Session, limit: int = 20) -> Sequence[LoginLine]:
    """The last sign-ins, newest first."""
    query = (
        select(SeatLogin, Agent.name)
        .join(Agent, col(Agent.agent_no) == col(SeatLogin.agent_no))
        .order_by(col(SeatLogin.started_at_ms).desc(), col(SeatLogin.id).desc())
        .limit(limit)
    )
    return [LoginLine(*row) for row in session.exec(query)]


def roster_between(session: Session, start_ms: int, end_ms: int) -> Sequence[RosterLine]:
    """Planned shifts that touch the stretch of time, in order."""
    query = (
        select(RosterEntry, Agent.name)
        .join(Agent, col(Agent.agent_no) == col(RosterEntry.agent_no))
        .where(RosterEntry.start_at_ms < end_ms, RosterEntry.end_at_ms > start_ms)
        .order_by(col(RosterEntry.start_at_ms), col(RosterEntry.agent_no))
    )
    return [RosterLine(*row) for row in session.exec(query)]


def list_accounts(session: Session) -> Sequence[Account]:
    """All accounts, those in use first."""
    return session.exec(
        select(Account).order_by(col(Account.active).desc(), col(Account.role), col(Account.username))
    ).all()


def accounts_of(session: Session, roles: Collection[str]) -> Sequence[Account]:
    """Accounts in use that have one of the roles, by name."""
    return session.exec(
        select(Account)
        .where(col(Account.active).is_(True), col(Account.role).in_(roles))
        .order_by(Account.display_name)
    ).all()


def account_names(session: Session) -> dict[str, str]:
    """Display names by user name, of accounts switched off too."""
    return {account.username: account.display_name for account in session.exec(select(Account))}


def desk_setting(session: Session, key: str) -> object:
    """The value of one desk setting (trunks, dial_plan, routing, realm); None when it was never set."""
    row = session.get(DeskSetting, key)
    return row.value if row else None


def _open_logins(session: Session) -> Sequence[SeatLogin]:
    return session.exec(select(SeatLogin).where(col(SeatLogin.ended_at_ms).is_(None))).all()
