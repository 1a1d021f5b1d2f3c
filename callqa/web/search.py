"""检索: words in all transcripts, with filters, paging and export. Texts are masked here for everybody."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from callqa.errors import CallqaError
from callqa.periods import say_instant, say_offset
from callqa.privacy import mask_quote, mask_text
from callqa.searching import terms_of
from callqa.speech import SPEAKER_LABELS, Speaker
from callqa.store.db import Database
from callqa.store.queries import people as people_queries
from callqa.store.queries.search import MOST_CALLS, Found, FoundCall, SearchQuery, search_calls
from callqa.usecases.note_access import note_access
from callqa.web import format as fmt
from callqa.web.deps import DbDep, NowDep, Person, PersonDep, page, require
from callqa.web.listing import ListView, read_day, read_page
from callqa.web.navigation import NavItem
from callqa.web.tables import csv_answer

router = APIRouter()
NAV = (NavItem("检索", "/search", "calls.transcript", "search"),)

PER_PAGE = 20  # calls, each with some of its utterances
FILTER_NAMES = ("q", "speaker", "from", "to", "agent", "ticket")
ID_DIGITS = 4  # so many digits in a word, or in words of nothing else, ask for somebody's number


def read_query(
    request: Request,
    person: PersonDep,
    q: Annotated[str, Query(max_length=200)] = "",
    speaker: str = "",
    to: str = "",
    agent: str = "",
    ticket: Annotated[str, Query(max_length=40)] = "",
) -> SearchQuery:
    """What the address asks for, narrowed to what the person may see. Raise CallqaError for a date nobody can read."""
    first = request.query_params.get("from", "")
    start_ms, end_ms = read_day(first)[0] if first else None, read_day(to)[1] if to else None
    if start_ms is not None and end_ms is not None and end_ms <= start_ms:
        raise CallqaError("检索的起止日期颠倒了；请让“从”早于“到”")
    return SearchQuery(
        terms_of(q),
        Speaker(speaker) if speaker in set(Speaker) else None,
        start_ms,
        end_ms,
        agent or None,
        person.own_agent_no,
        ticket.strip() or None,
        private=person.can("calls.private"),
    )


QueryDep = Annotated[SearchQuery, Depends(read_query)]


def _params(request: Request) -> dict[str, str]:
    return {name: request.query_params[name] for name in FILTER_NAMES if request.query_params.get(name)}


def _search(db: Database, person: Person, wanted: SearchQuery, offset: int, limit: int, now_ms: int) -> Found:
    """The calls; a search for a number by somebody who may find it is written to the audit chain."""
    with db.read() as session:
        found = search_calls(session, wanted, offset=offset, limit=limit)
    pieces = [term for term in wanted.terms if term.isdigit()]
    in_pieces = sum(map(len, pieces)) >= ID_DIGITS
    asked = [
        term
        for term in wanted.terms
        if (in_pieces and term in pieces) or sum(char.isdigit() for char in term) >= ID_DIGITS
    ]
    if asked and wanted.private and found.total:
        detail = {"number": mask_quote(" ".join(asked)), "calls": found.total}
        note_access(db, actor=person.username, action="search.private", subject="", detail=detail, now_ms=now_ms)
    return found


@router.get("/search", dependencies=[require("calls.transcript")])
def search_page(request: Request, person: PersonDep, db: DbDep, wanted: QueryDep, now_ms: NowDep) -> Response:
    """One page of calls with the words, newest first."""
    number = read_page(request.query_params.get("page", ""))
    found = _search(db, person, wanted, (number - 1) * PER_PAGE, PER_PAGE, now_ms)
    view = ListView("/search", _params(request), "time", True, number, found.total, PER_PAGE)
    with db.read() as session:
        agents = people_queries.agent_names(session)
    return page(
        request,
        "search/search.html",
        view=view,
        found=found,
        terms=wanted.terms,
        agents=agents,
        most=MOST_CALLS,
        speakers=[(each.value, SPEAKER_LABELS[each]) for each in Speaker],
    )


@router.get("/search.csv", dependencies=[require("calls.export")])
def search_export(request: Request, person: PersonDep, db: DbDep, wanted: QueryDep, now_ms: NowDep) -> Response:
    """Every utterance shown on all pages, masked, as CSV; written to the audit chain."""
    found = _search(db, person, wanted, 0, MOST_CALLS, now_ms)
    query = mask_text(" ".join(wanted.terms))
    detail = {"calls": found.total, "query": query}
    note_access(db, actor=person.username, action="search.export", subject="", detail=detail, now_ms=now_ms)
    head = ("通话编号", "开始时间", "坐席", "工单", "位置", "说话人", "语句")
    return csv_answer("检索.csv", head, (row for call in found.calls for row in _rows(call)))


def _rows(found: FoundCall) -> list[tuple[object, ...]]:
    first = (
        found.call_id,
        say_instant(found.started_at_ms),
        fmt.agent_label(found.agent_no, found.agent_name),
        found.ticket_no or "",
    )
    return [(*first, say_offset(hit.start_ms), SPEAKER_LABELS[hit.speaker], hit.text) for hit in found.hits]
