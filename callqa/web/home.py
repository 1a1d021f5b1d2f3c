"""工作台: this month at a glance, the sample at work on, what waits for a person, what is broken, and the next call to score."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from callqa.periods import Month
from callqa.store.queries.calls import CallFilter, list_calls
from callqa.store.queries.evaluate import drawn_queue, pending_fatals
from callqa.store.queries.figures import month_figures, samples_at_work, stage_counts, troubles
from callqa.store.queries.followups import count_open
from callqa.store.queries.people import set_up
from callqa.store.queries.reviews import count_open_appeals, waiting_for_answer
from callqa.store.queries.tickets import count_unattributed, count_waiting_for_link
from callqa.usecases.health import disk_state, model_state
from callqa.web.deps import DbDep, NowDep, PersonDep, SettingsDep, page, require
from callqa.web.evaluate_queue import progress_of
from callqa.web.live_socket import find_board
from callqa.web.navigation import NavItem

router = APIRouter()
NAV = (NavItem("工作台", "/", "home.view", "home"),)

RECENT_CALLS = 8


@router.get("/", dependencies=[require("home.view")])
def home(request: Request, person: PersonDep, db: DbDep, settings: SettingsDep, now_ms: NowDep) -> Response:
    """The first page after signing in; what it shows depends on the role."""
    month = Month.of(now_ms)
    own = person.own_agent_no
    with db.read() as session:
        figures = month_figures(session, month.start_ms, month.end_ms, own if person.can("calls.view") else None)
        setup = set_up(session) if person.can("people.edit") else None
        samples = samples_at_work(session, month) if person.can("sampling.view") else ()
        begun = [s.month for s in samples if s.figures and s.figures.scored] if person.can("evaluate.view") else []
        queues = {each: drawn_queue(session, str(each))[1] for each in begun}
        waiting_links = count_waiting_for_link(session, own) if person.can("links.view") else 0
        waiting_agents = count_unattributed(session) if person.can("calls.attribute") else 0
        waiting_appeals = count_open_appeals(session) if person.can("evaluate.decide") else 0
        waiting_fatals = len(pending_fatals(session)) if person.can("evaluate.view") else 0
        own_answers = len(waiting_for_answer(session, person.session.agent_no or "", now_ms)) if own is not None else 0
        waiting_followups = count_open(session) if person.can("followups.view") else 0
        wanted = CallFilter(start_ms=month.start_ms, end_ms=month.end_ms, own_agent_no=own)
        recent = list_calls(session, wanted, offset=0, limit=RECENT_CALLS) if person.can("calls.view") else ()
        stages = stage_counts(session) if person.can("system.view") else ()
        stuck = troubles(session, limit=5) if person.can("system.view") else ()
    running = person.can("system.view") or person.can("live.view")
    return page(
        request,
        "home/home.html",
        month=month,
        figures=figures,
        setup=setup if setup and (person.can("accounts.manage") or not setup.complete) else None,
        samples=samples,
        paces={each: progress_of([row for row in rows if row.is_done]) for each, rows in queues.items()},
        waiting_links=waiting_links,
        waiting_agents=waiting_agents,
        waiting_followups=waiting_followups,
        waiting_appeals=waiting_appeals,
        waiting_fatals=waiting_fatals,
        own_answers=own_answers,
        recent=recent,
        stages=stages,
        stuck=stuck,
        board=find_board(settings.live_socket) if running else None,
        shows_machine=running,
        model=model_state(settings.model_dir) if person.can("system.view") else None,
        disk=disk_state(settings.recordings_dir) if person.can("system.view") else None,
    )
