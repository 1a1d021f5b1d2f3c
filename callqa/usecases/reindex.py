"""Fill the search index from the transcripts: what is missing, or all of it anew."""

from collections.abc import Callable

from callqa.store import audit
from callqa.store.db import Database
from callqa.store.search import index_calls, reset, tidy, unindexed

AT_ONCE = 200  # calls a transaction: a writer beside it waits half a second at most
_WORTH_TIDYING = 1000  # calls


def index_missing(db: Database, progress: Callable[[int], None] = lambda done: None) -> int:
    """Index every transcript that is not, e.g. after an upgrade; how many calls that were. progress: so many done."""
    done, after = 0, ""
    while True:
        with db.write() as session:
            call_ids = unindexed(session, after, AT_ONCE)
            if call_ids:
                index_calls(session, call_ids)
        if not call_ids:
            break
        done, after = done + len(call_ids), call_ids[-1]
        progress(done)
    if done >= _WORTH_TIDYING:
        _tidy(db)
    return done


def _tidy(db: Database) -> None:
    more = True
    while more:
        with db.write() as session:
            more = tidy(session)


def reindex(db: Database, *, now_ms: int, progress: Callable[[int], None] = lambda done: None) -> int:
    """Empty the index and make it anew; how many calls it then holds. Until it ends, searches find a part."""
    with db.write() as session:
        reset(session)
        audit.append(session, actor="system", action="search.reindex", subject="", detail={}, now_ms=now_ms)
    return index_missing(db, progress)
