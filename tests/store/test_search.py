"""Searching transcripts: the same on SQLite and PostgreSQL."""

import itertools
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import Session, col, delete, select, update

from callqa.searching import fold, fold_text, hits_in, keys_of, spellings, terms_of
from callqa.speech import Made, Span, Speaker, Transcript, Utterance
from callqa.store import search, search_find
from callqa.store.db import Database
from callqa.store.migrate import migrate
from callqa.store.queries.search import SearchQuery, search_calls
from callqa.store.tables import (
    Account,
    Agent,
    Call,
    CallProgress,
    ConfidentialCall,
    SearchDoc,
    TicketLink,
    TranscriptRow,
    UtteranceRow,
)
from callqa.text import is_han
from callqa.usecases.reindex import index_missing, reindex
from callqa.usecases.transcribe import save_transcript
from tests.builders import add_call, add_ticket, at
from tests.store import postgres
from tests.store_fixture import make_database

STORIES = {
    "C1": ("2026-09-03 08:00", "801", [("a", "您好，武汉水务热线。"), ("c", "我们小区漏水了，漏得很大。"), ("a", "好的，马上安排。")]),
    "C2": ("2026-10-05 09:00", "802", [("a", "您好。"), ("c", "家里停水，从早上六点停到现在。"), ("a", "停水的原因是管道抢修。")]),
    "C3": ("2026-11-01 10:00", "801", [("c", "水表在漏，水很小。"), ("a", "您的电话是幺三八七幺二零六三五八吗？"), ("c", "对。")]),
    "C4": ("2026-11-01 10:00", "802", [("c", "下水道堵了，Wi-Fi 也断了。"), ("a", "给您登记，工单尾号零幺幺二。")]),
}  # fmt: skip
SPEAKERS = {"a": Speaker.AGENT, "c": Speaker.CITIZEN}


def transcript(lines: list[tuple[str, str]]) -> Transcript:
    said = tuple(
        Utterance(i, SPEAKERS[who], Span(i * 4000, i * 4000 + 3500), words, words, 0.9)
        for i, (who, words) in enumerate(lines)
    )
    return Transcript(said, ((), ()), len(lines) * 4000, Made("fake", "0" * 64, (), "1" * 64))


def say(session: Session, call_id: str, lines: list[tuple[str, str]]) -> None:
    save_transcript(session, call_id, transcript(lines), cpu_s=None, now_ms=1)


def add_transcript(session: Session, call_id: str, transcript_id: int, words: str) -> None:
    session.add(
        TranscriptRow(
            id=transcript_id, call_id=call_id, version=1, engine="fake", model_sha256="", recording_sha256="",
            duration_ms=1000, created_at_ms=1,
        )
    )  # fmt: skip
    session.flush()
    session.add(
        UtteranceRow(
            transcript_id=transcript_id, index=0, speaker="citizen", start_ms=0, end_ms=900, text=words, raw_text=words,
            confidence=0.9,
        )
    )  # fmt: skip


def fill(db: Database) -> None:
    with db.write() as session:
        for no in ("801", "802"):
            session.add(Agent(agent_no=no, name="王小雨"))
        session.flush()
        for call_id, (when, agent_no, lines) in STORIES.items():
            add_call(session, call_id, at(when), agent_no=agent_no)
            say(session, call_id, lines)
        add_ticket(session, "SW202611010001")
        session.add(
            TicketLink(
                call_id="C3", ticket_no="SW202611010001", state="linked", method="manual", score=0, decided_at_ms=1
            )
        )


@pytest.fixture(scope="module")
def pg_url() -> Iterator[str]:
    with postgres.server() as url:
        migrate(url)
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        database = make_database(tmp_path)
    else:
        database = Database(request.getfixturevalue("pg_url"))
        with database.write() as session:
            for table in (SearchDoc, UtteranceRow, TranscriptRow, TicketLink, CallProgress, Call, Agent):
                session.exec(delete(table))
            session.execute(text("delete from ticket"))
    fill(database)
    yield database
    database.dispose()


def found(db: Database, words: str, **more: object) -> list[str]:
    with db.read() as session:
        page = search_calls(session, SearchQuery(terms_of(words), **more), offset=0, limit=50)  # type: ignore[arg-type]
    assert page.total == len(page.calls)
    return [each.call_id for each in page.calls]


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        ("漏水", ["C1"]),  # 在漏，水 is the same in a row; see below
        ("漏", ["C3", "C1"]),
        ("水", ["C4", "C3", "C2", "C1"]),
        ("停水", ["C2"]),
        ("停水的原因", ["C2"]),
        ("停水原因", []),
        ("停水 抢修", ["C2"]),
        ("停水 漏", []),
        ("wifi", ["C4"]),
        ("WIFI也断", ["C4"]),
        ("0112", ["C4"]),
        ("零一一二", ["C4"]),
        ("6点", ["C2"]),
        ("電話", ["C3"]),
        ("了漏得", ["C1"]),  # punctuation is no border
        ("热线我们", []),  # an utterance is
        ("，", []),
        ("'\" OR *", []),
    ],
)
def test_words_are_found(db: Database, words: str, calls: list[str]) -> None:
    expected = ["C3", "C1"] if words == "漏水" else calls
    assert found(db, words) == expected


