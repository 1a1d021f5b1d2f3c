"""Blind cards by a committed string, how far each item was trusted when a card was opened, and calibration sessions.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Frames that were revealed before have no string yet: they get one when their next card is opened."""
    op.add_column("sampling_frame", sa.Column("blind_commit", sa.String(), nullable=True))
    op.add_column("sampling_frame", sa.Column("blind_secret", sa.String(), nullable=True))
    op.add_column("sampling_frame", sa.Column("blind_revealed_at_ms", sa.BigInteger(), nullable=True))
    op.add_column("evaluation", sa.Column("trust", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
    op.create_table(
        "calibration_session",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("opened_by", sa.Integer(), nullable=True),
        sa.Column("opened_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("call_ids", sa.JSON(), nullable=False),
        sa.Column("rater_ids", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["created_by"], ["account.id"], name="fk_calibration_session_created_by"),
        sa.ForeignKeyConstraint(["opened_by"], ["account.id"], name="fk_calibration_session_opened_by"),
        sa.PrimaryKeyConstraint("id", name="pk_calibration_session"),
    )


def downgrade() -> None:
    """Take them away; calibration sessions are lost."""
    op.drop_table("calibration_session")
    op.drop_column("evaluation", "trust")
    for name in ("blind_revealed_at_ms", "blind_secret", "blind_commit"):
        op.drop_column("sampling_frame", name)
