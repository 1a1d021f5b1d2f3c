"""What a check looks for, as frozen values: uses of operators with who and where, joined by logic.

`scoring.conditions` reads it from YAML; `scoring.scorer` evaluates it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from callqa.scoring.lexicon import Lexicon
from callqa.speech import Speaker


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
