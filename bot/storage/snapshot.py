"""Read a database that another process may have open: one unchanging state of it, and no writing.

In WAL mode readers and the writer do not wait for each other, so this neither needs nor takes the lock that keeps a
second bot away (bot/storage/lock.py). What it reads it waits for in the caller's thread: it is for the command line.
"""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from bot.errors import SettingsError
from bot.storage.database import BUSY_TIMEOUT_MS, Tx, _SqliteTx, sqlite_path
from bot.storage.errors import SchemaRefused, StorageFailed
from bot.storage.migrate import MIGRATIONS, read_migrations


@asynccontextmanager
async def snapshot(url: str, *, migrations: Path = MIGRATIONS) -> AsyncIterator[Tx]:
    """The database at `url` as it is now, whatever is written to it meanwhile.

    Raises:
        SettingsError: the URL is not one we understand, or there is no such file.
        SchemaRefused: its schema is not this version's; starting the bot brings an older one up to date.
        StorageFailed: SQLite cannot read it.
    """
    path = sqlite_path(url)
    if not path.is_file():
        raise SettingsError([f"DATABASE_URL: there is no file {path}"])
    try:
        address = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as reader:
            reader.row_factory = sqlite3.Row
            reader.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            reader.execute("BEGIN")
            tx = _SqliteTx(reader)
            await _check_schema(tx, len(read_migrations(migrations)), path)
            yield tx
    except sqlite3.Error as error:
        raise StorageFailed(f"{path}: {error}") from error


async def _check_schema(tx: Tx, known: int, path: Path) -> None:
    table = await tx.fetch_one("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'")
    row = await tx.fetch_one("SELECT COUNT(*) AS number FROM schema_version") if table is not None else None
    found = 0 if row is None else row["number"]
    if found != known:
        raise SchemaRefused(f"{path} has schema {found}, this version of the bot works with {known}")
