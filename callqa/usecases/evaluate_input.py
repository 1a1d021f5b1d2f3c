"""What the scoring form holds, as values: what is still missing before it may be submitted, what makes no sense,
and the score it would give. Pure; `usecases/evaluate.py` keeps it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from callqa.errors import CallqaError
from callqa.periods import say_offset
from callqa.scoring.criteria import Item, Option, Rubric
from callqa.scoring.scorecard import ScoreCard, total
from callqa.units import CallType

DECISIONS = ("accepted", "rejected")


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
    decisions: Mapping[int, str] = field(default_factory=dict)
    summary: str = ""
    elapsed_ms: int = 0


@dataclass(frozen=True, slots=True)
class SuggestionRef:
    """One suggestion of the machine: where it belongs, and what accepting it means."""

    suggestion_id: int
    item_id: str
    option_code: str | None = None
    fatal_id: str | None = None
    at_ms: int | None = None
    reason: str = ""
    level: str = "preselect"  # preselect | hint
    times: int = 1  # how often its option counts
    max_times: int | None = None  # of its option; None: not looked up

    @property
    def place(self) -> str:
        """The item or fatal item it is shown under."""
        return self.fatal_id or self.item_id


def times_of(accepted: Sequence[SuggestionRef]) -> int:
    """How often an option counts whose suggestions were accepted: preselected ones add up as in the machine's own score
    (`criteria.Option.together`); a hint, which may say the same again, only counts where it says more. static/evaluate.js does so too.
    """
    sure = sum(one.times for one in accepted if one.level == "preselect")
    times = max([sure, *(one.times for one in accepted if one.level != "preselect")])
    most = [one.max_times for one in accepted if one.max_times is not None]
    return min([times, *most])


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that submitting still needs. place: an item's or fatal item's id, "" for the form as a whole."""

    place: str
    text: str
    undecided: int = 0  # suggestions without a decision


class IncompleteError(CallqaError):
    """The form lacks something that submitting needs."""

    def __init__(self, missing: Sequence[Missing]) -> None:
        super().__init__("还不能提交：" + say_missing(missing))
        self.missing = tuple(missing)


def say_missing(missing: Iterable[Missing]) -> str:
    """All that is missing in one sentence; undecided suggestions summed up."""
    rows = list(missing)
    undecided = sum(one.undecided for one in rows)
    parts = [one.text for one in rows if not one.undecided]
    return "；".join([*parts, f"有 {undecided} 条机器建议尚未采纳或驳回"] if undecided else parts)


def find_missing(rubric: Rubric, given: EvaluationInput, suggestions: Iterable[SuggestionRef]) -> tuple[Missing, ...]:
    """What must still be given before this may be submitted: evidence for weighty deductions, every suggestion decided."""
    found = []
    for item_id, options in given.deductions.items():
        item = rubric.item(item_id)
        for code, chosen in options.items():
            option = item.option(code)
            if needs_evidence(rubric, item, option):
                label = f"{item_id}“{option.label}”"
                found += [Missing(item_id, f"{label}须有时间点证据")] if chosen.at_ms is None else []
                found += [Missing(item_id, f"{label}须写说明")] if not chosen.note.strip() else []
    for fatal in given.fatals:
        if fatal.at_ms is None or not fatal.words.strip():
            found.append(Missing(fatal.fatal_id, f"致命项 {fatal.fatal_id} 须写时间点和原话"))
    refs = tuple(suggestions)
    return (*found, *_undecided(settle_covered(rubric, given, refs), refs))


def settle_covered(rubric: Rubric, given: EvaluationInput, suggestions: Sequence[SuggestionRef]) -> EvaluationInput:
    """Undecided hints of an item whose exclusive preselected option was accepted count as rejected.

    The exclusive option stands alone, so nothing hangs on them; a hint whose option was chosen all the same stays open.
    """
    covering = {
        one.item_id
        for one in suggestions
        if one.level == "preselect"
        and given.decisions.get(one.suggestion_id) == "accepted"
        and one.fatal_id is None
        and one.option_code is not None
        and rubric.item(one.item_id).option(one.option_code).exclusive
    }
    settled = {
        one.suggestion_id: "rejected"
        for one in suggestions
        if one.level == "hint"
        and one.fatal_id is None
        and one.item_id in covering
        and one.option_code not in given.deductions.get(one.item_id, {})
    }
    return replace(given, decisions={**settled, **given.decisions})


