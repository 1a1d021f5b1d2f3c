"""The leader's evaluation of one call: open a draft, save it, submit it, revise it.

A person owns every point: the machine's suggestions are shown and decided on, never applied by themselves.
An evaluation pins the rubric version, transcript and check run it was made with. Every save checks the version
that the page was loaded with; a submitted evaluation changes only as a revision with a reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlmodel import Session, col, select

from callqa.errors import CallqaError, ConflictError, StateError
from callqa.refusals import no_such_call
from callqa.scoring.criteria import Rubric
from callqa.scoring.evaluation import Action, Outcome, Status, apply, check_role
from callqa.scoring.rubric import parse_stored
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries.evaluate import first_score
from callqa.store.tables import (
    Account,
    Appeal,
    Call,
    CheckRun,
    Evaluation,
    EvaluationItem,
    FatalFinding,
    RubricVersion,
    SampleEntry,
    SamplingFrame,
    SuggestionRow,
)
from callqa.units import CallType
from callqa.usecases.blind import commit_blind, is_blind, reveal_blind_when_done
from callqa.usecases.check import newest_run
from callqa.usecases.deleted import refuse_deleted
from callqa.usecases.evaluate_input import EvaluationInput, IncompleteError, Missing, find_missing, settle_covered
from callqa.usecases.evaluate_rows import store_input, suggestions_of
from callqa.usecases.evaluate_state import actor_of, keep_revision, move, must_be_author, points_now
from callqa.usecases.load_rubric import rubric_in_force
from callqa.usecases.trust import preselected, trust_now

# Reading a rubric takes as long as a hundred queries; every autosave needs it. Frozen, so it may be shared.
_parsed = lru_cache(maxsize=4)(parse_stored)

NO_REASON = Missing("", "这份评分已提交过，再次修改须写明理由")


def open_evaluation(db: Database, call_id: str, *, evaluator_id: int, now_ms: int) -> int:
    """The first evaluation of a call, opened as a draft where there is none yet. Returns its id."""
    with db.write() as session:
        existing = first_score(session, call_id)
        if existing is not None:
            assert existing.id is not None
            _take_over_orphan(session, existing, evaluator_id, now_ms)
            must_be_author(existing, evaluator_id)
            if existing.status == Status.DRAFT and existing.sample_entry_id is None:
                entry = _drawn_entry(session, call_id)  # begun before the draw, or in a sample that became void
                existing.sample_entry_id = entry.id if entry is not None else None
                session.add(existing)
            return existing.id
        call = session.get(Call, call_id)
        if call is None:
            raise CallqaError(no_such_call(call_id))
        if call.outcome != "answered":
            raise StateError("这通电话没有接通，不能评分")
        return open_card(session, call, evaluator_id=evaluator_id, now_ms=now_ms)


@dataclass(frozen=True, slots=True)
class Card:
    """What is opened. like: a card of the same call whose rubric, transcript and run this one takes over."""

    kind: str = "first"
    blind: bool = False
    like: Evaluation | None = None


FIRST = Card()


def open_card(session: Session, call: Call, *, evaluator_id: int, now_ms: int, card: Card = FIRST) -> int:
    """A new draft with what it is made of pinned. A first card of a sample may be blind (usecases/blind.py); one that is
    not starts with the deductions of items that the machine is trusted with (usecases/trust.py)."""
    refuse_deleted(session, call.call_id)
    run = newest_run(session, call.call_id)
    if card.like is not None:
        run = session.get(CheckRun, card.like.check_run_id) if card.like.check_run_id is not None else None
    rubric_hash = run.rubric_hash if run else _rubric_at(session, call.started_at_ms)
    entry = _drawn_entry(session, call.call_id) if card.kind == "first" else None
    evaluation = Evaluation(
        call_id=call.call_id,
        kind=card.kind,
        sample_entry_id=entry.id if entry else None,
        rubric_hash=card.like.rubric_hash if card.like is not None else rubric_hash,
        transcript_id=run.transcript_id if run else None,
        check_run_id=run.id if run else None,
        recording_sha256=call.recording_sha256,
        evaluator_id=evaluator_id,
        opened_at_ms=now_ms,
        blind=card.blind or (entry is not None and _drawn_blind(session, entry, now_ms)),
    )
    rubric_hash = evaluation.rubric_hash
    session.add(evaluation)
    session.flush()
    assert evaluation.id is not None
    by_rule = frozenset(run.not_applicable) if run else frozenset()
    for item in load_rubric_version(session, rubric_hash).items_for(CallType(call.call_type)):
        na = item.item_id in by_rule
        session.add(
            EvaluationItem(
                evaluation_id=evaluation.id,
                item_id=item.item_id,
                not_applicable=na,
                na_by="rule" if na else None,
                max_points=float(item.max_points),
                points=None if na else float(item.max_points),
            )
        )
    if run is not None and card.kind == "first":
        _preselect(session, evaluation, call, by_rule)
    return evaluation.id


def _drawn_entry(session: Session, call_id: str) -> SampleEntry | None:
    """The call's place in the sample that is in force; a void frame gives none."""
    return session.exec(
        select(SampleEntry)
        .join(SamplingFrame, col(SamplingFrame.id) == col(SampleEntry.frame_id))
        .where(SampleEntry.call_id == call_id, SampleEntry.state != "replaced", SamplingFrame.state == "revealed")
        .order_by(col(SampleEntry.id).desc())
    ).first()


