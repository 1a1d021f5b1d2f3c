"""Alembic's entry. `callqa.store.migrate` hands in an open connection; there is no alembic.ini and no off-line mode."""

from alembic import context
from sqlmodel import SQLModel

import callqa.store.tables  # noqa: F401  # fills the metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,  # SQLite too: store/db.py opens its transactions itself
)
with context.begin_transaction():
    context.run_migrations()
