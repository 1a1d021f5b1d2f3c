"""What a 质检标准 consists of, as frozen values: sections, items, options, checks and what follows from them.

`scoring.rubric` reads them from YAML; `scoring.scorer` evaluates them. Nothing here reads text or decides.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from callqa.scoring.condition_tree import Condition
from callqa.scoring.lexicon import Lexicon, SoundRule
from callqa.units import CallType


class Level(StrEnum):
    """How a suggestion is shown."""

    PRESELECT = "preselect"  # 预选扣分
    HINT = "hint"  # 只作提示


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
