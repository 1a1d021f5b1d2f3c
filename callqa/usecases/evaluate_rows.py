"""An evaluation's rows: replace what is stored with what the form holds, and the totals with it. Used inside one transaction."""

from collections.abc import Sequence

from sqlmodel import Session, col, delete, select

from callqa.privacy import mask_text
from callqa.scoring.criteria import Rubric
from callqa.scoring.evaluation import Status
from callqa.scoring.scorecard import ScoreCard, total
from callqa.store.queries.evaluate import EvaluationView
from callqa.store.tables import (
    Call,
    Deduction,
    Evaluation,
    EvaluationComment,
    EvaluationItem,
    FatalFinding,
    SuggestionDecision,
    SuggestionRow,
)
from callqa.units import CallType
from callqa.usecases.evaluate_input import (
    CommentInput,
    DeductionInput,
    EvaluationInput,
    FatalInput,
    SuggestionRef,
    refuse_nonsense,
)


def suggestions_of(session: Session, evaluation: Evaluation) -> tuple[SuggestionRef, ...]:
    """What the machine suggested and the evaluator was shown: nothing on a blind card."""
    if evaluation.check_run_id is None or evaluation.blind:
        return ()
    rows = session.exec(
        select(SuggestionRow)
        .where(SuggestionRow.check_run_id == evaluation.check_run_id)
        .order_by(col(SuggestionRow.id))
    ).all()
    return suggestion_refs(rows)


def suggestion_refs(rows: Sequence[SuggestionRow], rubric: Rubric | None = None) -> tuple[SuggestionRef, ...]:
    """Stored suggestions as what accepting them means; the first evidence is the place. rubric: for max_times.

    The reason becomes the note of a deduction, which agents and the monthly report show: its numbers are masked here.
    """
    return tuple(
        SuggestionRef(
            row.id,
            row.item_id,
            row.option_code,
            row.fatal_id,
            int(row.evidence[0]["start_ms"]) if row.evidence else None,
            mask_text(row.reason),
            row.level,
            row.times,
            rubric.item(row.item_id).option(row.option_code).max_times if rubric and row.option_code else None,
        )
        for row in rows
        if row.id is not None
    )


def stored_input(view: EvaluationView) -> EvaluationInput:
    """What is stored, as the form would send it."""
    deductions: dict[str, dict[str, DeductionInput]] = {}
    for (item_id, code), row in view.deductions.items():
        deductions.setdefault(item_id, {})[code] = DeductionInput(row.times, row.at_ms, row.note)
    return EvaluationInput(
        not_applicable=frozenset(i.item_id for i in view.items.values() if i.not_applicable),
        deductions=deductions,
        fatals=tuple(FatalInput(f.fatal_id, f.at_ms if f.words else None, f.words) for f in view.fatals.values()),
        comments=tuple(CommentInput(c.at_ms, c.text) for c in view.comments),
        decisions=view.decisions,
        summary=view.evaluation.summary,
        elapsed_ms=view.evaluation.elapsed_ms,
    )


