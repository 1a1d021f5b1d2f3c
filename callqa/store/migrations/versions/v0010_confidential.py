"""Calls that only named people may open.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two tables; no call was confidential before."""
    op.create_table(
        "confidential_call",
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("marked_by", sa.Integer(), nullable=False),
        sa.Column("marked_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["marked_by"], ["account.id"], name="fk_confidential_call_marked_by"),
        sa.PrimaryKeyConstraint("call_id", name="pk_confidential_call"),
    )
    op.create_table(
        "confidential_reader",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_confidential_reader_account_id"),
        sa.ForeignKeyConstraint(["call_id"], ["confidential_call.call_id"], name="fk_confidential_reader_call_id"),
        sa.PrimaryKeyConstraint("id", name="pk_confidential_reader"),
        sa.UniqueConstraint("call_id", "account_id", name="uq_confidential_reader_call_id_account_id"),
    )
    op.create_index("ix_confidential_reader_call_id", "confidential_reader", ["call_id"], unique=False)


def downgrade() -> None:
    """Take them away; confidential calls are open again."""
    op.drop_table("confidential_reader")
    op.drop_table("confidential_call")
