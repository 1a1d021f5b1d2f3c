"""What a 质检标准 consists of, as frozen values: sections, items, options, checks and their conditions.

`scoring.rubric` reads them from YAML; `scoring.scorer` evaluates them. Nothing here reads text or decides.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from callqa.scoring.lexicon import Lexicon, SoundRule
from callqa.speech import Speaker
from callqa.units import CallType


class Role(StrEnum):
    """Whose words a check looks at."""

    AGENT = "agent"
    CITIZEN = "citizen"
    ANY = "any"

    @property
    def speaker(self) -> Speaker | None:
        """The one speaker, or None for both."""
        return None if self is Role.ANY else Speaker(self.value)


class Origin(StrEnum):
    """Where a scope is counted from."""

    START = "start"  # the role's first words
    END = "end"  # back from the last words of the call
    ANSWER = "answer"  # the answer, 接通


class Unit(StrEnum):
    """What a scope or a distance is counted in."""

    SECONDS = "s"
    UTTERANCES = "utt"
    RATIO = "ratio"


class Where(StrEnum):
    """Where to look, seen from an anchor."""

    BEFORE = "before"
    AFTER = "after"
    AROUND = "around"
    SAME = "same"


class Level(StrEnum):
    """How a suggestion is shown."""

    PRESELECT = "preselect"  # 预选扣分
    HINT = "hint"  # 只作提示


@dataclass(frozen=True, slots=True)
class Scope:
    """Part of a call: the first or last `within` seconds, utterances, or share of it."""

    origin: Origin
    unit: Unit
    within: float


@dataclass(frozen=True, slots=True)
class Reach:
    """How far from an anchor to look: so many utterances or seconds."""

    unit: Unit
    amount: float


@dataclass(frozen=True, slots=True)
class Backchannel:
    """附和语: agent speech no longer than max_s, or of these words alone, is no interruption."""

    max_s: float = 0.0
    words: tuple[str, ...] = ()


ParamValue = str | bool | float | Lexicon | Backchannel | tuple[str, ...] | tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Params:
    """An operator's checked parameters. Readers raise KeyError only where the loader failed to check."""

    entries: tuple[tuple[str, ParamValue], ...] = ()

    def get(self, name: str) -> ParamValue | None:
        """A parameter, or None when the rubric does not give it."""
        return next((value for key, value in self.entries if key == name), None)

    def number(self, name: str, default: float | None = None) -> float:
        """A number; `default` when it is not given."""
        value = self.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise KeyError(name)
        return float(value)

    def optional_number(self, name: str) -> float | None:
        """A number, or None when it is not given."""
        return None if self.get(name) is None else self.number(name)

    def text(self, name: str, default: str = "") -> str:
        """A text; `default` when it is not given."""
        value = self.get(name)
        return value if isinstance(value, str) else default

    def flag(self, name: str, default: bool) -> bool:
        """A yes or no; `default` when it is not given."""
        value = self.get(name)
        return value if isinstance(value, bool) else default

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, empty when it is not given."""
        value = self.get(name)
        return tuple(text for text in value if isinstance(text, str)) if isinstance(value, tuple) else ()

    def groups(self, name: str) -> tuple[tuple[str, ...], ...]:
        """A list of lists of texts."""
        value = self.get(name)
        return tuple(group for group in value if isinstance(group, tuple)) if isinstance(value, tuple) else ()

    def lexicon(self) -> Lexicon:
        """The words to look for, from `lexicon` or `words`."""
        value = self.get("lexicon")
        return value if isinstance(value, Lexicon) else Lexicon("", self.texts("words"))

    def backchannel(self, name: str) -> Backchannel:
        """The 附和语 rule; by default none."""
        value = self.get(name)
        return value if isinstance(value, Backchannel) else Backchannel()


@dataclass(frozen=True, slots=True)
class OperatorCall:
    """One use of one operator. scope None = the whole call; an anchored one looks around another's hit instead."""

    name: str
    params: Params = Params()
    role: Role = Role.ANY
    scope: Scope | None = None
    alias: str | None = None
    anchor: str | None = None
    where: Where | None = None
    reach: Reach | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class AllOf:
    """Hit where every term is (`scorer._all`)."""

    terms: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Hit where one term is; where none is, one that could not be judged keeps the whole unjudged (`scorer._any`)."""

    terms: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Hit and miss change places; what could not be judged stays so."""

    term: "Condition"


@dataclass(frozen=True, slots=True)
class CallIs:
    """A fact of the call has this value: {call: {disposition: dropped}}, {call_type: callback}."""

    field: str
    value: str | bool


@dataclass(frozen=True, slots=True)
class TicketIs:
    """A field of the linked ticket has this value: {ticket: {urgent_flag: true}}."""

    field: str
    value: str | bool


@dataclass(frozen=True, slots=True)
class Constant:
    """`true` or `false` in the rubric: always hit, or never."""

    value: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """What a stored version says and today's rules refuse: never evaluated, never judged. why: Chinese, with the line."""

    why: str


Condition = OperatorCall | AllOf | AnyOf | Not | CallIs | TicketIs | Constant | Refused


