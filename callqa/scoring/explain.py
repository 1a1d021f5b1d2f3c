"""What led a check to its result: every operator's use, where it looked, what it wanted, what it found, why it abstained.

The scorer runs with operators that note what they did; nothing is judged here. A use is known by the object of the rubric
it is, so that equal uses of two checks stay apart. Texts are Chinese: the page and `callqa check --explain` show them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from callqa.periods import say_offset
from callqa.scoring.condition_tree import (
    AllOf,
    AnyOf,
    CallIs,
    Condition,
    Constant,
    Not,
    OperatorCall,
    Refused,
    TicketIs,
)
from callqa.scoring.criteria import Check, Item, Level, Outcome, Rubric
from callqa.scoring.facts import CALL_FIELDS, TICKET_FIELD_LABELS, CallFacts
from callqa.scoring.operators import REGISTRY
from callqa.scoring.operators.finding import Evidence, Finding, State
from callqa.scoring.operators.operator import Operator
from callqa.scoring.operators.places import place_of
from callqa.scoring.operators.scene import Scene
from callqa.scoring.operators.wording import ROLE_LABELS, describe_place
from callqa.scoring.scorer import CheckOutcome, score
from callqa.units import CALL_TYPE_LABELS, DIRECTION_LABELS, DISPOSITION_LABELS, PARTY_LABELS

MAX_STEPS = 12  # of one use: a rule about what follows a word looks again around each time the word is said
MAX_QUOTES = 3
QUOTE_CHARS = 60
# What a rubric's call field may hold, in words; `inbound` stands for the direction.
FACT_VALUES = {str(k): v for k, v in (CALL_TYPE_LABELS | DIRECTION_LABELS | DISPOSITION_LABELS | PARTY_LABELS).items()}


@dataclass(frozen=True, slots=True)
class Step:
    """One use of one operator on a call. part: condition | when | na_when. negated: the rule wants it not to hit.

    as_written: looked at once more in the words the engine wrote before homophone repair.
    """

    part: str
    label: str
    looked_at: str
    wanted: str
    state: State
    found: str
    quotes: tuple[Evidence, ...] = ()
    negated: bool = False
    as_written: bool = False

    def kept(self) -> dict[str, object]:
        """As it is stored with a check's result."""
        quotes = [
            {"start_ms": each.start_ms, "end_ms": each.end_ms, "text": quote_text(each), "channel": int(each.channel)}
            for each in self.quotes
            if each.channel is not None
        ]
        return {
            "part": self.part,
            "label": self.label,
            "looked_at": self.looked_at,
            "wanted": self.wanted,
            "state": str(self.state),
            "found": self.found,
            "negated": self.negated,
            "as_written": self.as_written,
            "quotes": quotes,
        }


@dataclass(frozen=True, slots=True)
class Explained:
    """A scored call with the steps of every check by check_id, and of every item's na_when by item_id."""

    outcome: CheckOutcome
    steps: Mapping[str, tuple[Step, ...]]
    na_steps: Mapping[str, tuple[Step, ...]]

    def steps_of(self, check_id: str, item_id: str, *, first: bool) -> tuple[Step, ...]:
        """The steps of one check; with the first check of an item also those that say whether the item applies."""
        own = self.steps.get(check_id, ())
        return (*self.na_steps.get(item_id, ()), *own) if first else own


@dataclass(frozen=True, slots=True)
class _Use:
    part: str
    owner: str  # a check_id, or an item_id for na_when
    negated: bool


@dataclass(slots=True)
class _Notes:
    facts: CallFacts
    uses: dict[int, _Use]
    steps: dict[str, list[Step]] = field(default_factory=dict)
    na_steps: dict[str, list[Step]] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)

    def noting(self, operator: Operator) -> Operator:
        """The operator, noting what it finds."""

        def evaluate(call: OperatorCall, scene: Scene) -> Finding:
            finding = operator.evaluate(call, scene)
            self._note(operator, call, scene, finding)
            return finding

        return replace(operator, evaluate=evaluate)

    def _note(self, operator: Operator, call: OperatorCall, scene: Scene, finding: Finding) -> None:
        use = self.uses.get(id(call))
        self.seen[id(call)] = self.seen.get(id(call), 0) + 1
        if use is None or self.seen[id(call)] > MAX_STEPS:
            return
        found = tuple(hit.evidence for hit in finding.hits) or finding.searched
        step = Step(
            use.part,
            operator.label,
            _looked_at(operator, call, scene),
            operator.describe_params(call),
            finding.state,
            finding.explanation,
            tuple(dict.fromkeys(found))[:MAX_QUOTES],
            use.negated,
            scene.facts is not self.facts,
        )
        (self.na_steps if use.part == "na_when" else self.steps).setdefault(use.owner, []).append(step)


def explain(rubric: Rubric, facts: CallFacts) -> Explained:
    """Score a call and say how; the outcome is the one that `score` gives."""
    notes = _Notes(facts, _uses(rubric))
    outcome = score(rubric, facts, {name: notes.noting(operator) for name, operator in REGISTRY.items()})
    return Explained(
        outcome,
        {owner: tuple(steps) for owner, steps in notes.steps.items()},
        {owner: tuple(steps) for owner, steps in notes.na_steps.items()},
    )


