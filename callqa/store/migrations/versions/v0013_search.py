"""The search index: FTS5 without text on SQLite, an expression index on PostgreSQL.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# searching.fold_text
FOLD = """
create function callqa_fold(said text) returns text
language sql immutable strict parallel safe as $$
  select regexp_replace(
    translate(lower(normalize(said, NFKC) collate "C"), '零〇○幺一二两三四五六七八九', '00011223456789'),
    '[^0-9a-z\\u3400-\\u4dbf\\u4e00-\\u9fff]', '', 'g')
$$
"""
# searching.key_of for each character of a folded text. The high cost keeps the planner from ever working it out row by
# row where the index answers.
KEYS = """
create function callqa_search_keys(said text) returns integer[]
language sql immutable strict parallel safe cost 100000 as $$
  select coalesce(array_agg(ascii(substr(plain, at, 1)) * 64 + ascii(substr(plain, at + 1, 1)) % 61), '{}')
  from callqa_fold(said) as plain, generate_series(1, length(plain)) as at
$$
"""


def upgrade() -> None:
    """Make the index, empty; `index_missing` fills it from the transcripts that are there."""
    op.create_table(
        "search_doc",
        sa.Column("id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("call_id", sa.String(), nullable=True),
        sa.Column("transcript_id", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["call.call_id"], name="fk_search_doc_call_id_call"),
        sa.ForeignKeyConstraint(["transcript_id"], ["transcript.id"], name="fk_search_doc_transcript_id_transcript"),
        sa.PrimaryKeyConstraint("id", name="pk_search_doc"),
        sa.UniqueConstraint("call_id", name="uq_search_doc_call_id"),
        sa.UniqueConstraint("transcript_id", name="uq_search_doc_transcript_id"),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "create virtual table search_fts using fts5("
            "tokens, content='', columnsize=0, detail='none', tokenize='ascii')"
        )
        return
    op.execute(FOLD)
    op.execute(KEYS)
    op.execute(
        "create index ix_utterance_search_keys on utterance using gin (callqa_search_keys(text)) with (fastupdate = off)"
    )


def downgrade() -> None:
    """Take it away; nothing in it is not in the transcripts."""
    op.drop_table("search_doc")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("drop table search_fts")
        return
    op.execute("drop index ix_utterance_search_keys")
    op.execute("drop function callqa_search_keys(text)")
    op.execute("drop function callqa_fold(text)")
