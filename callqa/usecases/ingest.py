"""Bring the recorder's journal and sidecars into the database: calls, sign-ins at phones, faults.

The journal is read by number, so reading it twice changes nothing. A sidecar that no line announces (journal lost or
damaged) is found by walking recordings/YYYY/MM/DD. What cannot be read is noted in the audit chain as `ingest.fault`
and never stops the rest. Nothing here decides who spoke or about which ticket: that is attribution and linking.
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, select

from callqa.errors import SpoolError
from callqa.journal import DamagedLine, JournalEntry, JournalKind, read_entries
from callqa.refusals import os_reason
from callqa.sidecar import Sidecar, load_sidecar
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries.calls_for_work import calls_awaiting_a_recording, known_call_ids
from callqa.store.queries.progress import add_wanted
from callqa.store.tables import AuditEntry, JournalPosition
from callqa.usecases.ingest_rows import EntryFault, apply_entry, apply_sidecar, record_missing
from callqa.usecases.progress import STAGES

log = logging.getLogger(__name__)

# Entries in one transaction: short enough that a page never waits for it.
BATCH = 200
# A call that spans midnight, and a clock set back a little, still lie in a day file that is read.
DAYS_BACK = 2
# The finalizer works a call off in seconds; one that still has no master after this long needs a person's look.
RECORDING_OVERDUE_MS = 3_600_000


@dataclass(slots=True)
class JournalTail:
    """What the worker remembers between rounds so that a round without news costs one directory listing."""

    sizes: dict[str, int] = field(default_factory=dict)
    damaged: set[DamagedLine] = field(default_factory=set)
    first_file: str = ""  # day files before it hold nothing new
    started: bool = False


SEAT_KINDS = (JournalKind.SEAT_LOGIN, JournalKind.SEAT_LOGOUT)


@dataclass(frozen=True, slots=True)
class Ingested:
    """What one round brought."""

    entries: int = 0
    completed: tuple[str, ...] = ()  # call_ids that are complete now
    faults: tuple[str, ...] = ()
    seats_changed: bool = False  # somebody signed in or out at a phone: the desk must be published


def ingest(
    db: Database, *, recordings: Path, now_ms: int, demo: bool = False, tail: JournalTail | None = None
) -> Ingested:
    """Take in every journal entry not seen yet. `tail` makes repeated calls cheap; without it all files are read."""
    tail = tail or JournalTail()
    entries = _new_entries(db, recordings / "journal", tail)
    completed: list[str] = []
    faults: list[str] = []
    try:
        for start in range(0, len(entries), BATCH):
            batch = entries[start : start + BATCH]
            done, wrong = _take_batch(db, batch, recordings=recordings, now_ms=now_ms, demo=demo)
            completed += done
            faults += wrong
    except BaseException:
        tail.started = False  # the next round reads everything again
        raise
    _note_damage(db, tail)
    seats_changed = any(entry.kind in SEAT_KINDS for entry in entries)
    return Ingested(len(entries), tuple(completed), tuple(faults), seats_changed)


def ingest_lost(db: Database, *, recordings: Path, now_ms: int, demo: bool = False, since_day: str = "") -> Ingested:
    """Take in sidecars that no journal line announced. since_day: `YYYY/MM/DD`, earlier days are not looked at."""
    paths = [
        path
        for path in sorted(recordings.glob("[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]/*.json"))
        if path.parent.relative_to(recordings).as_posix() >= since_day
    ]
    completed: list[str] = []
    faults: list[str] = []
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        with db.read() as session:
            known = known_call_ids(session, [path.stem for path in batch])
        for path in batch:
            if path.stem in known:
                continue
            problem = take_sidecar(db, path, recordings=recordings, now_ms=now_ms, demo=demo)
            if problem is None:
                completed.append(path.stem)
            else:
                faults.append(problem)
    return Ingested(0, tuple(completed), tuple(faults))


def give_up_overdue(db: Database, *, now_ms: int) -> tuple[str, ...]:
    """Mark answered calls whose master is overdue as missing, so that they count as a gap of the sampling frame.

    Should the master come after all, its sidecar sets it right.
    """
    with db.write() as session:
        calls = calls_awaiting_a_recording(session, now_ms - RECORDING_OVERDUE_MS)
        for call in calls:
            record_missing(call, "通话结束一小时后仍没有录音文件")
            session.add(call)
            add_wanted(session, call.call_id, STAGES, now_ms)
        return tuple(call.call_id for call in calls)


def verify_master(recordings: Path, sidecar: Sidecar) -> tuple[str, str]:
    """(recording status ok | missing | corrupt, Chinese fault or "") of a sidecar's master file."""
    if sidecar.recording is None:
        return "missing", "" if sidecar.faults else "通话已接通，但没有收到任何媒体"  # the recorder said why
    path = (recordings / sidecar.recording.path).resolve()
    if not path.is_relative_to(recordings.resolve()):
        return "corrupt", f"录音路径 {sidecar.recording.path} 不在录音文件夹内"
    try:
        with open(path, "rb") as f:
            found = hashlib.file_digest(f, "sha256").hexdigest()
    except OSError as e:
        return "missing", f"录音文件 {sidecar.recording.path} 打不开：{os_reason(e)}"
    if found != sidecar.recording.sha256:
        return "corrupt", f"录音文件 {sidecar.recording.path} 与校验和不符"
    return "ok", ""


