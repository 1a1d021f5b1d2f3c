"""盲评卡 and 盲评复测 end to end over the rows: chosen by a committed string, hidden, revealed, scored again, trusted."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import col, select

from callqa.errors import PermissionDenied, StateError
from callqa.scoring.blind import blind_cards, blind_commitment
from callqa.scoring.rubric import parse_rubric
from callqa.store.db import Database
from callqa.store.queries.evaluate import pending_fatals
from callqa.store.queries.sampling import entries_of, in_sample, waits_to_be_scored
from callqa.store.tables import (
    Account,
    AuditEntry,
    Call,
    CheckRun,
    Deduction,
    Evaluation,
    EvaluationRevision,
    FatalFinding,
    SamplingFrame,
    SuggestionDecision,
    SuggestionRow,
)
from callqa.usecases import blind, calibrate, evaluate, second_look, second_person
from callqa.usecases.draw import ReserveReason, use_reserve
from callqa.usecases.evaluate_input import DeductionInput, EvaluationInput, FatalInput
from callqa.usecases.trust import preselected, rescored, scored_cards
from tests.builders import add_rubric, add_transcript, at
from tests.drawn_month import NONCE_A, NONCE_B, SCORECARDS, add_drawable_month, draw_month
from tests.store_fixture import make_database

NOW_MS = at("2026-11-22 14:05:00")
DAY_MS = 86_400_000
NOTHING = EvaluationInput(frozenset(), {})
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = make_database(tmp_path)
    with database.write() as session:
        add_drawable_month(session, tmp_path / "recordings", NOW_MS)
        for name, role in (("leader", "shift_leader"), ("supervisor", "client_supervisor"), ("second", "shift_leader")):
            session.add(Account(username=name, display_name=name, role=role, password_hash="x"))
    yield database
    database.dispose()


@pytest.fixture
def frame(db: Database) -> SamplingFrame:
    return draw_month(db, now_ms=NOW_MS)


def account(db: Database, name: str) -> int:
    with db.read() as session:
        row = session.exec(select(Account).where(Account.username == name)).one()
    assert row.id is not None
    return row.id


def sample(db: Database, frame: SamplingFrame) -> list[str]:
    with db.read() as session:
        return [e.call_id for e in entries_of(session, frame.id or 0) if in_sample(e)]


def make_blind(db: Database, frame: SamplingFrame, call_id: str) -> None:
    """Take a string by which this card is blind (found by trying, as nobody could beforehand)."""
    drawn = sample(db, frame)
    assert len(drawn) >= 5, drawn
    secret = next(s for n in range(10_000) if call_id in blind_cards(frame.seed or "", s := f"secret {n}", drawn))
    with db.write() as session:
        row = session.get(SamplingFrame, frame.id)
        assert row is not None
        row.blind_secret, row.blind_commit = secret, blind_commitment(secret)
        session.add(row)


def prescore(db: Database, call_id: str, item_id: str = "S1.4", code: str = "b") -> None:
    """A run of the default rubric that would preselect one deduction."""
    with db.write() as session:
        call = session.get(Call, call_id)
        assert call is not None
        transcript = add_transcript(session, call)
        run = CheckRun(
            call_id=call_id,
            transcript_id=transcript.id or 0,
            rubric_hash=add_rubric(session).rubric_hash,
            created_at_ms=NOW_MS,
        )
        session.add(run)
        session.flush()
        evidence = [
            {"channel": 1, "start_ms": 4000, "end_ms": 5000, "quote": "嗯", "operator": "keyword_any", "params": ""}
        ]
        session.add(
            SuggestionRow(
                check_run_id=run.id or 0,
                call_id=call_id,
                check_id=f"{item_id}-2",
                item_id=item_id,
                option_code=code,
                level="preselect",
                points=2,
                reason="没有道别",
                evidence=evidence,
            )
        )


def submit(db: Database, call_id: str, given: EvaluationInput = NOTHING, now_ms: int = NOW_MS) -> int:
    leader = account(db, "leader")
    evaluation_id = evaluate.open_evaluation(db, call_id, evaluator_id=leader, now_ms=now_ms)
    with db.read() as session:
        row = session.get(Evaluation, evaluation_id)
        assert row is not None
        runs = session.exec(select(SuggestionRow).where(SuggestionRow.check_run_id == row.check_run_id)).all()
        decisions = {} if row.blind else {s.id: "rejected" for s in runs if s.id is not None}
    given = replace(given, decisions={**decisions, **given.decisions})
    evaluate.submit(db, evaluation_id, given, version=row.version, account_id=leader, now_ms=now_ms)
    return evaluation_id


def test_the_string_is_committed_with_the_reveal_and_shown_when_all_is_scored(
    db: Database, frame: SamplingFrame
) -> None:
    with db.read() as session:
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "sampling.blind_commit")).one()
        reveal = session.exec(select(AuditEntry).where(AuditEntry.action == "sampling.reveal")).one()
    assert frame.blind_secret is not None and len(frame.blind_secret) == 64
    assert entry.detail["blind_commit"] == frame.blind_commit == blind_commitment(frame.blind_secret)
    assert frame.blind_secret not in json.dumps([entry.detail, reveal.detail])
    calls = sample(db, frame)
    for call_id in calls[:-1]:
        submit(db, call_id)
    with db.read() as session:
        assert session.get(SamplingFrame, frame.id).blind_revealed_at_ms is None  # type: ignore[union-attr]
    submit(db, calls[-1])
    with db.read() as session:
        now = session.get(SamplingFrame, frame.id)
        shown = session.exec(select(AuditEntry).where(AuditEntry.action == "sampling.blind_reveal")).one()
        assert now is not None and now.blind_revealed_at_ms == NOW_MS
        cards = {e.call_id for e in session.exec(select(Evaluation).where(col(Evaluation.blind).is_(True)))}
        assert set(shown.detail["cards"]) == cards == set(blind.blind_calls(session, now))
    assert shown.detail["blind_secret"] == frame.blind_secret


def test_the_independent_script_names_the_same_cards(db: Database, frame: SamplingFrame, tmp_path: Path) -> None:
    (tmp_path / "f.tsv").write_text(frame.frame_text, encoding="utf-8")
    (tmp_path / "p.json").write_text(frame.plan_json, encoding="utf-8")
    told = subprocess.run(
        [sys.executable, ROOT / "scorecards/verify_draw.py", "f.tsv", "p.json", NONCE_A, NONCE_B, frame.blind_secret or ""],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert f"blind_commit\t{frame.blind_commit}" in told
    with db.read() as session:
        assert {line.split("\t")[1] for line in told if line.startswith("blind\t")} == set(
            blind.blind_calls(session, frame)
        )


def test_a_blind_card_hides_the_machine_until_it_is_submitted(db: Database, frame: SamplingFrame) -> None:
    call_id = sample(db, frame)[0]
    prescore(db, call_id)
    make_blind(db, frame, call_id)
    with db.read() as session:
        assert waits_to_be_scored(session, call_id)
    evaluation_id = submit(db, call_id)  # no decision was asked for
    with db.read() as session:
        row = session.get(Evaluation, evaluation_id)
        assert (
            row is not None
            and row.blind
            and row.trust == {"S1.4": {"ok": False, "why": "盲评样本 0 通，不足 30 通，只作提示"}}
        )
        assert not waits_to_be_scored(session, call_id)
        (card,) = scored_cards(session, row.rubric_hash)
    assert (card.blind, card.suggested, card.deducted) == (True, {"S1.4"}, frozenset())
    assert "S1.4" in card.applicable


def test_what_a_blind_card_gave_is_what_was_given_before_the_machine_was_shown(
    db: Database, frame: SamplingFrame
) -> None:
    call_id = sample(db, frame)[0]
    prescore(db, call_id)
    make_blind(db, frame, call_id)
    evaluation_id = submit(db, call_id)
    with db.read() as session:
        row = session.get(Evaluation, evaluation_id)
        assert row is not None
    later = replace(NOTHING, deductions={"S1.4": {"b": DeductionInput(1, 4000, "听了机器的")}})
    evaluate.submit(
        db, evaluation_id, later, version=row.version, account_id=row.evaluator_id, now_ms=NOW_MS + 1, reason="再听"
    )
    with db.read() as session:
        (card,) = scored_cards(session, row.rubric_hash)
    assert card.deducted == frozenset()


def test_a_reserve_takes_over_what_it_replaces(db: Database, frame: SamplingFrame) -> None:
    with db.read() as session:
        entries = list(entries_of(session, frame.id or 0))
    spare = next((e for e in entries if e.kind == "reserve"), None)
    assert spare is not None, "the small plan leaves reserves"
    drawn = next(
        e for e in entries if e.kind == "sample" and (e.agent_no, e.stratum) == (spare.agent_no, spare.stratum)
    )
    make_blind(db, frame, drawn.call_id)
    used = use_reserve(db, frame.id or 0, drawn.call_id, reason=ReserveReason.UNPLAYABLE, actor="leader", now_ms=NOW_MS)
    assert used is not None
    with db.read() as session:
        now = session.get(SamplingFrame, frame.id)
        assert now is not None
        assert blind.is_blind(session, now, used.call_id)
        assert used.call_id in blind.blind_calls(session, now) and drawn.call_id not in blind.blind_calls(session, now)


def test_a_card_starts_with_as_many_occurrences_as_the_machines_own_score() -> None:
    """S1.2-2 and S1.2-3 find one sentence each: option c counts twice, at the first one's place."""
    rubric = parse_rubric((SCORECARDS / "rubric.yaml").read_text(encoding="utf-8"))
    rows = [
        SuggestionRow(
            id=k, check_run_id=1, call_id="C", check_id=check_id, item_id="S1.2", option_code="c", level="preselect",
            points=3, times=times, reason=check_id, evidence=[{"start_ms": 1000 * k}],
        )
        for k, (check_id, times) in enumerate((("S1.2-2", 1), ("S1.2-3", 1), ("S1.2-3", 1)), 1)
    ]  # fmt: skip
    trust = {"S1.2": {"ok": True}}
    for taken, times in ((rows[:1], 1), (rows[:2], 2), (rows, 2)):
        given = preselected(trust, taken, NOTHING, rubric)
        assert given.deductions == {"S1.2": {"c": DeductionInput(times, 1000, "S1.2-2")}}
        assert set(given.decisions.values()) == {"accepted"} and len(given.decisions) == len(taken)


