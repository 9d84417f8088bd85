"""One Discord and one API for all cases of a module; each case has a server, people and a database of its own."""

import gc
import warnings
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.house import House
from tests.e2e.matrix.hurry import hurry
from tests.e2e.matrix.lives import every_task_known
from tests.e2e.matrix.scene import open_stage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """The outside world, and a bot that pauses shortly."""
    with pytest.MonkeyPatch.context() as patch, every_task_known():
        hurry(patch)
        async with open_stage(tmp_path_factory.mktemp("outside")) as house:
            yield house
    with warnings.catch_warnings():
        # What killed bots leave open is to be complained of neither here nor, whenever it is collected, in other tests.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
