"""An evaluation as it is read: item by item with the rubric's text, what was deducted and where it is heard. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from callqa.scoring.criteria import Item, Rubric
from callqa.store.queries.evaluate import EvaluationView
from callqa.store.tables import Appeal, Deduction, EvaluationItem, FatalFinding
from callqa.units import CallType
from callqa.web.evaluate_flow import in_call_order


@dataclass(frozen=True, slots=True)
class SheetLine:
    """One item: its points (None: 不适用), the deductions with their labels, the appeal of it (the last one)."""

    item: Item
    points: float | None
    max_points: float
    deductions: tuple[tuple[str, Deduction], ...]
    appeal: Appeal | None

    @property
    def lost(self) -> bool:
        return self.points is not None and self.points < self.max_points


@dataclass(frozen=True, slots=True)
class FatalLine:
    """One fatal finding; it counts only when somebody confirmed it a second time."""

    fatal_id: str
    title: str
    finding: FatalFinding
    appeal: Appeal | None

    @property
    def counts(self) -> bool:
        return self.finding.second_confirmed_by is not None


@dataclass(frozen=True, slots=True)
class ScoreSheet:
    lines: tuple[SheetLine, ...]
    fatals: tuple[FatalLine, ...]

    @property
    def waiting_fatals(self) -> tuple[FatalLine, ...]:
        return tuple(fatal for fatal in self.fatals if fatal.finding.waits)

    @property
    def marks(self) -> list[dict[str, object]]:
        """Moments for the player: every deduction and finding that has one."""
        found: list[dict[str, object]] = []
        for line in self.lines:
            for label, row in line.deductions:
                if row.at_ms is not None:
                    found.append(_mark(row.at_ms, f"{line.item.item_id} {label}", fatal=False))
        for fatal in self.fatals:
            found.append(_mark(fatal.finding.at_ms, f"{fatal.fatal_id} {fatal.title}", fatal=True))
        return found


def _mark(at_ms: int, text: str, *, fatal: bool) -> dict[str, object]:
    return {"start_ms": at_ms, "end_ms": at_ms + 1500, "channel": None, "text": text, "fatal": fatal}


def score_sheet(view: EvaluationView, rubric: Rubric, appeals: Mapping[str, Appeal]) -> ScoreSheet:
    """The sheet of one evaluation. appeals: the last appeal by item."""
    call_type = CallType(view.call.call_type)
    lines = [
        _line(item, stored, view, appeals.get(item.item_id))
        for stage in in_call_order(rubric, call_type)
        for item in stage.items
        if (stored := view.items.get(item.item_id)) is not None
    ]
    titles = {f.fatal_id: f.title for f in rubric.fatal_items}
    fatals = [FatalLine(key, titles.get(key, key), row, appeals.get(key)) for key, row in sorted(view.fatals.items())]
    return ScoreSheet(tuple(lines), tuple(fatals))


def _line(item: Item, stored: EvaluationItem, view: EvaluationView, appeal: Appeal | None) -> SheetLine:
    labels = {option.code: option.label for option in item.options}
    taken = [
        (labels.get(code, code), row) for (item_id, code), row in view.deductions.items() if item_id == item.item_id
    ]
    points = None if stored.not_applicable else stored.points
    return SheetLine(item, points, stored.max_points, tuple(taken), appeal)
