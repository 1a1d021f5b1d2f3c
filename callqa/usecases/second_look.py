"""The same call scored once more: by the same person after some weeks (盲评复测), or by several people (校准).

Such a card pins rubric and transcript of the call's first card, shows nothing of the machine, is never released, and
counts in no report: it says how far scores can be trusted. Nobody sees another's card before all are in.
"""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from callqa.errors import CallqaError, PermissionDenied, StateError
from callqa.refusals import no_such_call
from callqa.scoring.evaluation import Status
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Account, CalibrationSession, Call, ConfidentialCall, Evaluation
from callqa.usecases.blind import BLIND_RESCORE, rescores_due
from callqa.usecases.evaluate import Card, load_for, open_card
from callqa.usecases.evaluate_input import EvaluationInput, IncompleteError, find_missing
from callqa.usecases.evaluate_rows import store_input
from callqa.usecases.evaluate_state import actor_of, must_be_author

CALIBRATION = "calibration"
RATER_ROLES = ("shift_leader", "client_supervisor")
MAX_CALLS, MAX_RATERS = 20, 8


def is_second_look(evaluation: Evaluation) -> bool:
    """Whether the card is a re-score or a calibration card."""
    return evaluation.kind != "first"


def session_id_of(evaluation: Evaluation) -> int | None:
    """The calibration session a card belongs to."""
    kind, _, rest = evaluation.kind.partition(":")
    return int(rest.split(":")[0]) if kind == CALIBRATION else None


def open_rescore(db: Database, call_id: str, *, evaluator_id: int, now_ms: int) -> int:
    """The blind re-score of a call that is due, opened as a draft. By who scored it first. Returns its id."""
    with db.write() as session:
        due = next((one for one in rescores_due(session, now_ms) if one.call.call_id == call_id), None)
        if due is None:
            raise StateError("这通电话现在没有到期的盲评复测")
        first = session.get(Evaluation, due.first_id)
        assert first is not None
        if first.evaluator_id != evaluator_id:
            raise PermissionDenied("盲评复测须由首评的评分人本人完成")
        if due.draft_id is not None:
            return due.draft_id
        return open_card(
            session, due.call, evaluator_id=evaluator_id, now_ms=now_ms, card=Card(BLIND_RESCORE, True, first)
        )


def submit_second_look(
    db: Database, evaluation_id: int, given: EvaluationInput, *, version: int, account_id: int, now_ms: int
) -> int:
    """Submit a re-score or a calibration card; it is not changed afterwards. Returns the new version."""
    with db.write() as session:
        evaluation, call, rubric = load_for(session, evaluation_id, version)
        must_be_author(evaluation, account_id)
        if evaluation.status != Status.DRAFT:
            raise StateError("这份评分已提交；复测和校准的评分提交后不再修改")
        refuse_opened(session, evaluation)
        missing = find_missing(rubric, given, ())
        if missing:
            raise IncompleteError(missing)
        card = store_input(session, evaluation, call, rubric, given)
        evaluation.status, evaluation.submitted_at_ms = Status.SUBMITTED, now_ms
        session.add(evaluation)
        audit.append(
            session,
            actor=actor_of(session, account_id).username,
            action="evaluation.second_look",
            subject=str(evaluation_id),
            detail={"call_id": call.call_id, "kind": evaluation.kind, "quality_score": str(card.quality_score)},
            now_ms=now_ms,
        )
        return evaluation.version


def refuse_opened(session: Session, evaluation: Evaluation) -> None:
    """Raise StateError for a card of a session whose comparison was opened."""
    session_id = session_id_of(evaluation)
    found = session.get(CalibrationSession, session_id) if session_id is not None else None
    if found is not None and found.opened_at_ms is not None:
        raise StateError("这次校准的比对已经公布，不能再评分")


def may_see(session: Session, evaluation: Evaluation, account_id: int) -> bool:
    """Whether a person may see a card: of a calibration that is not opened, only the own."""
    session_id = session_id_of(evaluation)
    if session_id is None or evaluation.evaluator_id == account_id:
        return True
    found = session.get(CalibrationSession, session_id)
    return found is not None and found.opened_at_ms is not None


# ---------- calibration sessions ----------


