"""Backups of a database that is in use, and the way back from them."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.errors import SettingsError
from bot.storage.backup import back_up, restore
from bot.storage.database import Database, Tx
from bot.storage.errors import DatabaseInUse, SchemaRefused, StorageFailed
from bot.storage.migrate import MIGRATIONS, read_migrations
from tests.measuring import coverages_variables

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 12, 31, 12, 0, 5, tzinfo=UTC)
KEPT = "bot.db.before-restore-20261231T120005Z"
SCHEMA = len(read_migrations(MIGRATIONS))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "copies" / "monday.db"


@pytest.fixture(autouse=True)
def folder(file: Path) -> None:
    file.parent.mkdir()


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    async with Database.open(f"sqlite:///{path}") as opened:
        yield opened


async def put(database: Database, name: str) -> None:
    await database.write(
        lambda tx: tx.execute("INSERT INTO remembered (name, value) VALUES (?, ?)", (name, name * 2_000))
    )


def filled(path: Path, *names: str, migrations: Path = MIGRATIONS) -> None:
    """A closed database with these rows."""

    async def fill() -> None:
        async with Database.open(f"sqlite:///{path}", migrations=migrations) as database:
            for name in names:
                await put(database, name)

    asyncio.run(fill())


def names(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM remembered ORDER BY name")]


def leave_unclean(path: Path, name: str) -> None:
    """Write as a process does that is killed: what it committed stands in the WAL alone."""
    code = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA wal_autocheckpoint = 0')\n"
        "c.execute('INSERT INTO remembered (name, value) VALUES (?, ?)', (sys.argv[2], ''))\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path), name], check=False)


def litter(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


# Backing up


async def test_a_backup_of_an_open_database_has_all_that_was_committed(database: Database, path: Path, file: Path):
    await put(database, "a")
    copied = await asyncio.to_thread(back_up, path, file)
    await put(database, "b")
    assert copied.schema == SCHEMA
    assert names(file) == ["a"]


async def test_writers_neither_wait_for_a_backup_nor_show_up_in_it_by_halves(
    database: Database, path: Path, file: Path
):
    """Each write puts a pair; a copy made at any moment has both or neither."""

    async def pair(number: int) -> None:
        async def both(tx: Tx) -> None:
            for side in ("left", "right"):
                name = f"{side} {number:04}"
                await tx.execute("INSERT INTO remembered (name, value) VALUES (?, ?)", (name, "x" * 5_000))

        await database.write(both)

    async def write() -> None:
        for number in range(10_000):
            await pair(number)

    writing = asyncio.create_task(write())
    try:
        for turn in range(5):
            await asyncio.to_thread(back_up, path, file, force=turn > 0)
            sides = [name.split() for name in names(file)]
            assert sorted(n for side, n in sides if side == "left") == sorted(n for side, n in sides if side == "right")
    finally:
        writing.cancel()
        await asyncio.wait([writing])
    assert sides


def test_what_a_killed_process_left_in_the_wal_is_backed_up(path: Path, file: Path):
    filled(path, "a")
    leave_unclean(path, "b")
    back_up(path, file)
    assert names(file) == ["a", "b"]


def test_a_backup_is_one_file_of_its_owners_alone(path: Path, file: Path):
    filled(path, "a")
    back_up(path, file)
    assert litter(file.parent) == {"monday.db"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_that_exists_is_replaced_by_force_alone(path: Path, file: Path):
    filled(path, "a")
    file.write_bytes(b"last week's")
    with pytest.raises(FileExistsError, match="--force"):
        back_up(path, file)
    assert file.read_bytes() == b"last week's"
    back_up(path, file, force=True)
    assert names(file) == ["a"]


@pytest.mark.parametrize("side", ["", "-wal", "-shm", ".lock"])
def test_the_databases_own_files_are_no_place_for_a_backup_even_by_force(path: Path, side: str):
    filled(path, "a")
    with pytest.raises(SettingsError, match="belongs to the database"):
        back_up(path, path.with_name(f"{path.name}{side}"), force=True)
    assert names(path) == ["a"]


def test_an_older_schema_can_be_backed_up_before_it_is_brought_up_to_date(path: Path, file: Path, tmp_path: Path):
    older = tmp_path / "older"
    older.mkdir()
    for migration in sorted(MIGRATIONS.glob("*.sql"))[:2]:
        (older / migration.name).write_bytes(migration.read_bytes())
    filled(path, migrations=older)
    assert back_up(path, file).schema == 2


def damage(path: Path) -> None:
    """Overwrite the pages behind the first two with noise: the schema can still be read."""
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 2, len(content)):
        content[at] = (at * 37) % 251
    path.write_bytes(content)


def test_a_damaged_database_is_said_to_be_and_leaves_no_backup(path: Path, file: Path):
    filled(path, *"abcdefgh")
    damage(path)
    with pytest.raises(StorageFailed, match=r"bot\.db"):
        back_up(path, file)
    assert litter(file.parent) == set()


def test_without_a_database_there_is_no_backup(path: Path, file: Path):
    with pytest.raises(SettingsError, match="there is no file"):
        back_up(path, file)
    assert litter(path.parent) == {"copies"}


def test_somebody_elses_database_is_none_of_ours(path: Path, file: Path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (id)")
    with pytest.raises(SchemaRefused, match="no database of this bot"):
        back_up(path, file)


def test_a_folder_that_is_not_there_is_told(path: Path, tmp_path: Path):
    path.write_bytes(b"")
    with pytest.raises(OSError, match="missing"):
        back_up(path, tmp_path / "missing" / "copy.db")


# Restoring


def test_a_restored_database_is_the_one_that_was_backed_up_and_the_other_is_kept(path: Path, file: Path):
    filled(path, "a")
    back_up(path, file)
    filled(path, "b")
    copied = restore(file, path, now=NOW)
    assert (names(path), copied.schema, copied.kept) == (["a"], SCHEMA, path.with_name(KEPT))
    assert names(path.with_name(KEPT)) == ["a", "b"]
    assert names(file) == ["a"]
    filled(path, "c")
    assert names(path) == ["a", "c"]


def contradict(path: Path) -> None:
    """What a fault of the disk may leave: every page can be read, and an index is not that of its table."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for table in ("full", "bare"):
            connection.execute(f"CREATE TABLE {table} (word TEXT)")
            connection.execute(f"CREATE INDEX {table}_words ON {table} (word)")
        connection.execute("INSERT INTO full VALUES ('here')")
        pages = dict(connection.execute("SELECT name, rootpage FROM sqlite_master WHERE name LIKE '%_words'"))
        connection.execute("PRAGMA writable_schema = ON")
        for mine, other in (("full_words", "bare_words"), ("bare_words", "full_words")):
            connection.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = ?", (pages[other], mine))


