"""更正: versions with author and reason, marks, errors counted, words offered; what reads transcripts sees the person's."""

from pathlib import Path

import pytest
from sqlmodel import select

from callqa.errors import CallqaError, ConflictError, StateError
from callqa.periods import Month
from callqa.speech import Repair
from callqa.store.db import Database
from callqa.store.queries.call_page import find_call_page
from callqa.store.queries.calls import CallFilter, list_calls
from callqa.store.queries.calls_for_work import calls_whose_ticket_changed
from callqa.store.queries.transcription import (
    errors_by_month,
    newest_transcript,
    offered_words,
    speech_work,
    versions_of,
)
from callqa.store.tables import AuditEntry, CheckRun, Evaluation, TranscriptRow, VocabularyCandidate
from callqa.transcribe.corrections import offers, stretches
from callqa.transcribe.repair import build_repairer
from callqa.usecases import progress
from callqa.usecases.accounts import ensure_admin
from callqa.usecases.check import check
from callqa.usecases.correct import Correction, correct_transcript
from callqa.usecases.evaluate import open_evaluation
from callqa.usecases.ingest import ingest
from callqa.usecases.load_rubric import load_rubric
from callqa.usecases.progress import Stage, StageState
from callqa.usecases.transcribe import load_transcript, transcribe
from callqa.usecases.vocabulary import accept_candidate, refuse_candidate, remove_word, site_words
from tests.fakes_engine import FakeEngine
from tests.store_fixture import make_database
from tests.transcribe.word_models import Unigrams
from tests.usecases.recorded import BASE_MS, Recorder
from tests.usecases.test_load_rubric import DEFAULT

NOW_MS = BASE_MS + 100_000


@pytest.fixture
def db(tmp_path: Path):
    database = make_database(tmp_path)
    recorder = Recorder(tmp_path / "recordings")
    recorder.call("C1")
    ingest(database, recordings=recorder.recordings, now_ms=BASE_MS)
    load_rubric(database, DEFAULT, now_ms=BASE_MS)
    hear(database, tmp_path, "您好水污热线请讲话呀")
    yield database
    database.dispose()


def hear(db: Database, folder: Path, text: str) -> None:
    """The machine transcribes C1; both sides say `text`."""
    claimed = progress.claim(db, "C1", Stage.TRANSCRIBE, now_ms=NOW_MS)
    assert claimed is not None
    engine = FakeEngine(lambda k: text[k % len(text)])
    transcribe(db, claimed, engine=engine, recordings=folder / "recordings", clock=lambda: NOW_MS)


def newest(db: Database) -> TranscriptRow:
    with db.read() as session:
        found = newest_transcript(session, "C1")
    assert found is not None and found.id is not None
    return found


def texts(db: Database) -> list[str]:
    with db.read() as session:
        row = newest_transcript(session, "C1")
        assert row is not None
        return [u.text for u in load_transcript(session, row).utterances]


def correct(db: Database, index: int, text: str, **more: object) -> TranscriptRow:
    given = {"base_id": newest(db).id, "actor": "leader", "now_ms": NOW_MS + 1, **more}
    verified = bool(given.pop("verified", False))
    return correct_transcript(db, "C1", Correction({index: text}, "听录音更正", verified), **given)  # type: ignore[arg-type]


def test_a_correction_is_a_version_and_the_machines_stays(db: Database) -> None:
    before = texts(db)
    right = before[0].replace("水污", "水务")
    made = correct(db, 0, f"  {right}\n")
    assert (made.version, made.author, made.reason, made.based_on) == (2, "leader", "听录音更正", 1)
    assert texts(db) == [right, before[1]]
    with db.read() as session:
        value = load_transcript(session, made)
        assert [row.version for row in versions_of(session, "C1")] == [2, 1]
        first = versions_of(session, "C1")[1]
        assert [u.text for u in load_transcript(session, first).utterances] == before
        said = session.exec(select(AuditEntry).where(AuditEntry.action == "transcript.correct")).one()
    place = right.index("务")
    assert value.utterances[0].corrections == (Repair(place, place + 1, "污"),)
    assert value.utterances[0].machine_text == before[0]
    assert (value.utterances[0].reliable, value.utterances[0].confidence) == (True, 1.0)
    assert value.utterances[1].corrections == ()
    assert "务" not in str(said.detail), "the audit chain holds no words of a citizen"
    assert said.detail["changed"] == 1