def test_a_search_is_narrowed_by_speaker_time_agent_and_ticket(db: Database) -> None:
    assert found(db, "停水", speaker=Speaker.CITIZEN) == ["C2"]
    assert found(db, "您好", speaker=Speaker.CITIZEN) == []
    assert found(db, "水", start_ms=at("2026-10-05 09:00")) == ["C4", "C3", "C2"]
    assert found(db, "水", end_ms=at("2026-10-05 09:00")) == ["C1"]
    assert found(db, "水", start_ms=at("2026-09-03 08:00"), end_ms=at("2026-11-01 10:00")) == ["C2", "C1"]
    assert found(db, "水", agent_no="801") == ["C3", "C1"]
    assert found(db, "水", own_agent_no="802") == ["C4", "C2"]
    assert found(db, "水", own_agent_no="") == []
    assert found(db, "水", ticket_no="SW202611010001") == ["C3"]


def test_a_private_number_is_found_only_by_who_may_see_it(db: Database) -> None:
    for words in ("13871206358", "幺三八七", "三八", "63", "是1", "是13871206358", "8"):
        assert "C3" not in found(db, words), words
        assert "C3" in found(db, words, private=True), words
    assert found(db, "电话是") == ["C3"]
    with db.read() as session:  # and nobody reads it in the list of results
        page = search_calls(session, SearchQuery(terms_of("13871206358"), private=True), offset=0, limit=9)
    (hit,) = page.calls[0].hits
    assert hit.text == "您的电话是幺三八****六三五八吗？"
    assert [piece for piece, marked in hit.pieces if marked] == ["幺三八****六三五八"]


def test_a_figure_within_words_is_found_by_everybody(db: Database) -> None:
    with db.write() as session:
        say(session, "C1", [("c", "我们这一个小区停了三天"), ("a", "您的电话是幺三八七幺二零六三五八吗？")])
        say(session, "C2", [("a", "您的电话是幺三八七幺二零"), ("a", "六三五八吗？")])
    assert found(db, "一个") == found(db, "三天") == found(db, "这一个小") == ["C1"]
    assert found(db, "六三") == []
    assert found(db, "六三", private=True) == ["C3", "C2", "C1"]


def test_common_and_uncommon_single_characters_are_found(db: Database) -> None:
    with db.write() as session:
        say(session, "C1", [("c", "的水獭"), ("a", "獭")])
        say(session, "C2", [("c", "鳄")])
    assert found(db, "獭") == ["C1"]
    assert found(db, "鳄") == ["C2"]
    assert found(db, "獭", speaker=Speaker.AGENT) == ["C1"]
    assert found(db, "鳄", speaker=Speaker.AGENT) == []
    assert found(db, "的") == ["C3", "C1"]
    assert found(db, "鱼") == []


def test_words_are_found_however_unicode_spells_them(db: Database) -> None:
    with db.write() as session:
        say(session, "C1", [("c", "⽔，漏㈰子。"), ("a", "㍻㋀")])
        say(session, "C2", [("c", "水，漏日子。")])
        say(session, "C3", [("c", "平成元月")])
        say(session, "C4", [("c", "水，，子漏")])
    assert found(db, "水漏") == found(db, "日子") == found(db, "漏日子") == found(db, "日") == ["C2", "C1"]
    assert found(db, "平成") == found(db, "成") == found(db, "月") == ["C3", "C1"]
    with db.read() as session:
        page = search_calls(session, SearchQuery(terms_of("水漏")), offset=1, limit=1)
    assert [piece for piece, marked in page.calls[0].hits[0].pieces if marked] == ["⽔，漏"]


def test_every_spelling_of_a_han_character_is_known() -> None:
    for char in map(chr, range(sys.maxunicode + 1)):
        if not unicodedata.is_normalized("NFKC", char):
            assert all(char in spellings(plain) for plain in fold_text(char) if is_han(plain)), hex(ord(char))


