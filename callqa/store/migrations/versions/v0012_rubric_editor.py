"""The rubric as it is edited in the browser, and trials of two texts over a month's calls.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two tables."""
    op.create_table(
        "rubric_draft",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("based_on", sa.String(), nullable=True),
        sa.Column("updated_by", sa.Integer(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["based_on"], ["rubric_version.rubric_hash"], name="fk_rubric_draft_based_on"),
        sa.ForeignKeyConstraint(["updated_by"], ["account.id"], name="fk_rubric_draft_updated_by"),
        sa.PrimaryKeyConstraint("id", name="pk_rubric_draft"),
    )
    op.create_table(
        "rubric_trial",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("old_hash", sa.String(), nullable=False),
        sa.Column("new_hash", sa.String(), nullable=False),
        sa.Column("new_source", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("asked_by", sa.Integer(), nullable=False),
        sa.Column("asked_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("problem", sa.String(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.CheckConstraint("state in ('wanted','running','done','failed','stopped')", name="ck_trial_state"),
        sa.ForeignKeyConstraint(["asked_by"], ["account.id"], name="fk_rubric_trial_asked_by"),
        sa.ForeignKeyConstraint(["old_hash"], ["rubric_version.rubric_hash"], name="fk_rubric_trial_old_hash"),
        sa.PrimaryKeyConstraint("id", name="pk_rubric_trial"),
    )


def downgrade() -> None:
    """Take them away; the draft and the trials are lost."""
    op.drop_table("rubric_trial")
    op.drop_table("rubric_draft")
