"""Gather a month's cases and corrective actions for the report: what the case library and the page of actions show."""

from collections.abc import Mapping

from sqlmodel import Session

from callqa.periods import Month
from callqa.reports.improving import ActionFact, CaseFact
from callqa.store.queries.coaching import ItemCount, actions_of, cases
from callqa.store.tables import Call
from callqa.units import Ratio


def gather_cases(session: Session, calls: Mapping[str, Call]) -> tuple[CaseFact, ...]:
    """Those of the library whose call is one of these, the exemplary first, oldest first."""
    kept = [case for case in reversed(cases(session)) if case.call_id in calls]
    return tuple(
        CaseFact(
            case.call_id,
            case.kind,
            case.title,
            case.lesson,
            case.item_id,
            tuple((str(line["speaker"]), str(line["text"])) for line in case.excerpt),
        )
        for case in sorted(kept, key=lambda case: case.kind)
    )


def gather_actions(session: Session, month: Month) -> tuple[ActionFact, ...]:
    """The month's, and earlier ones that were open when it began."""
    return tuple(
        ActionFact(
            month=line.action.month,
            agent_no=line.action.agent_no or "",
            item_id=line.action.item_id,
            text=line.action.text,
            due_on=line.action.due_on,
            state=line.action.state,
            last_note=line.notes[-1][0].text if line.notes else "",
            before=_ratio(line.before),
            after=_ratio(line.after),
        )
        for line in actions_of(session, month)
    )


def _ratio(count: ItemCount | None) -> Ratio | None:
    return None if count is None else Ratio(count.lost, count.scored)
