"""Gather the facts of a monthly report from the database. Loading and naming only: every sum is made in `reports/`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session

from callqa.errors import StateError
from callqa.periods import Month, from_ms
from callqa.reports import facts as f
from callqa.scoring.evaluation import OUTCOME_LABELS, Outcome
from callqa.scoring.frame import parse_frame
from callqa.scoring.plan import Stratum
from callqa.scoring.plan_text import parse_plan
from callqa.scoring.rubric import parse_stored
from callqa.store.queries import report as queries
from callqa.store.queries import sampling
from callqa.store.queries.confidential import confidential_ids
from callqa.store.tables import (
    Appeal,
    Call,
    Deduction,
    Evaluation,
    EvaluationItem,
    FatalFinding,
    RosterEntry,
    RubricVersion,
    SampleEntry,
    SamplingFrame,
    SuggestionDecision,
    SuggestionRow,
    Ticket,
)
from callqa.usecases.must_review import must_review, new_staff_words, rule_words
from callqa.usecases.report_appeals import gather_appeals
from callqa.usecases.report_appendix import gather_appendix
from callqa.usecases.report_assessment import NO_RULES_HERE, FoundRules, gather_assessing
from callqa.usecases.report_improving import gather_actions, gather_cases
from callqa.usecases.report_matching import NOT_CALLS, gather_matching
from callqa.usecases.report_trust import gather_trust

_DAY_HOURS = range(8, 20)  # without a roster entry


@dataclass(frozen=True, slots=True)
class ReportHead:
    """What a report says of itself."""

    made_at_ms: int
    report_no: str
    version: int
    hotline_name: str
    organisation: str
    prepared_by: str


def gather(session: Session, month: Month, head: ReportHead, rules: FoundRules = NO_RULES_HERE) -> f.MonthFacts:
    """Everything the month's report is made from. Raise StateError where no sample has been drawn."""
    frame = sampling.active_frame(session, str(month))
    if frame is None or frame.state != "revealed":
        raise StateError(f"{month.label}还没有抽取样本；请先在“抽检”页冻结、承诺、揭示，再生成报告")
    first = Month(month.year - 1, month.month)
    names = {account_id: account.display_name for account_id, account in queries.accounts(session).items()}
    history = tuple(
        load_sample(session, old, names)
        for old in queries.revealed_frames(session, str(first), str(month.previous()), demo=frame.demo)
    )
    sample = load_sample(session, frame, names)
    calls = queries.calls_by_id(session, month.start_ms, month.end_ms)
    before = queries.calls_by_id(session, month.previous().start_ms, month.start_ms)
    rubric = _rubric_sheet(session, sample)
    page = sampling.load_sampling_page(session, str(month), month.start_ms, month.end_ms)
    matching = gather_matching(
        session,
        month,
        calls,
        {call.call_id for call, _ in sample.scored},
        rubric.rubric_hash,
        demo=frame.demo,
        now_ms=head.made_at_ms,
    )
    return f.MonthFacts(
        sample=sample,
        history=history,
        rubric=rubric,
        trusted=gather_trust(session, month, rubric.rubric_hash),
        cases=gather_cases(session, calls),
        actions=gather_actions(session, month),
        agent_names=page.agents,
        calls=_call_facts(calls.values(), demo=frame.demo),
        tickets=_ticket_facts(queries.tickets_touching(session, month.start_ms, month.end_ms)),
        previous_calls=_call_facts(before.values(), demo=frame.demo),
        previous_tickets=_ticket_facts(queries.tickets_touching(session, month.previous().start_ms, month.start_ms)),
        must_review=_must_review(session, month, frame, head.made_at_ms),
        suspects=_suspects(session, month),
        void_frames=len(page.void_frames),
        late_calls=page.late_calls,
        made_at_ms=head.made_at_ms,
        report_no=head.report_no,
        version=head.version,
        hotline_name=head.hotline_name,
        organisation=head.organisation,
        prepared_by=head.prepared_by,
        texts=queries.texts_of(session, str(month)),
        matching=matching,
        appendix=gather_appendix(
            session, month, calls, matching.kept, names, rubric.rubric_hash, demo=frame.demo, now_ms=head.made_at_ms
        ),
        assessing=gather_assessing(session, month, calls, names, rules, demo=frame.demo, now_ms=head.made_at_ms),
        appeals=gather_appeals(session, month, calls, names, demo=frame.demo, now_ms=head.made_at_ms),
        previous_appeals=gather_appeals(
            session, month.previous(), before, names, demo=frame.demo, now_ms=head.made_at_ms
        ),
    )


