"""No page leads its reader to a closed door: every link on a page that a role can open opens for that role."""

import html
import re
from collections import deque

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from callqa.store.tables import SampleEntry
from callqa.usecases import evaluate
from callqa.usecases.import_tickets import import_tickets
from callqa.web.permissions import Role
from tests.drawn_month import add_drawable_month, add_scorecards, draw_month
from tests.web.conftest import NOW_MS
from tests.web.released import release_both

TICKETS = "工单编号,来电号码,受理时间\nSW202611089999,13871206358,2026-11-08 10:00\n".encode()
MOST_PAGES = 90  # nobody has more different pages; past them come filters and months of the same ones
_SOUND = re.compile(r"/(audio|peaks\.json|recording)(\?|$)")  # one of these calls has a file; the rest are rows
_LINK = re.compile(r'(?:href|data-href|data-again|data-unfold)="(/[^"#]*)')


def shape(address: str) -> str:
    """The address without what only picks another of the same kind: calls, tickets, all but the query's keys."""
    path, _, query = address.partition("?")
    path = re.sub(r"/(\d{8}T[0-9A-Z-]+|SW\d+|[0-9a-f]{40,})(?=/|$)", "/*", path)
    return path + "?" + "&".join(sorted({part.partition("=")[0] for part in query.split("&") if part} - {"sort"}))


def closed_doors(client: TestClient) -> tuple[list[str], int]:
    """What does not open, with the page that leads there, and how many addresses were asked."""
    seen, todo, closed = {shape("/")}, deque([("/", "")]), []
    while todo and len(seen) < MOST_PAGES:
        address, came_from = todo.popleft()
        answer = client.get(address)
        if answer.status_code >= 400:
            closed.append(f"{came_from} leads to {address}: {answer.status_code}")
        links = _LINK.findall(answer.text) if "html" in answer.headers.get("content-type", "") else []
        links += [answer.headers["location"]] if answer.is_redirect else []
        for link in map(html.unescape, links):
            if shape(link) not in seen and not link.startswith("/static") and not _SOUND.search(link):
                seen.add(shape(link))
                todo.append((link, address))
    return closed, len(seen)


@pytest.fixture
def lived_in(database, settings, accounts) -> None:
    """A drawn month with a draft of the leader's, released scores and an import."""
    add_scorecards(settings.scorecards_dir)
    with database.write() as session:
        show = add_drawable_month(session, settings.recordings_dir, NOW_MS)
    frame = draw_month(database, now_ms=NOW_MS)
    release_both(database, accounts["shift_leader"])
    with database.read() as session:
        sample = session.exec(select(SampleEntry.call_id).where(SampleEntry.frame_id == frame.id)).all()
    for call_id in (show.call_id, *sample):
        evaluate.open_evaluation(database, call_id, evaluator_id=accounts["shift_leader"], now_ms=NOW_MS)
    import_tickets(database, file_name="a.csv", data=TICKETS, actor="admin", now_ms=NOW_MS)


@pytest.mark.parametrize("role", list(Role))
def test_every_link_opens_for_whoever_sees_it(role: Role, browser, lived_in) -> None:
    closed, asked = closed_doors(browser(role))
    assert not closed
    assert asked > 10
