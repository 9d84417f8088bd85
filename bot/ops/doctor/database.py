"""The database, looked at without writing to it: the bot may be running on it."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, Literal

import aiosqlite

from bot.credits.check import check
from bot.errors import SettingsError
from bot.ops.doctor.findings import Finding, Level
from bot.storage.database import BUSY_TIMEOUT_MS, sqlite_path
from bot.storage.errors import DatabaseInUse, StorageError
from bot.storage.lock import sole_process
from bot.storage.migrate import MIGRATIONS, migrate, read_migrations
from bot.storage.snapshot import snapshot

QUICK_CHECK_S: Final = 20.0
"""How long the pages are read through. A file of some gigabytes is not finished with in that time, and said so."""

LOOK_EVERY: Final = 100_000
"""SQLite's steps between two looks at the time."""

TRIAL_LIMIT_BYTES: Final = 256_000_000
"""A larger database is not copied into memory."""

RESTORE: Final = "Stop the bot, move the file aside, and put your newest backup in its place."

RIGHTS: Final = "Give the file and its folder to the user that runs the bot, and look whether the disk is sound."

Found = list[Finding]
State = Literal["current", "older", "unusable"]


async def database_findings(url: str) -> Sequence[Finding]:
    """The file, who uses it, its schema, its pages and the books in it."""
    path = sqlite_path(url)
    if (absent := _absent(path)) is not None:
        return [absent]
    users = await asyncio.to_thread(_users, path)
    pages, state = await asyncio.to_thread(_pages, path)
    found = [*users, *pages]
    if state == "older":
        found += await _trial(path)
    elif state == "current":
        found += await _books(url)
    return found


def _finding(level: Level, what: str, cure: str | None = None) -> Finding:
    return Finding(check="database", level=level, what=what, cure=cure)


def _absent(path: Path) -> Finding | None:
    """Why there is no file to look at; None where there is one."""
    try:
        if path.is_file():
            return None
        if not path.exists():
            return _finding("note", f"There is no {path.absolute()} yet: the bot makes it when it starts.")
    except OSError as error:
        return _finding("problem", f"{path.absolute()} cannot be looked at: {error.strerror}.", RIGHTS)
    return _finding("problem", f"{path.absolute()} is no file.", "Name a file in DATABASE_URL, or move that away.")


def _users(path: Path) -> Found:
    """Whether the bot is at work on it. The lock is held for a moment, and not made where there is none."""
    if not path.with_name(f"{path.name}.lock").exists():
        return []
    try:
        with sole_process(path):
            return [_finding("ok", "No bot is running on this database.")]
    except DatabaseInUse:
        return [_finding("ok", "The bot is running on this database; only one can at a time.")]
    except OSError as error:
        return [_finding("problem", f"{path.absolute()}.lock cannot be opened: {error.strerror}.", RIGHTS)]