def _new_entries(db: Database, folder: Path, tail: JournalTail) -> list[JournalEntry]:
    sizes = {p.name: p.stat().st_size for p in sorted(folder.glob("*.jsonl")) if p.name >= tail.first_file}
    if tail.started and sizes == tail.sizes:
        return []
    with db.read() as session:
        position = session.get(JournalPosition, 1)
        after = position.number if position else 0
    found: list[JournalEntry] = []
    for name in sizes:
        if not tail.started or sizes[name] != tail.sizes.get(name):
            found += _read_file(folder / name, tail)
    if not tail.started and found and max(entry.number for entry in found) < after:
        log.warning("journal numbers start again below %d: the old journal is gone; reading all", after)
        _forget_position(db)
        after = 0
    new = sorted((entry for entry in found if entry.number > after), key=lambda entry: entry.number)
    tail.started, tail.sizes = True, sizes
    if found:
        newest = datetime.fromtimestamp(max(entry.at_ms for entry in found) / 1000, UTC)
        tail.first_file = f"{newest - timedelta(days=DAYS_BACK):%Y-%m-%d}.jsonl"
        tail.sizes = {name: size for name, size in sizes.items() if name >= tail.first_file}
    return new


def _read_file(path: Path, tail: JournalTail) -> Iterable[JournalEntry]:
    for entry in read_entries(path):
        if isinstance(entry, DamagedLine):
            tail.damaged.add(entry)
        else:
            yield entry


def _take_batch(
    db: Database, batch: Sequence[JournalEntry], *, recordings: Path, now_ms: int, demo: bool
) -> tuple[list[str], list[str]]:
    """Files are read and hashed first, outside the transaction."""
    sidecars: dict[int, tuple[Sidecar, str, str] | str] = {}
    for entry in batch:
        if entry.kind is JournalKind.CALL_COMPLETE:
            sidecars[entry.number] = _fetch(recordings, entry)
    completed: list[str] = []
    faults: list[str] = []
    with db.write() as session:
        position = session.get(JournalPosition, 1) or JournalPosition(id=1)
        for entry in batch:
            if entry.number <= position.number:
                continue  # another worker was faster
            position.number = entry.number
            try:
                with session.begin_nested():
                    fetched = sidecars.get(entry.number)
                    if isinstance(fetched, tuple):
                        apply_sidecar(session, *fetched, demo=demo)
                        add_wanted(session, fetched[0].call_id, STAGES, now_ms)
                        completed.append(fetched[0].call_id)
                    elif fetched is not None:
                        raise EntryFault(entry.call_id or f"journal {entry.number}", fetched)
                    else:
                        apply_entry(session, entry, demo=demo)
            except EntryFault as fault:
                _note_fault(session, fault.subject, fault.message, now_ms, at_ms=entry.at_ms)
                faults.append(fault.message)
            except (SQLAlchemyError, ValidationError) as e:
                log.exception("journal entry %d (%s) cannot be taken in", entry.number, entry.call_id)
                _note_fault(
                    session,
                    entry.call_id or f"journal {entry.number}",
                    f"流水第 {entry.number} 条无法入库：{e}",
                    now_ms,
                )
                faults.append(f"流水第 {entry.number} 条无法入库")
        session.add(position)
    return completed, faults


