"""A person owns every point: drafts, evidence, submission, revision, conflict, and fatal findings by two people."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import col, select

from callqa.errors import CallqaError, ConflictError, PermissionDenied, StateError
from callqa.store.db import Database
from callqa.store.queries.evaluate import find_evaluation, pending_fatals
from callqa.store.tables import (
    Account,
    AuditEntry,
    CheckRun,
    Evaluation,
    EvaluationRevision,
    FatalFinding,
    SuggestionRow,
)
from callqa.usecases import evaluate, second_person
from callqa.usecases.evaluate_input import CommentInput, DeductionInput, EvaluationInput, FatalInput, IncompleteError
from tests.builders import add_call, add_people, add_suggestions, add_transcript, at
from tests.store_fixture import make_database

NOW_MS = at("2026-11-22 14:05:00")
NOTHING = EvaluationInput(not_applicable=frozenset(), deductions={})


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = make_database(tmp_path)
    with database.write() as session:
        add_people(session)
        for name, role in (("leader", "shift_leader"), ("supervisor", "client_supervisor")):
            session.add(Account(username=name, display_name=name, role=role, password_hash="x"))
        call = add_call(session, "20261105T232210000Z-A1", at("2026-11-06 07:22:10"))
        add_suggestions(session, call, add_transcript(session, call))
    yield database
    database.dispose()


@pytest.fixture
def evaluation_id(db: Database) -> int:
    return evaluate.open_evaluation(db, "20261105T232210000Z-A1", evaluator_id=1, now_ms=NOW_MS)


def everything_decided(db: Database, given: EvaluationInput = NOTHING, decision: str = "rejected") -> EvaluationInput:
    with db.read() as session:
        ids = session.exec(select(SuggestionRow.id)).all()
    return replace(given, decisions=dict.fromkeys(ids, decision))


def stored(db: Database, evaluation_id: int) -> Evaluation:
    with db.read() as session:
        row = session.get(Evaluation, evaluation_id)
        assert row is not None
        return row


def test_opening_pins_what_it_is_made_with_and_does_so_once(db: Database, evaluation_id: int) -> None:
    again = evaluate.open_evaluation(db, "20261105T232210000Z-A1", evaluator_id=1, now_ms=NOW_MS + 1)
    assert again == evaluation_id
    row = stored(db, evaluation_id)
    with db.read() as session:
        run = session.exec(select(CheckRun)).one()
        view = find_evaluation(session, evaluation_id)
    assert (row.rubric_hash, row.check_run_id, row.transcript_id) == (run.rubric_hash, run.id, run.transcript_id)
    assert row.evaluator_id == 1
    assert view is not None and len(view.items) == 17  # the inbound items of the default rubric


def test_a_draft_is_its_authors_alone_until_the_author_has_left(db: Database, evaluation_id: int) -> None:
    with db.write() as session:
        session.add(Account(username="second", display_name="second", role="shift_leader", password_hash="x"))
    with pytest.raises(PermissionDenied, match="草稿"):
        evaluate.open_evaluation(db, "20261105T232210000Z-A1", evaluator_id=3, now_ms=NOW_MS)
    with pytest.raises(PermissionDenied, match="草稿"):
        evaluate.save_draft(db, evaluation_id, NOTHING, version=1, account_id=3)
    with pytest.raises(PermissionDenied, match="草稿"):
        evaluate.submit(db, evaluation_id, everything_decided(db), version=1, account_id=3, now_ms=NOW_MS)
    with pytest.raises(PermissionDenied, match="角色"):  # the supervisor does not score
        evaluate.save_draft(db, evaluation_id, NOTHING, version=1, account_id=2)
    with db.write() as session:
        author = session.get(Account, 1)
        assert author is not None
        author.active = False
        session.add(author)
    assert evaluate.open_evaluation(db, "20261105T232210000Z-A1", evaluator_id=3, now_ms=NOW_MS) == evaluation_id
    assert stored(db, evaluation_id).evaluator_id == 3
    with db.read() as session:
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "evaluation.take_over")).one()
    assert (entry.actor, entry.detail["author"]) == ("second", "leader")


def test_a_draft_keeps_what_was_chosen_and_counts_it(db: Database, evaluation_id: int) -> None:
    given = replace(
        NOTHING,
        not_applicable=frozenset({"S2.3"}),
        deductions={"S1.1": {"b": DeductionInput()}, "S2.1": {"a": DeductionInput()}, "S3.2": {"a": DeductionInput()}},
        comments=(CommentInput(12_000, "复述不完整"),),
        summary="总体规范",
    )
    version = evaluate.save_draft(db, evaluation_id, given, version=1, account_id=1)
    row = stored(db, evaluation_id)
    # the rubric's own example: one item not applicable, 1 + 1 + 5 points lost (docs/domain: 100 × 88 ÷ 95 is without S5.3)
    with db.read() as session:
        view = find_evaluation(session, evaluation_id)
    assert view is not None and version == row.version == 2
    assert view.items["S2.3"].points is None
    assert view.items["S3.2"].points == 0
    full = sum(i.max_points for i in view.items.values() if not i.not_applicable)
    assert row.quality_score == pytest.approx(round(100 * (full - 7) / full, 1), abs=0.051)
    assert [c.text for c in view.comments] == ["复述不完整"]
    assert row.status == "draft"


def test_two_tabs_cannot_overwrite_each_other(db: Database, evaluation_id: int) -> None:
    evaluate.save_draft(db, evaluation_id, replace(NOTHING, summary="甲"), version=1, account_id=1)
    with pytest.raises(ConflictError, match="刷新"):
        evaluate.save_draft(db, evaluation_id, replace(NOTHING, summary="乙"), version=1, account_id=1)
    assert stored(db, evaluation_id).summary == "甲"


def test_submitting_needs_every_suggestion_decided(db: Database, evaluation_id: int) -> None:
    with pytest.raises(IncompleteError, match="2 条机器建议"):
        evaluate.submit(db, evaluation_id, NOTHING, version=1, account_id=1, now_ms=NOW_MS)
    evaluate.submit(db, evaluation_id, everything_decided(db), version=1, account_id=1, now_ms=NOW_MS)
    row = stored(db, evaluation_id)
    assert (row.status, row.quality_score, row.final_score, row.grade) == ("submitted", 100.0, 100.0, "excellent")


def add_opening(db: Database) -> dict[str | None, int]:
    """A whole opening missing, with what it covers as hints; gives the suggestions by option."""
    with db.write() as session:
        run = session.exec(select(CheckRun)).one()
        rows = [
            SuggestionRow(
                check_run_id=run.id, call_id=run.call_id, check_id=f"S1.1-{code}", item_id="S1.1", option_code=code,
                level=level, points=1, reason="开场", evidence=[],
            )
            for code, level in (("e", "preselect"), ("a", "hint"), ("b", "hint"), (None, "hint"))
        ]  # fmt: skip
        session.add_all(rows)
        session.flush()
        return {row.option_code: row.id for row in rows if row.id is not None}


def test_what_an_accepted_exclusive_option_covers_needs_no_decision(db: Database, evaluation_id: int) -> None:
    others = everything_decided(db).decisions
    ids = add_opening(db)
    taken = {"e": DeductionInput(at_ms=0, note="整段开场缺失")}
    given = replace(NOTHING, deductions={"S1.1": taken}, decisions={**others, ids["e"]: "accepted"})
    refused = replace(given, deductions={}, decisions={**others, ids["e"]: "rejected"})
    chosen = replace(given, deductions={"S1.1": {**taken, "a": DeductionInput(note="未报")}})
    for open_still, count in ((refused, 3), (chosen, 1)):
        with pytest.raises(IncompleteError, match=f"{count} 条机器建议"):
            evaluate.submit(db, evaluation_id, open_still, version=1, account_id=1, now_ms=NOW_MS)
    own = replace(given, decisions={**given.decisions, ids["b"]: "accepted"})  # a decision of the leader's own stays
    evaluate.submit(db, evaluation_id, own, version=1, account_id=1, now_ms=NOW_MS)
    with db.read() as session:
        view = find_evaluation(session, evaluation_id)
    assert view is not None
    assert {code: view.decisions[i] for code, i in ids.items()} == {
        "e": "accepted", "a": "rejected", "b": "accepted", None: "rejected",
    }  # fmt: skip
    assert view.items["S1.1"].points == 0


@pytest.mark.parametrize(
    ("chosen", "complaint"),
    [
        (DeductionInput(), "须有时间点证据"),
        (DeductionInput(at_ms=5_000), "须写说明"),
        (DeductionInput(at_ms=5_000, note="未复述地址"), None),
    ],
)
def test_three_points_or_more_need_a_time_and_a_note(
    db: Database, evaluation_id: int, chosen: DeductionInput, complaint: str | None
) -> None:
    given = everything_decided(db, replace(NOTHING, deductions={"S3.2": {"a": chosen}}))
    if complaint is None:
        evaluate.submit(db, evaluation_id, given, version=1, account_id=1, now_ms=NOW_MS)
        assert stored(db, evaluation_id).status == "submitted"
    else:
        with pytest.raises(IncompleteError, match=complaint):
            evaluate.submit(db, evaluation_id, given, version=1, account_id=1, now_ms=NOW_MS)
        assert stored(db, evaluation_id).status == "draft"


def test_a_submitted_score_changes_only_with_a_reason_and_leaves_a_trace(db: Database, evaluation_id: int) -> None:
    version = evaluate.submit(db, evaluation_id, everything_decided(db), version=1, account_id=1, now_ms=NOW_MS)
    changed = everything_decided(db, replace(NOTHING, deductions={"S1.1": {"b": DeductionInput()}}))
    with pytest.raises(StateError):
        evaluate.save_draft(db, evaluation_id, changed, version=version, account_id=1)
    with pytest.raises(IncompleteError, match="理由"):
        evaluate.submit(db, evaluation_id, changed, version=version, account_id=1, now_ms=NOW_MS)
    evaluate.submit(db, evaluation_id, changed, version=version, account_id=1, now_ms=NOW_MS + 5, reason="漏扣工号")
    assert stored(db, evaluation_id).quality_score == pytest.approx(99.0, abs=0.3)
    with db.read() as session:
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "evaluation.revise")).one()
    assert entry.detail["reason"] == "漏扣工号"
    with db.read() as session:
        kept = session.exec(select(EvaluationRevision).order_by(col(EvaluationRevision.number))).all()
    assert [(r.number, r.kind, r.reason, r.items["S1.1"]["options"]) for r in kept] == [
        (1, "submit", "", {}),
        (2, "revise", "漏扣工号", {"b": 1}),
    ]
    assert entry.detail["before"] == ["100.0", "100.0"]


def test_a_fatal_finding_counts_only_after_a_second_person(db: Database, evaluation_id: int) -> None:
    given = everything_decided(db, replace(NOTHING, fatals=(FatalInput("F1", 5_000, "你烦不烦"),)))
    evaluate.submit(db, evaluation_id, given, version=1, account_id=1, now_ms=NOW_MS)
    assert stored(db, evaluation_id).final_score == 100.0
    with db.read() as session:
        finding = session.exec(select(FatalFinding)).one()
        assert [p.finding.id for p in pending_fatals(session)] == [finding.id]
    assert finding.id is not None
    with pytest.raises(StateError, match="另一个人"):
        second_person.confirm_fatal(db, finding.id, account_id=1, now_ms=NOW_MS)
    second_person.confirm_fatal(db, finding.id, account_id=2, now_ms=NOW_MS + 1)
    row = stored(db, evaluation_id)
    assert (row.quality_score, row.final_score, row.grade) == (100.0, 0.0, "failed")
    with db.read() as session:
        assert pending_fatals(session) == []


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (replace(NOTHING, deductions={"S9.9": {"a": DeductionInput()}}), "不适用于这类通话"),
        (replace(NOTHING, deductions={"S1.1": {"z": DeductionInput()}}), "没有扣分选项 z"),
        (replace(NOTHING, deductions={"S1.2": {"c": DeductionInput(times=9)}}), "次数应为 1 到 2"),
        (replace(NOTHING, deductions={"S1.1": {"a": DeductionInput(at_ms=9_999_999)}}), "超出录音长度"),
        (replace(NOTHING, not_applicable=frozenset({"S1.1"}), deductions={"S1.1": {"a": DeductionInput()}}), "二选一"),
        (replace(NOTHING, fatals=(FatalInput("F99", 1, "x"),)), "没有致命项 F99"),
        (replace(NOTHING, decisions={1: "maybe"}), "采纳或驳回"),
    ],
)
def test_nonsense_is_refused_and_nothing_changes(
    db: Database, evaluation_id: int, given: EvaluationInput, complaint: str
) -> None:
    with pytest.raises(CallqaError, match=complaint):
        evaluate.save_draft(db, evaluation_id, given, version=1, account_id=1)
    assert stored(db, evaluation_id).version == 1
