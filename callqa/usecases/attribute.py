"""Decide who took one call and store it with its reason; a person's decision is never overridden."""

from sqlalchemy import or_
from sqlmodel import Session, col, select

from callqa.errors import CallqaError, ConflictError, StateError, StoreError
from callqa.refusals import no_such_call
from callqa.scoring.evaluation import VISIBLE_TO_AGENT, Action, Status
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries.evaluate import first_score
from callqa.store.tables import Account, Agent, Call, RosterEntry, SeatLogin
from callqa.tickets.attribution import (
    Attribution,
    AttributionSource,
    CallSpan,
    RosterSpan,
    SeatLoginSpan,
)
from callqa.tickets.attribution import attribute as decide
from callqa.usecases.evaluate_state import actor_of, move
from callqa.usecases.required import required_line

MAX_REASON_CHARS = 500  # an import names its file and line in it
LATER_LOGIN_MS = 3_600_000  # sign-ins a little later are named in the reason


def attribute(db: Database, call_id: str, *, now_ms: int) -> Attribution:
    """Attribute one call by sign-in, else roster. Raise ConflictError when the call changed meanwhile.

    now_ms is not stored: the reason names the instants it rests on. A call set by a person keeps its agent, and so does one whose
    score its agent was shown: from then on only a person says otherwise.
    """
    with db.read() as session:
        call = load_call(session, call_id)
        score = first_score(session, call_id)
        if call.attribution_source == "manual" or (score is not None and score.status in VISIBLE_TO_AGENT):
            return Attribution(call.agent_no, AttributionSource.UNKNOWN, call.attribution_reason)
        at_ms = call.answered_at_ms or call.started_at_ms
        logins = _logins(session, at_ms)
        roster = _roster(session, at_ms)
    span = CallSpan(call.call_id, call.seat_extension, call.started_at_ms, call.answered_at_ms)
    decision = decide(span, logins, roster)
    stored = (call.agent_no, call.attribution_source, call.attribution_reason)
    if stored == (decision.agent_no, decision.source.value, decision.reason):
        return decision
    with db.write() as session:
        row = load_version(session, call_id, call.version)
        row.agent_no = decision.agent_no
        row.attribution_source = decision.source.value
        row.attribution_reason = decision.reason
        row.version += 1
        session.add(row)
    return decision


def attribute_by_person(db: Database, call_id: str, *, agent_no: str, reason: str, actor: str, now_ms: int) -> None:
    """Set a call's agent by hand (人工指定); audited with what stood before.

    A score that was released is released anew to that agent, with a window of their own; StateError while an appeal waits.
    """
    reason = required_line(reason, "指定坐席的理由", MAX_REASON_CHARS)
    with db.write() as session:
        row = load_call(session, call_id)
        if session.get(Agent, agent_no) is None:
            raise CallqaError(f"没有工号 {agent_no}；请先在“人员与席位”登记")
        before = {"agent_no": row.agent_no, "source": row.attribution_source}
        row.agent_no, row.attribution_source = agent_no, "manual"
        row.attribution_reason = f"由 {actor} 人工指定：{reason}"
        row.version += 1
        session.add(row)
        if before["agent_no"] != agent_no:
            _release_anew(session, call_id, actor, agent_no, reason, now_ms)
        audit.append(
            session,
            actor=actor,
            action="call.attribute",
            subject=call_id,
            detail={"before": before, "agent_no": agent_no, "reason": reason},
            now_ms=now_ms,
        )


def _release_anew(session: Session, call_id: str, actor: str, agent_no: str, reason: str, now_ms: int) -> None:
    """The call's score, once submitted, follows the call; what the agent before answered was that agent's answer."""
    score = first_score(session, call_id)
    if score is None or score.status == Status.DRAFT:
        return
    if score.status == Status.APPEALED:
        raise StateError("这通电话的评分正在申诉；请先裁定，再改归属坐席")
    account_id = session.exec(select(Account.id).where(Account.username == actor)).first()
    if account_id is None:
        raise StateError("这通电话已经评分；请班长登录后在网页上改归属坐席")
    if score.status in VISIBLE_TO_AGENT:
        score.released_at_ms = now_ms
    score.version += 1
    detail = {"agent_no": agent_no, "reason": reason}
    move(session, score, Action.REASSIGN, actor_of(session, account_id), now_ms=now_ms, detail=detail)


def load_call(session: Session, call_id: str) -> Call:
    """The call's row. Raise StoreError when there is none."""
    call = session.get(Call, call_id)
    if call is None:
        raise StoreError(no_such_call(call_id))
    return call


def load_version(session: Session, call_id: str, version: int) -> Call:
    """The call's row when it is still at `version`. Raise ConflictError otherwise."""
    call = load_call(session, call_id)
    if call.version != version:
        raise ConflictError(f"通话 {call_id} 刚被别处修改过（第 {call.version} 版），请重试")
    return call


def _logins(session: Session, at_ms: int) -> tuple[SeatLoginSpan, ...]:
    rows = session.exec(
        select(SeatLogin).where(
            SeatLogin.started_at_ms <= at_ms + LATER_LOGIN_MS,
            or_(col(SeatLogin.ended_at_ms).is_(None), col(SeatLogin.ended_at_ms) > at_ms),
        )
    )
    return tuple(SeatLoginSpan(r.seat_extension, r.agent_no, r.started_at_ms, r.ended_at_ms) for r in rows)


def _roster(session: Session, at_ms: int) -> tuple[RosterSpan, ...]:
    rows = session.exec(select(RosterEntry).where(RosterEntry.start_at_ms <= at_ms, RosterEntry.end_at_ms > at_ms))
    return tuple(RosterSpan(r.agent_no, r.seat_extension, r.shift, r.start_at_ms, r.end_at_ms) for r in rows)