def test_what_is_put_in_taken_out_or_emptied_is_marked(db: Database) -> None:
    for text in ("您好。", "", "您好，水务热线，请问有什么可以帮您？"):
        before = texts(db)[0]
        made = correct(db, 0, text)
        with db.read() as session:
            found = load_transcript(session, made).utterances[0]
        assert found.text == text != before
        assert found.machine_text.startswith("您好") and "水污" in found.machine_text, (
            "the marks lead back to the machine"
        )


def test_search_checks_and_pages_see_the_confirmed_text(db: Database, tmp_path: Path) -> None:
    correct(db, 0, texts(db)[0].replace("水污", "水务"))
    with db.read() as session:
        span = Month.of(BASE_MS)
        found = {
            words: len(
                list_calls(
                    session,
                    CallFilter(start_ms=span.start_ms, end_ms=span.end_ms, words=words),
                    sort="time",
                    descending=True,
                    offset=0,
                    limit=10,
                )
            )
            for words in ("水务热线", "您好水污")
        }
        shown = find_call_page(session, "C1")
    assert found == {"水务热线": 1, "您好水污": 0}, "the word that was corrected is not found any more"
    assert shown is not None and shown.transcript is not None and shown.transcript.author == "leader"


def test_the_check_is_made_again_and_an_evaluation_keeps_its_version(db: Database, tmp_path: Path) -> None:
    ensure_admin(db, now_ms=NOW_MS)

    def check_now(now_ms: int) -> None:
        claimed = progress.claim(db, "C1", Stage.CHECK, now_ms=now_ms)
        assert claimed is not None
        check(db, claimed, recordings=tmp_path / "recordings", clock=lambda: now_ms)

    check_now(NOW_MS)
    evaluation_id = open_evaluation(db, "C1", evaluator_id=1, now_ms=NOW_MS)
    made = correct(db, 0, texts(db)[0].replace("水污", "水务"))
    states = {v.stage: v.state for v in progress.progress_of_call(db, "C1")}
    assert (states[Stage.TRANSCRIBE], states[Stage.CHECK]) == (StageState.DONE, StageState.WANTED)
    check_now(NOW_MS + 2)
    with db.read() as session:
        runs = session.exec(select(CheckRun).order_by(CheckRun.id)).all()  # type: ignore[arg-type]
        evaluation = session.get(Evaluation, evaluation_id)
    assert [run.transcript_id for run in runs][-1] == made.id
    assert evaluation is not None and evaluation.transcript_id == runs[0].transcript_id != made.id


def test_a_check_that_ran_meanwhile_is_found_by_the_worker(db: Database, tmp_path: Path) -> None:
    """It had read the old text when the person saved."""
    claimed = progress.claim(db, "C1", Stage.CHECK, now_ms=NOW_MS)
    assert claimed is not None
    correct(db, 0, texts(db)[0].replace("水污", "水务"), now_ms=NOW_MS + 50)
    with db.write() as session:
        assert progress.finish(session, claimed, progress.StageResult(StageState.DONE), now_ms=NOW_MS)
    with db.read() as session:
        assert calls_whose_ticket_changed(session, 0, limit=10) == ["C1"]


def test_somebody_else_was_first(db: Database) -> None:
    base = newest(db).id
    correct(db, 0, "您好，水务热线。")
    with pytest.raises(ConflictError, match="刷新"):
        correct(db, 1, "您好。", base_id=base)


