"""The machine's reasoning as a page shows it: each check with its rule, its result and the steps that led there. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from callqa.privacy import mask_quote, mask_text
from callqa.scoring.criteria import Rubric
from callqa.scoring.explain import rule_text
from callqa.scoring.operators.finding import STATE_LABELS, State
from callqa.store.tables import CheckResultRow
from callqa.web.suggestion_view import NO_PIECES, Pieces

PART_LABELS = {"condition": "看", "when": "前置", "na_when": "是否适用"}
TONES = {State.HIT: "wait", State.MISS: "plain", State.UNSURE: "agent", State.NOT_CHECKED: "agent"}


@dataclass(frozen=True, slots=True)
class StepView:
    """One use of an operator in words. quotes: what was stored, with start_ms and text, masked."""

    part: str
    looked_at: str
    wanted: str
    state: str
    found: str
    quotes: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class CheckView:
    """One check: tone colours its state."""

    check_id: str
    title: str
    rule: str
    state: str
    tone: str
    explanation: str
    steps: tuple[StepView, ...]


def view_reasoning(
    results: Sequence[CheckResultRow], rubric: Rubric, only: str = "", pieces: Pieces = NO_PIECES
) -> tuple[CheckView, ...]:
    """All checks of a run, or the one with this id; steps are empty for runs of versions that kept none.

    Numbers are masked for everybody, as in suggestion_view. pieces: as `privacy.number_pieces` finds them in the call.
    """
    checks = {c.check_id: (c, i, i.title) for i in rubric.items for c in i.checks}
    fatal = {c.check_id: (c, None, f.title) for f in rubric.fatal_items for c in f.checks}
    views = []
    for row in results:
        check, item, title = fatal.get(row.check_id) or checks.get(row.check_id) or (None, None, "")
        if check is None or only not in ("", row.check_id):
            continue
        state = State(row.state)
        views.append(
            CheckView(
                row.check_id,
                title,
                rule_text(check, item),
                STATE_LABELS[state],
                TONES[state],
                mask_text(row.explanation),
                tuple(_step(step, pieces) for step in row.reasoning),
            )
        )
    return tuple(views)


def _step(kept: Mapping[str, Any], pieces: Pieces) -> StepView:
    part = PART_LABELS[kept["part"]] + ("（按同音修正前的原字）" if kept["as_written"] else "")
    wanted = f"{kept['label']}：{kept['wanted']}" + ("（规则要求没有）" if kept["negated"] else "")
    quotes = [{**quote, "text": _masked(quote["text"], pieces)} for quote in kept["quotes"]]
    return StepView(
        part, kept["looked_at"], wanted, STATE_LABELS[State(kept["state"])], mask_text(kept["found"]), quotes
    )


def _masked(quote: str, pieces: Pieces) -> str:
    """A quote as `explain.quote_text` writes it: the time in front is no number."""
    at, mark, words = quote.partition(" “")
    return at + mark + mask_quote(words, pieces)