def _uses(rubric: Rubric) -> dict[int, _Use]:
    found: dict[int, _Use] = {}

    def add(condition: Condition | None, part: str, owner: str) -> None:
        if condition is not None:
            found.update((id(call), _Use(part, owner, negated)) for call, negated in _leaves(condition))

    for item in rubric.items:
        add(item.na_when, "na_when", item.item_id)
    for checks in (*(item.checks for item in rubric.items), *(fatal.checks for fatal in rubric.fatal_items)):
        for check in checks:
            add(check.when, "when", check.check_id)
            add(check.condition, "condition", check.check_id)
    return found


def _leaves(condition: Condition, negated: bool = False) -> Iterator[tuple[OperatorCall, bool]]:
    if isinstance(condition, OperatorCall):
        yield condition, negated
    elif isinstance(condition, (AllOf, AnyOf)):
        for term in condition.terms:
            yield from _leaves(term, negated)
    elif isinstance(condition, Not):
        yield from _leaves(condition.term, not negated)


def _looked_at(operator: Operator, call: OperatorCall, scene: Scene) -> str:
    if operator.kind == "ticket" and operator.name != "ticket_match":
        ticket = scene.facts.ticket
        return f"工单 {ticket.ticket_no}" if ticket is not None else "工单（未关联）"
    if operator.kind == "call":
        return "话单"
    if scene.facts.transcript is None:
        return "没有转写"
    place = place_of(scene, call)
    around = scene.anchor(call.anchor) if call.anchor is not None else None
    where = f"{ROLE_LABELS[call.role]}，{describe_place(call)}"
    if around is not None:
        where += f"（{say_offset(around.span.start_ms)} 那一处）"
    said = [scene.utterances[position] for position in place.positions]
    text = f"{where}：{say_offset(place.span.start_ms)}–{say_offset(place.span.end_ms)}，{len(said)} 句"
    unsure = sum(not scene.reliable(utterance) for utterance in said)
    return f"{text}，其中 {unsure} 句识别不可靠" if unsure else text


# ---------- in words ----------


def gate_text(rubric: Rubric) -> str:
    """机器门槛: below it nothing is judged."""
    gate = rubric.gate
    parts = [
        f"识别置信低于 {gate.min_asr_confidence:g} 的语句不作证据",
        f"某一方语音不足 {gate.min_channel_speech_s:g} 秒不判",
    ]
    parts += ["录音未分声道不判"] if gate.require_two_channels else []
    sound = "（词语允许读音相符，仅作提示）" if rubric.sound.enabled else ""
    return "；".join(parts) + sound


def rule_text(check: Check, item: Item | None) -> str:
    """A check in one Chinese sentence: when it looks, what it wants, what a hit or a miss suggests."""
    parts = [f"前置：{condition_text(check.when)}"] if check.when is not None else []
    parts.append(f"条件：{condition_text(check.condition)}")
    for name, outcome in (("命中", check.on_hit), ("未命中", check.on_miss)):
        if outcome is not None:
            parts.append(f"{name}则{_outcome_text(outcome, item)}")
    return "；".join(parts) + ("（阈值须核定）" if check.calibrate else "")


def _outcome_text(outcome: Outcome, item: Item | None) -> str:
    parts = []
    if outcome.option_code is not None and item is not None:
        option = item.option(outcome.option_code)
        parts.append(f"建议“{option.label}” −{option.points:f}")
    if outcome.fatal_id is not None:
        parts.append(f"提示疑似致命 {outcome.fatal_id}")
    text = "，".join(parts)
    if outcome.min_occurrences > 1:
        text += f"（至少 {outcome.min_occurrences} 次）"
    return text + ("，只作提示" if outcome.level is Level.HINT else "")


def condition_text(condition: Condition) -> str:
    """A condition in Chinese, with the operators' own descriptions."""
    if isinstance(condition, OperatorCall):
        operator = REGISTRY[condition.name]
        text = operator.describe(condition)
        return f"〔{condition.alias}〕{text}" if condition.alias else text
    if isinstance(condition, AllOf):
        return "同时满足（" + "；".join(condition_text(term) for term in condition.terms) + "）"
    if isinstance(condition, AnyOf):
        return "满足其一（" + "；".join(condition_text(term) for term in condition.terms) + "）"
    if isinstance(condition, Not):
        return f"没有（{condition_text(condition.term)}）"
    if isinstance(condition, Constant):
        return "总是" if condition.value else "从不"
    if isinstance(condition, Refused):
        return condition.why
    label = (CALL_FIELDS if isinstance(condition, CallIs) else TICKET_FIELD_LABELS)[condition.field]
    return f"{'工单' if isinstance(condition, TicketIs) else ''}{label}{_value_text(condition.value)}"


def _value_text(value: str | bool) -> str:
    if isinstance(value, bool):
        return "为是" if value else "为否"
    return f"为{FACT_VALUES.get(value, value)}"


def quote_text(evidence: Evidence) -> str:
    """One piece of evidence for a line of text: `0:13 “这个不归我们管。”`."""
    words = evidence.quote if len(evidence.quote) <= QUOTE_CHARS else evidence.quote[:QUOTE_CHARS] + "…"
    at = say_offset(evidence.start_ms)
    return f"{at} “{words}”" if words else f"{at}–{say_offset(evidence.end_ms)}"
