"""The scoring form in the order of the call: 开场, 通话中, 结束, 工单与流程. Pure.

A rubric groups its items by subject; who listens meets them in time. Where an item belongs follows from where its own
checks look, so a changed rubric needs nothing here. Within a stage the rubric's order stays.
"""

from dataclasses import dataclass
from enum import StrEnum

from callqa.scoring.condition_tree import Origin, Unit, operator_calls
from callqa.scoring.criteria import Item, Rubric
from callqa.units import CallType


class Stage(StrEnum):
    """Part of a call, in order."""

    OPENING = "开场"
    TALK = "通话中"
    CLOSING = "结束"
    TICKET = "工单与流程"


@dataclass(frozen=True, slots=True)
class StageItems:
    """One stage with its items, in order."""

    stage: Stage
    items: tuple[Item, ...]


def in_call_order(rubric: Rubric, call_type: CallType) -> tuple[StageItems, ...]:
    """The items that apply to a type of call, stage by stage; stages without items are left out."""
    items = rubric.items_for(call_type)
    staged = [StageItems(stage, tuple(i for i in items if stage_of(i) is stage)) for stage in Stage]
    return tuple(one for one in staged if one.items)


def stage_of(item: Item) -> Stage:
    """Where in the call this item is heard."""
    calls = [call for check in item.checks for call in operator_calls(check.condition)]
    scopes = [call.scope for call in calls]
    if calls and all(call.name.startswith("ticket_") for call in calls):
        return Stage.TICKET
    if any(s is not None and s.origin is Origin.END and s.unit is Unit.SECONDS for s in scopes):
        return Stage.CLOSING
    if scopes and all(s is not None and s.origin in (Origin.START, Origin.ANSWER) for s in scopes):
        return Stage.OPENING
    return Stage.TALK