def test_calls_are_found_newest_first_however_many_and_in_whatever_order_indexed(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_find, "_FIRST_WINDOW", 2)
    monkeypatch.setattr(search_find, "_LARGEST_WINDOW", 10)
    starts = {f"M{n:02d}": at("2026-10-01 08:00") + n * 7 % 40 * 60_000 for n in range(40)}
    with db.write() as session:
        for call_id, start_ms in starts.items():
            add_call(session, call_id, start_ms, agent_no="801" if int(call_id[1:]) % 3 else "802")
            transcript_id = 100_000 + 12_000 * (40 - int(call_id[1:]))  # of groups of their own
            add_transcript(session, call_id, transcript_id, "水獭来了" if int(call_id[1:]) % 4 else "鳄鱼来了")
        search.index_calls(session, list(starts))
    newest = sorted(starts, key=lambda call_id: -starts[call_id])
    otters = [call_id for call_id in newest if int(call_id[1:]) % 4]
    assert found(db, "水獭") == found(db, "獭") == found(db, "水獭来了") == otters
    assert found(db, "来了") == newest
    assert found(db, "鳄鱼", end_ms=starts[newest[9]]) == [each for each in newest[10:] if each not in otters]
    assert found(db, "水獭", start_ms=starts[newest[9]]) == [each for each in newest[:10] if each in otters]
    with db.read() as session:
        page = search_calls(session, SearchQuery(terms_of("水獭")), offset=4, limit=3, most=9)
    assert ([each.call_id for each in page.calls], page.total, page.capped) == (otters[4:7], 9, True)


def test_a_phrase_is_found_behind_calls_that_hold_its_pairs_only(db: Database) -> None:
    with db.write() as session:
        for n in range(6):
            add_call(session, f"N{n}", at("2026-11-02 08:00") + n * 60_000, agent_no="801")
            say(session, f"N{n}", [("c", "停水的"), ("a", "水的原因")])
    with db.read() as session:
        page = search_calls(session, SearchQuery(terms_of("停水的原")), offset=0, limit=2, most=2)
    assert ([each.call_id for each in page.calls], page.total, page.capped) == (["C2"], 1, False)


def test_a_large_index_is_merged_in_bounded_steps(db: Database) -> None:
    before = {words: found(db, words) for words in ("水", "漏水", "停水的原因", "0112")}
    for _ in range(100):
        with db.write() as session:
            more = search.tidy(session)
        if not more:
            break
    assert not more
    assert {words: found(db, words) for words in before} == before


def test_a_confidential_call_is_not_found(db: Database) -> None:
    with db.write() as session:
        account = Account(username="x", display_name="x", role="shift_leader", password_hash="")
        session.add(account)
        session.flush()
        session.add(ConfidentialCall(call_id="C1", reason="保密", marked_by=account.id or 0, marked_at_ms=1))
    assert found(db, "漏水") == ["C3"]
    with db.write() as session:
        session.exec(delete(ConfidentialCall))
        session.exec(delete(Account))


def test_hits_name_their_utterance_and_mark_the_words(db: Database) -> None:
    with db.read() as session:
        page = search_calls(session, SearchQuery(terms_of("漏")), offset=1, limit=1)
    assert (page.total, page.capped, page.calls[0].call_id) == (2, False, "C1")
    (hit,) = page.calls[0].hits
    assert (hit.speaker, hit.start_ms) == (Speaker.CITIZEN, 4000)
    assert hit.pieces == (("我们小区", False), ("漏", True), ("水了，", False), ("漏", True), ("得很大。", False))


def test_only_the_newest_transcript_is_found(db: Database) -> None:
    with db.write() as session:
        say(session, "C1", [("c", "我们小区路水了。")])
    assert found(db, "漏水") == ["C3"]
    assert found(db, "路水") == ["C1"]
    assert found(db, "安排") == []


def test_a_word_corrected_in_place_is_no_longer_found(db: Database) -> None:
    with db.write() as session:
        session.exec(update(UtteranceRow).where(UtteranceRow.text == "水表在漏，水很小。").values(text="水表在楼下。"))
        search.index_call(session, "C3")
    assert found(db, "在漏") == []
    assert found(db, "楼下") == ["C3"]
    with db.read() as session:
        assert len(session.exec(select(SearchDoc.id).where(col(SearchDoc.call_id).is_not(None))).all()) == 4


def test_a_deleted_call_is_no_longer_found_and_leaves_nothing(db: Database) -> None:
    with db.write() as session:
        search.forget_call(session, "C2")
        ids = session.exec(select(TranscriptRow.id).where(TranscriptRow.call_id == "C2")).all()
        session.exec(delete(UtteranceRow).where(UtteranceRow.transcript_id.in_(ids)))  # type: ignore[attr-defined]
        session.exec(delete(TranscriptRow).where(TranscriptRow.call_id == "C2"))  # type: ignore[arg-type]
        session.exec(delete(Call).where(Call.call_id == "C2"))  # type: ignore[arg-type]
    assert found(db, "停水") == []
    if db.is_sqlite:
        with db.read() as session:
            rows = session.execute(text("select rowid from search_fts where search_fts match '\"c停水\"'")).all()
        assert rows == []


