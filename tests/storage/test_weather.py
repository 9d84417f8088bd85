"""The disk's weather at the database: what is wrong is named, nothing is half written, and it goes on when it can."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bot.errors import SettingsError
from bot.storage import database as database_module
from bot.storage import soundness
from bot.storage.database import Database, Tx
from bot.storage.errors import DatabaseInUse, StorageDamaged, StorageError, StorageFailed
from bot.storage.weather import Trouble, trouble_of
from tests.storage.disks import (
    NOBODY,
    as_nobody,
    fold_journal,
    locked_elsewhere,
    no_file_grows_beyond,
    read_only_view,
    rows,
    small_disk,
    spoil,
    touch_elsewhere,
)

THINGS = "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\n"
MANY = 500


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_things.sql").write_text(THINGS)
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


@pytest.fixture
async def database(path: Path, migrations: Path) -> AsyncIterator[Database]:
    async with opened(path, migrations) as database:
        yield database


def opened(path: Path, migrations: Path) -> AbstractAsyncContextManager[Database]:
    return Database.open(f"sqlite:///{path}", migrations=migrations)


async def add(tx: Tx, name: str) -> None:
    await tx.execute("INSERT INTO things (name) VALUES (?)", (name,))


async def add_many(tx: Tx) -> None:
    for number in range(MANY):
        await add(tx, f"{number} " + "x" * 300)


async def count(tx: Tx) -> int:
    row = await tx.fetch_one("SELECT COUNT(name) AS number FROM things")
    assert row is not None
    return int(row["number"])


async def filled(path: Path, migrations: Path) -> None:
    """A database of a hundred pages, closed."""
    async with opened(path, migrations) as database:
        await database.write(add_many)


def content(path: Path) -> list[bytes]:
    """Of the file, and of its journal."""
    return [each.read_bytes() for each in (path, path.with_name(f"{path.name}-wal")) if each.exists()]


# Full


async def test_a_full_disk_is_named_and_passes(tmp_path: Path, migrations: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        async with opened(disk.folder / "bot.db", migrations) as database:
            await database.write(lambda tx: add(tx, "before"))
            disk.fill()
            with pytest.raises(StorageFailed) as failed:
                await database.write(lambda tx: add(tx, "lost"))
            assert trouble_of(failed.value) == database.trouble == "full"
            with pytest.raises(StorageFailed, match="takes no writes: full"):
                await database.check(timeout_s=5)
            assert await database.read(count) == 1
            with pytest.raises(StorageFailed):
                await database.probe()
            disk.make_room()
            await database.probe()
            assert database.trouble is None
            await database.write(lambda tx: add(tx, "after"))
            await database.check(timeout_s=5)
            assert await database.read(count) == 2


async def test_a_write_that_changes_nothing_does_not_end_a_trouble(tmp_path: Path, migrations: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        async with opened(disk.folder / "bot.db", migrations) as database:
            disk.fill()
            with pytest.raises(StorageFailed):
                await database.write(lambda tx: add(tx, "lost"))
            await database.write(count)
            assert database.trouble == "full"


async def test_a_database_cannot_be_opened_on_a_full_disk_and_says_what_to_do(tmp_path: Path, migrations: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        disk.fill()
        with pytest.raises(StorageError) as refused:
            async with opened(disk.folder / "bot.db", migrations):
                pass
        assert "its disk is full: make room and start again" in str(refused.value)
        disk.make_room()
        async with opened(disk.folder / "bot.db", migrations) as database:
            await database.write(lambda tx: add(tx, "after"))


async def test_a_limit_of_the_file_alone_is_a_full_disk_too(database: Database) -> None:
    [[pages]] = await database._writer.execute_fetchall("PRAGMA page_count")
    await database._writer.execute_fetchall(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFailed):
        await database.write(add_many)
    assert database.trouble == "full"
    assert await database.read(count) == 0
    await database._writer.execute_fetchall("PRAGMA max_page_count = 1000000")
    await database.write(add_many)
    assert database.trouble is None


async def test_one_operation_that_finds_no_room_takes_the_others_along_or_leaves_them_whole(
    database: Database,
) -> None:
    [[pages]] = await database._writer.execute_fetchall("PRAGMA page_count")
    await database._writer.execute_fetchall(f"PRAGMA max_page_count = {pages}")
    results = await asyncio.gather(
        database.write(lambda tx: add(tx, "small")), database.write(add_many), return_exceptions=True
    )
    assert isinstance(results[1], StorageFailed)
    assert await database.read(count) == (1 if results[0] is None else 0)
    assert database.trouble == "full"


# Errors of the disk


async def test_a_disk_that_reports_errors_is_named_and_passes(database: Database, path: Path) -> None:
    fold_journal(path)
    with no_file_grows_beyond(1), pytest.raises(StorageFailed):
        await database.write(lambda tx: add(tx, "lost"))
    assert database.trouble == "failing"
    await database.write(lambda tx: add(tx, "kept"))
    assert database.trouble is None
    assert await database.read(count) == 1


async def test_what_keeps_failing_is_logged_as_an_error_once(
    database: Database, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fold_journal(path)
    with no_file_grows_beyond(1):
        for _ in range(5):
            with pytest.raises(StorageFailed):
                await database.write(lambda tx: add(tx, "lost"))
    assert [record.levelname for record in caplog.records if "group of" in record.message] == ["ERROR"]


# Read-only


async def test_a_read_only_file_system_is_refused_in_words(tmp_path: Path, migrations: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    await filled(real / "bot.db", migrations)
    words = r"DATABASE_URL: .*bot.db cannot be written: Read-only file system"
    with read_only_view(real, tmp_path / "view") as view, pytest.raises(SettingsError, match=words):
        async with opened(view / "bot.db", migrations):
            pass
    assert rows(real / "bot.db", "SELECT COUNT(*) FROM things") == [(MANY,)]


@pytest.mark.parametrize("closed", ["bot.db", "bot.db.lock", "."])
async def test_what_may_not_be_written_is_refused_in_words(migrations: Path, closed: str) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        migrations = shutil.move(migrations, folder / "migrations")
        await filled(folder / "bot.db", migrations)
        open_to_nobody(folder, closed=closed)
        with as_nobody(), pytest.raises(SettingsError, match=r"DATABASE_URL: .*bot.db.* cannot be written: "):
            async with opened(folder / "bot.db", migrations):
                pass


def open_to_nobody(folder: Path, *, closed: str) -> None:
    """Everybody may write everything there, but for one, which they may read."""
    (folder / "bot.db").chmod(0o666)
    (folder / "bot.db.lock").chmod(0o666)
    folder.chmod(0o777)
    if closed == ".":  # a lock that is there already needs no folder
        (folder / "bot.db.lock").unlink()
    if os.geteuid() == 0:
        shutil.chown(folder / "bot.db", NOBODY)
    (folder / closed).chmod(0o555 if closed == "." else 0o444)


# Locked


async def test_a_lock_of_another_program_is_waited_for_named_and_passes(
    path: Path, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 20)
    async with opened(path, migrations) as database:
        with locked_elsewhere(path):
            with pytest.raises(StorageFailed, match="locked"):
                await database.write(lambda tx: add(tx, "lost"))
            assert database.trouble == "locked"
            assert await database.read(count) == 0
        await database.write(lambda tx: add(tx, "kept"))
        assert database.trouble is None
        assert await database.read(count) == 1


async def test_a_database_that_another_program_locks_says_at_the_start_which(
    path: Path, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 20)
    await filled(path, migrations)
    with locked_elsewhere(path) as pid, pytest.raises(DatabaseInUse, match=rf"is locked by python\S* .process {pid}.:"):
        async with opened(path, migrations):
            pass


async def test_a_database_that_another_bot_has_says_which_process_that_is(
    database: Database, path: Path, migrations: Path
) -> None:
    words = rf"in use by another process \({os.getpid()} on .+, since 20.+ UTC\): stop that one first"
    with pytest.raises(DatabaseInUse, match=words):
        async with opened(path, migrations):
            pass


async def test_who_held_the_lock_before_is_not_named(path: Path, migrations: Path) -> None:
    path.with_name("bot.db.lock").write_text("999999 on a machine with a very long name, since 1970-01-01 UTC")
    async with opened(path, migrations):
        assert path.with_name("bot.db.lock").read_text().startswith(f"{os.getpid()} on ")
        assert "1970" not in path.with_name("bot.db.lock").read_text()


# Damaged, found at the start


def garbage(path: Path) -> None:
    path.write_bytes(b"This was a photograph once." * 1_000)


def cut_short(path: Path) -> None:
    os.truncate(path, 3 * 4_096)


def middle(path: Path) -> None:
    spoil(path, first_page=4)


@pytest.mark.parametrize("damage", [garbage, cut_short, middle, spoil])
async def test_a_damaged_file_is_refused_with_what_to_do_and_left_as_it_is(
    path: Path, migrations: Path, damage: object
) -> None:
    await filled(path, migrations)
    assert callable(damage)
    damage(path)
    before = content(path)
    with pytest.raises(StorageDamaged, match=r"bot.db is damaged .* `python -m bot restore FILE`"):
        async with opened(path, migrations):
            pass
    assert content(path) == before


async def test_a_large_file_that_was_closed_well_is_not_checked_and_one_that_was_not_is(
    path: Path, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soundness, "SMALL_BYTES", 1)
    await filled(path, migrations)
    spoil(path, first_page=20)
    async with opened(path, migrations):
        pass
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA user_version = 3")
    copy = path.with_name("killed.db")
    for side in ("", "-wal"):
        copy.with_name(copy.name + side).write_bytes(path.with_name(path.name + side).read_bytes())
    connection.close()
    with pytest.raises(StorageDamaged):
        async with opened(copy, migrations):
            pass


async def test_a_check_that_takes_too_long_is_left_and_the_bot_starts(
    path: Path, migrations: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(soundness, "CHECK_LIMIT_S", -1.0)
    monkeypatch.setattr(soundness, "PROGRESS_STEPS", 1)
    await filled(path, migrations)
    async with opened(path, migrations) as database:
        assert await database.read(count) == MANY
        await database.write(lambda tx: add(tx, "more"))
    assert "the check of" in caplog.text


async def test_a_journal_without_its_database_is_not_thrown_away(path: Path, migrations: Path) -> None:
    journal = path.with_name("bot.db-wal")
    journal.write_bytes(b"what was committed last")
    with pytest.raises(StorageDamaged, match="is missing or empty, but its journal"):
        async with opened(path, migrations):
            pass
    assert journal.read_bytes() == b"what was committed last"


# Damaged, found while running


async def test_damage_found_by_a_write_ends_all_writing(path: Path, migrations: Path) -> None:
    await filled(path, migrations)
    async with opened(path, migrations) as database:
        spoil(path)
        touch_elsewhere(path)
        with pytest.raises(StorageDamaged):
            await database.write(lambda tx: tx.execute("UPDATE things SET name = ?", ("lost",)))
        assert database.trouble == "damaged"
        before = content(path)
        for attempt in (database.probe(), database.write(lambda tx: add(tx, "lost"))):
            with pytest.raises(StorageDamaged, match="nothing is written any more"):
                await attempt
        assert content(path) == before


async def test_damage_found_by_a_read_ends_all_writing(path: Path, migrations: Path) -> None:
    await filled(path, migrations)
    async with opened(path, migrations) as database:
        spoil(path)
        touch_elsewhere(path)
        with pytest.raises(StorageDamaged):
            await database.read(count)
        with pytest.raises(StorageDamaged):
            await database.write(lambda tx: add(tx, "lost"))
        with pytest.raises(StorageFailed, match="damaged"):
            await database.check(timeout_s=5)


async def test_damage_found_by_one_operation_stores_nothing_of_its_group(path: Path, migrations: Path) -> None:
    await filled(path, migrations)
    async with opened(path, migrations) as database:
        await database.write(lambda tx: tx.execute("CREATE TABLE others (id INTEGER PRIMARY KEY)"))
        spoil(path, first_page=4)
        touch_elsewhere(path)
        results = await asyncio.gather(
            database.write(lambda tx: tx.execute("INSERT INTO others VALUES (1)")),
            database.write(lambda tx: tx.execute("UPDATE things SET name = ''")),
            return_exceptions=True,
        )
    assert [type(result) for result in results] == [StorageDamaged] * 2


# Taken away


@pytest.mark.parametrize("taken", ["-wal", ""])
async def test_files_taken_away_under_the_bot_end_all_writing(path: Path, migrations: Path, taken: str) -> None:
    async with opened(path, migrations) as database:
        await database.write(lambda tx: add(tx, "kept"))
        await database.look_after_files()
        assert database.trouble is None
        path.with_name(path.name + taken).unlink()
        await database.look_after_files()
        assert database.trouble == "replaced"
        with pytest.raises(StorageDamaged):
            await database.write(lambda tx: add(tx, "lost"))
        if taken:
            assert rows_of_a_copy(path) == 1, "what was committed is in the file already, should the bot be killed now"
    if taken:
        assert rows(path, "SELECT name FROM things") == [("kept",)]


def rows_of_a_copy(path: Path) -> object:
    """As who starts after a kill finds it: the file alone."""
    copy = path.with_name("copy.db")
    copy.write_bytes(path.read_bytes())
    return rows(copy, "SELECT COUNT(*) FROM things")[0][0]


async def test_another_file_in_the_databases_place_ends_all_writing(path: Path, migrations: Path) -> None:
    await filled(path.with_name("other.db"), migrations)
    async with opened(path, migrations) as database:
        path.with_name("other.db").replace(path)
        await database.look_after_files()
        assert database.trouble == "replaced"
    assert rows(path, "SELECT COUNT(*) FROM things") == [(MANY,)]


# Codes


@pytest.mark.parametrize(
    ("sql", "trouble"),
    [("SELECT * FROM nowhere", None), ("INSERT INTO things (name) VALUES (NULL)", None)],
)
async def test_a_fault_of_a_statement_is_no_trouble_of_the_disk(
    database: Database, sql: str, trouble: Trouble | None
) -> None:
    with pytest.raises(StorageError):
        await database.write(lambda tx: tx.execute(sql))
    assert database.trouble == trouble


def test_an_error_of_python_has_no_disk_to_blame() -> None:
    assert trouble_of(ValueError("no")) is None
    assert trouble_of(sqlite3.ProgrammingError("closed")) is None
    assert trouble_of(None) is None