def test_an_item_that_proved_itself_is_preselected_and_may_be_rejected(db: Database, frame: SamplingFrame) -> None:
    """Thirty blind cards on which machine and person agree; the next card starts with the deduction ticked."""
    calls = sample(db, frame)
    with db.read() as session:  # which cards are blind is drawn anew each time
        now = session.get(SamplingFrame, frame.id)
        assert now is not None
        open_card = next(c for c in calls if not blind.is_blind(session, now, c))
    prescore(db, open_card)
    leader = account(db, "leader")
    with db.write() as session:
        rubric_hash = add_rubric(session).rubric_hash
        run_id = session.exec(select(CheckRun.id).order_by(col(CheckRun.id).desc())).first()
        for n in range(30):
            call_id = f"P{n:02d}"
            session.add(
                Call(call_id=call_id, mode="bridge", direction="inbound", call_type="inbound", outcome="answered", started_at_ms=1)
            )  # fmt: skip
            session.flush()
            row = Evaluation(
                call_id=call_id, rubric_hash=rubric_hash, check_run_id=run_id, evaluator_id=leader, status="submitted",
                blind=True, opened_at_ms=1, submitted_at_ms=2,
            )  # fmt: skip
            session.add(row)
            session.flush()
            session.add(
                EvaluationRevision(
                    evaluation_id=row.id or 0, number=1, kind="submit", by_account_id=leader, at_ms=2, quality_score=98,
                    final_score=98, items={"S1.4": {"points": 3.0, "options": {"b": 1}}},
                )
            )  # fmt: skip
    evaluation_id = evaluate.open_evaluation(db, open_card, evaluator_id=leader, now_ms=NOW_MS)
    with db.read() as session:
        row = session.get(Evaluation, evaluation_id)
        assert row is not None and row.trust["S1.4"]["ok"], row
        decision = session.exec(select(SuggestionDecision)).one()
        deduction = session.exec(select(Deduction)).one()
    assert (decision.decision, deduction.option_code, deduction.at_ms, deduction.note) == (
        "accepted",
        "b",
        4000,
        "没有道别",
    )
    assert row.status == "draft" and row.quality_score is not None and row.quality_score < 100
    rejected = replace(NOTHING, decisions={decision.suggestion_id: "rejected"})
    evaluate.submit(db, evaluation_id, rejected, version=row.version, account_id=leader, now_ms=NOW_MS)
    with db.read() as session:
        assert session.get(Evaluation, evaluation_id).quality_score == 100.0  # type: ignore[union-attr]


