"""Start-up after a crash: spools without a sidecar are finished, sidecars without a journal line are announced, and
calls of which the journal knows the beginning but neither it nor a spool the end get their end."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from callqa.journal import JournalEntry, JournalKind
from callqa.sidecar import Sidecar, save_sidecar
from callqa.sip.media.spool import StartedMark, read_started, sidecar_path, sidecar_place
from callqa.sip.process.call_book import SPOOL_SUFFIX
from callqa.sip.process.finalizer import Finalised
from callqa.sip.process.journal_writer import JournalWriter, day_files, entries_of, noted_calls

log = logging.getLogger(__name__)

_MISSED = (JournalKind.CALL_UNANSWERED, JournalKind.CALL_ABANDONED)
_OVER = (*_MISSED, JournalKind.CALL_ENDED, JournalKind.CALL_COMPLETE)
RESTARTED = "录音服务重新启动"
NOT_WRITTEN = "录音服务在这通电话中突然中断，录音一点也没有来得及写下"
# Days of the journal in which calls without an end are looked for; one that is older was told at an earlier start.
_DAYS_LOOKED_AT = 2
# The first mark is well under this even with the longest numbers and hints a SIP message can carry.
_FIRST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class LeftOver:
    """What the last run left. unfinished: spools for the finalizer; unannounced: (call_id, sidecar) without a line in
    the journal; damaged: spools that do not say whose they are; ended: calls whose end, answered or not, is in the
    journal; cut_off: last entries of calls that have neither an end in the journal nor a spool; answered: CALL_ANSWERED
    of calls without an end, whose spool may not have come so far."""

    unfinished: tuple[Path, ...] = ()
    unannounced: tuple[tuple[str, str], ...] = ()
    damaged: tuple[Path, ...] = ()
    ended: frozenset[str] = frozenset()
    cut_off: tuple[JournalEntry, ...] = ()
    answered: tuple[JournalEntry, ...] = ()


def list_spools(spool_dir: Path) -> tuple[Path, ...]:
    """The spools of earlier runs; to be called before the first call of this one."""
    return tuple(sorted(spool_dir.glob(f"*{SPOOL_SUFFIX}")))


def find_left_over(spools: Sequence[Path], recordings: Path, journal_dir: Path) -> LeftOver:
    """Look at the spools of earlier runs; meant for a thread, it reads a little of every file."""
    unfinished: list[Path] = []
    finished: list[StartedMark] = []
    damaged: list[Path] = []
    days: list[str] = []
    for path in spools:
        try:
            started = _started_of(path)
        except OSError as e:  # perhaps it can be read at the next start
            log.error("spool %s: %s", path.name, e)
            continue
        if started is None:
            damaged.append(path)
            continue
        days.append(datetime.fromtimestamp(started.wall_ms / 1000, UTC).date().isoformat())
        if (recordings / sidecar_path(started)).exists():
            finished.append(started)
        else:
            unfinished.append(path)
    readable = {path.stem for path in spools} - {path.stem for path in damaged}
    open_calls = _cut_off(journal_dir)
    cut_off = tuple(e for e in open_calls if e.call_id not in readable)
    answered = tuple(e for e in open_calls if e.call_id in readable and e.kind is JournalKind.CALL_ANSWERED)
    if not days:
        return LeftOver(damaged=tuple(damaged), cut_off=cut_off)
    announced = noted_calls(journal_dir, min(days), JournalKind.CALL_COMPLETE)
    ended = noted_calls(journal_dir, min(days), JournalKind.CALL_ENDED, *_MISSED)
    unannounced = tuple((s.call_id, sidecar_path(s).as_posix()) for s in finished if s.call_id not in announced)
    return LeftOver(tuple(unfinished), unannounced, tuple(damaged), frozenset(ended), cut_off, answered)


def _cut_off(journal_dir: Path) -> list[JournalEntry]:
    """The last entry of every call that was open when this run began, and still has no end."""
    last: dict[str, JournalEntry] = {}
    earlier: set[str] = set()
    for path in day_files(journal_dir)[-_DAYS_LOOKED_AT:]:
        for entry in entries_of(path):
            if entry.kind is JournalKind.RECORDER_STARTED:
                earlier = set(last)
            elif entry.kind in _OVER:
                last.pop(entry.call_id or "", None)
            elif entry.kind in (JournalKind.CALL_STARTED, JournalKind.CALL_ANSWERED) and entry.call_id:
                last[entry.call_id] = entry
    return [entry for call_id, entry in last.items() if call_id in earlier]


def put_aside(path: Path) -> bool:
    """Take a spool that says nothing out of the way. True when it held anything that is kept as `.damaged`."""
    try:
        if path.stat().st_size == 0:
            path.unlink()
            return False
        path.rename(path.with_suffix(".damaged"))
    except OSError as e:
        log.warning("spool %s cannot be put aside: %s", path.name, e)
    return True


def note_cut_off(journal: JournalWriter, entry: JournalEntry, recordings: Path, recorder: str) -> None:
    """The end of a call of which nothing is left but its beginning in the journal. Answered, it gets a sidecar that says
    why there is no recording."""
    at_ms = time.time_ns() // 1_000_000
    if entry.kind is not JournalKind.CALL_ANSWERED:
        facts = {**entry.facts, "ended_at_ms": entry.at_ms, "reason": RESTARTED, "sip_status": 503}
        journal.append(JournalKind.CALL_UNANSWERED, at_ms, entry.call_id, **facts)
        return
    facts = {**entry.facts, "ended_at_ms": entry.at_ms, "hangup_party": "network"}
    journal.append(JournalKind.CALL_ENDED, at_ms, entry.call_id, **facts)
    known = {name: value for name, value in facts.items() if name in Sidecar.model_fields}
    try:
        sidecar = Sidecar.model_validate(
            {**known, "call_id": entry.call_id, "recording": None, "recovered": True, "faults": (NOT_WRITTEN,), "recorder": recorder}
        )  # fmt: skip
        relative = sidecar_place(sidecar.started_at_ms, sidecar.call_id)
        if not (recordings / relative).exists():
            (recordings / relative).parent.mkdir(parents=True, exist_ok=True)
            save_sidecar(recordings / relative, sidecar)
    except (OSError, ValidationError) as e:
        log.error("call %s: no sidecar: %s", entry.call_id, e)
        return
    journal.append(JournalKind.CALL_COMPLETE, at_ms, entry.call_id, sidecar=relative.as_posix())


def note_recovered(
    journal: JournalWriter, spool: Path, result: Finalised, left: LeftOver, recordings: Path, recorder: str
) -> None:
    """Journal lines of a call that a crash had cut off, before its CALL_COMPLETE."""
    at_ms = time.time_ns() // 1_000_000
    answered = next((e for e in left.answered if e.call_id == result.call_id), None)
    if result.answered:
        if result.call_id not in left.ended:
            journal.append(JournalKind.CALL_ENDED, at_ms, result.call_id, **result.facts)
        return
    if answered is not None:  # cut off just then: the journal is written at once, the spool a moment later
        note_cut_off(journal, answered, recordings, recorder)
    elif result.call_id not in left.ended:  # else the crash came between its line and the deletion of its spool
        facts = {**result.facts, "reason": RESTARTED, "sip_status": 503}
        journal.append(JournalKind.CALL_UNANSWERED, at_ms, result.call_id, **facts)
    _delete(spool)


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as e:
        log.warning("spool %s cannot be deleted: %s", path.name, e)


def _started_of(path: Path) -> StartedMark | None:
    with open(path, "rb") as f:
        return read_started(f.read(_FIRST_BYTES))
