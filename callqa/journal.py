"""The recorder's journal: one line an event, numbered, append-only, with a CRC-32 a line.

A line is `<json>\\t<crc32 of the json, 8 hex digits>\\n`. Files are `recordings/journal/YYYY-MM-DD.jsonl` by
UTC day; numbers run on across files. The worker ingests by number, so reading twice changes nothing.
A torn last line (crash in mid-write) is not an entry; a damaged line in the middle is reported, not fatal.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class JournalKind(StrEnum):
    """What happened."""

    RECORDER_STARTED = "recorder_started"
    CALL_STARTED = "call_started"  # first INVITE seen
    CALL_ANSWERED = "call_answered"
    CALL_ENDED = "call_ended"  # an answered call is over; its sidecar follows
    CALL_COMPLETE = "call_complete"  # sidecar in place: facts {"sidecar": path relative to recordings/}
    CALL_UNANSWERED = "call_unanswered"  # rang out, busy, refused: facts {"reason": ..., "sip_status": ...}
    CALL_ABANDONED = "call_abandoned"  # 呼损: the citizen hung up before any answer
    CALL_QUEUED = "call_queued"  # facts {"position"}, again when it changes
    CALL_OVERFLOWED = "call_overflowed"  # put through to a number outside: facts {"overflow_to", "reason"}
    CALL_TRANSFERRED = "call_transferred"  # facts {"kind": blind|attended, "to", "seat_extension"}
    CALL_MARKED = "call_marked"  # *13 from a phone: facts {"code", "seat_extension"}
    RECORDING_PAUSED = "recording_paused"  # facts {"by", "reason"}
    RECORDING_RESUMED = "recording_resumed"
    LISTENED = "listened"  # somebody listened in: facts {"actor", "seconds"}
    SEAT_LOGIN = "seat_login"  # from a phone
    SEAT_LOGOUT = "seat_logout"
    SPOOLS_FREED = "spools_freed"  # raw media given up on a disk nearly full: facts {"call_ids", "bytes"}
    FAULT = "fault"


class JournalEntry(BaseModel):
    """One event. facts: for CALL_* the fields of a call known by then (direction, from_number, to_number,
    seat_extension, ticket_hint, started_at_ms, ring_ms, reason ...). ring_ms is without notice_ms; both, queued_ms, position
    and overflow_to are of what came before the answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    at_ms: int
    kind: JournalKind
    call_id: str | None = None
    facts: dict[str, Any] = Field(default_factory=dict)


def encode_entry(entry: JournalEntry) -> bytes:
    """The line of one entry, with its newline."""
    text = entry.model_dump_json().encode()
    return b"%s\t%08x\n" % (text, zlib.crc32(text))


@dataclass(frozen=True, slots=True)
class DamagedLine:
    """A line that is no entry; offset in bytes from the start of the file."""

    path: str
    offset: int


def decode_line(line: bytes) -> JournalEntry | None:
    """The entry of one whole line without its newline, or None when it is damaged."""
    text, tab, crc = line.rpartition(b"\t")
    if not tab or len(crc) != 8:
        return None
    try:
        if int(crc, 16) != zlib.crc32(text):
            return None
        return JournalEntry.model_validate_json(text)
    except (ValueError, ValidationError):
        return None


def read_entries(path: Path) -> Iterator[JournalEntry | DamagedLine]:
    """What one file of the journal holds, in order; a last line that is still being written is left out."""
    offset = 0
    for line in path.read_bytes().splitlines(keepends=True):
        start, offset = offset, offset + len(line)
        if line.endswith(b"\n"):
            yield decode_line(line[:-1]) or DamagedLine(path.name, start)
