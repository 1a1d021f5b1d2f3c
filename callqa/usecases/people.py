"""Agents, seats and who sits where. Every change is audited and shows in the next desk snapshot.

Each function that changes what the recorder needs takes `desk_path`: given, the snapshot is published at once; None,
the caller publishes after several changes (`desk.publish_desk`). A password is never stored: only HA1 for MD5 and
SHA-256 (RFC 8760), which work for the realm they were made for.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from sqlmodel import Session, col, select

from callqa.errors import CallqaError, StateError
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Agent, Seat, SeatLogin
from callqa.usecases.desk import publish_desk, realm

MIN_PASSWORD_CHARS = 8


def add_agent(db: Database, *, agent_no: str, name: str, actor: str, now_ms: int) -> Agent:
    """Add an agent, or change the name of one that exists. The number of somebody who left stays theirs: whoever got it would see
    their calls and scores."""
    agent_no, name = agent_no.strip(), name.strip()
    if not re.fullmatch(r"[0-9A-Za-z_-]{1,16}", agent_no):
        raise CallqaError(f"工号“{agent_no}”不合法；应为 1 至 16 位数字或字母")
    if not name or len(name) > 40:
        raise CallqaError("姓名不能为空，最多 40 个字")
    with db.write() as session:
        agent = session.get(Agent, agent_no)
        before = None if agent is None else agent.name
        if agent is not None and agent.left_on is not None and before != name:
            raise StateError(f"工号 {agent_no} 是已离职的{before}的，通话和评分都记在这个工号下；请给新人另编工号")
        agent = agent or Agent(agent_no=agent_no, name=name)
        agent.name = name
        session.add(agent)
        if before != name:
            _audit(session, actor, "agent.save", agent_no, {"before": before, "name": name}, now_ms)
    return agent


def set_agent_active(
    db: Database, *, agent_no: str, active: bool, actor: str, now_ms: int, desk_path: Path | None = None
) -> Agent:
    """Retire an agent (who is signed out) or take one back."""
    with db.write() as session:
        agent = _agent(session, agent_no)
        if agent.active != active:
            agent.active = active
            agent.left_on = None if active else agent.left_on
            session.add(agent)
            if not active:
                _end(session, now_ms, agent_no=agent_no)
            _audit(session, actor, "agent.active", agent_no, {"active": active}, now_ms)
    _publish(db, desk_path, now_ms)
    return agent


def add_seat(
    db: Database,
    *,
    extension: str,
    label: str = "",
    password: str,
    actor: str,
    now_ms: int,
    desk_path: Path | None = None,
) -> Seat:
    """Add a seat, or give an existing one a new label and password."""
    extension, label = extension.strip(), label.strip()
    if not re.fullmatch(r"[0-9A-Za-z_.-]{1,32}", extension):
        raise CallqaError(f"席位号“{extension}”不合法；应为 1 至 32 位数字或字母，如 8001")
    if len(password) < MIN_PASSWORD_CHARS:
        raise CallqaError(f"席位 {extension} 的话机密码太短；至少 {MIN_PASSWORD_CHARS} 位")
    with db.write() as session:
        md5, sha256 = ha1(extension, realm(session), password)
        seat = session.get(Seat, extension)
        existed = seat is not None
        seat = seat or Seat(extension=extension, ha1_md5=md5, ha1_sha256=sha256)
        seat.label, seat.ha1_md5, seat.ha1_sha256, seat.active = label, md5, sha256, True
        session.add(seat)
        _audit(session, actor, "seat.save", extension, {"label": label, "new": not existed}, now_ms)
    _publish(db, desk_path, now_ms)
    return seat


def ha1(extension: str, realm_: str, password: str) -> tuple[str, str]:
    """HA1 of RFC 7616 §3.4.2 with MD5 and SHA-256, in hex."""
    secret = f"{extension}:{realm_}:{password}".encode()
    md5 = hashlib.md5(secret, usedforsecurity=False).hexdigest()  # what old phones still ask for
    return md5, hashlib.sha256(secret).hexdigest()


def set_seat_active(
    db: Database, *, extension: str, active: bool, actor: str, now_ms: int, desk_path: Path | None = None
) -> Seat:
    """Retire a seat (停用), or bring one back with the password it had. Refused while somebody is signed in there."""
    with db.write() as session:
        seat = session.get(Seat, extension)
        if seat is None:
            raise CallqaError(f"没有席位 {extension}；请先在“人员与席位”登记")
        sitting = next((s for s in _open_logins(session) if s.seat_extension == extension), None)
        if not active and sitting is not None:
            who = _agent(session, sitting.agent_no)
            raise StateError(f"{who.agent_no} {who.name} 正签入在席位 {extension}，不能停用；请先签出，再停用")
        if seat.active != active:
            seat.active = active
            session.add(seat)
            _audit(session, actor, "seat.active", extension, {"active": active}, now_ms)
    _publish(db, desk_path, now_ms)
    return seat


def sign_in(
    db: Database,
    *,
    seat_extension: str,
    agent_no: str,
    actor: str,
    now_ms: int,
    source: str = "web",
    desk_path: Path | None = None,
) -> SeatLogin:
    """Sign an agent in at a seat (签入); ends whoever sat there and wherever this agent sat. Again: no change."""
    with db.write() as session:
        agent, seat = _agent(session, agent_no), session.get(Seat, seat_extension)
        if seat is None or not seat.active:
            raise CallqaError(f"没有席位 {seat_extension}，或已停用；请先在“人员与席位”登记")
        if not agent.active:
            raise StateError(f"工号 {agent_no} 已停用，不能签入")
        for login in _open_logins(session):
            if (login.seat_extension, login.agent_no) == (seat_extension, agent_no):
                return login
        ended = _end(session, now_ms, seat_extension=seat_extension) + _end(session, now_ms, agent_no=agent_no)
        login = SeatLogin(seat_extension=seat_extension, agent_no=agent_no, started_at_ms=now_ms, source=source)
        session.add(login)
        detail = {"agent_no": agent_no, "source": source, "ended": ended}
        _audit(session, actor, "seat.sign_in", seat_extension, detail, now_ms)
    _publish(db, desk_path, now_ms)
    return login


def sign_out(
    db: Database, *, seat_extension: str, actor: str, now_ms: int, desk_path: Path | None = None
) -> SeatLogin | None:
    """Sign out whoever sits at a seat (签出); None when nobody does."""
    with db.write() as session:
        login = next((s for s in _open_logins(session) if s.seat_extension == seat_extension), None)
        if login is not None:
            _end(session, now_ms, seat_extension=seat_extension)
            _audit(session, actor, "seat.sign_out", seat_extension, {"agent_no": login.agent_no}, now_ms)
    _publish(db, desk_path, now_ms)
    return login


def _agent(session: Session, agent_no: str) -> Agent:
    agent = session.get(Agent, agent_no)
    if agent is None:
        raise CallqaError(f"没有工号 {agent_no}；请先在“人员与席位”登记")
    return agent


def _open_logins(session: Session) -> list[SeatLogin]:
    query = select(SeatLogin).where(col(SeatLogin.ended_at_ms).is_(None)).order_by(col(SeatLogin.started_at_ms))
    return list(session.exec(query))


def _end(session: Session, now_ms: int, *, seat_extension: str | None = None, agent_no: str | None = None) -> list[str]:
    """End open sign-ins of a seat or of an agent; says whose, as `8001:801`."""
    ended = []
    for login in _open_logins(session):
        if seat_extension in (None, login.seat_extension) and agent_no in (None, login.agent_no):
            login.ended_at_ms = max(now_ms, login.started_at_ms)
            session.add(login)
            ended.append(f"{login.seat_extension}:{login.agent_no}")
    session.flush()
    return ended


def _audit(session: Session, actor: str, action: str, subject: str, detail: Mapping[str, object], now_ms: int) -> None:
    audit.append(session, actor=actor, action=action, subject=subject, detail=dict(detail), now_ms=now_ms)


def _publish(db: Database, desk_path: Path | None, now_ms: int) -> None:
    if desk_path is not None:
        publish_desk(db, desk_path, now_ms)
