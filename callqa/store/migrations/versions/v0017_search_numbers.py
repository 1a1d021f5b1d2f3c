"""PostgreSQL's search index is made anew: fewer pairs share a number, and not the same ones in each group.

Revision ID: 0017
Revises: 0016
"""

from alembic import op

from callqa.store.migrations.versions import v0015_search_groups as before

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# searching.keys_of. The high cost keeps the planner from ever working it out row by row where the index answers.
KEYS = """
create or replace function callqa_search_keys(said text, transcript_id integer) returns integer[]
language plpgsql immutable strict parallel safe cost 100000 as $$
declare
  grouped integer := transcript_id >> 15;
  base integer := grouped << 20;
  mixer integer := ((grouped * 9176 + 12345) & 32767) | 1;
  keys integer[] := '{{}}';
  was integer := 0;
  code integer;
  piece text;
begin
  foreach piece in array string_to_array(callqa_fold(said), null) loop
    code := ascii(piece);
    if was > 0 then
      keys := keys || (base + ((
        was * 9973 + ((code * mixer) >> 7) % (get_byte(decode('{more}', 'hex'), was & 1023) * 4 + 127) * 12289
      ) & 1048575));
    end if;
    was := code;
  end loop;
  if was > 0 then
    keys := keys || (base + ((was * 9973) & 1048575));
  end if;
  return keys;
end $$
"""


def upgrade() -> None:
    """PostgreSQL's utterances are indexed here: minutes where there are 100,000 transcripts. SQLite is as it was."""
    _make(KEYS)


def downgrade() -> None:
    """The numbers as before."""
    _make(before.KEYS.replace("create function", "create or replace function"))


def _make(keys: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        return
    more = bytearray(1024)
    for chars, classes in before.COMMON:
        for char in chars:
            more[ord(char) & 1023] = classes
    op.execute("drop index ix_utterance_search_keys")
    op.execute(keys.format(more=more.hex()))
    op.execute("set local maintenance_work_mem = '8MB'")  # see store/search.py
    op.execute(before.INDEX)
