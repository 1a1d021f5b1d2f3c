"""An agent opens nothing of anybody else's, by any address: every route that names an object has a rule here.

A new route with a place in its path fails `test_every_route_with_an_object_has_a_rule` until it says whose it is.
"""

import re

import pytest
from fastapi.routing import APIRoute

from callqa.web.permissions import PERMISSIONS, Role
from tests.web.released import OTHER_CALL, OTHER_TICKET, OWN_CALL, Scored, release_both
from tests.web.routes import all_routes

# What stands for {place} when an agent asks for somebody else's.
OTHERS = {
    "call_id": OTHER_CALL,
    "evaluation_id": "{other}",
    "ticket_no": OTHER_TICKET,
}
# Places that name nothing of one agent. Why each may be open to all agents, or is closed by its permission alone.
NOBODYS = {
    "followup_id": "未接来电是全班的待办，没有坐席",
    "month": "只有班长、监督员",
    "version": "只有班长、监督员",
    "name": "只有班长、监督员",
    "import_id": "只有班长、管理员",
    "agent_no": "只有班长、管理员",
    "extension": "只有班长、管理员",
    "account_id": "只有管理员",
    "finding_id": "只有监督员",
    "session_id": "只有班长、监督员",
    "candidate_id": "词表，只有班长",
    "rubric_hash": "评分标准不属于任何人",
    "trial_id": "试评，只有班长、监督员",
    "action_id": "只有班长",
    "case_id": "只有班长能移出",
    "note_id": "只在本人的评分之下",
}
OPEN_TO_AGENTS = {"followup_id", "rubric_hash"}  # of those, what an agent may open


def places(route: APIRoute) -> list[str]:
    return re.findall(r"{(\w+)", route.path)


def roles(route: APIRoute) -> set[str]:
    named = [d.call.permission for d in route.dependant.dependencies if hasattr(d.call, "permission")]
    return set.intersection(*(set(PERMISSIONS[name]) for name in named)) if named else set(Role)


def test_every_route_with_an_object_has_a_rule() -> None:
    unknown = {p for route in all_routes() for p in places(route)} - set(OTHERS) - set(NOBODYS)
    assert not unknown, f"say in tests/web/test_rights.py whose these are: {sorted(unknown)}"
    for route in all_routes():
        for place in places(route):
            if place in NOBODYS and place not in OPEN_TO_AGENTS:
                others = set(places(route)) & set(OTHERS)
                assert others or Role.AGENT not in roles(route), f"{route.path} is open to agents"


@pytest.fixture
def scored(database, month, accounts) -> Scored:
    return release_both(database, accounts["shift_leader"])


def test_an_agent_opens_nothing_of_another_by_any_route(browser, scored):
    client = browser("agent")
    asked = 0
    for route in all_routes():
        if not set(places(route)) & set(OTHERS):
            continue
        path = route.path
        for place in places(route):
            path = path.replace("{" + place + "}", OTHERS.get(place, "1").replace("{other}", str(scored.other)))
        for method in sorted(route.methods):
            answer = client.request(method, path, data={"version": "1"} if method == "POST" else None)
            if route.path.startswith("/api/live/"):  # the recorder is not there: nothing can be of anybody's
                assert answer.status_code in (303, 403), path
                continue
            assert answer.status_code in (403, 404, 400), f"{method} {path}: {answer.status_code}"
            if answer.status_code == 400:  # a field was asked for first: nothing is told either
                assert "填写有误" in answer.text, path
            assert "你烦不烦" not in answer.text and "宝丰" not in answer.text
            asked += 1
    assert asked >= 15


def test_the_same_routes_open_for_the_own(browser, scored):
    client = browser("agent")
    for path in (
        f"/calls/{OWN_CALL}",
        f"/calls/{OWN_CALL}/audio",
        f"/calls/{OWN_CALL}/peaks.json",
        f"/mine/{scored.own}",
        "/tickets/SW202611070112",
    ):
        assert client.get(path).status_code == 200, path


def test_lists_show_an_agent_only_the_own(browser, scored):
    client = browser("agent")
    for path in ("/", "/mine", "/calls?month=2026-11", "/tickets?month=2026-11", "/links", f"/mine/{scored.own}"):
        html = client.get(path).text
        for foreign in (OTHER_CALL, OTHER_TICKET, f"/mine/{scored.other}", "宝丰"):
            assert foreign not in html, f"{foreign} on {path}"
    assert f"/mine/{scored.own}" in client.get("/mine").text


def test_linking_by_number_is_no_way_to_anothers_ticket(browser, scored):
    client = browser("agent")
    answer = client.post(f"/links/{OWN_CALL}", data={"decision": "accept", "ticket_no": OTHER_TICKET})
    assert answer.status_code == 303
    assert "请班长来关联" in client.get(answer.headers["location"]).text
    assert client.get(f"/tickets/{OTHER_TICKET}").status_code == 403


def test_what_is_not_released_is_not_there_for_its_agent(browser, month, accounts, database):
    from tests.web.released import submit_score

    evaluation_id = submit_score(database, OWN_CALL, accounts["shift_leader"])
    client = browser("agent")
    answer = client.get(f"/mine/{evaluation_id}")
    assert answer.status_code == 403 and "没有发布" in answer.text
    assert "没有复述" not in client.get(f"/calls/{OWN_CALL}").text
    assert f"/mine/{evaluation_id}" not in client.get("/mine").text


@pytest.mark.parametrize("role", ["shift_leader", "client_supervisor"])
def test_a_number_that_nothing_has_is_an_answer_and_no_fault(browser, scored, role):
    """In the address or in a form: not there, not allowed, or asked for again; never an internal error."""
    client = browser(role)
    words = {"version": "1", "text": "字", "month": "2026-11", "due_on": "2026-12-01", "reason": "x", "step": "note"}
    asked = 0
    for route in all_routes():
        if not places(route) or route.path.startswith(("/api/live/", "/live/")):
            continue
        for number in ("999999", "2147483648", "9" * 30, "9" * 5000):
            path = re.sub(r"{(\w+)[^}]*}", number, route.path)
            for method in route.methods:
                answer = client.request(
                    method, path, data=words if method == "POST" else None
                )  # raises what is not answered
                assert answer.status_code < 500, (method, path)
                asked += 1
    assert asked > 200
    if role == "shift_leader":
        for number in ("999999", "9" * 30):
            for path in ("/reviews/release", "/reviews/finalize", "/actions"):
                answer = client.post(path, data={**words, "evaluation_id": number})
                assert answer.status_code < 500, path
        assert "所据评分" not in client.get("/actions?month=2026-11").text
