"""What one journal entry or one sidecar does to the rows, inside the caller's transaction.

Every function may be applied again: a complete call is never taken back by an earlier event.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from callqa.errors import CallqaError
from callqa.journal import JournalEntry, JournalKind
from callqa.matching import canonical_number
from callqa.sidecar import Sidecar
from callqa.store.tables import Agent, Call, Seat, SeatLogin
from callqa.units import CallType, Direction
from callqa.usecases.followup_rows import follow_up
from callqa.usecases.ingest_notes import (
    add_freed,
    add_listened,
    add_note,
    is_note,
    merge_sidecar_notes,
    note_wait,
    settle_queue,
)

_COMPLETE = ("ok", "missing", "corrupt")


class EntryFault(CallqaError):
    """One entry cannot be taken in; the message is Chinese."""

    def __init__(self, subject: str, message: str) -> None:
        super().__init__(message)
        self.subject = subject
        self.message = message


class CallNote(BaseModel):
    """The facts of a CALL_* entry that we use; whatever else the recorder wrote is let pass."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    mode: Literal["bridge", "answer", "siprec", "import"] = "bridge"
    direction: Direction = Direction.INBOUND
    from_number: str = ""
    to_number: str = ""
    seat_extension: str | None = None
    ticket_hint: str | None = None
    user_to_user: str | None = None
    withheld: bool = False
    diverted_from: str = ""
    started_at_ms: int | None = None
    answered_at_ms: int | None = None
    ended_at_ms: int | None = None
    ring_ms: int | None = Field(default=None, ge=0)
    notice_ms: int = Field(default=0, ge=0)
    queued_ms: int = Field(default=0, ge=0)
    overflow_to: str = ""
    reason: str = ""
    hangup_party: Literal["agent", "citizen", "network"] | None = None


def call_type_of(direction: Direction) -> CallType:
    """通话类型 as far as the direction tells; linking to a ticket tells 核实 from 回访."""
    return CallType.INBOUND if direction is Direction.INBOUND else CallType.CALLBACK


def citizen_number(direction: Direction, from_number: str, to_number: str) -> str:
    """Canonical digits of the party that is not us."""
    return canonical_number(from_number if direction is Direction.INBOUND else to_number)


def apply_entry(session: Session, entry: JournalEntry, *, demo: bool) -> None:
    """Take in one entry other than CALL_COMPLETE. Raise EntryFault (Chinese) where its facts do not fit."""
    match entry.kind:
        case JournalKind.RECORDER_STARTED:
            _close_unfinished(session, entry.at_ms)
        case JournalKind.SEAT_LOGIN:
            _sign_in(session, entry)
        case JournalKind.SEAT_LOGOUT:
            _sign_out(session, _required(entry, "seat_extension"), entry.at_ms)
        case JournalKind.LISTENED:
            add_listened(session, _call_id(entry), entry)
        case JournalKind.SPOOLS_FREED:
            add_freed(session, entry)
        case JournalKind.FAULT:
            text = entry.facts.get("text") or entry.facts.get("reason") or "录音服务报告了一个故障"
            raise EntryFault(entry.call_id or "recorder", str(text))
        case _:
            _apply_call(session, entry, demo=demo)


