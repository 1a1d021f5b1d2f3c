"""The row of an operator in the registry: its name, its parameters and what works it out."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from callqa.scoring.condition_tree import OperatorCall
from callqa.scoring.operators.finding import Finding
from callqa.scoring.operators.scene import Scene
from callqa.scoring.operators.wording import ROLE_LABELS, describe_place


class ParamKind(StrEnum):
    """What a parameter of the rubric may be."""

    NUMBER = "number"
    WHOLE = "whole"
    FLAG = "flag"
    CHOICE = "choice"
    CHOICES = "choices"
    PATTERN = "pattern"
    WORDS = "words"
    GROUPS = "groups"
    LEXICON = "lexicon"
    PHRASES = "phrases"
    BACKCHANNEL = "backchannel"


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """One parameter of an operator. choices: what CHOICE and CHOICES may hold. minimum, maximum: of a number."""

    name: str
    kind: ParamKind
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


Evaluate = Callable[[OperatorCall, Scene], Finding]


@dataclass(frozen=True, slots=True)
class Operator:
    """算子: one row of the registry. at_least_one: parameters of which one at least must be given.

    meaning: what a hit means, in Chinese. describe_params: the parameters of one use in Chinese words.
    """

    name: str
    label: str
    kind: str  # text | voice | call | ticket
    params: tuple[ParamSpec, ...]
    meaning: str
    evaluate: Evaluate
    describe_params: Callable[[OperatorCall], str]
    at_least_one: tuple[str, ...] = ()

    def param(self, name: str) -> ParamSpec | None:
        """The parameter with this name."""
        return next((spec for spec in self.params if spec.name == name), None)

    def describe(self, call: OperatorCall) -> str:
        """One use in Chinese: who, where, what."""
        if self.kind in ("call", "ticket"):
            return f"{self.label}：{self.describe_params(call)}"
        return f"{ROLE_LABELS[call.role]}，{describe_place(call)}，{self.label}：{self.describe_params(call)}"
