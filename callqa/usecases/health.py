"""What the 系统 page looks at besides the database: the speech model, the disk, the audit chain."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from callqa.errors import EngineError
from callqa.store import audit
from callqa.store.db import Database
from callqa.transcribe.model import inspect_model


@dataclass(frozen=True, slots=True)
class ModelState:
    """Whether transcription can run. text: which model, or what to supply."""

    ready: bool
    text: str


@dataclass(frozen=True, slots=True)
class DiskState:
    """Room left where recordings lie."""

    free_mb: int
    total_mb: int


@dataclass(frozen=True, slots=True)
class ChainState:
    """What checking the audit chain found. wrong: sequences that do not fit."""

    entries: int
    head_hash: str
    wrong: tuple[int, ...]


def model_state(model_dir: Path) -> ModelState:
    """Look at the model folder; cheap."""
    try:
        return ModelState(True, inspect_model(model_dir).name)
    except EngineError as e:
        return ModelState(False, str(e))


def disk_state(folder: Path) -> DiskState:
    """Free and total space of the file system that holds `folder` or will hold it."""
    nearest = next(p for p in (folder, *folder.parents) if p.exists())
    usage = shutil.disk_usage(nearest)
    return DiskState(usage.free // 2**20, usage.total // 2**20)


def verify_chain(db: Database, *, actor: str, now_ms: int) -> ChainState:
    """Check every entry of the audit chain, and note that it was checked and by whom."""
    with db.read() as session:
        wrong, head = audit.verify(session), audit.head(session)
    with db.write() as session:
        audit.append(
            session,
            actor=actor,
            action="audit.verify",
            subject="audit_log",
            detail={"entries": head.sequence, "wrong": len(wrong)},
            now_ms=now_ms,
        )
    return ChainState(head.sequence, head.hash, tuple(wrong))