def store_input(
    session: Session, evaluation: Evaluation, call: Call, rubric: Rubric, given: EvaluationInput
) -> ScoreCard:
    """Replace everything but the second confirmations of fatal findings that stay as they were. One version more."""
    assert evaluation.id is not None
    refuse_nonsense(
        rubric,
        CallType(call.call_type),
        given,
        duration_ms=call.duration_ms or 0,
        suggestion_ids={s.suggestion_id for s in suggestions_of(session, evaluation)},
    )
    for table in (Deduction, EvaluationComment, SuggestionDecision):
        session.exec(delete(table).where(col(table.evaluation_id) == evaluation.id))
    session.add_all(_deductions(evaluation.id, rubric, given))
    for comment in given.comments:
        session.add(EvaluationComment(evaluation_id=evaluation.id, at_ms=comment.at_ms, text=comment.text))
    for suggestion_id, decision in given.decisions.items():
        session.add(SuggestionDecision(evaluation_id=evaluation.id, suggestion_id=suggestion_id, decision=decision))
    _store_fatals(session, evaluation, given)
    rows = session.exec(select(EvaluationItem).where(EvaluationItem.evaluation_id == evaluation.id)).all()
    for row in rows:
        row.not_applicable = row.item_id in given.not_applicable
        row.na_by = (row.na_by or "person") if row.not_applicable else None
    evaluation.summary = given.summary
    if evaluation.status == Status.DRAFT:  # the time a score took; a revision's page may stand open for hours
        evaluation.elapsed_ms = max(evaluation.elapsed_ms, given.elapsed_ms)
    session.flush()
    card = score_stored(session, evaluation, call, rubric)
    points = {score.item_id: score.points for score in card.items}
    for row in rows:
        value = points.get(row.item_id)
        row.points = None if value is None else float(value)
        session.add(row)
    write_totals(evaluation, card)
    evaluation.version += 1
    session.add(evaluation)
    return card


def _deductions(evaluation_id: int, rubric: Rubric, given: EvaluationInput) -> list[Deduction]:
    return [
        Deduction(
            evaluation_id=evaluation_id,
            item_id=item_id,
            option_code=code,
            times=chosen.times,
            points=float(rubric.item(item_id).option(code).points * chosen.times),
            at_ms=chosen.at_ms,
            note=chosen.note,
        )
        for item_id, options in given.deductions.items()
        for code, chosen in options.items()
    ]


def _store_fatals(session: Session, evaluation: Evaluation, given: EvaluationInput) -> None:
    """Keep findings that stand, add new ones, drop withdrawn ones. A changed finding needs its second person again."""
    assert evaluation.id is not None
    rows = session.exec(select(FatalFinding).where(FatalFinding.evaluation_id == evaluation.id)).all()
    stored = {row.fatal_id: row for row in rows}
    for fatal in given.fatals:
        at_ms = fatal.at_ms or 0
        row = stored.pop(fatal.fatal_id, None)
        if row is None:
            row = FatalFinding(
                evaluation_id=evaluation.id,
                fatal_id=fatal.fatal_id,
                at_ms=at_ms,
                words=fatal.words,
                confirmed_by=evaluation.evaluator_id,
            )
        elif (row.at_ms // 1000, row.words) != (at_ms // 1000, fatal.words):
            row.at_ms, row.words = at_ms, fatal.words
            row.second_confirmed_by = row.second_confirmed_at_ms = None
            row.refused_by, row.refused_at_ms, row.refusal = None, None, ""
        session.add(row)
    for withdrawn in stored.values():
        session.delete(withdrawn)


def score_stored(session: Session, evaluation: Evaluation, call: Call, rubric: Rubric) -> ScoreCard:
    """The score of what is stored; only fatal findings with two different people count."""
    deductions: dict[str, dict[str, int]] = {}
    for row in session.exec(select(Deduction).where(Deduction.evaluation_id == evaluation.id)).all():
        deductions.setdefault(row.item_id, {})[row.option_code] = row.times
    items = session.exec(select(EvaluationItem).where(EvaluationItem.evaluation_id == evaluation.id)).all()
    fatals = session.exec(
        select(FatalFinding.fatal_id).where(
            FatalFinding.evaluation_id == evaluation.id, col(FatalFinding.second_confirmed_by).is_not(None)
        )
    ).all()
    return total(
        rubric,
        CallType(call.call_type),
        not_applicable=frozenset(i.item_id for i in items if i.not_applicable),
        deductions=deductions,
        confirmed_fatals=tuple(fatals),
    )


def write_totals(evaluation: Evaluation, card: ScoreCard) -> None:
    """Put a card's totals on the evaluation."""
    evaluation.quality_score = float(card.quality_score)
    evaluation.final_score = float(card.final_score)
    evaluation.grade = card.grade
