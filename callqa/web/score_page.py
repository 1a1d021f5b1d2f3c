"""One score as it is read, by the agent (我的质检) and by the leader (发布与申诉): what both pages show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from callqa.errors import CallqaError
from callqa.scoring.criteria import Rubric
from callqa.scoring.evaluation import OUTCOME_LABELS, STATUS_LABELS
from callqa.store.db import Database
from callqa.store.queries.coaching import notes_of
from callqa.store.queries.reviews import ReviewPage
from callqa.web.deps import get_person, page, state_of
from callqa.web.fields import refused_status
from callqa.web.score_sheet import score_sheet


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A form that was not taken. problem: why; typed: what stood in it."""

    problem: str = ""
    typed: Mapping[str, str] = field(default_factory=dict)
    status: int = 200

    @classmethod
    def of(cls, error: CallqaError, typed: Mapping[str, str]) -> "GivenBack":
        """As the error says."""
        return cls(str(error), typed, refused_status(error))


AS_STORED = GivenBack()


def rubric_of(request: Request, db: Database, found: ReviewPage) -> Rubric:
    """The rubric the score was given by."""
    return state_of(request).rubrics.load(db, found.view.evaluation.rubric_hash)


def score_page(
    request: Request, db: Database, template: str, found: ReviewPage, given: GivenBack, **more: Any
) -> Response:
    """Render a page of one score. more: what this template has beyond the other."""
    rubric = rubric_of(request, db, found)
    # An agent reads what was written to them: not to whom the call was attributed, and the score released, before.
    since_ms = 0 if get_person(request).own_agent_no is None else found.view.evaluation.released_at_ms or 0
    with db.read() as session:
        notes = notes_of(session, found.view.evaluation.id or 0, since_ms)
    return page(
        request,
        template,
        status_code=given.status,
        found=found,
        view=found.view,
        sheet=score_sheet(found.view, rubric, {row.item_id: row for row in found.appeals}),
        rubric=rubric,
        notes=notes,
        problem=given.problem,
        typed=given.typed,
        status_labels=STATUS_LABELS,
        outcome_labels=OUTCOME_LABELS,
        **more,
    )
