"""The search index: FTS5 without text on SQLite, an expression index on PostgreSQL.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# What searching.tokens_of_words says, each token with its month in front: a search then reads the newest months first.
# The high cost keeps the planner from ever working it out row by row where the index answers.
TOKENS = """
create function callqa_search_tokens(words text, month integer) returns text[]
language sql immutable strict parallel safe cost 100000 as $$
  select coalesce(array_agg(distinct month::text || left(line, 1) || substr(line, at, wide)), '{}')
  from regexp_split_to_table(words, '\\n') as line,
       generate_series(2, length(line)) as at,
       generate_series(1, 2) as wide
  where at + wide - 1 <= length(line)
$$
"""


def upgrade() -> None:
    """Make the index, empty; `index_missing` fills it from the transcripts that are there."""
    op.create_table(
        "search_doc",
        sa.Column("id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("call_id", sa.String(), nullable=True),
        sa.Column("transcript_id", sa.Integer(), nullable=True),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("words", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["call_id"], ["call.call_id"], name="fk_search_doc_call_id_call"),
        sa.ForeignKeyConstraint(["transcript_id"], ["transcript.id"], name="fk_search_doc_transcript_id_transcript"),
        sa.PrimaryKeyConstraint("id", name="pk_search_doc"),
        sa.UniqueConstraint("call_id", name="uq_search_doc_call_id"),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "create virtual table search_fts using fts5("
            "tokens, content='', columnsize=0, detail='none', tokenize='ascii')"
        )
        return
    # Out of line and compressed: a search never reads the words, and the rows it reads stay few pages.
    op.execute("alter table search_doc set (toast_tuple_target = 128)")
    op.execute(TOKENS)
    op.execute(
        "create index ix_search_doc_tokens on search_doc using gin (callqa_search_tokens(words, month)) "
        "with (fastupdate = off)"
    )


def downgrade() -> None:
    """Take it away; nothing in it is not in the transcripts."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("drop table search_fts")
    op.drop_table("search_doc")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("drop function callqa_search_tokens(text, integer)")
