"""盲评卡 of a revealed frame: take the string and publish its commitment, tell whether a card is blind, show the string.

The choice itself is scoring/blind.py. Used inside the transactions of other use cases.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from callqa.scoring.blind import (
    DOUBLE_MIN,
    DOUBLE_RATIO,
    RESCORE_AFTER_DAYS,
    RESCORE_MIN,
    RESCORE_RATIO,
    blind_cards,
    blind_commitment,
    double_cards,
    rescore_cards,
)
from callqa.store import audit
from callqa.store.queries.sampling import entries_of, first_evaluations, in_sample
from callqa.store.tables import Account, Call, Evaluation, SampleEntry, SamplingFrame

MS_PER_DAY = 86_400_000
BLIND_RESCORE = "blind_rescore"
ASKED_AGAIN = "这通电话的盲评复测已到期：提交复测之前不显示首评。请从“评分”页的“盲评复测”进入"


@dataclass(frozen=True, slots=True)
class RescoreDue:
    """A call to be scored again without its first score. draft_id: the card that was begun."""

    call: Call
    first_id: int
    due_at_ms: int
    draft_id: int | None


def commit_blind(session: Session, frame: SamplingFrame, *, actor: str, now_ms: int) -> None:
    """Take a random string for a revealed frame and write its commitment to the audit chain; once a frame."""
    if frame.blind_secret is not None or frame.state != "revealed":
        return
    frame.blind_secret = secrets.token_hex(32)
    frame.blind_commit = blind_commitment(frame.blind_secret)
    session.add(frame)
    audit.append(
        session,
        actor=actor,
        action="sampling.blind_commit",
        subject=str(frame.id),
        detail={"blind_commit": frame.blind_commit, "seed": frame.seed},
        now_ms=now_ms,
    )


def is_blind(session: Session, frame: SamplingFrame, call_id: str) -> bool:
    """Whether this card of the frame hides the machine's hints."""
    if frame.id is None or not frame.blind_secret or not frame.seed:
        return False
    entries = entries_of(session, frame.id)
    return _drawn_place(entries, call_id) in blind_cards(frame.seed, frame.blind_secret, _sample(entries))


def blind_calls(session: Session, frame: SamplingFrame) -> tuple[str, ...]:
    """The blind cards as they stand now, reserves in the place of what they replaced; for after the string is shown."""
    if frame.id is None or not frame.blind_secret or not frame.seed:
        return ()
    entries = entries_of(session, frame.id)
    chosen = blind_cards(frame.seed, frame.blind_secret, _sample(entries))
    return tuple(e.call_id for e in entries if in_sample(e) and _drawn_place(entries, e.call_id) in chosen)


def reveal_blind_when_done(session: Session, frame_id: int, *, actor: str, now_ms: int) -> bool:
    """Show the string once every card of the frame is submitted. Returns whether it is shown now."""
    frame = session.get(SamplingFrame, frame_id)
    if frame is None or frame.blind_secret is None or frame.blind_revealed_at_ms is not None:
        return False
    done = first_evaluations(session, frame_id)
    due = [e for e in entries_of(session, frame_id) if in_sample(e)]
    if any(e.call_id not in done or done[e.call_id].status == "draft" for e in due):
        return False
    frame.blind_revealed_at_ms = now_ms
    session.add(frame)
    detail = {
        "blind_secret": frame.blind_secret,
        "blind_commit": frame.blind_commit,
        "cards": blind_calls(session, frame),
    }
    audit.append(
        session, actor=actor, action="sampling.blind_reveal", subject=str(frame_id), detail=detail, now_ms=now_ms
    )
    return True


def rescores_due(session: Session, now_ms: int) -> list[RescoreDue]:
    """Cards of all frames whose second, blind scoring is due and not submitted, the longest due first."""
    found: list[RescoreDue] = []
    frames = session.exec(select(SamplingFrame).where(col(SamplingFrame.blind_secret).is_not(None))).all()
    for frame in frames:
        if frame.id is not None and frame.state == "revealed":
            found += _due_of_frame(session, frame, now_ms)
    return sorted(found, key=lambda due: (due.due_at_ms, due.call.call_id))


