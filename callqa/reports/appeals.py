"""申诉 as a report counts them: every released score of the month's calls with its answer, every appeal with its outcome.

Everything here is counted whole, not sampled, so there are no intervals; a share of fewer than MIN_SHARE cases is given by
its counts alone. One lodging (次) is what an agent appealed of one score at one time, item by item (项).
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from callqa.scoring.evaluation import Outcome
from callqa.units import Ratio

MIN_SHARE = 5  # below it a percentage says more than is known
DAY_MS = 86_400_000


class Answer(StrEnum):
    """How a released score stands with its agent."""

    ACKNOWLEDGED = "acknowledged"  # 本人确认
    LAPSED = "lapsed"  # 逾期视为确认
    WAITING = "waiting"  # 确认期限内
    APPEALED = "appealed"  # 申诉中
    DECIDED = "decided"  # 由裁定定稿


class Verdict(StrEnum):
    """What became of one lodging as a whole."""

    REVISED = "revised"  # 全部改判
    PARTLY = "partly"
    UPHELD = "upheld"
    WITHDRAWN = "withdrawn"
    OPEN = "open"


VERDICT_LABELS = {
    Verdict.REVISED: "改判",
    Verdict.PARTLY: "部分改判",
    Verdict.UPHELD: "维持",
    Verdict.WITHDRAWN: "撤回",
    Verdict.OPEN: "待裁定",
}
DECIDED = (Verdict.REVISED, Verdict.PARTLY, Verdict.UPHELD)


@dataclass(frozen=True, slots=True)
class AppealedItem:
    """One item of a lodging. points: None where not applicable, and of a fatal item."""

    item_id: str
    reason: str
    outcome: Outcome
    points_before: float | None
    points_after: float | None
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class AppealScores:
    """A score before and after the decision, apart from every other change of it."""

    quality_before: float
    quality_after: float
    final_before: float
    final_after: float


@dataclass(frozen=True, slots=True)
class AppealCase:
    """One lodging. decide_by_ms: as long after it as the agent had to answer; None where no window was set.

    decided_at_ms: also of a withdrawal. scores: None before the decision.
    """

    call_id: str
    agent_no: str
    confidential: bool
    opened_at_ms: int
    decide_by_ms: int | None
    decided_at_ms: int | None
    decided_by: str
    alone: bool  # decided by who gave the points: there was no second person
    items: tuple[AppealedItem, ...]
    scores: AppealScores | None = None

    @property
    def verdict(self) -> Verdict:
        outcomes = {item.outcome for item in self.items}
        if Outcome.OPEN in outcomes:
            return Verdict.OPEN
        if outcomes == {Outcome.WITHDRAWN}:
            return Verdict.WITHDRAWN
        if Outcome.REVISED not in outcomes:
            return Verdict.UPHELD
        return Verdict.PARTLY if Outcome.UPHELD in outcomes else Verdict.REVISED

    @property
    def days(self) -> float | None:
        """From the appeal to its decision; None while it waits and where it was taken back."""
        if self.decided_at_ms is None or self.verdict not in DECIDED:
            return None
        return (self.decided_at_ms - self.opened_at_ms) / DAY_MS

    def is_late(self, now_ms: int) -> bool:
        """Whether the decision came, or is still to come, after decide_by_ms."""
        if self.decide_by_ms is None or self.verdict is Verdict.WITHDRAWN:
            return False
        return (now_ms if self.decided_at_ms is None else self.decided_at_ms) >= self.decide_by_ms


@dataclass(frozen=True, slots=True)
class MonthAppeals:
    """The released scores of a month's calls by answer, and what was appealed of them, oldest first.

    unreleased: submitted scores that no agent has seen yet.
    """

    answers: tuple[Answer, ...] = ()
    cases: tuple[AppealCase, ...] = ()
    unreleased: int = 0

    def said(self, answer: Answer) -> int:
        """How many released scores were answered so."""
        return sum(a is answer for a in self.answers)

    def share(self, answer: Answer) -> Ratio:
        """Of the released scores."""
        return Ratio(self.said(answer), len(self.answers))

    @property
    def appealed(self) -> Ratio:
        """Released scores that were appealed at all, however it ended."""
        return Ratio(len({case.call_id for case in self.cases}), len(self.answers))

    @property
    def decided(self) -> tuple[AppealCase, ...]:
        return tuple(case for case in self.cases if case.verdict in DECIDED)

    def ended(self, verdict: Verdict) -> int:
        """How many lodgings ended so."""
        return sum(case.verdict is verdict for case in self.cases)

    def of_decided(self, verdict: Verdict) -> Ratio:
        """Of the lodgings that somebody decided."""
        return Ratio(self.ended(verdict), len(self.decided))

    @property
    def days(self) -> tuple[float, ...]:
        """What each decision took."""
        return tuple(days for case in self.cases if (days := case.days) is not None)

    def late(self, now_ms: int) -> Ratio:
        """Of the lodgings that were decided or wait for it."""
        due = [case for case in self.cases if case.verdict is not Verdict.WITHDRAWN]
        return Ratio(sum(case.is_late(now_ms) for case in due), len(due))

    @property
    def alone(self) -> Ratio:
        return Ratio(sum(case.alone for case in self.decided), len(self.decided))

    @property
    def quality_changes(self) -> tuple[float, ...]:
        return tuple(sorted(s.quality_after - s.quality_before for c in self.decided if (s := c.scores)))

    @property
    def final_changes(self) -> tuple[float, ...]:
        return tuple(sorted(s.final_after - s.final_before for c in self.decided if (s := c.scores)))

    @property
    def items(self) -> tuple[AppealedItem, ...]:
        return tuple(item for case in self.cases for item in case.items)

    @property
    def revised_items(self) -> Ratio:
        return revised(self.items)


def revised(items: Iterable[AppealedItem]) -> Ratio:
    """改判 ÷ 已裁定, of items."""
    outcomes = Counter(item.outcome for item in items)
    return Ratio(outcomes[Outcome.REVISED], outcomes[Outcome.REVISED] + outcomes[Outcome.UPHELD])
