"""One table decides: every route asks it, every role sees what it may."""

import pytest

from callqa.web.app import AREAS, create_app
from callqa.web.permissions import PERMISSIONS, Role, allowed
from tests.web.routes import all_routes

OPEN_TO_ALL = {"/login", "/logout", "/healthz"}


def test_no_route_is_left_out():
    """Routers included in routers once were: 12 addresses that no rule about all routes looked at."""
    paths = {route.path for route in all_routes()}
    assert {"/api/live/{call_id}/pause", "/live/{call_id}/listen", "/people/lines", "/login"} <= paths
    assert len(paths) > 110


def test_every_route_names_a_permission():
    without = [
        route.path
        for route in all_routes()
        if route.path not in OPEN_TO_ALL
        and not any(hasattr(dependency.call, "permission") for dependency in route.dependant.dependencies)
    ]
    assert without == []


def test_permissions_in_templates_and_navigation_are_in_the_table():
    import re

    from callqa.web.templating import TEMPLATES_DIR

    named = {
        match
        for path in TEMPLATES_DIR.rglob("*.html")
        for match in re.findall(r'can\("([a-z_.]+)"\)', path.read_text(encoding="utf-8"))
    }
    named |= {item.permission for area in AREAS for item in area.NAV}
    assert named and named <= set(PERMISSIONS)


def test_an_unknown_permission_is_a_programming_error():
    from callqa.web.deps import require

    with pytest.raises(KeyError):
        require("calls.everything")
    with pytest.raises(KeyError):
        allowed(Role.ADMIN, "calls.everything")


PAGES = {
    "/": set(Role),
    "/live": {Role.SHIFT_LEADER, Role.CLIENT_SUPERVISOR, Role.ADMIN},
    "/calls": {Role.SHIFT_LEADER, Role.CLIENT_SUPERVISOR, Role.AGENT},
    "/calls.csv": {Role.SHIFT_LEADER, Role.CLIENT_SUPERVISOR},
    "/reconcile": {Role.SHIFT_LEADER, Role.CLIENT_SUPERVISOR, Role.ADMIN},
    "/followups": {Role.SHIFT_LEADER, Role.CLIENT_SUPERVISOR, Role.AGENT},
    "/followups.csv": {Role.SHIFT_LEADER, Role.CLIENT_SUPERVISOR},
    "/rubrics": {Role.SHIFT_LEADER, Role.CLIENT_SUPERVISOR},
    "/rubrics/draft": {Role.SHIFT_LEADER},
    "/rubrics/lexicons": {Role.SHIFT_LEADER},
    "/trust": {Role.SHIFT_LEADER, Role.CLIENT_SUPERVISOR},
    "/trust/calibration/new": {Role.SHIFT_LEADER},
    "/links": {Role.SHIFT_LEADER, Role.AGENT},
    "/tickets": {Role.SHIFT_LEADER, Role.CLIENT_SUPERVISOR, Role.AGENT},
    "/tickets.csv": {Role.SHIFT_LEADER, Role.CLIENT_SUPERVISOR},
    "/tickets.xlsx": {Role.SHIFT_LEADER, Role.CLIENT_SUPERVISOR},
    "/tickets/import": {Role.SHIFT_LEADER, Role.ADMIN},
    "/people": {Role.SHIFT_LEADER, Role.CLIENT_SUPERVISOR, Role.ADMIN},
    "/people/lines": {Role.SHIFT_LEADER, Role.CLIENT_SUPERVISOR, Role.ADMIN},
    "/people/accounts": {Role.ADMIN},
    "/system": {Role.SHIFT_LEADER, Role.ADMIN},
}


@pytest.mark.parametrize("filled", [True, False], ids=["a month", "empty"])
def test_every_page_opens_for_its_roles_and_for_no_other(browser, filled, request):
    if filled:
        request.getfixturevalue("month")
    for role in Role:
        client = browser(role)
        for path, roles in PAGES.items():
            answer = client.get(path)
            assert answer.status_code == (200 if role in roles else 403), f"{role} {path}: {answer.status_code}"
            if role not in roles:
                assert "没有权限" in answer.text


def test_navigation_leads_only_where_the_role_may_go(browser):
    import re

    for role in Role:
        client = browser(role)
        nav = client.get("/").text.split('class="cq-nav"')[1].split('class="cq-me"')[0]
        for path in re.findall(r'href="([^"]+)"', nav):
            assert client.get(path).status_code in (200, 303), f"{role} {path}"


def test_the_navigation_is_grouped_and_what_is_rarely_used_is_shut(browser):
    leader = browser("shift_leader")
    nav = leader.get("/calls").text.split('class="cq-nav"')[1].split('class="cq-me"')[0]
    assert nav.index("/live") < nav.index("/evaluate") < nav.index("<details") < nav.index("/system")
    assert '<details class="cq-nav-group" open>' in leader.get("/people/lines").text, "open where one of its pages is"
    assert "<details" not in browser("admin").get("/").text.split('class="cq-me"')[0], "a short list hides nothing"
    agent = browser("agent").get("/").text.split('class="cq-me"')[0]
    assert "/mine" in agent and "/evaluate" not in agent and "/people" not in agent


def test_an_unknown_address_is_a_designed_page(browser, settings, database):
    answer = browser("admin").get("/nowhere/at/all")
    assert answer.status_code == 404 and "没有找到" in answer.text and "回到工作台" in answer.text


def test_a_fault_of_ours_is_a_designed_page_with_all_headers(settings, database, clock):
    from fastapi.testclient import TestClient

    app = create_app(settings, database, clock=clock)

    @app.get("/broken")
    def broken():
        raise RuntimeError("made by the test")

    answer = TestClient(app, raise_server_exceptions=False).get("/broken")
    assert answer.status_code == 500
    assert "系统出错" in answer.text and "made by the test" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
