"""作废 a sampling frame (docs/domain/sampling.md §3.2): one person asks with a reason, another agrees; then the month is frozen anew.

Only while nobody's score is known: once a card of the sample is submitted, a new draw would be a choice. A void frame keeps
everything it was drawn from, its blind string included, so that anybody can repeat it at any time. Drafts stay, without a place.
"""

from typing import Any

from sqlalchemy import or_
from sqlmodel import Session, col, select

from callqa.errors import StateError
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries.sampling import DONE_STATUSES
from callqa.store.tables import Account, Evaluation, SampleEntry, SamplingFrame
from callqa.usecases.draw import frame_of
from callqa.usecases.required import required_line
from callqa.usecases.second_person import one_name

REASON_MOST_CHARS = 500


def ask_void(db: Database, frame_id: int, *, reason: str, actor: str, now_ms: int) -> None:
    """提请作废, with the reason; nothing changes before `agree_void`. Raise StateError, CallqaError for a missing reason."""
    reason = required_line(reason, "作废的原因", REASON_MOST_CHARS, missing="作废抽样框必须写明原因")
    with db.write() as session:
        frame = frame_of(session, frame_id)
        _check_voidable(session, frame)
        if frame.void_asked_by is not None:
            raise StateError("该抽样框已有人提请作废，等第二人确认")
        frame.void_reason, frame.void_asked_by, frame.void_asked_at_ms = reason, actor, now_ms
        session.add(frame)
        detail = {"reason": reason, "state": frame.state, "frame_hash": frame.frame_hash}
        _note(session, frame, "sampling.void_ask", actor, detail, now_ms)


def drop_void(db: Database, frame_id: int, *, actor: str, now_ms: int) -> None:
    """撤回 by who asked, 不同意 by anybody else: the frame stays in force."""
    with db.write() as session:
        frame = _asked(session, frame_id)
        detail = {"reason": frame.void_reason, "asked_by": frame.void_asked_by}
        frame.void_reason = frame.void_asked_by = frame.void_asked_at_ms = None
        session.add(frame)
        _note(session, frame, "sampling.void_drop", actor, detail, now_ms)


def agree_void(db: Database, frame_id: int, *, actor: str, now_ms: int) -> None:
    """The second person's word: the frame is void, its drafts lose their place, its blind string is shown."""
    with db.write() as session:
        frame = _asked(session, frame_id)
        if _one_person(session, frame.void_asked_by or "", actor):
            raise StateError("作废抽样框须两人确认，第二人不能是提请人本人；同名的两个账号算同一个人")
        _check_voidable(session, frame)
        drafts = drafts_of(session, frame_id)
        detail = {
            "reason": frame.void_reason,
            "asked_by": frame.void_asked_by,
            "second_actor": actor,
            "state_before": frame.state,
            "frame_hash": frame.frame_hash,
            "seed": frame.seed,
            "blind_secret": frame.blind_secret,
            "drafts": [draft.id for draft in drafts],
        }
        for draft in drafts:
            draft.sample_entry_id = None
        frame.state, frame.voided_by, frame.voided_at_ms = "void", actor, now_ms
        if frame.blind_secret is not None and frame.blind_revealed_at_ms is None:
            frame.blind_revealed_at_ms = now_ms
        session.add_all((*drafts, frame))
        _note(session, frame, "sampling.void", actor, detail, now_ms)


def why_not_void(session: Session, frame: SamplingFrame) -> str:
    """Why this frame can no longer be made void, in words; empty while it can."""
    if frame.state == "void":
        return "该抽样框已经作废"
    scored = _count_scored(session, frame)
    if scored:
        return f"样本已有 {scored} 通提交了评分，不能再作废重抽；个别通话有误请按次序启用递补"
    return ""


def _check_voidable(session: Session, frame: SamplingFrame) -> None:
    refusal = why_not_void(session, frame)
    if refusal:
        raise StateError(refusal)


def _asked(session: Session, frame_id: int) -> SamplingFrame:
    frame = frame_of(session, frame_id)
    if frame.state == "void":
        raise StateError("该抽样框已经作废")
    if frame.void_asked_by is None:
        raise StateError("没有待确认的作废提请；可能已经撤回，请刷新")
    return frame


def _count_scored(session: Session, frame: SamplingFrame) -> int:
    """Calls of the sample whose first card was submitted as one of it, or since the sample was known."""
    scored = (
        select(Evaluation.id)
        .join(SampleEntry, col(SampleEntry.call_id) == col(Evaluation.call_id))
        .where(
            SampleEntry.frame_id == frame.id,
            SampleEntry.state != "unused",
            Evaluation.kind == "first",
            col(Evaluation.status).in_(DONE_STATUSES),
            or_(
                col(Evaluation.sample_entry_id) == col(SampleEntry.id),
                col(Evaluation.submitted_at_ms) >= (frame.revealed_at_ms or 0),
            ),
        )
    )
    return len(session.exec(scored).all())


def drafts_of(session: Session, frame_id: int) -> list[Evaluation]:
    """Cards that were begun for the sample of a frame and are not submitted."""
    drafts = (
        select(Evaluation)
        .join(SampleEntry, col(SampleEntry.id) == col(Evaluation.sample_entry_id))
        .where(SampleEntry.frame_id == frame_id, Evaluation.kind == "first", Evaluation.status == "draft")
    )
    return list(session.exec(drafts).all())


def _one_person(session: Session, first: str, second: str) -> bool:
    """Whether it is the same account, or two accounts of one name."""
    if first == second:
        return True
    rows = session.exec(select(Account).where(col(Account.username).in_((first, second)))).all()
    return len(rows) == 2 and one_name(rows[0].display_name) == one_name(rows[1].display_name)


def _note(session: Session, frame: SamplingFrame, action: str, actor: str, detail: dict[str, Any], now_ms: int) -> None:
    audit.append(session, actor=actor, action=action, subject=str(frame.id), detail=detail, now_ms=now_ms)
