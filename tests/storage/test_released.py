"""Databases of every schema that was released, with rows in every table, come up to date and work.

`released/NNNN_name.sql` puts rows into what the migration of that name made or changed, written by hand as the bot of
that time wrote them. They are never changed, and a new migration comes with a new one.
"""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.answers.history import MemoryKey
from bot.app import Services, open_services
from bot.credits.check import check
from bot.credits.rules import Consumed
from bot.credits.values import HoldRequest
from bot.money import NanoDollars
from bot.settings import Settings
from bot.storage.database import Database
from bot.storage.errors import SchemaRefused, StorageFailed
from bot.storage.migrate import MIGRATIONS, read_migrations
from tests.storage.disks import rows, small_disk

RELEASED = Path(__file__).parent / "released"
SHIPPED = read_migrations(MIGRATIONS)
SCHEMAS = range(1, len(SHIPPED) + 1)
CREDITS, PICTURES, REMEMBERED, PRIVACY, ENDINGS = 2, 3, 4, 5, 7

SERVER, CHANNEL, DANA, NOAM = (1_100_000_000_000_000_000 + number for number in (1, 2, 3, 4))
ANSWER, INTERRUPTED, PRIVATE = 1574060860064661505, 1574060860341485569, 1574060860567977984
ENDED = 1574060860760950000
DIED_ON_HOLD, DELIVERED, DRAWING = 1574060860341487000, 1574060860760915968, 1574060860760915969
LATER = datetime(2026, 11, 23, tzinfo=UTC)

Row = dict[str, Any]


def shipped_up_to(schema: int, folder: Path) -> Path:
    """The migrations of the version that had that schema."""
    folder.mkdir()
    for migration in SHIPPED[:schema]:
        shutil.copy(MIGRATIONS / f"{migration.name}.sql", folder)
    return folder


async def release(schema: int, folder: Path, *, at: Path | None = None) -> Path:
    """The database of a bot of that schema: each migration found the rows of those before it."""
    path = (at or folder) / "bot.db"
    for number in range(1, schema + 1):
        async with Database.open(f"sqlite:///{path}", migrations=shipped_up_to(number, folder / f"schema {number}")):
            pass
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.executescript((RELEASED / f"{SHIPPED[number - 1].name}.sql").read_text(encoding="utf-8"))
            connection.commit()
    return path


def tables(path: Path) -> list[str]:
    return [str(name) for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]


