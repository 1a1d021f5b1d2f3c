"""Start-up after a crash: spools without a sidecar are finished, sidecars without a journal line are announced."""

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from callqa.journal import JournalKind
from callqa.sip.media.spool import StartedMark, read_started, sidecar_path
from callqa.sip.process.call_book import SPOOL_SUFFIX
from callqa.sip.process.finalizer import Finalised
from callqa.sip.process.journal_writer import JournalWriter, noted_calls

log = logging.getLogger(__name__)

# The first mark is well under this even with the longest numbers and hints a SIP message can carry.
_FIRST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class LeftOver:
    """What the last run left. unfinished: spools for the finalizer; unannounced: (call_id, sidecar) without a line in
    the journal; damaged: spools that do not say whose they are; ended: calls whose end is in the journal."""

    unfinished: tuple[Path, ...]
    unannounced: tuple[tuple[str, str], ...]
    damaged: tuple[Path, ...]
    ended: frozenset[str]


def find_left_over(spool_dir: Path, recordings: Path, journal_dir: Path) -> LeftOver:
    """Look through the spool folder; meant for a thread, it reads a little of every file."""
    unfinished: list[Path] = []
    finished: list[StartedMark] = []
    damaged: list[Path] = []
    days: list[str] = []
    for path in sorted(spool_dir.glob(f"*{SPOOL_SUFFIX}")):
        started = _started_of(path)
        if started is None:
            damaged.append(path)
            continue
        days.append(datetime.fromtimestamp(started.wall_ms / 1000, UTC).date().isoformat())
        if (recordings / sidecar_path(started)).exists():
            finished.append(started)
        else:
            unfinished.append(path)
    if not days:
        return LeftOver((), (), tuple(damaged), frozenset())
    announced = noted_calls(journal_dir, min(days), JournalKind.CALL_COMPLETE)
    ended = noted_calls(journal_dir, min(days), JournalKind.CALL_ENDED)
    unannounced = tuple((s.call_id, sidecar_path(s).as_posix()) for s in finished if s.call_id not in announced)
    return LeftOver(tuple(unfinished), unannounced, tuple(damaged), frozenset(ended))


def put_aside(path: Path) -> bool:
    """Take a spool that cannot be read out of the way. True when it held anything that is kept as `.damaged`."""
    if path.stat().st_size == 0:
        path.unlink()
        return False
    path.rename(path.with_suffix(".damaged"))
    return True


def note_recovered(journal: JournalWriter, spool: Path, result: Finalised, ended: frozenset[str]) -> None:
    """Journal lines of a call that a crash had cut off, before its CALL_COMPLETE."""
    at_ms = time.time_ns() // 1_000_000
    if result.answered:
        if result.call_id not in ended:
            journal.append(JournalKind.CALL_ENDED, at_ms, result.call_id, **result.facts)
        return
    facts = {**result.facts, "reason": "录音服务重新启动", "sip_status": 503}
    journal.append(JournalKind.CALL_UNANSWERED, at_ms, result.call_id, **facts)
    _delete(spool)


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as e:
        log.warning("spool %s cannot be deleted: %s", path.name, e)


def _started_of(path: Path) -> StartedMark | None:
    try:
        with open(path, "rb") as f:
            return read_started(f.read(_FIRST_BYTES))
    except OSError as e:
        log.error("spool %s: %s", path.name, e)
        return None
