"""Carry what is deleted out of the write-ahead log, where the pages of before would stand until it is used anew."""

import sqlite3
from typing import Final

import aiosqlite

from bot.storage.database import sqlite_path
from bot.storage.errors import StorageFailed

WAIT_MS: Final = 1_000
"""How long it waits for a reader or the writer; meanwhile they wait for it."""


async def empty_log(url: str) -> bool:
    """Write all that is committed into the database file, and empty the log. False: somebody was reading just now.

    In the file itself `secure_delete` overwrites what is deleted: https://sqlite.org/pragma.html#pragma_secure_delete.
    It may run beside the bot: its writer waits while the log, which SQLite keeps at some megabytes, is carried over.

    Raises:
        SettingsError: the URL is not one we understand.
        StorageFailed: SQLite cannot do it.
    """
    path = sqlite_path(url)
    try:
        # Never makes a file: one that was deleted under the bot must not come back empty.
        there = f"{path.absolute().as_uri()}?mode=rw"
        async with aiosqlite.connect(there, uri=True, isolation_level=None) as connection:
            await connection.execute(f"PRAGMA busy_timeout = {WAIT_MS}")
            [row] = await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
            return not row[0]
    except sqlite3.Error as error:
        raise StorageFailed(f"{path}: {error}") from error
