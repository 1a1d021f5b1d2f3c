"""On a phone's screen: no page is wider than it, and the lists stand one under another instead of running off the side."""

from callqa.desk import DeskTrunk, DialRule
from callqa.usecases import desk
from callqa.usecases.second_look import create_session
from tests.browser.conftest import FIRST, SECOND
from tests.served import come_true
from tests.web.conftest import NOW_MS
from tests.web.conftest import browser as browser  # the in-process client, for what is only prepared here
from tests.web.score_form import ScoreForm

PAGES = (
    "/",
    "/live",
    "/calls",
    "/followups?state=all",
    "/reconcile",
    "/people",
    "/people/lines",
    "/system",
    "/tickets",
    "/transcription",
    "/reviews?month=2026-11",
    "/must-review?month=2026-11",
    "/actions?month=2026-11",
    "/cases",
    "/confidential",
    "/evaluate?month=2026-11",
    "/evaluate/call/20261107T011200000Z-A2",
    "/links",
    "/rubrics",
    "/search?q=漏水",
    "/tickets/import",
    "/trust",
    "/trust/calibration/new",
)
PHONE = {"width": 390, "height": 844}
OVER_THE_EDGE = "[...document.querySelectorAll('.cq-rows td')].filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.innerText)"


def test_no_page_is_wider_than_a_phones_screen(sign_in, sampled):
    trunk = DeskTrunk(name="电信中继", addresses=("192.168.100.200", "192.168.100.201"), host="sbc.hubei.example.cn")
    desk.set_trunks(sampled, [trunk.model_dump(mode="json")], actor="admin", now_ms=1)
    rule = DialRule(pattern=r"(?:0\d{2,3})?[2-9]\d{6,7}", trunk="电信中继")
    desk.set_dial_plan(sampled, [rule.model_dump(mode="json")], actor="admin", now_ms=2)
    page = sign_in("shift_leader")
    page.set_viewport_size(PHONE)
    for path in PAGES:
        page.goto(path)
        come_true(page, f"document.documentElement.scrollWidth <= {PHONE['width']}", path)
        assert page.evaluate(OVER_THE_EDGE) == [], path


def test_a_scored_and_reported_month_is_no_wider_either(sign_in, sampled, accounts, browser):
    leader, raters = browser("shift_leader"), [accounts["shift_leader"], accounts["client_supervisor"]]
    create_session(sampled, "11 月", [FIRST, SECOND], raters, account_id=raters[0], now_ms=NOW_MS)
    for call_id in (FIRST, SECOND):
        ScoreForm.open(leader, f"/evaluate/call/{call_id}").send({"d:S1.1:b": "1"}, decision="rejected")
    assert leader.post("/reports/2026-11/publish").status_code == 303
    page = sign_in("shift_leader")
    page.set_viewport_size(PHONE)
    for path in ("/reports/2026-11", "/sampling/2026-11", "/trust", "/trust/calibration/1", f"/calls/{FIRST}"):
        page.goto(path)
        come_true(page, f"document.documentElement.scrollWidth <= {PHONE['width']}", path)
        assert page.evaluate(OVER_THE_EDGE) == [], path
        assert page.locator("table").count() > 0, path


def test_what_was_saved_is_told_where_the_page_stands(sign_in, sampled):
    """The form returns to its own section, far below the top of the page."""
    page = sign_in("shift_leader")
    page.goto("/people/lines")
    page.fill("#g-ring_timeout_s", "31")
    page.click("text=保存来电路由")
    page.wait_for_selector(".cq-flash")
    come_true(page, "scrollY > 0", "the page stands at its section")
    box = "document.querySelector('.cq-flash').getBoundingClientRect()"
    come_true(page, f"{box}.top >= 0 && {box}.top < innerHeight", "what was saved is in view")
    heading = "document.querySelector('#routing h2').getBoundingClientRect()"
    come_true(page, f"{heading}.top > {box}.bottom", "and hides nothing")
