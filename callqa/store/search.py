"""The search index: which calls hold which words, in their newest transcript.

SQLite: an FTS5 table of our own tokens, one row a call, without text. PostgreSQL: a GIN index on an expression over the
utterances, kept by the server itself. `search_doc` says on both which transcript of a call is searched.

`index_call` is called inside the transaction that changes which transcript is the newest, or its words; `forget_call`
before a call or its transcript is deleted (foreign keys hold until then). Calls are found newest first: a row's id is
the ten seconds its call started in: the closer ids lie, the smaller the index (1.37 x the text with seconds, 1.10 x so).
"""

import hashlib
import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import insert, or_, text
from sqlalchemy import select as sa_select
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlmodel import Session, col, select

from callqa.errors import StoreError
from callqa.privacy import Turn, find_private
from callqa.searching import INDEX_VERSION, index_words, tokens_of_words
from callqa.store.search_find import SLOT_MS, Asked, Candidate, Narrowed, find, is_sqlite
from callqa.store.tables import Call, SearchDoc, TranscriptRow, UtteranceRow

log = logging.getLogger(__name__)

_ID_LOOKAHEAD = 256
_MERGED_PAGES = 500  # of 4 kB, in one transaction
_MOST_TRIES = 20  # to store what others store at the same time; each loses to somebody who has succeeded
FTS_TABLE = (
    "create virtual table search_fts using fts5(tokens, content='', columnsize=0, detail='none', tokenize='ascii')"
)
KEYS_INDEX = (
    "create index ix_utterance_search_keys on utterance using gin (callqa_search_keys(text, transcript_id)) "
    "with (fastupdate = off)"
)
# A GIN index that is made from one large sorted batch is half empty: 1.75 x the raw text with 512 MB, 1.39 x so.
SMALL_BATCHES = "set local maintenance_work_mem = '8MB'"
DAMAGED = "检索索引已损坏；请停下服务，运行 callqa reindex 重建（只由转写重做，不丢数据）"


def index_call(session: Session, call_id: str) -> None:
    """Make the index hold the call's newest transcript as it is now; none: nothing of the call. Cheap when unchanged.

    A damaged index is logged and leaves the caller's transaction whole: the transcript is worth more. Where PostgreSQL
    could not do it this time (a deadlock), the whole transaction fails: tried again, it leaves no word that was corrected.
    """
    index_calls(session, [call_id])


def index_calls(session: Session, call_ids: Sequence[str]) -> None:
    """`index_call` for some hundred calls at once."""
    session.flush()
    try:
        with session.begin_nested():
            left = list(call_ids)
            for _ in range(_MOST_TRIES):
                left = _index(session, left)
                if not left:
                    return
            log.error("calls %s …: the search index is too busy; run callqa reindex", left[0])
    except DatabaseError as e:
        if isinstance(e, OperationalError) and not is_sqlite(session):
            raise
        log.exception("calls %s …: the search index is damaged; run callqa reindex", call_ids[0])


def forget_call(session: Session, call_id: str) -> None:
    """Take a call out of the index, before its words go. In a damaged index it is left unfindable, which is logged."""
    row = session.exec(select(SearchDoc).where(SearchDoc.call_id == call_id)).first()
    if row is None:
        return
    try:
        with session.begin_nested():
            _forget(session, row)
    except DatabaseError:
        log.exception("call %s: the search index is damaged; run callqa reindex", call_id)
        row.call_id = row.transcript_id = None
        session.flush()


def _words_of(session: Session, transcript_ids: Sequence[int]) -> dict[int, str]:
    """What the index holds of each transcript; PostgreSQL keeps nothing beside the utterances."""
    if not is_sqlite(session):
        return dict.fromkeys(transcript_ids, "")
    said = turns_of(session, transcript_ids)
    return {id_: index_words(turns, find_private(turns)) for id_ in transcript_ids for turns in [said.get(id_, [])]}


def turns_of(session: Session, transcript_ids: Sequence[int], seeds: Sequence[str] = ()) -> dict[int, list[Turn]]:
    """What was said in each transcript, in order. seeds: only the turns with one of these characters."""
    u = UtteranceRow
    query = (
        sa_select(col(u.transcript_id), col(u.speaker), col(u.start_ms), col(u.end_ms), col(u.text))
        .where(col(u.transcript_id).in_(transcript_ids))
        .order_by(col(u.transcript_id), col(u.start_ms), col(u.index))
    )
    if seeds:
        query = query.where(or_(*(col(u.text).contains(seed) for seed in seeds)))
    found: dict[int, list[Turn]] = {}
    for transcript_id, *said in session.execute(query):
        found.setdefault(transcript_id, []).append(Turn(*said))
    return found


def _index(session: Session, call_ids: Sequence[str]) -> list[str]:
    """Index the calls; those come back that somebody else indexed, or whose id he took, since we looked."""
    newest = dict(
        session.execute(
            sa_select(col(TranscriptRow.call_id), col(TranscriptRow.id))
            .join(Call, col(Call.call_id) == col(TranscriptRow.call_id))
            .where(col(TranscriptRow.call_id).in_(call_ids), col(Call.deleted_at_ms).is_(None))
            .order_by(col(TranscriptRow.version))
        ).all()
    )
    words = _words_of(session, list(newest.values()))
    for row in session.exec(select(SearchDoc).where(col(SearchDoc.call_id).in_(call_ids))).all():
        transcript_id = newest.get(row.call_id or "")
        digest = "" if transcript_id is None else _digest(words[transcript_id])
        if (row.transcript_id, row.digest, row.version) == (transcript_id, digest, INDEX_VERSION):
            del newest[row.call_id or ""]
        else:
            _forget(session, row)
    stored = _add(session, newest, words) if newest else set()
    return [call_id for call_id in newest if call_id not in stored]


