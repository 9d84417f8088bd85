"""Whether a database file is whole, and still the one that was opened."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import aiosqlite

from bot.storage.errors import StorageDamaged

_log = logging.getLogger(__name__)

SMALL_BYTES: Final = 64 * 1024 * 1024
"""A file up to this size is checked at every start, which takes a fraction of a second; a larger one where whoever had
it last did not close it."""
CHECK_LIMIT_S: Final = 10.0
"""How long a start waits for the check of a large file. What that has not reached is found when it is read."""
PROGRESS_STEPS: Final = 100_000
"""Instructions of SQLite's between two looks at the clock."""

Identity = tuple[tuple[int, int] | None, ...]
"""Device and inode of each file of a database; None where there is none of that name."""


def read_identity(path: Path) -> Identity:
    """Which files the names of the database and of its journal lead to. Blocks for as long as the file system does."""
    return tuple(_identity_of(each) for each in (path, Path(f"{path}-wal")))


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def set_journal_aside(path: Path, opened: Identity) -> None:
    """Where another file has come in the place of the one that was opened, give the journal of that one another name:
    SQLite would play it back into the new file, whose it is not, and so ruin that. Blocks as `read_identity`."""
    now = read_identity(path)
    if now[0] is None or now[0] == opened[0] or now[1] != opened[1]:
        return
    for side in ("-wal", "-shm"):
        beside = Path(f"{path}{side}")
        try:
            beside.replace(f"{path}.replaced{side}")
        except OSError as error:
            _log.error("%s belongs to the file of before, and cannot be renamed: %s", beside, error.strerror)


async def look_over(connection: aiosqlite.Connection, path: Path, *, suspicious: bool) -> None:
    """Make sure that it can be written to and, as far as time allows, that the file is sound.

    Raises:
        StorageDamaged: it is not.
        sqlite3.Error: it cannot be read, or not be written.
    """
    # SQLite opens for reading alone what it may not write, and even begins a transaction there: only a write tells.
    await connection.execute("BEGIN IMMEDIATE")
    await connection.execute("PRAGMA user_version = 0")
    await connection.execute("ROLLBACK")
    size = await asyncio.to_thread(lambda: path.stat().st_size)
    if size > SMALL_BYTES and not suspicious:
        return
    until = time.monotonic() + CHECK_LIMIT_S
    await connection.set_progress_handler(lambda: time.monotonic() > until, PROGRESS_STEPS)
    try:
        rows = await connection.execute_fetchall("PRAGMA quick_check(1)")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        _log.warning("the check of %s was left after %g s: it holds %d MB", path, CHECK_LIMIT_S, size // 1_000_000)
        return
    finally:
        await connection.set_progress_handler(lambda: 0, 0)  # zero steps: it is never called again
    verdict = _first(rows)
    if verdict != "ok":
        raise damaged(path, verdict)


def _first(rows: Iterable[sqlite3.Row]) -> str:
    return next((str(row[0]) for row in rows), "ok")


def damaged(path: Path, finding: str) -> StorageDamaged:
    """What to tell the operator of a file that is no sound database."""
    return StorageDamaged(
        f"{path} is damaged ({finding.strip().replace(chr(10), '; ')}). Nothing was changed. "
        "Restore a backup with `python -m bot restore FILE`, which keeps this file beside it"
    )
