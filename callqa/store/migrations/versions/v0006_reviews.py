"""What follows a submitted evaluation: its window, each state of its points, appeals.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_MOMENTS = ("answer_due_at_ms", "answered_at_ms", "finalized_at_ms")


def upgrade() -> None:
    """Add the window to evaluations (none was released before) and two tables."""
    op.add_column("evaluation", sa.Column("answer_days", sa.Integer(), nullable=True))
    for name in _MOMENTS:
        op.add_column("evaluation", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("evaluation", sa.Column("answered_by_lapse", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "evaluation_revision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("by_account_id", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("quality_score", sa.Float(), nullable=False),
        sa.Column("final_score", sa.Float(), nullable=False),
        sa.Column("items", sa.JSON(), nullable=False),
        sa.CheckConstraint("kind in ('submit','revise','decide','fatal_confirmed')", name="ck_revision_kind"),
        sa.ForeignKeyConstraint(["by_account_id"], ["account.id"], name="fk_evaluation_revision_by_account_id"),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name="fk_evaluation_revision_evaluation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_evaluation_revision"),
        sa.UniqueConstraint("evaluation_id", "number", name="uq_evaluation_revision_evaluation_id_number"),
    )
    op.create_index("ix_evaluation_revision_evaluation_id", "evaluation_revision", ["evaluation_id"], unique=False)
    op.create_table(
        "appeal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened_by", sa.Integer(), nullable=False),
        sa.Column("opened_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("points_before", sa.Float(), nullable=True),
        sa.Column("points_after", sa.Float(), nullable=True),
        sa.Column("decided_by", sa.Integer(), nullable=True),
        sa.Column("decided_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("alone", sa.Boolean(), nullable=False),
        sa.CheckConstraint("state in ('open','upheld','revised','withdrawn')", name="ck_appeal_state"),
        sa.ForeignKeyConstraint(["decided_by"], ["account.id"], name="fk_appeal_decided_by"),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name="fk_appeal_evaluation_id"),
        sa.ForeignKeyConstraint(["opened_by"], ["account.id"], name="fk_appeal_opened_by"),
        sa.PrimaryKeyConstraint("id", name="pk_appeal"),
    )
    op.create_index("ix_appeal_evaluation_id", "appeal", ["evaluation_id"], unique=False)
    op.create_index("ix_appeal_state", "appeal", ["state"], unique=False)


def downgrade() -> None:
    """Take them away; revisions and appeals are lost."""
    op.drop_table("appeal")
    op.drop_table("evaluation_revision")
    for name in ("answered_by_lapse", *_MOMENTS, "answer_days"):
        op.drop_column("evaluation", name)
