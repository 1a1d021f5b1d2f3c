"""Who asked that a sampling frame be made void, who agreed, and when.

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Four columns, empty for the frames there are: what was void before keeps its reason and its audit entry."""
    op.add_column("sampling_frame", sa.Column("void_asked_by", sa.String(), nullable=True))
    op.add_column("sampling_frame", sa.Column("void_asked_at_ms", sa.BigInteger(), nullable=True))
    op.add_column("sampling_frame", sa.Column("voided_by", sa.String(), nullable=True))
    op.add_column("sampling_frame", sa.Column("voided_at_ms", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Take them away; the audit chain still tells the two persons."""
    for name in ("voided_at_ms", "voided_by", "void_asked_at_ms", "void_asked_by"):
        op.drop_column("sampling_frame", name)