def apply_sidecar(session: Session, sidecar: Sidecar, status: str, fault: str, *, demo: bool) -> None:
    """Write all a sidecar knows over the call's row; status and fault are what checking the master gave. A deleted call stays so."""
    direction = Direction(sidecar.direction)
    call = session.get(Call, sidecar.call_id)
    if call is not None and call.deleted_at_ms is not None:
        return
    if call is None:
        call = Call(
            call_id=sidecar.call_id,
            direction=direction.value,
            call_type=call_type_of(direction).value,
            outcome="answered",
            started_at_ms=sidecar.started_at_ms,
            demo=demo,
        )
    else:
        call.version += 1
    if call.direction != direction.value:  # a recording client told late who called whom
        call.call_type = call_type_of(direction).value
    call.mode, call.direction, call.outcome = sidecar.mode, direction.value, "answered"
    call.from_number, call.to_number = sidecar.from_number, sidecar.to_number
    call.citizen_number = citizen_number(direction, sidecar.from_number, sidecar.to_number)
    call.seat_extension, call.ticket_hint = sidecar.seat_extension, sidecar.ticket_hint
    call.user_to_user = sidecar.user_to_user
    call.started_at_ms, call.answered_at_ms = sidecar.started_at_ms, sidecar.answered_at_ms
    call.ended_at_ms = sidecar.ended_at_ms
    call.ring_ms = max(0, sidecar.answered_at_ms - sidecar.started_at_ms - sidecar.notice_ms)
    if sidecar.mode == "siprec" or (sidecar.mode == "import" and not call.ring_ms):
        call.ring_ms = (
            None  # a session begins at the answer, and nobody answers in no time: how long it rang is not told
        )
    call.duration_ms = max(0, sidecar.ended_at_ms - sidecar.answered_at_ms)
    call.hangup_party, call.recovered = sidecar.hangup_party, sidecar.recovered
    call.gaps = [gap.model_dump() for gap in sidecar.gaps]
    call.streams = [stream.model_dump() for stream in sidecar.streams]
    call.faults = [*sidecar.faults, *([fault] if fault else [])]
    call.recording_status = status
    recording = sidecar.recording
    if recording is not None:
        call.recording_path, call.recording_sha256 = recording.path, recording.sha256
        call.recording_encoding, call.sample_rate_hz = recording.encoding, recording.sample_rate_hz
        call.n_samples = recording.n_samples
    merge_sidecar_notes(call, sidecar)
    _leave_out_inside(session, call)
    settle_queue(call)
    session.add(call)
    follow_up(session, call)


def record_missing(call: Call, fault: str) -> None:
    """Note that an answered call has no recording."""
    call.recording_status = "missing"
    call.faults = [*call.faults, fault]
    call.version += 1


def _apply_call(session: Session, entry: JournalEntry, *, demo: bool) -> None:
    call_id = _call_id(entry)
    call = session.get(Call, call_id)
    if call is not None and call.deleted_at_ms is not None:
        return
    note = CallNote.model_validate(entry.facts)
    if call is None:
        call = Call(
            call_id=call_id,
            direction=note.direction.value,
            call_type=call_type_of(note.direction).value,
            outcome="in_progress",
            started_at_ms=note.started_at_ms or entry.at_ms,
            demo=demo,
        )
    if is_note(entry.kind):  # may come after the call, *13 above all
        add_note(call, entry)
        settle_queue(call)
        session.add(call)
    if call.recording_status in _COMPLETE:
        return  # its sidecar said everything else already
    if is_note(entry.kind):
        note = note.model_copy(update={"seat_extension": None})  # who marked it, or has it now; not who answered
    _copy_known(call, note)
    note_wait(call, notice_ms=note.notice_ms, queued_ms=note.queued_ms, overflow_to=note.overflow_to)
    _leave_out_inside(session, call)
    match entry.kind:
        case JournalKind.CALL_ANSWERED:
            _answered(call, note.answered_at_ms or entry.at_ms, note.notice_ms)
        case JournalKind.CALL_ENDED:
            _answered(call, note.answered_at_ms or call.answered_at_ms or entry.at_ms, note.notice_ms)
            call.ended_at_ms = note.ended_at_ms or entry.at_ms
            call.duration_ms = max(0, call.ended_at_ms - (call.answered_at_ms or call.ended_at_ms))
            call.hangup_party = note.hangup_party or call.hangup_party
        case JournalKind.CALL_UNANSWERED | JournalKind.CALL_ABANDONED:
            call.outcome = "abandoned" if entry.kind is JournalKind.CALL_ABANDONED else "unanswered"
            call.outcome_reason = note.reason
            call.ended_at_ms = note.ended_at_ms or entry.at_ms
            call.ring_ms = note.ring_ms if note.ring_ms is not None else max(0, call.ended_at_ms - call.started_at_ms)
    settle_queue(call)
    session.add(call)
    follow_up(session, call)


