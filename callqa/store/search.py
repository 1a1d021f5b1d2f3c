"""The search index: which calls hold which words. SQLite: FTS5 over our own tokens; PostgreSQL: a GIN index on an
expression. Both hold the newest transcript of a call, and nothing of calls that have none.

`index_call` is called inside the transaction that changes which transcript is the newest, or its words; `forget_call`
before a call or its transcript is deleted (foreign keys hold until then). Calls are found newest first: a row's id is
the second its call started in, SQLite walks them downwards, PostgreSQL reads the newest months first.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DatabaseError
from sqlmodel import Session, col, func, select

from callqa.errors import StoreError
from callqa.periods import from_ms
from callqa.privacy import Turn, find_private
from callqa.searching import INDEX_VERSION, index_words, tokens_of_words
from callqa.store.tables import Call, SearchDoc, TranscriptRow, UtteranceRow

log = logging.getLogger(__name__)

_ID_LOOKAHEAD = 256
_ID_SLACK_S = 100_000  # how far a crowded second may push an id beyond its call's start
DAMAGED = "检索索引已损坏；请停下服务，运行 callqa reindex 重建（只由转写重做，不丢数据）"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A call whose index holds all tokens that were asked for."""

    id: int
    call_id: str
    transcript_id: int


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Which calls are looked through; None asks for nothing. condition: more SQL on `call c`, with its values."""

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
        select(u.transcript_id, u.speaker, u.start_ms, u.end_ms, u.text)
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
    words = "" if newest is None else transcript_words(session, newest)
    if row is not None:
        if (row.transcript_id, row.digest, row.version) == (newest, _digest(words), INDEX_VERSION):
            return
        _forget(session, row)
    if newest is None:
        return
    call = session.get_one(Call, call_id)
    at = from_ms(call.started_at_ms)
    made = SearchDoc(
        id=_free_id(session, call.started_at_ms // 1000),
        call_id=call_id,
        transcript_id=newest,
        month=month_number(at.year, at.month),
        version=INDEX_VERSION,
        digest=_digest(words),
        words=None if _is_sqlite(session) else words,
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


def month_number(year: int, month: int) -> int:
    """A month as one number."""
    return year * 12 + month - 1


def _free_id(session: Session, second: int) -> int:
    """The first free id from a second on; several calls may start in one."""
    while True:
        taken = session.exec(
            select(SearchDoc.id).where(SearchDoc.id >= second).order_by(col(SearchDoc.id)).limit(_ID_LOOKAHEAD)
        ).all()
        for n, id_ in enumerate(taken):
            if id_ != second + n:
                return second + n
        if len(taken) < _ID_LOOKAHEAD:
            return second + len(taken)
        second += _ID_LOOKAHEAD


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
    session.execute(text("reindex index ix_search_doc_tokens"))


def unindexed(session: Session, after: str = "", limit: int = 200) -> Sequence[str]:
    """call_ids behind `after` that have a transcript and are not indexed as this version would."""
    has = select(TranscriptRow.call_id).where(TranscriptRow.call_id > after).distinct()
    held = select(SearchDoc.call_id).where(col(SearchDoc.call_id).is_not(None), SearchDoc.version == INDEX_VERSION)
    query = has.where(col(TranscriptRow.call_id).not_in(held)).order_by(col(TranscriptRow.call_id)).limit(limit)
    return session.exec(query).all()


def count_indexed(session: Session) -> int:
    """How many calls can be searched."""
    return session.exec(select(func.count()).select_from(SearchDoc).where(col(SearchDoc.call_id).is_not(None))).one()


def candidates(
    session: Session, groups: Sequence[Sequence[str]], narrowed: Narrowed, limit: int
) -> Iterator[Candidate]:
    """Calls that hold a token of every group, newest first, at most `limit`. Raise StoreError when the index is broken."""
    try:
        yield from (_on_sqlite if _is_sqlite(session) else _on_postgresql)(session, groups, narrowed, limit)
    except DatabaseError as e:
        log.exception("the search index cannot be read")
        raise StoreError(DAMAGED) from e


def _conditions(narrowed: Narrowed) -> tuple[str, dict[str, Any]]:
    sql, values = "", {}
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
    return sql, values


def _id_range(narrowed: Narrowed) -> tuple[int, int]:
    low = 0 if narrowed.start_ms is None else narrowed.start_ms // 1000
    return low, 2**62 if narrowed.end_ms is None else narrowed.end_ms // 1000 + _ID_SLACK_S


def _on_sqlite(
    session: Session, groups: Sequence[Sequence[str]], narrowed: Narrowed, limit: int
) -> Iterator[Candidate]:
    more, values = _conditions(narrowed)
    match = " AND ".join("(" + " OR ".join(f'"{token}"' for token in group) + ")" for group in groups)
    low, high = _id_range(narrowed)
    # cross join: in this order, from the newest hit downwards, until there are enough
    rows = session.execute(
        text(
            "select d.id, d.call_id, d.transcript_id from search_fts f "
            "cross join search_doc d on d.id = f.rowid cross join call c on c.call_id = d.call_id "
            f"where f.search_fts match :match and f.rowid >= :low and f.rowid < :high{more} "
            "order by f.rowid desc limit :limit"
        ),
        {"match": match, "low": low, "high": high, "limit": limit, **values},
    )
    yield from (Candidate(*row) for row in rows)


def _on_postgresql(
    session: Session, groups: Sequence[Sequence[str]], narrowed: Narrowed, limit: int
) -> Iterator[Candidate]:
    more, values = _conditions(narrowed)
    low, high = _id_range(narrowed)
    held = session.execute(
        text("select min(id), max(id) from search_doc where id >= :low and id < :high"), {"low": low, "high": high}
    ).one()
    if held[0] is None:
        return
    # a crowded second pushes an id over a month's end, never its month: the oldest may be one month older
    oldest, newest = _month_of(held[0] - _ID_SLACK_S), _month_of(held[1])
    wide = 1
    while newest >= oldest and limit > 0:
        months = range(newest, max(oldest, newest - wide + 1) - 1, -1)
        arrays = {f"g{n}": [f"{m}{token}" for m in months for token in group] for n, group in enumerate(groups)}
        match = "".join(f" and callqa_search_tokens(d.words, d.month) && cast(:{name} as text[])" for name in arrays)
        rows = session.execute(
            text(
                "select d.id, d.call_id, d.transcript_id from search_doc d join call c on c.call_id = d.call_id "
                f"where d.id >= :low and d.id < :high{match}{more} order by d.id desc limit :limit"
            ),
            {"low": low, "high": high, "limit": limit, **arrays, **values},
        ).all()
        yield from (Candidate(*row) for row in rows)
        limit -= len(rows)
        newest -= len(months)
        wide *= 2


def _month_of(second: int) -> int:
    at = from_ms(second * 1000)
    return month_number(at.year, at.month)
