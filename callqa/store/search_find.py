"""Finding calls in the search index, newest first; `store/search.py` keeps it.

SQLite walks down the documents that hold all tokens. PostgreSQL's index cannot be walked by time: windows of the newest
calls are looked through, each several times as large as the one before, until there are enough; only the groups of
transcripts that a window touches are asked for. Its numbers are shared by several pairs: where the words do not stand
in an utterance as they were typed, the folded text decides.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from callqa.privacy import MAY_BE_PRIVATE, surely_public
from callqa.searching import GROUP_BITS, fold_text, hits_in, needs_a_look, spellings, term_keys, token_groups
from callqa.speech import Speaker
from callqa.text import is_han

SLOT_MS = 10_000  # of the time that an id stands for; three million calls a year find one free at once
_ID_SLACK = 10_000  # how far crowded slots may push an id beyond its call's start
_FIRST_WINDOW, _LARGEST_WINDOW, _GROWTH = 1000, 20_000, 4  # calls; what is left is taken at once
_MOST_LIKES = 6  # of one character's spellings; more are found faster as a class
_CALLS_A_KEY = 5  # so many calls are read in the time that one number of a single character is looked up
# confidential calls are in no list (queries/confidential.is_public)
_OPEN = " and not exists (select 1 from confidential_call x where x.call_id = d.call_id)"

_SETTINGS = (
    "select set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true), "
    "set_config('plan_cache_mode', 'force_custom_plan', true), set_config('work_mem', '32MB', true)"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A call whose index holds all that was asked for. proven: nobody has to look whether its utterances do."""

    id: int
    call_id: str
    transcript_id: int
    proven: bool


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
    below_id: int | None = None  # of a candidate that was found before


@dataclass(frozen=True, slots=True)
class _Window:
    """Calls of search_doc ids [low, high) whose transcripts are within [first, last], in these groups.

    final: no older call is asked for.
    """

    low: int
    high: int
    first: int
    last: int
    groups: tuple[int, ...]
    final: bool


def is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def find(session: Session, asked: Asked, narrowed: Narrowed, limit: int) -> list[Candidate]:
    """Calls with every term, newest first, at most `limit`."""
    return (_on_sqlite if is_sqlite(session) else _on_postgresql)(session, asked, narrowed, limit)


def _conditions(narrowed: Narrowed) -> tuple[str, str, dict[str, Any]]:
    """(the table of calls where it is needed, conditions, their values) for a document `d` of the index."""
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
    return " cross join call c" if values else "", sql + (" and c.call_id = d.call_id" if values else ""), values


def _id_range(narrowed: Narrowed) -> tuple[int, int]:
    """[low, high) of the ids that calls of the asked time have."""
    low = 0 if narrowed.start_ms is None else narrowed.start_ms // SLOT_MS
    high = 1 << 62 if narrowed.end_ms is None else narrowed.end_ms // SLOT_MS + _ID_SLACK
    return low, high if narrowed.below_id is None else min(high, narrowed.below_id)


def _on_sqlite(session: Session, asked: Asked, narrowed: Narrowed, limit: int) -> list[Candidate]:
    calls, more, values = _conditions(narrowed)
    low, high = _id_range(narrowed)
    groups = token_groups(asked.terms, asked.speaker, private=asked.private)
    match = " AND ".join(
        "(" + " OR ".join(f'"{token.text}"' + " *" * token.begins for token in group) + ")" for group in groups
    )
    # cross join: in this order, from the newest hit downwards, until there are enough
    rows = session.execute(
        text(
            "select d.id, d.call_id, d.transcript_id from search_fts f "
            f"cross join search_doc d on d.id = f.rowid{calls} "
            "where f.search_fts match :match and f.rowid >= :low and f.rowid < :high and d.call_id is not null"
            f"{more} order by f.rowid desc limit :limit"
        ),
        {"match": match, "low": low, "high": high, "limit": limit, **values},
    )
    proven = not needs_a_look(asked.terms)
    return [Candidate(row[0], row[1], row[2], proven) for row in rows]


def _on_postgresql(session: Session, asked: Asked, narrowed: Narrowed, limit: int) -> list[Candidate]:
    session.execute(text(_SETTINGS))
    found: list[Candidate] = []
    (low, high), size = _id_range(narrowed), _FIRST_WINDOW
    while len(found) < limit:
        window = _window(session, narrowed, (low, high), size)
        if window is None:
            break
        found += _in_window(session, asked, narrowed, window, limit - len(found))
        if window.final:
            break
        per_call = (len(found) + 1) / size  # about: the last window was most of what was seen
        size, high = max(size * _GROWTH, int(1.5 * (limit - len(found)) / per_call)), window.low
    return found