def _fetch(recordings: Path, entry: JournalEntry) -> tuple[Sidecar, str, str] | str:
    relative = entry.facts.get("sidecar")
    if not isinstance(relative, str) or not (recordings / relative).resolve().is_relative_to(recordings.resolve()):
        return f"流水第 {entry.number} 条没有可用的话单路径"
    try:
        sidecar = load_sidecar(recordings / relative)
    except SpoolError as e:
        log.warning("call %s: %s", entry.call_id, e)
        return f"话单文件 {relative} 读不出来；录音文件仍在，请保留暂存并联系维护人员"
    if entry.call_id is not None and sidecar.call_id != entry.call_id:
        return f"话单文件 {relative} 属于另一通电话 {sidecar.call_id}"
    return sidecar, *verify_master(recordings, sidecar)


def take_sidecar(db: Database, path: Path, *, recordings: Path, now_ms: int, demo: bool = False) -> str | None:
    """Take in one sidecar that no journal line announces; returns a Chinese fault, which is noted, or None."""
    relative = path.relative_to(recordings).as_posix()
    try:
        sidecar = load_sidecar(path)
    except SpoolError as e:
        log.debug("%s", e)
        problem: str | None = f"话单文件 {relative} 读不出来；录音文件仍在，请保留暂存并联系维护人员"
    else:
        problem = None if sidecar.call_id == path.stem else f"话单文件 {relative} 属于另一通电话 {sidecar.call_id}"
    if problem is not None:
        with db.write() as session:
            _note_fault(session, relative, problem, now_ms)
        return problem
    status, fault = verify_master(recordings, sidecar)
    with db.write() as session:
        apply_sidecar(session, sidecar, status, fault, demo=demo)
        add_wanted(session, sidecar.call_id, STAGES, now_ms)
    return None


def _note_fault(session: Session, subject: str, message: str, now_ms: int, *, at_ms: int | None = None) -> None:
    detail = {"message": message} | ({} if at_ms is None else {"at_ms": at_ms})
    seen = session.exec(select(AuditEntry).where(AuditEntry.action == "ingest.fault", AuditEntry.subject == subject))
    if all(entry.detail != detail for entry in seen):  # a journal read again says nothing new
        audit.append(session, actor="system", action="ingest.fault", subject=subject, detail=detail, now_ms=now_ms)


def _note_damage(db: Database, tail: JournalTail) -> None:
    if not tail.damaged:
        return
    with db.read() as session:
        position = session.get(JournalPosition, 1)
    if position is not None and position.damaged_lines >= len(tail.damaged):
        return
    with db.write() as session:
        position = session.get(JournalPosition, 1) or JournalPosition(id=1)
        position.damaged_lines = len(tail.damaged)
        session.add(position)
    log.warning("the journal has %d damaged lines", len(tail.damaged))


def _forget_position(db: Database) -> None:
    with db.write() as session:
        position = session.get(JournalPosition, 1)
        if position is not None:
            position.number = 0
            session.add(position)
