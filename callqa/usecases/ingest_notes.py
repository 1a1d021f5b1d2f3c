"""What is told of a call besides its course: queue, transfers, marks, pauses, digits, parties, listening in.

Journal and sidecar both tell of marks and transfers, a mark may come after the call is over, and the journal may be read
again: each note is kept once, in order of time, whatever came first.
"""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, select

from callqa.journal import JournalEntry, JournalKind
from callqa.sidecar import MarkNote, PauseNote, Sidecar, TransferNote
from callqa.store import audit
from callqa.store.tables import AuditEntry, Call

# `*13` + code: these say how the call was dealt with; any other code, and none, is only a mark.
DISPOSITION_OF_CODE = {
    "1": "answered_on_call",
    "2": "no_ticket_needed",
    "3": "not_reached",
    "4": "dropped",
    "5": "transferred",
}
_NOTES = frozenset({
    JournalKind.CALL_QUEUED,
    JournalKind.CALL_TRANSFERRED,
    JournalKind.CALL_MARKED,
    JournalKind.RECORDING_PAUSED,
    JournalKind.RECORDING_RESUMED,
})  # fmt: skip


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Transfer(_Facts):
    kind: Literal["blind", "attended"]
    to: str = ""
    seat_extension: str | None = None
    by: str | None = None


class _Mark(_Facts):
    code: str = ""


class _Pause(_Facts):
    by: str = ""
    reason: str = ""


class _Listened(_Facts):
    actor: str = Field(min_length=1)
    seconds: float = Field(default=0, ge=0)


class _Freed(_Facts):
    call_ids: tuple[str, ...]
    bytes: int = Field(ge=0)


def is_note(kind: JournalKind) -> bool:
    """Whether the entry only adds a note to a call."""
    return kind in _NOTES


def add_note(call: Call, entry: JournalEntry) -> None:
    """Add what one entry tells. Raise ValidationError where its facts do not fit."""
    match entry.kind:
        case JournalKind.CALL_QUEUED:  # told again at every change of position: the first counts
            call.queued_at_ms = min(entry.at_ms, call.queued_at_ms or entry.at_ms)
        case JournalKind.CALL_TRANSFERRED:
            fact = _Transfer.model_validate(entry.facts)
            note = TransferNote(
                at_ms=entry.at_ms, kind=fact.kind, to=fact.to, seat_extension=fact.seat_extension, by=fact.by
            )
            call.transfers = _together(call.transfers, [note.model_dump()], ("at_ms", "to"))
        case JournalKind.CALL_MARKED:
            mark = MarkNote(at_ms=entry.at_ms, code=_Mark.model_validate(entry.facts).code)
            call.marks = _together(call.marks, [mark.model_dump()], ("at_ms", "code"))
            _settle_disposition(call)
        case JournalKind.RECORDING_PAUSED | JournalKind.RECORDING_RESUMED:
            pause = _Pause.model_validate(entry.facts)
            kind = "paused" if entry.kind is JournalKind.RECORDING_PAUSED else "resumed"
            told = {"at_ms": entry.at_ms, "kind": kind, "by": pause.by, "reason": pause.reason}
            call.pauses = _together(call.pauses, [told], ("at_ms", "kind"))


def merge_sidecar_notes(call: Call, sidecar: Sidecar) -> None:
    """Write what the sidecar knows; marks and transfers are added to those of the journal."""
    call.withheld, call.diverted_from, call.joined_by = sidecar.withheld, sidecar.diverted_from, sidecar.joined_by
    call.digits = [note.model_dump() for note in sidecar.digits]
    call.related = list(sidecar.related)
    note_wait(call, notice_ms=sidecar.notice_ms, queued_ms=sidecar.queued_ms, overflow_to=sidecar.overflow_to)
    call.pauses = _together(call.pauses, (told for note in sidecar.pauses for told in _both(note)), ("at_ms", "kind"))
    call.parties = [party.model_dump() for party in sidecar.parties]
    call.marks = _together(call.marks, (m.model_dump() for m in sidecar.marks), ("at_ms", "code"))
    call.transfers = _together(call.transfers, (t.model_dump() for t in sidecar.transfers), ("at_ms", "to"))
    _settle_disposition(call)


def _both(note: PauseNote) -> Iterable[dict[str, Any]]:
    """A pause as the journal tells it: its beginning and, where it ended before the call, its end."""
    yield {"at_ms": note.at_ms, "kind": "paused", "by": note.by, "reason": note.reason}
    if note.until_ms is not None:
        yield {"at_ms": note.until_ms, "kind": "resumed", "by": "", "reason": ""}


def note_wait(call: Call, *, notice_ms: int, queued_ms: int, overflow_to: str) -> None:
    """What the recorder itself measured of the time before the answer; nothing told changes nothing."""
    call.notice_ms = notice_ms or call.notice_ms
    call.queued_ms = queued_ms or call.queued_ms
    call.overflow_to = overflow_to or call.overflow_to
    if call.overflow_to and call.excluded_as is None:
        call.excluded_as = "overflow"  # no agent of ours took it: nothing to sample


def settle_queue(call: Call) -> None:
    """How long the caller waited, where the recorder did not measure it (an earlier version's journal)."""
    until_ms = call.answered_at_ms or call.ended_at_ms
    if call.queued_ms is None and call.queued_at_ms is not None and until_ms is not None:
        call.queued_ms = max(0, until_ms - call.queued_at_ms)


def add_listened(session: Session, call_id: str, entry: JournalEntry) -> None:
    """Somebody listened in: an entry of the audit chain, once."""
    fact = _Listened.model_validate(entry.facts)
    detail = {"seconds": round(fact.seconds, 1), "at_ms": entry.at_ms}
    known = session.exec(
        select(AuditEntry).where(
            AuditEntry.action == "call.listen_in", AuditEntry.subject == call_id, AuditEntry.actor == fact.actor
        )
    )
    if all(each.detail != detail for each in known):
        audit.append(
            session, actor=fact.actor, action="call.listen_in", subject=call_id, detail=detail, now_ms=entry.at_ms
        )


def add_freed(session: Session, entry: JournalEntry) -> None:
    """The recorder gave up raw media on a disk nearly full: an entry of the audit chain, once."""
    fact = _Freed.model_validate(entry.facts)
    subject = f"{len(fact.call_ids)} calls"
    detail = {"call_ids": list(fact.call_ids), "bytes": fact.bytes, "disk_full": True, "at_ms": entry.at_ms}
    known = session.exec(select(AuditEntry).where(AuditEntry.action == "spool.free", AuditEntry.subject == subject))
    if all(each.detail != detail for each in known):
        audit.append(session, actor="system", action="spool.free", subject=subject, detail=detail, now_ms=entry.at_ms)


def _together(stored: Iterable[dict[str, Any]], more: Iterable[dict[str, Any]], key: tuple[str, ...]) -> list[Any]:
    """Both, each once by `key`, in order of it; what only one of two tellings knows is kept. A new list: the database
    sees a change only so."""
    by_key: dict[tuple[Any, ...], dict[str, Any]] = {}
    for note in (*stored, *more):
        known = by_key.setdefault(tuple(note[k] for k in key), dict(note))
        for name, value in note.items():
            known[name] = max((known.get(name), value), key=lambda v: (bool(v), str(v)))  # the same in either order
    return [by_key[k] for k in sorted(by_key)]


def _settle_disposition(call: Call) -> None:
    """The last disposition code counts."""
    said = [DISPOSITION_OF_CODE[m["code"]] for m in call.marks if m["code"] in DISPOSITION_OF_CODE]
    if said:
        call.disposition = said[-1]
