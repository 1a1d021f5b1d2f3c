"""机器预评: evaluate a rubric's checks on one call. The machine suggests, a person decides.

Rules:
- A condition is hit, miss, unsure or not_checked. `all`: one miss decides, then not_checked, then unsure. `any`: one hit
  decides. `not` swaps hit and miss. Doubt never becomes a suggestion.
- A term named with `as` is bound hit by hit: the rest of its `all` must hold around that hit. The hits for which it holds
  are the occurrences (first silence announced, second one not: one occurrence).
- Several checks may suggest one option that counts per occurrence: their occurrences add up to its max_times, and one place
  in the recording is one occurrence whichever of them finds it.
- A suggestion that rests on words that only sound alike is a hint, and so it is where it needs one such word beside
  others that were read: a second of two words, one half of an `all`. So is one whose item already has a preselected
  exclusive option.
- No suggestion rests on homophone repair alone: where words were repaired, the check must come out the same on what the
  engine itself wrote, else it is unsure; and where it does so only by sound, it is a hint.
- No verdict on greeting or closing, for or against, rests on a decode with a prompt alone: one without must say the same.
- A rule of a stored version that is refused today is not evaluated: `not_checked`, and its item applies.
- `na_when` takes words as they were read, exactly; only a certain hit makes an item 不适用: where 井盖 may have been said,
  the item about hazards stays. Nor does it rest on homophone repair: 井盖 that a repair wrote away is heard.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from callqa.scoring.condition_tree import (
    AllOf,
    AnyOf,
    CallIs,
    Condition,
    Not,
    OperatorCall,
    Origin,
    Refused,
    TicketIs,
    operator_calls,
)
from callqa.scoring.criteria import Check, Item, Level, Outcome, Rubric
from callqa.scoring.facts import CALL_FIELDS, TICKET_FIELD_LABELS, CallFacts, ticket_value
from callqa.scoring.operators import REGISTRY
from callqa.scoring.operators.finding import (
    Evidence,
    Finding,
    Hit,
    HitPlace,
    State,
    hits_by_sound,
    is_exact,
    not_checked,
)
from callqa.scoring.operators.operator import Operator
from callqa.scoring.operators.scene import Scene
from callqa.scoring.scorecard import total

Operators = Mapping[str, Operator]
MAX_EVIDENCE = 20  # a page shows no more; the count is in the explanation


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found. item_id: the item's or the fatal item's."""

    check_id: str
    item_id: str
    state: State
    explanation: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """建议扣分, or 疑似致命: never an effect by itself.

    points: what accepting it would deduct, times included; 0 for a fatal item alone. places: of its occurrences in the
    recording; none for a miss and for what only ticket or signalling say.
    """

    check_id: str
    item_id: str
    option_code: str | None
    fatal_id: str | None
    level: Level
    points: Decimal
    times: int
    reason: str
    evidence: tuple[Evidence, ...]
    places: frozenset[HitPlace] = frozenset()


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """Everything the machine says of one call. auto_score: the quality score if every preselected suggestion were accepted."""

    results: tuple[CheckResult, ...]
    suggestions: tuple[Suggestion, ...]
    not_applicable: frozenset[str]
    auto_score: Decimal
    suspected_fatal: bool


@dataclass(frozen=True, slots=True)
class _Scenes:
    """The call as it is read; as the engine itself wrote it; as it wrote it without a prompt. None: the same as read."""

    read: Scene
    heard: Scene | None
    unprompted: Scene | None


def _scenes(scene: Scene) -> _Scenes:
    transcript = scene.facts.transcript
    if transcript is None:
        return _Scenes(scene, None, None)
    heard, unprompted = (
        None if other is transcript else replace(scene, facts=replace(scene.facts, transcript=other))
        for other in (transcript.as_heard, transcript.without_prompt)
    )
    return _Scenes(scene, heard, unprompted)


def score(rubric: Rubric, facts: CallFacts, operators: Operators = REGISTRY) -> CheckOutcome:
    """Evaluate every check that applies to the call, in the order of the rubric."""
    scene = Scene(facts, rubric.gate, rubric.sound, rubric.required_phrases)
    scenes = _scenes(scene)
    results: list[CheckResult] = []
    suggestions: list[Suggestion] = []
    not_applicable: set[str] = set()
    for item in rubric.items_for(facts.call_type):
        if _is_not_applicable(item, scenes, operators):
            not_applicable.add(item.item_id)
            results += [CheckResult(c.check_id, item.item_id, State.NOT_CHECKED, "本项不适用") for c in item.checks]
            continue
        found = _counted_once(item, _run(item.checks, item, scenes, operators, results))
        suggestions += _exclusive_first(item, found)
    for fatal in rubric.fatal_items_for(facts.call_type):
        suggestions += _run(fatal.checks, None, scenes, operators, results)
    fatal_ids = {fatal.fatal_id for fatal in rubric.fatal_items_for(facts.call_type)}
    suggestions = [kept for suggestion in suggestions if (kept := _without_foreign_fatal(suggestion, fatal_ids))]
    deductions = _deductions(rubric, suggestions)
    card = total(rubric, facts.call_type, not_applicable=not_applicable, deductions=deductions, confirmed_fatals=())
    suspected = any(s.fatal_id is not None and s.level is Level.PRESELECT for s in suggestions)
    return CheckOutcome(tuple(results), tuple(suggestions), frozenset(not_applicable), card.quality_score, suspected)


