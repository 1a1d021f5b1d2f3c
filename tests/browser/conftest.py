"""A served application over a temporary month, and tabs of Debian's Chromium signed in by role."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from callqa.config import Settings
from callqa.store.db import Database
from callqa.store.tables import Call
from callqa.web.app import create_app
from tests import served
from tests.builders import add_month, add_suggestions, add_transcript
from tests.conftest import need_tool
from tests.drawn_month import SCORECARDS, draw_month
from tests.served import FLAGS, open_tab, serve
from tests.web import conftest as web

# The same installation as the other web tests, without their in-process client.
clock, settings, database, accounts = web.clock, web.settings, web.database, web.accounts

FIRST, SECOND = "20261107T011200000Z-A2", "20261105T232210000Z-A1"  # of 801 and 805: the queue's order


@pytest.fixture
def sampled(database: Database, settings: Settings, accounts: dict[str, int]) -> Database:
    """Two calls recorded, transcribed, pre-scored and drawn."""
    with database.write() as session:
        add_month(session, settings.recordings_dir, web.NOW_MS)
        first = session.get(Call, FIRST)
        assert first is not None
        add_suggestions(session, first, add_transcript(session, first))
    draw_month(database, now_ms=web.NOW_MS, plan=(SCORECARDS / "sampling.yaml").read_text(encoding="utf-8"))
    return database


@pytest.fixture
def address(settings: Settings, sampled: Database, clock: web.Clock) -> Iterator[str]:
    """The application on a free port of the loopback."""
    with serve(create_app(settings, sampled, clock=clock)) as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser a module (starting takes a second); every tab has a context of its own."""
    path = need_tool("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def sign_in(chromium: Browser, address: str) -> Iterator[Callable[[str], Page]]:
    """`sign_in("shift_leader")`: a tab of that person's own browser; `page.trouble` lists what its console complained of."""

    contexts = []

    def open_as(role: str) -> Page:
        trouble: list[str] = []
        page = open_tab(chromium, address, trouble)
        page.trouble = trouble  # type: ignore[attr-defined]  # read by the tests
        contexts.append(page.context)
        served.sign_in(page, role, web.PASSWORD)
        return page

    yield open_as
    for context in contexts:
        context.close()
