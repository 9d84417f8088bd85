"""Random schedules of faults, from seeds: CI runs the same ones each time, and `-m long` thousands of others.

MATRIX_SEED begins elsewhere, or repeats one that failed; MATRIX_SCHEDULES says how many `-m long` runs.
"""

import os
import random
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.house import House
from tests.e2e.matrix.rules import complained
from tests.e2e.matrix.scene import open_scene
from tests.e2e.matrix.schedules import COMPLAINTS, Schedule

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # What killed bots leave open, which in a process of their own nobody would hear of.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

BASE: Final = int(os.environ.get("MATRIX_SEED", "0"))
IN_CI: Final = 200
BY_HAND: Final = int(os.environ.get("MATRIX_SCHEDULES", "3000"))


async def play(outside: House, folder: Path, seed: int) -> None:
    rng = random.Random(seed)
    async with open_scene(outside, folder, PICTURE_ORDERS_OPEN=str(rng.choice((1, 2, 50)))) as scene:
        schedule = Schedule(scene=scene, rng=rng)
        try:
            found = await schedule.run()
        except Exception as error:
            error.add_note(f"MATRIX_SEED={seed}\n" + "\n".join(schedule.steps))
            raise
    found += complained(scene, COMPLAINTS)
    assert not found, "\n".join([*found, f"MATRIX_SEED={seed}", *schedule.steps])


@pytest.mark.parametrize("seed", range(BASE, BASE + IN_CI))
async def test_whatever_happens_the_promises_are_kept(outside: House, tmp_path: Path, seed: int) -> None:
    await play(outside, tmp_path, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(BASE + IN_CI, BASE + IN_CI + BY_HAND))
async def test_whatever_happens_thousands_of_times_they_are_kept(outside: House, tmp_path: Path, seed: int) -> None:
    await play(outside, tmp_path, seed)
