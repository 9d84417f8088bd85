"""Carry what is deleted out of the write-ahead log, where the pages of before would stand until it is used anew."""

import asyncio
import sqlite3
from contextlib import closing
from typing import Final

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
        # One of the loop's threads, which it awaits before it closes: who is cancelled leaves no connection half open.
        return await asyncio.to_thread(_emptied, there)
    except sqlite3.Error as error:
        raise StorageFailed(f"{path}: {error}") from error


def _emptied(there: str) -> bool:
    with closing(sqlite3.connect(there, uri=True, isolation_level=None, timeout=WAIT_MS / 1_000)) as connection:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy
