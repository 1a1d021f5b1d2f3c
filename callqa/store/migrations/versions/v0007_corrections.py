"""Transcripts corrected by people, the site's vocabulary, and whose claim a stage is.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ORIGIN = ("author", "reason", "based_on", "verified", "machine_edits", "reference_chars")


def upgrade() -> None:
    """Add columns that say "the machine, nobody" for what is there, and two tables."""
    op.add_column("call_progress", sa.Column("worker", sa.String(), nullable=False, server_default=""))
    op.add_column("transcript", sa.Column("author", sa.String(), nullable=False, server_default=""))
    op.add_column("transcript", sa.Column("reason", sa.String(), nullable=False, server_default=""))
    op.add_column("transcript", sa.Column("based_on", sa.Integer(), nullable=True))
    op.add_column("transcript", sa.Column("verified", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("transcript", sa.Column("machine_edits", sa.Integer(), nullable=True))
    op.add_column("transcript", sa.Column("reference_chars", sa.Integer(), nullable=True))
    op.add_column("utterance", sa.Column("corrections", sa.JSON(), nullable=False, server_default=sa.text("'[]'")))
    op.create_table(
        "vocabulary_version",
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("words", sa.JSON(), nullable=False),
        sa.Column("change", sa.String(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("made_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_vocabulary_version"),
    )
    op.create_table(
        "vocabulary_candidate",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("transcript_id", sa.Integer(), nullable=False),
        sa.Column("word", sa.String(), nullable=False),
        sa.Column("was", sa.String(), nullable=False),
        sa.Column("context", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("offered_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.Column("decided_at_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state in ('offered','accepted','refused')", name="ck_candidate_state"),
        sa.ForeignKeyConstraint(["transcript_id"], ["transcript.id"], name="fk_vocabulary_candidate_transcript_id"),
        sa.PrimaryKeyConstraint("id", name="pk_vocabulary_candidate"),
        sa.UniqueConstraint("transcript_id", "word", name="uq_vocabulary_candidate_transcript_id_word"),
    )


def downgrade() -> None:
    """Drop what people added; corrected versions stay as plain ones."""
    op.drop_table("vocabulary_candidate")
    op.drop_table("vocabulary_version")
    op.drop_column("utterance", "corrections")
    for name in _ORIGIN:
        op.drop_column("transcript", name)
    op.drop_column("call_progress", "worker")
