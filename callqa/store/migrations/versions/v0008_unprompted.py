"""What a decode without prompt made of an utterance, where its text came from one with a prompt.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a list that is empty for utterances of earlier versions."""
    op.add_column("utterance", sa.Column("unprompted", sa.JSON(), nullable=False, server_default=sa.text("'[]'")))


def downgrade() -> None:
    """Take it away."""
    op.drop_column("utterance", "unprompted")
