"""Which checks of a rubric compare a call with its ticket, and which limits it sets between two steps of the process.

Only a check that is one bare operator says it plainly; one inside a combination stands for the combination.
"""

from collections.abc import Iterator, Mapping

from callqa.scoring.condition_tree import OperatorCall
from callqa.scoring.criteria import Check, Rubric

LINKED = "ticket_linked"  # the field name of checks for a ticket at all


def comparing_checks(rubric: Rubric) -> Mapping[str, str]:
    """Check id -> the one ticket field it compares with what was said; LINKED where it asks for a ticket at all."""
    found: dict[str, str] = {}
    for check, call in _bare(rubric):
        fields = call.params.texts("fields")
        if call.name == "ticket_match" and len(fields) == 1:
            found[check.check_id] = fields[0]
        elif call.name == "ticket_linked" and call.params.flag("required", True):
            found[check.check_id] = LINKED
    return found


def step_limits(rubric: Rubric) -> Mapping[tuple[str, str], int]:
    """(from, to) as the rubric names process times -> milliseconds; the shortest where several checks say one."""
    found: dict[tuple[str, str], int] = {}
    for _, call in _bare(rubric):
        if call.name == "ticket_time":
            step = (call.params.text("from"), call.params.text("to"))
            limit_ms = round(call.params.number("max_minutes") * 60_000)
            found[step] = min(limit_ms, found.get(step, limit_ms))
    return found


def _bare(rubric: Rubric) -> Iterator[tuple[Check, OperatorCall]]:
    items = (check for item in rubric.items for check in item.checks)
    fatals = (check for fatal in rubric.fatal_items for check in fatal.checks)
    for check in (*items, *fatals):
        if isinstance(check.condition, OperatorCall):
            yield check, check.condition
