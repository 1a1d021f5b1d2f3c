"""What somebody typed outlives an ended session, a server that is away for a moment, and an answer that went wrong."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Request, expect
from sqlmodel import delete, select

from callqa.store.db import Database
from callqa.store.tables import Appeal, Evaluation, EvaluationRevision, WebSession
from callqa.usecases import review
from tests.browser.conftest import FIRST
from tests.browser.test_score_one_call import open_first, suggestion
from tests.served import come_true, fill_in
from tests.web.conftest import NOW_MS, PASSWORD
from tests.web.released import submit_score

pytestmark = pytest.mark.slow

SUMMARY = '[name="summary"]'
KEPT = ".cq-kept"  # the notice beside a form that was not sent
SignIn = Callable[[str], Page]


def end_sessions(database: Database) -> None:
    with database.write() as session:
        session.exec(delete(WebSession))


def sign_in_beside(page: Page, role: str) -> None:
    """As the notice asks: in another tab of the same browser."""
    with page.context.expect_page() as opened:
        page.locator(KEPT).locator("a").click()
    tab = opened.value
    fill_in(tab, role, PASSWORD)
    tab.close()


def stored_summary(database: Database) -> str:
    with database.read() as session:
        return session.exec(select(Evaluation.summary)).one()


def test_a_session_that_ended_in_the_middle_of_a_card(sign_in: SignIn, sampled: Database) -> None:
    page = sign_in("shift_leader")
    open_first(page)
    end_sessions(sampled)
    page.fill(SUMMARY, "登录过期前后写的")
    expect(page.locator("#ev-saved")).to_contain_text("登录已过期")
    expect(page.locator(KEPT)).to_contain_text("填写的都还在")
    page.keyboard.press("Control+Enter")  # the page stays
    expect(page.locator(KEPT)).to_contain_text("没有提交")
    expect(page.locator(SUMMARY)).to_have_value("登录过期前后写的")
    sign_in_beside(page, "shift_leader")
    expect(page.locator("#ev-saved")).to_contain_text("暂存于")  # by itself
    expect(page.locator(KEPT)).to_have_count(0)
    assert stored_summary(sampled) == "登录过期前后写的"


def test_somebody_else_signed_in_meanwhile_sends_nothing_in_the_others_name(sign_in: SignIn, sampled: Database) -> None:
    page = sign_in("shift_leader")
    open_first(page)
    end_sessions(sampled)
    page.fill(SUMMARY, "班长写的")
    expect(page.locator(KEPT)).to_contain_text("登录已过期")
    sign_in_beside(page, "agent")
    expect(page.locator("#ev-saved")).to_contain_text("换成了别的账号")
    page.keyboard.press("Control+Enter")
    expect(page.locator(KEPT)).to_contain_text("换成了别的账号")
    expect(page.locator(SUMMARY)).to_have_value("班长写的")
    assert stored_summary(sampled) == ""


def test_a_server_that_is_away_for_a_moment(sign_in: SignIn, sampled: Database) -> None:
    page = sign_in("shift_leader")
    open_first(page)
    for item in ("S2.3", "S1.4"):
        suggestion(page, item).locator("text=驳回").click()
    page.context.set_offline(True)
    page.fill(SUMMARY, "断开时写的")
    expect(page.locator("#ev-saved")).to_contain_text("连不上服务器")
    page.keyboard.press("Control+Enter")
    expect(page.locator(KEPT)).to_contain_text("连不上服务器")
    expect(page.locator(SUMMARY)).to_have_value("断开时写的")
    page.context.set_offline(False)
    expect(page.locator("#ev-saved")).to_contain_text("暂存于")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("text=第 2/2 通")
    with sampled.read() as session:
        row = session.exec(select(Evaluation).where(Evaluation.call_id == FIRST)).one()
    assert (row.status, row.summary) == ("submitted", "断开时写的")


def test_a_server_that_answers_with_an_error_is_asked_again(sign_in: SignIn, sampled: Database) -> None:
    page = sign_in("shift_leader")
    open_first(page)
    page.route(
        re.compile(r"/evaluate/\d+$"),
        lambda route: route.fulfill(status=503) if route.request.method == "POST" else route.continue_(),
    )
    page.fill(SUMMARY, "出错时写的")
    expect(page.locator("#ev-saved")).to_contain_text("服务器暂时出错")
    page.unroute_all()
    expect(page.locator("#ev-saved")).to_contain_text("暂存于")
    assert stored_summary(sampled) == "出错时写的"


def test_what_is_typed_without_a_pause_is_saved_all_the_same(sign_in: SignIn, sampled: Database) -> None:
    """A pause of 0.6 s would never come: what was typed a second ago is with the server."""
    page = sign_in("shift_leader")
    open_first(page)
    saves: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST" and "x-autosave" in request.headers:
            saves.append(request.post_data or "")

    page.on("request", note)
    page.focus(SUMMARY)
    for _ in range(100):  # until it is seen, as fast a machine as it may be
        page.keyboard.type("写个不停", delay=60)
        if saves:
            break
    assert saves and "summary=" in saves[0]
    expect(page.locator("#ev-saved")).to_contain_text("暂存于")


def test_an_appeal_typed_for_long_outlives_its_session(
    sign_in: SignIn, sampled: Database, accounts: dict[str, int]
) -> None:
    leader = accounts["shift_leader"]
    own = submit_score(sampled, FIRST, leader)
    review.release(sampled, [own], account_id=leader, answer_days=5, now_ms=NOW_MS)
    page = sign_in("agent")
    page.goto(f"/mine/{own}")
    page.click('.rv-ask:has([name="a:S3.2"]) summary')
    page.check('[name="a:S3.2"]')
    page.fill('[name="why:S3.2"]', "写了很久的理由")
    end_sessions(sampled)
    page.click("button:text-is('提交申诉')")
    expect(page.locator(KEPT)).to_contain_text("登录已过期")
    expect(page.locator('[name="why:S3.2"]')).to_have_value("写了很久的理由")
    sign_in_beside(page, "agent")
    page.click("button:text-is('提交申诉')")
    expect(page.locator(".cq-flash")).to_contain_text("已申诉 1 项")
    with sampled.read() as session:
        assert session.exec(select(Appeal.reason)).one() == "写了很久的理由"


def test_a_revision_that_could_not_be_sent_stays(sign_in: SignIn, sampled: Database, accounts: dict[str, int]) -> None:
    """Nothing saves a revision by itself, so nothing but the page holds it."""
    own = submit_score(sampled, FIRST, accounts["shift_leader"])
    page = sign_in("shift_leader")
    page.goto(f"/evaluate/{own}?revise=1")
    page.fill(SUMMARY, "重新听过")
    page.fill('[name="reason"]', "听错了")
    page.context.set_offline(True)
    page.click("button:text-is('重新提交')")
    expect(page.locator(KEPT)).to_contain_text("连不上服务器")
    come_true(page, "document.querySelector('[name=reason]').value === '听错了'", "the reason stays")
    page.context.set_offline(False)
    page.click("button:text-is('重新提交')")
    page.wait_for_selector(".ev-read")
    with sampled.read() as session:
        assert session.exec(select(EvaluationRevision.reason)).all()[-1] == "听错了"
