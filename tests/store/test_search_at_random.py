"""Searching compared with reading every text: small corpora drawn at random, on SQLite and on PostgreSQL.

Calls are transcribed anew, several times and in any order, some are confidential; numbers go over several turns, with
fillers between their pieces. One seed, one corpus; a failure names it.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import Session, delete

from callqa.privacy import MAY_BE_PRIVATE, Turn, find_private, masked
from callqa.searching import fold, terms_of
from callqa.speech import Speaker
from callqa.store import search, search_find
from callqa.store.db import Database
from callqa.store.migrate import migrate
from callqa.store.queries.search import SearchQuery, search_calls
from callqa.store.tables import (
    Account,
    Agent,
    Call,
    ConfidentialCall,
    SearchDoc,
    TicketLink,
    TranscriptRow,
    UtteranceRow,
)
from tests.builders import add_call, add_ticket, at
from tests.store import postgres
from tests.store_fixture import make_database

START_MS = at("2026-11-01 08:00")
QUERIES = 60
KEPT = (50, 191, 202, 211, 219, 236)  # told apart what was not the same once
# Few words, so that they meet; numbers whole and in pieces; what stands between pieces; other spellings.
SAID = (
    "漏水 停水 水 漏 电话 您的电话是 手机号 是 工单编号 水表 一个 三天 第二次 十二栋 要 叉 好的 的 了 那个 嗯 然后 吃 "
    "Wi-Fi ＡＢ a x X ⽔ ㈰ ㍻ ， 。 、 … % _ \\ 😀 é ﬁ"
)
NUMBERS = "幺三八七幺二零六三五八 13871206358 八二七五三三二零 027-82753320 420106199001011237 6222021234567890128"
AGENTS = ("801", "802")
TICKETS = ("SW202611010001", "SW202611010002")


@pytest.fixture(scope="module")
def pg() -> Iterator[Database]:
    with postgres.server() as url:
        migrate(url)
        database = Database(url)
        yield database
        database.dispose()


class Corpus:
    """Calls with what was said in their newest transcript."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.n_calls = self.draw.randint(1, 25)
        self.calls: dict[str, dict[str, object]] = {}
        self.turns: dict[str, list[Turn]] = {}
        self.written: list[tuple[int, str, int, list[Turn]]] = []  # transcript id, call, version, turns; as they came
        spread = self.draw.choice((1, 30_000, 200_000))
        ids = self.draw.sample(range(1, 3 * self.n_calls * spread + 60), 3 * self.n_calls)
        for n in range(self.n_calls):
            self.calls[f"C{n:02d}"] = {
                "started_at_ms": START_MS + self.draw.randrange(0, 90_000, 1000),
                "agent_no": self.draw.choice(AGENTS),
                "ticket_no": self.draw.choice((None, *TICKETS)),
                "confidential": self.draw.random() < 0.1,
            }
        versions = [call_id for call_id in self.calls for _ in range(self.draw.choice((0, 1, 1, 1, 2, 3)))]
        self.draw.shuffle(versions)
        for call_id in versions:
            self.turns[call_id] = self.conversation()
            version = sum(each[1] == call_id for each in self.written) + 1
            self.written.append((ids.pop(), call_id, version, self.turns[call_id]))

    def conversation(self) -> list[Turn]:
        words = [*self.draw.choices(SAID.split(" "), k=self.draw.randint(0, 30))]
        if self.draw.random() < 0.6:  # a number in pieces, each with a word before it or not
            rest = self.draw.choice(NUMBERS.split())
            while rest:
                size = self.draw.randint(1, len(rest))
                words += [self.draw.choice(("", "", "，", "嗯", "那个", "|", "|", "吃")), rest[:size]]
                rest = rest[size:]
            words.insert(self.draw.randrange(len(words)), "我的手机号是")
        said = "".join(word + "|" * (self.draw.random() < 0.15) for word in words).split("|")
        speaker = self.draw.choice(tuple(Speaker)).value
        turns = []
        for n, words_here in enumerate(said):
            speaker = speaker if self.draw.random() < 0.5 else self.draw.choice(tuple(Speaker)).value
            turns.append(Turn(speaker, n * 4000, n * 4000 + 3500, words_here))
        return turns

    def store(self, db: Database) -> None:
        with db.write() as session:
            for table in (SearchDoc, UtteranceRow, TranscriptRow, TicketLink, ConfidentialCall, Call, Agent, Account):
                session.exec(delete(table))
            session.execute(text("delete from ticket"))
            search.reset(session)
            account = Account(username="x", display_name="x", role="shift_leader", password_hash="")
            session.add(account)
            for agent_no in AGENTS:
                session.add(Agent(agent_no=agent_no, name="王小雨"))
            session.flush()
            for ticket_no in TICKETS:
                add_ticket(session, ticket_no)
            for call_id, call in self.calls.items():
                add_call(session, call_id, call["started_at_ms"], agent_no=call["agent_no"])
                if call["ticket_no"]:
                    session.add(TicketLink(call_id=call_id, ticket_no=call["ticket_no"], state="linked", method="manual",
                                           score=0, decided_at_ms=1))  # fmt: skip
                if call["confidential"]:
                    session.add(ConfidentialCall(call_id=call_id, reason="密", marked_by=account.id, marked_at_ms=1))
            for transcript_id, call_id, version, turns in self.written:
                self.write(session, transcript_id, call_id, version, turns)
                search.index_call(session, call_id)

    def write(self, session: Session, transcript_id: int, call_id: str, version: int, turns: list[Turn]) -> None:
        session.add(TranscriptRow(id=transcript_id, call_id=call_id, version=version, engine="fake", model_sha256="",
                                  recording_sha256="", duration_ms=1000, created_at_ms=1))  # fmt: skip
        session.flush()
        for n, turn in enumerate(turns):
            session.add(UtteranceRow(transcript_id=transcript_id, index=n, speaker=turn.speaker, start_ms=turn.start_ms,
                                     end_ms=turn.end_ms, text=turn.text, raw_text=turn.text, confidence=0.9))  # fmt: skip

    def query(self) -> SearchQuery:
        terms: tuple[str, ...] = ()
        while not terms:
            pieces = []
            for _ in range(self.draw.choice((1, 1, 1, 2, 3))):
                said = "".join(turn.text for turn in self.draw.choice([*self.turns.values(), [Turn("", 0, 0, "水")]]))
                first = self.draw.randrange(len(said) + 1)
                pieces.append(said[first : first + self.draw.randint(1, 6)])
            terms = terms_of(" ".join(pieces))
        times = [None, *(START_MS + self.draw.randrange(0, 90_000, 500) for _ in range(2))]
        return SearchQuery(
            terms,
            self.draw.choice((None, None, *Speaker)),
            self.draw.choice(times),
            self.draw.choice(times),
            self.draw.choice((None, None, None, "801", "999")),
            self.draw.choice((None, None, None, "802", "")),
            self.draw.choice((None, None, None, *TICKETS)),
            private=self.draw.random() < 0.5,
        )

    def read(self, wanted: SearchQuery) -> dict[str, tuple[int, list[tuple[str, str]]]]:
        """call_id -> (utterances with a word, [(masked text, its marked pieces)]): what must be found."""
        found = {}
        for call_id, turns in self.turns.items():
            call = self.calls[call_id]
            if not self.asked_for(call_id, call, wanted):
                continue
            hits = [hits_of(turn, parts, wanted) for turn, parts in zip(turns, find_private(turns), strict=True)]
            if all(any(term in each for each in hits) for term in wanted.terms):
                shown = [
                    (masked(turn.text, parts), marked(turn.text, parts, its))
                    for turn, parts, its in zip(turns, find_private(turns), hits, strict=True)
                    if its
                ]
                found[call_id] = (len(shown), shown[:4])
        return found

    def asked_for(self, call_id: str, call: dict[str, object], wanted: SearchQuery) -> bool:
        started = call["started_at_ms"]
        return (
            not call["confidential"]
            and (wanted.start_ms is None or started >= wanted.start_ms)
            and (wanted.end_ms is None or started < wanted.end_ms)
            and wanted.agent_no in (None, call["agent_no"])
            and wanted.own_agent_no in (None, call["agent_no"])
            and wanted.ticket_no in (None, call["ticket_no"])
        )


