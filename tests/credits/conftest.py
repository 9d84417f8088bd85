from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.storage.database import Database
from tests.credits.books import Books


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as opened:
        yield opened


@pytest.fixture
def books(database: Database) -> Books:
    return Books(database)
