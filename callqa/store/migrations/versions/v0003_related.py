"""Calls that belong together: a consult call, and the call that it was made for.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a list that is empty for rows of earlier schemas."""
    op.add_column("call", sa.Column("related", sa.JSON(), nullable=False, server_default=sa.text("'[]'")))


def downgrade() -> None:
    """Take it away."""
    op.drop_column("call", "related")
