"""What chapter fourteen is made from beside the scores: the rules, findings with their second person, shifts, cases."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from callqa.reports.appeals import Answer
from callqa.scoring.assessment import AssessmentRules
from callqa.units import Ratio

NO_RULES = "没有考核规则，本章不作考核。"


@dataclass(frozen=True, slots=True)
class FatalCase:
    """A fatal finding that two people confirmed, in a final score of a call of the month, drawn or not."""

    agent_no: str
    call_label: str
    fatal_id: str
    at: str
    second: str


@dataclass(frozen=True, slots=True)
class Assessing:
    """rules None: there are none, and problem says why. seconds: who else found fault with an item, by call and item;
    past: grades by agent of the months before, latest first; answers: to the month's released scores."""

    rules: AssessmentRules | None = None
    problem: str = NO_RULES
    fatals: tuple[FatalCase, ...] = ()
    cases: Mapping[str, int] = field(default_factory=dict)
    shifts: Mapping[str, Ratio] = field(default_factory=dict)
    seconds: Mapping[tuple[str, str], str] = field(default_factory=dict)
    past: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    answers: Mapping[str, tuple[Answer, ...]] = field(default_factory=dict)
