"""The stages a call goes through, who works on one, and what the pages show of it.

`call_progress` is the truth: `wanted` rows are work, `running` rows are somebody's work (with `updated_at_ms` as its
heartbeat), `waiting` rows cannot go on until a person supplies something that `message` names. The job runner only
works the rows off; it may forget everything at any time.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlmodel import Session

from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries import progress as rows
from callqa.store.queries.transcription import want_speech_again


class Stage(StrEnum):
    """What is done to an answered call, in this order."""

    ATTRIBUTE = "attribute"
    LINK = "link"
    TRANSCRIBE = "transcribe"
    CHECK = "check"


STAGES = tuple(Stage)
STAGE_LABELS = {
    Stage.ATTRIBUTE: "坐席归属",
    Stage.LINK: "关联工单",
    Stage.TRANSCRIBE: "语音转写",
    Stage.CHECK: "机器预评",
}


class StageState(StrEnum):
    WANTED = "wanted"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    WAITING = "waiting"


STATE_LABELS = {
    StageState.WANTED: "排队中",
    StageState.RUNNING: "进行中",
    StageState.DONE: "完成",
    StageState.FAILED: "失败",
    StageState.WAITING: "待补充",
}

MAX_ATTEMPTS = 3
RETRY_AFTER_MS = (30_000, 120_000)  # after the first and the second failure: a full disk or a lock may be gone by then


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one stage of one call; void as soon as somebody else has claimed it again."""

    call_id: str
    stage: Stage
    attempt: int


@dataclass(frozen=True, slots=True)
class StageResult:
    """How a stage ended. message: Chinese, for the page; "" when there is nothing to say."""

    state: StageState
    message: str = ""


@dataclass(frozen=True, slots=True)
class StageView:
    """One line of a call's progress on the page."""

    stage: Stage
    state: StageState
    percent: int
    message: str
    attempts: int
    updated_at_ms: int

    @property
    def label(self) -> str:
        return STAGE_LABELS[self.stage]

    @property
    def state_label(self) -> str:
        return STATE_LABELS[self.state]


@dataclass(frozen=True, slots=True)
class WorkCounts:
    """How many calls are in which state of which stage."""

    by_stage: dict[Stage, dict[StageState, int]]

    def count(self, stage: Stage, state: StageState) -> int:
        return self.by_stage.get(stage, {}).get(state, 0)

    @property
    def busy(self) -> bool:
        """Whether anything is still to be done without a person."""
        return any(
            states.get(StageState.WANTED, 0) or states.get(StageState.RUNNING, 0) for states in self.by_stage.values()
        )


def claim(db: Database, call_id: str, stage: Stage, *, now_ms: int, worker: str = "") -> Claim | None:
    """Take a wanted stage; None when it is not wanted (any more). worker: who, so that its next life finds it again."""
    with db.write() as session:
        at = _attempts(session, call_id, stage)
        if at is None or not rows.move(
            session,
            call_id,
            stage,
            come_from=[StageState.WANTED],
            attempt=at,
            state=StageState.RUNNING.value,
            attempts=at + 1,
            percent=0,
            message="",
            updated_at_ms=now_ms,
            worker=worker,
        ):
            return None
        return Claim(call_id, stage, at + 1)


def beat(db: Database, claimed: Claim, *, now_ms: int, percent: int | None = None) -> bool:
    """Say that the work goes on (and how far it is). False: the claim is void, stop."""
    with db.write() as session:
        values: dict[str, object] = {"updated_at_ms": now_ms}
        if percent is not None:
            values["percent"] = percent
        return rows.move(
            session,
            claimed.call_id,
            claimed.stage,
            come_from=[StageState.RUNNING],
            attempt=claimed.attempt,
            **values,
        )


def finish(session: Session, claimed: Claim, result: StageResult, *, now_ms: int) -> bool:
    """Close a claimed stage within the transaction that saves its outcome. False: the claim is void, save nothing."""
    values: dict[str, object] = {
        "state": result.state.value,
        "message": result.message,
        "updated_at_ms": now_ms,
    }
    if result.state is StageState.DONE:
        values["percent"] = 100
    if result.state is StageState.WAITING:
        values["attempts"] = claimed.attempt - 1  # waiting for a person is no failed attempt
    return rows.move(
        session, claimed.call_id, claimed.stage, come_from=[StageState.RUNNING], attempt=claimed.attempt, **values
    )


def release(db: Database, claimed: Claim, *, now_ms: int) -> None:
    """Give a stage back unfinished (the worker is asked to stop); it does not count as an attempt."""
    with db.write() as session:
        rows.move(
            session,
            claimed.call_id,
            claimed.stage,
            come_from=[StageState.RUNNING],
            attempt=claimed.attempt,
            state=StageState.WANTED.value,
            attempts=claimed.attempt - 1,
            percent=0,
            updated_at_ms=now_ms,
        )


def recover_dead(db: Database, *, silent_since_ms: int, now_ms: int) -> int:
    """Take stages from workers not heard of since then: wanted again, or failed after too many attempts."""
    return _take_back(db, now_ms=now_ms, updated_before_ms=silent_since_ms)


def recover_own(db: Database, worker: str, *, now_ms: int) -> int:
    """The same at once for the stages of an earlier life of this worker, whose lock proves that it is dead."""
    return _take_back(db, now_ms=now_ms, worker_is=worker)


