"""The next card of the queue made ready while the present one is scored.

Opens nothing: no draft, no clock of the new card, no playback. The browser fetches the waveform and the first seconds of the
recording besides (static/evaluate.js); those seconds are in the audit chain as fetched ahead, not as heard (web/media.py).
"""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from callqa.store.queries import evaluate as queries
from callqa.web.deps import DbDep, PageNotFound, require, state_of
from callqa.web.navigation import NavItem

router = APIRouter()
NAV: tuple[NavItem, ...] = ()


@router.get("/evaluate/ahead/{call_id}", dependencies=[require("evaluate.score")])
def ahead(request: Request, call_id: str, db: DbDep) -> Response:
    """Render the words that the card will show, the part of the page that takes longest; sends nothing."""
    with db.read() as session:
        found = queries.words_ahead(session, call_id)
    if found is None:
        raise PageNotFound("没有这通电话。")
    state = state_of(request)
    if found.transcript is not None:
        state.words.render(state.templates, found.transcript, found.utterances, shown=False)
    return Response(status_code=204)