def create_session(
    db: Database,
    title: str,
    call_ids: Sequence[str],
    rater_ids: Sequence[int],
    *,
    reference: int | None = None,
    account_id: int,
    now_ms: int,
) -> int:
    """A new session over answered calls, two raters at least. Returns its id.

    reference: 基准评分人, the rater whose scores the others are held against; None: everybody against everybody.
    """
    calls, raters = list(dict.fromkeys(call_ids)), list(dict.fromkeys(rater_ids))
    if not title.strip():
        raise StateError("请写校准的名称，例如“11 月第一次校准”")
    if not 1 <= len(calls) <= MAX_CALLS:
        raise StateError(f"请选 1 到 {MAX_CALLS} 通电话，现在是 {len(calls)} 通")
    if not 2 <= len(raters) <= MAX_RATERS:
        raise StateError(f"请选 2 到 {MAX_RATERS} 位评分人，现在是 {len(raters)} 位")
    if reference is not None and reference not in raters:
        raise StateError("基准评分人须是评分人之一；请把他也选为评分人，或改选“不设”")
    with db.write() as session:
        for call_id in calls:
            call = session.get(Call, call_id)
            if call is None or call.outcome != "answered" or session.get(ConfidentialCall, call_id) is not None:
                raise StateError(f"通话 {call_id} 不存在、没有接通或是保密件，不能用来校准")
        for rater_id in raters:
            rater = session.get(Account, rater_id)
            if rater is None or not rater.active or rater.role not in RATER_ROLES:
                raise StateError("评分人只能是在用的班长或采购人监督员账号")
        row = CalibrationSession(
            title=title.strip()[:80],
            created_by=account_id,
            created_at_ms=now_ms,
            call_ids=calls,
            rater_ids=raters,
            reference_evaluator=reference,
        )
        session.add(row)
        session.flush()
        assert row.id is not None
        audit.append(
            session,
            actor=actor_of(session, account_id).username,
            action="calibration.create",
            subject=str(row.id),
            detail={"title": row.title, "calls": calls, "raters": raters, "reference": reference},
            now_ms=now_ms,
        )
        return row.id


def open_calibration_card(db: Database, session_id: int, call_id: str, *, account_id: int, now_ms: int) -> int:
    """A rater's own card of one call of a session, opened as a draft where there is none yet. Returns its id."""
    with db.write() as session:
        row = find_session_row(session, session_id)
        if account_id not in row.rater_ids or call_id not in row.call_ids:
            raise PermissionDenied("您不是这次校准的评分人，或这通电话不在其中")
        kind = f"{CALIBRATION}:{session_id}:{account_id}"
        existing = session.exec(
            select(Evaluation).where(Evaluation.call_id == call_id, Evaluation.kind == kind)
        ).first()
        if existing is not None and existing.id is not None:
            return existing.id
        if row.opened_at_ms is not None:
            raise StateError("这次校准的比对已经公布，不能再评分")
        call = session.get(Call, call_id)
        if call is None:
            raise CallqaError(no_such_call(call_id))
        like = _pattern(session, call_id, f"{CALIBRATION}:{session_id}:")
        return open_card(session, call, evaluator_id=account_id, now_ms=now_ms, card=Card(kind, True, like))


def _pattern(session: Session, call_id: str, prefix: str) -> Evaluation | None:
    """Whose rubric and transcript a card takes over: a card of the same session, else the first one of the call."""
    rows = session.exec(select(Evaluation).where(Evaluation.call_id == call_id).order_by(col(Evaluation.id))).all()
    same = next((row for row in rows if row.kind.startswith(prefix)), None)
    return same or next((row for row in rows if row.kind == "first"), None)


def open_comparison(db: Database, session_id: int, *, account_id: int, now_ms: int) -> None:
    """公布比对: from now on every rater sees every card. Needs every rater's card of every call."""
    with db.write() as session:
        row = find_session_row(session, session_id)
        if row.opened_at_ms is not None:
            raise StateError("这次校准的比对已经公布过")
        missing = len(row.call_ids) * len(row.rater_ids) - sum(c.status != "draft" for c in cards_of(session, row))
        if missing:
            raise StateError(f"还有 {missing} 份评分没有提交，全部提交后才能公布比对")
        row.opened_by, row.opened_at_ms = account_id, now_ms
        session.add(row)
        audit.append(
            session,
            actor=actor_of(session, account_id).username,
            action="calibration.open",
            subject=str(session_id),
            detail={"title": row.title},
            now_ms=now_ms,
        )


def cards_of(session: Session, row: CalibrationSession) -> Sequence[Evaluation]:
    """Every card of a session, drafts too."""
    kinds = [f"{CALIBRATION}:{row.id}:{rater_id}" for rater_id in row.rater_ids]
    return session.exec(
        select(Evaluation).where(col(Evaluation.kind).in_(kinds), col(Evaluation.call_id).in_(row.call_ids))
    ).all()


def find_session_row(session: Session, session_id: int) -> CalibrationSession:
    """The session. Raise CallqaError when there is none."""
    row = session.get(CalibrationSession, session_id)
    if row is None:
        raise CallqaError("没有这次校准")
    return row
