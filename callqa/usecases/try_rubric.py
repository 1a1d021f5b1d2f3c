"""试跑: a month's calls pre-scored by two texts of the rubric, and how suggestions and scores differ. Changes no result.

The page writes a row, the worker works it off a little at a time between its other duties (`work_a_while`), and the row
holds progress and what was found so far: a restart goes on from there. Bounded: MAX_CALLS of a month, MAX_EXAMPLES shown.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, func, select

from callqa.errors import CallqaError, RubricError, StateError
from callqa.periods import Month
from callqa.scoring.condition_tree import operator_calls
from callqa.scoring.criteria import Rubric
from callqa.scoring.explain import rule_text
from callqa.scoring.facts import CallFacts
from callqa.scoring.rubric import parse_rubric, parse_stored
from callqa.scoring.scorer import CheckOutcome, score
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Call, RubricTrial, RubricVersion, TranscriptRow
from callqa.usecases.check import TICKET_WAIT_MS, call_facts, with_loudness
from callqa.usecases.edit_rubric import source_hash
from callqa.usecases.evaluate_state import actor_of

log = logging.getLogger(__name__)

MAX_CALLS = 3000
MAX_EXAMPLES = 60
KEPT_TRIALS = 10
SLICE_MS = 300  # of one round of the worker: a journal line waits no longer
_parsed = lru_cache(maxsize=4)(parse_stored)  # the new text was checked when it was asked for
Clock = Callable[[], int]
FactsOf = Callable[[Session, Call], CallFacts]


@dataclass(frozen=True, slots=True)
class _Key:
    """One suggestion as it is compared."""

    check_id: str
    item_id: str
    option: str

    @property
    def text(self) -> str:
        return f"{self.check_id} → {self.option}"


def ask_trial(db: Database, *, month: str, old_hash: str, new_source: str, account_id: int, now_ms: int) -> int:
    """Ask for a trial. Raise RubricError for a text with a mistake, StateError where nothing can be compared."""
    period = Month.parse(month)
    with db.read() as session:
        known = session.get(RubricVersion, source_hash(new_source)) is not None
    rubric = parse_stored(new_source) if known else parse_rubric(new_source)
    with db.write() as session:
        if session.get(RubricVersion, old_hash) is None:
            raise StateError("没有这个标准版本")
        if rubric.rubric_hash == old_hash:
            raise StateError("两个文本完全相同，没有可比的")
        busy = session.exec(select(RubricTrial.id).where(col(RubricTrial.state).in_(("wanted", "running")))).first()
        if busy is not None:
            raise StateError("已有一次试跑在进行；请等它跑完，或先停掉它")
        total = session.exec(select(func.count()).select_from(_transcribed(period).subquery())).one()
        if not total:
            raise StateError(f"{period.label}没有已转写的通话，无从试跑")
        row = RubricTrial(
            month=str(period),
            old_hash=old_hash,
            new_hash=source_hash(new_source),
            new_source=new_source,
            total=min(total, MAX_CALLS),
            asked_by=account_id,
            asked_at_ms=now_ms,
            result={"left_out": max(0, total - MAX_CALLS)},
        )
        session.add(row)
        session.flush()
        for old in session.exec(select(RubricTrial).order_by(col(RubricTrial.id).desc()).offset(KEPT_TRIALS)):
            session.delete(old)
        audit.append(
            session,
            actor=actor_of(session, account_id).username,
            action="rubric.trial",
            subject=row.new_hash,
            detail={"month": row.month, "against": old_hash, "calls": row.total},
            now_ms=now_ms,
        )
        assert row.id is not None
        return row.id


def stop_trial(db: Database, trial_id: int, *, now_ms: int) -> None:
    """Stop a trial; what was found so far stays."""
    with db.write() as session:
        row = session.get(RubricTrial, trial_id)
        if row is not None and row.state in ("wanted", "running"):
            row.state, row.ended_at_ms = "stopped", now_ms
            session.add(row)


def work_a_while(
    db: Database,
    *,
    recordings: Path,
    clock: Clock,
    ticket_wait_ms: int = TICKET_WAIT_MS,
) -> bool:
    """Score some more calls of the trial in hand, for about SLICE_MS. Returns whether there is more to do."""
    with db.read() as session:
        trial = session.exec(
            select(RubricTrial).where(col(RubricTrial.state).in_(("wanted", "running"))).order_by(col(RubricTrial.id))
        ).first()
        if trial is None or trial.id is None:
            return False
        old_row = session.get(RubricVersion, trial.old_hash)
        ids = session.exec(_transcribed(Month.parse(trial.month)).limit(trial.total)).all()
    began_ms = clock()
    result, done = dict(trial.result), trial.done
    try:
        assert old_row is not None
        old, new = _parsed(old_row.source), _parsed(trial.new_source)
    except RubricError as e:
        _keep(db, trial.id, done, result, state="failed", problem=str(e), now_ms=clock())
        return False
    with_audio = _volume_rules(old) != _volume_rules(new)
    facts_of = partial(call_facts, now_ms=began_ms, ticket_wait_ms=ticket_wait_ms)
    while done < len(ids):
        try:
            _add(result, *_both(db, ids[done], old, new, recordings if with_audio else None, facts_of))
        except (CallqaError, ValueError, KeyError) as e:  # one bad row never stops the others; the page counts it
            log.exception("trial %d: call %s is left out: %s", trial.id, ids[done], e)
            result["skipped"] = result.get("skipped", 0) + 1
        done += 1
        if clock() - began_ms >= SLICE_MS:
            break
    over = done >= len(ids)
    _keep(db, trial.id, done, result, state="done" if over else "running", problem="", now_ms=clock())
    return not over


def _keep(
    db: Database, trial_id: int, done: int, result: Mapping[str, Any], *, state: str, problem: str, now_ms: int
) -> None:
    with db.write() as session:
        row = session.get(RubricTrial, trial_id)
        if row is None or row.state not in ("wanted", "running"):  # stopped meanwhile
            return
        row.done, row.result, row.state, row.problem = done, dict(result), state, problem
        row.ended_at_ms = None if state == "running" else now_ms
        session.add(row)


def _transcribed(period: Month) -> Any:
    """call_ids of a month's answered calls that have a transcript, in order."""
    return (
        select(Call.call_id)
        .where(
            Call.outcome == "answered",
            col(Call.deleted_at_ms).is_(None),
            Call.started_at_ms >= period.start_ms,
            Call.started_at_ms < period.end_ms,
            col(Call.call_id).in_(select(TranscriptRow.call_id)),
        )
        .order_by(col(Call.started_at_ms), col(Call.call_id))
    )


