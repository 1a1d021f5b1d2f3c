"""定向必检: the list with reasons and deadlines, apart from the random sample."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from callqa.errors import RubricError
from callqa.periods import Month
from callqa.scoring.evaluation import STATUS_LABELS
from callqa.scoring.plan import SamplingPlan
from callqa.scoring.plan_text import parse_plan
from callqa.store.queries import sampling as queries
from callqa.store.queries.people import agent_names
from callqa.usecases.blind import asked_again
from callqa.usecases.must_review import must_review
from callqa.web.deps import DbDep, NowDep, PersonDep, SettingsDep, page, require
from callqa.web.navigation import NavItem

router = APIRouter(prefix="/must-review")
NAV = (NavItem("定向必检", "/must-review", "evaluate.view", "alert", group="质检"),)


@router.get("", dependencies=[require("evaluate.view")])
def must_review_list(
    request: Request, db: DbDep, person: PersonDep, settings: SettingsDep, now_ms: NowDep, month: str = ""
) -> Response:
    """The calls of a month that must be reviewed, the earliest due first.

    Where a card may be blind no reason is said, whosever it is: with the others shown, the machine's would be what is missing.
    """
    period = Month.parse(month) if month else Month.of(now_ms)
    with db.read() as session:
        frame = queries.active_frame(session, str(period))
        plan = _plan(frame.plan_json if frame else None, settings)
        demo = frame.demo if frame else settings.demo
        rows = must_review(session, period, plan, demo=demo, now_ms=now_ms) if plan else ()
        names = agent_names(session)
        may_be_blind = queries.waiting_cards(session, [row.call.call_id for row in rows])
        again = asked_again(session, now_ms) if person.can("evaluate.score") else frozenset()
    waiting = [row for row in rows if row.evaluation is None]
    return page(
        request,
        "reviews/must.html",
        month=period,
        rows=rows,
        plan=plan,
        waiting=len(waiting),
        overdue=sum(row.due_ms <= now_ms for row in waiting),
        late=sum(not all(row.on_time(t) for t in row.triggers) for row in rows if row.evaluation is not None),
        agents=names,
        may_be_blind=may_be_blind,
        asked_again=again,
        status_labels=STATUS_LABELS,
    )


def _plan(frozen: str | None, settings: SettingsDep) -> SamplingPlan | None:
    """The frozen plan of the month, or the one in the scorecards folder; None where there is none to read."""
    try:
        text = frozen or (settings.scorecards_dir / "sampling.yaml").read_text(encoding="utf-8")
        return parse_plan(text)
    except (OSError, RubricError):
        return None
