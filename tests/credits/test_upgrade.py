"""A database from before credits gets them, and keeps what it had."""

import shutil
from pathlib import Path

from bot.credits.check import check
from bot.storage.database import Database, Tx
from bot.storage.migrate import MIGRATIONS
from tests.credits.books import Books, request


async def test_what_a_bot_without_credits_remembered_stays(tmp_path: Path):
    first, url = tmp_path / "first", f"sqlite:///{tmp_path}/bot.db"
    first.mkdir()
    shutil.copy(next(MIGRATIONS.glob("0001_*.sql")), first)

    async def remember(tx: Tx) -> None:
        for channel in (1, 2):
            await tx.execute("INSERT INTO memory_modes VALUES (?, 'off', 5, 0)", (channel,))

    async with Database.open(url, migrations=first) as old:
        await old.write(remember)
    async with Database.open(url) as new:
        rows = await new.read(lambda tx: tx.fetch_all("SELECT channel_id, mode FROM memory_modes"))
        assert [tuple(row) for row in rows] == [(1, "off"), (2, "off")]
        assert (await Books(new).ledger.hold(request(1))).amount_nano == 100
        assert (await new.read(check)).differences == ()
