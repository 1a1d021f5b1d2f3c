"""The search index is made anew: SQLite's is smaller, PostgreSQL's is searched from the newest calls on.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

from callqa.store.migrations.versions import v0013_search as before

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# searching.fold_text; pauses go first, since a text with a full-width comma is slow to normalise
FOLD = """
create or replace function callqa_fold(said text) returns text
language sql immutable strict parallel safe as $$
  select regexp_replace(
    translate(
      lower(normalize(regexp_replace(said, '[，。？！、]+', '', 'g'), NFKC) collate "C"),
      '零〇○幺一二两三四五六七八九', '00011223456789'
    ),
    '[^0-9a-z\\u3400-\\u4dbf\\u4e00-\\u9fff]+', '', 'g')
$$
"""
# searching.COMMON, as it was
COMMON = (
    ("表停号压管修楼家知道现已经后前边面然如果因所但些几点费麻烦谢大小次情况查看单区路门", 24),
    ("到说时要就出会可也好对还没人什么都去里以样话今天下上打电给为请问能多", 119),
    ("的一是了不在有我你这个那水们来", 247),
)
# searching.keys_of. The high cost keeps the planner from ever working it out row by row where the index answers.
KEYS = """
create function callqa_search_keys(said text, transcript_id integer) returns integer[]
language plpgsql immutable strict parallel safe cost 100000 as $$
declare
  base integer := (transcript_id >> 13) << 17;
  keys integer[] := '{{}}';
  was integer := 0;
  code integer;
  piece text;
begin
  foreach piece in array string_to_array(callqa_fold(said), null) loop
    code := ascii(piece);
    if was > 0 then
      keys := keys || (base + (
        was * 9973 + code % (get_byte(decode('{more}', 'hex'), was & 1023) * 4 + 31) * 12289 & 131071
      ));
    end if;
    was := code;
  end loop;
  if was > 0 then
    keys := keys || (base + (was * 9973 & 131071));
  end if;
  return keys;
end $$
"""
INDEX = (
    "create index ix_utterance_search_keys on utterance using gin (callqa_search_keys(text, transcript_id)) "
    "with (fastupdate = off)"
)


def upgrade() -> None:
    """Empty the index; `index_missing` fills it from the transcripts. PostgreSQL's utterances are indexed here."""
    op.execute("delete from search_doc")
    if op.get_bind().dialect.name == "sqlite":
        _make_fts()
        return
    more = bytearray(1024)
    for chars, classes in COMMON:
        for char in chars:
            more[ord(char) & 1023] = classes
    op.execute("drop index ix_utterance_search_keys")
    op.execute("drop function callqa_search_keys(text)")
    op.execute(FOLD)
    op.execute(KEYS.format(more=more.hex()))
    op.execute("set local maintenance_work_mem = '8MB'")  # see store/search.py
    op.execute(INDEX)


def downgrade() -> None:
    """As before; filled again by the older version."""
    op.execute("delete from search_doc")
    if op.get_bind().dialect.name == "sqlite":
        _make_fts()
        return
    op.execute("drop index ix_utterance_search_keys")
    op.execute("drop function callqa_search_keys(text, integer)")
    op.execute("drop function callqa_fold(text)")
    op.execute(before.FOLD)
    op.execute(before.KEYS)
    op.execute(
        "create index ix_utterance_search_keys on utterance using gin (callqa_search_keys(text)) with (fastupdate = off)"
    )


def _make_fts() -> None:
    op.execute("drop table search_fts")
    op.execute(
        sa.text(
            "create virtual table search_fts using fts5(tokens, content='', columnsize=0, detail='none', tokenize='ascii')"
        )
    )
