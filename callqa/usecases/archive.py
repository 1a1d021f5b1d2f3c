"""Mark calls whose master is safe, and free the spools so marked once they are old.

The recorder never touches a call after its sidecar; the spool alone can rebuild the recording, so it goes last: only
with a marker `spool/<call_id>.archived` (JSON: the master's hash and when it was verified), only after
`spool_keep_days`, and only while the master is still there. On a disk that is nearly full the recorder frees them sooner
(sip/process/room.py). Moving masters to an object store is not done here.
"""

import contextlib
import json
import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from callqa.sidecar import ARCHIVED_SUFFIX as MARKER
from callqa.sidecar import write_atomically
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries.calls_for_work import recorded_calls

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
_CALL_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


@dataclass(frozen=True, slots=True)
class Freed:
    """What one housekeeping round gave back."""

    call_ids: tuple[str, ...] = ()
    bytes: int = 0


def archive(db: Database, *, spool: Path, now_ms: int) -> tuple[str, ...]:
    """Write the marker for every spool whose call is recorded with a verified hash. Returns their call_ids."""
    if not spool.is_dir():
        return ()
    waiting = {
        path.stem if path.is_file() else path.name
        for path in spool.iterdir()
        if path.suffix != MARKER and not path.name.startswith(".")
    }
    waiting = {name for name in waiting if _CALL_ID.fullmatch(name) and not _marker(spool, name).exists()}
    if not waiting:
        return ()
    with db.read() as session:
        calls = [(call.call_id, call.recording_sha256) for call in recorded_calls(session, sorted(waiting))]
    for call_id, sha256 in calls:
        text = json.dumps({"call_id": call_id, "recording_sha256": sha256, "archived_at_ms": now_ms})
        write_atomically(_marker(spool, call_id), text.encode() + b"\n")
    return tuple(call_id for call_id, _ in calls)


def free_spools(db: Database, *, spool: Path, recordings: Path, keep_days: int, now_ms: int) -> Freed:
    """Delete marked spools older than keep_days whose master is in place; note it in the audit chain."""
    if not spool.is_dir():
        return Freed()
    old = [name for path in spool.glob(f"*{MARKER}") if (name := _old_enough(path, now_ms - keep_days * DAY_MS))]
    if not old:
        return Freed()
    with db.read() as session:
        masters = {
            call.call_id: recordings / call.recording_path
            for call in recorded_calls(session, old)
            if call.recording_path is not None
        }
    freed = {call_id: remove_spool(spool, call_id) for call_id, master in sorted(masters.items()) if master.is_file()}
    if freed:
        with db.write() as session:
            audit.append(
                session,
                actor="system",
                action="spool.free",
                subject=f"{len(freed)} calls",
                detail={"call_ids": list(freed), "bytes": sum(freed.values()), "keep_days": keep_days},
                now_ms=now_ms,
            )
    return Freed(tuple(freed), sum(freed.values()))


def _marker(spool: Path, call_id: str) -> Path:
    return spool / f"{call_id}{MARKER}"


def _old_enough(marker: Path, before_ms: int) -> str | None:
    """The call_id of a marker written before that instant; None for a younger or damaged one."""
    try:
        note = json.loads(marker.read_bytes())
        if note["call_id"] == marker.stem and int(note["archived_at_ms"]) <= before_ms:
            return marker.stem
    except (OSError, ValueError, KeyError, TypeError):
        log.warning("archive marker %s is damaged; its spool is kept", marker.name)
    return None


def remove_spool(spool: Path, call_id: str) -> int:
    """Delete a call's spool, its marker last. Returns the bytes given back."""
    size = 0
    for path in spool.glob(f"{call_id}*"):
        if path.suffix == MARKER or (path.stem if path.is_file() else path.name) != call_id:
            continue
        if path.is_dir():
            size += sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
            shutil.rmtree(path)
        else:
            with contextlib.suppress(FileNotFoundError):  # the recorder makes room on a full disk
                size += path.stat().st_size
                path.unlink()
    _marker(spool, call_id).unlink(missing_ok=True)
    return size
