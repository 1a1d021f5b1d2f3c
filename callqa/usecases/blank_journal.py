"""Take what a deleted call's journal lines say of the citizen out of the journal, without moving a byte of anything else.

A line keeps its number, kind, call_id and times, which the recorder and `ingest` count by; numbers, names and texts go. The
new line is filled up with spaces to the old one's length and written over it in place: the recorder, which appends to the
newest file at the same time, is not disturbed, and whoever reads by offset or size finds nothing changed. Doing it again
changes nothing. A line that cannot be read and names a call is blotted out whole, and stays unreadable.
"""

import os
import re
import zlib
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from callqa.files import read_file
from callqa.journal import JournalEntry, JournalKind, decode_line

# What a line may go on saying; whole numbers (times, counts) always may.
_KEPT = frozenset({"direction", "mode", "seat_extension", "agent_no", "hangup_party", "sidecar", "kind", "actor"})
_MISSED = (JournalKind.CALL_UNANSWERED, JournalKind.CALL_ABANDONED)  # their reason is one of the recorder's own
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def blank_journal(folder: Path, call_ids: Collection[str], *, since_ms: int) -> int:
    """Blank the lines of these calls in the files from the day before since_ms on. Returns how many were changed."""
    first = f"{datetime.fromtimestamp(since_ms / 1000, UTC) - timedelta(days=1):%Y-%m-%d}"
    marks = {call_id.encode() for call_id in call_ids}
    named = re.compile(b"|".join(re.escape(mark) for mark in sorted(marks))) if marks else None
    changed = 0
    for path in sorted(folder.glob("*.jsonl")):
        if named is None or not _DAY.fullmatch(path.stem) or path.stem < first:
            continue
        changes = list(_changes(read_file(path), named, frozenset(call_ids)))
        if changes:
            _write_over(path, changes)
        changed += len(changes)
    return changed


def _changes(data: bytes, named: re.Pattern[bytes], call_ids: frozenset[str]) -> Iterator[tuple[int, bytes]]:
    """(offset, new line without its newline) of each line to change."""
    at = 0
    while found := named.search(data, at):
        start = data.rfind(b"\n", 0, found.start()) + 1
        end = data.find(b"\n", found.end())
        if end < 0:
            return  # still being written; no line of a call that is over
        line, at = data[start:end], end
        entry = decode_line(line)
        if entry is None:
            new = b" " * len(line)
        elif entry.call_id in call_ids:
            new = _blanked(entry, line)
        else:
            continue  # a line of another call that names this one
        if new != line:
            yield start, new


def _blanked(entry: JournalEntry, line: bytes) -> bytes:
    facts = {
        name: value
        for name, value in entry.facts.items()
        if isinstance(value, int) or name in _KEPT or (name == "reason" and entry.kind in _MISSED)
    }
    if facts == entry.facts:
        return line
    text = entry.model_copy(update={"facts": facts}).model_dump_json().encode()
    text = text.ljust(len(line) - len("\t00000000"))
    new = b"%s\t%08x" % (text, zlib.crc32(text))
    return new if len(new) == len(line) else b" " * len(line)  # never over the next line, whoever wrote this one


def _write_over(path: Path, changes: Collection[tuple[int, bytes]]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for offset, line in changes:
            os.pwrite(descriptor, line, offset)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


__all__ = ["blank_journal"]
