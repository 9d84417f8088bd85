import sqlite3
from pathlib import Path

import pytest

from bot.storage.database import Database, sqlite_path
from bot.storage.errors import SchemaRefused, StorageFailed
from bot.storage.migrate import MIGRATIONS, read_migrations, statements


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/test.db"


def shipped_with(folder: Path, *scripts: str) -> Path:
    """A folder of migrations numbered from 1."""
    folder.mkdir(exist_ok=True)
    for number, script in enumerate(scripts, start=1):
        (folder / f"{number:04d}_step.sql").write_text(script, newline="")
    return folder


async def open_once(url: str, migrations: Path) -> None:
    async with Database.open(url, migrations=migrations):
        pass


def rows(url: str, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(sqlite_path(url))
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


MADE = "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\nINSERT INTO things VALUES (1, 'a;b');\n"
WIDENED = "ALTER TABLE things ADD COLUMN size BIGINT NOT NULL DEFAULT 3;\n"


async def test_an_older_schema_with_rows_is_brought_up_to_date(url: str, tmp_path: Path) -> None:
    await open_once(url, shipped_with(tmp_path / "m", MADE))
    await open_once(url, shipped_with(tmp_path / "m", MADE, WIDENED))
    assert rows(url, "SELECT id, name, size FROM things") == [(1, "a;b", 3)]
    assert rows(url, "SELECT number FROM schema_version ORDER BY number") == [(1,), (2,)]


async def test_each_migration_is_applied_once(url: str, tmp_path: Path) -> None:
    migrations = shipped_with(tmp_path / "m", MADE)
    await open_once(url, migrations)
    await open_once(url, migrations)
    assert rows(url, "SELECT COUNT(*) FROM things") == [(1,)]


async def test_a_newer_schema_is_refused_and_untouched(url: str, tmp_path: Path) -> None:
    await open_once(url, shipped_with(tmp_path / "new", MADE, WIDENED))
    with pytest.raises(SchemaRefused, match=r"has schema 2 .* knows 1"):
        await open_once(url, shipped_with(tmp_path / "old", MADE))
    assert rows(url, "SELECT COUNT(*) FROM schema_version") == [(2,)]


async def test_a_migration_changed_after_it_was_applied_is_refused(url: str, tmp_path: Path) -> None:
    await open_once(url, shipped_with(tmp_path / "m", MADE))
    with pytest.raises(SchemaRefused, match="0001_step"):
        await open_once(url, shipped_with(tmp_path / "m", MADE + "-- a word more\n"))


async def test_line_ends_of_another_system_are_no_change(url: str, tmp_path: Path) -> None:
    await open_once(url, shipped_with(tmp_path / "m", MADE))
    await open_once(url, shipped_with(tmp_path / "m", MADE.replace("\n", "\r\n")))
    assert rows(url, "SELECT * FROM things") == [(1, "a;b")]


async def test_a_failing_migration_leaves_nothing_behind_and_can_be_mended(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="nowhere"):
        await open_once(url, shipped_with(tmp_path / "m", MADE, WIDENED + "DELETE FROM nowhere;\n"))
    assert rows(url, "SELECT * FROM things") == [(1, "a;b")]
    await open_once(url, shipped_with(tmp_path / "m", MADE, WIDENED))
    assert rows(url, "SELECT size FROM things") == [(3,)]


async def test_a_migration_that_breaks_a_reference_is_refused(url: str, tmp_path: Path) -> None:
    orphan = "CREATE TABLE parts (thing BIGINT REFERENCES things (id));\nINSERT INTO parts VALUES (9);\n"
    with pytest.raises(SchemaRefused, match="leads nowhere"):
        await open_once(url, shipped_with(tmp_path / "m", MADE, orphan))
    assert rows(url, "SELECT COUNT(*) FROM schema_version") == [(1,)]


def test_a_gap_in_the_numbers_is_refused(tmp_path: Path) -> None:
    (shipped_with(tmp_path / "m", MADE, WIDENED) / "0001_step.sql").unlink()
    with pytest.raises(SchemaRefused, match="without a gap"):
        read_migrations(tmp_path / "m")


def test_a_file_with_another_name_is_refused(tmp_path: Path) -> None:
    (shipped_with(tmp_path / "m", MADE) / "notes.sql").touch()
    with pytest.raises(SchemaRefused, match="is not named like"):
        read_migrations(tmp_path / "m")


def test_a_script_falls_apart_at_semicolons_outside_text_and_comments() -> None:
    script = "-- first; not yet\nSELECT ';';\nSELECT\n  2;\n-- the end\n"
    assert [statement.strip() for statement in statements(script)] == ["-- first; not yet\nSELECT ';';", "SELECT\n  2;"]


def test_a_script_that_ends_inside_a_statement_is_refused() -> None:
    with pytest.raises(SchemaRefused, match="unfinished"):
        list(statements("SELECT 1;\nDELETE FROM things\n"))


async def test_the_shipped_migrations_apply_to_a_new_file(url: str) -> None:
    await open_once(url, MIGRATIONS)
    names = [row[0] for row in rows(url, "SELECT name FROM schema_version ORDER BY number")]
    assert names == [migration.name for migration in read_migrations(MIGRATIONS)]
    assert names