def _without_foreign_fatal(suggestion: Suggestion, fatal_ids: set[str]) -> Suggestion | None:
    """A fatal item that does not apply to this type of call is not suggested."""
    if suggestion.fatal_id is None or suggestion.fatal_id in fatal_ids:
        return suggestion
    return replace(suggestion, fatal_id=None) if suggestion.option_code is not None else None


def _is_not_applicable(item: Item, scenes: _Scenes, operators: Operators) -> bool:
    """Whether na_when certainly holds: in the words as repaired and in those that the engine itself wrote."""
    if item.na_when is None:
        return False
    return all(
        _evaluate(item.na_when, replace(scene, plain_reading=True), operators).state is State.HIT
        for scene in (scenes.read, scenes.heard)
        if scene is not None
    )


def _run(
    checks: Sequence[Check], item: Item | None, scenes: _Scenes, operators: Operators, results: list[CheckResult]
) -> list[Suggestion]:
    """Evaluate checks in order: their results are appended, their suggestions returned."""
    suggestions = []
    for check in checks:
        finding = _without_repair(check, _check(check, scenes.read, operators), scenes.heard, operators)
        finding = _without_prompt(check, finding, scenes.unprompted, operators)
        results.append(CheckResult(check.check_id, check.item_id, finding.state, finding.explanation))
        suggestion = _suggestion(check, item, finding)
        if suggestion is not None:
            suggestions.append(suggestion)
    return suggestions


def _check(check: Check, scene: Scene, operators: Operators) -> Finding:
    if check.when is not None:
        before = _evaluate(check.when, scene, operators)
        if before.state is not State.HIT:
            why = "前置条件不满足" if before.state is State.MISS else f"前置条件无从判断（{before.explanation}）"
            return not_checked(f"{why}，未检")
    finding = _evaluate(check.condition, scene, operators)
    wanted = check.on_hit.min_occurrences if check.on_hit is not None else 1
    return _often_enough(finding, wanted) if finding.state is State.HIT and wanted > 1 else finding


def _often_enough(finding: Finding, wanted: int) -> Finding:
    """A hit as one of `wanted` occurrences at least: a miss with fewer, doubtful with those that were not read clearly."""
    found = _places(finding.hits)
    if len(found) >= wanted:
        exact = _places(hit for hit in finding.hits if hit.exact)
        return finding if len(exact) >= wanted else replace(finding, hits=hits_by_sound(finding.hits))
    text = f"{finding.explanation}，未达到 {wanted} 次"
    if len(found | _places(finding.doubtful)) >= wanted:
        return replace(finding, state=State.UNSURE, explanation=f"{text}，但另有识别不可靠的语句，请核听")
    return replace(finding, state=State.MISS, explanation=text)


def _without_repair(check: Check, finding: Finding, heard: Scene | None, operators: Operators) -> Finding:
    """The finding, no surer than without the repair: `unsure` where only repaired words would lead to a suggestion."""
    if heard is None or _outcome(check, finding) is None:
        return finding
    unrepaired = _check(check, heard, operators)
    if unrepaired.state is finding.state:
        as_heard = _places(unrepaired.hits)
        hits = tuple(hit for hit in finding.hits if hit.place in as_heard) or finding.hits
        return replace(finding, hits=hits if is_exact(unrepaired.hits) else hits_by_sound(hits))
    return replace(finding, state=State.UNSURE, explanation=f"{finding.explanation}（只见于同音修正过的字，请核听）")


def _without_prompt(check: Check, finding: Finding, unprompted: Scene | None, operators: Operators) -> Finding:
    """The finding on greeting or closing, `unsure` where a decode without prompt says otherwise: a prompt may have put the
    words into the engine's mouth, or kept it from hearing them."""
    if unprompted is None or finding.state not in (State.HIT, State.MISS) or not _is_of_edge(check):
        return finding
    if _check(check, unprompted, operators).state is finding.state:
        return finding
    text = f"{finding.explanation}（不带提示的另一次识别与此不一致，请核听）"
    return replace(finding, state=State.UNSURE, explanation=text)


def _is_of_edge(check: Check) -> bool:
    """Whether the check is on words at the beginning or the end of a call: greeting and closing."""
    return any(
        call.scope is not None and call.scope.origin in (Origin.START, Origin.END)
        for call in operator_calls(check.condition)
    )