def _take_back(db: Database, *, now_ms: int, **which: Any) -> int:
    with db.write() as session:
        again = rows.move_all(
            session,
            come_from=StageState.RUNNING,
            attempts_below=MAX_ATTEMPTS,
            state=StageState.WANTED.value,
            updated_at_ms=now_ms,
            **which,
        )
        given_up = rows.move_all(
            session,
            come_from=StageState.RUNNING,
            state=StageState.FAILED.value,
            message=f"处理时连续中断 {MAX_ATTEMPTS} 次，已停止重试；请检查内存与系统日志后重新处理",
            updated_at_ms=now_ms,
            **which,
        )
    return again + given_up


def retry_failed(db: Database, *, now_ms: int) -> int:
    """Ask again for stages that failed and have attempts left, each after its pause."""
    with db.write() as session:
        return sum(
            rows.move_all(
                session,
                come_from=StageState.FAILED,
                attempts=attempts,
                updated_before_ms=now_ms - pause_ms,
                state=StageState.WANTED.value,
                updated_at_ms=now_ms,
            )
            for attempts, pause_ms in enumerate(RETRY_AFTER_MS, 1)
        )


def wake_waiting(db: Database, stage: Stage, *, now_ms: int) -> int:
    """What the stage waited for has come: ask for all of them again."""
    with db.write() as session:
        return rows.move_all(
            session,
            come_from=StageState.WAITING,
            stage=stage,
            state=StageState.WANTED.value,
            message="",
            updated_at_ms=now_ms,
        )


def explain_waiting(db: Database, stage: Stage, message: str, *, now_ms: int) -> int:
    """What the stage waits for is another thing now: say so on all that wait. Returns how many said something else."""
    with db.write() as session:
        return rows.move_all(
            session,
            come_from=StageState.WAITING,
            stage=stage,
            message_other_than=message,
            message=message,
            updated_at_ms=now_ms,
        )


def want_again(db: Database, call_ids: Collection[str], stage: Stage, *, actor: str, now_ms: int) -> int:
    """Ask for a stage, and what builds on it, once more. Returns for how many calls; running ones are left alone."""
    stages = {Stage.TRANSCRIBE: (Stage.TRANSCRIBE, Stage.CHECK)}.get(stage, (stage,))
    asked: list[str] = []
    with db.write() as session:
        for call_id in call_ids:
            moved = [ask_again(session, call_id, each, now_ms) for each in stages]
            if moved[0]:
                asked.append(call_id)
        if asked and actor != "system":
            for call_id in asked:
                audit.append(
                    session, actor=actor, action=f"call.{stage}", subject=call_id, detail={"again": True}, now_ms=now_ms
                )
    return len(asked)


def ask_again(session: Session, call_id: str, stage: Stage, now_ms: int) -> bool:
    """The same for one stage of one call, in the caller's transaction. False: it runs, is wanted already or was never."""
    return rows.move(
        session,
        call_id,
        stage,
        come_from=[StageState.DONE, StageState.FAILED, StageState.WAITING],
        state=StageState.WANTED.value,
        attempts=0,
        percent=0,
        message="",
        updated_at_ms=now_ms,
    )


def transcribe_again(db: Database, span_ms: tuple[int, int] | None, *, subject: str, actor: str, now_ms: int) -> int:
    """Ask for the transcription of all recorded calls of a span (None: of all) once more. subject: what it is called."""
    with db.write() as session:
        start_ms, end_ms = span_ms or (None, None)
        asked = want_speech_again(session, start_ms, end_ms, now_ms)
        if asked:
            detail = {"calls": asked, "again": True}
            audit.append(session, actor=actor, action="transcript.again", subject=subject, detail=detail, now_ms=now_ms)
    return asked


def progress_of_call(db: Database, call_id: str) -> tuple[StageView, ...]:
    """The stages of one call in their order; empty for a call that was not answered."""
    return progress_of_calls(db, [call_id]).get(call_id, ())


def progress_of_calls(db: Database, call_ids: Iterable[str]) -> dict[str, tuple[StageView, ...]]:
    """call_id -> its stages in order, for a page of the call list."""
    with db.read() as session:
        found = rows.stage_rows(session, list(call_ids))
    views: dict[str, list[StageView]] = {}
    order = list(STAGES)
    for row in sorted((r for r in found if r.stage in order), key=lambda r: order.index(Stage(r.stage))):
        views.setdefault(row.call_id, []).append(
            StageView(
                Stage(row.stage), StageState(row.state), row.percent, row.message, row.attempts, row.updated_at_ms
            )
        )
    return {call_id: tuple(lines) for call_id, lines in views.items()}


def work_counts(db: Database) -> WorkCounts:
    """Overall counts, for the system page and the end of the demo."""
    with db.read() as session:
        counted = rows.count_by_stage_and_state(session)
    by_stage: dict[Stage, dict[StageState, int]] = {}
    for (stage, state), n in counted.items():
        if stage in list(STAGES):
            by_stage.setdefault(Stage(stage), {})[StageState(state)] = n
    return WorkCounts(by_stage)


def _attempts(session: Session, call_id: str, stage: Stage) -> int | None:
    found = [row for row in rows.stage_rows(session, [call_id]) if row.stage == stage]
    return found[0].attempts if found and found[0].state == StageState.WANTED else None
