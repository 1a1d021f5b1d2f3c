"""量化考核: the rules of a month's assessment as values, and what they make of one agent's facts. Pure.

Guards, which no file can turn off: only finalised scores; too few samples give coaching, no reward and no penalty; what is
taken away needs recording, instant, item and a second person; a tier counts only where the team's tiers truly differ;
no amount is worked out that the rules do not state. What this does not do: read the file (`assessment_text`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from callqa.units import Ratio, half_up


class Part(StrEnum):
    """分项 of the composite."""

    QUALITY = "quality_score"
    TICKETS = "ticket_pass_rate"
    SATISFACTION = "satisfaction_rate"
    PROCESS = "process_on_time"
    ATTENDANCE = "attendance"


PART_LABELS = {
    Part.QUALITY: "质检分",
    Part.TICKETS: "工单合格率",
    Part.SATISFACTION: "满意率",
    Part.PROCESS: "流程及时",
    Part.ATTENDANCE: "出勤",
}
FATAL_CODES = {"customer": "fatal_customer", "business": "fatal_business", "compliance": "fatal_compliance"}
CASE_CODE = "exemplary_case"


@dataclass(frozen=True, slots=True)
class Adjustment:
    """加减分. cap: the most it may come to, as far from 0 as it says; None without one."""

    code: str
    points: Decimal
    cap: Decimal | None
    label: str

    def total(self, times: int) -> Decimal:
        """The points of so many occurrences."""
        points = self.points * times
        if self.cap is None:
            return points
        return min(points, self.cap) if self.points > 0 else max(points, self.cap)


@dataclass(frozen=True, slots=True)
class Band:
    """等级 with its coefficient 绩效系数. amount: 元 as the rules state it; None where they state none."""

    minimum: Decimal
    label: str
    coefficient: Decimal
    amount: Decimal | None = None

    @property
    def takes_away(self) -> bool:
        return self.coefficient < 1 or (self.amount is not None and self.amount < 0)

    @property
    def gives(self) -> bool:
        return self.coefficient > 1 or (self.amount is not None and self.amount > 0)


class Asks(StrEnum):
    """What one atom of a measure's condition asks."""

    GRADE = "grade"  # label, for `times` months on end
    FATALS = "fatals"  # at least `times` this month
    FIRST_TIER = "first_tier"


@dataclass(frozen=True, slots=True)
class Atom:
    asks: Asks
    label: str = ""
    times: int = 1


@dataclass(frozen=True, slots=True)
class Measure:
    """措施. any_of: alternatives, each a row of atoms that must all hold."""

    when: str
    any_of: tuple[tuple[Atom, ...], ...]
    do: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AssessmentRules:
    """考核规则, one version. rules_hash: SHA-256 of the text. bands: best first."""

    title: str
    rules_hash: str
    window_months: int
    min_samples: int
    min_ratings: int
    weights: tuple[tuple[Part, Decimal], ...]
    max_score: Decimal
    adjustments: tuple[Adjustment, ...]
    bands: tuple[Band, ...]
    measures: tuple[Measure, ...]

    def adjustment(self, code: str) -> Adjustment | None:
        return next((each for each in self.adjustments if each.code == code), None)


@dataclass(frozen=True, slots=True)
class Evidence:
    """依据 of something taken away. at: place in the recording as printed; each is "" where it is not known."""

    call_label: str
    at: str
    item: str
    second: str
    points: str = ""

    @property
    def complete(self) -> bool:
        return bool(self.call_label and self.at and self.item and self.second)


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """One agent's month. window: comparable months there are of those asked for; due, open: sampled calls of the window,
    and those not finalised; quality: over the window; rates: of this month; times: occurrences by adjustment code;
    evidence: of every fatal finding and deduction that speaks against the agent; past_grades: the months before,
    latest first, None where nobody assessed."""

    agent_no: str
    window: int
    due: int
    open: int
    quality: Decimal | None
    rates: Mapping[Part, Ratio]
    times: Mapping[str, int]
    fatals: int
    tier: int | None
    tiers_differ: bool
    evidence: tuple[Evidence, ...] = ()
    past_grades: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Assessed:
    """What the rules make of it. held: why there is no assessment; "" where there is one.

    merged: parts without data, whose weight went to quality; lacking: pieces of evidence that are not complete;
    measures: also of a held penalty, whose coefficient and amount then do not apply.
    """

    held: str
    adjusted: Decimal = Decimal(0)
    composite: Decimal | None = None
    band: Band | None = None
    measures: tuple[str, ...] = ()
    merged: tuple[Part, ...] = ()
    lacking: int = 0

    @property
    def on_hold(self) -> bool:
        """Whether a penalty may not be carried out yet."""
        return self.band is not None and self.band.takes_away and self.lacking > 0


def assess(rules: AssessmentRules, facts: AgentFacts) -> Assessed:
    """Apply the rules to one agent."""
    held = _held(rules, facts)
    if held or facts.quality is None:
        return Assessed(held or "没有质检分")
    weights = dict(rules.weights)
    merged = tuple(part for part in weights if part is not Part.QUALITY and not _has_data(rules, facts, part))
    weights[Part.QUALITY] = weights.get(Part.QUALITY, Decimal(0)) + sum(weights.pop(part) for part in merged)
    score = weights.pop(Part.QUALITY) * facts.quality
    for part, weight in weights.items():
        rate = facts.rates[part]
        score += weight * Decimal(rate.numerator) * 100 / Decimal(rate.denominator)
    adjusted = sum((a.total(facts.times.get(a.code, 0)) for a in rules.adjustments), Decimal(0))
    composite = half_up(max(Decimal(0), min(rules.max_score, score + adjusted)), 1)
    band = next(band for band in rules.bands if composite >= band.minimum)
    measures = dict.fromkeys(
        do for measure in rules.measures if _applies(measure, band.label, facts) for do in measure.do
    )
    lacking = sum(not each.complete for each in facts.evidence) if facts.evidence else 1
    return Assessed("", adjusted, composite, band, tuple(measures), merged, lacking if band.takes_away else 0)


def _held(rules: AssessmentRules, facts: AgentFacts) -> str:
    if facts.window < rules.window_months:
        return f"可比数据只有 {facts.window} 个月（须 {rules.window_months} 个月），不作奖罚"
    if facts.due < rules.min_samples:
        return f"样本不足（{facts.due}/{rules.min_samples} 通），仅辅导"
    if facts.open:
        return f"还有 {facts.open} 份评分未定稿，暂不考核"
    return ""


def _has_data(rules: AssessmentRules, facts: AgentFacts, part: Part) -> bool:
    rate = facts.rates.get(part)
    least = rules.min_ratings if part is Part.SATISFACTION else 1
    return rate is not None and rate.denominator >= max(1, least)


def _applies(measure: Measure, grade: str, facts: AgentFacts) -> bool:
    return any(all(_holds(atom, grade, facts) for atom in atoms) for atoms in measure.any_of)


def _holds(atom: Atom, grade: str, facts: AgentFacts) -> bool:
    if atom.asks is Asks.FATALS:
        return facts.fatals >= atom.times
    if atom.asks is Asks.FIRST_TIER:
        return facts.tier == 1 and facts.tiers_differ
    months = (grade, *facts.past_grades)[: atom.times]
    return len(months) == atom.times and all(label == atom.label for label in months)


def tiers_differ(tiers: Sequence[int | None]) -> bool:
    """Whether anybody stands significantly behind the first."""
    return len({tier for tier in tiers if tier is not None}) > 1
