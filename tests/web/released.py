"""Scores submitted by the leader, of calls of 801 and of 805, and accounts for both agents."""

from dataclasses import dataclass

from callqa.store.db import Database
from callqa.store.tables import Account
from callqa.usecases import evaluate, review
from callqa.usecases.evaluate_input import DeductionInput, EvaluationInput, FatalInput
from tests.web.conftest import NOW_MS, _hash

OWN_CALL, OTHER_CALL = "20261107T011200000Z-A2", "20261105T232210000Z-A1"  # of 801 and 805
OTHER_TICKET = "SW202611060031"  # linked to 805's call


@dataclass(frozen=True, slots=True)
class Scored:
    """own: the agent account's (801); other: somebody else's (805, account `other_agent`)."""

    own: int
    other: int


def add_other_agent(db: Database) -> None:
    with db.write() as session:
        session.add(
            Account(username="other_agent", display_name="欧阳明", role="agent", password_hash=_hash(), agent_no="805")
        )


def submit_score(db: Database, call_id: str, leader_id: int, *, fatal: bool = False) -> int:
    """A submitted score with a deduction of five points at 0:20, another without a time, every suggestion rejected."""
    evaluation_id = evaluate.open_evaluation(db, call_id, evaluator_id=leader_id, now_ms=NOW_MS)
    with db.read() as session:
        from callqa.store.queries.evaluate import find_evaluation

        view = find_evaluation(session, evaluation_id)
        assert view is not None
        suggestions = [row.id for row in view.suggestions if row.id is not None]
    given = EvaluationInput(
        not_applicable=frozenset(),
        deductions={
            "S3.2": {"a": DeductionInput(1, 20_000, "没有复述地址")},
            "S1.1": {"b": DeductionInput(note="工号没听清")},
        },
        fatals=(FatalInput("F1", 30_000, "你烦不烦"),) if fatal else (),
        decisions=dict.fromkeys(suggestions, "rejected"),
        summary="整体规范，复述要补上",
    )
    evaluate.submit(db, evaluation_id, given, version=1, account_id=leader_id, now_ms=NOW_MS)
    return evaluation_id


def release_both(db: Database, leader_id: int) -> Scored:
    """Scores of both calls, released with five days to answer."""
    add_other_agent(db)
    own, other = (submit_score(db, call_id, leader_id) for call_id in (OWN_CALL, OTHER_CALL))
    review.release(db, [own, other], account_id=leader_id, answer_days=5, now_ms=NOW_MS)
    return Scored(own, other)
