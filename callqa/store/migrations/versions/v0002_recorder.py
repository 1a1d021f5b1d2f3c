"""What the recorder tells of a call besides its audio, the work list of missed calls, repairs of utterances.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CALL_LISTS = ("digits", "marks", "transfers", "parties", "pauses")


def upgrade() -> None:
    """Add columns with defaults, so that rows of the first schema stay valid, and two tables."""
    op.add_column("call", sa.Column("withheld", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("call", sa.Column("diverted_from", sa.String(), nullable=False, server_default=""))
    op.add_column("call", sa.Column("queued_at_ms", sa.BigInteger(), nullable=True))
    op.add_column("call", sa.Column("queued_ms", sa.BigInteger(), nullable=True))
    op.add_column("call", sa.Column("joined_by", sa.String(), nullable=True))
    for name in _CALL_LISTS:
        op.add_column("call", _list_column(name))
    op.create_index("ix_call_joined_by", "call", ["joined_by"], unique=False)
    op.add_column("utterance", _list_column("repairs"))
    op.create_table(
        "missed_call_followup",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("first_call_id", sa.String(), nullable=False),
        sa.Column("missed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_missed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("n_missed", sa.Integer(), nullable=False),
        sa.Column("n_attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("assigned_to", sa.String(), nullable=True),
        sa.Column("closed_as", sa.String(), nullable=False),
        sa.Column("closing_call_id", sa.String(), nullable=True),
        sa.Column("done_by", sa.String(), nullable=False),
        sa.Column("done_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("demo", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("state in ('wanted','done','given_up','not_needed','no_number')", name="ck_followup_state"),
        sa.ForeignKeyConstraint(["assigned_to"], ["agent.agent_no"], name="fk_missed_call_followup_assigned_to"),
        sa.ForeignKeyConstraint(["closing_call_id"], ["call.call_id"], name="fk_missed_call_followup_closing_call_id"),
        sa.ForeignKeyConstraint(["first_call_id"], ["call.call_id"], name="fk_missed_call_followup_first_call_id"),
        sa.PrimaryKeyConstraint("id", name="pk_missed_call_followup"),
        sa.UniqueConstraint("key", name="uq_missed_call_followup_key"),
    )
    op.create_index("ix_missed_call_followup_number", "missed_call_followup", ["number"], unique=False)
    op.create_index("ix_followup_work", "missed_call_followup", ["state", "missed_at_ms"], unique=False)
    op.create_table(
        "followup_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("followup_id", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=True),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.CheckConstraint(
            "kind in ('missed','reached','not_reached','called_again','tried','given_up','not_needed','reopened')",
            name="ck_followup_event_kind",
        ),
        sa.ForeignKeyConstraint(["call_id"], ["call.call_id"], name="fk_followup_event_call_id"),
        sa.ForeignKeyConstraint(["followup_id"], ["missed_call_followup.id"], name="fk_followup_event_followup_id"),
        sa.PrimaryKeyConstraint("id", name="pk_followup_event"),
        sa.UniqueConstraint("followup_id", "call_id", name="uq_followup_event_followup_id_call_id"),
    )
    op.create_index("ix_followup_event_followup_id", "followup_event", ["followup_id"], unique=False)
    op.create_index("ix_followup_event_call_id", "followup_event", ["call_id"], unique=False)


def downgrade() -> None:
    """Drop what was added; what the recorder told besides the audio is gone from the database (not from the files)."""
    op.drop_table("followup_event")
    op.drop_table("missed_call_followup")
    op.drop_column("utterance", "repairs")
    op.drop_index("ix_call_joined_by", "call")
    for name in ("withheld", "diverted_from", "queued_at_ms", "queued_ms", "joined_by", *_CALL_LISTS):
        op.drop_column("call", name)


def _list_column(name: str) -> sa.Column[list]:
    return sa.Column(name, sa.JSON(), nullable=False, server_default=sa.text("'[]'"))
