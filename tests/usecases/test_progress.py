"""Claims: one worker a stage, void when taken over; retries are bounded; a person can ask again."""

from pathlib import Path

import pytest
from sqlmodel import select

from callqa.store.db import Database
from callqa.store.queries.calls_for_work import calls_with_wanted_stages
from callqa.store.queries.progress import add_wanted
from callqa.store.tables import AuditEntry, Call
from callqa.usecases import progress
from callqa.usecases.progress import MAX_ATTEMPTS, RETRY_AFTER_MS, STAGES, Stage, StageResult, StageState
from tests.store_fixture import make_database

DONE = StageResult(StageState.DONE)


@pytest.fixture
def db(tmp_path: Path):
    database = make_database(tmp_path)
    with database.write() as session:
        for call_id in ("C1", "C2"):
            session.add(
                Call(call_id=call_id, direction="inbound", call_type="inbound", outcome="answered", started_at_ms=1)
            )
            session.flush()
            add_wanted(session, call_id, STAGES, 0)
    yield database
    database.dispose()


def _finish(db: Database, claim: progress.Claim, result: StageResult, now_ms: int) -> bool:
    with db.write() as session:
        return progress.finish(session, claim, result, now_ms=now_ms)


def _state(db: Database, stage: Stage, call_id: str = "C1") -> progress.StageView:
    return next(view for view in progress.progress_of_call(db, call_id) if view.stage is stage)


def test_one_claim_at_a_time(db: Database) -> None:
    first = progress.claim(db, "C1", Stage.LINK, now_ms=1)
    assert first == progress.Claim("C1", Stage.LINK, 1)
    assert progress.claim(db, "C1", Stage.LINK, now_ms=2) is None
    assert _finish(db, first, DONE, 3)
    assert progress.claim(db, "C1", Stage.LINK, now_ms=4) is None
    assert (_state(db, Stage.LINK).state, _state(db, Stage.LINK).percent) == (StageState.DONE, 100)


def test_a_worker_thought_dead_cannot_finish_or_beat(db: Database) -> None:
    lost = progress.claim(db, "C1", Stage.TRANSCRIBE, now_ms=1)
    assert lost is not None
    assert progress.recover_dead(db, silent_since_ms=100, now_ms=100) == 1
    new = progress.claim(db, "C1", Stage.TRANSCRIBE, now_ms=101)
    assert new is not None
    assert not progress.beat(db, lost, now_ms=102, percent=50)
    assert not _finish(db, lost, DONE, 103)
    assert progress.beat(db, new, now_ms=104, percent=50)
    assert _state(db, Stage.TRANSCRIBE).percent == 50
    assert _finish(db, new, DONE, 105)


def test_a_beating_worker_is_not_recovered(db: Database) -> None:
    claimed = progress.claim(db, "C1", Stage.TRANSCRIBE, now_ms=1)
    assert claimed is not None
    progress.beat(db, claimed, now_ms=200)
    assert progress.recover_dead(db, silent_since_ms=100, now_ms=201) == 0


def test_a_stage_that_kills_every_worker_is_given_up(db: Database) -> None:
    for n in range(MAX_ATTEMPTS):
        assert progress.claim(db, "C1", Stage.TRANSCRIBE, now_ms=n * 10) is not None
        progress.recover_dead(db, silent_since_ms=n * 10 + 1, now_ms=n * 10 + 2)
    view = _state(db, Stage.TRANSCRIBE)
    assert view.state is StageState.FAILED
    assert "已停止重试" in view.message


def test_failed_stages_come_again_after_a_pause_and_not_for_ever(db: Database) -> None:
    now_ms = 0
    for pause_ms in RETRY_AFTER_MS:
        claimed = progress.claim(db, "C1", Stage.LINK, now_ms=now_ms)
        assert claimed is not None
        _finish(db, claimed, StageResult(StageState.FAILED, "磁盘已满"), now_ms)
        assert progress.retry_failed(db, now_ms=now_ms + pause_ms) == 0
        now_ms += pause_ms + 1
        assert progress.retry_failed(db, now_ms=now_ms) == 1
    claimed = progress.claim(db, "C1", Stage.LINK, now_ms=now_ms)
    assert claimed is not None
    assert claimed.attempt == MAX_ATTEMPTS
    _finish(db, claimed, StageResult(StageState.FAILED, "磁盘已满"), now_ms)
    assert progress.retry_failed(db, now_ms=now_ms + 10**9) == 0
    assert _state(db, Stage.LINK).message == "磁盘已满"


def test_waiting_is_no_attempt_and_is_woken(db: Database) -> None:
    claimed = progress.claim(db, "C1", Stage.TRANSCRIBE, now_ms=1)
    assert claimed is not None
    _finish(db, claimed, StageResult(StageState.WAITING, "缺少模型"), 2)
    assert (_state(db, Stage.TRANSCRIBE).attempts, _state(db, Stage.TRANSCRIBE).message) == (0, "缺少模型")
    assert progress.retry_failed(db, now_ms=10**9) == 0
    assert progress.wake_waiting(db, Stage.TRANSCRIBE, now_ms=3) == 1
    assert _state(db, Stage.TRANSCRIBE).state is StageState.WANTED


def test_released_stage_is_wanted_without_having_cost_an_attempt(db: Database) -> None:
    claimed = progress.claim(db, "C1", Stage.TRANSCRIBE, now_ms=1)
    assert claimed is not None
    progress.release(db, claimed, now_ms=2)
    assert (_state(db, Stage.TRANSCRIBE).state, _state(db, Stage.TRANSCRIBE).attempts) == (StageState.WANTED, 0)


def test_asking_again_takes_what_builds_on_it_along(db: Database) -> None:
    for stage in STAGES:
        claimed = progress.claim(db, "C1", stage, now_ms=1)
        assert claimed is not None
        _finish(db, claimed, DONE, 2)
    assert progress.want_again(db, ["C1", "C2"], Stage.TRANSCRIBE, actor="leader", now_ms=3) == 1
    assert [view.state.value for view in progress.progress_of_call(db, "C1")] == ["done", "done", "wanted", "wanted"]
    with db.read() as session:
        said = session.exec(select(AuditEntry)).all()
    assert [(row.actor, row.action, row.subject) for row in said] == [("leader", "call.transcribe", "C1")]


def test_a_check_alone_waits_for_its_transcription(db: Database) -> None:
    for stage in (Stage.ATTRIBUTE, Stage.LINK, Stage.TRANSCRIBE):
        claimed = progress.claim(db, "C1", stage, now_ms=1)
        assert claimed is not None
        result = StageResult(StageState.WAITING, "缺少模型") if stage is Stage.TRANSCRIBE else DONE
        _finish(db, claimed, result, 2)
    with db.read() as session:
        assert [call_id for call_id, _ in calls_with_wanted_stages(session, 10)] == ["C2"]


def test_counts_and_labels(db: Database) -> None:
    progress.claim(db, "C1", Stage.LINK, now_ms=1)
    counts = progress.work_counts(db)
    assert counts.count(Stage.LINK, StageState.WANTED) == 1
    assert counts.count(Stage.LINK, StageState.RUNNING) == 1
    assert counts.count(Stage.LINK, StageState.FAILED) == 0
    assert counts.busy
    view = _state(db, Stage.LINK)
    assert (view.label, view.state_label) == ("关联工单", "进行中")
    assert progress.progress_of_call(db, "nobody") == ()