def _leave_out_inside(session: Session, call: Call) -> None:
    """A call from seat to seat (咨询) is nobody's hotline call: no sample, no rate counts it."""
    if call.direction != Direction.OUTBOUND.value or call.excluded_as is not None:
        return
    if all(number and session.get(Seat, number) for number in (call.from_number, call.to_number)):
        call.excluded_as = "internal_call"


def _copy_known(call: Call, note: CallNote) -> None:
    given: dict[str, Any] = note.model_dump(exclude_unset=True)
    for name in (
        "mode",
        "from_number",
        "to_number",
        "seat_extension",
        "ticket_hint",
        "user_to_user",
        "started_at_ms",
        "withheld",
        "diverted_from",
    ):
        if given.get(name):
            setattr(call, name, given[name])
    if "direction" in given:
        call.direction = note.direction.value
        call.call_type = call_type_of(note.direction).value
    call.citizen_number = citizen_number(Direction(call.direction), call.from_number, call.to_number)


def _answered(call: Call, answered_at_ms: int, notice_ms: int) -> None:
    call.outcome = "answered"
    call.outcome_reason = ""
    call.answered_at_ms = answered_at_ms
    call.ring_ms = None if call.mode == "siprec" else max(0, answered_at_ms - call.started_at_ms - notice_ms)
    if call.recording_status == "none":
        call.recording_status = "pending"


def _close_unfinished(session: Session, started_at_ms: int) -> None:
    """The recorder started anew: calls that were still ringing then will never be answered."""
    for call in session.exec(
        select(Call).where(Call.outcome == "in_progress", col(Call.started_at_ms) < started_at_ms)
    ):
        call.outcome, call.outcome_reason = "unanswered", "录音服务重新启动"
        call.ended_at_ms = started_at_ms
        session.add(call)
        follow_up(session, call)


def _call_id(entry: JournalEntry) -> str:
    if not entry.call_id:
        raise EntryFault(f"journal {entry.number}", f"流水第 {entry.number} 条（{entry.kind}）没有通话编号")
    return entry.call_id


def _required(entry: JournalEntry, name: str) -> str:
    value = entry.facts.get(name)
    if not isinstance(value, str) or not value:
        raise EntryFault(f"journal {entry.number}", f"流水第 {entry.number} 条（{entry.kind}）缺少 {name}")
    return value


def _sign_in(session: Session, entry: JournalEntry) -> None:
    extension, agent_no = _required(entry, "seat_extension"), _required(entry, "agent_no")
    if session.get(Seat, extension) is None:
        raise EntryFault(f"seat {extension}", f"话机 {extension} 签入，但没有这个席位；请先在“人员与席位”登记")
    agent = session.get(Agent, agent_no)
    if agent is None:
        raise EntryFault(f"agent {agent_no}", f"工号 {agent_no} 在话机 {extension} 签入，但没有这个工号；请先登记")
    if not agent.active:
        said = f"工号 {agent_no} 已停用或离职，却在话机 {extension} 签入；没有采纳，请问清是谁在接听，让本人签入"
        raise EntryFault(f"agent {agent_no}", said)
    same = session.exec(
        select(SeatLogin).where(
            SeatLogin.seat_extension == extension,
            SeatLogin.agent_no == agent_no,
            SeatLogin.started_at_ms == entry.at_ms,
        )
    ).first()
    if same is not None:
        return
    _sign_out(session, extension, entry.at_ms)
    for elsewhere in session.exec(
        select(SeatLogin).where(SeatLogin.agent_no == agent_no, col(SeatLogin.ended_at_ms).is_(None))
    ):
        elsewhere.ended_at_ms = entry.at_ms  # one person sits at one seat
        session.add(elsewhere)
    session.add(SeatLogin(seat_extension=extension, agent_no=agent_no, started_at_ms=entry.at_ms, source="phone"))


def _sign_out(session: Session, extension: str, at_ms: int) -> None:
    for login in session.exec(
        select(SeatLogin).where(
            SeatLogin.seat_extension == extension,
            col(SeatLogin.ended_at_ms).is_(None),
            col(SeatLogin.started_at_ms) < at_ms,
        )
    ):
        login.ended_at_ms = at_ms
        session.add(login)
