"""Gather the answers and appeals of a month's released scores for the report; what they add up to is `reports/appeals.py`."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from sqlmodel import Session

from callqa.periods import Month
from callqa.reports.appeals import Answer, AppealCase, AppealedItem, AppealScores, MonthAppeals
from callqa.scoring.evaluation import VISIBLE_TO_AGENT, Action, Outcome, Status
from callqa.store.queries import report as queries
from callqa.store.queries.confidential import confidential_ids
from callqa.store.tables import Appeal, Call, Evaluation, EvaluationItem, EvaluationRevision
from callqa.usecases.evaluate_state import window_end_ms


def gather_appeals(
    session: Session, month: Month, calls: Mapping[str, Call], names: Mapping[int, str], *, demo: bool, now_ms: int
) -> MonthAppeals:
    """The month's first scores and their appeals. calls: the month's, by call_id; demo: whether demo calls count."""
    done = queries.done_evaluations(session, month.start_ms, month.end_ms)
    counted = [e for call_id, e in sorted(done.items()) if demo or not calls[call_id].demo]
    ids = [e.id for e in counted if e.id is not None]
    appeals = queries.parts_of(session, Appeal, ids)
    disputed = list(appeals)
    revisions = queries.parts_of(session, EvaluationRevision, disputed)
    items = queries.parts_of(session, EvaluationItem, disputed)
    secret = confidential_ids(session)
    cases = []
    for evaluation in counted:
        own = appeals.get(evaluation.id or 0, [])
        for opened_at_ms in sorted({row.opened_at_ms for row in own}):
            rows = [row for row in own if row.opened_at_ms == opened_at_ms]
            cases.append(
                _case(
                    evaluation,
                    calls[evaluation.call_id].agent_no or "",
                    rows,
                    _around_decision(rows, revisions.get(evaluation.id or 0, [])),
                    frozenset(item.item_id for item in items.get(evaluation.id or 0, [])),
                    names,
                    confidential=evaluation.call_id in secret,
                )
            )
    released = [e for e in counted if Status(e.status) in VISIBLE_TO_AGENT]
    return MonthAppeals(
        answers=tuple(answer_of(e, now_ms, lapses=e.call_id not in secret) for e in released),
        cases=tuple(sorted(cases, key=lambda case: (case.opened_at_ms, case.call_id))),
        unreleased=len(counted) - len(released),
    )


def answer_of(evaluation: Evaluation, now_ms: int, *, lapses: bool) -> Answer:
    """How a released score stands. One whose window has just ended counts as lapsed before the calendar says so.

    lapses: not of a confidential call, as `usecases/review.py` has it.
    """
    if evaluation.status == Status.APPEALED:
        return Answer.APPEALED
    if evaluation.status == Status.RELEASED:
        due = evaluation.answer_due_at_ms
        return Answer.LAPSED if lapses and due is not None and due <= now_ms else Answer.WAITING
    if evaluation.answered_at_ms is None:
        return Answer.DECIDED  # nothing else makes a score final without an answer
    return Answer.LAPSED if evaluation.answered_by_lapse else Answer.ACKNOWLEDGED


def _case(
    evaluation: Evaluation,
    agent_no: str,
    rows: Sequence[Appeal],
    scores: AppealScores | None,
    items: frozenset[str],
    names: Mapping[int, str],
    *,
    confidential: bool,
) -> AppealCase:
    first = rows[0]
    days = evaluation.answer_days
    decided_by = "" if first.decided_by is None else names.get(first.decided_by, str(first.decided_by))
    return AppealCase(
        call_id=evaluation.call_id,
        agent_no=agent_no,
        confidential=confidential,
        opened_at_ms=first.opened_at_ms,
        decide_by_ms=None if days is None else window_end_ms(first.opened_at_ms, days),
        decided_at_ms=first.decided_at_ms,
        decided_by=decided_by,
        alone=first.alone,
        items=tuple(
            AppealedItem(
                row.item_id,
                row.reason,
                Outcome(row.state),
                row.points_before,
                row.points_after,
                fatal=row.item_id not in items,
            )
            for row in sorted(rows, key=lambda row: row.item_id)
        ),
        scores=scores,
    )


def _around_decision(rows: Sequence[Appeal], revisions: Sequence[EvaluationRevision]) -> AppealScores | None:
    """The scores of the revision that the decision made, and of the one it found. rows: of one lodging."""
    decided_at_ms = rows[0].decided_at_ms
    if decided_at_ms is None or rows[0].state == Outcome.WITHDRAWN:
        return None
    ordered = sorted(revisions, key=lambda revision: revision.number)
    for before, after in pairwise(ordered):
        if after.kind == Action.DECIDE and after.at_ms == decided_at_ms:
            return AppealScores(before.quality_score, after.quality_score, before.final_score, after.final_score)
    return None
