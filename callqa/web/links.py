"""待关联: calls whose ticket or agent a person has to say, with the reasons side by side."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from callqa.errors import CallqaError
from callqa.store.queries.people import agent_names
from callqa.store.queries.tickets import (
    calls_waiting_for_link,
    concerns_agent,
    count_waiting_for_link,
    unattributed_calls,
)
from callqa.usecases.attribute import attribute_by_person
from callqa.usecases.link import decide_link
from callqa.web.deps import (
    DbDep,
    NowDep,
    PersonDep,
    load_own_call,
    own_path,
    page,
    redirect,
    require,
)
from callqa.web.listing import ListView, read_page
from callqa.web.navigation import NavItem

router = APIRouter()
NAV = (NavItem("待关联", "/links", "links.view", "link"),)

PER_PAGE = 10  # each takes a third of a screen
MAX_UNATTRIBUTED = 50


@router.get("/links", dependencies=[require("links.view")])
def link_list(request: Request, person: PersonDep, db: DbDep) -> Response:
    """What waits for a person."""
    with db.read() as session:
        total = count_waiting_for_link(session, person.own_agent_no)
        view = ListView("/links", {}, "time", True, read_page(request.query_params.get("page", "")), total, PER_PAGE)
        waiting = calls_waiting_for_link(
            session, person.own_agent_no, offset=(view.page - 1) * PER_PAGE, limit=PER_PAGE
        )
        unknown = unattributed_calls(session, limit=MAX_UNATTRIBUTED) if person.can("calls.attribute") else ()
        names = agent_names(session)
    return page(request, "links/list.html", view=view, waiting=waiting, unknown=unknown, agents=names)


@router.post("/links/{call_id}", dependencies=[require("links.decide")])
def decide(
    call_id: str,
    person: PersonDep,
    db: DbDep,
    now_ms: NowDep,
    decision: Annotated[str, Form()],
    ticket_no: Annotated[str, Form(max_length=64)],
    next: Annotated[str, Form()] = "/links",
) -> Response:
    """Accept or reject one ticket for one call; any other ticket may be given by its number."""
    load_own_call(db, person, call_id)
    if decision not in ("accept", "reject"):
        raise CallqaError("请选择“关联”或“不是它”")
    back = own_path(next, "/links")
    ticket_no = ticket_no.strip()
    if person.own_agent_no is not None:
        with db.read() as session:
            known = concerns_agent(session, ticket_no, person.own_agent_no)
        if not known:  # linking must not be a way to read somebody else's ticket
            return redirect(back, f"没有工单 {ticket_no}，或它不是您受理的；请班长来关联", "danger")
    try:
        if decision == "accept":
            decide_link(db, call_id, ticket_no, decision="accept", actor=person.username, now_ms=now_ms)
        else:
            decide_link(db, call_id, ticket_no, decision="reject", actor=person.username, now_ms=now_ms)
    except CallqaError as e:
        return redirect(back, str(e), "danger")
    return redirect(back, f"已关联工单 {ticket_no}" if decision == "accept" else f"已记下：不是工单 {ticket_no}")


@router.post("/links/{call_id}/agent", dependencies=[require("calls.attribute")])
def attribute(
    call_id: str,
    person: PersonDep,
    db: DbDep,
    now_ms: NowDep,
    agent_no: Annotated[str, Form()],
    reason: Annotated[str, Form(max_length=200)] = "",
    next: Annotated[str, Form()] = "/links",
) -> Response:
    """Say by hand who took a call."""
    try:
        attribute_by_person(db, call_id, agent_no=agent_no, reason=reason, actor=person.username, now_ms=now_ms)
    except CallqaError as e:
        return redirect(own_path(next, "/links"), str(e), "danger")
    return redirect(own_path(next, "/links"), f"已指定为工号 {agent_no}")
