"""The search index: which calls hold which words, in their newest transcript.

SQLite: an FTS5 table of our own tokens, one row a call, without text. PostgreSQL: a GIN index on an expression over the
utterances, kept by the server itself. `search_doc` says on both which transcript of a call is searched.

`index_call` is called inside the transaction that changes which transcript is the newest, or its words; `forget_call`
before a call or its transcript is deleted (foreign keys hold until then). Calls are found newest first: a row's id is
the ten seconds its call started in: the closer ids lie, the smaller the index (1.37 x the text with seconds, 1.10 x so).
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select as sa_select
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError
from sqlmodel import Session, col, func, select

from callqa.errors import StoreError
from callqa.privacy import MAY_BE_PRIVATE, Turn, find_private
from callqa.searching import INDEX_VERSION, index_words, needs_a_look, term_keys, token_groups, tokens_of_words
from callqa.speech import Speaker
from callqa.store.tables import Call, SearchDoc, TranscriptRow, UtteranceRow

log = logging.getLogger(__name__)

_PROBED, _MOST_CALLS_HOLD = 40, 0.4
# confidential calls are in no list (queries/confidential.is_public)
_OPEN = " and not exists (select 1 from confidential_call x where x.call_id = c.call_id)"
_ID_LOOKAHEAD = 256
_SLOT_MS = 10_000  # of the time that an id stands for; three million calls a year find one free at once
_ID_SLACK = 10_000  # how far crowded slots may push an id beyond its call's start
DAMAGED = "检索索引已损坏；请停下服务，运行 callqa reindex 重建（只由转写重做，不丢数据）"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A call whose index holds all tokens that were asked for."""

    id: int
    call_id: str
    transcript_id: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Folded words, all of which must occur. private: whether private numbers may be found."""

    terms: tuple[str, ...]
    speaker: Speaker | None = None
    private: bool = False


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Which calls are looked through; None asks for nothing."""

    start_ms: int | None = None
    end_ms: int | None = None
    agent_no: str | None = None
    own_agent_no: str | None = None
    ticket_no: str | None = None


def index_call(session: Session, call_id: str) -> None:
    """Make the index hold the call's newest transcript as it is now; none: nothing of the call. Cheap when unchanged.

    A damaged index is logged and leaves the caller's transaction whole: the transcript is worth more.
    """
    session.flush()
    try:
        with session.begin_nested():
            _index(session, call_id)
    except DatabaseError:
        log.exception("call %s: the search index is damaged; run callqa reindex", call_id)


def forget_call(session: Session, call_id: str) -> None:
    """Take a call out of the index, before it or its transcript goes."""
    row = session.exec(select(SearchDoc).where(SearchDoc.call_id == call_id)).first()
    if row is not None:
        _forget(session, row)


def transcript_words(session: Session, transcript_id: int) -> str:
    """What the index holds of a transcript."""
    turns = turns_of(session, [transcript_id]).get(transcript_id, [])
    return index_words(turns, find_private(turns))


def turns_of(session: Session, transcript_ids: Sequence[int]) -> dict[int, list[Turn]]:
    """What was said in each transcript, in order."""
    u = UtteranceRow
    query = (
        sa_select(col(u.transcript_id), col(u.speaker), col(u.start_ms), col(u.end_ms), col(u.text))
        .where(col(u.transcript_id).in_(transcript_ids))
        .order_by(col(u.transcript_id), col(u.start_ms), col(u.index))
    )
    found: dict[int, list[Turn]] = {}
    for transcript_id, *said in session.execute(query):
        found.setdefault(transcript_id, []).append(Turn(*said))
    return found


