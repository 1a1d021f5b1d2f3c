"""The rubric edited in the browser: one draft, checked as it is typed, published from a date on as a version by hash.

Only a text without mistakes is published. A version is never changed; what was scored with it keeps it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from callqa.errors import ConflictError, RubricError, StateError
from callqa.scoring.rubric import Rubric, parse_rubric, read_rubric
from callqa.scoring.rubric_text import with_words
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import RubricDraft, RubricVersion
from callqa.usecases.evaluate_state import actor_of
from callqa.usecases.load_rubric import add_version, rubric_in_force

DRAFT_ID = 1
CONTEXT_LINES = 2
MAX_MISTAKES = 50  # shown at once


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake of a text, with the lines around it as (number, text)."""

    line: int
    message: str
    around: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """What is being edited. version 0: nobody has saved a draft, the text is the version in force."""

    source: str
    version: int
    based_on: str | None
    mistakes: tuple[Mistake, ...]
    rubric: Rubric | None


def source_hash(source: str) -> str:
    """The hash a text has as a version."""
    return hashlib.sha256(source.encode()).hexdigest()


def tidy(source: str) -> str:
    """A text as a browser's form gives it, with the line ends of a file."""
    text = source.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") or not text else text + "\n"


def read(source: str) -> tuple[Rubric | None, tuple[Mistake, ...]]:
    """The rubric, or its mistakes by line."""
    rubric, errors = read_rubric(source)
    lines = source.split("\n")
    shown = sorted(errors, key=lambda e: e.line)[:MAX_MISTAKES]
    return rubric, tuple(_mistake(error, lines) for error in shown)


def _mistake(error: RubricError, lines: Sequence[str]) -> Mistake:
    first, last = max(1, error.line - CONTEXT_LINES), min(len(lines), error.line + CONTEXT_LINES)
    around = tuple((n, lines[n - 1]) for n in range(first, last + 1)) if error.line else ()
    return Mistake(error.line, error.message, around)


def find_draft(session: Session, now_ms: int) -> Draft | None:
    """The draft, or the version in force as one; None where there is no version yet."""
    row = session.get(RubricDraft, DRAFT_ID)
    if row is not None:
        rubric, mistakes = read(row.source)
        return Draft(row.source, row.version, row.based_on, mistakes, rubric)
    version = rubric_in_force(session, now_ms)
    if version is None:
        return None
    rubric, mistakes = read(version.source)
    return Draft(version.source, 0, version.rubric_hash, mistakes, rubric)


def save_draft(db: Database, source: str, *, version: int, account_id: int, now_ms: int) -> int:
    """Keep a text, mistakes and all. Returns the draft's new version. ConflictError when somebody else saved first."""
    with db.write() as session:
        return _save(session, tidy(source), version=version, account_id=account_id, now_ms=now_ms)


def _save(session: Session, source: str, *, version: int, account_id: int, now_ms: int) -> int:
    row = session.get(RubricDraft, DRAFT_ID)
    if (row.version if row is not None else 0) != version:
        raise ConflictError("标准的草稿已在别处保存过；您的改动还在本页，请另开一页看过别处的改动再保存")
    if row is None:
        force = rubric_in_force(session, now_ms)
        row = RubricDraft(
            id=DRAFT_ID,
            source=source,
            based_on=force.rubric_hash if force else None,
            updated_by=account_id,
            updated_at_ms=now_ms,
            version=0,
        )
    row.source, row.updated_by, row.updated_at_ms = source, account_id, now_ms
    row.version += 1
    session.add(row)
    return row.version


def save_words(db: Database, name: str, words: Sequence[str], *, version: int, account_id: int, now_ms: int) -> int:
    """Replace one word list in the draft. Returns the draft's new version."""
    with db.write() as session:
        draft = find_draft(session, now_ms)
        if draft is None:
            raise StateError("还没有装载评分标准")
        source = with_words(draft.source, name, words)
        _, mistakes = read(source)
        if mistakes and not draft.mistakes:
            raise RubricError(0, f"词表“{name}”：{mistakes[0].message}")
        return _save(session, source, version=version, account_id=account_id, now_ms=now_ms)


def discard_draft(db: Database, *, account_id: int, now_ms: int) -> None:
    """Throw the draft away; the version in force is edited next."""
    with db.write() as session:
        row = session.get(RubricDraft, DRAFT_ID)
        if row is not None:
            session.delete(row)
            audit.append(
                session,
                actor=actor_of(session, account_id).username,
                action="rubric.discard",
                subject=source_hash(row.source),
                detail={"based_on": row.based_on},
                now_ms=now_ms,
            )


def publish(db: Database, *, version: int, effective_from_ms: int, account_id: int, now_ms: int) -> str:
    """Make the draft a version that is in force for calls from an instant on. Returns its hash.

    Raise StateError for a date that is past or a text that is a version already, RubricError for a text with a mistake.
    """
    if effective_from_ms < now_ms:
        raise StateError("启用时间不能早于现在：已经开始的通话按当时的版本评")
    with db.write() as session:
        row = session.get(RubricDraft, DRAFT_ID)
        if row is None:
            raise StateError("没有草稿可以发布；请先修改并保存")
        if row.version != version:
            raise ConflictError("标准的草稿已在别处保存过；请刷新后再发布")
        rubric = parse_rubric(row.source)
        if session.get(RubricVersion, rubric.rubric_hash) is not None:
            raise StateError("这份文本与已有的版本完全相同；要重新启用旧版，请把 version 改大一号再发布")
        add_version(session, rubric, row.source, effective_from_ms=effective_from_ms, now_ms=now_ms)
        session.delete(row)
        audit.append(
            session,
            actor=actor_of(session, account_id).username,
            action="rubric.publish",
            subject=rubric.rubric_hash,
            detail={
                "version": rubric.version,
                "title": rubric.title,
                "effective_from_ms": effective_from_ms,
                "based_on": row.based_on,
            },
            now_ms=now_ms,
        )
        return rubric.rubric_hash


def versions(session: Session) -> Sequence[RubricVersion]:
    """Every version, the one that takes effect last first."""
    return session.exec(
        select(RubricVersion).order_by(
            col(RubricVersion.effective_from_ms).desc(), col(RubricVersion.loaded_at_ms).desc()
        )
    ).all()
