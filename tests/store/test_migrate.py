"""The migrations give exactly the tables that are declared, once, whoever comes first."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlmodel import SQLModel

from callqa.errors import StoreError
from callqa.store.db import Database
from callqa.store.migrate import current_revision, head_revision, migrate
from tests.store_fixture import is_declared, make_database


def test_migrated_schema_is_the_declared_one(tmp_path: Path) -> None:
    """Fails when somebody changes a table without a migration."""
    db = make_database(tmp_path)
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": is_declared})
        assert compare_metadata(context, SQLModel.metadata) == []
    db.dispose()


def test_check_constraints_are_the_declared_ones(tmp_path: Path) -> None:
    """Alembic does not compare these; the stored CREATE TABLE texts do."""
    migrated = make_database(tmp_path)
    declared = Database(f"sqlite:///{tmp_path / 'declared.db'}")
    SQLModel.metadata.create_all(declared.engine)
    assert _checks(migrated) == _checks(declared)
    migrated.dispose()
    declared.dispose()


def _checks(db: Database) -> set[tuple[str, str]]:
    found = set()
    with db.engine.connect() as connection:
        for name, sql in connection.exec_driver_sql("select name, sql from sqlite_master where type = 'table'"):
            for line in sql.splitlines():
                if " CHECK " in line:
                    found.add((name, line.strip().rstrip(",")))
    return found


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'callqa.db'}"
    migrate(url)
    migrate(url)
    db = Database(url)
    with db.engine.connect() as connection:
        assert current_revision(connection) == head_revision()
    db.dispose()


def test_workers_that_start_together_migrate_once(tmp_path: Path) -> None:
    """Without the lock one of them would find its tables made by the other, and fail."""
    url = f"sqlite:///{tmp_path / 'callqa.db'}"
    with ThreadPoolExecutor(3) as pool:
        assert [done.result() for done in [pool.submit(migrate, url) for _ in range(3)]] == [None] * 3


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'callqa.db'}"
    migrate(url)
    with sqlite3.connect(tmp_path / "callqa.db") as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    connection.close()
    with pytest.raises(StoreError, match="9999 比本程序新"):
        migrate(url)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "callqa.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError, match="数据库升级失败：文件不是 SQLite 数据库，或已损坏；") as refusal:
        migrate(f"sqlite:///{tmp_path / 'callqa.db'}")
    assert "sqlalche" not in str(refusal.value)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"数据库文件夹 .* 建不了"):
        migrate(f"sqlite:///{tmp_path / 'file' / 'callqa.db'}")


def test_downgrade_drops_everything(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    from callqa.store.migrate import MIGRATIONS

    db = make_database(tmp_path)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with db.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.commit()
        left = connection.exec_driver_sql("select name from sqlite_master where type = 'table'").scalars().all()
    assert left == ["alembic_version"]
    db.dispose()
