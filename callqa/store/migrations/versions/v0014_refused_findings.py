"""A fatal finding that its second person refused, and why.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nobody could refuse one before."""
    with op.batch_alter_table("fatal_finding") as table:
        table.add_column(sa.Column("refused_by", sa.Integer(), nullable=True))
        table.add_column(sa.Column("refused_at_ms", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("refusal", sa.String(), nullable=False, server_default=""))
        table.create_foreign_key("fk_fatal_finding_refused_by", "account", ["refused_by"], ["id"])


def downgrade() -> None:
    """Take it away; refused findings wait for their second person again."""
    with op.batch_alter_table("fatal_finding") as table:
        table.drop_constraint("fk_fatal_finding_refused_by", type_="foreignkey")
        for name in ("refusal", "refused_at_ms", "refused_by"):
            table.drop_column(name)
