"""What a month's report tells for the next: cases worth hearing, and corrective actions with what became of them."""

from dataclasses import dataclass

from callqa.units import Ratio


@dataclass(frozen=True, slots=True)
class CaseFact:
    """典型案例. kind: exemplary | problem; lines: (speaker, text), redacted when the case was kept."""

    call_id: str
    kind: str
    title: str
    lesson: str
    item_id: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ActionFact:
    """整改. month: YYYY-MM of the scores it follows from. before, after: scores where the item lost points, in that month
    and the next; None without an item. agent_no: "" for the whole team."""

    month: str
    agent_no: str
    item_id: str
    text: str
    due_on: str
    state: str  # open | done | dropped
    last_note: str
    before: Ratio | None
    after: Ratio | None
