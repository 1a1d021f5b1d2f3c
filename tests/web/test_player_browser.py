"""The player in a real browser: what a person hears and sees, under the strict content policy."""

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from playwright.sync_api import Page, sync_playwright

from callqa.web.app import create_app, run_web
from tests.conftest import need_tool
from tests.web.conftest import PASSWORD


@pytest.fixture
def address(settings, database, clock) -> Iterator[str]:
    """A served application on a free port of the loopback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(create_app(settings, database, clock=clock), log_level="error", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def tab(address, month) -> Iterator[Page]:
    """A tab signed in as the leader, on the showpiece's page; trouble in the console fails the test."""
    chromium = need_tool("chromium")
    trouble: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"],
        )
        page = browser.new_page(viewport={"width": 1024, "height": 768})
        page.on("console", lambda m: trouble.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: trouble.append(str(e)))
        page.goto(f"{address}/login?next=/calls/{month}")
        page.fill("#username", "shift_leader")
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_selector(".cq-wave >> css=canvas")
        yield page
        browser.close()
    assert trouble == []


POSITION = "document.querySelector('[data-player]').callPlayer.positionMs"


@pytest.mark.slow
def test_playing_by_key_chip_and_sentence(tab: Page):
    fetched: list[str] = []
    tab.on("request", lambda r: fetched.append(r.url) if r.url.endswith("/audio") else None)
    assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert tab.locator("canvas").count() >= 2
    assert fetched == [], "opening the page is not listening"

    tab.keyboard.press("Space")
    tab.wait_for_function(f"() => {POSITION} > 500")
    assert "工号八零五" in tab.locator(".cq-utt.now").inner_text()

    tab.click("[data-play-from='46600'] >> nth=0")
    tab.wait_for_function(f"() => {POSITION} >= 44600 && {POSITION} < 46600")  # from two seconds before
    tab.keyboard.press("Shift+J")
    tab.wait_for_function(f"() => {POSITION} < 33000")
    tab.keyboard.press("Space")

    tab.click("[data-utterance] >> nth=3")
    tab.wait_for_function(f"() => {POSITION} >= 13900 && {POSITION} < 16000")
    tab.keyboard.press("Space")
    tab.keyboard.press("]")
    assert tab.evaluate("document.querySelector('audio').playbackRate") == 1.25


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
