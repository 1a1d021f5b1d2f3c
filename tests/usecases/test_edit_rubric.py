"""The rubric edited in the browser, published from a date on, and tried over a month before."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import select

from callqa.errors import ConflictError, RubricError, StateError
from callqa.scoring.rubric import parse_rubric
from callqa.scoring.scorer import score
from callqa.store.db import Database
from callqa.store.tables import Account, AuditEntry, Call, RubricTrial, RubricVersion, TranscriptRow
from callqa.usecases import edit_rubric, try_rubric
from callqa.usecases.check import call_facts
from callqa.usecases.load_rubric import load_rubric, rubric_in_force
from tests.builders import add_call, add_people, add_transcript, at
from tests.store_fixture import make_database
from tests.usecases.test_load_rubric import DEFAULT

NOW_MS = at("2026-11-22 14:05:00")
DAY_MS = 86_400_000
TEXT = DEFAULT.read_text(encoding="utf-8")
BROKEN = TEXT.replace("op: keyword_any", "op: keyword_eny", 1)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = make_database(tmp_path)
    load_rubric(database, DEFAULT, now_ms=at("2026-11-01 08:00:00"))
    with database.write() as session:
        add_people(session)
        session.add(Account(username="leader", display_name="班长", role="shift_leader", password_hash="x"))
        for n in range(3):
            call = add_call(session, f"2026110{n + 5}T232210000Z-A1", at(f"2026-11-0{n + 5} 07:22:10"))
            heard(add_transcript(session, call))
        bad = add_call(session, "20261109T232210000Z-A1", at("2026-11-09 07:22:10"))
        add_transcript(session, bad).speech = []  # a row without its speech cannot be read
        add_call(session, "20261108T232210000Z-A1", at("2026-11-08 07:22:10"))  # not transcribed
        other = add_call(session, "20261008T232210000Z-A1", at("2026-10-08 07:22:10"))
        heard(add_transcript(session, other))
    yield database
    database.dispose()


def heard(row: TranscriptRow) -> None:
    """Both sides spoke, the agent first."""
    row.speech = [[[8_000, 12_000]], [[0, 5_000]]]


def draft(db: Database) -> edit_rubric.Draft:
    with db.read() as session:
        found = edit_rubric.find_draft(session, NOW_MS)
    assert found is not None
    return found


def test_the_draft_begins_as_the_version_in_force_and_keeps_mistakes_with_their_line(db: Database) -> None:
    first = draft(db)
    assert (first.source, first.version, first.mistakes) == (TEXT, 0, ())
    version = edit_rubric.save_draft(db, BROKEN.replace("\n", "\r\n"), version=0, account_id=1, now_ms=NOW_MS)
    kept = draft(db)
    assert kept.source == BROKEN and kept.version == version == 1 and kept.based_on == first.based_on
    line = next(n for n, text in enumerate(BROKEN.splitlines(), 1) if "keyword_eny" in text)
    (mistake,) = kept.mistakes
    assert mistake.line == line
    assert "keyword_eny" in mistake.message and "keyword_any" in mistake.message  # the near miss
    assert [n for n, _ in mistake.around] == list(range(line - 2, line + 3))
    with pytest.raises(ConflictError):
        edit_rubric.save_draft(db, TEXT, version=0, account_id=1, now_ms=NOW_MS)
    with pytest.raises(RubricError, match=f"第 {line} 行"):
        edit_rubric.publish(db, version=1, effective_from_ms=NOW_MS, account_id=1, now_ms=NOW_MS)


def test_a_version_is_in_force_from_its_date_on(db: Database) -> None:
    before = draft(db).based_on
    text = TEXT.replace("version: 1", "version: 2", 1)
    edit_rubric.save_draft(db, text, version=0, account_id=1, now_ms=NOW_MS)
    with pytest.raises(StateError, match="早于现在"):
        edit_rubric.publish(db, version=1, effective_from_ms=NOW_MS - 1, account_id=1, now_ms=NOW_MS)
    new = edit_rubric.publish(db, version=1, effective_from_ms=NOW_MS + DAY_MS, account_id=1, now_ms=NOW_MS)
    with db.read() as session:
        assert rubric_in_force(session, NOW_MS + DAY_MS - 1).rubric_hash == before  # type: ignore[union-attr]
        assert rubric_in_force(session, NOW_MS + DAY_MS).rubric_hash == new  # type: ignore[union-attr]
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "rubric.publish")).one()
        stored = session.get(RubricVersion, new)
    assert stored is not None and stored.source == text and parse_rubric(text).rubric_hash == new
    assert entry.detail["based_on"] == before and entry.actor == "leader"
    assert draft(db).version == 0  # the draft is gone
    edit_rubric.save_draft(db, text, version=0, account_id=1, now_ms=NOW_MS)
    with pytest.raises(StateError, match="完全相同"):
        edit_rubric.publish(db, version=1, effective_from_ms=NOW_MS, account_id=1, now_ms=NOW_MS)
    # the file that was there before does not take over again
    assert not load_rubric(db, DEFAULT, now_ms=NOW_MS + 2 * DAY_MS).new


def test_a_word_list_goes_into_the_draft(db: Database) -> None:
    words = ["您好", "工号", "新的说法"]
    version = edit_rubric.save_words(db, "agent_id", words, version=0, account_id=1, now_ms=NOW_MS)
    found = draft(db)
    assert found.version == version and found.rubric is not None
    assert found.rubric.lexicon("agent_id").words == tuple(words)
    with pytest.raises(RubricError, match="语气词或标点"):
        edit_rubric.save_words(db, "agent_id", ["，"], version=1, account_id=1, now_ms=NOW_MS)
    with pytest.raises(ConflictError):
        edit_rubric.save_words(db, "agent_id", words, version=0, account_id=1, now_ms=NOW_MS)
    edit_rubric.discard_draft(db, account_id=1, now_ms=NOW_MS)
    assert draft(db).source == TEXT


# The hotline's name is never said: one rule reports another result on every call.
CHANGED = re.sub(r"(id: S1\.1-2,.*?words: )\[[^]]*\]", r"\1[谁也不会说的词]", TEXT, count=1)


def ask(db: Database, text: str = CHANGED, month: str = "2026-11") -> int:
    return try_rubric.ask_trial(
        db, month=month, old_hash=draft(db).based_on or "", new_source=text, account_id=1, now_ms=NOW_MS
    )


def trial(db: Database, trial_id: int) -> RubricTrial:
    with db.read() as session:
        row = try_rubric.find_trial(session, trial_id)
    assert row is not None
    return row


def ticking(step_ms: int):
    """A clock that moves by itself at every look."""
    now = [NOW_MS]

    def clock() -> int:
        now[0] += step_ms
        return now[0]

    return clock


def test_a_trial_shows_what_changes_and_changes_nothing(db: Database, tmp_path: Path) -> None:
    assert CHANGED != TEXT
    trial_id = ask(db)
    assert trial(db, trial_id).total == 4
    assert not try_rubric.work_a_while(db, recordings=tmp_path, clock=ticking(0))
    row = trial(db, trial_id)
    assert (row.state, row.done, row.result["calls"]) == ("done", 4, 3)
    assert row.result["skipped"] == 1
    with db.read() as session:
        call = session.get(Call, "20261105T232210000Z-A1")
        assert call is not None
        facts = replace(call_facts(session, call, now_ms=NOW_MS), loudness=())
    before, after = score(parse_rubric(TEXT), facts), score(parse_rubric(CHANGED), facts)
    example = next(e for e in row.result["examples"] if e["call_id"] == call.call_id)
    assert (example["old"], example["new"]) == (float(before.auto_score), float(after.auto_score))
    keys = [{(s.check_id, s.option_code) for s in outcome.suggestions} for outcome in (before, after)]
    assert {text.split(" → ")[0] for text in example["added"]} == {check for check, _ in keys[1] - keys[0]}
    assert row.result["changed"] == 3 and row.result["by_check"]
    with db.read() as session:
        assert len(session.exec(select(RubricVersion)).all()) == 1  # nothing was published


def test_a_trial_goes_on_where_it_was_and_can_be_stopped(db: Database, tmp_path: Path) -> None:
    trial_id = ask(db)
    assert try_rubric.work_a_while(db, recordings=tmp_path, clock=ticking(1000))  # one call a slice
    assert (trial(db, trial_id).state, trial(db, trial_id).done) == ("running", 1)
    with pytest.raises(StateError, match="已有一次试跑"):
        ask(db)
    assert try_rubric.work_a_while(db, recordings=tmp_path, clock=ticking(1000))
    assert trial(db, trial_id).done == 2
    try_rubric.stop_trial(db, trial_id, now_ms=NOW_MS)
    assert not try_rubric.work_a_while(db, recordings=tmp_path, clock=ticking(0))
    assert (trial(db, trial_id).state, trial(db, trial_id).result["calls"]) == ("stopped", 2)


def test_what_cannot_be_tried_says_why(db: Database) -> None:
    with pytest.raises(StateError, match="完全相同"):
        ask(db, TEXT)
    with pytest.raises(RubricError):
        ask(db, BROKEN)
    with pytest.raises(StateError, match="没有已转写的通话"):
        ask(db, month="2026-09")
    for n in range(try_rubric.KEPT_TRIALS + 3):
        try_rubric.stop_trial(db, ask(db, month="2026-10"), now_ms=NOW_MS + n)
    with db.read() as session:
        assert len(session.exec(select(RubricTrial)).all()) == try_rubric.KEPT_TRIALS
