"""坐席的权利: acknowledge an evaluation, appeal items of it, withdraw; and the decision, which is final.

Only the call's own agent answers, and only until the window ends. Who gave the points does not decide where somebody
else may; where nobody else is there, the decision says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlmodel import Session, col, select

from callqa.errors import CallqaError, ConflictError, PermissionDenied, StateError
from callqa.periods import say_instant
from callqa.scoring.evaluation import ROLES, VISIBLE_TO_AGENT, Action, Outcome, Status
from callqa.store.db import Database
from callqa.store.queries.evaluate import find_evaluation
from callqa.store.tables import Account, Appeal, Call, Evaluation, EvaluationItem, FatalFinding
from callqa.units import half_up
from callqa.usecases.evaluate import load_rubric_version
from callqa.usecases.evaluate_input import DeductionInput
from callqa.usecases.evaluate_rows import store_input, stored_input
from callqa.usecases.evaluate_state import Actor, actor_of, keep_revision, move, points_now, scorers_of
from callqa.usecases.required import told_text

MAX_REASON_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is decided of one appealed item. times: the options that stand from now on, when revised."""

    outcome: Outcome
    reason: str
    times: Mapping[str, int] = field(default_factory=dict)
    not_applicable: bool = False


def acknowledge(db: Database, evaluation_id: int, *, version: int, account_id: int, now_ms: int) -> None:
    """The agent agrees (签阅)."""
    with db.write() as session:
        evaluation, actor = _own(session, evaluation_id, version, account_id)
        _within_window(evaluation, now_ms)
        evaluation.answered_at_ms = now_ms
        evaluation.answered_by_lapse = False
        evaluation.version += 1
        move(session, evaluation, Action.ACKNOWLEDGE, actor, now_ms=now_ms)


def appeal(
    db: Database, evaluation_id: int, reasons: Mapping[str, str], *, version: int, account_id: int, now_ms: int
) -> None:
    """The agent disagrees with items, each with a reason. Raise CallqaError naming the item that cannot be appealed."""
    with db.write() as session:
        evaluation, actor = _own(session, evaluation_id, version, account_id)
        _within_window(evaluation, now_ms)
        if not reasons:
            raise CallqaError("请至少选一项，并写明申诉理由")
        points = _points(session, evaluation_id)
        decided = _decided_items(session, evaluation_id, actor.agent_no or "")
        for item_id, reason in sorted(reasons.items()):
            if item_id not in points:
                raise CallqaError(f"这份评分里没有 {item_id} 这一项；请刷新页面")
            if item_id in decided:
                raise StateError(f"{item_id} 已经裁定过，裁定是最终的，不能再申诉")
            session.add(
                Appeal(
                    evaluation_id=evaluation_id,
                    item_id=item_id,
                    reason=told_text(reason, f"{item_id} 的申诉理由", MAX_REASON_CHARS),
                    opened_by=account_id,
                    opened_at_ms=now_ms,
                    points_before=points[item_id],
                )
            )
        evaluation.version += 1
        move(session, evaluation, Action.APPEAL, actor, now_ms=now_ms, detail={"items": sorted(reasons)})


def withdraw(db: Database, evaluation_id: int, *, version: int, account_id: int, now_ms: int) -> None:
    """The agent takes all open appeals of an evaluation back; the window goes on as it was."""
    with db.write() as session:
        evaluation, actor = _own(session, evaluation_id, version, account_id)
        for row in _open_appeals(session, evaluation_id):
            row.state = Outcome.WITHDRAWN
            row.decided_at_ms = now_ms
            session.add(row)
        evaluation.version += 1
        move(session, evaluation, Action.WITHDRAW, actor, now_ms=now_ms)


def decide(
    db: Database, evaluation_id: int, rulings: Mapping[int, Ruling], *, version: int, account_id: int, now_ms: int
) -> None:
    """Decide every open appeal of an evaluation at once. rulings: by the appeal's id. The evaluation is final with it.

    申诉不加重: no item and neither total becomes lower than it was, else StateError says what to do instead. Raise
    PermissionDenied for who gave the points while somebody else could decide.
    """
    with db.write() as session:
        view = find_evaluation(session, evaluation_id)
        if view is None:
            raise CallqaError("没有这份评分")
        evaluation = view.evaluation
        actor = actor_of(session, account_id)
        alone = may_decide(session, evaluation, actor)
        _same_version(evaluation, version)
        appeals = _open_appeals(session, evaluation_id)
        before, points_before = points_now(session, evaluation_id), _points(session, evaluation_id)
        totals_before = evaluation.quality_score, evaluation.final_score
        given = stored_input(view)
        for row in appeals:
            ruling = rulings.get(row.id or 0)
            if ruling is None:
                raise CallqaError(f"{row.item_id} 还没有裁定；请逐项选“维持”或“改判”")
            row.decision = told_text(ruling.reason, f"{row.item_id} 的裁定理由", MAX_REASON_CHARS)
            row.state, row.alone = ruling.outcome, alone
            row.decided_by, row.decided_at_ms = account_id, now_ms
            session.add(row)
            if ruling.outcome is not Outcome.REVISED:
                continue
            if row.item_id in view.fatals:
                given = replace(given, fatals=tuple(f for f in given.fatals if f.fatal_id != row.item_id))
                continue
            kept = given.deductions.get(row.item_id, {})
            options = {
                code: replace(kept.get(code, DeductionInput(note=row.decision)), times=times)
                for code, times in ruling.times.items()
            }
            others = given.not_applicable - {row.item_id}
            given = replace(
                given,
                deductions={**given.deductions, row.item_id: options},
                not_applicable=others | {row.item_id} if ruling.not_applicable else others,
            )
        rubric = load_rubric_version(session, evaluation.rubric_hash)
        store_input(session, evaluation, view.call, rubric, given)
        after, points = points_now(session, evaluation_id), _points(session, evaluation_id)
        for row in appeals:
            if row.state == Outcome.REVISED and before.get(row.item_id) == after.get(row.item_id):
                raise CallqaError(f"{row.item_id} 选了“改判”，但扣分没有改变；请改选扣分，或选“维持”")
            row.points_after = points.get(row.item_id)
            _not_heavier(row, points_before.get(row.item_id))
        _totals_not_lower(evaluation, totals_before)
        evaluation.finalized_at_ms = now_ms
        detail = {"items": {row.item_id: row.state for row in appeals}, "alone": alone}
        move(session, evaluation, Action.DECIDE, actor, now_ms=now_ms, detail=detail)
        keep_revision(session, evaluation, Action.DECIDE, actor, now_ms=now_ms, reason="申诉裁定")


