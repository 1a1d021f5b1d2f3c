"""One call scored by the leader in a real browser, by mouse and by keys, under the strict content policy."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from sqlmodel import select

from callqa.store.db import Database
from callqa.store.tables import AuditEntry, Deduction, Evaluation, SuggestionDecision, SuggestionRow
from tests.browser.conftest import FIRST, SECOND
from tests.served import come_true, plays_from

pytestmark = pytest.mark.slow

NOTE = '[name="note:S3.2:a"]'

SignIn = Callable[[str], Page]

# Citizen above in orange, agent below in blue.
LANES_DRAWN = """(() => {
  const c = document.querySelector('.cq-wave canvas'), half = Math.floor(c.height / 2), pen = c.getContext('2d');
  const d = pen.getImageData(0, 0, c.width, 2 * half).data, lane = 4 * c.width * half; // read once: more than that is warned of
  const count = (from) => {
    let warm = 0, cold = 0;
    for (let i = from; i < from + lane; i += 4) if (d[i + 3] > 200) { if (d[i] > d[i + 2]) warm += 1; else cold += 1; }
    return [warm, cold];
  };
  const [above, below] = [count(0), count(lane)];
  return above[0] > 100 && above[1] === 0 && below[1] > 100 && below[0] === 0;
})()"""


def open_first(page: Page) -> None:
    """From the queue to the first call, ready to play."""
    page.goto("/evaluate")
    page.click("text=评下一通")
    page.wait_for_selector(".cq-wave >> css=canvas")
    expect(page.locator("h1")).to_contain_text("第 1/2 通")


def suggestion(page: Page, item: str):
    return page.locator(f'[data-item="{item}"] [data-suggestion]')


def test_the_leader_scores_a_call_and_goes_on_to_the_next(sign_in: SignIn, sampled: Database) -> None:
    page = sign_in("shift_leader")
    open_first(page)
    expect(page.locator("[data-transcript]")).to_contain_text("工号八零五")
    expect(page.locator("#ev-totals")).to_contain_text("提交前还差 2 处")
    come_true(page, "document.documentElement.scrollHeight <= innerHeight", "the page fits its window")
    come_true(page, "performance.getEntriesByName('callqa-usable').length === 1", "it says when it is usable")
    assert page.evaluate(LANES_DRAWN), "each lane is drawn in its speaker's colour"
    asked = "performance.getEntriesByType('resource').filter((e) => e.name.endsWith('/peaks.json')).length"
    come_true(page, f"{asked} === 1", "the waveform is asked for once, ahead of the scripts")

    # evidence plays from two seconds before it
    plays_from(page, suggestion(page, "S1.4").locator("[data-play-from]"), 44_600)
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('audio').paused")

    # accept one, reject the other: the keys act on the item one is at
    page.keyboard.press("a")
    expect(page.locator('[name="d:S1.4:b"]')).to_be_checked()
    expect(page.locator('[name="at:S1.4:b"]')).to_have_value("0:46")
    expect(page.locator('[name="note:S1.4:b"]')).to_have_value("结束时没有致谢或道别语")
    suggestion(page, "S2.3").locator("text=驳回").click()
    expect(page.locator("#ev-points-S1\\.4")).to_have_text("3.0")

    # five points at the playhead, with a note
    page.evaluate("document.querySelector('[data-player]').callPlayer.seek(21000)")
    page.click('[data-item="S3.2"] .ev-pill >> nth=0')
    expect(page.locator('[name="at:S3.2:a"]')).to_have_value("0:21")
    page.fill(NOTE, "没有复述地址和电话")
    expect(page.locator("#ev-points-S3\\.2")).to_have_text("0.0")
    expect(page.locator("#ev-totals")).not_to_contain_text("还差")
    expect(page.locator("#ev-saved")).to_contain_text("暂存于")
    shown = page.locator("#ev-totals b").first.inner_text()

    page.locator(NOTE).press("Control+Enter")
    page.wait_for_selector("text=第 2/2 通")
    expect(page.locator(".cq-flash")).to_contain_text(f"的评分已提交：质量分 {shown}")
    page.goto("/evaluate")
    expect(page.locator(f'tr[data-href="/evaluate/call/{FIRST}"]')).to_contain_text(shown)
    assert page.trouble == []  # type: ignore[attr-defined]

    with sampled.read() as session:
        evaluation = session.exec(select(Evaluation).where(Evaluation.call_id == FIRST)).one()
        deductions = {(d.item_id, d.option_code): d for d in session.exec(select(Deduction))}
        decisions = sorted((d.suggestion_id, d.decision) for d in session.exec(select(SuggestionDecision)))
    assert evaluation.status == "submitted" and f"{evaluation.quality_score:.1f}" == shown
    assert evaluation.elapsed_ms > 0
    assert set(deductions) == {("S1.4", "b"), ("S3.2", "a")}
    assert (deductions["S3.2", "a"].at_ms, deductions["S3.2", "a"].note) == (21_000, "没有复述地址和电话")
    assert [decision for _, decision in decisions] == ["accepted", "rejected"]


def test_accepting_counts_as_often_as_the_machine_did(sign_in: SignIn, sampled: Database) -> None:
    """−4 for two silences: what is accepted is what is deducted."""
    with sampled.write() as session:
        found = session.exec(
            select(SuggestionRow).where(SuggestionRow.call_id == FIRST, SuggestionRow.item_id == "S2.3")
        ).one()
        found.option_code, found.level, found.times, found.points = "a", "preselect", 2, 4.0
        session.add(found)
    page = sign_in("shift_leader")
    open_first(page)
    expect(suggestion(page, "S2.3")).to_have_attribute("data-times", "2")
    suggestion(page, "S2.3").locator(".ev-choice >> nth=0").click()
    expect(page.locator('[name="d:S2.3:a"]')).to_be_checked()
    expect(page.locator('[name="t:S2.3:a"]')).to_have_value("2")
    expect(page.locator("#ev-points-S2\\.3")).to_have_text("1.0")
    assert page.trouble == []  # type: ignore[attr-defined]


def test_two_rules_of_one_option_add_up_as_they_are_accepted(sign_in: SignIn, sampled: Database) -> None:
    """An impatient and a challenging sentence: −3 each, twice at most; taking one back leaves the other."""
    with sampled.write() as session:
        run_id = session.exec(select(SuggestionRow.check_run_id).where(SuggestionRow.call_id == FIRST)).first()
        for check_id, start_ms in (("S1.2-2", 10_200), ("S1.2-3", 19_800)):
            evidence = {
                "channel": 1,
                "start_ms": start_ms,
                "end_ms": start_ms + 900,
                "quote": "急什么",
                "operator": "keyword_any",
                "params": "",
            }
            session.add(
                SuggestionRow(
                    check_run_id=run_id, call_id=FIRST, check_id=check_id, item_id="S1.2", option_code="c",
                    level="preselect", points=3, times=1, reason=f"忌语 {check_id}", evidence=[evidence],
                )
            )  # fmt: skip
    page = sign_in("shift_leader")
    open_first(page)
    times, found = page.locator('[name="t:S1.2:c"]'), suggestion(page, "S1.2")
    for position, counted in ((0, "1"), (1, "2")):
        found.nth(position).locator(".ev-choice >> nth=0").click()
        expect(times).to_have_value(counted)
    expect(page.locator("#ev-points-S1\\.2")).to_have_text("0.0")
    found.nth(0).locator("text=驳回").click()
    expect(times).to_have_value("1")
    expect(page.locator('[name="d:S1.2:c"]')).to_be_checked()
    expect(page.locator("#ev-points-S1\\.2")).to_have_text("2.0")
    assert page.trouble == []  # type: ignore[attr-defined]


def test_the_next_call_is_made_ready_and_not_opened(sign_in: SignIn, sampled: Database) -> None:
    page = sign_in("shift_leader")
    with page.expect_response(lambda r: r.url.endswith(f"{SECOND}/audio")) as fetched:
        open_first(page)
    assert fetched.value.status == 206 and int(fetched.value.headers["content-length"]) == 131_072
    with sampled.read() as session:
        assert [e.call_id for e in session.exec(select(Evaluation))] == [FIRST]
        about = [e.action for e in session.exec(select(AuditEntry).where(AuditEntry.subject == SECOND))]
    assert about == ["call.preload"]
    assert page.trouble == []  # type: ignore[attr-defined]


def test_the_whole_form_by_keys(sign_in: SignIn) -> None:
    page = sign_in("shift_leader")
    open_first(page)
    active = page.locator(".ev-item.on")
    page.keyboard.press("ArrowDown")
    expect(active).to_have_attribute("data-item", "S1.1")
    page.keyboard.press("2")
    expect(page.locator('[name="d:S1.1:b"]')).to_be_checked()
    expect(page.locator("#ev-points-S1\\.1")).to_have_text("4.0")
    page.keyboard.press("0")
    expect(page.locator('[name="d:S1.1:b"]')).not_to_be_checked()
    page.keyboard.press("1")
    page.keyboard.press("n")
    expect(page.locator("#ev-points-S1\\.1")).to_have_text("不适用")
    expect(page.locator('[name="d:S1.1:a"]')).not_to_be_checked()
    page.keyboard.press("n")
    expect(page.locator("#ev-points-S1\\.1")).to_have_text("5.0")

    page.evaluate("document.querySelector('[data-player]').callPlayer.seek(12000)")
    page.keyboard.press("c")
    page.keyboard.type("这句说得好 a x n 1")  # typed, not obeyed
    expect(page.locator('[name="c_at"]').first).to_have_value("0:12")
    expect(page.locator('[name="c_text"]').first).to_have_value("这句说得好 a x n 1")
    assert page.locator("[data-suggestion] input:checked").count() == 0
    page.keyboard.press("Escape")
    # while an input method composes, keys are its own
    page.evaluate(
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'a', bubbles: true, isComposing: true}))"
    )
    assert page.locator("[data-suggestion] input:checked").count() == 0
    page.keyboard.press("f")
    expect(active).to_have_attribute("data-item", "F1")
    page.keyboard.press("?")
    expect(page.locator("#ev-help")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#ev-help")).not_to_be_visible()
    page.keyboard.press("x")  # nothing to decide here: the first open suggestion of the form
    expect(suggestion(page, "S2.3").locator('input[value="rejected"]')).to_be_checked()
    page.click('[data-item="S1.4"] .ev-head')
    page.keyboard.press("Shift+X")
    expect(suggestion(page, "S1.4").locator('input[value="rejected"]')).to_be_checked()
    expect(page.locator("#ev-totals")).not_to_contain_text("还差")
    expect(page.locator("#ev-saved")).to_contain_text("暂存于")
    assert page.trouble == []  # type: ignore[attr-defined]


def test_after_the_mouse_the_keys_are_the_players_again(sign_in: SignIn) -> None:
    """Space once took back the deduction that was just clicked; after choosing a speed no key did anything."""
    page = sign_in("shift_leader")
    open_first(page)
    paused = "document.querySelector('audio').paused"
    clicks = (
        '[data-item="S3.2"] .ev-pill >> nth=0',
        '[data-item="S2.3"] .ev-choice >> nth=1',
        '[data-item="S2.1"] .ev-na',
        '[data-item="S1.4"] .ev-reasoning summary',
        '[data-player] [data-do="forward"]',
        "[data-player] [data-skip]",
    )
    for clicked in clicks:
        page.click(clicked)
        come_true(page, "!document.activeElement.matches('input, button, summary')", clicked)
        page.keyboard.press("Space")
        come_true(page, f"!{paused}", clicked)
        page.keyboard.press("Space")
        come_true(page, paused, clicked)
    expect(page.locator('[name="d:S3.2:a"]')).to_be_checked()
    expect(page.locator('[name="na:S2.1"]')).to_be_checked()
    page.locator("[data-rate]").dispatch_event("pointerdown")  # as a mouse that opens it
    page.select_option("[data-rate]", "1.5")
    page.keyboard.press("]")
    come_true(page, "document.querySelector('audio').playbackRate === 2", "the keys are there at once")
    page.click('[data-item="S3.2"] .ev-head')
    page.keyboard.press("0")
    expect(page.locator('[name="d:S3.2:a"]')).not_to_be_checked()
    assert page.trouble == []  # type: ignore[attr-defined]


def test_no_key_acts_while_an_input_method_composes(sign_in: SignIn) -> None:
    """Chromium's own composition: what is in the making is typed, Enter ends it and sends nothing."""
    page = sign_in("shift_leader")
    open_first(page)
    page.focus('[name="summary"]')
    ime = page.context.new_cdp_session(page)
    for made in ("n", "ni", "nih", "niha", "nihao"):
        ime.send("Input.imeSetComposition", {"text": made, "selectionStart": len(made), "selectionEnd": len(made)})
    for key, code in (("Process", 229), ("a", 229), ("Enter", 229), (" ", 229)):  # as keys arrive while it composes
        ime.send(
            "Input.dispatchKeyEvent", {"type": "rawKeyDown", "key": key, "windowsVirtualKeyCode": code, "modifiers": 2}
        )
        ime.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", "key": key, "windowsVirtualKeyCode": code})
    ime.send("Input.insertText", {"text": "你好"})
    expect(page.locator('[name="summary"]')).to_have_value("你好")
    expect(page.locator("h1")).to_contain_text("第 1/2 通")
    assert page.locator("[data-suggestion] input:checked").count() == 0
    come_true(page, "document.querySelector('audio').paused", "nothing plays")
    expect(page.locator("#ev-saved")).to_contain_text("暂存于")


