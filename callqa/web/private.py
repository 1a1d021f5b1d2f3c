"""What is masked in transcripts: the button that shows it, and what templates need to mask. Every showing is noted."""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import APIRouter, Form
from fastapi.responses import Response

from callqa.privacy import MASK, Turn, find_private, masked, number_pieces
from callqa.store.tables import UtteranceRow
from callqa.text import digits_of
from callqa.usecases.show_private import show_private
from callqa.web.deps import DbDep, NowDep, PersonDep, load_own_call, own_path, redirect, require
from callqa.web.navigation import NavItem

router = APIRouter()
NAV: tuple[NavItem, ...] = ()


@router.post("/calls/{call_id}/private", dependencies=[require("calls.private")])
def show(call_id: str, person: PersonDep, db: DbDep, now_ms: NowDep, next: Annotated[str, Form()] = "") -> Response:
    """Note the viewing and go back to the page, which then shows the whole numbers."""
    load_own_call(db, person, call_id)
    sequence = show_private(db, call_id, actor=person.username, now_ms=now_ms)
    path, query = hidden_again(own_path(next, f"/calls/{call_id}"))
    return redirect(f"{path}?{urlencode([*query, ('shown', sequence)])}")


def hidden_again(address: str) -> tuple[str, list[tuple[str, str]]]:
    """(path, query) of a page's address without what shows private numbers."""
    parts = urlsplit(address)
    return parts.path, [(name, value) for name, value in parse_qsl(parts.query) if name != "shown"]


def masked_texts(utterances: Sequence[UtteranceRow]) -> list[str]:
    """Their texts as everybody may see them, in the same order and as long."""
    turns = _turns(utterances)
    return [masked(turn.text, parts) for turn, parts in zip(turns, find_private(turns), strict=True)]


def private_pieces(utterances: Sequence[UtteranceRow]) -> dict[str, tuple[int, ...]]:
    """What is hidden of their private numbers, for quotes from the call; see `privacy.number_pieces`."""
    return number_pieces(_turns(utterances))


def _turns(utterances: Sequence[UtteranceRow]) -> list[Turn]:
    return [Turn(u.speaker, u.start_ms, u.end_ms, u.text) for u in utterances]


def masked_pieces(pieces: Sequence[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
    """Pieces of a masked text, each with what stood there before (None or "": the same); old digits tell nothing."""
    return [(piece, MASK * 3 if was and (MASK in piece or len(digits_of(was)) > 2) else was) for piece, was in pieces]
