"""第二人: what the second person says of a fatal finding: it counts (确认), or it does not (不认可, with a reason), once.

Only somebody else than who found it may speak. A refused finding stays on the card as refused and counts nowhere; the evaluator
may find it anew by a revision that changes its moment or words, and then it needs its second person again.
"""

from sqlmodel import Session

from callqa.errors import CallqaError, StateError
from callqa.scoring.evaluation import Action, Status
from callqa.store.db import Database
from callqa.store.tables import Account, Call, Evaluation, FatalFinding
from callqa.usecases.evaluate import load_rubric_version
from callqa.usecases.evaluate_rows import score_stored, write_totals
from callqa.usecases.evaluate_state import actor_of, keep_revision, move
from callqa.usecases.required import told_text

REASON_MOST_CHARS = 500


def confirm_fatal(db: Database, finding_id: int, *, account_id: int, now_ms: int) -> int:
    """Second confirmation of a fatal finding, by a different person; only now does it count. Returns the evaluation's id."""
    with db.write() as session:
        finding, evaluation = _undecided(session, finding_id, account_id)
        actor = actor_of(session, account_id)
        finding.second_confirmed_by, finding.second_confirmed_at_ms = account_id, now_ms
        session.add(finding)
        session.flush()
        call = session.get(Call, evaluation.call_id)
        assert call is not None
        card = score_stored(session, evaluation, call, load_rubric_version(session, evaluation.rubric_hash))
        write_totals(evaluation, card)
        evaluation.version += 1
        detail = {"fatal": finding.fatal_id, "final_score": str(card.final_score)}
        move(session, evaluation, Action.CONFIRM_FATAL, actor, now_ms=now_ms, detail=detail)
        reason = f"第二人确认致命项 {finding.fatal_id}"
        keep_revision(session, evaluation, Action.CONFIRM_FATAL, actor, now_ms=now_ms, reason=reason)
        return finding.evaluation_id


def refuse_fatal(db: Database, finding_id: int, *, reason: str, account_id: int, now_ms: int) -> int:
    """The second person does not agree: the finding never counts. No points change. Returns the evaluation's id."""
    reason = told_text(reason, "理由", REASON_MOST_CHARS, missing="不认可致命项须写明理由")
    with db.write() as session:
        finding, evaluation = _undecided(session, finding_id, account_id)
        finding.refused_by, finding.refused_at_ms, finding.refusal = account_id, now_ms, reason
        session.add(finding)
        evaluation.version += 1
        detail = {"fatal": finding.fatal_id, "reason": reason}
        actor = actor_of(session, account_id)
        move(session, evaluation, Action.REFUSE_FATAL, actor, now_ms=now_ms, detail=detail)
        return finding.evaluation_id


def _undecided(session: Session, finding_id: int, account_id: int) -> tuple[FatalFinding, Evaluation]:
    """A finding that waits for this person's word, with its evaluation."""
    finding = session.get(FatalFinding, finding_id)
    if finding is None:
        raise CallqaError("没有这条致命项认定；评分人可能已经撤回，请刷新")
    evaluation = session.get(Evaluation, finding.evaluation_id)
    assert evaluation is not None
    if evaluation.kind != "first":
        raise StateError("复测和校准的评分只用来比对，其中的致命项不作第二人核定")
    if evaluation.status == Status.DRAFT:
        raise StateError("评分还没有提交，不能确认其中的致命项")
    if finding.confirmed_by == account_id or _one_person(session, finding.confirmed_by, account_id):
        raise StateError("第二确认人必须是另一个人；同名的两个账号算同一个人，确是两人的请管理员把姓名写清")
    if finding.second_confirmed_by is not None:
        raise StateError("这条致命项已经确认过")
    if finding.refused_by is not None:
        raise StateError("这条致命项第二人已表示不认可；评分人修改时间点或原话后才能再核")
    return finding, evaluation


def _one_person(session: Session, first_id: int, second_id: int) -> bool:
    """Whether two accounts are somebody's first and second: the same name stands on both."""
    first, second = session.get(Account, first_id), session.get(Account, second_id)
    return first is not None and second is not None and one_name(first.display_name) == one_name(second.display_name)


def one_name(name: str) -> str:
    """A display name as it is compared: two accounts of one name are one person."""
    return "".join(name.split()).casefold()
