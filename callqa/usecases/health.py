"""What the 系统 page and doctor look at besides the database: speech model, scorecards, disk, audit chain."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from callqa.errors import CallqaError, EngineError
from callqa.findings import Finding
from callqa.refusals import os_reason
from callqa.scoring.assessment_text import parse_assessment
from callqa.scoring.plan_text import parse_plan
from callqa.scoring.rubric import parse_rubric
from callqa.store import audit
from callqa.store.db import Database
from callqa.transcribe.checkup import word_model_finding
from callqa.transcribe.language import locate_word_model
from callqa.transcribe.model import inspect_model
from callqa.usecases.report_assessment import FILE as ASSESSMENT_FILE


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


@dataclass(frozen=True, slots=True)
class ScorecardState:
    """One file of the scorecards. problem: what is wrong with it, with the line; "" when it can be used."""

    name: str
    path: Path
    problem: str


_SCORECARDS: tuple[tuple[str, str, Callable[[str], object]], ...] = (
    ("质检标准", "rubric.yaml", parse_rubric),
    ("抽检方案", "sampling.yaml", parse_plan),
    ("考核规则", ASSESSMENT_FILE, parse_assessment),
)
_OPTIONAL = frozenset({ASSESSMENT_FILE})  # a hotline may assess nobody


def scorecard_states(folder: Path) -> tuple[ScorecardState, ...]:
    """Read rubric, sampling plan and assessment rules as they lie in the folder now."""
    states = []
    for name, file, parse in _SCORECARDS:
        path = folder / file
        if file in _OPTIONAL and not path.exists():
            continue
        try:
            stat = path.stat()
            problem = _scorecard_problem(path, parse, stat.st_mtime_ns, stat.st_size)
        except OSError as e:
            problem = f"打不开（{os_reason(e)}）；请从安装包的 scorecards/ 复制"
        states.append(ScorecardState(name, path, problem))
    return tuple(states)


@lru_cache(maxsize=16)  # a third of a second for the rubric, asked for with every look at the page
def _scorecard_problem(path: Path, parse: Callable[[str], object], mtime_ns: int, size: int) -> str:
    try:
        parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return "不是 UTF-8 文本；请另存为 UTF-8"
    except CallqaError as e:
        return str(e)
    return ""


def model_state(model_dir: Path) -> ModelState:
    """Look at the model folder; cheap."""
    try:
        return ModelState(True, inspect_model(model_dir).name)
    except EngineError as e:
        return ModelState(False, str(e))


def word_model_state(wanted: Path | None) -> Finding:
    """Whether homophones are repaired here; read anew only when the file changes."""
    place = locate_word_model(wanted)
    stat = place.stat() if place is not None and place.is_file() else None
    return _word_model(wanted, (stat.st_mtime_ns, stat.st_size) if stat else (0, 0))


@lru_cache(maxsize=4)  # reading the model takes a second
def _word_model(wanted: Path | None, _changed: tuple[int, int]) -> Finding:
    return word_model_finding(wanted)


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