def _not_heavier(row: Appeal, points_before: float | None) -> None:
    if row.points_after is None or points_before is None or row.points_after >= points_before:
        return
    raise StateError(
        f"{row.item_id} 原来得 {half_up(points_before)} 分，这样改判只得 {half_up(row.points_after)} 分。申诉不加重："
        "请选“维持”，或改成扣得更少；别的项有漏扣的，裁定之后再由班长写明理由修改那一项"
    )


def _totals_not_lower(evaluation: Evaluation, before: tuple[float | None, float | None]) -> None:
    """An item that does not apply any more makes what was lost elsewhere weigh more."""
    after = evaluation.quality_score, evaluation.final_score
    for name, old, new in zip(("质量分", "最终分"), before, after, strict=True):
        if old is not None and new is not None and new < old:
            raise StateError(
                f"这样改判，{name}从 {half_up(old)} 降到 {half_up(new)}（改动适用与否，其余各项的占比随之变化）。"
                "申诉不加重：请改为“适用”并少扣或不扣，或选“维持”"
            )


def may_decide(session: Session, evaluation: Evaluation, actor: Actor) -> bool:
    """Whether the person would decide on their own points because nobody else can. Raise PermissionDenied otherwise."""
    scorers = scorers_of(session, evaluation)
    if actor.account_id not in scorers:
        return False
    others = session.exec(
        select(Account.id).where(
            col(Account.active).is_(True),
            col(Account.role).in_(ROLES[Action.DECIDE]),
            col(Account.id).not_in(scorers),
        )
    ).first()
    if others is not None:
        raise PermissionDenied("这份评分是您评的，申诉由另一位裁定（班长或采购人监督员）")
    return True


def _own(session: Session, evaluation_id: int, version: int, account_id: int) -> tuple[Evaluation, Actor]:
    evaluation = session.get(Evaluation, evaluation_id)
    if evaluation is None:
        raise CallqaError("没有这份评分")
    actor = actor_of(session, account_id)
    call = session.get(Call, evaluation.call_id)
    if call is None or not actor.agent_no or call.agent_no != actor.agent_no or evaluation.kind != "first":
        raise PermissionDenied("这不是您的通话的评分")
    if Status(evaluation.status) not in VISIBLE_TO_AGENT:
        raise PermissionDenied("这份评分还没有发布")
    _same_version(evaluation, version)
    return evaluation, actor


def _same_version(evaluation: Evaluation, version: int) -> None:
    if evaluation.version != version:
        raise ConflictError("这份评分刚刚有了变化，您的操作没有执行；请看过新的内容再决定")


def _within_window(evaluation: Evaluation, now_ms: int) -> None:
    if evaluation.answer_due_at_ms is not None and now_ms >= evaluation.answer_due_at_ms:
        raise StateError(f"期限已于 {say_instant(evaluation.answer_due_at_ms)} 截止，视为确认；有异议请找班长")


def _open_appeals(session: Session, evaluation_id: int) -> list[Appeal]:
    query = select(Appeal).where(Appeal.evaluation_id == evaluation_id, Appeal.state == Outcome.OPEN)
    return list(session.exec(query.order_by(col(Appeal.id))))


def _decided_items(session: Session, evaluation_id: int, agent_no: str) -> set[str]:
    """What this agent's appeals have settled; somebody's to whom the call was attributed before was theirs."""
    final = (Outcome.UPHELD, Outcome.REVISED)
    query = (
        select(Appeal.item_id)
        .join(Account, col(Account.id) == col(Appeal.opened_by))
        .where(Appeal.evaluation_id == evaluation_id, col(Appeal.state).in_(final), Account.agent_no == agent_no)
    )
    return set(session.exec(query))


def _points(session: Session, evaluation_id: int) -> dict[str, float | None]:
    """Points of each item that may be appealed; None for a fatal item and for one that does not apply."""
    rows = session.exec(select(EvaluationItem).where(EvaluationItem.evaluation_id == evaluation_id))
    found = {row.item_id: None if row.not_applicable else row.points for row in rows}
    fatals = session.exec(select(FatalFinding.fatal_id).where(FatalFinding.evaluation_id == evaluation_id))
    return {**found, **dict.fromkeys(fatals)}