def _window(session: Session, narrowed: Narrowed, ids: tuple[int, int], size: int) -> _Window | None:
    """The newest `size` calls of those asked for; all of them where that would be most of a large index."""
    calls, more, values = _conditions(narrowed)
    values |= {"low": ids[0], "high": ids[1], "bits": GROUP_BITS}
    all_of_them = size > _LARGEST_WINDOW
    if narrowed.agent_no is narrowed.own_agent_no is narrowed.ticket_no is None:
        calls = more = ""  # time is in the ids
        if all_of_them:
            return _everything(session, ids)
    if not all_of_them and narrowed.ticket_no is None:
        more, values["size"] = more + " order by d.id desc limit :size", size
    row = session.execute(
        text(
            "select count(*), min(id), min(transcript_id), max(transcript_id), array_agg(distinct transcript_id >> :bits) "
            f"from (select d.id, d.transcript_id from search_doc d{calls} "
            f"where d.call_id is not null and d.id >= :low and d.id < :high{more}) newest"
        ),
        values,
    ).one()
    n, low, first, last, groups = row
    return None if not n else _Window(low, ids[1], first, last, tuple(groups), "size" not in values or n < size)


def _everything(session: Session, ids: tuple[int, int]) -> _Window | None:
    """All that is left, without looking at each."""
    low, last = session.execute(
        text(
            "select (select min(id) from search_doc where id >= :low and id < :high), "
            "(select max(transcript_id) from search_doc)"
        ),
        {"low": ids[0], "high": ids[1]},
    ).one()
    return None if low is None else _Window(low, ids[1], 0, last, tuple(range((last >> GROUP_BITS) + 1)), final=True)


def _in_window(session: Session, asked: Asked, narrowed: Narrowed, window: _Window, limit: int) -> list[Candidate]:
    hold = [_holding(session, term, asked, window) for term in asked.terms]
    transcripts = sorted(set.intersection(*map(set, hold)))
    if not transcripts:
        return []
    calls, more, values = _conditions(narrowed)
    row = session.execute(
        text(
            "select array_agg(id), array_agg(call_id), array_agg(transcript_id) from ("
            f"select d.id, d.call_id, d.transcript_id from search_doc d{calls} "
            "where d.call_id is not null and d.id >= :low and d.id < :high and d.transcript_id = any(cast(:transcripts as integer[]))"
            f"{more} order by d.id desc limit :limit) found"
        ),
        {"low": window.low, "high": window.high, "transcripts": _array(transcripts), "limit": limit, **values},
    ).one()
    return [
        Candidate(id_, call_id, transcript_id, all(holds[transcript_id] for holds in hold))
        for id_, call_id, transcript_id in zip(*(each or () for each in row), strict=True)
    ]


def _holding(session: Session, term: str, asked: Asked, window: _Window) -> dict[int, bool]:
    """Transcripts of a window with an utterance that holds a term -> whether that is no part of a private number."""
    touchy = not (asked.private or MAY_BE_PRIVATE.isdisjoint(term))
    said, values = _utterances(term, asked.speaker, window)
    row = session.execute(
        text(
            "select array_agg(distinct id) filter (where surely), array_agg(id) filter (where not surely), "
            "array_agg(words) filter (where not surely) "
            f"from (select id, words, words like :like and not :touchy as surely from ({said}) said) said"
        ),
        {"like": f"%{term}%", "touchy": touchy, **values},
    ).one()
    holding = dict.fromkeys(row[0] or (), True)
    for id_, words in zip(row[1] or (), row[2] or (), strict=True):
        if not holding.get(id_) and term in fold_text(words):
            holding[id_] = not touchy or any(surely_public(words, *hit) for hit in hits_in(words, [term]))
    return holding


def _utterances(term: str, speaker: Speaker | None, window: _Window) -> tuple[str, dict[str, Any]]:
    """SQL for the (id, words) of a window's utterances that may hold a term."""
    keys = term_keys(term, window.groups)
    within, values = _may_hold(term)
    if window.first:
        within += " and u.transcript_id between :first and :last"
        values |= {"first": window.first, "last": window.last}
    if speaker is not None:
        within, values["speaker"] = within + " and u.speaker = :speaker", speaker.value
    said = "select u.transcript_id as id, u.text as words from utterance u where true" + within
    if len(term) == 1:
        if is_han(term) and sum(map(len, keys)) * _CALLS_A_KEY > window.last - window.first:
            return said, values
        # group by group, or the planner thinks that so many numbers are in most utterances. offset: no join of it
        values["k"] = [_array(group) for group in keys]
        said += " and callqa_search_keys(u.text, u.transcript_id) && cast(k as integer[]) offset 0"
        return f"select said.* from unnest(cast(:k as text[])) as k, lateral ({said}) said", values
    for n, either in enumerate(zip(*keys, strict=True)):
        said += f" and callqa_search_keys(u.text, u.transcript_id) && cast(:k{n} as integer[])"
        values[f"k{n}"] = _array(either)
    return said, values


def _may_hold(term: str) -> tuple[str, dict[str, Any]]:
    """A condition that every utterance with a term fulfils: it has each Han character of it, in one spelling or other."""
    sql, values = "", dict[str, Any]()
    for n, char in enumerate(dict.fromkeys(filter(is_han, term))):
        some = spellings(char)
        if len(some) > _MOST_LIKES:
            sql, values[f"may{n}"] = f"{sql} and u.text ~ :may{n}", f"[{''.join(some)}]"
        else:
            sql, values[f"may{n}"] = f"{sql} and u.text like any(:may{n})", [f"%{each}%" for each in some]
    return sql, values


def _array(numbers: Iterable[int]) -> str:
    """As PostgreSQL writes them: thousands are slow to hand over as a list."""
    return f"{{{','.join(map(str, numbers))}}}"
