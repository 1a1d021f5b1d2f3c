"""The leader of the unattended demo: opens each drawn call, listens to what the machine suggests, scores, submits, exports.

Everything goes through the web pages' own forms. The leader accepts what the machine found with evidence, rejects
bare hints, and writes a summary; a suspected fatal item is never confirmed by a script.
"""

from collections.abc import Callable

from callqa.demo.browser import Browser, Form, Page
from callqa.errors import CallqaError

MOST_CALLS = 200


class Leader:
    """The shift leader's session."""

    def __init__(self, address: str, password: str) -> None:
        self.browser = Browser(address)
        self.browser.log_in("banzhang", password)

    def score_sample(self, tell: Callable[[str], None]) -> int:
        """Score the sample call by call until the queue says that it is done. Returns how many were submitted."""
        for count in range(MOST_CALLS):
            page = self.browser.get("/evaluate/next")
            if page.status != 200:
                raise CallqaError(f"评分页打不开（{page.status}）：{page.url}")
            form = next((f for f in page.forms if f.get("version") is not None), None)
            if form is None:
                return count
            after = self._submit(page, form)
            if after.url == page.url:
                raise CallqaError(f"评分没有提交成功：{page.url}")
            tell(f"    已评 {count + 1} 通")
        raise CallqaError(f"评了 {MOST_CALLS} 通仍未评完")

    def _submit(self, page: Page, form: Form) -> Page:
        for name in form.choices:
            if name.startswith("s:"):
                form.set(name, "accepted" if form.get(f"level:{name[2:]}") == "preselect" else "rejected")
        form.set("summary", "演示评分：按机器证据逐条核对。")
        form.set("do", "submit")
        form.set("go", "next")
        after = self.browser.submit(page, form)
        if after.status != 200:
            raise CallqaError(f"提交评分时网页返回 {after.status}：{page.url}")
        return after

    def export_report(self, month: str) -> None:
        """Ask the report page to make a new version of the month's report."""
        page = self.browser.get(f"/reports/{month}")
        if page.status != 200:
            raise CallqaError(f"报告页打不开（{page.status}）：{page.url}")
        form = page.form("publish")
        after = self.browser.submit(page, form)
        if after.status != 200:
            raise CallqaError(f"导出报告时网页返回 {after.status}")
