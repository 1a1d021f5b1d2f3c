"""检索: calls whose newest transcript holds words, newest first, with the utterances they stand in. Reading only.

What a person may not see is not found: other agents' calls by `own_agent_no`, private numbers by `private`. Texts come
out masked for everybody; the whole number is shown on the call's page, where each viewing is noted.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import func
from sqlalchemy import select as sa_select
from sqlmodel import Session, col

from callqa.privacy import MAY_BE_PRIVATE, PrivatePart, Turn, find_private, masked, surely_public
from callqa.searching import hits_in, seeds
from callqa.speech import Speaker
from callqa.store.search import candidates, turns_of
from callqa.store.search_find import Asked, Candidate, Narrowed
from callqa.store.tables import Agent, Call, TicketLink

MOST_CALLS = 500  # counted and paged through; beyond that a search wants another word, and says so
HITS_SHOWN = 4  # utterances a call
_LOOK_AT_ONCE = 100
_SHOWN = (Call.call_id, Call.started_at_ms, Call.duration_ms, Call.call_type, Call.agent_no)
_MOST_ROUNDS = 10  # of `most` calls that may hold a phrase; beyond that the search is told to be capped


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What is asked for. terms: as `searching.terms_of` gives them; all must occur in a call, said by `speaker`."""

    terms: tuple[str, ...]
    speaker: Speaker | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    agent_no: str | None = None
    own_agent_no: str | None = None
    ticket_no: str | None = None
    private: bool = False  # whether numbers that are masked for others may be found


@dataclass(frozen=True, slots=True)
class Hit:
    """One utterance with the words: its masked text in (piece, found)."""

    speaker: Speaker
    start_ms: int
    pieces: tuple[tuple[str, bool], ...]

    @property
    def text(self) -> str:
        return "".join(piece for piece, _ in self.pieces)


@dataclass(frozen=True, slots=True)
class FoundCall:
    """One call of a page of results. n_hits: all its utterances with the words, of which `hits` are the first."""

    call_id: str
    started_at_ms: int
    duration_ms: int | None
    call_type: str
    agent_no: str | None
    agent_name: str | None
    ticket_no: str | None
    hits: tuple[Hit, ...]
    n_hits: int


@dataclass(frozen=True, slots=True)
class Found:
    """One page. total: calls found in all; capped: there are more than that."""

    calls: tuple[FoundCall, ...]
    total: int
    capped: bool


def search_calls(session: Session, wanted: SearchQuery, *, offset: int, limit: int, most: int = MOST_CALLS) -> Found:
    """One page of the calls. No terms: nothing. Raise StoreError when the index is damaged."""
    if not wanted.terms:
        return Found((), 0, False)
    narrowed = Narrowed(wanted.start_ms, wanted.end_ms, wanted.agent_no, wanted.own_agent_no, wanted.ticket_no)
    all_found, more = list[Candidate](), False
    for _ in range(_MOST_ROUNDS):
        some = candidates(session, Asked(wanted.terms, wanted.speaker, wanted.private), narrowed, most + 1)
        all_found += _confirmed(session, wanted, some)
        more = len(some) > most
        if not more or len(all_found) > most:
            break
        narrowed = replace(narrowed, below_id=some[-1].id)  # pairs alone do not make a phrase: older calls may hold it
    capped = more or len(all_found) > most
    del all_found[most:]
    here = all_found[offset : offset + limit]
    return Found(tuple(_described(session, wanted, here)), len(all_found), capped)


def _confirmed(session: Session, wanted: SearchQuery, found: Sequence[Candidate]) -> Iterator[Candidate]:
    """Those in which every phrase stands in a row, outside of what must not be found."""
    for first in range(0, len(found), _LOOK_AT_ONCE):
        some = found[first : first + _LOOK_AT_ONCE]
        doubtful = [each.transcript_id for each in some if not each.proven]
        said = turns_of(session, doubtful) if doubtful else {}
        for each in some:
            if each.proven or _holds(wanted, said.get(each.transcript_id, [])):
                yield each