def load_sample(session: Session, frame: SamplingFrame, names: Mapping[int, str]) -> f.MonthSample:
    """One month's frame, its drawn calls and their submitted scores."""
    assert frame.id is not None
    month = Month.parse(frame.month)
    entries = sampling.entries_of(session, frame.id)
    due = {entry.call_id: entry for entry in entries if sampling.in_sample(entry)}
    calls = queries.calls_by_id(session, month.start_ms, month.end_ms)
    tickets = sampling.linked_tickets(session, month.start_ms, month.end_ms)
    roster = _Roster(queries.roster_between(session, month.start_ms, month.end_ms))
    scores = _scores(session, month, names)
    secret = confidential_ids(session)
    framed = tuple(
        f.FramedCall(
            call_id=entry.call_id,
            agent_no=entry.agent_no,
            stratum=entry.stratum,
            call_type=calls[entry.call_id].call_type,
            started_at_ms=calls[entry.call_id].started_at_ms,
            duration_ms=entry.duration_ms,
            shift=roster.shift_at(entry.agent_no, calls[entry.call_id].started_at_ms),
            seat=calls[entry.call_id].seat_extension or "",
            ticket_no="、".join(ticket.ticket_no for ticket in tickets.get(entry.call_id, ())),
            drawn_as=due[entry.call_id].kind if entry.call_id in due else "",
            rank=due[entry.call_id].rank if entry.call_id in due else "",
            score=scores.get(entry.call_id) if entry.call_id in due else None,
            confidential=entry.call_id in secret,
        )
        for entry in parse_frame(frame.frame_text).entries
    )
    return f.MonthSample(
        month=month,
        frame_hash=frame.frame_hash,
        plan_hash=frame.plan_hash,
        demo=frame.demo,
        partial=frame.partial,
        counts=frame.counts,
        calls=framed,
        planned=Counter((e.agent_no, Stratum(e.stratum)) for e in entries if e.kind == "sample"),
        reserves_used=Counter(e.agent_no for e in entries if e.kind == "reserve" and _was_used(e)),
        drawing=_drawing(frame, names, session),
    )


def _was_used(entry: SampleEntry) -> bool:
    return entry.state in ("used", "replaced")


def _drawing(frame: SamplingFrame, names: Mapping[int, str], session: Session) -> f.Drawing:
    by_username = {a.username: a.display_name for a in queries.accounts(session).values()}
    return f.Drawing(
        frozen_at_ms=frame.frozen_at_ms,
        committed_at_ms=frame.committed_at_ms,
        revealed_at_ms=frame.revealed_at_ms,
        commit_a=frame.commit_a or "",
        commit_b=frame.commit_b or "",
        commit_a_by=by_username.get(frame.commit_a_by or "", frame.commit_a_by or ""),
        commit_b_by=by_username.get(frame.commit_b_by or "", frame.commit_b_by or ""),
        nonce_a=frame.nonce_a or "",
        nonce_b=frame.nonce_b or "",
        seed=frame.seed or "",
        by_one_person=sampling.committed_by_one(frame),
    )


def _scores(session: Session, month: Month, names: Mapping[int, str]) -> dict[str, f.Score]:
    """Submitted first evaluations of the month's calls as values."""
    evaluations = queries.done_evaluations(session, month.start_ms, month.end_ms)
    ids = [e.id for e in evaluations.values() if e.id is not None]
    items = queries.parts_of(session, EvaluationItem, ids)
    deductions = queries.parts_of(session, Deduction, ids)
    fatals = queries.parts_of(session, FatalFinding, ids)
    decisions = queries.parts_of(session, SuggestionDecision, ids)
    appeals = queries.parts_of(session, Appeal, ids)
    run_ids = [e.check_run_id for e in evaluations.values() if e.check_run_id is not None]
    suggestions: dict[int, list[SuggestionRow]] = {}
    for row in queries.suggestions_of(session, run_ids):
        suggestions.setdefault(row.check_run_id, []).append(row)
    return {
        call_id: _score(
            e,
            items.get(e.id or 0, []),
            deductions.get(e.id or 0, []),
            fatals.get(e.id or 0, []),
            decisions.get(e.id or 0, []),
            {a.item_id: a for a in appeals.get(e.id or 0, [])},
            suggestions.get(e.check_run_id or 0, []),
            names,
        )
        for call_id, e in evaluations.items()
        if e.quality_score is not None and e.final_score is not None
    }