def test_a_backup_that_contradicts_itself_is_not_restored(path: Path, file: Path):
    filled(path, "a")
    back_up(path, file)
    contradict(file)
    before = path.read_bytes()
    with pytest.raises(StorageFailed, match=r"monday\.db is damaged: .* index (full|bare)_words"):
        restore(file, path, now=NOW)
    assert path.read_bytes() == before


def test_a_killed_processs_last_words_are_kept_too_and_do_not_get_into_the_restored_one(path: Path, file: Path):
    filled(path, "a")
    back_up(path, file)
    leave_unclean(path, "b")
    restore(file, path, now=NOW)
    assert names(path) == ["a"]
    assert names(path.with_name(KEPT)) == ["a", "b"]
    assert litter(path.parent) == {"copies", "bot.db", "bot.db.lock", KEPT}


def test_a_damaged_database_is_replaced_and_kept_as_it_is(path: Path, file: Path):
    filled(path, "a")
    back_up(path, file)
    path.write_bytes(b"noise" * 1_000)
    path.with_name("bot.db-wal").write_bytes(b"more noise")
    restore(file, path, now=NOW)
    assert names(path) == ["a"]
    assert path.with_name(KEPT).read_bytes() == b"noise" * 1_000
    assert path.with_name(f"{KEPT}-wal").read_bytes() == b"more noise"


def test_where_there_was_no_database_nothing_is_kept(path: Path, file: Path, tmp_path: Path):
    filled(path, "a")
    back_up(path, file)
    elsewhere = tmp_path / "new" / "bot.db"
    assert restore(file, elsewhere, now=NOW).kept is None
    assert names(elsewhere) == ["a"]


