"""作废重抽 in a browser: one tab asks, the other agrees, the month is there to be frozen again; on a desk's and a phone's screen."""

import pytest
from playwright.sync_api import expect

from tests.served import come_true

PAGE = "/sampling/2026-11"
WHY = "冻结时用的是旧的抽检方案，班前会上已与采购人说明；新方案自本月一日起执行" * 3


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, 390])
def test_two_people_make_a_frame_void(sign_in, width):
    leader, supervisor = sign_in("shift_leader"), sign_in("client_supervisor")

    def fits(page, name):
        come_true(page, f"document.documentElement.scrollWidth <= {width}", name)

    for page in (leader, supervisor):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(PAGE)
    leader.click("text=作废本次抽样框")
    fits(leader, "ask")
    leader.fill("#void-reason", WHY)
    leader.click("text=提请作废")
    expect(leader.locator(".cq-flash")).to_contain_text("等第二人在本页确认")
    fits(leader, "asked")
    supervisor.reload()
    fits(supervisor, "agree")
    supervisor.once("dialog", lambda dialog: dialog.accept())
    supervisor.click("button:has-text('同意作废')")
    expect(supervisor.locator(".cq-flash")).to_contain_text("抽样框已作废")
    supervisor.click("text=哈希、承诺与种子")
    fits(supervisor, "void")
    supervisor.click("button:has-text('重算核对')")
    expect(supervisor.locator(".cq-flash")).to_contain_text("与记录逐通相同")
    leader.reload()
    expect(leader.locator("body")).to_contain_text("还没有冻结抽样框")
    fits(leader, "anew")
    assert leader.trouble == [] and supervisor.trouble == []
