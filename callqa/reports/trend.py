"""An agent's own months: the mean of the quality score with its interval, as sampling.md §5 has it. No rank, nobody else. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from callqa.periods import Month
from callqa.reports.document import Figure, FigureKind, Series
from callqa.reports.facts import MonthSample
from callqa.reports.results import agent_estimates, quality
from callqa.scoring.statistics import BASIS_NOTES, Estimate


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One month of one agent. due: sampled calls; waiting: of these not published yet, and no estimate before they are.

    new_rubric: scored by another version than the month before; partial: frozen before the month was over.
    """

    month: Month
    due: int
    waiting: int
    estimate: Estimate | None
    new_rubric: bool = False
    partial: bool = False

    @property
    def note(self) -> str:
        """Why there is no figure or no interval, and what not to compare."""
        notes = []
        if self.waiting:
            notes.append(f"抽检 {self.due} 通，还有 {self.waiting} 通没有发布，全部发布后再算")
        if self.estimate is not None:
            notes += [BASIS_NOTES[self.estimate.basis].split("、不参与排名")[0], *self.estimate.notes[1:]]
        if self.new_rubric:
            notes.append("评分标准换版，不与前月相比")
        if self.partial:
            notes.append("冻结时本月未完")
        return "；".join(filter(None, notes))


def own_trend(samples: Sequence[MonthSample], agent_no: str, published: Collection[str]) -> tuple[TrendPoint, ...]:
    """The months that the agent has sampled calls of, oldest first. published: states in which an agent sees a score.

    The interval rests on the team's pooled variances (§5.2), as in the monthly report, so both say the same.
    """
    points: list[TrendPoint] = []
    rubrics: frozenset[str] | None = None
    for sample in sorted(samples, key=lambda s: str(s.month)):
        own = [call for call in sample.sampled if call.agent_no == agent_no]
        if not own:
            continue
        waiting = sum(call.score is None or call.score.status not in published for call in own)
        estimate = None if waiting else agent_estimates(sample, quality).get(agent_no)
        used = frozenset(call.score.rubric_hash for call in own if call.score is not None)
        changed = rubrics is not None and used != rubrics and not waiting
        points.append(TrendPoint(sample.month, len(own), waiting, estimate, changed, sample.partial))
        rubrics = rubrics if waiting else used
    return tuple(points)


def trend_figure(points: Sequence[TrendPoint]) -> Figure | None:
    """The months with a figure as points with intervals; None where there is none yet."""
    shown = [(p.month.label, p.estimate) for p in points if p.estimate is not None and p.estimate.value is not None]
    if not shown:
        return None
    series = Series(
        "质量分",
        tuple(e.value for _, e in shown),
        tuple(e.low for _, e in shown),
        tuple(e.high for _, e in shown),
    )
    return Figure(
        no="",
        title="近几个月的质量分",
        kind=FigureKind.FOREST,
        categories=tuple(label for label, _ in shown),
        series=(series,),
        unit="分",
        maximum=100,
    )