@pytest.mark.parametrize(
    ("text", "reason", "said"),
    [("您好。", " ", "理由"), ("您好。", "因" * 201, "理由"), ("您" * 1001, "听录音更正", "最多 1000 字")],
)
def test_what_cannot_be_is_refused(db: Database, text: str, reason: str, said: str) -> None:
    with pytest.raises(CallqaError, match=said):
        correct_transcript(
            db, "C1", Correction({0: text}, reason), base_id=newest(db).id or 0, actor="leader", now_ms=NOW_MS
        )
    assert newest(db).version == 1


def test_no_change_is_no_version_but_a_verified_text_is(db: Database) -> None:
    with pytest.raises(StateError, match="没有改动"):
        correct(db, 0, texts(db)[0])
    made = correct(db, 0, texts(db)[0], verified=True)
    assert (made.version, made.verified, made.machine_edits) == (2, True, 0)
    with pytest.raises(StateError, match="没有改动"):
        correct(db, 0, texts(db)[0], verified=True)


def test_errors_are_told_by_month_and_the_whole_texts_apart(db: Database) -> None:
    made = correct(db, 0, texts(db)[0].replace("水污", "水务"))
    chars = sum(c.isalnum() for text in texts(db) for c in text)
    with db.read() as session:
        (month,) = errors_by_month(session)
    assert (month.month, month.calls, month.edits, month.chars) == ("2026-11", 1, made.machine_edits, chars)
    assert month.edits >= 1 and month.verified_rate is None
    correct(db, 1, texts(db)[1].replace("水污", "水务"), verified=True)
    with db.read() as session:
        (month,) = errors_by_month(session)
    assert month.calls == month.verified_calls == 1, "the newest version of a call counts, once"
    assert month.verified_rate == month.rate == month.edits / chars


def test_another_transcription_keeps_the_confirmed_text_in_force(db: Database, tmp_path: Path) -> None:
    correct(db, 0, texts(db)[0].replace("水污", "水务"))
    confirmed = texts(db)
    assert progress.transcribe_again(db, None, subject="全部", actor="leader", now_ms=NOW_MS + 2) == 1
    hear(db, tmp_path, "别的说法")
    with db.read() as session:
        versions = [(row.version, row.author, row.reason) for row in versions_of(session, "C1")]
    assert versions == [
        (4, "leader", "重新转写后沿用：听录音更正"),
        (3, "", ""),
        (2, "leader", "听录音更正"),
        (1, "", ""),
    ]
    assert texts(db) == confirmed
    assert (newest(db).machine_edits or 0) > 5, "counted against the newer machine text"


def test_repaired_characters_that_a_person_confirmed_are_repaired_no_more(db: Database, tmp_path: Path) -> None:
    progress.want_again(db, ["C1"], Stage.TRANSCRIBE, actor="system", now_ms=NOW_MS)
    claimed = progress.claim(db, "C1", Stage.TRANSCRIBE, now_ms=NOW_MS)
    assert claimed is not None
    engine = FakeEngine(lambda k: "水污热线"[k % 4])
    transcribe(
        db,
        claimed,
        engine=engine,
        repairer=build_repairer(Unigrams()),
        recordings=tmp_path / "recordings",
        clock=lambda: NOW_MS,
    )
    made = correct(db, 0, texts(db)[0], verified=True)
    with db.read() as session:
        assert all(not u.repairs for u in load_transcript(session, made).utterances)


def test_words_are_offered_decided_once_and_make_versions(db: Database) -> None:
    correct(db, 0, texts(db)[0].replace("水污热线", "东湖泵站热线"))
    with db.read() as session:
        offered = offered_words(session)
    assert [o.candidate.word for o in offered] == ["东湖泵站"]
    candidate = offered[0].candidate
    assert candidate.id is not None and "【" in candidate.context
    assert accept_candidate(db, candidate.id, "泵站", actor="leader", now_ms=NOW_MS) == 1
    assert site_words(db) == ("泵站",)
    with pytest.raises(StateError, match="已经处理"):
        refuse_candidate(db, candidate.id, actor="leader", now_ms=NOW_MS)
    with pytest.raises(CallqaError, match="不能收进词表"):
        accept_candidate(db, candidate.id, "13871206358", actor="leader", now_ms=NOW_MS)
    assert remove_word(db, "泵站", actor="leader", now_ms=NOW_MS) == 2
    assert site_words(db) == ()
    with db.read() as session:
        states = {c.word: c.state for c in session.exec(select(VocabularyCandidate))}
    assert states[candidate.word] == "accepted"