def _outcome(check: Check, finding: Finding) -> Outcome | None:
    return {State.HIT: check.on_hit, State.MISS: check.on_miss}.get(finding.state)


def _occurrences(finding: Finding) -> int:
    """Hits that are separate events: two words in one sentence are one. With some that are certain, only these count."""
    return max(1, len(_counted(finding.hits)))


def _counted(hits: Sequence[Hit]) -> set[HitPlace]:
    return _places(hit for hit in hits if hit.exact) or _places(hits)


def _places(hits: Iterable[Hit]) -> set[HitPlace]:
    return {hit.place for hit in hits}


def _suggestion(check: Check, item: Item | None, finding: Finding) -> Suggestion | None:
    outcome = _outcome(check, finding)
    if outcome is None:
        return None
    times, points = 1, Decimal(0)
    label = ""
    if outcome.option_code is not None and item is not None:
        option = item.option(outcome.option_code)
        if option.per == "occurrence":
            times = min(option.max_times, _occurrences(finding))
        points, label = option.points * times, option.label
    by_sound = finding.state is State.HIT and not is_exact(finding.hits)
    hits = tuple(hit.evidence for hit in finding.hits)
    found = (*hits, *finding.supporting)
    evidence = _distinct((found or finding.searched) if finding.state is State.HIT else (finding.searched or found))
    return Suggestion(
        check.check_id,
        check.item_id,
        outcome.option_code,
        outcome.fatal_id,
        Level.HINT if by_sound else outcome.level,
        points,
        times,
        f"{label}：{finding.explanation}" if label else finding.explanation,
        evidence[:MAX_EVIDENCE],
        frozenset(_counted([hit for hit in finding.hits if hit.evidence.channel is not None])),
    )