def _score(
    evaluation: Evaluation,
    items: Sequence[EvaluationItem],
    deductions: Sequence[Deduction],
    fatals: Sequence[FatalFinding],
    decisions: Sequence[SuggestionDecision],
    appeals: Mapping[str, Appeal],
    suggestions: Sequence[SuggestionRow],
    names: Mapping[int, str],
) -> f.Score:
    hinted = {row.fatal_id for row in suggestions if row.fatal_id}
    return f.Score(
        quality_score=evaluation.quality_score or 0.0,
        final_score=evaluation.final_score or 0.0,
        grade=evaluation.grade or "",
        status=evaluation.status,
        evaluator=names.get(evaluation.evaluator_id, str(evaluation.evaluator_id)),
        submitted_at_ms=evaluation.submitted_at_ms,
        elapsed_ms=evaluation.elapsed_ms,
        rubric_hash=evaluation.rubric_hash,
        items=tuple(
            f.ScoredItem(i.item_id, i.max_points, None if i.not_applicable else i.points)
            for i in sorted(items, key=lambda i: _item_order(i.item_id))
        ),
        deductions=tuple(
            f.DeductionFact(d.item_id, d.option_code, d.times, d.points, d.at_ms, d.note)
            for d in sorted(deductions, key=lambda d: (_item_order(d.item_id), d.option_code))
        ),
        fatals=tuple(
            f.FatalFact(
                x.fatal_id,
                x.at_ms,
                x.words,
                names.get(x.confirmed_by, str(x.confirmed_by)),
                None if x.second_confirmed_by is None else names.get(x.second_confirmed_by, "—"),
                x.fatal_id in hinted,
                None if x.refused_by is None else names.get(x.refused_by, "—"),
                _say_appeal(appeals.get(x.fatal_id)),
            )
            for x in sorted(fatals, key=lambda x: x.fatal_id)
        ),
        suggested=len(suggestions),
        accepted=sum(d.decision == "accepted" for d in decisions),
    )


def _say_appeal(appeal: Appeal | None) -> str:
    """What became of an appeal; who decided alone on own points is said."""
    if appeal is None:
        return ""
    return OUTCOME_LABELS[Outcome(appeal.state)] + ("（评分人本人裁定）" if appeal.alone else "")


def _item_order(item_id: str) -> tuple[str, int, str]:
    """S1.2 before S1.10."""
    section, _, number = item_id.partition(".")
    return section, int(number) if number.isdigit() else 0, item_id


class _Roster:
    """Shifts by agent, asked for at an instant."""

    def __init__(self, entries: Iterable[RosterEntry]) -> None:
        self._by_agent: dict[str, list[RosterEntry]] = {}
        for entry in entries:
            self._by_agent.setdefault(entry.agent_no, []).append(entry)

    def shift_at(self, agent_no: str, instant_ms: int) -> str:
        """The rostered shift, or day and night by the clock."""
        for entry in self._by_agent.get(agent_no, ()):
            if entry.start_at_ms <= instant_ms < entry.end_at_ms:
                return entry.shift
        return "day" if from_ms(instant_ms).hour in _DAY_HOURS else "night"


def _rubric_sheet(session: Session, sample: f.MonthSample) -> f.RubricSheet:
    """The version most of the month's scores were made with; without a score the newest."""
    versions = queries.rubric_versions(session)
    used = Counter(score.rubric_hash for _, score in sample.scored)
    if used:
        row = versions[max(sorted(used), key=lambda h: used[h])]
    elif versions:
        row = max(versions.values(), key=lambda v: (v.effective_from_ms, v.loaded_at_ms))
    else:
        raise StateError("还没有装载评分标准；请检查 scorecards/rubric.yaml")
    return sheet_of(row)