def test_a_second_scoring_after_two_weeks_by_the_same_person(db: Database, frame: SamplingFrame) -> None:
    calls = sample(db, frame)
    for call_id in calls:
        submit(db, call_id)
    leader = account(db, "leader")
    with db.read() as session:
        assert blind.rescores_due(session, NOW_MS + 14 * DAY_MS - 1) == []
        due = blind.rescores_due(session, NOW_MS + 14 * DAY_MS)
    assert len(due) == min(4, len(calls))
    call_id = due[0].call.call_id
    with pytest.raises(StateError):
        second_look.open_rescore(db, call_id, evaluator_id=leader, now_ms=NOW_MS)
    with pytest.raises(PermissionDenied, match="本人"):
        second_look.open_rescore(db, call_id, evaluator_id=account(db, "second"), now_ms=NOW_MS + 15 * DAY_MS)
    again = second_look.open_rescore(db, call_id, evaluator_id=leader, now_ms=NOW_MS + 15 * DAY_MS)
    assert again == second_look.open_rescore(db, call_id, evaluator_id=leader, now_ms=NOW_MS + 15 * DAY_MS)
    with db.read() as session:
        row, first = session.get(Evaluation, again), session.get(Evaluation, due[0].first_id)
        assert row is not None and first is not None and row.blind and row.sample_entry_id is None
        assert (row.rubric_hash, row.transcript_id) == (first.rubric_hash, first.transcript_id)
        assert blind.is_asked_again(session, first, NOW_MS + 15 * DAY_MS)
    given = replace(
        NOTHING,
        deductions={"S1.1": {"b": DeductionInput(1, 1000, "未报工号")}},
        fatals=(FatalInput("F1", 2000, "你烦不烦"),),
    )
    version = evaluate.save_draft(db, again, given, version=row.version, account_id=leader)
    second_look.submit_second_look(db, again, given, version=version, account_id=leader, now_ms=NOW_MS + 15 * DAY_MS)
    with db.read() as session:
        assert call_id not in {d.call.call_id for d in blind.rescores_due(session, NOW_MS + 20 * DAY_MS)}
        assert not blind.is_asked_again(session, first, NOW_MS + 20 * DAY_MS)
        found = rescored(session)
        assert pending_fatals(session) == []
        finding_id = session.exec(select(FatalFinding.id)).one() or 0
    with pytest.raises(StateError, match="只用来比对"):  # by its address all the same
        second_person.confirm_fatal(db, finding_id, account_id=account(db, "supervisor"), now_ms=NOW_MS + 16 * DAY_MS)
    assert found.scores.n == 1 and found.scores.mean_difference is not None and 0.5 < found.scores.mean_difference < 2
    with pytest.raises(StateError):
        second_look.submit_second_look(db, again, given, version=row.version + 2, account_id=leader, now_ms=NOW_MS)


