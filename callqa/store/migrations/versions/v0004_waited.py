"""What a caller went through before the answer: the recording notice, and a number outside that took the call.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add two columns; rows of earlier schemas say that there was none."""
    op.add_column("call", sa.Column("notice_ms", sa.BigInteger(), nullable=True))
    op.add_column("call", sa.Column("overflow_to", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    """Take them away."""
    op.drop_column("call", "overflow_to")
    op.drop_column("call", "notice_ms")