def test_what_is_rolled_back_is_not_found(db: Database) -> None:
    with pytest.raises(RuntimeError), db.write() as session:
        say(session, "C1", [("c", "不会留下的话")])
        raise RuntimeError
    assert found(db, "留下") == []
    assert found(db, "漏水") == ["C3", "C1"]


def test_the_index_is_made_anew_after_damage(db: Database) -> None:
    before = {words: found(db, words) for words in ("水", "漏水", "停水的原因", "0112")}
    with db.write() as session:
        if db.is_sqlite:
            session.execute(text("delete from search_fts_data where id > 10"))
            session.execute(text("update search_fts_data set block = x'00' where id = 10"))
        session.exec(delete(SearchDoc).where(SearchDoc.call_id == "C2"))  # type: ignore[arg-type]
    assert found_or_refused(db, "停水") != ["C2"]
    with db.write() as session:  # a transcript is kept whatever the index is like
        say(session, "C4", STORIES["C4"][2])
    assert reindex(db, now_ms=at("2026-11-22 14:05")) == 4
    assert {words: found(db, words) for words in before} == before


def found_or_refused(db: Database, words: str) -> list[str] | str:
    try:
        return found(db, words)
    except search.StoreError as e:
        assert "callqa reindex" in str(e)
        return str(e)


def test_transcripts_of_an_earlier_version_are_indexed_later(db: Database) -> None:
    with db.write() as session:
        search.forget_call(session, "C1")
        search.forget_call(session, "C4")
    assert found(db, "漏水") == ["C3"]
    assert index_missing(db) == 2
    assert index_missing(db) == 0
    assert found(db, "漏水") == ["C3", "C1"]


def test_counts_beyond_the_limit_are_not_claimed(db: Database) -> None:
    with db.read() as session:
        page = search_calls(session, SearchQuery(terms_of("水")), offset=0, limit=2, most=3)
    assert [each.call_id for each in page.calls] == ["C4", "C3"]
    assert (page.total, page.capped) == (3, True)


@pytest.mark.slow
def test_postgresql_folds_and_cuts_as_we_do(pg_url: str) -> None:
    database = Database(pg_url)
    with database.read() as session:
        for said in (
            "",
            "水",
            "漏水了。",
            "Wi-Fi ＡＢ３ 幺三八，两○零！",
            "ｱ é ß 𠀀 㐀鿿 龘①",
            "龟鿿是鿿的䶵水龟",
            "他说“停水”…\n（笑）İK",
        ):
            for id_ in (7, 170_000, 67_000_000):
                query = text("select callqa_fold(:s), callqa_search_keys(:s, :id)")
                plain = fold_text(said)
                assert tuple(session.execute(query, {"s": said, "id": id_}).one()) == (plain, keys_of(plain, id_)), said
    database.dispose()


@given(st.text(max_size=40), st.integers(0, 38), st.integers(1, 6))
def test_every_piece_of_a_text_is_found_in_it(said: str, first: int, length: int) -> None:
    folded = fold(said)
    piece = folded.text[first : first + length]
    if piece:
        places = hits_in(said, [piece])
        assert places
        assert all(0 <= a < b <= len(said) for a, b in places)
        assert all(x[1] <= y[0] for x, y in itertools.pairwise(places))


def test_what_is_said_between_the_pieces_of_a_number_is_found_by_everybody(db: Database) -> None:
    with db.write() as session:
        say(session, "C1", [("c", "您的电话是幺三八七那个幺二零吃六三五八")])
    for words in ("那个", "吃", "那个 电话"):
        assert found(db, words) == found(db, words, private=True) == ["C1"], words
    for words in ("七那个", "那个幺", "0吃"):
        assert found(db, words) == [], words
        assert found(db, words, private=True) == ["C1"], words


def test_more_calls_than_are_shown_are_told_of_also_behind_doubtful_ones(db: Database) -> None:
    with db.write() as session:
        say(session, "C4", [("c", "停水的"), ("a", "水的原因")])  # the pairs alone
        say(session, "C3", [("c", "停水的原因")])
    with db.read() as session:
        page = search_calls(session, SearchQuery(terms_of("停水的原")), offset=0, limit=2, most=1)
    assert ([each.call_id for each in page.calls], page.total, page.capped) == (["C3"], 1, True)
