"""The first schema: calls, people, tickets, scoring, sampling, reports, audit.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "agent",
    "audit_log",
    "desk_setting",
    "journal_position",
    "report_text",
    "rubric_version",
    "sampling_frame",
    "seat",
    "ticket_import",
    "account",
    "call",
    "report",
    "roster_entry",
    "seat_login",
    "ticket",
    "call_progress",
    "sample_entry",
    "ticket_link",
    "transcript",
    "web_session",
    "check_run",
    "utterance",
    "check_result",
    "evaluation",
    "suggestion",
    "deduction",
    "evaluation_comment",
    "evaluation_item",
    "fatal_finding",
    "suggestion_decision",
)


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "agent",
        sa.Column("agent_no", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("hired_on", sa.String(), nullable=True),
        sa.Column("left_on", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("agent_no", name="pk_agent"),
    )
    op.create_table(
        "audit_log",
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("prev_hash", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_audit_log"),
    )
    op.create_table(
        "desk_setting",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_desk_setting"),
    )
    op.create_table(
        "journal_position",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("damaged_lines", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_journal_position"),
    )
    op.create_table(
        "report_text",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("written_by", sa.String(), nullable=False),
        sa.Column("written_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_report_text"),
        sa.UniqueConstraint("month", "slot", name="uq_report_text_month_slot"),
    )
    op.create_table(
        "rubric_version",
        sa.Column("rubric_hash", sa.String(), nullable=False),
        sa.Column("rubric_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("effective_from_ms", sa.BigInteger(), nullable=False),
        sa.Column("loaded_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rubric_hash", name="pk_rubric_version"),
    )
    op.create_table(
        "sampling_frame",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("demo", sa.Boolean(), nullable=False),
        sa.Column("partial", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("frozen_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("frozen_by", sa.String(), nullable=False),
        sa.Column("frame_text", sa.String(), nullable=False),
        sa.Column("frame_hash", sa.String(), nullable=False),
        sa.Column("plan_json", sa.String(), nullable=False),
        sa.Column("plan_hash", sa.String(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("commit_a", sa.String(), nullable=True),
        sa.Column("commit_b", sa.String(), nullable=True),
        sa.Column("commit_a_by", sa.String(), nullable=True),
        sa.Column("commit_b_by", sa.String(), nullable=True),
        sa.Column("committed_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("nonce_a", sa.String(), nullable=True),
        sa.Column("nonce_b", sa.String(), nullable=True),
        sa.Column("seed", sa.String(), nullable=True),
        sa.Column("revealed_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("revealed_by", sa.String(), nullable=True),
        sa.Column("void_reason", sa.String(), nullable=True),
        sa.CheckConstraint("state in ('frozen','committed','revealed','void')", name="ck_frame_state"),
        sa.PrimaryKeyConstraint("id", name="pk_sampling_frame"),
    )
    op.create_index("ix_sampling_frame_month", "sampling_frame", ["month"], unique=False)
    op.create_table(
        "seat",
        sa.Column("extension", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("ha1_md5", sa.String(), nullable=False),
        sa.Column("ha1_sha256", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("extension", name="pk_seat"),
    )
    op.create_table(
        "ticket_import",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("file_sha256", sa.String(), nullable=False),
        sa.Column("imported_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("imported_by", sa.String(), nullable=False),
        sa.Column("rows_new", sa.Integer(), nullable=False),
        sa.Column("rows_changed", sa.Integer(), nullable=False),
        sa.Column("rows_same", sa.Integer(), nullable=False),
        sa.Column("errors", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ticket_import"),
    )
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("username", sa.String(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("agent_no", sa.String(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.Column("failed_logins", sa.Integer(), nullable=False),
        sa.Column("last_failed_at_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("role in ('shift_leader','agent','client_supervisor','admin')", name="ck_account_role"),
        sa.ForeignKeyConstraint(["agent_no"], ["agent.agent_no"], name="fk_account_agent_no"),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
        sa.UniqueConstraint("username", name="uq_account_username"),
    )
    op.create_table(
        "call",
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("call_type", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("outcome_reason", sa.String(), nullable=False),
        sa.Column("from_number", sa.String(), nullable=False),
        sa.Column("to_number", sa.String(), nullable=False),
        sa.Column("citizen_number", sa.String(), nullable=False),
        sa.Column("seat_extension", sa.String(), nullable=True),
        sa.Column("ticket_hint", sa.String(), nullable=True),
        sa.Column("user_to_user", sa.String(), nullable=True),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("answered_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("ring_ms", sa.BigInteger(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("hangup_party", sa.String(), nullable=True),
        sa.Column("disposition", sa.String(), nullable=True),
        sa.Column("recovered", sa.Boolean(), nullable=False),
        sa.Column("recording_status", sa.String(), nullable=False),
        sa.Column("recording_path", sa.String(), nullable=True),
        sa.Column("recording_sha256", sa.String(), nullable=True),
        sa.Column("recording_encoding", sa.String(), nullable=True),
        sa.Column("sample_rate_hz", sa.Integer(), nullable=True),
        sa.Column("n_samples", sa.Integer(), nullable=True),
        sa.Column("gaps", sa.JSON(), nullable=False),
        sa.Column("streams", sa.JSON(), nullable=False),
        sa.Column("faults", sa.JSON(), nullable=False),
        sa.Column("agent_no", sa.String(), nullable=True),
        sa.Column("attribution_source", sa.String(), nullable=False),
        sa.Column("attribution_reason", sa.String(), nullable=False),
        sa.Column("excluded_as", sa.String(), nullable=True),
        sa.Column("demo", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "attribution_source in ('pending','login','roster','manual','unknown')", name="ck_call_attr"
        ),
        sa.CheckConstraint("direction in ('inbound','outbound')", name="ck_call_direction"),
        sa.CheckConstraint("outcome in ('in_progress','answered','unanswered','abandoned')", name="ck_call_outcome"),
        sa.CheckConstraint("recording_status in ('none','pending','ok','missing','corrupt')", name="ck_call_recording"),
        sa.ForeignKeyConstraint(["agent_no"], ["agent.agent_no"], name="fk_call_agent_no"),
        sa.PrimaryKeyConstraint("call_id", name="pk_call"),
    )
    op.create_index("ix_call_agent_no", "call", ["agent_no"], unique=False)
    op.create_index("ix_call_citizen_number", "call", ["citizen_number"], unique=False)
    op.create_index("ix_call_month", "call", ["started_at_ms", "outcome"], unique=False)
    op.create_index("ix_call_seat_extension", "call", ["seat_extension"], unique=False)
    op.create_table(
        "report",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("report_no", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("demo", sa.Boolean(), nullable=False),
        sa.Column("frame_id", sa.Integer(), nullable=True),
        sa.Column("made_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["frame_id"], ["sampling_frame.id"], name="fk_report_frame_id"),
        sa.PrimaryKeyConstraint("id", name="pk_report"),
        sa.UniqueConstraint("month", "version", name="uq_report_month_version"),
    )
    op.create_table(
        "roster_entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("agent_no", sa.String(), nullable=False),
        sa.Column("seat_extension", sa.String(), nullable=True),
        sa.Column("shift", sa.String(), nullable=False),
        sa.Column("start_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["agent_no"], ["agent.agent_no"], name="fk_roster_entry_agent_no"),
        sa.ForeignKeyConstraint(["seat_extension"], ["seat.extension"], name="fk_roster_entry_seat_extension"),
        sa.PrimaryKeyConstraint("id", name="pk_roster_entry"),
        sa.UniqueConstraint("agent_no", "start_at_ms", name="uq_roster_entry_agent_no_start_at_ms"),
    )
    op.create_index("ix_roster_time", "roster_entry", ["start_at_ms", "end_at_ms"], unique=False)
    op.create_table(
        "seat_login",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("seat_extension", sa.String(), nullable=False),
        sa.Column("agent_no", sa.String(), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["agent_no"], ["agent.agent_no"], name="fk_seat_login_agent_no"),
        sa.ForeignKeyConstraint(["seat_extension"], ["seat.extension"], name="fk_seat_login_seat_extension"),
        sa.PrimaryKeyConstraint("id", name="pk_seat_login"),
    )
    op.create_index("ix_seat_login_agent_no", "seat_login", ["agent_no"], unique=False)
    op.create_index("ix_seat_login_seat_extension", "seat_login", ["seat_extension"], unique=False)
    op.create_table(
        "ticket",
        sa.Column("ticket_no", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=True),
        sa.Column("matter_category", sa.String(), nullable=True),
        sa.Column("caller_number", sa.String(), nullable=False),
        sa.Column("contact_phone", sa.String(), nullable=False),
        sa.Column("citizen_name", sa.String(), nullable=False),
        sa.Column("district", sa.String(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("occurred_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("accepted_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("accepted_by_agent_no", sa.String(), nullable=False),
        sa.Column("handling_unit", sa.String(), nullable=False),
        sa.Column("dispatched_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("result_received_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("closed_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("callback_done_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("callback_attempts", sa.Integer(), nullable=True),
        sa.Column("satisfaction", sa.String(), nullable=False),
        sa.Column("urgent_flag", sa.Boolean(), nullable=False),
        sa.Column("reported_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("parent_ticket_no", sa.String(), nullable=True),
        sa.Column("rework_requested_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("verify_note", sa.String(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.Column("import_id", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["import_id"], ["ticket_import.id"], name="fk_ticket_import_id"),
        sa.PrimaryKeyConstraint("ticket_no", name="pk_ticket"),
    )
    op.create_index("ix_ticket_accepted_at_ms", "ticket", ["accepted_at_ms"], unique=False)
    op.create_index("ix_ticket_caller_number", "ticket", ["caller_number"], unique=False)
    op.create_index("ix_ticket_contact_phone", "ticket", ["contact_phone"], unique=False)
    op.create_table(
        "call_progress",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("stage in ('ingest','attribute','link','transcribe','check')", name="ck_progress_stage"),
        sa.CheckConstraint("state in ('wanted','running','done','failed','waiting')", name="ck_progress_state"),
        sa.ForeignKeyConstraint(["call_id"], ["call.call_id"], name="fk_call_progress_call_id"),
        sa.PrimaryKeyConstraint("id", name="pk_call_progress"),
        sa.UniqueConstraint("call_id", "stage", name="uq_call_progress_call_id_stage"),
    )
    op.create_index("ix_call_progress_call_id", "call_progress", ["call_id"], unique=False)
    op.create_index("ix_progress_work", "call_progress", ["state", "stage"], unique=False)
    op.create_table(
        "sample_entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("frame_id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("agent_no", sa.String(), nullable=False),
        sa.Column("stratum", sa.String(), nullable=False),
        sa.Column("rank", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("replaced_by", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.CheckConstraint("kind in ('sample','reserve')", name="ck_sample_kind"),
        sa.CheckConstraint("state in ('open','replaced','used','unused')", name="ck_sample_state"),
        sa.ForeignKeyConstraint(["call_id"], ["call.call_id"], name="fk_sample_entry_call_id"),
        sa.ForeignKeyConstraint(["frame_id"], ["sampling_frame.id"], name="fk_sample_entry_frame_id"),
        sa.PrimaryKeyConstraint("id", name="pk_sample_entry"),
        sa.UniqueConstraint("frame_id", "call_id", name="uq_sample_entry_frame_id_call_id"),
    )
    op.create_index("ix_sample_frame", "sample_entry", ["frame_id", "kind"], unique=False)
    op.create_table(
        "ticket_link",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("ticket_no", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("decided_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("method in ('header','evidence','manual')", name="ck_link_method"),
        sa.CheckConstraint("state in ('linked','doubtful','rejected')", name="ck_link_state"),
        sa.ForeignKeyConstraint(["call_id"], ["call.call_id"], name="fk_ticket_link_call_id"),
        sa.ForeignKeyConstraint(["ticket_no"], ["ticket.ticket_no"], name="fk_ticket_link_ticket_no"),
        sa.PrimaryKeyConstraint("id", name="pk_ticket_link"),
        sa.UniqueConstraint("call_id", "ticket_no", name="uq_ticket_link_call_id_ticket_no"),
    )
    op.create_index("ix_ticket_link_call_id", "ticket_link", ["call_id"], unique=False)
    op.create_index("ix_ticket_link_ticket_no", "ticket_link", ["ticket_no"], unique=False)
    op.create_table(
        "transcript",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("model_sha256", sa.String(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("recording_sha256", sa.String(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("separated", sa.Boolean(), nullable=False),
        sa.Column("speech", sa.JSON(), nullable=False),
        sa.Column("mean_confidence", sa.Float(), nullable=True),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("cpu_s", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["call_id"], ["call.call_id"], name="fk_transcript_call_id"),
        sa.PrimaryKeyConstraint("id", name="pk_transcript"),
        sa.UniqueConstraint("call_id", "version", name="uq_transcript_call_id_version"),
    )
    op.create_index("ix_transcript_call_id", "transcript", ["call_id"], unique=False)
    op.create_table(
        "web_session",
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("user_agent", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_web_session_account_id"),
        sa.PrimaryKeyConstraint("token_sha256", name="pk_web_session"),
    )
    op.create_index("ix_web_session_account_id", "web_session", ["account_id"], unique=False)
    op.create_table(
        "check_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("transcript_id", sa.Integer(), nullable=False),
        sa.Column("rubric_hash", sa.String(), nullable=False),
        sa.Column("facts_hash", sa.String(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("auto_score", sa.Float(), nullable=True),
        sa.Column("suspected_fatal", sa.Boolean(), nullable=False),
        sa.Column("not_applicable", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["call.call_id"], name="fk_check_run_call_id"),
        sa.ForeignKeyConstraint(["rubric_hash"], ["rubric_version.rubric_hash"], name="fk_check_run_rubric_hash"),
        sa.ForeignKeyConstraint(["transcript_id"], ["transcript.id"], name="fk_check_run_transcript_id"),
        sa.PrimaryKeyConstraint("id", name="pk_check_run"),
        sa.UniqueConstraint(
            "call_id",
            "transcript_id",
            "rubric_hash",
            "facts_hash",
            name="uq_check_run_call_id_transcript_id_rubric_hash_facts_hash",
        ),
    )
    op.create_index("ix_check_run_call_id", "check_run", ["call_id"], unique=False)
    op.create_table(
        "utterance",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("transcript_id", sa.Integer(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("speaker", sa.String(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("raw_text", sa.String(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("reliable", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["transcript_id"], ["transcript.id"], name="fk_utterance_transcript_id"),
        sa.PrimaryKeyConstraint("id", name="pk_utterance"),
        sa.UniqueConstraint("transcript_id", "index", name="uq_utterance_transcript_id_index"),
    )
    op.create_index("ix_utterance_transcript_id", "utterance", ["transcript_id"], unique=False)
    op.create_table(
        "check_result",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("check_run_id", sa.Integer(), nullable=False),
        sa.Column("check_id", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("explanation", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["check_run_id"], ["check_run.id"], name="fk_check_result_check_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_check_result"),
        sa.UniqueConstraint("check_run_id", "check_id", name="uq_check_result_check_run_id_check_id"),
    )
    op.create_index("ix_check_result_check_run_id", "check_result", ["check_run_id"], unique=False)
    op.create_table(
        "evaluation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("sample_entry_id", sa.Integer(), nullable=True),
        sa.Column("rubric_hash", sa.String(), nullable=False),
        sa.Column("transcript_id", sa.Integer(), nullable=True),
        sa.Column("check_run_id", sa.Integer(), nullable=True),
        sa.Column("recording_sha256", sa.String(), nullable=True),
        sa.Column("evaluator_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("quality_score", sa.Float(), nullable=True),
        sa.Column("final_score", sa.Float(), nullable=True),
        sa.Column("grade", sa.String(), nullable=True),
        sa.Column("summary", sa.String(), nullable=False),
        sa.Column("opened_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("submitted_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("released_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("elapsed_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "status in ('draft','submitted','released','acknowledged','appealed','finalized')",
            name="ck_evaluation_status",
        ),
        sa.ForeignKeyConstraint(["call_id"], ["call.call_id"], name="fk_evaluation_call_id"),
        sa.ForeignKeyConstraint(["check_run_id"], ["check_run.id"], name="fk_evaluation_check_run_id"),
        sa.ForeignKeyConstraint(["evaluator_id"], ["account.id"], name="fk_evaluation_evaluator_id"),
        sa.ForeignKeyConstraint(["rubric_hash"], ["rubric_version.rubric_hash"], name="fk_evaluation_rubric_hash"),
        sa.ForeignKeyConstraint(["sample_entry_id"], ["sample_entry.id"], name="fk_evaluation_sample_entry_id"),
        sa.ForeignKeyConstraint(["transcript_id"], ["transcript.id"], name="fk_evaluation_transcript_id"),
        sa.PrimaryKeyConstraint("id", name="pk_evaluation"),
        sa.UniqueConstraint("call_id", "kind", name="uq_evaluation_call_id_kind"),
    )
    op.create_index("ix_evaluation_call_id", "evaluation", ["call_id"], unique=False)
    op.create_table(
        "suggestion",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("check_run_id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("check_id", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("option_code", sa.String(), nullable=True),
        sa.Column("fatal_id", sa.String(), nullable=True),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("points", sa.Float(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["call.call_id"], name="fk_suggestion_call_id"),
        sa.ForeignKeyConstraint(["check_run_id"], ["check_run.id"], name="fk_suggestion_check_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_suggestion"),
    )
    op.create_index("ix_suggestion_call_id", "suggestion", ["call_id"], unique=False)
    op.create_index("ix_suggestion_check_run_id", "suggestion", ["check_run_id"], unique=False)
    op.create_table(
        "deduction",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("option_code", sa.String(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("points", sa.Float(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name="fk_deduction_evaluation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_deduction"),
        sa.UniqueConstraint(
            "evaluation_id", "item_id", "option_code", name="uq_deduction_evaluation_id_item_id_option_code"
        ),
    )
    op.create_index("ix_deduction_evaluation_id", "deduction", ["evaluation_id"], unique=False)
    op.create_table(
        "evaluation_comment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=True),
        sa.Column("text", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name="fk_evaluation_comment_evaluation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_evaluation_comment"),
    )
    op.create_index("ix_evaluation_comment_evaluation_id", "evaluation_comment", ["evaluation_id"], unique=False)
    op.create_table(
        "evaluation_item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("not_applicable", sa.Boolean(), nullable=False),
        sa.Column("na_by", sa.String(), nullable=True),
        sa.Column("max_points", sa.Float(), nullable=False),
        sa.Column("points", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name="fk_evaluation_item_evaluation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_evaluation_item"),
        sa.UniqueConstraint("evaluation_id", "item_id", name="uq_evaluation_item_evaluation_id_item_id"),
    )
    op.create_index("ix_evaluation_item_evaluation_id", "evaluation_item", ["evaluation_id"], unique=False)
    op.create_table(
        "fatal_finding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("fatal_id", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("confirmed_by", sa.Integer(), nullable=False),
        sa.Column("second_confirmed_by", sa.Integer(), nullable=True),
        sa.Column("second_confirmed_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["confirmed_by"], ["account.id"], name="fk_fatal_finding_confirmed_by"),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name="fk_fatal_finding_evaluation_id"),
        sa.ForeignKeyConstraint(["second_confirmed_by"], ["account.id"], name="fk_fatal_finding_second_confirmed_by"),
        sa.PrimaryKeyConstraint("id", name="pk_fatal_finding"),
        sa.UniqueConstraint("evaluation_id", "fatal_id", name="uq_fatal_finding_evaluation_id_fatal_id"),
    )
    op.create_index("ix_fatal_finding_evaluation_id", "fatal_finding", ["evaluation_id"], unique=False)
    op.create_table(
        "suggestion_decision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("suggestion_id", sa.Integer(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.CheckConstraint("decision in ('accepted','rejected')", name="ck_decision"),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name="fk_suggestion_decision_evaluation_id"),
        sa.ForeignKeyConstraint(["suggestion_id"], ["suggestion.id"], name="fk_suggestion_decision_suggestion_id"),
        sa.PrimaryKeyConstraint("id", name="pk_suggestion_decision"),
        sa.UniqueConstraint(
            "evaluation_id", "suggestion_id", name="uq_suggestion_decision_evaluation_id_suggestion_id"
        ),
    )
    op.create_index("ix_suggestion_decision_evaluation_id", "suggestion_decision", ["evaluation_id"], unique=False)


def downgrade() -> None:
    """Drop every table; with it everything is gone."""
    for table in reversed(TABLES):
        op.drop_table(table)