def _both(
    db: Database, call_id: str, old: Rubric, new: Rubric, recordings: Path | None, facts_of: FactsOf
) -> tuple[Call, CheckOutcome, CheckOutcome]:
    with db.read() as session:
        call = session.get(Call, call_id)
        assert call is not None
        facts = facts_of(session, call)
    if recordings is not None:
        facts = with_loudness(facts, call, recordings)
    return call, score(old, facts), score(new, facts)


def _volume_rules(rubric: Rubric) -> list[str]:
    """The rules that need the level of the audio: only when they differ is it worth reading."""
    checks = [check for item in rubric.items for check in item.checks]
    return [rule_text(c, None) for c in checks if any(call.name == "volume" for call in operator_calls(c.condition))]


def _suggested(outcome: CheckOutcome) -> set[_Key]:
    return {
        _Key(
            s.check_id,
            s.item_id,
            (s.fatal_id or f"{s.item_id}{s.option_code}") + ("（提示）" if s.level == "hint" else ""),
        )
        for s in outcome.suggestions
    }


def _add(result: dict[str, Any], call: Call, before: CheckOutcome, after: CheckOutcome) -> None:
    """Count one call into the result."""
    had, has = _suggested(before), _suggested(after)
    result["calls"] = result.get("calls", 0) + 1
    result["old_sum"] = result.get("old_sum", 0.0) + float(before.auto_score)
    result["new_sum"] = result.get("new_sum", 0.0) + float(after.auto_score)
    result["old_suggestions"] = result.get("old_suggestions", 0) + len(had)
    result["new_suggestions"] = result.get("new_suggestions", 0) + len(has)
    by_check: dict[str, list[int]] = result.setdefault("by_check", {})
    for position, keys in ((0, has - had), (1, had - has)):
        for key in keys:
            by_check.setdefault(key.text, [0, 0])[position] += 1
    if had == has and before.auto_score == after.auto_score:
        return
    result["changed"] = result.get("changed", 0) + 1
    examples: list[dict[str, Any]] = result.setdefault("examples", [])
    examples.append(
        {
            "call_id": call.call_id,
            "started_at_ms": call.started_at_ms,
            "agent_no": call.agent_no,
            "old": float(before.auto_score),
            "new": float(after.auto_score),
            "added": sorted(key.text for key in has - had),
            "removed": sorted(key.text for key in had - has),
        }
    )
    examples.sort(key=lambda e: (-abs(e["new"] - e["old"]), e["call_id"]))
    del examples[MAX_EXAMPLES:]


def find_trial(session: Session, trial_id: int) -> RubricTrial | None:
    """The trial, or None."""
    return session.get(RubricTrial, trial_id)


def recent_trials(session: Session) -> list[RubricTrial]:
    """The last trials, newest first."""
    return list(session.exec(select(RubricTrial).order_by(col(RubricTrial.id).desc()).limit(KEPT_TRIALS)))
