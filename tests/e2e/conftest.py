"""Fixtures of the end-to-end tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.house import House, open_house
from tests.e2e.keeping import extensions_kept


@pytest.fixture(autouse=True, scope="session")
def extensions() -> Iterator[None]:
    """Executed once for all bots of a worker."""
    with extensions_kept():
        yield


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """The house with the bot at work in it."""
    async with open_house(tmp_path) as opened, opened.running():
        yield opened


@pytest.fixture
async def empty_house(tmp_path: Path) -> AsyncIterator[House]:
    """The house before the bot comes in: for tests that start it themselves."""
    async with open_house(tmp_path) as opened:
        yield opened
