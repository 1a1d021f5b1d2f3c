"""The leader's evaluation of one call: open a draft, save it, submit it, revise it, confirm a fatal finding.

A person owns every point: the machine's suggestions are shown and decided on, never applied by themselves.
An evaluation pins the rubric version, transcript and check run it was made with. Every save checks the version
that the page was loaded with; a submitted evaluation changes only as a revision with a reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlmodel import Session, col, delete, select

from callqa.errors import CallqaError, ConflictError, StateError
from callqa.periods import say_offset
from callqa.scoring.criteria import Item, Option, Rubric
from callqa.scoring.evaluation import Action, Status, apply
from callqa.scoring.rubric import parse_rubric
from callqa.scoring.scorecard import ScoreCard, total
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import (
    Account,
    Call,
    CheckRun,
    Deduction,
    Evaluation,
    EvaluationComment,
    EvaluationItem,
    FatalFinding,
    RubricVersion,
    SampleEntry,
    SuggestionDecision,
    SuggestionRow,
)
from callqa.units import CallType


class IncompleteError(CallqaError):
    """The form lacks something that submitting needs; what it holds has been kept."""


@dataclass(frozen=True, slots=True)
class DeductionInput:
    """One chosen option. at_ms: where in the recording; note: why."""

    times: int = 1
    at_ms: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class FatalInput:
    fatal_id: str
    at_ms: int | None
    words: str


@dataclass(frozen=True, slots=True)
class CommentInput:
    at_ms: int | None
    text: str


@dataclass(frozen=True, slots=True)
class EvaluationInput:
    """What the form holds. deductions: item_id -> option code -> input; decisions: suggestion id -> accepted | rejected."""

    not_applicable: frozenset[str]
    deductions: Mapping[str, Mapping[str, DeductionInput]]
    fatals: tuple[FatalInput, ...] = ()
    comments: tuple[CommentInput, ...] = ()
    decisions: Mapping[int, str] | None = None
    summary: str = ""
    elapsed_ms: int = 0


def open_evaluation(db: Database, call_id: str, *, evaluator_id: int, now_ms: int) -> int:
    """The first evaluation of a call, opened as a draft where there is none yet. Returns its id."""
    with db.write() as session:
        existing = session.exec(
            select(Evaluation).where(Evaluation.call_id == call_id, Evaluation.kind == "first")
        ).first()
        if existing is not None:
            assert existing.id is not None
            return existing.id
        call = session.get(Call, call_id)
        if call is None:
            raise CallqaError(f"没有通话 {call_id}")
        run = latest_check_run(session, call_id)
        rubric_hash = run.rubric_hash if run else _rubric_at(session, call.started_at_ms)
        entry = session.exec(
            select(SampleEntry)
            .where(SampleEntry.call_id == call_id, col(SampleEntry.state) != "replaced")
            .order_by(col(SampleEntry.id).desc())
        ).first()
        evaluation = Evaluation(
            call_id=call_id,
            sample_entry_id=entry.id if entry else None,
            rubric_hash=rubric_hash,
            transcript_id=run.transcript_id if run else None,
            check_run_id=run.id if run else None,
            recording_sha256=call.recording_sha256,
            evaluator_id=evaluator_id,
            opened_at_ms=now_ms,
        )
        session.add(evaluation)
        session.flush()
        assert evaluation.id is not None
        rubric = load_rubric_version(session, rubric_hash)
        by_rule = frozenset(run.not_applicable) if run else frozenset()
        for item in rubric.items_for(CallType(call.call_type)):
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
        return evaluation.id


def save_draft(db: Database, evaluation_id: int, given: EvaluationInput, *, version: int) -> int:
    """Keep what the form holds, checked for sense but not for completeness. Returns the new version."""
    with db.write() as session:
        evaluation, call, rubric = _load(session, evaluation_id, version)
        if evaluation.status != Status.DRAFT:
            raise StateError("这份评分已提交；要修改请写明理由后再次提交")
        _store(session, evaluation, call, rubric, given)
        return evaluation.version


def submit(
    db: Database, evaluation_id: int, given: EvaluationInput, *, version: int, actor: str, now_ms: int, reason: str = ""
) -> int:
    """Submit a draft, or revise a submitted evaluation (then a reason is required). Returns the new version."""
    with db.write() as session:
        evaluation, call, rubric = _load(session, evaluation_id, version)
        revising = evaluation.status != Status.DRAFT
        if revising and evaluation.status != Status.SUBMITTED:
            raise StateError("这份评分已发布，不能在这里修改；请走申诉或复核")
        if revising and not reason.strip():
            raise IncompleteError("这份评分已提交过；再次修改须写明理由")
        problems = incomplete(rubric, given, _undecided(session, evaluation, given))
        if problems:
            raise IncompleteError("还不能提交：" + "；".join(problems))
        before = (evaluation.quality_score, evaluation.final_score)
        card = _store(session, evaluation, call, rubric, given)
        if not revising:
            evaluation.status = apply(Status(evaluation.status), Action.SUBMIT)
            evaluation.submitted_at_ms = now_ms
        audit.append(
            session,
            actor=actor,
            action="evaluation.revise" if revising else "evaluation.submit",
            subject=str(evaluation_id),
            detail={
                "call_id": call.call_id,
                "rubric": evaluation.rubric_hash[:12],
                "quality_score": str(card.quality_score),
                "final_score": str(card.final_score),
                "before": [str(x) for x in before] if revising else [],
                "reason": reason.strip(),
            },
            now_ms=now_ms,
        )
        return evaluation.version


def confirm_fatal(db: Database, finding_id: int, *, account_id: int, actor: str, now_ms: int) -> None:
    """Second confirmation of a fatal finding, by a different person; only now does it count."""
    with db.write() as session:
        finding = session.get(FatalFinding, finding_id)
        if finding is None:
            raise CallqaError("没有这条致命项认定")
        if finding.confirmed_by == account_id:
            raise StateError("第二确认人必须是另一个人")
        if finding.second_confirmed_by is not None:
            raise StateError("这条致命项已经确认过")
        finding.second_confirmed_by = account_id
        finding.second_confirmed_at_ms = now_ms
        session.add(finding)
        session.flush()
        evaluation = session.get(Evaluation, finding.evaluation_id)
        assert evaluation is not None
        call = session.get(Call, evaluation.call_id)
        assert call is not None
        card = score_stored(session, evaluation, call, load_rubric_version(session, evaluation.rubric_hash))
        _write_totals(evaluation, card)
        evaluation.version += 1
        session.add(evaluation)
        audit.append(
            session,
            actor=actor,
            action="evaluation.fatal_confirmed",
            subject=str(evaluation.id),
            detail={"call_id": call.call_id, "fatal": finding.fatal_id, "final_score": str(card.final_score)},
            now_ms=now_ms,
        )


def incomplete(rubric: Rubric, given: EvaluationInput, undecided: int) -> list[str]:
    """What is still missing before this may be submitted, as Chinese sentences."""
    problems = []
    for item_id, options in given.deductions.items():
        item = rubric.item(item_id)
        for code, chosen in options.items():
            option = item.option(code)
            if not needs_evidence(rubric, item, option):
                continue
            if chosen.at_ms is None:
                problems.append(f"{item_id}“{option.label}”须有时间点证据")
            if not chosen.note.strip():
                problems.append(f"{item_id}“{option.label}”须写说明")
    for fatal in given.fatals:
        if fatal.at_ms is None or not fatal.words.strip():
            problems.append(f"致命项 {fatal.fatal_id} 须写时间点和原话")
    if undecided:
        problems.append(f"有 {undecided} 条机器建议尚未采纳或驳回")
    return problems


def needs_evidence(rubric: Rubric, item: Item, option: Option) -> bool:
    """Whether this deduction must carry a time in the recording and a note (rubric `evidence_required`)."""
    rule = rubric.scoring.evidence_required
    return option.points >= rule.min_points or item.critical in rule.critical


def preview(rubric: Rubric, call_type: CallType, given: EvaluationInput) -> ScoreCard:
    """The score the form would give now; nothing is stored."""
    return total(
        rubric,
        call_type,
        not_applicable=given.not_applicable,
        deductions={i: {c: d.times for c, d in options.items()} for i, options in given.deductions.items()},
        confirmed_fatals=(),
    )


def latest_check_run(session: Session, call_id: str) -> CheckRun | None:
    """The newest pre-scoring of a call."""
    return session.exec(select(CheckRun).where(CheckRun.call_id == call_id).order_by(col(CheckRun.id).desc())).first()


def load_rubric_version(session: Session, rubric_hash: str) -> Rubric:
    """A stored rubric version, parsed."""
    row = session.get(RubricVersion, rubric_hash)
    if row is None:
        raise CallqaError(f"没有评分标准 {rubric_hash[:12]}")
    return parse_rubric(row.source)


def _rubric_at(session: Session, instant_ms: int) -> str:
    rows = session.exec(select(RubricVersion).order_by(col(RubricVersion.effective_from_ms))).all()
    if not rows:
        raise CallqaError("还没有装载评分标准；请检查 scorecards/rubric.yaml")
    return next((r for r in reversed(rows) if r.effective_from_ms <= instant_ms), rows[0]).rubric_hash


def _load(session: Session, evaluation_id: int, version: int) -> tuple[Evaluation, Call, Rubric]:
    evaluation = session.get(Evaluation, evaluation_id)
    if evaluation is None:
        raise CallqaError("没有这份评分")
    if evaluation.version != version:
        raise ConflictError("这份评分已在别处保存过；请刷新后再改，避免互相覆盖")
    call = session.get(Call, evaluation.call_id)
    assert call is not None
    return evaluation, call, load_rubric_version(session, evaluation.rubric_hash)


def _undecided(session: Session, evaluation: Evaluation, given: EvaluationInput) -> int:
    if evaluation.check_run_id is None or evaluation.blind:
        return 0
    decided = set(given.decisions or {})
    ids = session.exec(select(SuggestionRow.id).where(SuggestionRow.check_run_id == evaluation.check_run_id)).all()
    return sum(i not in decided for i in ids)


def _store(session: Session, evaluation: Evaluation, call: Call, rubric: Rubric, given: EvaluationInput) -> ScoreCard:
    """Replace what is stored with what the form holds, and the totals with it."""
    assert evaluation.id is not None
    known = {item.item_id: item for item in rubric.items_for(CallType(call.call_type))}
    _refuse_nonsense(rubric, known, given, call)
    for table in (Deduction, EvaluationComment, SuggestionDecision):
        session.exec(delete(table).where(col(table.evaluation_id) == evaluation.id))
    for item_id, options in given.deductions.items():
        for code, chosen in options.items():
            option = next(o for o in known[item_id].options if o.code == code)
            session.add(
                Deduction(
                    evaluation_id=evaluation.id,
                    item_id=item_id,
                    option_code=code,
                    times=chosen.times,
                    points=float(option.points * chosen.times),
                    at_ms=chosen.at_ms,
                    note=chosen.note,
                )
            )
    for comment in given.comments:
        session.add(EvaluationComment(evaluation_id=evaluation.id, at_ms=comment.at_ms, text=comment.text))
    for suggestion_id, decision in (given.decisions or {}).items():
        session.add(SuggestionDecision(evaluation_id=evaluation.id, suggestion_id=suggestion_id, decision=decision))
    _store_fatals(session, evaluation, given)
    rows = session.exec(select(EvaluationItem).where(EvaluationItem.evaluation_id == evaluation.id)).all()
    for row in rows:
        na = row.item_id in given.not_applicable
        row.na_by = (row.na_by or "person") if na else None
        row.not_applicable = na
        session.add(row)
    evaluation.summary = given.summary
    evaluation.elapsed_ms = max(evaluation.elapsed_ms, given.elapsed_ms)
    session.flush()
    card = score_stored(session, evaluation, call, rubric)
    points = {i.item_id: i.points for i in card.items}
    for row in rows:
        value = points.get(row.item_id)
        row.points = None if value is None else float(value)
        session.add(row)
    _write_totals(evaluation, card)
    evaluation.version += 1
    session.add(evaluation)
    return card


def _store_fatals(session: Session, evaluation: Evaluation, given: EvaluationInput) -> None:
    """Keep findings that stand (with their second confirmation), add new ones, drop withdrawn ones."""
    assert evaluation.id is not None
    stored = {
        f.fatal_id: f
        for f in session.exec(select(FatalFinding).where(FatalFinding.evaluation_id == evaluation.id)).all()
    }
    for fatal in given.fatals:
        old = stored.pop(fatal.fatal_id, None)
        if old is None:
            session.add(
                FatalFinding(
                    evaluation_id=evaluation.id,
                    fatal_id=fatal.fatal_id,
                    at_ms=fatal.at_ms or 0,
                    words=fatal.words,
                    confirmed_by=evaluation.evaluator_id,
                )
            )
        else:
            old.at_ms, old.words = fatal.at_ms or 0, fatal.words
            session.add(old)
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


def _write_totals(evaluation: Evaluation, card: ScoreCard) -> None:
    evaluation.quality_score = float(card.quality_score)
    evaluation.final_score = float(card.final_score)
    evaluation.grade = card.grade


def _refuse_nonsense(rubric: Rubric, known: Mapping[str, Item], given: EvaluationInput, call: Call) -> None:
    for item_id in (*given.deductions, *given.not_applicable):
        if item_id not in known:
            raise CallqaError(f"评分项 {item_id} 不适用于这类通话")
    for item_id, options in given.deductions.items():
        if options and item_id in given.not_applicable:
            raise CallqaError(f"评分项 {item_id} 既标了不适用又扣了分，请二选一")
        for code, chosen in options.items():
            option = next((o for o in known[item_id].options if o.code == code), None)
            if option is None:
                raise CallqaError(f"评分项 {item_id} 没有扣分选项 {code}")
            if not 1 <= chosen.times <= (option.max_times or 1):
                raise CallqaError(f"评分项 {item_id} 的选项 {code} 次数应为 1 到 {option.max_times or 1}")
    if len(given.not_applicable) == len(known):
        raise CallqaError("不能把所有评分项都标为不适用")
    fatal_ids = {f.fatal_id for f in rubric.fatal_items}
    for fatal in given.fatals:
        if fatal.fatal_id not in fatal_ids:
            raise CallqaError(f"没有致命项 {fatal.fatal_id}")
    moments = [d.at_ms for o in given.deductions.values() for d in o.values()]
    moments += [f.at_ms for f in given.fatals] + [c.at_ms for c in given.comments]
    limit = (call.duration_ms or 0) + 1000
    for at_ms in moments:
        if at_ms is not None and not 0 <= at_ms <= limit:
            raise CallqaError(f"时间点 {say_offset(at_ms)} 超出录音长度 {say_offset(limit - 1000)}")
    for decision in (given.decisions or {}).values():
        if decision not in ("accepted", "rejected"):
            raise CallqaError("建议只能采纳或驳回")


def evaluator_name(session: Session, account_id: int) -> str:
    """Shown name of an evaluator."""
    account = session.get(Account, account_id)
    return account.display_name if account else "—"


def as_points(value: float | Decimal | None) -> str:
    """Points with one decimal, or a dash."""
    return "—" if value is None else f"{Decimal(str(value)):.1f}"
