"""What lies under the paths of an import: recordings, captures, tables of call facts, and which row is whose."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from callqa.errors import ImportFileError
from callqa.sip.media.pcap import is_capture
from callqa.tickets.importers.calls import CallInput, read_calls
from callqa.usecases.import_master import describe_os_error

AUDIO_SUFFIXES = frozenset((
    ".wav", ".mp3", ".m4a", ".aac", ".ogg", ".opus", ".oga", ".flac", ".wma", ".amr", ".awb", ".au", ".gsm", ".aif",
    ".aiff", ".mp4", ".mov", ".webm", ".mkv", ".mka", ".3gp", ".caf", ".spx",
))  # fmt: skip
TABLE_SUFFIXES = frozenset((".csv", ".xlsx", ".json"))
CAPTURE_SUFFIXES = frozenset((".pcap", ".pcapng", ".cap"))
_UNFINISHED = (".part", ".tmp", ".crdownload", ".filepart")


@dataclass(frozen=True, slots=True)
class Found:
    """What lies under the given paths. missing: rows whose recording is not there; skipped: files of no known kind."""

    audio: tuple[Path, ...] = ()
    captures: tuple[Path, ...] = ()
    facts: Mapping[Path, tuple[CallInput, Path]] = field(default_factory=dict)  # audio → its row and the table
    errors: tuple[str, ...] = ()
    missing: tuple[tuple[Path, str], ...] = ()  # (table, sentence)
    skipped: tuple[Path, ...] = ()


def survey(
    paths: Sequence[Path], mapping: Mapping[str, str], *, settled: Callable[[Path], bool] = lambda _: True
) -> Found:
    """Look at files and folders: what is audio, what is a table of facts, and which row belongs to which file.

    settled: whether a table may be read yet.
    """
    audio: dict[Path, None] = {}
    tables: dict[Path, None] = {}
    captures: dict[Path, None] = {}
    skipped: list[Path] = []
    errors: list[str] = []
    for given in (path.absolute() for path in paths):
        if not given.exists():
            errors.append(f"{given}：没有这个文件或文件夹；请检查路径")
        for path in files_of(given):
            kind = path.suffix.lower()
            if kind in TABLE_SUFFIXES:
                if settled(path):
                    tables[path] = None
            elif kind in CAPTURE_SUFFIXES or (path == given and is_capture(_head(path))):
                captures[path] = None
            elif kind in AUDIO_SUFFIXES or path == given:
                audio[path] = None  # a file named outright is tried whatever its name
            else:
                skipped.append(path)
    facts: dict[Path, tuple[CallInput, Path]] = {}
    missing: list[tuple[Path, str]] = []
    names: dict[Path, dict[str, list[Path]]] = {}
    for table in tables:
        try:
            file = read_calls(table.name, table.read_bytes(), mapping)
        except (ImportFileError, OSError) as e:
            errors.append(describe_os_error(table, e) if isinstance(e, OSError) else f"{table}：{e}")
            continue
        errors += [f"{table} {error}" for error in file.errors]
        if table.parent not in names:
            beside = (p for p in files_of(table.parent) if p.suffix.lower() in AUDIO_SUFFIXES)
            names[table.parent] = _by_name([*audio, *beside])
        nearby = names[table.parent]
        for row in file.rows:
            match = _recording_of(row.recording, nearby, table.parent)
            if isinstance(match, str):
                missing.append((table, f"{table} 第 {row.row} 行“录音文件”：{match}"))
            elif match in facts:
                other, where = facts[match]
                errors.append(
                    f"{table} 第 {row.row} 行：{match.name} 在 {where.name} 第 {other.row} 行已有，只采用那一行"
                )
            else:
                facts[match] = (row, table)
                audio[match] = None
    return Found(tuple(audio), tuple(captures), facts, tuple(errors), tuple(missing), tuple(skipped))


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4)
    except OSError:
        return b""  # the import itself says what is wrong with it


def files_of(path: Path) -> list[Path]:
    """The file itself, or every file below a folder but hidden and unfinished ones, in order of path."""
    if not path.is_dir():
        return [path] if path.exists() else []
    return [
        each
        for each in sorted(path.rglob("*"))
        if each.is_file()
        and not any(part.startswith((".", "~$")) for part in each.relative_to(path).parts)
        and each.suffix.lower() not in _UNFINISHED
    ]


def _by_name(files: Collection[Path]) -> dict[str, list[Path]]:
    """Files by lower-case name, and by name without suffix."""
    names: dict[str, list[Path]] = {}
    for path in dict.fromkeys(files):
        for name in dict.fromkeys((path.name.lower(), path.stem.lower())):
            names.setdefault(name, []).append(path)
    return names


def _recording_of(written: str, nearby: Mapping[str, list[Path]], folder: Path) -> Path | str:
    """The file a row means: by path, by name, by name without suffix. A Chinese sentence when there is no one file."""
    wanted = PurePosixPath(written)
    direct = folder / written
    if not wanted.is_absolute() and direct.is_file() and direct.resolve().is_relative_to(folder.resolve()):
        return next((p for p in nearby.get(direct.name.lower(), []) if p.samefile(direct)), direct)
    candidates = nearby.get(wanted.name.lower(), [])
    if len(candidates) > 1:
        tail = "/".join(wanted.parts[-2:]).lower()
        candidates = [p for p in candidates if p.as_posix().lower().endswith(tail)] or candidates
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        return f"有 {len(candidates)} 个叫 {wanted.name} 的文件；请在清单里写上所在文件夹"
    return f"找不到 {written}；请把录音与清单放在同一文件夹"