def _holds(wanted: SearchQuery, turns: Sequence[Turn]) -> bool:
    hidden = _hidden(wanted, turns)
    return all(
        any(hits_in(turn.text, [term], parts) for turn, parts in _spoken(wanted, turns, hidden))
        for term in wanted.terms
    )


def _hidden(wanted: SearchQuery, turns: Sequence[Turn]) -> Sequence[Sequence[PrivatePart]]:
    """What must not be found in each turn."""
    if wanted.private or MAY_BE_PRIVATE.isdisjoint("".join(wanted.terms)):
        return [()] * len(turns)
    return find_private(turns)


def _spoken(
    wanted: SearchQuery, turns: Sequence[Turn], hidden: Sequence[Sequence[PrivatePart]]
) -> Iterator[tuple[Turn, Sequence[PrivatePart]]]:
    for turn, parts in zip(turns, hidden, strict=True):
        if wanted.speaker is None or turn.speaker == wanted.speaker:
            yield turn, parts


def _described(session: Session, wanted: SearchQuery, found: Sequence[Candidate]) -> Iterator[FoundCall]:
    ids = [each.call_id for each in found]
    ticket_no = (
        sa_select(func.min(TicketLink.ticket_no))
        .where(col(TicketLink.call_id) == col(Call.call_id), col(TicketLink.state) == "linked")
        .scalar_subquery()
        .label("ticket_no")
    )
    rows = session.execute(
        sa_select(*map(col, _SHOWN), col(Agent.name).label("agent_name"), ticket_no)
        .join(Agent, col(Agent.agent_no) == col(Call.agent_no), isouter=True)
        .where(col(Call.call_id).in_(ids))
    ).all()
    calls = {row.call_id: row._asdict() for row in rows}
    said = turns_of(session, [each.transcript_id for each in found], seeds(wanted.terms))
    doubtful = [id_ for id_, turns in said.items() if _may_be_private(turns, _places(wanted, turns))]
    whole = turns_of(session, doubtful) if doubtful else {}  # a number may go over several turns
    for each in found:
        turns = whole.get(each.transcript_id)
        private = None if turns is None else find_private(turns)
        hits = list(_hits(wanted, turns or said.get(each.transcript_id, []), private))
        yield FoundCall(**calls[each.call_id], hits=tuple(hits[:HITS_SHOWN]), n_hits=len(hits))


def _places(wanted: SearchQuery, turns: Sequence[Turn]) -> dict[int, list[tuple[int, int]]]:
    """Where the words stand, by the turn's index."""
    return {
        index: places
        for index, turn in enumerate(turns)
        if (wanted.speaker is None or turn.speaker == wanted.speaker) and (places := hits_in(turn.text, wanted.terms))
    }


def _may_be_private(turns: Sequence[Turn], found: Iterable[int]) -> bool:
    """Whether one of these turns may hold a part of a private number."""
    return any(not surely_public(text, 0, len(text)) for text in (turns[index].text for index in found))


def _hits(wanted: SearchQuery, turns: Sequence[Turn], private: Sequence[Sequence[PrivatePart]] | None) -> Iterator[Hit]:
    """private: the parts of each turn; None where no turn with a hit can hold one."""
    for index, places in _places(wanted, turns).items():
        turn, parts = turns[index], private[index] if private else ()
        if parts and not wanted.private:
            places = hits_in(turn.text, wanted.terms, parts)
        if places:
            yield Hit(Speaker(turn.speaker), turn.start_ms, _pieces(masked(turn.text, parts), places))


def _pieces(text: str, places: Sequence[tuple[int, int]]) -> tuple[tuple[str, bool], ...]:
    pieces, at = [], 0
    for start, end in places:
        pieces += [(text[at:start], False), (text[start:end], True)]
        at = end
    return tuple(piece for piece in (*pieces, (text[at:], False)) if piece[0])
