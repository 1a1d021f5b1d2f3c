"""删除一通电话: its content goes, for good; a tombstone stays, so that draws, scores and reports can still be checked.

Three steps, each safe to do again: (1) one transaction empties the rows, marks the call deleted and writes `deleting`; from then on
no page, search or worker finds anything; (2) the files go and the journal is blanked; (3) one transaction writes `deleted`. Both ends
are in the audit chain, with no content. `finish_deletions` takes up what a crash left between (1) and (3).
"""

import logging
from collections.abc import Sequence

from sqlalchemy import text
from sqlmodel import Session, col, select

from callqa.errors import CallqaError, StateError
from callqa.periods import say_instant
from callqa.privacy import blot_numbers
from callqa.refusals import no_such_call
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Call, CallDeletion
from callqa.usecases.blank_journal import blank_journal
from callqa.usecases.delete_files import CallFiles, Places, files_of, remove_files
from callqa.usecases.delete_rows import empty_call
from callqa.usecases.held_back import Reasons
from callqa.usecases.required import required_line

log = logging.getLogger(__name__)

MAX_REASON_CHARS = 200
BLOT = "＊"


def delete_call(
    db: Database,
    call_id: str,
    *,
    reason: str,
    actor: str,
    places: Places,
    fatal_case_days: int,
    now_ms: int,
) -> CallDeletion:
    """Delete one call's content because somebody asked for it. Raise StateError where something holds it back.

    One that is being deleted already is finished; one that is deleted is left as it is.
    """
    why = reason_line(reason, "删除的原因")
    with db.write() as session:
        found = session.get(CallDeletion, call_id)
        if found is None:
            call = lock_call(session, call_id)
            held = Reasons(session, now_ms, fatal_case_days).of(call)
            if held:
                raise StateError(f"现在不能删除通话 {call_id}：{'；'.join(held)}")
            found = begin(session, call, kind="request", reason=why, actor=actor, now_ms=now_ms)
    if found.state == "deleted":
        raise StateError(f"通话 {call_id} 已于 {say_instant(found.done_at_ms)} 删除（{found.reason}）")
    finish(db, [found], places=places, now_ms=now_ms)
    with db.read() as session:
        done = session.get(CallDeletion, call_id)
    assert done is not None
    return done


def reason_line(reason: str, what: str) -> str:
    """What a person gives as the reason, with no digit of a number left: it stays when everything else has gone."""
    return required_line(blot_numbers(reason, BLOT), what, MAX_REASON_CHARS)


def lock_call(session: Session, call_id: str) -> Call:
    """The call, held until the transaction ends. Raise CallqaError where there is none."""
    call = session.exec(select(Call).where(Call.call_id == call_id).with_for_update()).first()
    if call is None:
        raise CallqaError(no_such_call(call_id))
    return call


def begin(session: Session, call: Call, *, kind: str, reason: str, actor: str, now_ms: int) -> CallDeletion:
    """Step 1, in the caller's transaction, on a call that nothing holds back."""
    if session.get_bind().dialect.name == "sqlite":
        session.execute(text("pragma secure_delete=on"))  # overwrite what goes, not only unlink it
    row = CallDeletion(
        call_id=call.call_id,
        state="deleting",
        kind=kind,
        reason=reason,
        asked_by=actor,
        asked_at_ms=now_ms,
        recording_sha256=call.recording_sha256,
        recording_path=call.recording_path,
    )
    session.add(row)
    empty_call(session, call, now_ms)
    session.refresh(row)
    detail = {"kind": kind, "reason": reason, "recording_sha256": row.recording_sha256}
    audit.append(session, actor=actor, action="call.delete", subject=row.call_id, detail=detail, now_ms=now_ms)
    return row


def finish(db: Database, rows: Sequence[CallDeletion], *, places: Places, now_ms: int) -> tuple[str, ...]:
    """Steps 2 and 3. What a disk refuses is logged and stays `deleting`: it is taken up again. Returns what is done."""
    with db.read() as session:
        calls = {row.call_id: _files(session, row) for row in rows}
    gone: list[CallFiles] = []
    for call in calls.values():
        try:
            remove_files(places, call)
        except OSError as e:
            log.error("call %s: its files cannot be deleted yet: %s", call.call_id, e)
        else:
            gone.append(call)
    if not gone:
        return ()
    try:
        blank_journal(
            places.journal, {call.call_id for call in gone}, since_ms=min(call.started_at_ms for call in gone)
        )
    except OSError as e:
        log.error("the journal cannot be blanked yet: %s", e)
        return ()
    done = tuple(call.call_id for call in gone if _note_done(db, call, now_ms))
    db.settle()
    return done


def finish_deletions(db: Database, *, places: Places, now_ms: int) -> tuple[str, ...]:
    """Take up every deletion that was begun and not finished."""
    with db.read() as session:
        rows = session.exec(select(CallDeletion).where(CallDeletion.state == "deleting")).all()
    return finish(db, rows, places=places, now_ms=now_ms) if rows else ()


def revive(db: Database, call_id: str, *, actor: str, now_ms: int) -> None:
    """Make a deleted call one that awaits its recording: somebody imports it again on purpose. Nothing for any other call."""
    with db.write() as session:
        row = session.get(CallDeletion, call_id)
        if row is None:
            return
        call = lock_call(session, call_id)
        call.deleted_at_ms, call.recording_status, call.version = None, "pending", call.version + 1
        session.add(call)
        detail = {"deleted_at_ms": row.asked_at_ms, "reason": row.reason}
        session.delete(row)
        audit.append(session, actor=actor, action="call.revive", subject=call_id, detail=detail, now_ms=now_ms)


def remove_restored(db: Database, *, places: Places) -> tuple[str, ...]:
    """Remove files of deleted calls that somebody brought back, as from a backup. Returns whose there were."""
    with db.read() as session:
        rows = session.exec(select(CallDeletion).where(CallDeletion.state == "deleted")).all()
        calls = [_files(session, row) for row in rows]
    back = [
        call
        for call in calls
        if any(path.exists() for path in files_of(places, call)) or any(places.spool.glob(f"{call.call_id}.*"))
    ]
    for call in back:
        remove_files(places, call)
    return tuple(call.call_id for call in back)


def _files(session: Session, row: CallDeletion) -> CallFiles:
    started_at_ms = session.exec(select(Call.started_at_ms).where(col(Call.call_id) == row.call_id)).one()
    return CallFiles(row.call_id, started_at_ms, row.recording_path or "", row.recording_sha256 or "")


def _note_done(db: Database, call: CallFiles, now_ms: int) -> bool:
    """Step 3; False where somebody else was first."""
    with db.write() as session:
        row = session.exec(select(CallDeletion).where(CallDeletion.call_id == call.call_id).with_for_update()).one()
        if row.state == "deleted":
            return False
        row.state, row.done_at_ms = "deleted", now_ms
        session.add(row)
        detail = {"kind": row.kind, "reason": row.reason, "recording_sha256": row.recording_sha256}
        audit.append(
            session, actor=row.asked_by, action="call.deleted", subject=row.call_id, detail=detail, now_ms=now_ms
        )
    return True


__all__ = [
    "begin",
    "delete_call",
    "finish",
    "finish_deletions",
    "lock_call",
    "reason_line",
    "remove_restored",
    "revive",
]