def _index(session: Session, call_id: str) -> None:
    newest = session.exec(
        select(TranscriptRow.id)
        .where(TranscriptRow.call_id == call_id)
        .order_by(col(TranscriptRow.version).desc())
        .limit(1)
    ).first()
    row = session.exec(select(SearchDoc).where(SearchDoc.call_id == call_id)).first()
    words = "" if newest is None or not _is_sqlite(session) else transcript_words(session, newest)
    if row is not None:
        if (row.transcript_id, row.digest, row.version) == (newest, _digest(words), INDEX_VERSION):
            return
        _forget(session, row)
    if newest is None:
        return
    call = session.get_one(Call, call_id)
    made = SearchDoc(
        id=_free_id(session, call.started_at_ms // _SLOT_MS),
        call_id=call_id,
        transcript_id=newest,
        version=INDEX_VERSION,
        digest=_digest(words),
    )
    session.add(made)
    session.flush()
    if _is_sqlite(session):
        _fts(session, "insert into search_fts(rowid, tokens) values (:id, :tokens)", made.id, words)


def _forget(session: Session, row: SearchDoc) -> None:
    """SQLite's index without text forgets a row only when told its tokens; what cannot be told is left unfindable."""
    if _is_sqlite(session):
        assert row.transcript_id is not None
        words = transcript_words(session, row.transcript_id)
        if _digest(words) != row.digest or row.version != INDEX_VERSION:
            row.call_id = row.transcript_id = None
            session.flush()
            return
        _fts(
            session, "insert into search_fts(search_fts, rowid, tokens) values ('delete', :id, :tokens)", row.id, words
        )
    session.delete(row)
    session.flush()


def _fts(session: Session, statement: str, id_: int, words: str) -> None:
    session.execute(text(statement), {"id": id_, "tokens": " ".join(tokens_of_words(words))})


def _digest(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def _free_id(session: Session, slot: int) -> int:
    """The first free id from a slot on; several calls may start in one."""
    while True:
        taken = session.exec(
            select(SearchDoc.id).where(SearchDoc.id >= slot).order_by(col(SearchDoc.id)).limit(_ID_LOOKAHEAD)
        ).all()
        for n, id_ in enumerate(taken):
            if id_ != slot + n:
                return slot + n
        if len(taken) < _ID_LOOKAHEAD:
            return slot + len(taken)
        slot += _ID_LOOKAHEAD


def reset(session: Session) -> None:
    """Empty the index, whatever state it is in."""
    if _is_sqlite(session):
        session.execute(text("drop table if exists search_fts"))
        session.execute(
            text(
                "create virtual table search_fts using fts5("
                "tokens, content='', columnsize=0, detail='none', tokenize='ascii')"
            )
        )
        session.execute(text("delete from search_doc"))
        return
    session.execute(text("truncate table search_doc"))
    session.execute(text("reindex index ix_utterance_search_keys"))


def unindexed(session: Session, after: str = "", limit: int = 200) -> Sequence[str]:
    """call_ids behind `after` that have a transcript and are not indexed as this version would."""
    has = select(TranscriptRow.call_id).where(TranscriptRow.call_id > after).distinct()
    held = select(SearchDoc.call_id).where(col(SearchDoc.call_id).is_not(None), SearchDoc.version == INDEX_VERSION)
    query = has.where(col(TranscriptRow.call_id).not_in(held)).order_by(col(TranscriptRow.call_id)).limit(limit)
    return session.exec(query).all()


def count_indexed(session: Session) -> int:
    """How many calls can be searched."""
    return session.exec(select(func.count()).select_from(SearchDoc).where(col(SearchDoc.call_id).is_not(None))).one()


def candidates(session: Session, asked: Asked, narrowed: Narrowed, limit: int) -> list[Candidate]:
    """Calls with every term, newest first, at most `limit`; with `proven` False some may lack one. Raise StoreError."""
    try:
        return (_on_sqlite if _is_sqlite(session) else _on_postgresql)(session, asked, narrowed, limit)
    except DatabaseError as e:
        log.exception("the search index cannot be read")
        raise StoreError(DAMAGED) from e


def proven(session: Session, asked: Asked) -> bool:
    """Whether `candidates` are sure, so that nobody has to look into the utterances."""
    if _is_sqlite(session):
        return not needs_a_look(asked.terms)
    return asked.private or MAY_BE_PRIVATE.isdisjoint("".join(asked.terms))


def _conditions(narrowed: Narrowed) -> tuple[str, dict[str, Any]]:
    sql, values = _OPEN, dict[str, Any]()
    for name, condition in (
        ("start_ms", "c.started_at_ms >= :start_ms"),
        ("end_ms", "c.started_at_ms < :end_ms"),
        ("agent_no", "c.agent_no = :agent_no"),
        ("own_agent_no", "c.agent_no = :own_agent_no"),
        (
            "ticket_no",
            "c.call_id in (select call_id from ticket_link where state = 'linked' and ticket_no = :ticket_no)",
        ),
    ):
        value = getattr(narrowed, name)
        if value is not None:
            sql += f" and {condition}"
            values[name] = value
    if narrowed.start_ms is not None:
        sql, values["low"] = sql + " and d.id >= :low", narrowed.start_ms // _SLOT_MS
    if narrowed.end_ms is not None:
        sql, values["high"] = sql + " and d.id < :high", narrowed.end_ms // _SLOT_MS + _ID_SLACK
    return sql, values


def _on_sqlite(session: Session, asked: Asked, narrowed: Narrowed, limit: int) -> list[Candidate]:
    more, values = _conditions(narrowed)
    groups = token_groups(asked.terms, asked.speaker, private=asked.private)
    match = " AND ".join("(" + " OR ".join(f'"{token}"' for token in group) + ")" for group in groups)
    # cross join: in this order, from the newest hit downwards, until there are enough
    rows = session.execute(
        text(
            "select d.id, d.call_id, d.transcript_id from search_fts f "
            "cross join search_doc d on d.id = f.rowid cross join call c on c.call_id = d.call_id "
            f"where f.search_fts match :match{more.replace('d.id', 'f.rowid')} order by f.rowid desc limit :limit"
        ),
        {"match": match, "limit": limit, **values},
    )
    return [Candidate(*row) for row in rows]


def _on_postgresql(session: Session, asked: Asked, narrowed: Narrowed, limit: int) -> list[Candidate]:
    """A word that most calls hold is found by walking down from the newest; any other by the index."""
    for setting in ("jit = off", "max_parallel_workers_per_gather = 0", "work_mem = '64MB'"):
        session.execute(text(f"set local {setting}"))
    more, values = _conditions(narrowed)
    said, by_index = "", ""
    for n, term in enumerate(asked.terms):
        values |= {f"w{n}": f"%{term}%", f"k{n}": term_keys(term)}
        has = f"(u.text like :w{n} or callqa_fold(u.text) like :w{n})"
        if asked.speaker is not None:
            has, values["speaker"] = has + " and u.speaker = :speaker", asked.speaker.value
        said += f" join lateral (select 1 from utterance u where u.transcript_id = d.transcript_id and {has} limit 1) h{n} on true"
        every = "&&" if len(term) == 1 else "@>"
        held = (
            f"select u.transcript_id from utterance u where callqa_search_keys(u.text) {every} cast(:k{n} as integer[])"
        )
        if len(term) > 1:
            held += f" and {has}"
        elif asked.speaker is not None:
            held += " and u.speaker = :speaker"
        by_index += f" and d.transcript_id in ({held})"
    newest = f"select d.id, d.call_id, d.transcript_id from search_doc d join call c on c.call_id = d.call_id where true{more}"
    ordered = " order by d.id desc limit :limit"
    probe = f"select count(*) from ({newest}{ordered}) d{said}"
    if session.execute(text(probe), {**values, "limit": _PROBED}).scalar_one() >= _PROBED * _MOST_CALLS_HOLD:
        query = f"select d.id, d.call_id, d.transcript_id from ({newest} order by d.id desc) d{said}{ordered}"
    else:
        query = f"{newest}{by_index}{ordered}"
    return [Candidate(*row) for row in session.execute(text(query), {**values, "limit": limit})]
