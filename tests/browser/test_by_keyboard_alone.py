"""One evaluation from the queue to its submission without the mouse."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from sqlmodel import select

from callqa.store.db import Database
from callqa.store.tables import Deduction, Evaluation, SuggestionDecision
from tests.browser.conftest import FIRST

pytestmark = pytest.mark.slow


def test_from_the_queue_to_submitted(sign_in: Callable[[str], Page], sampled: Database) -> None:
    page = sign_in("shift_leader")
    for trap in ("click", "dblclick", "hover"):  # nothing below may point at anything
        setattr(page, trap, None)
    page.goto("/evaluate")
    focus = "document.activeElement.textContent.trim()"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(focus) == "评下一通":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector(".cq-wave >> css=canvas")
    expect(page.locator("h1")).to_contain_text("第 1/2 通")

    page.keyboard.press("Space")  # it plays at once, wherever the focus is
    page.wait_for_function("() => !document.querySelector('audio').paused")
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('audio').paused")
    page.keyboard.press("e")  # the first evidence, from two seconds before it
    position = "document.querySelector('[data-player]').callPlayer.positionMs"
    page.wait_for_function("() => !document.querySelector('audio').paused")
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('audio').paused")
    assert 20_000 < page.evaluate(position) < 46_000

    page.keyboard.press("a")  # the first open suggestion: an option with points, or a hint without
    page.keyboard.press("x")  # decided again
    page.keyboard.press("ArrowDown")
    while page.locator("[data-suggestion]:not(:has(:checked))").count():
        page.keyboard.press("f")  # to the fatal items, where nothing is open: x takes the next of the form
        page.keyboard.press("x")
    page.keyboard.press("ArrowUp")
    for _ in range(40):
        if page.locator(".ev-item.on").get_attribute("data-item") == "S1.1":
            break
        page.keyboard.press("ArrowUp")
    page.keyboard.press("2")
    expect(page.locator('[name="d:S1.1:b"]')).to_be_checked()
    page.keyboard.press("c")
    page.keyboard.type("开场漏报工号")
    page.keyboard.press("Escape")
    expect(page.locator("#ev-saved")).to_contain_text("暂存于")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("text=第 2/2 通")
    assert page.trouble == []  # type: ignore[attr-defined]
    with sampled.read() as session:
        row = session.exec(select(Evaluation).where(Evaluation.call_id == FIRST)).one()
        deduction = session.exec(select(Deduction)).one()
        decisions = {d.decision for d in session.exec(select(SuggestionDecision))}
    assert (row.status, deduction.item_id, deduction.option_code, decisions) == ("submitted", "S1.1", "b", {"rejected"})
    assert row.elapsed_ms > 0