def _drawn_blind(session: Session, entry: SampleEntry, now_ms: int) -> bool:
    frame = session.get(SamplingFrame, entry.frame_id)
    if frame is None:
        return False
    commit_blind(session, frame, actor="system", now_ms=now_ms)  # a sample revealed before there were blind cards
    return is_blind(session, frame, entry.call_id)


def _preselect(session: Session, evaluation: Evaluation, call: Call, by_rule: frozenset[str]) -> None:
    """Pin how far each item is trusted now; on a card that shows the machine's view, tick what may be preselected."""
    suggestions = session.exec(
        select(SuggestionRow)
        .where(SuggestionRow.check_run_id == evaluation.check_run_id)
        .order_by(col(SuggestionRow.id))
    ).all()
    evaluation.trust = trust_now(session, evaluation.rubric_hash, suggestions)
    session.add(evaluation)
    rubric = load_rubric_version(session, evaluation.rubric_hash)
    given = preselected(evaluation.trust, suggestions, EvaluationInput(by_rule, {}), rubric)
    if given.decisions and not evaluation.blind:
        store_input(session, evaluation, call, rubric, given)


def _take_over_orphan(session: Session, evaluation: Evaluation, account_id: int, now_ms: int) -> None:
    """The draft of somebody whose account was switched off becomes that of who opens it."""
    author = session.get(Account, evaluation.evaluator_id)
    if evaluation.status != Status.DRAFT or author is None or author.active:
        return
    actor = actor_of(session, account_id)
    check_role(Action.SAVE, actor.role)
    evaluation.evaluator_id = account_id
    session.add(evaluation)
    detail = {"call_id": evaluation.call_id, "author": author.username}
    audit.append(
        session,
        actor=actor.username,
        action="evaluation.take_over",
        subject=str(evaluation.id),
        detail=detail,
        now_ms=now_ms,
    )


def save_draft(db: Database, evaluation_id: int, given: EvaluationInput, *, version: int, account_id: int) -> int:
    """Keep what the form holds, checked for sense but not for completeness. Returns the new version. The author's only."""
    with db.write() as session:
        evaluation, call, rubric = load_for(session, evaluation_id, version)
        if evaluation.status != Status.DRAFT:
            raise StateError("这份评分已提交；修改请点“修改”，写明理由后重新提交")
        if evaluation.kind == "first":
            check_role(Action.SAVE, actor_of(session, account_id).role)
        must_be_author(evaluation, account_id)
        store_input(session, evaluation, call, rubric, given)
        return evaluation.version


