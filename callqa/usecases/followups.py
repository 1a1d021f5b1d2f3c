"""未接来电回拨: what people do with an entry of the work list. Every act is in the audit chain."""

from typing import Any

from sqlmodel import Session

from callqa.errors import CallqaError, ConflictError, StateError
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Agent, FollowupEvent, MissedCallFollowup
from callqa.tickets.followups import MANUAL, NEXT, EventKind, FollowupState
from callqa.usecases.followup_rows import refresh_entry

MOST_NOTE_CHARS = 200
NEED_A_REASON = frozenset({EventKind.TRIED, EventKind.GIVEN_UP, EventKind.NOT_NEEDED, EventKind.REOPENED})


def allowed_acts(state: str) -> tuple[EventKind, ...]:
    """What a person may write down about an entry in this state, in the order of the table."""
    return tuple(kind for (at, kind) in NEXT if at == state and kind in MANUAL)


def write_down(
    db: Database, followup_id: int, kind: EventKind, *, note: str, version: int, actor: str, now_ms: int
) -> MissedCallFollowup:
    """Write down an attempt, or close, give up or reopen an entry. version: of the entry as the person saw it.

    Raise CallqaError (no reason, no entry), StateError (not in this state), ConflictError (changed meanwhile).
    """
    note = " ".join(note.split())[:MOST_NOTE_CHARS]
    if kind in NEED_A_REASON and not note:
        raise CallqaError("请写明情况，如“两次无人接听，已发短信”")
    with db.write() as session:
        entry = _load(session, followup_id, version)
        if kind not in allowed_acts(entry.state):
            raise StateError("这一条现在的状态不能这样处理；请刷新页面后再看")
        before = entry.state
        session.add(FollowupEvent(followup_id=followup_id, at_ms=now_ms, kind=kind.value, by=actor, note=note))
        entry.version += 1
        session.add(entry)
        session.flush()
        refresh_entry(session, entry)
        detail = {"kind": kind.value, "note": note, "before": before, "after": entry.state}
        _audit(session, actor, f"followup.{kind.value}", entry, detail, now_ms)
    return entry


def assign(
    db: Database, followup_id: int, agent_no: str | None, *, version: int, actor: str, now_ms: int
) -> MissedCallFollowup:
    """Say who is to call back; None = nobody in particular."""
    with db.write() as session:
        entry = _load(session, followup_id, version)
        agent = session.get(Agent, agent_no) if agent_no else None
        if agent_no and (agent is None or not agent.active):
            raise CallqaError(f"没有工号 {agent_no}，或已停用")
        if entry.state not in (FollowupState.WANTED.value, FollowupState.GIVEN_UP.value):
            raise StateError("这一条已处理完，不必再指派")
        if entry.assigned_to != (agent_no or None):
            detail = {"before": entry.assigned_to, "agent_no": agent_no}
            entry.assigned_to = agent_no or None
            entry.version += 1
            session.add(entry)
            _audit(session, actor, "followup.assign", entry, detail, now_ms)
    return entry


def _load(session: Session, followup_id: int, version: int) -> MissedCallFollowup:
    entry = session.get(MissedCallFollowup, followup_id)
    if entry is None:
        raise CallqaError("没有这一条回拨；它可能已并入别的通话，请刷新列表")
    if entry.version != version:
        raise ConflictError("这一条刚被别人处理过，或又有来电；请看最新情况再决定")
    return entry


def _audit(
    session: Session, actor: str, action: str, entry: MissedCallFollowup, detail: dict[str, Any], now_ms: int
) -> None:
    audit.append(session, actor=actor, action=action, subject=entry.first_call_id, detail=detail, now_ms=now_ms)


__all__ = ["EventKind", "allowed_acts", "assign", "write_down"]
