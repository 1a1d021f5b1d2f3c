"""An appeal in a real browser: released, heard, appealed, decided by another, seen; and two tabs that lose nothing."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from sqlmodel import select

from callqa.store.db import Database
from callqa.store.tables import Appeal, Evaluation
from callqa.usecases import review
from tests.browser.conftest import FIRST, SECOND
from tests.web.conftest import NOW_MS
from tests.web.released import add_other_agent, submit_score

pytestmark = pytest.mark.slow

POSITION = "document.querySelector('[data-player]').callPlayer.positionMs"
SignIn = Callable[[str], Page]


@pytest.fixture
def submitted(sampled: Database, accounts: dict[str, int]) -> tuple[int, int]:
    """Scores of 801's and 805's call, submitted."""
    add_other_agent(sampled)
    leader = accounts["shift_leader"]
    return submit_score(sampled, FIRST, leader), submit_score(sampled, SECOND, leader)


@pytest.fixture
def released(sampled: Database, accounts: dict[str, int], submitted: tuple[int, int]) -> tuple[int, int]:
    review.release(sampled, submitted, account_id=accounts["shift_leader"], answer_days=5, now_ms=NOW_MS)
    return submitted


def test_an_appeal_goes_round(sign_in: SignIn, sampled: Database, submitted: tuple[int, int]) -> None:
    own, _ = submitted
    leader = sign_in("shift_leader")
    leader.on("dialog", lambda dialog: dialog.accept())
    leader.goto("/reviews?month=2026-11")
    leader.click("text=全部发布（2）")
    expect(leader.locator(".cq-flash")).to_contain_text("已发布 2 份")

    agent = sign_in("agent")
    agent.click("text=我的质检")
    agent.click("text=查看并答复")
    agent.wait_for_selector(".cq-wave >> css=canvas")
    agent.click('.rv-line:has-text("复述核对") [data-play-from]')
    agent.wait_for_function(f"() => {POSITION} >= 18000 && {POSITION} < 21000")
    agent.keyboard.press("Space")
    agent.click('.rv-line:has-text("复述核对") >> text=对这一项申诉')
    agent.check('[name="a:S3.2"]')
    agent.fill('[name="why:S3.2"]', "0:19 我复述了地点")
    agent.click("button:text-is('提交申诉')")
    expect(agent.locator(".cq-flash")).to_contain_text("已申诉 1 项")
    expect(agent.locator(".rv-appeal")).to_contain_text("待裁定")

    leader.goto(f"/reviews/{own}")
    expect(leader.locator("main")).to_contain_text("由另一位裁定")
    assert leader.locator("text=提交裁定").count() == 0

    supervisor = sign_in("client_supervisor")
    supervisor.on("dialog", lambda dialog: dialog.accept())
    supervisor.goto("/reviews?month=2026-11&state=appealed")
    supervisor.click("td >> a.btn-primary")
    expect(supervisor.locator(".rv-appeal")).to_contain_text("0:19 我复述了地点")
    supervisor.check('.rv-decide input[value="revised"]')
    supervisor.uncheck(".rv-options input[type=checkbox] >> nth=0")
    supervisor.fill(".rv-decide textarea", "听到复述，撤销扣分")
    supervisor.click("button:text-is('提交裁定')")
    expect(supervisor.locator(".cq-flash")).to_contain_text("申诉已裁定")

    agent.reload()
    expect(agent.locator(".rv-appeal")).to_contain_text("申诉改判")
    expect(agent.locator(".rv-appeal")).to_contain_text("听到复述，撤销扣分")
    expect(agent.locator(".cq-head")).to_contain_text("已定稿")
    with sampled.read() as session:
        row = session.exec(select(Appeal)).one()
        evaluation = session.get(Evaluation, own)
    assert (row.state, row.points_before, row.points_after, row.alone) == ("revised", 0.0, 5.0, False)
    assert evaluation is not None and evaluation.status == "finalized"
    assert agent.trouble == supervisor.trouble == leader.trouble == []  # type: ignore[attr-defined]


def test_two_tabs_in_conflict_lose_nothing(sign_in: SignIn, sampled: Database, released: tuple[int, int]) -> None:
    own, _ = released
    first = sign_in("agent")
    first.goto(f"/mine/{own}")
    second = first.context.new_page()
    second.goto(f"/mine/{own}")
    for page, item, words in ((second, "S1.1", "我报了工号"), (first, "S3.2", "我复述了，在 0:19")):
        page.click(f'.rv-ask:has([name="a:{item}"]) summary')
        page.check(f'[name="a:{item}"]')
        page.fill(f'[name="why:{item}"]', words)
    second.click("button:text-is('提交申诉')")
    expect(second.locator(".cq-flash")).to_contain_text("已申诉 1 项")
    first.click("button:text-is('提交申诉')")
    expect(first.locator(".alert-danger")).to_contain_text("刚刚有了变化")
    expect(first.locator("main")).to_contain_text("我复述了，在 0:19")  # what was typed is still there
    with sampled.read() as session:
        rows = session.exec(select(Appeal)).all()
    assert [(row.item_id, row.reason) for row in rows] == [("S1.1", "我报了工号")]


def test_an_agent_opens_nothing_of_another(sign_in: SignIn, released: tuple[int, int]) -> None:
    own, other = released
    page = sign_in("agent")
    answer = page.goto(f"/mine/{own}")
    assert answer is not None and answer.status == 200
    for path in (
        f"/mine/{other}",
        f"/reviews/{other}",
        f"/evaluate/{other}",
        f"/calls/{SECOND}",
        f"/calls/{SECOND}/audio",
        f"/calls/{SECOND}/peaks.json",
        "/tickets/SW202611060031",
        "/reviews",
        "/must-review",
    ):
        answer = page.goto(path)
        assert answer is not None and answer.status == 403, path