async def test_nothing_is_restored_under_a_running_bot(database: Database, path: Path, file: Path):
    await put(database, "a")
    await asyncio.to_thread(back_up, path, file)
    await put(database, "b")
    with pytest.raises(DatabaseInUse, match="stop that one first"):
        restore(file, path, now=NOW)
    assert names(path) == ["a", "b"]
    assert not path.with_name(KEPT).exists()


def refused(path: Path, file: Path, kind: type[Exception] | tuple[type[Exception], ...], words: str) -> None:
    before = path.read_bytes()
    with pytest.raises(kind, match=words):
        restore(file, path, now=NOW)
    assert path.read_bytes() == before
    assert litter(path.parent) == {"copies", "bot.db", "bot.db.lock"}


def test_a_newer_versions_backup_is_refused_and_nothing_changes(path: Path, file: Path):
    filled(path, "a")
    back_up(path, file)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("INSERT INTO schema_version VALUES (?, 'future', 'x', 'then')", (SCHEMA + 1,))
    refused(path, file, SchemaRefused, f"schema {SCHEMA + 1}")


def test_a_damaged_backup_is_refused_and_nothing_changes(path: Path, file: Path):
    filled(path, *"abcdefgh")
    back_up(path, file)
    damage(file)
    refused(path, file, StorageFailed, r"monday\.db")


@pytest.mark.parametrize("content", [b"", b"not a database" * 100])
def test_what_is_no_database_is_refused_and_nothing_changes(path: Path, file: Path, content: bytes):
    filled(path, "a")
    file.write_bytes(content)
    refused(path, file, (SchemaRefused, StorageFailed), "database")


def test_a_backup_that_is_not_there_is_told(path: Path, file: Path):
    filled(path, "a")
    with pytest.raises(SettingsError, match="there is no file"):
        restore(file, path, now=NOW)


def test_the_database_is_no_backup_of_itself(path: Path):
    filled(path, "a")
    with pytest.raises(SettingsError, match="name the backup"):
        restore(path, path, now=NOW)


# The command line


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


def run(path: Path, *arguments: str) -> Ran:
    done = subprocess.run(
        (sys.executable, "-m", "bot", *arguments),
        env={"DATABASE_URL": f"sqlite:///{path}", "PYTHONPATH": str(ROOT), **coverages_variables()},
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def test_the_commands_say_what_they_did_and_need_neither_token_nor_key(path: Path, file: Path):
    filled(path, "a")
    backed_up = run(path, "backup", str(file))
    size = f"{file.stat().st_size:,}"
    assert backed_up == Ran(0, f"{path} is backed up to {file}: schema {SCHEMA}, {size} bytes, checked\n", "")
    restored = run(path, "restore", str(file))
    first, second = restored.out.splitlines()
    assert (restored.code, restored.err) == (0, "")
    assert first.startswith(f"{file} is restored to {path}: schema {SCHEMA}, ")
    assert second.startswith(f"the database of before is {path}.before-restore-")


def test_where_no_database_was_before_none_is_kept(path: Path, file: Path):
    filled(path, "a")
    back_up(path, file)
    new = path.with_name("new.db")
    restored = run(new, "restore", str(file))
    size = f"{new.stat().st_size:,}"
    assert restored == Ran(0, f"{file} is restored to {new}: schema {SCHEMA}, {size} bytes, checked\n", "")
    assert names(new) == ["a"]


def test_what_cannot_be_done_is_one_sentence(path: Path, file: Path):
    refused = run(path, "restore", str(file))
    assert (refused.code, refused.out, refused.err) == (1, "", f"there is no file {file}\n")


def test_what_a_killed_copy_has_left_goes_with_the_next_and_a_running_ones_stays(path: Path, file: Path) -> None:
    filled(path, "one")
    left, side, running = (file.with_name(f".monday.db.{name}") for name in ("1.partial", "1.partial-wal", "2.partial"))
    for each in (left, side, running):
        each.write_text("people's questions")
    for each in (left, side):
        os.utime(each, (0, 0))
    back_up(path, file)
    assert sorted(each.name for each in file.parent.iterdir()) == [".monday.db.2.partial", "monday.db"]
