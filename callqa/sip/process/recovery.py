"""Start-up after a crash: spools without a sidecar are finished, sidecars without a journal line are announced, and
calls of which the journal knows the beginning but neither it nor a spool the end get their end."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from callqa.files import DISK, Files
from callqa.journal import JournalEntry, JournalKind
from callqa.sidecar import Sidecar, save_sidecar
from callqa.sip.media.spool import FIRST_BYTES, StartedMark, read_started, sidecar_path, sidecar_place
from callqa.sip.process.call_book import SPOOL_SUFFIX
from callqa.sip.process.clock import CLOCK, Clock
from callqa.sip.process.finalizer import Finalised
from callqa.sip.process.journal_writer import JournalWriter, day_files, entries_of, noted_calls

log = logging.getLogger(__name__)

_MISSED = (JournalKind.CALL_UNANSWERED, JournalKind.CALL_ABANDONED)
_OVER = (*_MISSED, JournalKind.CALL_COMPLETE)
_OPEN = (JournalKind.CALL_STARTED, JournalKind.CALL_ANSWERED, JournalKind.CALL_ENDED)
RESTARTED = "录音服务重新启动"
NOT_WRITTEN = "录音服务在这通电话中突然中断，录音一点也没有来得及写下"
# Days of the journal in which calls without an end are looked for; one that is older was told at an earlier start.
_DAYS_LOOKED_AT = 2


@dataclass(frozen=True, slots=True)
class LeftOver:
    """What the last run left. unfinished: spools for the finalizer, also those whose sidecar is there but not in the
    journal; damaged: spools that do not say whose they are; ended: calls whose end, answered or not, is in the
    journal; cut_off: last entries of calls that have neither an end in the journal nor a spool; answered: CALL_ANSWERED
    of calls without an end, whose spool may not have come so far."""

    unfinished: tuple[Path, ...] = ()
    damaged: tuple[Path, ...] = ()
    ended: frozenset[str] = frozenset()
    cut_off: tuple[JournalEntry, ...] = ()
    answered: tuple[JournalEntry, ...] = ()


def list_spools(spool_dir: Path, files: Files = DISK) -> tuple[Path, ...]:
    """The spools of earlier runs; to be called before the first call of this one."""
    return tuple(files.list(spool_dir, f"*{SPOOL_SUFFIX}"))


def find_left_over(spools: Sequence[Path], recordings: Path, journal_dir: Path, files: Files = DISK) -> LeftOver:
    """Look at the spools of earlier runs; meant for a thread, it reads a little of every file."""
    unfinished: list[Path] = []
    finished: list[tuple[StartedMark, Path]] = []
    damaged: list[Path] = []
    days: list[str] = []
    for path in spools:
        try:
            started = _started_of(path, files)
        except OSError as e:  # perhaps it can be read at the next start
            log.error("spool %s: %s", path.name, e)
            continue
        if started is None:
            damaged.append(path)
            continue
        days.append(datetime.fromtimestamp(started.wall_ms / 1000, UTC).date().isoformat())
        if files.exists(recordings / sidecar_path(started)):
            finished.append((started, path))
        else:
            unfinished.append(path)
    readable = {path.stem for path in spools} - {path.stem for path in damaged}
    open_calls = _cut_off(journal_dir, files)
    cut_off = tuple(e for e in open_calls if e.call_id not in readable)
    answered = tuple(e for e in open_calls if e.call_id in readable and e.kind is not JournalKind.CALL_STARTED)
    if not days:
        return LeftOver(damaged=tuple(damaged), cut_off=cut_off)
    announced = noted_calls(journal_dir, min(days), JournalKind.CALL_COMPLETE, files=files)
    ended = noted_calls(journal_dir, min(days), JournalKind.CALL_ENDED, *_MISSED, files=files)
    unfinished += [path for s, path in finished if s.call_id not in announced]
    return LeftOver(tuple(sorted(unfinished)), tuple(damaged), frozenset(ended), cut_off, answered)


def _cut_off(journal_dir: Path, files: Files) -> list[JournalEntry]:
    """The last entry of every call that was open when this run began, and still has no end."""
    last: dict[str, JournalEntry] = {}
    earlier: set[str] = set()
    for path in day_files(journal_dir, files)[-_DAYS_LOOKED_AT:]:
        for entry in entries_of(path, files=files):
            if entry.kind is JournalKind.RECORDER_STARTED:
                earlier = set(last)
            elif entry.kind in _OVER:
                last.pop(entry.call_id or "", None)
            elif entry.kind in _OPEN and entry.call_id:
                last[entry.call_id] = entry
    return [entry for call_id, entry in last.items() if call_id in earlier]


def put_aside(path: Path, files: Files = DISK) -> bool:
    """Take a spool that says nothing out of the way. True when it held anything that is kept as `.damaged`."""
    try:
        if files.size_of(path) == 0:
            files.unlink(path)
            return False
        files.rename(path, path.with_suffix(".damaged"))
    except OSError as e:
        log.warning("spool %s cannot be put aside: %s", path.name, e)
    return True


@dataclass(frozen=True, slots=True)
class Epilogue:
    """Writes the end of calls that a crash had cut off."""

    journal: JournalWriter
    recordings: Path
    recorder: str
    files: Files = DISK
    clock: Clock = CLOCK

    def cut_off(self, entry: JournalEntry) -> None:
        """The end of a call of which nothing is left but its beginning in the journal. Answered, it gets a sidecar that
        says why there is no recording."""
        at_ms = self.clock.wall_ms()
        if entry.kind is JournalKind.CALL_STARTED:
            facts = {**entry.facts, "ended_at_ms": entry.at_ms, "reason": RESTARTED, "sip_status": 503}
            self.journal.append(JournalKind.CALL_UNANSWERED, at_ms, entry.call_id, **facts)
            return
        facts = {"ended_at_ms": entry.at_ms, "hangup_party": "network", **entry.facts}
        if entry.kind is JournalKind.CALL_ANSWERED:
            self.journal.append(JournalKind.CALL_ENDED, at_ms, entry.call_id, **facts)
        known = {name: value for name, value in facts.items() if name in Sidecar.model_fields}
        known |= {"call_id": entry.call_id, "recording": None, "recovered": True, "faults": (NOT_WRITTEN,)}
        try:
            sidecar = Sidecar.model_validate({**known, "recorder": self.recorder})
            relative = sidecar_place(sidecar.started_at_ms, sidecar.call_id)
            self.files.clear_halves(self.recordings / relative)
            if not self.files.exists(self.recordings / relative):
                self.files.make_folder((self.recordings / relative).parent)
                save_sidecar(self.recordings / relative, sidecar, self.files)
        except (OSError, ValidationError) as e:
            log.error("call %s: no sidecar: %s", entry.call_id, e)
            return
        self.journal.append(JournalKind.CALL_COMPLETE, at_ms, entry.call_id, sidecar=relative.as_posix())

    def recovered(self, spool: Path, result: Finalised, left: LeftOver) -> None:
        """Journal lines of a call whose spool was left over, before its CALL_COMPLETE."""
        at_ms = self.clock.wall_ms()
        answered = next((e for e in left.answered if e.call_id == result.call_id), None)
        if result.answered:
            if result.call_id not in left.ended:
                self.journal.append(JournalKind.CALL_ENDED, at_ms, result.call_id, **result.facts)
            return
        if answered is not None:  # cut off just then: the journal is written at once, the spool a moment later
            self.cut_off(answered)
        elif result.call_id not in left.ended:  # else the crash came between its line and the deletion of its spool
            facts = {**result.facts, "reason": RESTARTED, "sip_status": 503}
            self.journal.append(JournalKind.CALL_UNANSWERED, at_ms, result.call_id, **facts)
        self._delete(spool)

    def _delete(self, path: Path) -> None:
        try:
            self.files.unlink(path)
        except OSError as e:
            log.warning("spool %s cannot be deleted: %s", path.name, e)


def _started_of(path: Path, files: Files) -> StartedMark | None:
    return read_started(files.read(path, FIRST_BYTES))
