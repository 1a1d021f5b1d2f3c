"""Finding calls in the search index, newest first; `store/search.py` keeps it.

SQLite walks down the documents that hold all tokens. PostgreSQL's index cannot be walked by time: windows of the newest
calls are looked through, each as large as the finds in the one before suggest, until there are enough; only the groups
of transcripts that a window touches are asked for. Its numbers are shared by several pairs: where the words do not stand
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
_FIRST_WINDOW, _LARGEST_WINDOW = 1000, 20_000  # calls; what is left is taken at once
_ENOUGH = 1.5  # times as many calls as would do if words were as frequent in them as in the window before
_WIDE = 12_000  # transcripts: a word that wants so many calls is in so few that its numbers alone are read faster
_MOST_LIKES = 6  # of one character's spellings; more are found faster as a class
_CALLS_A_KEY = 5  # so many calls are read in the time that one number of a single character is looked up
# confidential calls are in no list (queries/confidential.is_public)
_OPEN = " and not exists (select 1 from confidential_call x where x.call_id = d.call_id)"
# an utterance that holds term {0}: as it was typed, or folded
_HELD = "(words like :like{0} or callqa_fold(words) like :like{0})"


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
    """Calls of search_doc ids [low, high) whose transcripts are within [first, last]. final: no older call is asked for."""

    low: int
    high: int
    first: int
    last: int
    final: bool

    @property
    def groups(self) -> range:
        """Of transcripts, as the numbers of the index are parted."""
        return range(self.first >> GROUP_BITS, (self.last >> GROUP_BITS) + 1)


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
    found: list[Candidate] = []
    (low, high), size = _id_range(narrowed), _FIRST_WINDOW
    while len(found) < limit:
        window = _window(session, narrowed, (low, high), size)
        if window is None:
            break
        missing = limit - len(found)
        some = _in_window(session, asked, narrowed, window, missing)
        found += some
        if window.final:
            break
        size, high = max(size, int(_ENOUGH * (missing - len(some)) * size / (len(some) + 1))), window.low
    return found


def _window(session: Session, narrowed: Narrowed, ids: tuple[int, int], size: int) -> _Window | None:
    """The newest `size` calls of those asked for; all of them where that would be most of a large index."""
    calls, more, values = _conditions(narrowed)
    values |= {"low": ids[0], "high": ids[1]}
    all_of_them = size > _LARGEST_WINDOW
    if narrowed.agent_no is narrowed.own_agent_no is narrowed.ticket_no is None:
        calls = more = ""  # time is in the ids
        if all_of_them:
            return _everything(session, ids)
    if not all_of_them and narrowed.ticket_no is None:
        more, values["size"] = more + " order by d.id desc limit :size", size
    n, low, first, last = session.execute(
        text(
            "select count(*), min(id), min(transcript_id), max(transcript_id) "
            f"from (select d.id, d.transcript_id from search_doc d{calls} "
            f"where d.call_id is not null and d.id >= :low and d.id < :high{more}) newest"
        ),
        values,
    ).one()
    return None if not n else _Window(low, ids[1], first, last, "size" not in values or n < size)


def _everything(session: Session, ids: tuple[int, int]) -> _Window | None:
    """All that is left, without looking at each."""
    low, last = session.execute(
        text(
            "select (select min(id) from search_doc where id >= :low and id < :high), "
            "(select max(transcript_id) from search_doc)"
        ),
        {"low": ids[0], "high": ids[1]},
    ).one()
    return None if low is None else _Window(low, ids[1], 0, last, final=True)


def _in_window(session: Session, asked: Asked, narrowed: Narrowed, window: _Window, limit: int) -> list[Candidate]:
    """The newest of a window with every term. What is part of no number is judged where the rows lie, by folding them."""
    calls, more, values = _conditions(narrowed)
    looked_at = list[dict[int, bool]]()
    for n, term in enumerate(asked.terms):
        if asked.private or MAY_BE_PRIVATE.isdisjoint(term):
            said, its = _utterances(term, asked.speaker, window, f"t{n}_")
            more += f" and d.transcript_id = any(array(select id from ({said}) said where {_HELD.format(n)}))"
            values |= {f"like{n}": f"%{term}%", **its}
        else:
            looked_at.append(_outside_numbers(session, term, asked.speaker, window))
            more += f" and d.transcript_id = any(cast(:held{n} as integer[]))"
            values[f"held{n}"] = _array(sorted(looked_at[-1]))
    row = session.execute(
        text(
            "select array_agg(id), array_agg(call_id), array_agg(transcript_id) from ("
            f"select d.id, d.call_id, d.transcript_id from search_doc d{calls} "
            f"where d.call_id is not null and d.id >= :low and d.id < :high{more} order by d.id desc limit :limit) found"
        ),
        {"low": window.low, "high": window.high, "limit": limit, **values},
    ).one()
    return [
        Candidate(id_, call_id, transcript_id, all(proven[transcript_id] for proven in looked_at))
        for id_, call_id, transcript_id in zip(*(each or () for each in row), strict=True)
    ]


def _outside_numbers(session: Session, term: str, speaker: Speaker | None, window: _Window) -> dict[int, bool]:
    """Transcripts of a window with an utterance that holds a term -> whether that is surely no part of a private number."""
    said, values = _utterances(term, speaker, window, "")
    row = session.execute(text(f"select array_agg(id), array_agg(words) from ({said}) said"), values).one()
    holding = dict[int, bool]()
    for id_, words in zip(*(each or () for each in row), strict=True):
        if not holding.get(id_) and term in fold_text(words):
            holding[id_] = any(surely_public(words, *hit) for hit in hits_in(words, [term]))
    return holding


def _utterances(term: str, speaker: Speaker | None, window: _Window, mark: str) -> tuple[str, dict[str, Any]]:
    """SQL for the (id, words) of a window's utterances that may hold a term. mark: what its values' names begin with."""
    keys = term_keys(term, window.groups)
    within, values = _may_hold(term, mark)
    if window.first:
        # hidden from the planner where reading so much of that index costs more than it spares
        transcript_id = "u.transcript_id" if window.last - window.first < _WIDE else "u.transcript_id + 0"
        within += f" and {transcript_id} between :{mark}first and :{mark}last"
        values |= {f"{mark}first": window.first, f"{mark}last": window.last}
    if speaker is not None:
        within, values[f"{mark}speaker"] = f"{within} and u.speaker = :{mark}speaker", speaker.value
    said = "select u.transcript_id as id, u.text as words from utterance u where true" + within
    if len(term) == 1:
        if is_han(term) and sum(map(len, keys)) * _CALLS_A_KEY > window.last - window.first:
            return said, values
        # group by group, or the planner thinks that so many numbers are in most utterances. offset: no join of it
        values[f"{mark}k"] = [_array(group) for group in keys]
        said += " and callqa_search_keys(u.text, u.transcript_id) && cast(k as integer[]) offset 0"
        return f"select said.* from unnest(cast(:{mark}k as text[])) as k, lateral ({said}) said", values
    for n, either in enumerate(zip(*keys, strict=True)):
        said += f" and callqa_search_keys(u.text, u.transcript_id) && cast(:{mark}k{n} as integer[])"
        values[f"{mark}k{n}"] = _array(either)
    return said, values


def _may_hold(term: str, mark: str) -> tuple[str, dict[str, Any]]:
    """A condition that every utterance with a term fulfils: it has each Han character of it, in one spelling or other."""
    sql, values = "", dict[str, Any]()
    for n, char in enumerate(dict.fromkeys(filter(is_han, term))):
        some = spellings(char)
        if len(some) > _MOST_LIKES:
            sql, values[f"{mark}may{n}"] = f"{sql} and u.text ~ :{mark}may{n}", f"[{''.join(some)}]"
        else:
            sql, values[f"{mark}may{n}"] = f"{sql} and u.text like any(:{mark}may{n})", [f"%{each}%" for each in some]
    return sql, values


def _array(numbers: Iterable[int]) -> str:
    """As PostgreSQL writes them: thousands are slow to hand over as a list."""
    return f"{{{','.join(map(str, numbers))}}}"
