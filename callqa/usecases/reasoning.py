"""Why the machine says what it says of a call, as lines for a terminal (`callqa check`). Stores nothing."""

from collections.abc import Iterator
from pathlib import Path

from callqa.errors import CallqaError
from callqa.refusals import no_such_call
from callqa.scoring.criteria import Check, Item, Level, Rubric
from callqa.scoring.explain import Explained, Step, explain, gate_text, quote_text, rule_text
from callqa.scoring.operators.finding import STATE_LABELS, State
from callqa.scoring.rubric import parse_stored
from callqa.store.db import Database
from callqa.store.tables import Call, RubricVersion
from callqa.usecases.check import NO_RUBRIC, NO_TRANSCRIPT, TICKET_WAIT_MS, call_facts, with_loudness
from callqa.usecases.deleted import refuse_deleted
from callqa.usecases.load_rubric import rubric_in_force

PART_LABELS = {"condition": "看", "when": "前置", "na_when": "适用"}


def explain_call(
    db: Database, call_id: str, *, recordings: Path, now_ms: int, ticket_wait_ms: int = TICKET_WAIT_MS
) -> tuple[Rubric, Explained]:
    """Score a call now by the rubric in force when it started, storing nothing. Raise CallqaError where that cannot be."""
    with db.read() as session:
        call = session.get(Call, call_id)
        if call is None:
            raise CallqaError(no_such_call(call_id))
        refuse_deleted(session, call_id)
        row: RubricVersion | None = rubric_in_force(session, call.started_at_ms)
        facts = call_facts(session, call, now_ms=now_ms, ticket_wait_ms=ticket_wait_ms)
    if row is None:
        raise CallqaError(NO_RUBRIC)
    if facts.transcript is None:
        raise CallqaError(NO_TRANSCRIPT)
    rubric = parse_stored(row.source)
    return rubric, explain(rubric, with_loudness(facts, call, recordings))


def report_lines(rubric: Rubric, explained: Explained, *, steps: bool) -> Iterator[str]:
    """The result of every check and what is suggested; with `steps` also the rule and each operator's reasoning."""
    outcome = explained.outcome
    concluded = sum(result.state in (State.HIT, State.MISS) for result in outcome.results)
    told = f"{len(outcome.results)} 条规则，{concluded} 条有结论"
    yield f"{rubric.title}（{rubric.rubric_hash[:12]}）：机器预评 {outcome.auto_score} 分（{told}）"
    if steps:
        yield f"门槛：{gate_text(rubric)}"
    suggested: dict[str, list[str]] = {}
    for one in outcome.suggestions:
        level = "提示" if one.level is Level.HINT else "预选"
        what = f"疑似致命 {one.fatal_id}" if one.fatal_id else f"{one.item_id}{one.option_code} −{one.points:f}"
        suggested.setdefault(one.check_id, []).append(f"{level}：{what}")
    owners = {c.check_id: (c, i) for i in rubric.items for c in i.checks}
    fatal_checks: dict[str, tuple[Check, Item | None]] = {
        c.check_id: (c, None) for f in rubric.fatal_items for c in f.checks
    }
    told_items: set[str] = set()
    for result in outcome.results:
        check, item = fatal_checks.get(result.check_id) or owners[result.check_id]
        if steps and item is not None and item.item_id not in told_items:
            told_items.add(item.item_id)
            yield from (f"  {line}" for step in explained.na_steps.get(item.item_id, ()) for line in _lines(step))
        tail = "　→ " + "；".join(suggested[result.check_id]) if result.check_id in suggested else ""
        yield f"{result.check_id} {STATE_LABELS[result.state]}：{result.explanation}{tail}"
        if steps:
            yield f"  规则（第 {check.line} 行）：{rule_text(check, item)}"
            yield from (f"  {line}" for step in explained.steps.get(result.check_id, ()) for line in _lines(step))


def _lines(step: Step) -> Iterator[str]:
    again = "（按修正前的原字再看一遍）" if step.as_written else ""
    not_wanted = "（规则要求没有）" if step.negated else ""
    yield f"{PART_LABELS[step.part]}{again} {step.looked_at}"
    yield f"    要求 {step.label}：{step.wanted}{not_wanted}"
    yield f"    结果 {STATE_LABELS[step.state]}：{step.found}"
    yield from (f"    证据 {quote_text(each)}" for each in step.quotes if each.channel is not None)