def test_numbers_are_never_offered_and_a_lone_character_comes_with_its_neighbour() -> None:
    assert [o.word for o in offers("这里是水污热线", "这里是水务热线")] == ["水务"]
    assert list(offers("电话幺三八七", "电话幺三九七")) == []
    assert list(offers("尾号1234", "尾号1235")) == []
    assert stretches("abc", "abc") == ()


def test_a_number_reaches_the_offered_words_neither_as_what_stood_there_nor_around_a_word() -> None:
    assert list(offers("电话13871206358谢谢", "电话号码略去谢谢")) == []
    assert list(offers("电话幺三八七幺谢谢", "电话号码略去谢谢")) == []
    (one,) = offers("幺三八，七幺二，零，六三水污", "幺三八，七幺二，零，六三水务")
    assert (one.word, one.was, one.context) == ("水务", "污", "*，*，**【水务】")
    (one,) = offers("水污1387120", "水务1387120")
    assert one.context == "【水务】******"
    (one,) = offers("一起来水污吧", "一起来水务吧")
    assert one.context == "一起来【水务】吧", "one digit is a word"


def test_how_far_it_is_and_how_long_it_takes(db: Database) -> None:
    with db.read() as session:
        work = speech_work(session, NOW_MS)
    assert (work.wanted, work.done, work.left_ms, work.eta_ms) == (0, 1, 0, None)
    progress.want_again(db, ["C1"], Stage.TRANSCRIBE, actor="system", now_ms=NOW_MS)
    with db.write() as session:
        for version, at_ms in ((5, NOW_MS), (6, NOW_MS + 4000)):
            row = newest_transcript(session, "C1")
            assert row is not None
            copy = {k: v for k, v in row.model_dump().items() if k != "id"}
            session.add(TranscriptRow(**{**copy, "version": version, "created_at_ms": at_ms}))
            session.flush()
    with db.read() as session:
        work = speech_work(session, NOW_MS + 8000)
    assert (work.wanted, work.left_ms) == (1, 4000)
    assert work.eta_ms == pytest.approx(8000 * 4000 / 12000, abs=2)


def test_a_word_that_nobody_can_tell_from_another_by_ear_is_not_taken(db: Database) -> None:
    """Taking 厚湖大道 beside 后湖大道 would switch off the repair of both."""
    correct(db, 0, texts(db)[0].replace("水污热线", "东湖泵站热线"))
    with db.read() as session:
        candidate = offered_words(session)[0].candidate
    assert candidate.id is not None
    with pytest.raises(CallqaError, match="“厚湖大道”与词表里的“后湖大道”听不出分别"):
        accept_candidate(db, candidate.id, "厚湖大道", actor="leader", now_ms=NOW_MS, packaged=["后湖大道", "泵站"])
    assert site_words(db) == (), "the word can still be decided"
    assert accept_candidate(db, candidate.id, "后湖大道", actor="leader", now_ms=NOW_MS, packaged=["后湖大道"]) == 1


def test_what_a_person_writes_in_traditional_characters_is_kept_simplified(db: Database) -> None:
    with db.read() as session:
        base = newest_transcript(session, "C1")
    made = correct_transcript(
        db,
        "C1",
        Correction({0: "您好，東湖漏電，乾隆路，ｗｉｆｉ⽔，cafe\u0301"}, "听"),
        base_id=base.id,
        actor="x",
        now_ms=NOW_MS,
    )
    with db.read() as session:
        assert load_transcript(session, made).utterances[0].text == "您好，东湖漏电，乾隆路，wifi水，café"
