"""The player in a real browser: what a person hears and sees, under the strict content policy."""

import socket
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from callqa.web.app import create_app, run_web
from tests.conftest import need_tool
from tests.served import FLAGS, POSITION, come_true, open_tab, plays_from, serve, sign_in
from tests.web.conftest import PASSWORD


@pytest.fixture
def address(settings, database, clock) -> Iterator[str]:
    """A served application on a free port of the loopback."""
    with serve(create_app(settings, database, clock=clock)) as address:
        yield address


@pytest.fixture
def tab(address, month) -> Iterator[Page]:
    """A tab signed in as the leader, on the showpiece's page; trouble in the console fails the test."""
    chromium = need_tool("chromium")
    trouble: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = open_tab(browser, address, trouble, width=1024, height=768)
        sign_in(page, "shift_leader", PASSWORD, onto=f"/calls/{month}")
        page.wait_for_selector(".cq-wave >> css=canvas")
        yield page
        browser.close()
    assert trouble == []


PLAYER = "document.querySelector('[data-player]').callPlayer"


@pytest.mark.slow
def test_playing_by_key_chip_and_sentence(tab: Page):
    fetched: list[str] = []
    tab.on("request", lambda r: fetched.append(r.url) if r.url.endswith("/audio") else None)
    come_true(tab, "document.documentElement.scrollWidth <= document.documentElement.clientWidth", "no wider")
    assert fetched == [], "opening the page is not listening"

    tab.keyboard.press("Space")
    tab.wait_for_function(f"() => {POSITION} > 500")
    tab.keyboard.press("Space")
    tab.wait_for_function(f"() => !{PLAYER}.playing")
    tab.evaluate(f"{PLAYER}.seek(1000)")
    expect(tab.locator(".cq-utt.now")).to_contain_text("工号八零五")

    plays_from(tab, tab.locator("[data-play-from='46600'] >> nth=0"), 44_600)  # from two seconds before
    tab.keyboard.press("Shift+J")
    tab.wait_for_function(f"() => {POSITION} < 33000")
    tab.keyboard.press("Space")  # the chip that was clicked does not keep it
    tab.wait_for_function(f"() => !{PLAYER}.playing")

    plays_from(tab, tab.locator("[data-utterance] >> nth=3"), 13_900)
    tab.keyboard.press("Space")
    tab.keyboard.press("]")
    come_true(tab, "document.querySelector('audio').playbackRate === 1.25", "a step faster")


@pytest.mark.slow
def test_the_transcript_follows_but_never_steals_the_scroll(tab: Page):
    scroll = "document.querySelector('[data-transcript]').scrollTop"
    tab.evaluate("document.querySelector('[data-transcript]').style.maxHeight = '90px'")
    seek = "document.querySelector('[data-player]').callPlayer.seek"
    tab.evaluate(f"{seek}(49000)")
    tab.wait_for_function(f"() => {scroll} > 60")
    tab.hover("[data-transcript]")
    tab.mouse.wheel(0, -2000)
    tab.wait_for_function(f"() => {scroll} === 0")
    tab.evaluate(f"{seek}(52000)")
    tab.wait_for_function("() => document.querySelector('.cq-utt.now').innerText.includes('谢谢')")
    assert tab.evaluate(scroll) == 0, "the reader is reading here"
    tab.click("[data-follow] button")
    tab.wait_for_function(f"() => {scroll} > 60")


def test_a_taken_port_is_named_with_its_setting(settings):
    from callqa.config import Settings, WebSettings
    from callqa.errors import ConfigError

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        busy = Settings(home=settings.home, web=WebSettings(listen_port=port))
        with pytest.raises(ConfigError, match=rf"{port}.*web\.listen_port"):
            run_web(busy)


@pytest.mark.slow
def test_a_mono_recording_is_nobodys_lane(tab: Page):
    tab.route(
        "**/peaks.json", lambda route: route.fulfill(json={"duration_s": 60.0, "channels": [[0.1, 0.5, 0.2] * 100]})
    )
    tab.reload()
    tab.wait_for_selector(".cq-wave >> css=canvas")
    expect(tab.locator(".cq-lane-names")).to_have_text("未分离")
    assert "诉求人" not in tab.locator(".cq-lanes").inner_text()