def _add(session: Session, newest: dict[str, int], words: dict[int, str]) -> set[str]:
    """Index calls that are not: call_id -> its transcript. Which were stored; on PostgreSQL two may want one id at once."""
    started = session.execute(
        sa_select(col(Call.call_id), col(Call.started_at_ms)).where(col(Call.call_id).in_(newest))
    )
    docs: list[dict[str, Any]] = [
        {
            "id": id_,
            "call_id": call_id,
            "transcript_id": newest[call_id],
            "version": INDEX_VERSION,
            "digest": _digest(words[newest[call_id]]),
        }
        for call_id, id_ in _free_ids(session, {call_id: ms // SLOT_MS for call_id, ms in started})
    ]
    docs.sort(key=lambda doc: doc["id"])  # FTS5 starts another segment where an id is smaller than the last
    if not is_sqlite(session):
        made = postgresql.insert(SearchDoc).values(docs).on_conflict_do_nothing().returning(col(SearchDoc.call_id))
        return set(session.execute(made).scalars())
    session.execute(insert(SearchDoc), docs)
    tokens = [{"id": doc["id"], "tokens": _tokens(words[doc["transcript_id"]])} for doc in docs]
    session.execute(text("insert into search_fts(rowid, tokens) values (:id, :tokens)"), tokens)
    return set(newest)


def _forget(session: Session, row: SearchDoc) -> None:
    """SQLite's index without text forgets a row only when told its tokens; what cannot be told is left unfindable."""
    if is_sqlite(session):
        assert row.transcript_id is not None
        words = _words_of(session, [row.transcript_id])[row.transcript_id]
        if _digest(words) != row.digest or row.version != INDEX_VERSION:
            row.call_id = row.transcript_id = None
            session.flush()
            return
        session.execute(
            text("insert into search_fts(search_fts, rowid, tokens) values ('delete', :id, :tokens)"),
            {"id": row.id, "tokens": _tokens(words)},
        )
    session.delete(row)
    session.flush()


def _tokens(words: str) -> str:
    return " ".join(tokens_of_words(words))


def _digest(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def _free_ids(session: Session, slots: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Each call with the first free id from its slot on; several calls may start in one."""
    taken = set(session.exec(select(SearchDoc.id).where(col(SearchDoc.id).in_(set(slots.values())))).all())
    for call_id, slot in slots.items():
        id_ = slot if slot not in taken else _free_id(session, slot, taken)
        taken.add(id_)
        yield call_id, id_


def _free_id(session: Session, slot: int, given: Collection[int]) -> int:
    """The first id from a slot on that is neither taken nor given."""
    while True:
        ahead = range(slot, slot + _ID_LOOKAHEAD)
        taken = session.exec(select(SearchDoc.id).where(SearchDoc.id >= slot, SearchDoc.id < ahead.stop)).all()
        free = set(ahead).difference(taken, given)
        if free:
            return min(free)
        slot += _ID_LOOKAHEAD


def reset(session: Session) -> None:
    """Empty the index, whatever state it is in. PostgreSQL makes its index over the utterances here: minutes."""
    if is_sqlite(session):
        session.execute(text("drop table if exists search_fts"))
        session.execute(text(FTS_TABLE))
        session.execute(text("delete from search_doc"))
        return
    # Who saves a transcript writes utterances first, who searches reads documents first: neither may wait for us while we
    # wait for him, so the utterances come first and no lock on all documents is asked for.
    session.execute(text("drop index if exists ix_utterance_search_keys"))
    session.execute(text(SMALL_BATCHES))
    session.execute(text(KEYS_INDEX))
    session.execute(text("delete from search_doc"))


def tidy(session: Session) -> bool:
    """After many calls were indexed: merge a bounded part of SQLite's index; whether there is more to merge.

    What was indexed in pieces is up to twice as large as what is merged.
    """
    if not is_sqlite(session):
        return False
    raw: Any = session.connection().connection.dbapi_connection
    before = raw.total_changes
    session.execute(
        text("insert into search_fts(search_fts, rank) values ('merge', :pages)"), {"pages": -_MERGED_PAGES}
    )
    return bool(raw.total_changes - before >= 2)  # as FTS5's documentation says


def unindexed(session: Session, after: str = "", limit: int = 200) -> Sequence[str]:
    """call_ids behind `after` that have a transcript and are not indexed as this version would."""
    held = select(SearchDoc.id).where(SearchDoc.call_id == TranscriptRow.call_id, SearchDoc.version == INDEX_VERSION)
    query = (
        select(TranscriptRow.call_id)
        .join(Call, col(Call.call_id) == col(TranscriptRow.call_id))
        .where(TranscriptRow.call_id > after, col(Call.deleted_at_ms).is_(None), ~held.exists())
        .distinct()
        .order_by(col(TranscriptRow.call_id))
        .limit(limit)
    )
    return session.exec(query).all()


def candidates(session: Session, asked: Asked, narrowed: Narrowed, limit: int) -> list[Candidate]:
    """Calls with every term, newest first, at most `limit`; where not `proven`, some may lack one. Raise StoreError."""
    try:
        return find(session, asked, narrowed, limit)
    except DatabaseError as e:
        log.exception("the search index cannot be read")
        raise StoreError(DAMAGED) from e
