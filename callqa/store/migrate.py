"""Bring a database to the newest schema, under a lock, before any process uses it.

SQLite: a lock file beside the database. PostgreSQL: an advisory lock of the session that migrates. Two processes
that start together both call `migrate`; the second finds nothing to do.
"""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from callqa.errors import StoreError
from callqa.refusals import database_reason, os_reason
from callqa.store.db import Database, sqlite_path

logging.getLogger("alembic").setLevel(logging.WARNING)  # its dialogue with itself is nobody's news
MIGRATIONS = Path(__file__).parent / "migrations"
_ADVISORY_KEY = 0x63616C6C7161_02


def migrate(url: str) -> None:
    """Upgrade to the newest revision. Raise StoreError (Chinese) when the database cannot be opened or is newer."""
    database = Database(url)
    try:
        with _locked(database), database.engine.connect() as connection:
            _upgrade(connection)
    except SQLAlchemyError as e:
        raise StoreError(f"数据库升级失败：{_reason(e)}；请检查设置 database.url、权限与磁盘空间") from e
    finally:
        database.dispose()


def pending(url: str) -> bool:
    """Whether the database lacks a migration of this version."""
    database = Database(url)
    try:
        with database.engine.connect() as connection:
            return current_revision(connection) != head_revision()
    except SQLAlchemyError as e:
        raise StoreError(f"数据库打不开：{_reason(e)}；请检查设置 database.url 与权限") from e
    finally:
        database.dispose()


def _reason(error: SQLAlchemyError) -> str:
    """The driver's reason, without SQLAlchemy's frame around it."""
    original = getattr(error, "orig", None) or error
    return database_reason(str(original) or type(original).__name__)


def current_revision(connection: Connection) -> str | None:
    """The revision the database is at; None when it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str:
    """The newest revision of this version of callqa."""
    revision = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    if revision is None:
        raise StoreError("the package has no migrations")
    return revision


def _upgrade(connection: Connection) -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    at = current_revision(connection)
    connection.rollback()  # the look-up above opened a transaction
    if at == scripts.get_current_head():
        return
    if at is not None and at not in {script.revision for script in scripts.walk_revisions()}:
        raise StoreError(f"数据库版本 {at} 比本程序新；请安装较新的 callqa，或恢复升级前的备份")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()


@contextmanager
def _locked(database: Database) -> Iterator[None]:
    path = sqlite_path(database.url)
    if path is None:
        # A session lock on a connection of its own: the migrating one commits and rolls back freely.
        with database.engine.connect() as guard:
            guard.execute(text("select pg_advisory_lock(:key)").bindparams(key=_ADVISORY_KEY))
            try:
                yield
            finally:
                guard.execute(text("select pg_advisory_unlock(:key)").bindparams(key=_ADVISORY_KEY))
        return
    try:
        lock = open(path.with_name(path.name + ".migrate.lock"), "w")  # noqa: SIM115  # closed by `with lock` below
    except OSError as e:
        raise StoreError(f"不能在 {path.parent} 里写文件：{os_reason(e)}；请检查文件夹权限与磁盘空间") from e
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