def submit(
    db: Database,
    evaluation_id: int,
    given: EvaluationInput,
    *,
    version: int,
    account_id: int,
    now_ms: int,
    reason: str = "",
) -> int:
    """Submit a draft, or revise what was submitted (then a reason is required). Returns the new version.

    Who submits answers for it: the evaluator, and the first of the two persons of a fatal finding. What an appeal has
    decided stays as it was decided; a revision after the release opens the acknowledgement again.
    """
    with db.write() as session:
        evaluation, call, rubric = load_for(session, evaluation_id, version)
        actor = actor_of(session, account_id)
        action = Action.SUBMIT if evaluation.status == Status.DRAFT else Action.REVISE
        before = (evaluation.quality_score, evaluation.final_score)
        points_before = points_now(session, evaluation_id)
        detail: dict[str, Any] = {"rubric": evaluation.rubric_hash[:12], "reason": reason.strip()}
        apply(Status(evaluation.status), action)  # said before anything else, e.g. that an appeal must be decided first
        suggested = suggestions_of(session, evaluation)
        given = settle_covered(rubric, given, suggested)
        missing = find_missing(rubric, given, suggested)
        if action is Action.REVISE and not reason.strip():
            missing = (NO_REASON, *missing)
        if missing:
            raise IncompleteError(missing)
        must_be_author(evaluation, account_id)
        evaluation.evaluator_id = account_id
        card = store_input(session, evaluation, call, rubric, given)
        _take_over_findings(session, evaluation_id, account_id)
        if action is Action.SUBMIT:
            evaluation.submitted_at_ms = now_ms
        else:
            _keep_decided(session, evaluation_id, points_before)
            detail["before"] = [str(x) for x in before]
        detail |= {"quality_score": str(card.quality_score), "final_score": str(card.final_score)}
        move(session, evaluation, action, actor, now_ms=now_ms, detail=detail)
        keep_revision(session, evaluation, action, actor, now_ms=now_ms, reason=reason)
        entry = session.get(SampleEntry, evaluation.sample_entry_id) if evaluation.sample_entry_id else None
        if action is Action.SUBMIT and entry is not None:
            session.flush()
            reveal_blind_when_done(session, entry.frame_id, actor=actor.username, now_ms=now_ms)
        return evaluation.version


def _keep_decided(session: Session, evaluation_id: int, before: Mapping[str, Any]) -> None:
    """Raise StateError when a revision changes an item that an appeal has decided."""
    session.flush()
    after = points_now(session, evaluation_id)
    decided = session.exec(
        select(Appeal.item_id).where(
            Appeal.evaluation_id == evaluation_id, col(Appeal.state).in_((Outcome.UPHELD, Outcome.REVISED))
        )
    )
    changed = sorted({item_id for item_id in decided if before.get(item_id) != after.get(item_id)})
    if changed:
        raise StateError(f"{'、'.join(changed)} 已由申诉裁定，裁定是最终的，不能再改")


def _take_over_findings(session: Session, evaluation_id: int, account_id: int) -> None:
    """Findings that nobody has confirmed a second time are the submitter's."""
    open_findings = select(FatalFinding).where(
        FatalFinding.evaluation_id == evaluation_id,
        col(FatalFinding.second_confirmed_by).is_(None),
        col(FatalFinding.refused_by).is_(None),
    )
    for finding in session.exec(open_findings).all():
        finding.confirmed_by = account_id
        session.add(finding)


def load_rubric_version(session: Session, rubric_hash: str) -> Rubric:
    """A stored rubric version, parsed."""
    row = session.get(RubricVersion, rubric_hash)
    if row is None:
        raise CallqaError(f"没有评分标准 {rubric_hash[:12]}")
    return _parsed(row.source)


def _rubric_at(session: Session, instant_ms: int) -> str:
    """The version in force then; for a call older than every version, the first one."""
    row = rubric_in_force(session, instant_ms)
    row = row or session.exec(select(RubricVersion).order_by(col(RubricVersion.effective_from_ms))).first()
    if row is None:
        raise CallqaError("还没有装载评分标准；请检查 scorecards/rubric.yaml")
    return row.rubric_hash


def load_for(session: Session, evaluation_id: int, version: int) -> tuple[Evaluation, Call, Rubric]:
    """An evaluation to be changed, as the page that changes it saw it. Raise ConflictError when it was saved since."""
    evaluation = session.get(Evaluation, evaluation_id)
    if evaluation is None:
        raise CallqaError("没有这份评分")
    if evaluation.version != version:
        raise ConflictError("这份评分已在别处保存过；请刷新后再改，避免互相覆盖")
    call = session.get(Call, evaluation.call_id)
    assert call is not None
    return evaluation, call, load_rubric_version(session, evaluation.rubric_hash)
