"""Gather what the assessment needs beside the scores, and read its rules from the installation's scorecards."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from callqa.errors import CallqaError
from callqa.periods import Month, say_offset
from callqa.refusals import os_reason
from callqa.reports.appeals import Answer
from callqa.reports.assessing import NO_RULES, Assessing, FatalCase
from callqa.reports.document import from_json
from callqa.reports.sections.assessment import AGENT, GRADE, NO
from callqa.scoring.assessment import AssessmentRules
from callqa.scoring.assessment_text import parse_assessment
from callqa.scoring.evaluation import VISIBLE_TO_AGENT, Outcome, Status
from callqa.store.queries import report as reports
from callqa.store.queries import report_assessment as queries
from callqa.store.queries.confidential import confidential_ids
from callqa.store.tables import Appeal, Call, Evaluation
from callqa.units import Ratio
from callqa.usecases.report_appeals import answer_of

FILE = "assessment.yaml"


@dataclass(frozen=True, slots=True)
class FoundRules:
    """The rules, or why there are none."""

    rules: AssessmentRules | None
    problem: str


NO_RULES_HERE = FoundRules(None, NO_RULES)


def find_rules(scorecards_dir: Path | None) -> FoundRules:
    """Read the rules. A file with a mistake costs the chapter, not the report."""
    if scorecards_dir is None or not (scorecards_dir / FILE).exists():
        return FoundRules(None, f"没有考核规则 scorecards/{FILE}，本章不作考核。")
    try:
        return FoundRules(parse_assessment((scorecards_dir / FILE).read_text(encoding="utf-8")), "")
    except UnicodeDecodeError:
        problem = "不是 UTF-8 文本，请另存为 UTF-8"
    except OSError as e:
        problem = f"打不开（{os_reason(e)}）"
    except CallqaError as e:
        problem = str(e)
    return FoundRules(None, f"考核规则 scorecards/{FILE} 不能用，本章未作考核：{problem}。")


def gather_assessing(
    session: Session,
    month: Month,
    calls: Mapping[str, Call],
    names: Mapping[int, str],
    found: FoundRules,
    *,
    demo: bool,
    now_ms: int,
) -> Assessing:
    """calls: the month's, by call_id; names: of accounts. Empty but for the reason where there are no rules."""
    if found.rules is None:
        return Assessing(None, found.problem)
    first = month
    for _ in range(found.rules.window_months - 1):
        first = first.previous()
    secret = confidential_ids(session)
    done = reports.done_evaluations(session, first.start_ms, month.end_ms)
    return Assessing(
        rules=found.rules,
        problem="",
        fatals=tuple(
            FatalCase(
                agent_no=call.agent_no or "",
                call_label="保密件" if call.call_id in secret else call.call_id,
                fatal_id=finding.fatal_id,
                at="保密" if call.call_id in secret else say_offset(finding.at_ms),
                second=names.get(finding.second_confirmed_by or 0, "—"),
            )
            for finding, call in queries.confirmed_fatals(session, month.start_ms, month.end_ms)
            if demo or not call.demo
        ),
        cases=Counter(queries.exemplary_agents(session, month.start_ms, month.end_ms)),
        shifts=_shifts(session, month, calls, now_ms),
        seconds=_seconds(session, first, month, done, names),
        past=_past_grades(session, month, found.rules, demo=demo),
        answers=_answers(calls, done, secret, now_ms),
    )


def _shifts(session: Session, month: Month, calls: Mapping[str, Call], now_ms: int) -> dict[str, Ratio]:
    """Rostered shifts that are over, and those of them where the agent signed in or took a call."""
    logins: dict[str, list[tuple[int, int]]] = {}
    for login in queries.logins_between(session, month.start_ms, month.end_ms):
        logins.setdefault(login.agent_no, []).append((login.started_at_ms, login.ended_at_ms or now_ms))
    for call in calls.values():
        if call.outcome == "answered" and call.agent_no:
            logins.setdefault(call.agent_no, []).append((call.started_at_ms, call.started_at_ms + 1))
    shifts: dict[str, list[bool]] = {}
    for shift in queries.shifts_between(session, month.start_ms, month.end_ms):
        if shift.end_at_ms <= now_ms:
            there = any(a < shift.end_at_ms and b > shift.start_at_ms for a, b in logins.get(shift.agent_no, ()))
            shifts.setdefault(shift.agent_no, []).append(there)
    return {agent_no: Ratio(sum(there), len(there)) for agent_no, there in shifts.items()}


def _seconds(
    session: Session, first: Month, month: Month, done: Mapping[str, Evaluation], names: Mapping[int, str]
) -> dict[tuple[str, str], str]:
    """Who beside the evaluator found fault with an item: on a card of their own, or by upholding an appeal."""
    found = {
        (call_id, item_id): names.get(evaluator, str(evaluator))
        for call_id, item_id, evaluator, scored_by in queries.second_faults(session, first.start_ms, month.end_ms)
        if evaluator != scored_by
    }
    by_id = {e.id: e for e in done.values() if e.id is not None}
    for evaluation_id, rows in reports.parts_of(session, Appeal, list(by_id)).items():
        scored = by_id[evaluation_id]
        for row in rows:
            if row.state == Outcome.UPHELD and not row.alone and row.decided_by not in (None, scored.evaluator_id):
                found[scored.call_id, row.item_id] = names.get(row.decided_by or 0, str(row.decided_by))
    return found


def _past_grades(
    session: Session, month: Month, rules: AssessmentRules, *, demo: bool
) -> dict[str, tuple[str | None, ...]]:
    """The grades that the newest reports of the months before gave, latest month first."""
    most = max((atom.times for m in rules.measures for row in m.any_of for atom in row), default=1) - 1
    by_month: list[dict[str, str]] = []
    earlier = month
    for _ in range(most):
        earlier = earlier.previous()
        row = queries.newest_report(session, str(earlier), demo=demo)
        by_month.append(_grades(row.values) if row is not None else {})
    agents = {agent for grades in by_month for agent in grades}
    return {agent: tuple(grades.get(agent) for grades in by_month) for agent in agents}


def _grades(values: Mapping[str, object]) -> dict[str, str]:
    table = next((t for t in from_json(values).tables() if t.no == NO), None)
    if table is None:
        return {}
    heads = [column.label for column in table.columns]
    return {row[heads.index(AGENT)].text.split(" ")[0]: row[heads.index(GRADE)].text for row in table.rows}


def _answers(
    calls: Mapping[str, Call], done: Mapping[str, Evaluation], secret: frozenset[str], now_ms: int
) -> dict[str, tuple[Answer, ...]]:
    found: dict[str, list[Answer]] = {}
    for call_id, evaluation in sorted(done.items()):
        call = calls.get(call_id)
        if call is not None and call.agent_no and Status(evaluation.status) in VISIBLE_TO_AGENT:
            answer = answer_of(evaluation, now_ms, lapses=call_id not in secret)
            found.setdefault(call.agent_no, []).append(answer)
    return {agent_no: tuple(answers) for agent_no, answers in found.items()}
