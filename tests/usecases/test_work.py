"""One stage at a time, one engine a call, and what the reconciler finds to do when tickets come later."""

import json
import os
import threading
from pathlib import Path

import pytest

from callqa.config import Settings, SpeechSettings
from callqa.errors import ConflictError, EngineError, RubricError
from callqa.store.db import Database
from callqa.store.queries.calls_for_work import calls_whose_ticket_changed
from callqa.store.queries.transcription import newest_transcript
from callqa.store.tables import Ticket, TicketImport, TicketLink, VocabularyVersion
from callqa.transcribe.repair import Repairer, build_repairer
from callqa.usecases import link, progress
from callqa.usecases import work as work_module
from callqa.usecases.ingest import ingest
from callqa.usecases.load_rubric import load_rubric
from callqa.usecases.progress import STAGES, Stage
from callqa.usecases.work import ENGINE_RETRY_MS, EngineSlot, RepairSlot, Work, build_work
from tests.transcribe.word_models import Unigrams
from tests.usecases.recorded import BASE_MS, FakeEngine, Recorder
from tests.usecases.test_load_rubric import DEFAULT

NOW_MS = BASE_MS + 100_000


@pytest.fixture
def work(tmp_path: Path, db: Database) -> Work:
    recorder = Recorder(tmp_path / "recordings")
    recorder.call("C1")
    ingest(db, recordings=recorder.recordings, now_ms=BASE_MS)
    load_rubric(db, DEFAULT, now_ms=BASE_MS)
    return Work(db, recorder.recordings, EngineSlot(FakeEngine), clock=lambda: NOW_MS)


def _states(db: Database) -> list[str]:
    return [view.state.value for view in progress.progress_of_call(db, "C1")]


def test_stages_in_order_finish_the_call(work: Work, db: Database) -> None:
    assert [work.run_stage("C1", stage) for stage in STAGES] == ["done"] * 4
    assert _states(db) == ["done"] * 4
    assert [work.run_stage("C1", stage) for stage in STAGES] == ["not wanted"] * 4
    assert work.claims() == ()


def test_the_waveform_is_drawn_before_anybody_asks_for_it(work: Work, tmp_path: Path) -> None:
    work.var = tmp_path / "var"
    for stage in STAGES:
        work.run_stage("C1", stage)
    (kept,) = (tmp_path / "var" / "cache" / "peaks").iterdir()
    assert json.loads(kept.read_bytes())["duration_s"] == 4.0


