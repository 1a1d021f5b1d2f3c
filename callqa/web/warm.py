"""What the web process does once before its first page: half a second then, and no pauses later."""

import gc
import logging

from callqa.usecases.load_rubric import rubric_in_force
from callqa.web.deps import WebState

log = logging.getLogger(__name__)

# Pages make some ten thousand objects each, nearly all gone when they are sent: by Python's own limit (700) the collector
# would look at them sixty times a page.
YOUNG_MOST = 20_000


def warm(state: WebState) -> None:
    """Compile the templates, read the rubric in force, and set what stands by now aside from the garbage collector.

    Half a million objects of the program stay for good. Walking them all takes a third of a second, every twentieth page or so.
    """
    try:
        for name in state.templates.list_templates():
            state.templates.get_template(name)
        with state.db.read() as session:
            row = rubric_in_force(session, state.clock())
        if row is not None:
            state.rubrics.find(state.db, row.rubric_hash)
    except Exception:  # a comfort: the page itself says what is wrong
        log.exception("warming up")
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MOST, 10, 10)
