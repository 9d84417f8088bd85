"""A copy of the database while the bot writes to it, and the way back.

SQLite's online backup reads through one read transaction here: in WAL mode that holds up no writer, and the copy is the
database as it was at one moment, however long copying takes. The copy is one file, without a journal beside it. A file
appears under its name only when it is whole, checked, and on disk.
"""

import glob
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from bot.errors import SettingsError
from bot.storage.database import BUSY_TIMEOUT_MS
from bot.storage.errors import SchemaRefused, StorageFailed
from bot.storage.lock import sole_process
from bot.storage.migrate import MIGRATIONS, check_applied, read_migrations

PAGES: Final = 1_024
"""Copied between two looks at whether somebody presses Ctrl-C."""
Thoroughness = Literal["quick_check", "integrity_check"]

LEFT_S: Final = 24 * 3_600.0
"""A copy that was last written so long ago is nobody's any more."""
SIDES: Final = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database. A journal that lies beside another database than its own would ruin it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Copied:
    """A copy that was checked. `kept` is where the database of before is now, if there was one."""

    file: Path
    schema: int
    size_bytes: int
    kept: Path | None = None


def back_up(database: Path, file: Path, *, force: bool = False) -> Copied:
    """Copy `database` to `file`; the bot may be running. `force` allows to replace a file of that name.

    Raises:
        SettingsError: there is no database, or `file` is one of its own.
        FileExistsError: there is such a file, and no `force`.
        SchemaRefused: it is no database of this bot.
        StorageFailed: SQLite cannot read it, or the copy has faults.
        OSError: the file cannot be written.
    """
    if not database.is_file():
        raise SettingsError([f"DATABASE_URL: there is no file {database}"])
    if file.resolve() in _own_files(database.resolve()):
        raise SettingsError([f"{file} belongs to the database itself: name another file"])
    if file.exists() and not force:
        raise FileExistsError(f"{file} exists: name another file, or replace it with --force")
    with _partial(file) as partial:
        schema = _copy(database, partial)
        partial.replace(file)
    _sync(file.parent)
    return Copied(file=file, schema=schema, size_bytes=file.stat().st_size)


def restore(file: Path, database: Path, *, now: datetime, migrations: Path = MIGRATIONS) -> Copied:
    """Put the copy in `file` in the place of `database`, which is kept beside it. `now` names that one.

    Raises:
        SettingsError: there is no such file, or it is the database itself.
        DatabaseInUse: a bot is running on the database.
        SchemaRefused: the copy is none of this bot's, or of a newer version. Nothing has changed.
        StorageFailed: the copy has faults. Nothing has changed.
        OSError: the file cannot be read or written.
    """
    if not file.is_file():
        raise SettingsError([f"there is no file {file}"])
    if file.resolve() in _own_files(database.resolve()):
        raise SettingsError([f"{file} belongs to the database itself: name the backup"])
    database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with sole_process(database), _partial(database) as partial:
        schema = _copy(file, partial, migrations=migrations, check="integrity_check")
        kept = _set_aside(database, database.with_name(f"{database.name}.before-restore-{now:%Y%m%dT%H%M%SZ}"))
        partial.replace(database)
        _sync(database.parent)
    return Copied(file=database, schema=schema, size_bytes=database.stat().st_size, kept=kept)


def _own_files(database: Path) -> set[Path]:
    return {database, *(database.with_name(database.name + side) for side in (*SIDES, ".lock"))}


@contextmanager
def _partial(file: Path) -> Iterator[Path]:
    """An empty file beside `file`, its owner's alone; gone at the end, unless it was renamed."""
    _clear_leftovers(file)
    partial = file.with_name(f".{file.name}.{secrets.token_hex(4)}.partial")
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield partial
    finally:
        for side in ("", *SIDES):
            partial.with_name(partial.name + side).unlink(missing_ok=True)


def _clear_leftovers(file: Path) -> None:
    """What copies that were killed have left: people's questions, where nobody would look for them."""
    for left in file.parent.glob(f".{glob.escape(file.name)}.*.partial*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFT_S:
                left.unlink()


def _copy(source: Path, target: Path, *, migrations: Path | None = None, check: Thoroughness = "quick_check") -> int:
    """Copy a database to an empty file, check it, and see it on disk. Its schema, which `migrations` must know."""
    try:
        with closing(_open(source)) as reading, closing(_open(target)) as writing:
            reading.execute("BEGIN")
            schema = _schema(reading, source, migrations)  # the first read, which fixes what is copied
            reading.backup(writing, pages=PAGES)
            # The copy has its source's WAL mode; in the old one it is a single file, which can be carried anywhere.
            writing.execute("PRAGMA journal_mode = DELETE")
            [[verdict]] = writing.execute(f"PRAGMA {check}(1)").fetchall()
    except sqlite3.Error as error:
        raise StorageFailed(f"{source}: {error}") from error
    if verdict != "ok":
        raise StorageFailed(f"{source} is damaged: {verdict}")
    _sync(target)
    return schema


def _open(path: Path, *, mode: Literal["rw", "ro"] = "rw") -> sqlite3.Connection:
    """In autocommit. Never makes a file; may write, since what a killed process left in the WAL has to be read in."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    return connection


def _schema(connection: sqlite3.Connection, path: Path, migrations: Path | None) -> int:
    """The schema's number. Any version's can be backed up; restored, it has to be one that this version knows."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone() is None:
        raise SchemaRefused(f"{path} is no database of this bot")
    applied = connection.execute("SELECT number, name, checksum FROM schema_version ORDER BY number").fetchall()
    if migrations is not None:
        check_applied(applied, read_migrations(migrations))
    return len(applied)


def _set_aside(database: Path, kept: Path) -> Path | None:
    """Give the database of before another name, with whatever belongs to it. Its old name keeps it, if links allow.

    So at any moment a database stands under the name: a bot that found none would begin an empty one.
    """
    if not database.exists():
        return None
    if _is_sound(database):
        _fold_journal(database)
    for side in SIDES:  # left by a damaged database: as it is, it may still be saved
        beside = database.with_name(database.name + side)
        if beside.exists():
            beside.rename(kept.with_name(kept.name + side))
    try:
        os.link(database, kept)
    except OSError:
        database.rename(kept)
    return kept


def _is_sound(database: Path) -> bool:
    """Whether SQLite finds no fault with it. Read only, since closing a damaged one could throw its WAL away."""
    try:
        with closing(_open(database, mode="ro")) as connection:
            return connection.execute("PRAGMA quick_check(1)").fetchall() == [("ok",)]
    except sqlite3.Error:
        return False


def _fold_journal(database: Path) -> None:
    """Bring what stands in the WAL into the file itself, and do away with the WAL."""
    with suppress(sqlite3.Error), closing(_open(database)) as connection:  # else it is kept beside the file
        connection.execute("PRAGMA journal_mode = DELETE")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