def hits_of(turn: Turn, parts: tuple, wanted: SearchQuery) -> dict[str, list[tuple[int, int]]]:
    """term -> where it stands in a turn, where that may be found."""
    if wanted.speaker is not None and turn.speaker != wanted.speaker:
        return {}
    folded = fold(turn.text)
    found: dict[str, list[tuple[int, int]]] = {}
    for term in wanted.terms:
        for first in range(len(folded.text)):
            if folded.text.startswith(term, first):
                start, end = folded.places[first], folded.places[first + len(term) - 1] + 1
                hidden = not wanted.private and not MAY_BE_PRIVATE.isdisjoint(term)
                if not (hidden and any(start < part.end and part.start < end for part in parts)):
                    found.setdefault(term, []).append((start, end))
    return found


def marked(said: str, parts: tuple, hits: dict[str, list[tuple[int, int]]]) -> str:
    """The masked text with a bar on either side of what was found."""
    chosen = {at for places in hits.values() for start, end in places for at in range(start, end)}
    return "".join(char for at, char in enumerate(masked(said, parts)) if at in chosen)


@pytest.mark.slow
@pytest.mark.parametrize("seed", (*range(6), *KEPT))
def test_what_is_found_is_what_reading_every_text_finds(
    seed: int, pg: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus(seed)
    sqlite = make_database(tmp_path)
    for db in (sqlite, pg):
        corpus.store(db)
    for n in range(QUERIES):
        for name, values in (
            ("_FIRST_WINDOW", (1, 3, 1000)),
            ("_LARGEST_WINDOW", (2, 20_000)),
            ("_WIDE", (0, 12_000)),
            ("_MOST_LIKES", (0, 6)),
            ("_CALLS_A_KEY", (0, 5, 1_000_000)),
        ):
            monkeypatch.setattr(search_find, name, corpus.draw.choice(values))
        wanted, most = corpus.query(), corpus.draw.choice((1, 3, 50))
        offset, limit = corpus.draw.choice(((0, 50), (1, 2), (30, 5)))
        expected = corpus.read(wanted)
        for db in (sqlite, pg):
            where = f"seed {seed}, query {n}, {db.url.partition(':')[0]}: {wanted}, most {most}"
            with db.read() as session:
                ids = dict(session.execute(text("select call_id, id from search_doc where call_id is not null")).all())
                page = search_calls(session, wanted, offset=offset, limit=limit, most=most)
            newest = sorted(expected, key=lambda call_id: -ids[call_id])
            assert page.total == min(most, len(newest)), (where, newest)
            assert page.capped == (len(newest) > most), where
            assert [each.call_id for each in page.calls] == newest[:most][offset : offset + limit], where
            for each in page.calls:
                n_hits, shown = expected[each.call_id]
                assert each.n_hits == n_hits, (where, each)
                assert [(hit.text, "".join(p for p, found in hit.pieces if found)) for hit in each.hits] == shown, where
                assert each.agent_no == corpus.calls[each.call_id]["agent_no"], where
                assert each.ticket_no == corpus.calls[each.call_id]["ticket_no"], where
    sqlite.dispose()
