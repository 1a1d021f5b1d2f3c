"""Before the first page: what is compiled, and that the collector leaves the program itself alone."""

import gc
import logging
from collections.abc import Iterator

import pytest

from callqa.web.warm import YOUNG_MOST, warm


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """This process's collector as it was."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_no_page_waits_for_the_collector_to_walk_the_program(app_client):
    warm(app_client.app.state.callqa)
    assert gc.get_threshold()[0] == YOUNG_MOST
    assert gc.get_freeze_count() > 10 * len(gc.get_objects())


def test_the_first_page_finds_its_template_compiled(app_client):
    state = app_client.app.state.callqa
    state.templates.cache.clear()
    warm(state)
    assert {"evaluate/form.html", "base.html"} <= {name for _, name in state.templates.cache}


def test_what_is_in_the_way_is_told_in_the_log_and_stops_nothing(app_client, caplog, monkeypatch):
    state = app_client.app.state.callqa
    monkeypatch.setattr(type(state.templates), "list_templates", lambda self: ["not there.html"])
    with caplog.at_level(logging.ERROR):
        warm(state)
    assert "warming up" in caplog.text and gc.get_threshold()[0] == YOUNG_MOST