def test_nobody_waits_for_the_second_scoring_of_somebody_who_left(db: Database, frame: SamplingFrame) -> None:
    """Only who scored first may score again: the cards of somebody gone would stay shut to the next leader for ever."""
    for call_id in sample(db, frame):
        submit(db, call_id)
    later = NOW_MS + 15 * DAY_MS
    with db.write() as session:
        first_id = blind.rescores_due(session, later)[0].first_id
        leader = session.get(Account, account(db, "leader"))
        assert leader is not None
        leader.active = False
        session.add(leader)
    with db.read() as session:
        first = session.get(Evaluation, first_id)
        assert blind.rescores_due(session, later) == []
        assert first is not None and not blind.is_asked_again(session, first, later)


def test_a_calibration_shows_nobody_anything_before_all_are_in(db: Database) -> None:
    leader, supervisor, second = (account(db, name) for name in ("leader", "supervisor", "second"))
    with db.read() as session:
        call_ids = session.exec(select(Call.call_id).where(Call.recording_status == "ok").limit(2)).all()
    for title, calls, raters in (("", call_ids, [leader, supervisor]), ("x", [], [leader, supervisor]), ("x", call_ids, [leader]),
                                 ("x", ["nope"], [leader, supervisor]), ("x", call_ids, [leader, 999])):  # fmt: skip
        with pytest.raises(StateError):
            second_look.create_session(db, title, calls, raters, account_id=leader, now_ms=NOW_MS)
    with db.write() as session:
        add_rubric(session)
    session_id = second_look.create_session(
        db, "11 月", call_ids, [leader, supervisor], account_id=leader, now_ms=NOW_MS
    )
    with pytest.raises(PermissionDenied):
        second_look.open_calibration_card(db, session_id, call_ids[0], account_id=second, now_ms=NOW_MS)
    for rater in (leader, supervisor):
        for call_id in call_ids:
            card = second_look.open_calibration_card(db, session_id, call_id, account_id=rater, now_ms=NOW_MS)
            with pytest.raises(StateError, match="还有"):
                second_look.open_comparison(db, session_id, account_id=leader, now_ms=NOW_MS)
            with db.read() as session:
                row = session.get(Evaluation, card)
                assert row is not None and row.blind
                other = supervisor if rater == leader else leader
                assert second_look.may_see(session, row, rater) and not second_look.may_see(session, row, other)
            evaluate.save_draft(db, card, NOTHING, version=1, account_id=rater)
            second_look.submit_second_look(db, card, NOTHING, version=2, account_id=rater, now_ms=NOW_MS)
    second_look.open_comparison(db, session_id, account_id=leader, now_ms=NOW_MS)
    with db.read() as session:
        rows = session.exec(select(Evaluation)).all()
        assert len(rows) == 4 and len({row.rubric_hash for row in rows}) == 1
        assert all(second_look.may_see(session, row, second) for row in rows)
    with pytest.raises(StateError, match="公布"):
        second_look.open_comparison(db, session_id, account_id=leader, now_ms=NOW_MS)