def test_without_its_recording_a_call_is_still_checked(
    work: Work, db: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work.var = tmp_path / "var"
    for stage in STAGES[:3]:
        work.run_stage("C1", stage)
    next(work.recordings.rglob("C1.wav")).unlink()
    assert work.run_stage("C1", Stage.CHECK) == "done"
    assert "no peaks" in caplog.text


def test_check_comes_after_the_transcription(work: Work, db: Database) -> None:
    assert work.run_stage("C1", Stage.CHECK) == "not now"
    assert _states(db) == ["wanted"] * 4


def test_stop_starts_nothing(work: Work, db: Database) -> None:
    work.stop.set()
    assert work.run_stage("C1", Stage.LINK) == "not now"
    assert _states(db) == ["wanted"] * 4


def test_a_stage_that_breaks_fails_with_words_for_a_person(
    work: Work, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(db: Database, call_id: str, *, now_ms: int) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(link, "link", break_down)
    assert work.run_stage("C1", Stage.LINK) == "failed"
    view = next(v for v in progress.progress_of_call(db, "C1") if v.stage is Stage.LINK)
    assert "ZeroDivisionError" in view.message
    assert work.run_stage("C1", Stage.TRANSCRIBE) == "done"


def test_a_person_saving_first_costs_no_attempt(work: Work, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def conflict(db: Database, call_id: str, *, now_ms: int) -> None:
        raise ConflictError("通话刚被修改过")

    monkeypatch.setattr(link, "link", conflict)
    assert work.run_stage("C1", Stage.LINK) == "interrupted"
    assert (_states(db)[1], progress.progress_of_call(db, "C1")[1].attempts) == ("wanted", 0)


def test_no_engine_makes_calls_wait_until_there_is_one(work: Work, db: Database) -> None:
    made: list[FakeEngine] = []

    def factory() -> FakeEngine:
        if not made:
            raise EngineError("模型文件夹是空的；请放入 Whisper 模型")
        return made[0]

    slot = EngineSlot(factory)
    work.engine = slot
    assert work.run_stage("C1", Stage.TRANSCRIBE) == "waiting"
    assert "模型文件夹是空的" in progress.progress_of_call(db, "C1")[2].message
    made.append(FakeEngine())
    assert not slot.ready(NOW_MS + 1), "a failure is not tried again at once"
    assert slot.ready(NOW_MS + ENGINE_RETRY_MS)
    assert progress.wake_waiting(db, Stage.TRANSCRIBE, now_ms=NOW_MS) == 1
    assert work.run_stage("C1", Stage.TRANSCRIBE) == "done"


def test_a_waiting_call_says_what_is_in_the_way_now(db: Database, work: Work) -> None:
    problems = ["模型文件夹不存在"]

    def factory() -> FakeEngine:
        if problems:
            raise EngineError(problems[0])
        return FakeEngine()

    def transcription() -> progress.StageView:
        return progress.progress_of_call(db, "C1")[2]

    work.engine = EngineSlot(factory)
    assert work.run_stage("C1", Stage.TRANSCRIBE) == "waiting"
    before = transcription()
    work.look_at_waiting(NOW_MS + ENGINE_RETRY_MS)
    assert transcription() == before, "nothing new, nothing written"
    problems[0] = "模型文件 model.bin 不完整"
    work.look_at_waiting(NOW_MS + 2 * ENGINE_RETRY_MS)
    assert (transcription().message, transcription().state) == (
        "模型文件 model.bin 不完整",
        progress.StageState.WAITING,
    )
    problems.clear()
    work.look_at_waiting(NOW_MS + 3 * ENGINE_RETRY_MS)
    assert (transcription().message, transcription().state) == ("", progress.StageState.WANTED)


def test_the_repair_is_loaded_once_and_again_when_the_vocabulary_changed(tmp_path: Path) -> None:
    loaded: list[str] = []
    path = tmp_path / "vocabulary.yaml"
    repairer = build_repairer(Unigrams())

    words: list[str] = []

    def load(text: str, added: tuple[str, ...]) -> Repairer:
        loaded.append(text + "".join(added))
        if text == "bad":
            raise RubricError(1, "词表有误")
        return repairer

    slot = RepairSlot(path, load, lambda: tuple(words))
    assert slot.get() is repairer and slot.get() is repairer and loaded == [""]
    for n, text in enumerate(("good", "bad")):
        path.write_text(text)
        os.utime(path, ns=(n + 1, n + 1))
        assert slot.get() is repairer and slot.get() is repairer, "a bad vocabulary leaves the last good one"
    assert loaded == ["", "good", "bad"]
    words.append("泵站")
    path.write_text("good")
    assert slot.get() is repairer and loaded[-1] == "good泵站", "a word that the leader accepted is in force at once"


def test_engine_is_made_once_for_calls_one_after_the_other_and_twice_side_by_side() -> None:
    made: list[FakeEngine] = []
    slot = EngineSlot(lambda: made.append(FakeEngine()) or made[-1])
    with slot.lend(0) as one:
        pass
    with slot.lend(0) as again, slot.lend(0) as beside:
        assert again is one
        assert beside is not one
    assert len(made) == 2


def test_heartbeat_keeps_a_claim_alive(work: Work, db: Database) -> None:
    seen: list[int] = []

    def look() -> None:
        work.beat(NOW_MS + 50_000)
        seen.append(progress.recover_dead(db, silent_since_ms=NOW_MS + 40_000, now_ms=NOW_MS + 50_000))

    work.engine = EngineSlot(lambda: FakeEngine(before_decode=look))
    assert work.run_stage("C1", Stage.TRANSCRIBE) == "done"
    assert seen
    assert set(seen) == {0}


def test_calls_checked_before_their_ticket_came_are_found(work: Work, db: Database) -> None:
    for stage in STAGES:
        work.run_stage("C1", stage)
    with db.write() as session:
        session.add(
            TicketImport(
                id=1,
                file_name="a",
                file_sha256="",
                imported_at_ms=NOW_MS - 1,
                imported_by="x",
                rows_new=1,
                rows_changed=0,
                rows_same=0,
            )
        )
        session.flush()
        session.add(Ticket(ticket_no="SW1", import_id=1))
        session.flush()
        session.add(
            TicketLink(
                call_id="C1", ticket_no="SW1", state="linked", method="evidence", score=80, decided_at_ms=NOW_MS - 1
            )
        )

    def found(since_ms: int = 0) -> list[str]:
        with db.read() as session:
            return list(calls_whose_ticket_changed(session, since_ms, limit=10))

    assert found() == []
    with db.write() as session:
        session.get(TicketLink, 1).decided_at_ms = NOW_MS + 10  # type: ignore[union-attr]
    assert found() == ["C1"]
    assert found(since_ms=NOW_MS + 11) == []
    with db.write() as session:
        session.get(TicketLink, 1).decided_at_ms = NOW_MS - 1  # type: ignore[union-attr]
        session.get(TicketImport, 1).imported_at_ms = NOW_MS + 10  # type: ignore[union-attr]
    assert found() == ["C1"]
    assert progress.want_again(db, found(), Stage.CHECK, actor="system", now_ms=NOW_MS + 20) == 1
    assert found() == []
    assert _states(db) == ["done", "done", "done", "wanted"]


def test_an_engine_named_in_the_settings_does_the_transcribing(tmp_path: Path, db: Database) -> None:
    """A second engine is one file: tests/fakes_engine.py behind a loader, found by the setting speech.engine."""
    recorder = Recorder(tmp_path / "recordings")
    recorder.call("C1")
    ingest(db, recordings=recorder.recordings, now_ms=BASE_MS)
    speech = SpeechSettings(engine="tests.transcribe.test_checkup:load_fake")
    settings = Settings(home=tmp_path, speech=speech)
    work = build_work(settings, db, clock=lambda: NOW_MS, stop=threading.Event(), worker="w")
    assert work.run_stage("C1", Stage.TRANSCRIBE) == "done"
    with db.read() as session:
        row = newest_transcript(session, "C1")
    assert row is not None and row.engine == "fake 1"
    wrong = Settings(home=tmp_path, speech=SpeechSettings(engine="tests.transcribe.test_checkup:nothing"))
    other = build_work(wrong, db, clock=lambda: NOW_MS, stop=threading.Event(), worker="w")
    assert not other.engine.ready(NOW_MS) and "speech.engine" in other.engine.problem


def test_the_words_that_the_leader_accepted_reach_the_repairer(
    tmp_path: Path, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(work_module, "make_repairer", lambda text, model, words: asked.append(words))
    work = build_work(Settings(home=tmp_path), db, clock=lambda: NOW_MS, stop=threading.Event(), worker="w")
    work.repair.get()
    with db.write() as session:
        session.add(VocabularyVersion(version=1, words=["泵站"], change="收入", made_by="leader", made_at_ms=NOW_MS))
    work.repair.get()
    assert asked == [(), ("泵站",)]


def test_calls_wait_for_a_person_whatever_an_engine_of_the_site_raises_when_it_loads() -> None:
    def factory() -> FakeEngine:
        raise TypeError("no such model")

    slot = EngineSlot(factory)
    with slot.lend(NOW_MS) as engine:
        assert engine is None
    assert "no such model" in slot.problem and "callqa asr check" in slot.problem
