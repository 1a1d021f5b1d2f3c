"""The application served on the loopback for real browsers, and what they see once it has settled."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Locator, Page, expect

LIMIT_S = 60.0  # reached only on failure; machines that build are often busy
FLAGS = ("--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required")
POSITION = "document.querySelector('[data-player]').callPlayer.positionMs"
NEAR_MS = 300  # a player that began may have played on before it is looked at

expect.set_options(timeout=LIMIT_S * 1000)  # Playwright's own five seconds are too few where everybody builds


@contextmanager
def serve(app: FastAPI) -> Iterator[str]:
    """Its address, on a port that the system picks and this process keeps."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(LIMIT_S)


def open_tab(browser: Browser, address: str, trouble: list[str], *, width: int = 1440, height: int = 900) -> Page:
    """A tab with a context of its own, set up as the hotline's are; `trouble` takes what its console complains of."""
    context = browser.new_context(
        base_url=address, viewport={"width": width, "height": height}, locale="zh-CN", timezone_id="Asia/Shanghai"
    )
    page = context.new_page()
    page.set_default_timeout(LIMIT_S * 1000)
    page.on("console", lambda m: trouble.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: trouble.append(str(e)))
    return page


def sign_in(page: Page, username: str, password: str, *, onto: str = "/") -> None:
    """By the login form, on to a page."""
    page.goto(f"/login?next={onto}")
    fill_in(page, username, password)


def fill_in(page: Page, username: str, password: str) -> None:
    """The login form that is open."""
    page.fill("#username", username)
    page.fill("#password", password)
    page.click("button[type=submit]")
    page.wait_for_selector(".cq-me")


def come_true(page: Page, condition: str, why: str) -> None:
    """Wait until a script's condition holds."""
    try:
        page.wait_for_function(f"() => {condition}")
    except Exception as e:
        raise AssertionError(f"{why}: {condition}") from e


def plays_from(page: Page, what: Locator, start_ms: int) -> None:
    """Click on something that plays from a place: the player goes there, wherever it may be when it is looked at."""
    page.evaluate(
        """() => {
          const audio = document.querySelector('audio');
          window.wentToMs = [];  // an earlier seek may still be on its way
          audio.addEventListener('seeking', () => window.wentToMs.push(audio.currentTime * 1000));
        }"""
    )
    what.click()
    come_true(
        page,
        f"window.wentToMs.some(ms => {start_ms} <= Math.round(ms) && Math.round(ms) < {start_ms + NEAR_MS})",
        f"the player goes to {start_ms}",
    )
    page.wait_for_function(f"() => {POSITION} > {start_ms + NEAR_MS}")  # and it plays
