"""The door to the database: one `Database` a process, short transactions, SQLite (WAL) or PostgreSQL by URL.

Rules (ARCHITECTURE §2): a use case loads in one transaction, computes outside any, saves in a second one. Nothing
below a use case commits. `transaction_open` tells whether the calling thread holds a transaction, so that slow work
(engine, rendering, network) can refuse to start inside one.

It does not create tables (migrate.py does) and holds no query.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

import callqa.store.tables  # noqa: F401  # every Session needs all tables mapped
from callqa.errors import StoreError
from callqa.refusals import os_reason

# A writer waits this long for another process's transaction. Ours last milliseconds; only a stuck disk takes longer.
BUSY_TIMEOUT_MS = 15_000


class Database:
    """Sessions on one database. Safe to share between threads; every `with` makes its own session."""

    def __init__(self, url: str) -> None:
        """Connect lazily to `sqlite:///path` or `postgresql://…`; the folder of a SQLite file is created."""
        self.url = driver_url(url)
        self._engine = _make_engine(self.url)
        self._writing = self._engine.execution_options(callqa_write=True)
        self._keys = count()
        self._open: dict[int, tuple[int, bool]] = {}  # key -> (thread, writes)
        self._lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        """The engine whose transactions take the write lock at once; for migrations and checks of the schema."""
        return self._writing

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading; whatever it changed is rolled back at the end. Rows stay readable afterwards."""
        with self._noted(writes=False), Session(self._engine, expire_on_commit=False) as session:
            try:
                yield session
            finally:
                session.expunge_all()  # before the rollback, which would expire every row that was loaded
                session.rollback()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at the end and rolls back when an exception passes through."""
        if any(writes for _, writes in self._mine()):
            raise StoreError("a write transaction is already open in this thread; pass its session on instead")
        with self._noted(writes=True), Session(self._writing, expire_on_commit=False) as session:
            try:
                yield session
                session.commit()
            except BaseException:
                session.rollback()
                raise

    def transaction_open(self) -> bool:
        """Whether the calling thread is inside `read()` or `write()` now."""
        return bool(self._mine())

    def refuse_open_transaction(self, work: str) -> None:
        """Raise StoreError when the calling thread would do `work` (slow) inside a transaction."""
        if self.transaction_open():
            raise StoreError(f"{work} must not run inside a database transaction")

    def settle(self) -> None:
        """Bring what was committed from SQLite's log into its file and empty the log, as far as nobody reads an older state just
        now. PostgreSQL does the like by itself (vacuum)."""
        self.refuse_open_transaction("emptying the write-ahead log")
        if not self.is_sqlite:
            return
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("PRAGMA busy_timeout=1000")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            cursor.close()
        finally:
            connection.close()

    def dispose(self) -> None:
        """Close all connections. The object may be used again afterwards."""
        self._engine.dispose()

    def _mine(self) -> list[tuple[int, bool]]:
        me = threading.get_ident()
        with self._lock:
            return [entry for entry in self._open.values() if entry[0] == me]

    @contextmanager
    def _noted(self, *, writes: bool) -> Iterator[None]:
        key = next(self._keys)
        with self._lock:
            self._open[key] = (threading.get_ident(), writes)
        try:
            yield
        finally:
            with self._lock:
                del self._open[key]


def driver_url(url: str) -> str:
    """The URL with the driver we ship: `postgres://` and `postgresql://` become `postgresql+psycopg://`."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise StoreError(f"数据库地址“{url}”不合法；请写成 sqlite:////路径/callqa.db 或 postgresql://用户@主机/库名")
    if scheme in ("postgres", "postgresql"):
        return f"postgresql+psycopg://{rest}"
    if scheme in ("sqlite", "postgresql+psycopg"):
        return url
    raise StoreError(f"不支持的数据库“{scheme}”；请用 sqlite 或 postgresql")


def sqlite_path(url: str) -> Path | None:
    """The file behind a SQLite URL; None for PostgreSQL."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as e:  # ValueError: a port that is no number; the URL itself may hold a password
        raise StoreError("设置 database.url 看不懂；请写成 postgresql://用户:密码@主机:端口/库名，端口是数字") from e
    if parsed.get_backend_name() != "sqlite":
        return None
    if not parsed.database or parsed.database == ":memory:":
        raise StoreError("SQLite 数据库必须是文件：记录、转写、网页是三个进程，内存库无法共用")
    return Path(parsed.database)


def _make_engine(url: str) -> Engine:
    path = sqlite_path(url)
    if path is None:
        engine = create_engine(url, pool_pre_ping=True)
        event.listen(engine, "connect", _prepare_postgresql)
        return engine
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise StoreError(f"数据库文件夹 {path.parent} 建不了：{os_reason(e)}；请检查权限或设置 database.url") from e
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: object, _record: ConnectionPoolEntry) -> None:
    # The driver must not open transactions by itself: `_begin_sqlite` says which kind.
    connection.isolation_level = None  # type: ignore[attr-defined]  # a sqlite3.Connection
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")  # first: switching to WAL may have to wait
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # a committed score survives a power cut, not only a crash
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _prepare_postgresql(connection: object, _record: ConnectionPoolEntry) -> None:
    """Pages ask short questions of large tables: compiling, helpers and a plan for any value cost more than they spare."""
    with connection.cursor() as cursor:  # type: ignore[attr-defined]  # a psycopg.Connection
        cursor.execute(
            "select set_config('jit', 'off', false), set_config('max_parallel_workers_per_gather', '0', false), "
            "set_config('plan_cache_mode', 'force_custom_plan', false), set_config('work_mem', '32MB', false)"
        )
    connection.commit()  # type: ignore[attr-defined]  # a rollback would take them back


def _begin_sqlite(connection: Connection) -> None:
    # A reader that later writes fails at once when somebody wrote in between; a writer takes its turn here.
    writes = connection.get_execution_options().get("callqa_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