def everything(path: Path) -> dict[str, list[Row]]:
    """Every row of every table, by name."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in tables(path)}


def structure(path: Path) -> dict[str, object]:
    """Columns and indexes by table, however they came about."""
    found: dict[str, object] = {}
    for table in tables(path):
        found[table] = rows(path, f"PRAGMA table_info({table})")
        indexes = rows(path, f"PRAGMA index_list({table})")
        found[f"{table}: indexes"] = sorted(
            (str(name), rows(path, f"PRAGMA index_info({name})")) for _, name, *_ in indexes
        )
    return found


@pytest.fixture(params=SCHEMAS, ids=lambda number: SHIPPED[number - 1].name)
def schema(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
async def old(schema: int, tmp_path: Path) -> Path:
    """A database of an earlier, or of this, schema."""
    return await release(schema, tmp_path)


def settings(path: Path) -> Settings:
    return Settings.load(
        {
            "DISCORD_TOKEN": "MTEw.a-token.of-nobody",
            "MINITOOLAI_API_KEY": "no-key",
            "MINITOOLAI_API_URL": "http://127.0.0.1:9/api",
            "DISCORD_API_URL": "http://127.0.0.1:9/api/v10",
            "DATABASE_URL": f"sqlite:///{path}",
        }
    )


# The rows


def test_every_migration_has_rows_of_its_release() -> None:
    assert sorted(path.stem for path in RELEASED.glob("*.sql")) == [migration.name for migration in SHIPPED], (
        "a new migration needs tests/storage/released/NNNN_name.sql, with rows in every table that it makes or changes"
    )


CHECKSUMS = {
    "0001_conversations": "2b3a9009d4f1618bfaff252e21a31397c8a2cf74b458c58ae1ab9cd6128e3812",
    "0002_credits": "c40ea2fbce4d59372c934d4bf6a4a8ccaecbfa171ac7d7e04b74c1ec2375bb41",
    "0003_pictures": "5f52ee4b15bd3c86935a2aeee6157215a92ff6043740f55a7e271ed6d3103497",
    "0004_remembered": "a98ccad0fd9f69318805e2d31e49e19c95241c3518a46f701f65377c708dbbcc",
    "0005_privacy": "333eb6c653d62d8d9f4586b7a14d5184ed1d2cfe7d68f1b77bf6948fa53efd28",
    "0006_arrivals": "c23575c6b5e2bb799de43c64b663681e617d89907685b122e32a3ac407bac686",
    "0007_endings": "91739cf4868c0e05be65dfdb397a61c65d9e1fa1d5b5b9c1edb78da80a733f5f",
    "0008_drafts": "dce280d4a1461ad9edf6addd00020974da43410c379d7362e95909d222df240b",
    "0009_forgotten": "b0165048d8f671980e9c1582122c94cf0413c4abf0b34157b0aecd49b1c0eea2",
}


def test_a_released_migration_is_never_changed() -> None:
    shipped = {migration.name: migration.checksum for migration in SHIPPED}
    assert {name: shipped.get(name) for name in CHECKSUMS} == CHECKSUMS


async def test_no_table_of_a_release_is_without_rows(old: Path) -> None:
    assert [name for name, found in everything(old).items() if not found] == []


# Coming up to date


async def test_every_row_of_a_release_is_there_afterwards(old: Path, schema: int) -> None:
    before = everything(old)
    async with Database.open(f"sqlite:///{old}"):
        pass
    after = everything(old)
    assert len(after["schema_version"]) == len(SHIPPED)
    for name, wanted in before.items():
        columns = wanted[0].keys()
        found = [{column: row[column] for column in columns} for row in after[name]]
        assert [row for row in wanted if row not in found] == [], name
        assert name == "schema_version" or len(found) == len(wanted), name


async def test_what_was_forgotten_under_an_earlier_release_loses_what_was_asked(tmp_path: Path) -> None:
    old = await release(ENDINGS, tmp_path)
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("DELETE FROM turns WHERE question_id = ?", (ANSWER,))
    before = {row["answer_id"]: row["question"] for row in everything(old)["answers"]}
    async with Database.open(f"sqlite:///{old}"):
        pass
    after = {row["answer_id"]: row for row in everything(old)["answers"]}
    assert {answer_id: row["question"] for answer_id, row in after.items()} == before | {ANSWER: "null"}
    assert [answer_id for answer_id, row in after.items() if row["forgotten"]] == [ANSWER]
    assert {row["root_id"] for row in after.values()} == set(before)


async def test_a_release_that_came_up_to_date_is_built_like_a_new_database(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.db"
    for path in (old, new):
        async with Database.open(f"sqlite:///{path}"):
            pass
    assert structure(old) == structure(new)
    assert rows(old, "PRAGMA foreign_key_check") == []
    assert rows(old, "PRAGMA integrity_check") == [("ok",)]


async def test_the_bot_works_on_what_a_release_left(old: Path, schema: int) -> None:
    async with open_services(settings(old)) as services:
        await conversations_go_on(services, ended=schema >= ENDINGS)
        await money_is_held_and_settled(services)
        if schema >= CREDITS:
            await credits_are_known(services, drawing=schema >= PICTURES)
        if schema >= PICTURES:
            await pictures_are_known(services)
        if schema >= REMEMBERED:
            assert await services.remembered.get("commands") is not None
        assert (await services.database.read(check)).differences == ()


async def conversations_go_on(services: Services, *, ended: bool) -> None:
    history = services.history
    said = await history.newest_turns(MemoryKey.shared(CHANNEL), 10)
    assert [(turn.asked.asker.name, turn.answer) for turn in said] == [
        ("Dana", "In Durango. 🏜️"),
        ("Noam", "It greets"),
    ]
    assert said[0].asked.images[0].name == "cat.png"
    record = await services.answers.record_for(ANSWER, by=DANA, at=CHANNEL)
    assert (record.question.prompt, record.turn_id) == ("Where is the treasure?", ANSWER)
    unfinished = await history.running_answers(10, since=datetime(2026, 1, 1, tzinfo=UTC))
    assert [each.answer_id for each in unfinished] == [INTERRUPTED, *([ENDED] if ended else [])]
    assert await history.delete_turn(PRIVATE)


async def money_is_held_and_settled(services: Services) -> None:
    request = HoldRequest(
        key=2**62,
        scope_id=0,
        user_id=DANA,
        role_ids=frozenset(),
        kind="chat",
        model="gpt-4o-mini",
        fixed_nano=NanoDollars(100),
        at=LATER,
    )
    assert (await services.ledger.hold(request)).amount_nano == 100
    consumed = Consumed(nano=NanoDollars(60), estimated=False)
    ended = await services.ledger.end(request.key, "finished", consumed, at=LATER)
    assert (ended.first, ended.entry.user_nano) == (True, 60)


async def credits_are_known(services: Services, *, drawing: bool) -> None:
    assert (await services.guilds.settings(SERVER)).persona == "A pirate."
    assert len(await services.guilds.log(SERVER)) == 4
    standing = await services.ledger.standing(SERVER, DANA, [], at=datetime(2026, 11, 22, 15, tzinfo=UTC))
    assert standing.in_force.allowance.amount_nano == 100_000_000
    assert standing.spent_nano == (5_346_750 if drawing else 3_846_750)
    died = [entry async for entry in services.reports.entries(SERVER) if entry.reason == "crashed"]
    assert [(entry.key, entry.user_nano, entry.provider_nano) for entry in died] == [(DIED_ON_HOLD, 0, 700_000)]
    assert await services.ledger.open_holds(timeout_s=5) == (1 if drawing else 0)


async def pictures_are_known(services: Services) -> None:
    delivered = await services.pictures.stored(DELIVERED, by=DANA, at=CHANNEL)
    assert (delivered.state, delivered.order.picture.prompt) == ("delivered", "a lighthouse")
    going = await services.pictures.stored(DRAWING, by=DANA, at=CHANNEL)
    assert (going.state, going.order.count, going.drawings[0].state) == ("open", 2, "submitted")
    assert services.pictures.drawing_count == 1


# What is refused, and what goes wrong on the way


async def test_a_newer_schema_than_the_shipped_one_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = await release(len(SHIPPED), tmp_path)
    newer = shipped_up_to(len(SHIPPED), tmp_path / "newer")
    (newer / f"{len(SHIPPED) + 1:04d}_of_tomorrow.sql").write_text("CREATE TABLE tomorrow (id BIGINT);\n")
    async with Database.open(f"sqlite:///{path}", migrations=newer):
        pass
    before = everything(path)
    with pytest.raises(SchemaRefused, match=r"install the newer version again, or restore a backup from before it"):
        async with open_services(settings(path)):
            pass
    assert everything(path) == before


async def test_a_release_whose_migration_is_not_the_shipped_one_is_refused_and_untouched(old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("UPDATE schema_version SET checksum = 'another' WHERE number = 1")
    before = everything(old)
    with pytest.raises(SchemaRefused, match="0001_conversations is not the one that made this database"):
        async with Database.open(f"sqlite:///{old}"):
            pass
    assert everything(old) == before


def next_step(schema: int, folder: Path, sql: str) -> Path:
    migrations = shipped_up_to(schema, folder / "next")
    (migrations / f"{schema + 1:04d}_next.sql").write_text(sql)
    return migrations


HALF = "ALTER TABLE turns ADD COLUMN half TEXT;\nDELETE FROM answers;\n"


async def test_a_migration_that_fails_in_the_middle_leaves_the_release_whole(
    old: Path, schema: int, tmp_path: Path
) -> None:
    before = everything(old)
    with pytest.raises(StorageFailed, match="nowhere"):
        async with Database.open(
            f"sqlite:///{old}", migrations=next_step(schema, tmp_path, HALF + "DELETE FROM nowhere;\n")
        ):
            pass
    assert everything(old) == before


MUCH = (
    "CREATE TABLE much (id BIGINT, text TEXT);\n"
    "INSERT INTO much WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
    " SELECT i, hex(randomblob(500)) FROM n;\n"
)


async def test_a_migration_for_which_the_disk_has_no_room_leaves_the_release_whole(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        path = await release(len(SHIPPED), tmp_path, at=disk.folder)
        before = everything(path)
        with pytest.raises(StorageFailed, match="its disk is full: make room and start again"):
            async with Database.open(
                f"sqlite:///{path}", migrations=next_step(len(SHIPPED), tmp_path, HALF + MUCH.format(rows=10_000))
            ):
                pass
        assert everything(path) == before
        async with open_services(settings(path)) as services:
            await conversations_go_on(services, ended=True)


OPEN = (
    "import asyncio, sys\nfrom pathlib import Path\nfrom bot.storage.database import Database\n"
    "async def main():\n    async with Database.open(sys.argv[1], migrations=Path(sys.argv[2])): print('open')\n"
    "asyncio.run(main())\n"
)


async def test_a_kill_in_the_middle_of_a_migration_leaves_the_release_whole(tmp_path: Path) -> None:
    path = await release(len(SHIPPED), tmp_path)
    before = everything(path)
    migrations = next_step(len(SHIPPED), tmp_path, HALF + MUCH.format(rows=10_000_000))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OPEN, f"sqlite:///{path}", str(migrations), stdout=subprocess.PIPE
    )
    await half_written(path.with_name("bot.db-wal"), least_bytes=8_000_000)
    process.kill()
    said, _ = await process.communicate()
    assert (process.returncode, said) == (-9, b"")
    async with Database.open(f"sqlite:///{path}"):
        pass
    assert everything(path) == before
    (migrations / f"{len(SHIPPED) + 1:04d}_next.sql").write_text(HALF)
    async with Database.open(f"sqlite:///{path}", migrations=migrations):
        pass
    assert rows(path, "SELECT COUNT(*) FROM answers") == [(0,)]


async def half_written(journal: Path, *, least_bytes: int) -> None:
    """Until what a migration wrote, and has not committed, spills into the journal."""
    async with asyncio.timeout(30):
        while not journal.exists() or journal.stat().st_size < least_bytes:  # noqa: ASYNC110, ASYNC240 - another process
            await asyncio.sleep(0.005)