def sheet_of(row: RubricVersion) -> f.RubricSheet:
    """What a report quotes of a rubric version."""
    rubric = parse_stored(row.source)
    return f.RubricSheet(
        rubric_hash=row.rubric_hash,
        label=f"第 {rubric.version} 版（{row.rubric_hash[:8]}）",
        pass_line=float(rubric.scoring.pass_line),
        grades=tuple((g.code, g.label, float(g.minimum)) for g in rubric.scoring.grades),
        sections=tuple((s.section_id, s.title) for s in rubric.sections),
        items=tuple(
            f.ItemInfo(
                i.item_id,
                i.title,
                i.section_id,
                float(i.max_points),
                i.critical,
                tuple((o.code, o.label) for o in i.options),
            )
            for i in rubric.items
        ),
        fatals=tuple(f.FatalInfo(x.fatal_id, x.title, x.critical) for x in rubric.fatal_items),
    )


def _call_facts(calls: Iterable[Call], *, demo: bool) -> tuple[f.CallFact, ...]:
    return tuple(
        f.CallFact(call.direction, call.outcome, call.started_at_ms, call.ring_ms)
        for call in calls
        if call.outcome != "in_progress" and call.excluded_as not in NOT_CALLS and (demo or not call.demo)
    )


def _ticket_facts(tickets: Iterable[Ticket]) -> tuple[f.TicketFact, ...]:
    return tuple(
        f.TicketFact(t.due_at_ms, t.closed_at_ms, t.callback_done_at_ms, t.callback_attempts, t.satisfaction)
        for t in tickets
    )


def _must_review(session: Session, month: Month, frame: SamplingFrame, now_ms: int) -> tuple[f.ReviewRow, ...]:
    """定向必检 by trigger: the month's calls that meet it now, and whether they were scored in time."""
    plan = parse_plan(frame.plan_json)
    calls = must_review(session, month, plan, demo=frame.demo, now_ms=now_ms)
    ids = [row.evaluation.id for row in calls if row.evaluation is not None and row.evaluation.id is not None]
    fatals = queries.parts_of(session, FatalFinding, ids)
    words = [rule_words(rule.condition, rule.within_hours) for rule in plan.must_review]
    if plan.new_staff is not None:
        words.append(new_staff_words(plan.new_staff))
    rows = []
    for trigger in words:
        due = [(row, t) for row in calls for t in row.triggers if t.words == trigger]
        scored = [row.evaluation for row, _ in due if row.evaluation is not None]
        rows.append(
            f.ReviewRow(
                trigger=trigger,
                due=len(due),
                on_time=sum(row.on_time(t) for row, t in due),
                fatal=sum(any(x.second_confirmed_by for x in fatals.get(e.id or 0, ())) for e in scored),
                failed=sum(e.grade == "failed" for e in scored),
            )
        )
    return tuple(rows)


def _suspects(session: Session, month: Month) -> tuple[f.SuspectRow, ...]:
    """疑似致命处置: each call hinted at by its newest pre-score, whether a submitted evaluation looked at it, confirmed or not."""
    runs = sampling.latest_check_runs(session, month.start_ms, month.end_ms)
    done = queries.done_evaluations(session, month.start_ms, month.end_ms)
    fatals = queries.parts_of(session, FatalFinding, [e.id for e in done.values() if e.id is not None])
    hinted: dict[str, set[str]] = {}
    for row in queries.suggestions_of(session, [run.id for run in runs.values() if run.id is not None]):
        if row.fatal_id:
            hinted.setdefault(row.fatal_id, set()).add(row.call_id)
    rows = []
    for fatal_id, call_ids in sorted(hinted.items()):
        checked = [done[call_id] for call_id in call_ids if call_id in done]
        confirmed = sum(
            any(x.fatal_id == fatal_id and x.second_confirmed_by for x in fatals.get(e.id or 0, ())) for e in checked
        )
        rows.append(f.SuspectRow(fatal_id, len(call_ids), len(checked), confirmed))
    return tuple(rows)
