"""辅导与整改: a note to an evaluation that its agent signs; a corrective action with a due day, followed up until it is done."""

from datetime import date
from enum import StrEnum

from sqlmodel import Session

from callqa.errors import CallqaError, PermissionDenied, StateError
from callqa.periods import Month
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Agent, Call, CoachingNote, CorrectiveAction, CorrectiveNote, Evaluation
from callqa.usecases.evaluate_state import Actor, actor_of
from callqa.usecases.required import told_text

MAX_TEXT_CHARS = 2000
VISIBLE_TO_AGENT = ("released", "acknowledged", "appealed", "finalized")


class Step(StrEnum):
    """跟进 of a corrective action."""

    NOTE = "note"
    DONE = "done"
    DROPPED = "dropped"
    REOPENED = "reopened"


STEP_LABELS = {Step.NOTE: "跟进", Step.DONE: "完成", Step.DROPPED: "不再进行", Step.REOPENED: "重新打开"}


def write_note(db: Database, evaluation_id: int, text: str, *, account_id: int, now_ms: int) -> int:
    """A coaching note to a score that its agent can see. Returns its id."""
    with db.write() as session:
        evaluation = session.get(Evaluation, evaluation_id)
        if evaluation is None or evaluation.status not in VISIBLE_TO_AGENT:
            raise StateError("先把评分发布给坐席，再写辅导记录")
        actor = actor_of(session, account_id)
        row = CoachingNote(
            evaluation_id=evaluation_id,
            text=told_text(text, "辅导内容", MAX_TEXT_CHARS),
            written_by=account_id,
            written_at_ms=now_ms,
        )
        session.add(row)
        session.flush()
        _note(session, actor, "coaching.write", str(evaluation_id), now_ms)
        assert row.id is not None
        return row.id


def sign_note(db: Database, note_id: int, *, account_id: int, now_ms: int) -> int:
    """The agent has read the note (签阅). Returns the evaluation's id. Signing again changes nothing."""
    with db.write() as session:
        row = session.get(CoachingNote, note_id)
        evaluation = session.get(Evaluation, row.evaluation_id) if row else None
        call = session.get(Call, evaluation.call_id) if evaluation else None
        actor = actor_of(session, account_id)
        own = call is not None and bool(actor.agent_no) and call.agent_no == actor.agent_no
        if row is None or evaluation is None or not own or row.written_at_ms < (evaluation.released_at_ms or 0):
            raise PermissionDenied("这不是给您的辅导记录")
        if row.signed_at_ms is None:
            row.signed_by, row.signed_at_ms = account_id, now_ms
            session.add(row)
            _note(session, actor, "coaching.sign", str(row.evaluation_id), now_ms)
        return row.evaluation_id


def open_action(
    db: Database,
    *,
    month: Month,
    text: str,
    due_on: str,
    account_id: int,
    now_ms: int,
    agent_no: str = "",
    evaluation_id: int | None = None,
    item_id: str = "",
) -> int:
    """A corrective action of an agent ("" = the whole team), due on an ISO day. Returns its id."""
    try:
        due = date.fromisoformat(due_on.strip())
    except ValueError as e:
        raise CallqaError(f"完成期限“{due_on}”不是日期；请选一天") from e
    with db.write() as session:
        if agent_no and session.get(Agent, agent_no) is None:
            raise CallqaError(f"没有工号 {agent_no}")
        if evaluation_id is not None and session.get(Evaluation, evaluation_id) is None:
            raise CallqaError("没有这份评分；请从“发布与申诉”里的评分开整改")
        actor = actor_of(session, account_id)
        row = CorrectiveAction(
            month=str(month),
            agent_no=agent_no or None,
            evaluation_id=evaluation_id,
            item_id=item_id,
            text=told_text(text, "整改内容", MAX_TEXT_CHARS),
            due_on=due.isoformat(),
            opened_by=account_id,
            opened_at_ms=now_ms,
        )
        session.add(row)
        session.flush()
        _note(session, actor, "action.open", str(row.id), now_ms, agent_no=agent_no, due=due.isoformat())
        assert row.id is not None
        return row.id


def follow_up(db: Database, action_id: int, step: Step, text: str, *, account_id: int, now_ms: int) -> None:
    """Write down how an action goes on; done and dropped close it, reopened opens it again."""
    with db.write() as session:
        row = session.get(CorrectiveAction, action_id)
        if row is None:
            raise CallqaError("没有这一条整改；请刷新")
        if (step is Step.REOPENED) == (row.state == "open"):
            raise StateError("这一条整改已经关闭，请先重新打开" if row.state != "open" else "这一条整改还没有关闭")
        actor = actor_of(session, account_id)
        session.add(
            CorrectiveNote(
                action_id=action_id,
                at_ms=now_ms,
                by_account_id=account_id,
                kind=step,
                text=told_text(text, "跟进内容", MAX_TEXT_CHARS),
            )
        )
        row.state = {Step.DONE: "done", Step.DROPPED: "dropped"}.get(step, "open")
        row.closed_at_ms = now_ms if row.state != "open" else None
        session.add(row)
        _note(session, actor, f"action.{step}", str(action_id), now_ms)


def _note(session: Session, actor: Actor, action: str, subject: str, now_ms: int, **detail: str) -> None:
    audit.append(session, actor=actor.username, action=action, subject=subject, detail=detail, now_ms=now_ms)