def test_what_is_missing_is_said_beside_its_item_and_nothing_typed_is_lost(sign_in: SignIn) -> None:
    page = sign_in("shift_leader")
    open_first(page)
    page.click('[data-item="S3.2"] .ev-pill >> nth=0')
    page.fill('[name="summary"]', "写到一半")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".ev-tried")
    expect(page.locator("#ev-missing-S3\\.2")).to_contain_text("须写说明")
    expect(page.locator("#ev-missing-S2\\.3")).to_contain_text("1 条机器建议")
    expect(page.locator('[name="summary"]')).to_have_value("写到一半")
    expect(page.locator(".ev-item.on")).to_have_attribute("data-item", "S2.3")  # the first that lacks something
    page.fill(NOTE, "没有复述")
    expect(page.locator("#ev-missing-S3\\.2")).to_be_empty()
    for item in ("S2.3", "S1.4"):
        suggestion(page, item).locator("text=驳回").click()
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("text=第 2/2 通")


def test_the_later_of_two_tabs_is_told(sign_in: SignIn, sampled: Database) -> None:
    page = sign_in("shift_leader")
    open_first(page)
    other = page.context.new_page()
    other.goto(page.url)
    other.fill('[name="summary"]', "另一页写的")
    expect(other.locator("#ev-saved")).to_contain_text("暂存于")
    page.fill('[name="summary"]', "这一页写的")
    expect(page.locator("#ev-conflict")).to_be_visible()
    expect(page.locator("#ev-saved")).to_contain_text("已在别处保存过")
    with sampled.read() as session:
        assert session.exec(select(Evaluation.summary)).one() == "另一页写的"
    page.click("text=改用本页的")
    expect(page.locator(".cq-flash")).to_contain_text("草稿已保存")
    with sampled.read() as session:
        assert session.exec(select(Evaluation.summary)).one() == "这一页写的"


