"""Release, answer, lapse, appeal, decision: who may, until when, and what stands afterwards."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlmodel import col, delete, select

from callqa.errors import CallqaError, ConflictError, PermissionDenied, StateError
from callqa.scoring.evaluation import VISIBLE_TO_AGENT, Outcome
from callqa.store.db import Database
from callqa.store.queries import reviews as queries
from callqa.store.queries.coaching import notes_of
from callqa.store.tables import (
    Account,
    Appeal,
    AuditEntry,
    Call,
    Evaluation,
    EvaluationItem,
    EvaluationRevision,
    FatalFinding,
    SeatLogin,
)
from callqa.usecases import appeal, evaluate, review, second_person
from callqa.usecases.appeal import Ruling
from callqa.usecases.attribute import attribute, attribute_by_person
from callqa.usecases.coaching import sign_note, write_note
from callqa.usecases.evaluate_input import DeductionInput, EvaluationInput, FatalInput
from callqa.usecases.report_facts import _say_appeal
from tests.builders import add_call, add_people, add_rubric, at
from tests.reports.builders import ITEMS
from tests.store_fixture import make_database

NOW_MS = at("2026-11-22 14:05:00")
DUE_MS = at("2026-11-28 00:00:00")  # five days after the day of the release
LEADER, SUPERVISOR, AGENT, OTHER_AGENT = 1, 2, 3, 4
CALL = "20261105T232210000Z-A1"
GIVEN = EvaluationInput(
    not_applicable=frozenset(),
    deductions={"S1.1": {"b": DeductionInput(note="没听清工号")}, "S3.2": {"a": DeductionInput(1, 20_000, "未复述")}},
    fatals=(FatalInput("F1", 5_000, "你烦不烦"),),
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = make_database(tmp_path)
    with database.write() as session:
        add_people(session)
        for name, role, agent_no in (
            ("leader", "shift_leader", None),
            ("supervisor", "client_supervisor", None),
            ("own", "agent", "805"),
            ("other", "agent", "801"),
        ):
            session.add(Account(username=name, display_name=name, role=role, password_hash="x", agent_no=agent_no))
            session.flush()
        add_rubric(session)
        add_call(session, CALL, at("2026-11-06 07:22:10"))
    yield database
    database.dispose()


@pytest.fixture
def submitted(db: Database) -> int:
    evaluation_id = evaluate.open_evaluation(db, CALL, evaluator_id=LEADER, now_ms=NOW_MS)
    evaluate.submit(db, evaluation_id, GIVEN, version=1, account_id=LEADER, now_ms=NOW_MS)
    return evaluation_id


@pytest.fixture
def released(db: Database, submitted: int) -> int:
    review.release(db, [submitted], account_id=LEADER, answer_days=5, now_ms=NOW_MS)
    return submitted


def stored(db: Database, evaluation_id: int) -> Evaluation:
    with db.read() as session:
        row = session.get(Evaluation, evaluation_id)
        assert row is not None
        return row


def version(db: Database, evaluation_id: int) -> int:
    return stored(db, evaluation_id).version


def actions(db: Database) -> list[str]:
    with db.read() as session:
        return list(session.exec(select(AuditEntry.action).order_by(col(AuditEntry.sequence))))


def ask(db: Database, evaluation_id: int, *items: str, who: int = AGENT, now_ms: int = NOW_MS + 1) -> list[int]:
    reasons = dict.fromkeys(items, "我复述过，在 0:25")
    appeal.appeal(db, evaluation_id, reasons, version=version(db, evaluation_id), account_id=who, now_ms=now_ms)
    with db.read() as session:
        return [row.id or 0 for row in session.exec(select(Appeal).where(Appeal.state == "open").order_by(Appeal.id))]


def test_the_window_ends_with_the_last_day(db: Database, released: int) -> None:
    row = stored(db, released)
    assert (row.status, row.released_at_ms, row.answer_due_at_ms) == ("released", NOW_MS, DUE_MS)
    assert set(queries.VISIBLE_TO_AGENT) == VISIBLE_TO_AGENT


def test_release_is_the_leaders_and_all_or_none(db: Database, submitted: int) -> None:
    with pytest.raises(PermissionDenied, match="发布"):
        review.release(db, [submitted], account_id=SUPERVISOR, answer_days=5, now_ms=NOW_MS)
    with db.write() as session:
        call = session.get(Call, CALL)
        assert call is not None
        call.agent_no = None
        session.add(call)
    with pytest.raises(StateError, match="归属"):
        review.release(db, [submitted], account_id=LEADER, answer_days=5, now_ms=NOW_MS)
    assert stored(db, submitted).status == "submitted"


def test_the_agent_acknowledges_and_the_leader_finalizes(db: Database, released: int) -> None:
    appeal.acknowledge(db, released, version=version(db, released), account_id=AGENT, now_ms=NOW_MS + 1)
    row = stored(db, released)
    assert (row.status, row.answered_at_ms, row.answered_by_lapse) == ("acknowledged", NOW_MS + 1, False)
    with pytest.raises(StateError):
        ask(db, released, "S1.1")
    review.finalize(db, [released], account_id=LEADER, now_ms=NOW_MS + 2)
    assert stored(db, released).status == "finalized"
    assert actions(db) == [f"evaluation.{a}" for a in ("submit", "release", "acknowledge", "finalize")]


@pytest.mark.parametrize("who", [OTHER_AGENT, LEADER, SUPERVISOR])
def test_nobody_else_answers(db: Database, released: int, who: int) -> None:
    with pytest.raises(PermissionDenied):
        appeal.acknowledge(db, released, version=version(db, released), account_id=who, now_ms=NOW_MS + 1)
    with pytest.raises(PermissionDenied):
        ask(db, released, "S1.1", who=who)
    assert stored(db, released).status == "released"


def test_what_is_not_released_cannot_be_answered(db: Database, submitted: int) -> None:
    with pytest.raises(PermissionDenied, match="没有发布"):
        ask(db, submitted, "S1.1")


def test_after_the_window_it_is_acknowledged_by_lapse(db: Database, released: int) -> None:
    assert review.lapse_due(db, now_ms=DUE_MS - 1) == ()
    with pytest.raises(StateError, match="截止"):
        ask(db, released, "S1.1", now_ms=DUE_MS)
    assert review.lapse_due(db, now_ms=DUE_MS) == (released,)
    row = stored(db, released)
    assert (row.status, row.answered_by_lapse, row.answered_at_ms) == ("acknowledged", True, DUE_MS)
    assert actions(db)[-1] == "evaluation.lapse" and review.lapse_due(db, now_ms=DUE_MS + 1) == ()


def test_a_revision_after_the_answer_opens_it_again_with_a_new_window(db: Database, released: int) -> None:
    review.lapse_due(db, now_ms=DUE_MS)
    later = at("2026-12-01 09:00:00")
    with_reason = {"account_id": LEADER, "now_ms": later, "reason": "听错"}
    evaluate.submit(db, released, replace(GIVEN, fatals=()), version=version(db, released), **with_reason)
    row = stored(db, released)
    assert (row.status, row.answered_at_ms, row.answered_by_lapse) == ("released", None, False)
    assert row.answer_due_at_ms == at("2026-12-07 00:00:00")


def test_a_fatal_item_confirmed_after_the_answer_opens_it_again(db: Database, released: int) -> None:
    appeal.acknowledge(db, released, version=version(db, released), account_id=AGENT, now_ms=NOW_MS + 1)
    with db.read() as session:
        finding = session.exec(select(FatalFinding)).one()
    before = stored(db, released)
    assert before.final_score == before.quality_score  # pending: does not count
    second_person.confirm_fatal(db, finding.id or 0, account_id=SUPERVISOR, now_ms=NOW_MS + 2)
    row = stored(db, released)
    assert (row.status, row.final_score) == ("released", 0.0)
    assert row.quality_score == before.quality_score


def test_reasons_items_and_versions_are_checked(db: Database, released: int) -> None:
    now = version(db, released)
    for reasons, complaint in (({}, "至少选一项"), ({"S1.1": " "}, "写明"), ({"S9.9": "x"}, "没有 S9.9")):
        with pytest.raises(CallqaError, match=complaint):
            appeal.appeal(db, released, reasons, version=now, account_id=AGENT, now_ms=NOW_MS)
    with pytest.raises(ConflictError):
        appeal.appeal(db, released, {"S1.1": "x"}, version=now - 1, account_id=AGENT, now_ms=NOW_MS)
    with db.read() as session:
        assert session.exec(select(Appeal)).all() == []


def test_an_appeal_is_decided_by_another_item_by_item_and_is_final(db: Database, released: int) -> None:
    ids = ask(db, released, "F1", "S1.1", "S3.2")
    with pytest.raises(StateError):  # decided before anything else is changed
        evaluate.submit(
            db, released, GIVEN, version=version(db, released), account_id=LEADER, now_ms=NOW_MS, reason="改"
        )
    rulings = {
        ids[0]: Ruling(Outcome.REVISED, "语气不构成辱骂"),
        ids[1]: Ruling(Outcome.UPHELD, "确实听不清"),
        ids[2]: Ruling(Outcome.REVISED, "0:25 已复述"),
    }
    with pytest.raises(PermissionDenied, match="另一位"):
        appeal.decide(db, released, rulings, version=version(db, released), account_id=LEADER, now_ms=NOW_MS + 2)
    with pytest.raises(CallqaError, match=r"S3\.2 还没有裁定"):
        some = {k: v for k, v in rulings.items() if k != ids[2]}
        appeal.decide(db, released, some, version=version(db, released), account_id=SUPERVISOR, now_ms=NOW_MS + 2)
    same = {**rulings, ids[2]: Ruling(Outcome.REVISED, "0:25 已复述", {"a": 1})}
    with pytest.raises(CallqaError, match="没有改变"):
        appeal.decide(db, released, same, version=version(db, released), account_id=SUPERVISOR, now_ms=NOW_MS + 2)
    before = stored(db, released)
    appeal.decide(db, released, rulings, version=before.version, account_id=SUPERVISOR, now_ms=NOW_MS + 3)
    after = stored(db, released)
    assert after.status == "finalized" and (after.quality_score or 0) > (before.quality_score or 0)
    with db.read() as session:
        rows = {row.item_id: row for row in session.exec(select(Appeal))}
        assert session.exec(select(FatalFinding)).all() == []
        kept = session.exec(select(EvaluationRevision).order_by(col(EvaluationRevision.number))).all()
    assert {k: (r.state, r.points_before, r.points_after, r.alone) for k, r in rows.items()} == {
        "F1": ("revised", None, None, False),
        "S1.1": ("upheld", 4.0, 4.0, False),
        "S3.2": ("revised", 0.0, 5.0, False),
    }
    assert [r.kind for r in kept] == ["submit", "decide"] and "F1" in kept[0].items and "F1" not in kept[1].items
    # the decision stands: another revision may change other items only
    changed = replace(GIVEN, fatals=())
    with pytest.raises(StateError, match="申诉裁定"):
        evaluate.submit(db, released, changed, version=after.version, account_id=LEADER, now_ms=NOW_MS, reason="改")
    kept_item = replace(
        changed, deductions={"S1.1": GIVEN.deductions["S1.1"], "S2.1": {"b": DeductionInput(1, 9_000, "打断")}}
    )
    evaluate.submit(db, released, kept_item, version=after.version, account_id=LEADER, now_ms=NOW_MS, reason="漏扣")
    with pytest.raises(StateError, match="裁定过"):
        ask(db, released, "S3.2")
    assert ask(db, released, "S2.1")


def test_an_appeal_never_makes_it_worse(db: Database, released: int) -> None:
    """An agent who asks for one point back does not lose the item: 申诉不加重."""
    (only,) = ask(db, released, "S1.1")
    before = stored(db, released)
    decide = partial(appeal.decide, db, released, version=before.version, account_id=SUPERVISOR, now_ms=NOW_MS + 2)
    for times in ({"e": 1}, {"b": 1, "c": 1}):
        with pytest.raises(StateError, match=r"S1\.1 原来得 4\.0 分.*申诉不加重.*请选“维持”"):
            decide({only: Ruling(Outcome.REVISED, "其实整段都没有", times)})
    after = stored(db, released)
    assert (after.status, after.version, after.quality_score) == ("appealed", before.version, before.quality_score)
    decide({only: Ruling(Outcome.REVISED, "换一个同分的理由", {"c": 1})})  # as much, for another reason
    assert stored(db, released).quality_score == before.quality_score


def test_an_item_that_does_not_apply_must_not_make_the_rest_weigh_more(db: Database, submitted: int) -> None:
    """S1.1 lost one point of five; without it what was lost elsewhere is a larger share of less."""
    everywhere = {
        item_id: {max(ITEMS[item_id]["options"], key=lambda o: o["points"])["code"]: DeductionInput(1, 9_000, "听过")}
        for item_id in items_of(db, submitted) - {"S1.1"}
    } | {"S1.1": GIVEN.deductions["S1.1"]}
    heavy = replace(GIVEN, deductions=everywhere)
    evaluate.submit(
        db, submitted, heavy, version=version(db, submitted), account_id=LEADER, now_ms=NOW_MS, reason="再听"
    )
    review.release(db, [submitted], account_id=LEADER, answer_days=5, now_ms=NOW_MS)
    (only,) = ask(db, submitted, "S1.1")
    now = stored(db, submitted)
    ruling = {only: Ruling(Outcome.REVISED, "这类电话不适用", {}, not_applicable=True)}
    with pytest.raises(StateError, match=r"质量分从.*降到.*申诉不加重.*或选“维持”"):
        appeal.decide(db, submitted, ruling, version=now.version, account_id=SUPERVISOR, now_ms=NOW_MS + 2)
    assert stored(db, submitted).status == "appealed"


def items_of(db: Database, evaluation_id: int) -> set[str]:
    with db.read() as session:
        rows = session.exec(select(EvaluationItem).where(EvaluationItem.evaluation_id == evaluation_id))
        return {row.item_id for row in rows}


def test_where_nobody_else_is_there_the_scorer_decides_and_it_says_so(db: Database, released: int) -> None:
    with db.write() as session:
        supervisor = session.get(Account, SUPERVISOR)
        assert supervisor is not None
        supervisor.active = False
        session.add(supervisor)
    (only,) = ask(db, released, "S1.1")
    ruling = {only: Ruling(Outcome.UPHELD, "再听一遍仍不清")}
    appeal.decide(db, released, ruling, version=version(db, released), account_id=LEADER, now_ms=NOW_MS + 2)
    with db.read() as session:
        assert session.exec(select(Appeal)).one().alone
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "evaluation.decide")).one()
        assert _say_appeal(session.exec(select(Appeal)).one()) == "维持（评分人本人裁定）"  # the report's column
    assert entry.detail["alone"] is True


def test_an_appeal_may_be_taken_back(db: Database, released: int) -> None:
    ask(db, released, "S1.1")
    appeal.withdraw(db, released, version=version(db, released), account_id=AGENT, now_ms=NOW_MS + 2)
    assert stored(db, released).status == "released"
    assert ask(db, released, "S1.1", now_ms=NOW_MS + 3)


def finding_of(db: Database) -> int:
    with db.read() as session:
        return session.exec(select(FatalFinding.id)).one() or 0


def test_a_fatal_item_is_not_confirmed_while_an_appeal_waits_and_can_be_answered_afterwards(
    db: Database, released: int
) -> None:
    """Confirmed in between, the decision on another item would have closed it without the agent's answer."""
    (only,) = ask(db, released, "S1.1")
    with pytest.raises(StateError, match="申诉中"):
        second_person.confirm_fatal(db, finding_of(db), account_id=SUPERVISOR, now_ms=NOW_MS + 2)
    ruling = {only: Ruling(Outcome.UPHELD, "确实听不清")}
    appeal.decide(db, released, ruling, version=version(db, released), account_id=SUPERVISOR, now_ms=NOW_MS + 3)
    second_person.confirm_fatal(db, finding_of(db), account_id=SUPERVISOR, now_ms=NOW_MS + 4)
    row = stored(db, released)
    assert (row.status, row.final_score, row.answered_at_ms) == ("released", 0.0, None)
    assert ask(db, released, "F1", now_ms=NOW_MS + 5)  # within a window of its own


