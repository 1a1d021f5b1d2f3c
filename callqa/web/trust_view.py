"""Figures of the trust pages in words. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from callqa.scoring.trust import Figures, shown

COLUMNS = (("observed", "一致率"), ("ac1", "AC1"), ("kappa", "κ"), ("precision", "查准率"), ("recall", "查全率"))


@dataclass(frozen=True, slots=True)
class FigureCell:
    """One figure: its value, and its 95% interval or "" where there is none."""

    name: str
    value: str
    interval: str
    low: bool  # below the threshold of the rule, where the rule looks at it


def figure_cells(figures: Figures, threshold: float) -> Sequence[FigureCell]:
    """The five figures of a table."""
    cells = []
    for key, name in COLUMNS:
        value = getattr(figures.agreement, key)
        interval = figures.intervals.get(key)
        low = key in ("ac1", "precision") and value is not None and value < threshold
        cells.append(
            FigureCell(
                name,
                "—" if value is None else shown(value) if low else _signed(value),
                f"{_signed(interval[0])} 至 {_signed(interval[1])}"
                if interval is not None and value is not None
                else "",
                low,
            )
        )
    return cells


def _signed(value: float) -> str:
    """Two decimals, with a real minus sign, and none before a zero."""
    text = f"{value:.2f}"
    return text.lstrip("-") if not float(text) else text.replace("-", "−")
