"""Why each check came out as it did, kept with its result.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a list that is empty for runs of earlier versions."""
    op.add_column("check_result", sa.Column("reasoning", sa.JSON(), nullable=False, server_default=sa.text("'[]'")))


def downgrade() -> None:
    """Take it away."""
    op.drop_column("check_result", "reasoning")