def _pages(path: Path) -> tuple[Found, State]:
    """What SQLite itself has against the file, and whose schema it has."""
    try:
        with closing(sqlite3.connect(_address(path), uri=True)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            schema, state = _schema(connection)
            return [*schema, _quick_check(connection)], state
    except sqlite3.DatabaseError as error:
        return [_unreadable(path, error)], "unusable"


def _unreadable(path: Path, error: sqlite3.DatabaseError) -> Finding:
    """Damage is told from a lock and from missing rights: whoever restores a backup for those loses what is newer."""
    what = f"SQLite cannot read {path.absolute()}: {error}."
    match error.sqlite_errorname.split("_")[1]:
        case "BUSY" | "LOCKED":
            return _finding("warning", what, "Another program holds the file: end that one, or try again later.")
        case "NOTADB" | "CORRUPT":
            return _finding("problem", what, RESTORE)
        case _:
            return _finding("problem", what, RIGHTS)


def _schema(connection: sqlite3.Connection) -> tuple[Found, State]:
    known = read_migrations(MIGRATIONS)
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone() is None:
        tables = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        if tables == 0:
            return [_finding("note", "The database is empty: the bot prepares it when it starts.")], "unusable"
        cure = "Name another file in DATABASE_URL."
        return [_finding("problem", "The file is a database of another program.", cure)], "unusable"
    rows = connection.execute("SELECT number, checksum FROM schema_version ORDER BY number").fetchall()
    if len(rows) > len(known):
        what = f"A newer version of the bot made this database (schema {len(rows)}; this one knows {len(known)})."
        cure = "Install the newer version again, or restore a backup from before it."
        return [_finding("problem", what, cure)], "unusable"
    changed = [one.name for (_, checksum), one in zip(rows, known, strict=False) if checksum != one.checksum]
    if changed:
        what = f"Migration {changed[0]} is not the one that made this database: its file was changed since."
        return [_finding("problem", what, "Install the bot's files anew, unchanged.")], "unusable"
    if len(rows) < len(known):
        return [], "older"
    return [_finding("ok", f"The database has this version's schema ({len(known)}).")], "current"


def _address(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=ro"


async def _trial(path: Path) -> Found:
    """Bring a copy of an older version's database up to date, in memory, where nothing of it stays behind."""
    known = read_migrations(MIGRATIONS)
    cure = "Make a backup of the file before that start."
    if (await asyncio.to_thread(path.stat)).st_size > TRIAL_LIMIT_BYTES:
        what = f"An older version made the database; the next start brings it to {len(known)}."
        return [_finding("note", what, cure)]
    source = aiosqlite.connect(_address(path), uri=True)
    try:
        async with source, aiosqlite.connect(":memory:", isolation_level=None) as copy:
            copy.row_factory = sqlite3.Row
            await source.backup(copy)
            rows = list(await copy.execute_fetchall("SELECT COUNT(*) FROM schema_version"))
            await migrate(copy, known)
    except (sqlite3.Error, StorageError) as error:
        what = f"An older version made the database, and it cannot be brought up to date: {error}."
        return [_finding("problem", what, "Go back to the older version, and report this.")]
    what = f"The database has schema {rows[0][0]}; the next start brings it to {len(known)}, as a trial on a copy did."
    return [_finding("note", what, cure)]


def _quick_check(connection: sqlite3.Connection) -> Finding:
    give_up_at = time.monotonic() + QUICK_CHECK_S
    connection.set_progress_handler(lambda: time.monotonic() > give_up_at, LOOK_EVERY)
    try:
        rows = connection.execute("PRAGMA quick_check(3)").fetchall()
    except sqlite3.OperationalError as error:
        if time.monotonic() <= give_up_at:
            raise
        what = (
            f"The file is too large to be read through in {QUICK_CHECK_S:g} seconds; so far nothing is wrong ({error})."
        )
        return _finding("note", what)
    finally:
        connection.set_progress_handler(None, 0)
    if rows == [("ok",)]:
        return _finding("ok", "Its pages are whole.")
    told = "; ".join(" ".join(str(row[0]).split()) for row in rows)
    return _finding("problem", f"The file is damaged: {told[:300]}.", RESTORE)


async def _books(url: str) -> Found:
    """`ledger check`, on one state of the file."""
    try:
        async with snapshot(url) as tx:
            checked = await check(tx)
    except (StorageError, SettingsError) as error:
        cure = "Try again; if it stays so, keep the file as it is and report this."
        return [Finding(check="ledger", level="problem", what=f"The books cannot be read: {error}.", cure=cure)]
    if not checked.differences:
        what = f"{checked.entries} entries, {checked.accounts} accounts: all balances are right."
        return [Finding(check="ledger", level="ok", what=what)]
    what = f"{len(checked.differences)} balances are not the sum of their entries, such as {checked.differences[0]}."
    cure = "python -m bot ledger check lists them all; keep the file, and a backup from before, to find out why."
    return [Finding(check="ledger", level="problem", what=what, cure=cure)]
