"""The rater of a calibration whose scores the others are held against.

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Sessions so far compared everybody with everybody."""
    with op.batch_alter_table("calibration_session") as table:
        table.add_column(sa.Column("reference_evaluator", sa.Integer(), nullable=True))
        table.create_foreign_key("fk_calibration_reference", "account", ["reference_evaluator"], ["id"])


def downgrade() -> None:
    """Take it away: everybody is compared with everybody again."""
    with op.batch_alter_table("calibration_session") as table:
        table.drop_constraint("fk_calibration_reference", type_="foreignkey")
        table.drop_column("reference_evaluator")