def operator_calls(condition: Condition) -> Iterator[OperatorCall]:
    """Every use of an operator inside a condition, in order."""
    if isinstance(condition, OperatorCall):
        yield condition
    elif isinstance(condition, (AllOf, AnyOf)):
        for term in condition.terms:
            yield from operator_calls(term)
    elif isinstance(condition, Not):
        yield from operator_calls(condition.term)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a hit or a miss suggests: an option of the item, a fatal item, or both."""

    option_code: str | None = None
    fatal_id: str | None = None
    level: Level = Level.PRESELECT
    min_occurrences: int = 1


@dataclass(frozen=True, slots=True)
class Check:
    """质检规则: a condition and what its hit or miss suggests. item_id is the item's, or the fatal item's."""

    check_id: str
    item_id: str
    condition: Condition
    when: Condition | None = None
    on_hit: Outcome | None = None
    on_miss: Outcome | None = None
    calibrate: bool = False
    line: int = 0


@dataclass(frozen=True, slots=True)
class Option:
    """扣分选项. max_times: how often it may count in one call (1 for per = call)."""

    code: str
    label: str
    points: Decimal
    per: str = "call"  # call | occurrence
    max_times: int = 1
    exclusive: bool = False

    def together(self, times: Iterable[int]) -> int:
        """How often it counts where several checks suggest it. Each counts events that no other one does (`scorer`)."""
        return min(self.max_times, sum(times))


@dataclass(frozen=True, slots=True)
class Item:
    """评分项."""

    item_id: str
    title: str
    max_points: Decimal
    applies_to: tuple[CallType, ...]
    critical: str
    standard: str
    options: tuple[Option, ...]
    na_when: Condition | None
    auto: str  # full | assist | none
    checks: tuple[Check, ...]
    section_id: str
    line: int = 0

    def option(self, code: str) -> Option:
        """The option with this code. KeyError when there is none."""
        for option in self.options:
            if option.code == code:
                return option
        raise KeyError(code)


@dataclass(frozen=True, slots=True)
class Section:
    """评分大类."""

    section_id: str
    title: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class FatalItem:
    """致命项，一票否决."""

    fatal_id: str
    title: str
    critical: str
    applies_to: tuple[CallType, ...]
    auto: str
    checks: tuple[Check, ...]
    line: int = 0


@dataclass(frozen=True, slots=True)
class Grade:
    """等级: from `minimum` points on."""

    code: str
    label: str
    minimum: Decimal


@dataclass(frozen=True, slots=True)
class FatalPolicy:
    """What a confirmed fatal item does to the final score: zero, or cap at cap_score."""

    mode: str
    cap_score: Decimal
    confirmed_by: tuple[str, ...]
    second_confirm: bool


@dataclass(frozen=True, slots=True)
class EvidenceRule:
    """When a deduction must carry a time and words."""

    min_points: Decimal
    fatal: bool
    critical: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scoring:
    """How points become scores. grades: highest first."""

    item_floor: Decimal
    na_warn_ratio: Decimal
    decimals: int
    pass_line: Decimal
    grades: tuple[Grade, ...]
    fatal_policy: FatalPolicy
    evidence_required: EvidenceRule


@dataclass(frozen=True, slots=True)
class Gate:
    """Below this the machine does not judge (待人工)."""

    min_asr_confidence: float = 0.60
    min_channel_speech_s: float = 3.0
    require_two_channels: bool = True


@dataclass(frozen=True, slots=True)
class CallTypeRow:
    """通话类型 as the rubric names it."""

    call_type: CallType
    label: str
    description: str


@dataclass(frozen=True, slots=True)
class Example:
    """计分示例: what the sums must give."""

    name: str
    call_type: CallType
    not_applicable: tuple[str, ...]
    deductions: tuple[tuple[str, tuple[str, ...]], ...]
    confirmed_fatals: tuple[str, ...]
    quality_score: Decimal
    final_score: Decimal
    grade: str


@dataclass(frozen=True, slots=True)
class Rubric:
    """质检标准, one version. rubric_hash: SHA-256 of the text it was read from."""

    rubric_id: str
    version: int
    title: str
    rubric_hash: str
    full_score: Decimal
    call_types: tuple[CallTypeRow, ...]
    scoring: Scoring
    gate: Gate
    sound: SoundRule
    critical_classes: tuple[tuple[str, str], ...]
    lexicons: tuple[Lexicon, ...]
    required_phrases: tuple[tuple[str, tuple[str, ...]], ...]
    sections: tuple[Section, ...]
    fatal_items: tuple[FatalItem, ...]
    examples: tuple[Example, ...] = ()

    @property
    def items(self) -> tuple[Item, ...]:
        """All items in the order of the text."""
        return tuple(item for section in self.sections for item in section.items)

    def item(self, item_id: str) -> Item:
        """The item with this id. KeyError when there is none."""
        for item in self.items:
            if item.item_id == item_id:
                return item
        raise KeyError(item_id)

    def items_for(self, call_type: CallType) -> tuple[Item, ...]:
        """The items that apply to a type of call."""
        return tuple(item for item in self.items if call_type in item.applies_to)

    def fatal_items_for(self, call_type: CallType) -> tuple[FatalItem, ...]:
        """The fatal items that apply to a type of call."""
        return tuple(fatal for fatal in self.fatal_items if call_type in fatal.applies_to)

    def lexicon(self, name: str) -> Lexicon:
        """The word list with this name. KeyError when there is none."""
        for lexicon in self.lexicons:
            if lexicon.name == name:
                return lexicon
        raise KeyError(name)
