from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.privacy.archive import Archive, open_archive


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    async with open_archive(tmp_path) as opened:
        yield opened
