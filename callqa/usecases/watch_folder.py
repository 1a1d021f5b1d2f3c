"""The watched folder: recordings and tables of call facts that appear in it are imported by themselves.

A file is taken once it has not changed for `settle_s`; a recording that no table names waits `wait_facts_s` for one.
Nothing in the folder is moved or deleted: what was taken in is remembered while the worker runs, and after that by its
content. A file that cannot be taken in is reported once (audit `ingest.fault`) and tried again when it changes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sqlmodel import Session, select

from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import AuditEntry
from callqa.usecases.import_calls import ImportResult, import_found, load_mapping
from callqa.usecases.import_files import Found, files_of, survey
from callqa.usecases.import_pcap import import_captures

# Files in one look: the worker has other work and a heartbeat to keep; an hour of MP3 decodes in two seconds.
FILES_A_LOOK = 8
_ACTOR = "system"


@dataclass(frozen=True, slots=True)
class WatchRules:
    """folder: what is watched. See the module's docstring for the two times."""

    folder: Path
    settle_ms: int
    wait_facts_ms: int


@dataclass(slots=True)
class WatchedFolder:
    """What the worker remembers of the folder between looks: file → (size, modified) when it was dealt with."""

    rules: WatchRules
    dealt_with: dict[Path, tuple[int, int]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    at_rest: frozenset[tuple[Path, tuple[int, int] | None]] | None = None  # the folder when nothing was left to do

    def look(self, db: Database, *, recordings: Path, now_ms: int, demo: bool = False) -> ImportResult:
        """Import what is new and has settled, a few files at a time. Never raises for one file's sake."""
        if not self.rules.folder.is_dir():
            problem = f"监视的文件夹 {self.rules.folder} 不存在；请建立它，或改设置 imports.watch_folder"
            self._tell(db, [(str(self.rules.folder), problem)], now_ms)
            return ImportResult(errors=[problem])
        present = frozenset((path, _mark(path)) for path in files_of(self.rules.folder))
        if present == self.at_rest:
            return ImportResult()
        self.at_rest = None
        found = survey([self.rules.folder], load_mapping(db), settled=lambda path: self._settled(path, now_ms))
        result = ImportResult()
        audio = self._due(found.audio, found, now_ms)
        import_found(db, found, audio, result, recordings=recordings, actor=_ACTOR, now_ms=now_ms, demo=demo)
        captures = self._due(found.captures, found, now_ms)[: max(0, FILES_A_LOOK - len(audio))]
        if captures:
            import_captures(db, captures, result, recordings=recordings, actor=_ACTOR, now_ms=now_ms, demo=demo)
        for path in (*audio, *captures):
            self._remember(path)
        late = (
            sentence for table, sentence in found.missing if self._age_ms(table, now_ms) >= self.rules.wait_facts_ms
        )
        result.errors += [*found.errors, *late]
        if all(self.dealt_with.get(path) == _mark(path) for path in (*found.audio, *found.captures)) and all(
            self._age_ms(path, now_ms) >= self.rules.wait_facts_ms for path, _ in present
        ):
            self.at_rest = present
        self._tell(db, ((_subject(sentence, self.rules.folder), sentence) for sentence in result.errors), now_ms)
        return result

    def _due(self, paths: Iterable[Path], found: Found, now_ms: int) -> list[Path]:
        """Files not dealt with yet; a recording without facts only after its wait."""
        due: list[Path] = []
        for path in paths:
            if len(due) == FILES_A_LOOK:
                break
            mark = _mark(path)
            if mark is None or self.dealt_with.get(path) == mark or not self._settled(path, now_ms):
                continue
            waits = path in found.audio and path not in found.facts
            if not waits or self._age_ms(path, now_ms) >= self.rules.wait_facts_ms:
                due.append(path)
        return due

    def _settled(self, path: Path, now_ms: int) -> bool:
        return self._age_ms(path, now_ms) >= self.rules.settle_ms

    def _age_ms(self, path: Path, now_ms: int) -> int:
        """Since its last change; a file from the future (a wrong clock at its sender) counts as old."""
        mark = _mark(path)
        if mark is None:
            return 0
        age_ms = now_ms - mark[1] // 1_000_000
        return age_ms if age_ms >= -self.rules.settle_ms else self.rules.settle_ms + self.rules.wait_facts_ms

    def _remember(self, path: Path) -> None:
        mark = _mark(path)
        if mark is not None:
            self.dealt_with[path] = mark

    def _tell(self, db: Database, problems: Iterable[tuple[str, str]], now_ms: int) -> None:
        new = [(subject, message) for subject, message in problems if message not in self.told]
        if not new:
            return
        with db.write() as session:
            for subject, message in new:
                _note(session, subject, message, now_ms)
        self.told.update(message for _, message in new)


def _subject(sentence: str, folder: Path) -> str:
    """The file a sentence begins with, below the folder; else the folder."""
    rest = sentence.removeprefix(f"{folder}/")
    return rest.split("：")[0].split(" 第 ")[0][:200] if rest != sentence else str(folder)


def _note(session: Session, subject: str, message: str, now_ms: int) -> None:
    seen = session.exec(select(AuditEntry).where(AuditEntry.action == "ingest.fault", AuditEntry.subject == subject))
    detail = {"message": message}
    if all(entry.detail != detail for entry in seen):  # the worker was started again and found the same
        audit.append(session, actor=_ACTOR, action="ingest.fault", subject=subject, detail=detail, now_ms=now_ms)


def _mark(path: Path) -> tuple[int, int] | None:
    """(size, modified) of a file; None when it is gone."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns
