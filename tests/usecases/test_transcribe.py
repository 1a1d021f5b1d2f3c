"""A call becomes one new transcript version, never inside a transaction, never twice for one claim."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from sqlmodel import select

from callqa.errors import EngineError, StoreError
from callqa.speech import Unprompted
from callqa.store.db import Database
from callqa.store.queries.transcription import newest_transcript
from callqa.store.tables import Call, TranscriptRow, UtteranceRow
from callqa.transcribe.engine import Float
from callqa.transcribe.repair import build_repairer
from callqa.usecases import progress
from callqa.usecases.ingest import ingest
from callqa.usecases.progress import Claim, Stage, StageState
from callqa.usecases.transcribe import Interrupted, load_transcript, save_transcript, transcribe
from tests.fakes_engine import FakeEngine as SpeakingEngine
from tests.transcribe.word_models import Unigrams
from tests.usecases.recorded import BASE_MS, DAY_FOLDER, FakeEngine, Recorder


@pytest.fixture
def recorder(tmp_path: Path, db: Database) -> Recorder:
    made = Recorder(tmp_path / "recordings")
    made.call("C1")
    made.call("C2", recorded=False)
    ingest(db, recordings=made.recordings, now_ms=BASE_MS)
    return made


class Clock:
    """Each look at it, `step_ms` have passed."""

    def __init__(self, step_ms: int = 10) -> None:
        self.now_ms, self.step_ms = BASE_MS, step_ms

    def __call__(self) -> int:
        self.now_ms += self.step_ms
        return self.now_ms


def _claim(db: Database, call_id: str = "C1") -> Claim:
    claimed = progress.claim(db, call_id, Stage.TRANSCRIBE, now_ms=BASE_MS)
    assert claimed is not None
    return claimed


def _view(db: Database, call_id: str = "C1") -> progress.StageView:
    return next(v for v in progress.progress_of_call(db, call_id) if v.stage is Stage.TRANSCRIBE)


def test_transcript_is_saved_with_what_made_it(db: Database, recorder: Recorder) -> None:
    result = transcribe(db, _claim(db), engine=FakeEngine(), recordings=recorder.recordings, clock=Clock())
    assert result.state is StageState.DONE
    with db.read() as session:
        call = session.get(Call, "C1")
        row = newest_transcript(session, "C1")
        assert call is not None
        assert row is not None
        value = load_transcript(session, row)
        utterances = session.exec(select(UtteranceRow)).all()
    assert (row.version, row.engine, row.recording_sha256) == (1, "fake 1", call.recording_sha256)
    assert row.mean_confidence == pytest.approx(0.9)
    assert len(utterances) == len(value.utterances) == 2
    assert [u.speaker.value for u in value.utterances] == ["agent", "citizen"]
    assert value.duration_ms == 4000
    assert value.speech_of(value.utterances[0].speaker.channel)  # type: ignore[arg-type]
    assert _view(db).percent == 100


def test_repairs_are_kept_with_what_was_there(db: Database, recorder: Recorder) -> None:
    engine = SpeakingEngine(lambda k: "水污热线"[k % 4])
    repairer = build_repairer(Unigrams())
    transcribe(db, _claim(db), engine=engine, repairer=repairer, recordings=recorder.recordings, clock=Clock())
    with db.read() as session:
        row = newest_transcript(session, "C1")
        assert row is not None and row.options["repair"] == "unigrams"
        transcript = load_transcript(session, row)
    found = [u for u in transcript.utterances if u.repairs]
    assert found and all("污" in u.as_heard.text and "务" in u.text for u in found)


def test_what_a_decode_without_prompt_wrote_is_kept(db: Database, recorder: Recorder) -> None:
    transcribe(db, _claim(db), engine=FakeEngine(), recordings=recorder.recordings, clock=Clock())
    with db.read() as session:
        row = newest_transcript(session, "C1")
        assert row is not None
        transcript = load_transcript(session, row)
    first = replace(transcript.utterances[0], unprompted=Unprompted("水务", 0.7, False))
    both = replace(transcript, utterances=(first, *transcript.utterances[1:]))
    with db.write() as session:
        save_transcript(session, "C1", both, cpu_s=None, now_ms=BASE_MS)
    with db.read() as session:
        row = newest_transcript(session, "C1")
        assert row is not None and load_transcript(session, row).utterances == both.utterances


def test_a_second_run_adds_a_version(db: Database, recorder: Recorder) -> None:
    for _ in range(2):
        transcribe(db, _claim(db), engine=FakeEngine(), recordings=recorder.recordings, clock=Clock())
        progress.want_again(db, ["C1"], Stage.TRANSCRIBE, actor="system", now_ms=BASE_MS)
    with db.read() as session:
        assert [row.version for row in session.exec(select(TranscriptRow))] == [1, 2]


def test_no_transaction_is_open_while_the_engine_works(db: Database, recorder: Recorder) -> None:
    """A page must never wait for a transcription, and SQLite has one writer."""
    seen: list[bool] = []
    engine = FakeEngine(before_decode=lambda: seen.append(db.transaction_open()))
    transcribe(db, _claim(db), engine=engine, recordings=recorder.recordings, clock=Clock())
    assert seen
    assert not any(seen)


def test_it_refuses_to_work_inside_a_transaction(db: Database, recorder: Recorder) -> None:
    claimed = _claim(db)
    with db.read(), pytest.raises(StoreError, match="must not run inside"):
        transcribe(db, claimed, engine=FakeEngine(), recordings=recorder.recordings, clock=Clock())


def test_without_an_engine_the_call_waits_and_says_for_what(db: Database, recorder: Recorder) -> None:
    result = transcribe(
        db, _claim(db), engine=None, engine_problem="模型文件夹是空的", recordings=recorder.recordings, clock=Clock()
    )
    assert (result.state, result.message) == (StageState.WAITING, "模型文件夹是空的")
    assert (_view(db).state, _view(db).attempts) == (StageState.WAITING, 0)


def test_a_call_without_recording_is_done(db: Database, recorder: Recorder) -> None:
    result = transcribe(db, _claim(db, "C2"), engine=None, recordings=recorder.recordings, clock=Clock())
    assert (result.state, result.message) == (StageState.DONE, "无录音")


def test_silence_is_done_and_says_so(db: Database, recorder: Recorder) -> None:
    class DeafEngine(FakeEngine):
        def speech_probabilities(self, samples: Float) -> Float:
            return 0 * FakeEngine.speech_probabilities(self, samples)

    engine = DeafEngine()
    result = transcribe(db, _claim(db), engine=engine, recordings=recorder.recordings, clock=Clock())
    assert (result.state, result.message) == (StageState.DONE, "没有听到语音")


def test_a_file_that_is_no_audio_fails_in_chinese(db: Database, recorder: Recorder) -> None:
    (recorder.recordings / DAY_FOLDER / "C1.wav").write_bytes(b"RIFF but no audio at all")
    result = transcribe(db, _claim(db), engine=FakeEngine(), recordings=recorder.recordings, clock=Clock())
    assert result.state is StageState.FAILED
    assert "音频" in result.message


def test_an_engine_that_breaks_fails_the_stage_only(db: Database, recorder: Recorder) -> None:
    def break_down() -> None:
        raise EngineError("显存不足；请减小 speech.parallel_calls")

    engine = FakeEngine(before_decode=break_down)
    result = transcribe(db, _claim(db), engine=engine, recordings=recorder.recordings, clock=Clock())
    assert (result.state, _view(db).message) == (StageState.FAILED, "显存不足；请减小 speech.parallel_calls")


def test_stopping_leaves_nothing_behind(db: Database, recorder: Recorder) -> None:
    engine = FakeEngine()
    with pytest.raises(Interrupted):
        transcribe(
            db,
            _claim(db),
            engine=engine,
            recordings=recorder.recordings,
            clock=Clock(),
            stopping=lambda: engine.decoded > 0,
        )
    with db.read() as session:
        assert session.exec(select(TranscriptRow)).all() == []


def test_a_claim_taken_over_saves_nothing(db: Database, recorder: Recorder) -> None:
    """The worker hung, was thought dead, another one finished; now it wakes up."""
    claimed = _claim(db)

    def other_worker_finishes() -> None:
        if _view(db).state is StageState.DONE:
            return
        progress.recover_dead(db, silent_since_ms=BASE_MS * 2, now_ms=BASE_MS)
        transcribe(db, _claim(db), engine=FakeEngine(), recordings=recorder.recordings, clock=Clock())

    with pytest.raises(Interrupted):
        transcribe(
            db,
            claimed,
            engine=FakeEngine(before_decode=other_worker_finishes),
            recordings=recorder.recordings,
            clock=Clock(step_ms=1),
        )
    with db.read() as session:
        assert len(session.exec(select(TranscriptRow)).all()) == 1


def test_progress_is_written_at_most_once_a_second(
    db: Database, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[int] = []
    monkeypatch.setattr(
        "callqa.usecases.transcribe.beat", lambda db, claim, *, now_ms, percent: beats.append(now_ms) or True
    )
    transcribe(db, _claim(db), engine=FakeEngine(), recordings=recorder.recordings, clock=Clock(step_ms=300))
    assert beats
    assert all(later - earlier >= 1000 for earlier, later in pairwise(beats))