def _undecided(given: EvaluationInput, suggestions: Sequence[SuggestionRef]) -> list[Missing]:
    waiting: dict[str, int] = {}
    found = []
    ticked = {fatal.fatal_id for fatal in given.fatals}
    for one in suggestions:
        decision = given.decisions.get(one.suggestion_id)
        if decision is None:
            waiting[one.place] = waiting.get(one.place, 0) + 1
        elif decision == "accepted" and one.fatal_id and one.fatal_id not in ticked:
            found.append(Missing(one.place, f"采纳了 {one.fatal_id} 的疑似致命提示，须同时勾选该致命项；不成立请驳回"))
    return found + [Missing(place, f"有 {n} 条机器建议尚未采纳或驳回", undecided=n) for place, n in waiting.items()]


def needs_evidence(rubric: Rubric, item: Item, option: Option) -> bool:
    """Whether this deduction must carry a time in the recording and a note (rubric `evidence_required`)."""
    rule = rubric.scoring.evidence_required
    return option.points >= rule.min_points or item.critical in rule.critical


def preview(
    rubric: Rubric, call_type: CallType, given: EvaluationInput, *, confirmed_fatals: Collection[str] = ()
) -> ScoreCard:
    """The score the form would give now. confirmed_fatals: findings that a second person has confirmed already."""
    return total(
        rubric,
        call_type,
        not_applicable=given.not_applicable,
        deductions={i: {c: d.times for c, d in options.items()} for i, options in given.deductions.items()},
        confirmed_fatals=tuple(f.fatal_id for f in given.fatals if f.fatal_id in confirmed_fatals),
    )


def refuse_nonsense(
    rubric: Rubric, call_type: CallType, given: EvaluationInput, *, duration_ms: int, suggestion_ids: Collection[int]
) -> None:
    """Raise CallqaError naming what cannot be: unknown items and options, times beyond the recording, others' suggestions."""
    known = {item.item_id: item for item in rubric.items_for(call_type)}
    for item_id in (*given.deductions, *given.not_applicable):
        if item_id not in known:
            raise CallqaError(f"评分项 {item_id} 不适用于这类通话")
    for item_id, options in given.deductions.items():
        _refuse_options(known[item_id], options, marked_na=item_id in given.not_applicable)
    if len(given.not_applicable) == len(known):
        raise CallqaError("不能把所有评分项都标为不适用")
    fatal_ids = {fatal.fatal_id for fatal in rubric.fatal_items_for(call_type)}
    for fatal in given.fatals:
        if fatal.fatal_id not in fatal_ids:
            raise CallqaError(f"没有致命项 {fatal.fatal_id}")
    _refuse_moments(given, duration_ms)
    for suggestion_id, decision in given.decisions.items():
        if decision not in DECISIONS:
            raise CallqaError("建议只能采纳或驳回")
        if suggestion_id not in suggestion_ids:
            raise CallqaError("机器建议与这份评分不符；请刷新页面后再评")


def _refuse_options(item: Item, options: Mapping[str, DeductionInput], *, marked_na: bool) -> None:
    if options and marked_na:
        raise CallqaError(f"评分项 {item.item_id} 既标了不适用又扣了分，请二选一")
    known = {option.code: option for option in item.options}
    for code, chosen in options.items():
        if code not in known:
            raise CallqaError(f"评分项 {item.item_id} 没有扣分选项 {code}")
        most = known[code].max_times or 1
        if not 1 <= chosen.times <= most:
            raise CallqaError(f"评分项 {item.item_id} 的选项 {code} 次数应为 1 到 {most}")


def _refuse_moments(given: EvaluationInput, duration_ms: int) -> None:
    moments = [(f"{i} {c}", d.at_ms) for i, options in given.deductions.items() for c, d in options.items()]
    moments += [(f.fatal_id, f.at_ms) for f in given.fatals] + [("评语", c.at_ms) for c in given.comments]
    for where, at_ms in moments:
        if at_ms is not None and not 0 <= at_ms <= duration_ms + 1000:
            raise CallqaError(f"{where} 的时间点 {say_offset(at_ms)} 超出录音长度 {say_offset(duration_ms)}")
