"""离职: an agent who leaves. Account, web sessions and seat sign-in end in one action; every row is kept."""

from datetime import date
from pathlib import Path

from sqlmodel import col, delete, select

from callqa.errors import CallqaError, StateError
from callqa.periods import from_ms
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Account, Agent, MissedCallFollowup, SeatLogin, WebSession
from callqa.usecases.desk import publish_desk


def leave(
    db: Database, agent_no: str, *, left_on: str = "", actor: str, now_ms: int, desk_path: Path | None = None
) -> tuple[str, ...]:
    """End everything of an agent at once. left_on: ISO day, today when empty. Returns the user names switched off.

    Calls, scores, appeals and sign-ins stay as they are; open call-backs assigned to the agent are nobody's again.
    """
    try:
        day = date.fromisoformat(left_on) if left_on else from_ms(now_ms).date()
    except ValueError as e:
        raise CallqaError(f"离职日期“{left_on}”不是日期；请选一天") from e
    with db.write() as session:
        agent = session.get(Agent, agent_no)
        if agent is None:
            raise CallqaError(f"没有工号 {agent_no}")
        accounts = session.exec(
            select(Account).where(Account.agent_no == agent_no, col(Account.active).is_(True))
        ).all()
        if any(account.role == "admin" for account in accounts):
            raise StateError("这位坐席的账号同时是管理员；请先在“账号”页交接管理员，再办离职")
        agent.active, agent.left_on = False, day.isoformat()
        session.add(agent)
        for account in accounts:
            account.active = False
            session.add(account)
            session.exec(delete(WebSession).where(col(WebSession.account_id) == account.id))
        logins = session.exec(
            select(SeatLogin).where(SeatLogin.agent_no == agent_no, col(SeatLogin.ended_at_ms).is_(None))
        ).all()
        for login in logins:
            login.ended_at_ms = max(now_ms, login.started_at_ms)
            session.add(login)
        waiting = session.exec(
            select(MissedCallFollowup).where(
                MissedCallFollowup.assigned_to == agent_no, MissedCallFollowup.state == "wanted"
            )
        ).all()
        for followup in waiting:
            followup.assigned_to = None
            followup.version += 1
            session.add(followup)
        names = tuple(account.username for account in accounts)
        detail = {
            "left_on": agent.left_on,
            "accounts": list(names),
            "seats": [login.seat_extension for login in logins],
            "followups": len(waiting),
        }
        audit.append(session, actor=actor, action="agent.leave", subject=agent_no, detail=detail, now_ms=now_ms)
    if desk_path is not None:
        publish_desk(db, desk_path, now_ms)
    return names
