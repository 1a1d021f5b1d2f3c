"""Load scorecards/rubric.yaml into the database as a version; a text with mistakes leaves the last good one in force.

Versions are told apart by the SHA-256 of their text, never by the number somebody wrote into it. The first version of
an installation is in force for all calls; each later one for calls that start after it was loaded.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session, col, select

from callqa.errors import RubricError
from callqa.refusals import os_reason
from callqa.scoring.rubric import Rubric, parse_rubric
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import AuditEntry, RubricVersion

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedRubric:
    """What loading did. problem: Chinese, with the line, when the text was refused; rubric_hash then is the last good
    version's, or None when there is none."""

    rubric_hash: str | None
    new: bool
    problem: str = ""


def load_rubric(db: Database, path: Path, *, now_ms: int) -> LoadedRubric:
    """Read the rubric file; a new text becomes a new version, the same text changes nothing. Never raises for its
    content: see `LoadedRubric.problem`."""
    source = ""
    try:
        source = _read(path)
        rubric = parse_rubric(source)
    except RubricError as e:
        return _refuse(db, path, e, source, now_ms=now_ms)
    with db.write() as session:
        if session.get(RubricVersion, rubric.rubric_hash) is not None:
            return LoadedRubric(rubric.rubric_hash, new=False)
        first = session.exec(select(RubricVersion.rubric_hash).limit(1)).first() is None
        effective_from_ms = 0 if first else now_ms
        add_version(session, rubric, source, effective_from_ms=effective_from_ms, now_ms=now_ms)
        audit.append(
            session,
            actor="system",
            action="rubric.load",
            subject=rubric.rubric_hash,
            detail={"rubric_id": rubric.rubric_id, "version": rubric.version, "title": rubric.title},
            now_ms=now_ms,
        )
    return LoadedRubric(rubric.rubric_hash, new=True)


def add_version(session: Session, rubric: Rubric, source: str, *, effective_from_ms: int, now_ms: int) -> None:
    """Keep a text as a version. rubric: what the text says."""
    session.add(
        RubricVersion(
            rubric_hash=rubric.rubric_hash,
            rubric_id=rubric.rubric_id,
            version=rubric.version,
            title=rubric.title,
            source=source,
            effective_from_ms=effective_from_ms,
            loaded_at_ms=now_ms,
        )
    )


def rubric_in_force(session: Session, at_ms: int) -> RubricVersion | None:
    """The version in force at an instant: the one that took effect last before it."""
    return session.exec(
        select(RubricVersion)
        .where(col(RubricVersion.effective_from_ms) <= at_ms)
        .order_by(col(RubricVersion.effective_from_ms).desc(), col(RubricVersion.loaded_at_ms).desc())
        .limit(1)
    ).first()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as e:
        raise RubricError(0, f"文件打不开（{os_reason(e)}）") from e
    except UnicodeDecodeError as e:
        raise RubricError(0, "文件不是 UTF-8 文本；请另存为 UTF-8") from e


def _refuse(db: Database, path: Path, error: RubricError, source: str, *, now_ms: int) -> LoadedRubric:
    """source: the text, "" where it cannot be read. One that is stored stays in force: its refused rules alone abstain."""
    log.error("rubric %s is refused: %s", path, error)
    with db.write() as session:
        last = rubric_in_force(session, now_ms)
        said = session.exec(
            select(AuditEntry)
            .where(AuditEntry.action == "rubric.refuse")
            .order_by(col(AuditEntry.sequence).desc())
            .limit(1)
        ).first()
        detail = {"problem": str(error)}
        if said is None or said.detail != detail:  # the worker looks again and again; say it once
            audit.append(
                session, actor="system", action="rubric.refuse", subject=path.name, detail=detail, now_ms=now_ms
            )
    instead = "仍用上一个版本，改正后自动装载" if last else "没有可用的版本，暂不预评，改正后自动装载"
    if last is not None and last.source == source:
        instead = "这一版仍在用，只是有误的规则不再执行（未检，待人工）；改正后自动装载为新版本"
    problem = f"质检标准 {path} 有误：{error}；{instead}"
    return LoadedRubric(last.rubric_hash if last else None, new=False, problem=problem)
