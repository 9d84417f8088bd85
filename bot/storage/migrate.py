"""Bring a file's schema up to date: numbered SQL files, each applied once, in order, in one transaction of its own."""

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiosqlite

from bot.storage.errors import SchemaRefused

MIGRATIONS: Final = Path(__file__).parent / "migrations"

_FILE_NAME: Final = re.compile(r"(?P<number>\d{4})_\w+\.sql")

_VERSION_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_version (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at TEXT NOT NULL
)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """One file. `checksum` is the SHA-256 of its text with plain line ends, so that a Windows checkout has the same."""

    number: int
    name: str
    sql: str
    checksum: str


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """The migrations of `folder` in their order.

    Raises:
        SchemaRefused: the numbers do not run 1, 2, 3 without a gap: the installation is incomplete.
    """
    found = tuple(_read(path) for path in sorted(folder.glob("*.sql")))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise SchemaRefused(f"the migrations in {folder} are not numbered 0001, 0002, … without a gap")
    return found


def _read(path: Path) -> Migration:
    name = _FILE_NAME.fullmatch(path.name)
    if name is None:
        raise SchemaRefused(f"{path} is not named like 0001_what_it_does.sql")
    sql = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    checksum = hashlib.sha256(sql.encode()).hexdigest()
    return Migration(number=int(name["number"]), name=path.stem, sql=sql, checksum=checksum)


async def migrate(connection: aiosqlite.Connection, migrations: tuple[Migration, ...]) -> None:
    """Apply what is missing. Expects autocommit, and foreign keys off so that a table may be built anew.

    After an error the caller closes the connection, which rolls back the migration that failed; those before it stay.

    Raises:
        SchemaRefused: see the class.
        sqlite3.Error: a migration failed.
    """
    await connection.execute(_VERSION_TABLE)
    rows = await connection.execute_fetchall("SELECT number, name, checksum FROM schema_version ORDER BY number")
    applied = [(row["number"], row["name"], row["checksum"]) for row in rows]
    check_applied(applied, migrations)
    for migration in migrations[len(applied) :]:
        await _apply(connection, migration)


def check_applied(applied: list[tuple[int, str, str]], known: tuple[Migration, ...]) -> None:
    """Raises SchemaRefused where a database that these made (number, name, checksum) is not one of this version's."""
    if len(applied) > len(known):
        raise SchemaRefused(
            f"the database has schema {applied[-1][0]} ({applied[-1][1]}), this version of the bot knows {len(known)}: "
            "install the newer version again, or restore a backup from before it"
        )
    for (number, name, checksum), migration in zip(applied, known, strict=False):
        if number != migration.number or checksum != migration.checksum:
            raise SchemaRefused(
                f"migration {migration.name} is not the one that made this database ({number}, {name}): "
                "its file was changed after it was applied"
            )


async def _apply(connection: aiosqlite.Connection, migration: Migration) -> None:
    await connection.execute("BEGIN IMMEDIATE")
    for statement in statements(migration.sql):
        await connection.execute(statement)
    broken = list(await connection.execute_fetchall("PRAGMA foreign_key_check"))
    if broken:
        raise SchemaRefused(f"migration {migration.name} leaves {len(broken)} rows whose reference leads nowhere")
    await connection.execute(
        "INSERT INTO schema_version (number, name, checksum, applied_at) VALUES (?, ?, ?, ?)",
        (migration.number, migration.name, migration.checksum, datetime.now(UTC).isoformat()),
    )
    await connection.execute("COMMIT")


def statements(sql: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would commit in the middle of a transaction.

    A statement ends at the end of a line. Text after the last semicolon is left out when it is comment only.
    """
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if re.sub(r"--[^\n]*", "", statement).strip():
        raise SchemaRefused(f"a migration ends in an unfinished statement: {statement.strip()[:60]}")