def test_a_second_person_hears_and_confirms_a_fatal_item(sign_in: SignIn) -> None:
    page = sign_in("shift_leader")
    open_first(page)
    for item in ("S2.3", "S1.4"):
        suggestion(page, item).locator("text=驳回").click()
    page.keyboard.press("f")
    page.keyboard.press("1")
    page.fill('[name="fwords:F1"]', "你烦不烦")
    page.click("button:text-is('提交')")
    page.wait_for_selector(".ev-read")
    expect(page.locator("#ev-totals")).to_contain_text("最终分 100.0")

    other = sign_in("client_supervisor")
    other.on("dialog", lambda dialog: dialog.accept())
    other.goto("/evaluate")
    other.click("text=听录音并核定")
    other.click("text=确认致命项")
    expect(other.locator(".cq-flash")).to_contain_text("第二人确认")
    expect(other.locator("#ev-totals")).to_contain_text("最终分 0.0")
    assert page.trouble == other.trouble == []  # type: ignore[attr-defined]


def test_an_agent_cannot_open_anothers_call_or_any_score(sign_in: SignIn) -> None:
    page = sign_in("agent")
    own = page.goto(f"/calls/{FIRST}")
    assert own is not None and own.status == 200
    for path in (f"/calls/{SECOND}", f"/calls/{SECOND}/audio", f"/evaluate/call/{FIRST}", "/evaluate", "/reports"):
        answer = page.goto(path)
        assert answer is not None and answer.status == 403, path
    page.goto(f"/calls/{SECOND}")
    expect(page.locator("h1")).to_have_text("没有权限")
    expect(page.locator("main")).to_contain_text("坐席只能查看自己的通话")


def test_nothing_runs_out_of_the_window(sign_in: SignIn) -> None:
    page = sign_in("shift_leader")
    page.set_viewport_size({"width": 1024, "height": 768})
    wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    open_first(page)
    come_true(page, f"{wide} && document.documentElement.scrollHeight <= innerHeight", "the scoring form")
    for path in ("/evaluate", "/sampling/2026-11", "/reports/2026-11"):
        page.goto(path)
        come_true(page, wide, path)
    assert page.trouble == []  # type: ignore[attr-defined]