def asked_again(session: Session, now_ms: int) -> frozenset[str]:
    """The calls whose first score waits for its blind re-score: no list shows it to who scores. An open appeal goes before it."""
    due = rescores_due(session, now_ms)
    firsts = {one.call.call_id: session.get(Evaluation, one.first_id) for one in due}
    return frozenset(call_id for call_id, first in firsts.items() if first is not None and first.status != "appealed")


def is_asked_again(session: Session, evaluation: Evaluation, now_ms: int) -> bool:
    """Whether a submitted first card waits for its blind re-score; an open appeal goes before it."""
    entry = session.get(SampleEntry, evaluation.sample_entry_id) if evaluation.sample_entry_id is not None else None
    if evaluation.kind != "first" or evaluation.status in ("draft", "appealed") or entry is None:
        return False
    frame = session.get(SamplingFrame, entry.frame_id)
    if frame is None or frame.blind_secret is None or frame.state != "revealed":
        return False
    return any(due.first_id == evaluation.id for due in _due_of_frame(session, frame, now_ms))


def _due_of_frame(session: Session, frame: SamplingFrame, now_ms: int) -> list[RescoreDue]:
    assert frame.id is not None
    rule = _rule(frame, "blind_rescore")
    entries = entries_of(session, frame.id)
    chosen = rescore_cards(
        frame.seed or "",
        frame.blind_secret or "",
        _sample(entries),
        float(rule.get("ratio", RESCORE_RATIO)),
        int(rule.get("min", RESCORE_MIN)),
    )
    after_ms = int(rule.get("after_days", RESCORE_AFTER_DAYS)) * MS_PER_DAY
    done = first_evaluations(session, frame.id)
    found = []
    for entry in entries:
        first = done.get(entry.call_id)
        if not in_sample(entry) or first is None or first.id is None or first.submitted_at_ms is None:
            continue
        due_at_ms = first.submitted_at_ms + after_ms
        if _drawn_place(entries, entry.call_id) not in chosen or due_at_ms > now_ms:
            continue
        scorer = session.get(Account, first.evaluator_id)
        if scorer is None or not scorer.active:
            continue  # nobody else can say how far that person agrees with themselves
        again = session.exec(
            select(Evaluation).where(Evaluation.call_id == entry.call_id, Evaluation.kind == BLIND_RESCORE)
        ).first()
        call = session.get(Call, entry.call_id)
        if call is not None and (again is None or again.status == "draft"):
            found.append(RescoreDue(call, first.id, due_at_ms, again.id if again else None))
    return found


def double_scores(session: Session, frame: SamplingFrame) -> tuple[str, ...]:
    """双评样本: the drawn calls that a second person scores too, by the plan's `double_score`; for a month's first cards that
    are submitted, so that nobody knows beforehand which of his scores will be compared."""
    if frame.id is None or not frame.blind_secret or not frame.seed:
        return ()
    rule = _rule(frame, "double_score")
    entries = entries_of(session, frame.id)
    ratio, least = float(rule.get("ratio", DOUBLE_RATIO)), int(rule.get("min", DOUBLE_MIN))
    chosen = double_cards(frame.seed, frame.blind_secret, _sample(entries), ratio, least)
    done = first_evaluations(session, frame.id)
    return tuple(
        e.call_id
        for e in entries
        if in_sample(e)
        and _drawn_place(entries, e.call_id) in chosen
        and e.call_id in done
        and done[e.call_id].status != "draft"
    )


def _rule(frame: SamplingFrame, name: str) -> Mapping[str, Any]:
    try:
        plan = json.loads(frame.plan_json)
    except json.JSONDecodeError:
        return {}
    rule = plan.get(name) if isinstance(plan, dict) else None
    return rule if isinstance(rule, dict) else {}


def _sample(entries: Sequence[SampleEntry]) -> list[str]:
    return [entry.call_id for entry in entries if entry.kind == "sample"]


def _drawn_place(entries: Sequence[SampleEntry], call_id: str) -> str:
    """The drawn call whose place this one takes: itself, or what it replaced, back to the first."""
    replaced = {entry.replaced_by: entry.call_id for entry in entries if entry.replaced_by}
    for _ in entries:
        if call_id not in replaced:
            break
        call_id = replaced[call_id]
    return call_id


def evaluator_names(session: Session) -> dict[int, str]:
    """Display names by account id."""
    return {row.id: row.display_name for row in session.exec(select(Account)) if row.id is not None}