def _distinct(evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
    return tuple(dict.fromkeys(evidence))


def _counted_once(item: Item, suggestions: Sequence[Suggestion]) -> list[Suggestion]:
    """An event counts once for an option, however many of its checks find it: a later one counts only what is new.

    With nothing new it becomes a hint. What lies nowhere in the recording (a miss, a ticket's field) is each its own event.
    """
    taken: dict[str, frozenset[HitPlace]] = {}
    found = []
    for one in suggestions:
        option = item.option(one.option_code) if one.option_code is not None else None
        if option is None or option.per != "occurrence" or one.level is not Level.PRESELECT or one.fatal_id is not None:
            found.append(one)
            continue
        before = taken.get(option.code, frozenset())
        fresh = one.places - before
        taken[option.code] = before | one.places
        if one.places and not fresh:
            one = replace(one, level=Level.HINT, reason=f"{one.reason}（与另一条规则说的是同一处，不重复计次）")
        elif len(fresh) < len(one.places):
            times = min(option.max_times, len(fresh))
            reason = f"{one.reason}（其中 {len(one.places) - len(fresh)} 处另一条规则已计，不重复计次）"
            one = replace(one, times=times, points=option.points * times, reason=reason)
        found.append(one)
    return found


def _exclusive_first(item: Item, suggestions: list[Suggestion]) -> list[Suggestion]:
    """With an exclusive option preselected, the item's other deductions no longer add up: they become hints."""
    exclusive = next(
        (
            suggestion.option_code
            for suggestion in suggestions
            if suggestion.level is Level.PRESELECT
            and suggestion.option_code is not None
            and item.option(suggestion.option_code).exclusive
        ),
        None,
    )
    if exclusive is None:
        return suggestions
    note = f"（已由“{item.option(exclusive).label}”涵盖）"
    return [
        replace(suggestion, level=Level.HINT, reason=suggestion.reason + note)
        if suggestion.option_code not in (None, exclusive) and suggestion.level is Level.PRESELECT
        else suggestion
        for suggestion in suggestions
    ]


def _deductions(rubric: Rubric, suggestions: Sequence[Suggestion]) -> dict[str, dict[str, int]]:
    """Preselected options and how often, several checks of one option together."""
    chosen: dict[str, dict[str, int]] = {}
    for suggestion in suggestions:
        if suggestion.level is not Level.PRESELECT or suggestion.option_code is None:
            continue
        option = rubric.item(suggestion.item_id).option(suggestion.option_code)
        of_item = chosen.setdefault(suggestion.item_id, {})
        of_item[option.code] = option.together((of_item.get(option.code, 0), suggestion.times))
    return chosen


# ---------- conditions ----------


def _evaluate(condition: Condition, scene: Scene, operators: Operators) -> Finding:
    if isinstance(condition, OperatorCall):
        return operators[condition.name].evaluate(condition, scene)
    if isinstance(condition, AllOf):
        return _all(condition.terms, scene, operators)
    if isinstance(condition, AnyOf):
        return _any([_evaluate(term, scene, operators) for term in condition.terms])
    if isinstance(condition, Not):
        return _negated(_evaluate(condition.term, scene, operators))
    if isinstance(condition, CallIs):
        return _call_is(condition, scene.facts)
    if isinstance(condition, TicketIs):
        return _ticket_is(condition, scene.facts)
    if isinstance(condition, Refused):
        return not_checked(condition.why)
    return Finding(State.HIT if condition.value else State.MISS, "")


def _call_is(condition: CallIs, facts: CallFacts) -> Finding:
    values: dict[str, str | bool | None] = {
        "disposition": facts.disposition,
        "transferred": facts.transferred,
        "direction": facts.direction.value,
        "hangup_party": facts.hangup_party,
        "type": facts.call_type.value,
    }
    holds = values[condition.field] == condition.value
    label = CALL_FIELDS[condition.field]
    if condition.field == "hangup_party" and facts.hangup_party is None:
        return Finding(State.UNSURE, f"话单没有{label}")
    return Finding(State.HIT if holds else State.MISS, f"{label}{'' if holds else '不'}为 {condition.value}")


def _ticket_is(condition: TicketIs, facts: CallFacts) -> Finding:
    if facts.ticket is None:
        return not_checked("通话未关联工单")
    value = ticket_value(facts.ticket, condition.field)
    label = TICKET_FIELD_LABELS[condition.field]
    if isinstance(condition.value, str) and value in (None, ""):
        return Finding(State.UNSURE, f"工单没有{label}")
    holds = bool(value) is condition.value if isinstance(condition.value, bool) else str(value) == condition.value
    return Finding(State.HIT if holds else State.MISS, f"工单{label}{'' if holds else '不'}为 {condition.value}")


def _negated(finding: Finding) -> Finding:
    if finding.state is State.HIT:
        evidence = tuple(hit.evidence for hit in finding.hits) or finding.searched
        return Finding(State.MISS, finding.explanation, (), evidence)
    if finding.state is State.MISS:
        return Finding(State.HIT, finding.explanation, (), finding.searched, finding.searched)
    return finding


def _any(parts: Sequence[Finding]) -> Finding:
    for state in (State.HIT, State.NOT_CHECKED, State.UNSURE):
        chosen = [part for part in parts if part.state is state]
        if chosen:
            return _joined(state, [part for part in chosen if is_exact(part.hits)] or chosen)
    return _joined(State.MISS, parts)


def _joined(state: State, parts: Sequence[Finding]) -> Finding:
    text = "；".join(dict.fromkeys(part.explanation for part in parts if part.explanation))
    hits = tuple(hit for part in parts for hit in part.hits)
    searched = tuple(evidence for part in parts for evidence in part.searched)
    return Finding(state, text, hits, searched, tuple(evidence for part in parts for evidence in part.supporting))


def _all(terms: Sequence[Condition], scene: Scene, operators: Operators) -> Finding:
    """All terms; the first named one whose name is used later is bound hit by hit."""
    parts: list[Finding] = []
    for index, term in enumerate(terms):
        finding = _evaluate(term, scene, operators)
        rest = terms[index + 1 :]
        if isinstance(term, OperatorCall) and term.alias is not None and _uses(rest, term.alias):
            if finding.state is State.HIT:
                finding = _bound(term.alias, finding, rest, scene, operators)
            parts.append(finding)
            break
        parts.append(finding)
    for state in (State.MISS, State.NOT_CHECKED, State.UNSURE):
        chosen = [part for part in parts if part.state is state]
        if chosen:
            return _joined(state, chosen)
    whole = _joined(State.HIT, parts)
    return whole if all(is_exact(part.hits) for part in parts) else replace(whole, hits=hits_by_sound(whole.hits))


def _uses(terms: Sequence[Condition], alias: str) -> bool:
    return any(call.anchor == alias for term in terms for call in operator_calls(term))


def _bound(alias: str, anchors: Finding, rest: Sequence[Condition], scene: Scene, operators: Operators) -> Finding:
    """Which of the named hits satisfy the rest; their evidence, and what was searched around them."""
    held: list[tuple[Hit, Finding]] = []
    others: list[Finding] = []
    for hit in anchors.hits:
        finding = _all(rest, scene.bound(alias, hit), operators)
        if finding.state is State.HIT:
            held.append((hit if is_exact(finding.hits) else replace(hit, exact=False), finding))
        else:
            others.append(finding)
    if not held:
        return _any(others)
    text = f"{anchors.explanation}；{held[0][1].explanation}" if held[0][1].explanation else anchors.explanation
    around = tuple(e for _, part in held for e in (*(hit.evidence for hit in part.hits), *part.supporting))
    return Finding(State.HIT, text, tuple(hit for hit, _ in held), anchors.searched, around)
