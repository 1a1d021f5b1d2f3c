"""What follows from a score: coaching notes, corrective actions, cases for training.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def _account(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], ["account.id"], name=f"fk_{table}_{column}")


def upgrade() -> None:
    """Four tables."""
    op.create_table(
        "coaching_note",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("written_by", sa.Integer(), nullable=False),
        sa.Column("written_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("signed_by", sa.Integer(), nullable=True),
        sa.Column("signed_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name="fk_coaching_note_evaluation_id"),
        _account("coaching_note", "signed_by"),
        _account("coaching_note", "written_by"),
        sa.PrimaryKeyConstraint("id", name="pk_coaching_note"),
    )
    op.create_index("ix_coaching_note_evaluation_id", "coaching_note", ["evaluation_id"], unique=False)
    op.create_table(
        "corrective_action",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("agent_no", sa.String(), nullable=True),
        sa.Column("evaluation_id", sa.Integer(), nullable=True),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("due_on", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened_by", sa.Integer(), nullable=False),
        sa.Column("opened_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_at_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state in ('open','done','dropped')", name="ck_action_state"),
        sa.ForeignKeyConstraint(["agent_no"], ["agent.agent_no"], name="fk_corrective_action_agent_no"),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name="fk_corrective_action_evaluation_id"),
        _account("corrective_action", "opened_by"),
        sa.PrimaryKeyConstraint("id", name="pk_corrective_action"),
    )
    op.create_index("ix_corrective_action_month", "corrective_action", ["month"], unique=False)
    op.create_table(
        "corrective_note",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("action_id", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("by_account_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["action_id"], ["corrective_action.id"], name="fk_corrective_note_action_id"),
        _account("corrective_note", "by_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_corrective_note"),
    )
    op.create_index("ix_corrective_note_action_id", "corrective_note", ["action_id"], unique=False)
    op.create_table(
        "case_study",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("lesson", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("excerpt", sa.JSON(), nullable=False),
        sa.Column("added_by", sa.Integer(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("removed_at_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind in ('exemplary','problem')", name="ck_case_kind"),
        sa.ForeignKeyConstraint(["call_id"], ["call.call_id"], name="fk_case_study_call_id"),
        _account("case_study", "added_by"),
        sa.PrimaryKeyConstraint("id", name="pk_case_study"),
    )
    op.create_index("ix_case_study_call_id", "case_study", ["call_id"], unique=False)


def downgrade() -> None:
    """Take them away; what was written there is lost."""
    for table in ("case_study", "corrective_note", "corrective_action", "coaching_note"):
        op.drop_table(table)