def test_with_a_reference_everybody_is_held_against_that_rater_alone(db: Database) -> None:
    leader, supervisor, second = (account(db, name) for name in ("leader", "supervisor", "second"))
    with db.write() as session:
        add_rubric(session)
        call_ids = list(session.exec(select(Call.call_id).where(Call.recording_status == "ok").limit(2)).all())
    raters = [leader, supervisor, second]
    with pytest.raises(StateError, match="基准评分人须是评分人之一"):
        second_look.create_session(
            db, "11 月", call_ids, [leader, second], reference=supervisor, account_id=leader, now_ms=NOW_MS
        )
    seen = {}
    for reference in (None, supervisor):
        session_id = second_look.create_session(
            db, "11 月", call_ids, raters, reference=reference, account_id=leader, now_ms=NOW_MS
        )
        for rater in raters:
            given = (
                NOTHING
                if rater == supervisor
                else replace(NOTHING, deductions={"S1.1": {"b": DeductionInput(note="工号没听清")}})
            )
            for call_id in call_ids:
                card = second_look.open_calibration_card(db, session_id, call_id, account_id=rater, now_ms=NOW_MS)
                evaluate.save_draft(db, card, given, version=1, account_id=rater)
                second_look.submit_second_look(db, card, given, version=2, account_id=rater, now_ms=NOW_MS)
        second_look.open_comparison(db, session_id, account_id=leader, now_ms=NOW_MS)
        with db.read() as session:
            view = calibrate.session_view(session, session_id, leader)
        assert view is not None
        seen[reference] = view
    everybody, held = seen[None], seen[supervisor]
    assert everybody.reference is None and len(everybody.pairs) == 3 and len(held.pairs) == 2
    assert {p.second for p in held.pairs} == {held.reference}
    assert all(
        p.scores.n == 2 and p.scores.mean_difference is not None and p.scores.mean_difference < 0 for p in held.pairs
    )
    item = {view: next(i for i in seen[view].items if i.item_id == "S1.1").agreement for view in seen}
    assert (item[None].n, item[None].observed) == (6, pytest.approx(1 / 3))  # the other two agree with each other
    assert (item[supervisor].n, item[supervisor].observed) == (4, 0)
    line = next(i for i in everybody.items if i.item_id == "S1.1")
    assert (line.n_calls, line.enough, line.figures.intervals) == (
        2,
        False,
        {},
    )  # three pairs of two calls are two calls
