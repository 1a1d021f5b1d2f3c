"""What every import ends in: a master file, its sidecar, and the call's rows. Also the call_ids of imports.

An import's call_id carries the hash of what it was made from, so the same recording is never taken in twice, under
whatever name or from whatever folder it comes again.
"""

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from sqlmodel import col, select

from callqa.errors import CallqaError, StoreError
from callqa.periods import from_ms
from callqa.refusals import os_reason
from callqa.sidecar import Recording, Sidecar, save_sidecar, write_atomically
from callqa.sip.media.codec import Encoding
from callqa.sip.media.wav import wav_header
from callqa.store.db import Database
from callqa.store.tables import Agent, Call, CallDeletion
from callqa.usecases.attribute import attribute_by_person
from callqa.usecases.delete import revive
from callqa.usecases.deleted import say_deleted
from callqa.usecases.ingest import take_sidecar

_NODE = "IMPT"
_HASH_CHARS = 16  # 80 bits: no two recordings of a hotline ever meet


def content_key(sha256: str) -> str:
    """The part of an import's call_id that stands for its content."""
    return base64.b32encode(bytes.fromhex(sha256)).decode()[:_HASH_CHARS]


def import_call_id(started_at_ms: int, key: str) -> str:
    """Such as `20261103T001430000Z-IMPT-MFRGGZDFMZTWQ2LK`; sorts by time among the recorder's."""
    at = datetime.fromtimestamp(started_at_ms // 1000, UTC)
    return f"{at:%Y%m%dT%H%M%S}{started_at_ms % 1000:03d}Z-{_NODE}-{key}"


def imported_keys(db: Database) -> dict[str, str]:
    """content_key -> call_id of every call imported so far."""
    with db.read() as session:
        found = session.exec(select(Call.call_id).where(col(Call.call_id).contains(f"-{_NODE}-"))).all()
    return {call_id.rpartition("-")[2]: call_id for call_id in found}


def save_master(
    recordings: Path,
    call_id: str,
    started_at_ms: int,
    encoding: Encoding,
    samples: NDArray[np.uint8] | NDArray[np.int16],
    sample_rate_hz: int,
) -> Recording:
    """Write the WAV of (n_samples, 1 or 2) into its day's folder, synced; what lies there already is replaced."""
    relative = PurePosixPath(f"{from_ms(started_at_ms):%Y/%m/%d}") / f"{call_id}.wav"
    n_samples, channels = samples.shape
    head = wav_header(encoding, n_samples, sample_rate_hz=sample_rate_hz, channels=channels)
    data = head + np.ascontiguousarray(samples).tobytes()
    target = recordings / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, data)
    return Recording(
        path=relative.as_posix(),
        sha256=hashlib.sha256(data).hexdigest(),
        encoding=encoding,
        sample_rate_hz=sample_rate_hz,
        n_samples=n_samples,
        duration_ms=n_samples * 1000 // sample_rate_hz,
        channels=1 if channels == 1 else 2,
    )


def still_deleted(db: Database, call_id: str) -> str:
    """A Chinese sentence where the call was deleted and is therefore not imported again; else ""."""
    with db.read() as session:
        deletion = session.get(CallDeletion, call_id)
    return f"{say_deleted(deletion)}，没有再导入；确要重新导入请加 --again" if deletion else ""


def save_call(
    db: Database, recordings: Path, sidecar: Sidecar, *, now_ms: int, demo: bool = False, actor: str = "system"
) -> None:
    """Write the sidecar and take the call in; from here on the worker treats it as any other. Raise StoreError.

    A call that was deleted is one again from here on, by actor's wish: an import that may not do that does not come here.
    """
    path = recordings / f"{from_ms(sidecar.started_at_ms):%Y/%m/%d}" / f"{sidecar.call_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():  # a sidecar is never changed; one may be left of an import that was cut off
        save_sidecar(path, sidecar)
    revive(db, sidecar.call_id, actor=actor, now_ms=now_ms)  # after its files: what is cut off here the worker takes in
    fault = take_sidecar(db, path, recordings=recordings, now_ms=now_ms, demo=demo)
    if fault is not None:
        raise StoreError(fault)


def set_agent(db: Database, call_id: str, agent_no: str, *, where: str, actor: str, now_ms: int) -> str:
    """Give an imported call the 工号 its facts name; returns a Chinese note when it cannot be set, else ""."""
    with db.read() as session:
        call = session.get(Call, call_id)
        known = session.get(Agent, agent_no) is not None
    if call is None or call.attribution_source == "manual" or call.deleted_at_ms is not None:
        return ""
    if not known:
        return f"工号 {agent_no} 还没有登记，通话已导入但未归属；请在“人员与席位”登记后再导入一次"
    try:
        attribute_by_person(
            db, call_id, agent_no=agent_no, reason=f"导入的通话清单写明（{where}）", actor=actor, now_ms=now_ms
        )
    except CallqaError as e:
        return str(e)
    return ""


def describe_os_error(path: Path, e: OSError) -> str:
    """One Chinese sentence about a file that cannot be read or written."""
    if isinstance(e, FileNotFoundError):
        return f"{path}：没有这个文件；请检查路径"
    return f"{path}：读写失败（{os_reason(e)}）；请检查权限和磁盘空间"


__all__ = [
    "content_key", "describe_os_error", "import_call_id", "imported_keys", "save_call", "save_master", "set_agent", "still_deleted",
]  # fmt: skip
