"""Calls whose content was deleted, and calls that nothing may delete for now.

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two tables and a mark on the call; nothing was deleted before."""
    op.add_column("call", sa.Column("deleted_at_ms", sa.BigInteger(), nullable=True))
    op.create_table(
        "call_deletion",
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("done_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("recording_sha256", sa.String(), nullable=True),
        sa.Column("recording_path", sa.String(), nullable=True),
        sa.CheckConstraint("state in ('deleting','deleted')", name="ck_deletion_state"),
        sa.CheckConstraint("kind in ('request','retention')", name="ck_deletion_kind"),
        sa.ForeignKeyConstraint(["call_id"], ["call.call_id"], name="fk_call_deletion_call_id"),
        sa.PrimaryKeyConstraint("call_id", name="pk_call_deletion"),
    )
    op.create_index("ix_call_deletion_state", "call_deletion", ["state"], unique=False)
    op.create_table(
        "legal_hold",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("placed_by", sa.String(), nullable=False),
        sa.Column("placed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("lifted_by", sa.String(), nullable=False),
        sa.Column("lifted_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("lifted_why", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["call.call_id"], name="fk_legal_hold_call_id"),
        sa.PrimaryKeyConstraint("id", name="pk_legal_hold"),
    )
    op.create_index("ix_legal_hold_call_id", "legal_hold", ["call_id"], unique=False)


def downgrade() -> None:
    """Take them away: which calls are deleted is not known any more, their content stays gone."""
    op.drop_table("legal_hold")
    op.drop_table("call_deletion")
    op.drop_column("call", "deleted_at_ms")