def give_to(db: Database, agent_no: str, now_ms: int) -> None:
    attribute_by_person(db, CALL, agent_no=agent_no, reason="当时是 801 顶班", actor="leader", now_ms=now_ms)


def test_a_released_score_given_to_another_agent_is_answered_by_that_agent(db: Database, released: int) -> None:
    """The first agent's silence or consent was not the second one's."""
    review.lapse_due(db, now_ms=DUE_MS)
    review.finalize(db, [released], account_id=LEADER, now_ms=DUE_MS + 1)
    later = at("2026-12-01 09:00:00")
    give_to(db, "801", later)
    row = stored(db, released)
    assert (row.status, row.answered_at_ms, row.answered_by_lapse, row.finalized_at_ms) == (
        "released",
        None,
        False,
        None,
    )
    assert row.answer_due_at_ms == at("2026-12-07 00:00:00")
    assert actions(db)[-2:] == ["evaluation.reassign", "call.attribute"]
    with pytest.raises(PermissionDenied):
        ask(db, released, "S1.1", now_ms=later + 1)
    assert ask(db, released, "S1.1", who=OTHER_AGENT, now_ms=later + 1)
    with pytest.raises(StateError, match="先裁定"):
        give_to(db, "805", later + 2)
    with db.read() as session:
        call = session.get(Call, CALL)
    assert call is not None and call.agent_no == "801"


