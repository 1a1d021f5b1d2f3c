"""Calls and what is known of them: journal position, recording, attribution, link, transcript, progress."""

from sqlalchemy import JSON, Boolean, CheckConstraint, Column, Index, String, UniqueConstraint, false, text
from sqlmodel import Field, SQLModel


def _later_list() -> Column[list]:
    """A JSON list that came with a later version: rows written before it have an empty one."""
    return Column(JSON, nullable=False, server_default=text("'[]'"))


def _later_text() -> Column[str]:
    """A text that came with a later version: rows written before it have an empty one."""
    return Column(String, nullable=False, server_default="")


class Call(SQLModel, table=True):  # 通话
    __tablename__ = "call"
    __table_args__ = (
        CheckConstraint("direction in ('inbound','outbound')", name="ck_call_direction"),
        CheckConstraint("outcome in ('in_progress','answered','unanswered','abandoned')", name="ck_call_outcome"),
        CheckConstraint("recording_status in ('none','pending','ok','missing','corrupt')", name="ck_call_recording"),
        CheckConstraint("attribution_source in ('pending','login','roster','manual','unknown')", name="ck_call_attr"),
        Index("ix_call_month", "started_at_ms", "outcome"),
    )
    call_id: str = Field(primary_key=True)
    mode: str = "bridge"  # bridge | answer | siprec | import
    direction: str
    call_type: str  # inbound | verify | callback
    outcome: str
    outcome_reason: str = ""
    from_number: str = ""
    to_number: str = ""
    citizen_number: str = Field(default="", index=True)  # canonical digits
    seat_extension: str | None = Field(default=None, index=True)
    ticket_hint: str | None = None
    user_to_user: str | None = None
    started_at_ms: int
    answered_at_ms: int | None = None
    ended_at_ms: int | None = None
    ring_ms: int | None = None
    duration_ms: int | None = None  # answered to ended
    hangup_party: str | None = None  # agent | citizen | network
    disposition: str | None = None
    recovered: bool = False
    # how the call came and what was done in it; the notes of callqa.sidecar as JSON
    withheld: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=false()))
    diverted_from: str = Field(default="", sa_column=Column(String, nullable=False, server_default=""))
    queued_at_ms: int | None = None  # when the caller entered the queue
    queued_ms: int | None = None  # from there until answered or over
    notice_ms: int | None = None  # listening to the recording notice, which is no ringing
    overflow_to: str = Field(
        default="", sa_column=Column(String, nullable=False, server_default="")
    )  # 溢出: a number outside
    joined_by: str | None = Field(default=None, index=True)  # sessions of one call share it
    digits: list = Field(default_factory=list, sa_column=_later_list())  # DigitNote
    marks: list = Field(default_factory=list, sa_column=_later_list())  # MarkNote
    transfers: list = Field(default_factory=list, sa_column=_later_list())  # TransferNote
    parties: list = Field(default_factory=list, sa_column=_later_list())  # Party
    related: list = Field(
        default_factory=list, sa_column=_later_list()
    )  # call_ids: consult calls, and whom they were for
    pauses: list = Field(default_factory=list, sa_column=_later_list())  # {at_ms, kind: paused|resumed, by, reason}
    # recording
    recording_status: str = "none"
    recording_path: str | None = None  # relative to the recordings folder
    recording_sha256: str | None = None
    recording_encoding: str | None = None
    sample_rate_hz: int | None = None
    n_samples: int | None = None
    gaps: list = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # GapNote as JSON
    streams: list = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # StreamFigures as JSON
    faults: list = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    # attribution 坐席归属
    agent_no: str | None = Field(default=None, foreign_key="agent.agent_no", index=True)
    attribution_source: str = "pending"
    attribution_reason: str = ""
    # test_call | internal_call | wrong_number | overflow: by a person or an importer; from seat to seat, overflow by ingest
    excluded_as: str | None = None
    demo: bool = False
    deleted_at_ms: int | None = None  # its content is gone since then: see CallDeletion
    version: int = 1


class JournalPosition(SQLModel, table=True):
    """How far the journal has been ingested. One row, id = 1."""

    __tablename__ = "journal_position"
    id: int = Field(default=1, primary_key=True)
    number: int = 0
    damaged_lines: int = 0


class CallProgress(SQLModel, table=True):
    """One row a call and stage: what is wanted, running, done or failed. Truth; the job runner only works it off."""

    __tablename__ = "call_progress"
    __table_args__ = (
        UniqueConstraint("call_id", "stage"),
        CheckConstraint("stage in ('ingest','attribute','link','transcribe','check')", name="ck_progress_stage"),
        CheckConstraint("state in ('wanted','running','done','failed','waiting')", name="ck_progress_state"),
        Index("ix_progress_work", "state", "stage"),
    )
    id: int | None = Field(default=None, primary_key=True)
    call_id: str = Field(foreign_key="call.call_id", index=True)
    stage: str
    state: str  # waiting = cannot run yet (no model, say); `message` says what to supply
    percent: int = 0
    message: str = ""
    attempts: int = 0
    updated_at_ms: int
    worker: str = Field(default="", sa_column=_later_text())  # whose claim it is or was


class TranscriptRow(SQLModel, table=True):  # 转写, one row a version
    __tablename__ = "transcript"
    __table_args__ = (UniqueConstraint("call_id", "version"),)
    id: int | None = Field(default=None, primary_key=True)
    call_id: str = Field(foreign_key="call.call_id", index=True)
    version: int
    engine: str
    model_sha256: str
    options: dict = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    recording_sha256: str
    duration_ms: int
    separated: bool = True
    speech: list = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # [[[s,e],...],[[s,e],...]]
    mean_confidence: float | None = None
    notes: list = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    created_at_ms: int
    cpu_s: float | None = None
    # 更正: a version that a person made from another
    author: str = Field(default="", sa_column=_later_text())  # user name; "" = the machine
    reason: str = Field(default="", sa_column=_later_text())
    based_on: int | None = None  # the version it was made from
    verified: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=false())
    )  # 全文核对过
    machine_edits: int | None = None  # characters to change from the machine's last text to this one
    reference_chars: int | None = None  # characters of this one


class UtteranceRow(SQLModel, table=True):  # 语句
    __tablename__ = "utterance"
    __table_args__ = (UniqueConstraint("transcript_id", "index"),)
    id: int | None = Field(default=None, primary_key=True)
    transcript_id: int = Field(foreign_key="transcript.id", index=True)
    index: int
    speaker: str
    start_ms: int
    end_ms: int
    text: str
    raw_text: str
    confidence: float
    reliable: bool = True
    repairs: list = Field(default_factory=list, sa_column=_later_list())  # [start, end, was]
    corrections: list = Field(default_factory=list, sa_column=_later_list())  # the same, written by a person
    unprompted: list = Field(default_factory=list, sa_column=_later_list())  # [] or [text, confidence, reliable]