def test_what_one_agent_wrote_is_not_told_to_the_agent_who_comes_after(db: Database, released: int) -> None:
    (only,) = ask(db, released, "S1.1")
    write_note(db, released, "说给 805 的", account_id=LEADER, now_ms=NOW_MS + 2)
    ruling = {only: Ruling(Outcome.UPHELD, "确实听不清")}
    appeal.decide(db, released, ruling, version=version(db, released), account_id=SUPERVISOR, now_ms=NOW_MS + 3)
    give_to(db, "801", NOW_MS + 4)
    with db.read() as session:
        mine = queries.find_review(session, released, "801")
        all_of_it = queries.find_review(session, released)
        notes = notes_of(session, released, stored(db, released).released_at_ms or 0)
    assert mine is not None and list(mine.appeals) == [] and notes == []
    assert all_of_it is not None and len(all_of_it.appeals) == 1
    with pytest.raises(PermissionDenied):
        sign_note(db, 1, account_id=OTHER_AGENT, now_ms=NOW_MS + 5)
    assert ask(db, released, "S1.1", who=OTHER_AGENT, now_ms=NOW_MS + 5)  # decided for the other, not for this one


def test_attribution_by_itself_leaves_a_released_score_with_its_agent(db: Database, released: int) -> None:
    with db.write() as session:  # a sign-in that came to light later
        call = session.get(Call, CALL)
        assert call is not None and call.seat_extension and call.attribution_source != "manual"
        session.exec(delete(SeatLogin))
        began = call.started_at_ms - 60_000
        session.add(SeatLogin(seat_extension=call.seat_extension, agent_no="801", started_at_ms=began, source="phone"))
    attribute(db, CALL, now_ms=NOW_MS + 1)
    with db.read() as session:
        call = session.get(Call, CALL)
    assert call is not None and call.agent_no == "805" and stored(db, released).status == "released"


def test_the_time_a_score_took_does_not_grow_by_a_revision(db: Database, released: int) -> None:
    """A revision's page may stand open for hours; the report tells how long scoring took."""
    before = stored(db, released)
    given = replace(GIVEN, fatals=(), elapsed_ms=7_200_000)
    evaluate.submit(db, released, given, version=before.version, account_id=LEADER, now_ms=NOW_MS, reason="听错")
    assert stored(db, released).elapsed_ms == before.elapsed_ms


def test_one_person_with_two_accounts_is_not_two_people(db: Database, released: int) -> None:
    with db.write() as session:
        supervisor = session.get(Account, SUPERVISOR)
        assert supervisor is not None
        supervisor.display_name = " Leader"
        session.add(supervisor)
    for speak in (second_person.confirm_fatal, partial(second_person.refuse_fatal, reason="不算")):
        with pytest.raises(StateError, match="另一个人"):
            speak(db, finding_of(db), account_id=SUPERVISOR, now_ms=NOW_MS + 1)
    assert stored(db, released).final_score == stored(db, released).quality_score
