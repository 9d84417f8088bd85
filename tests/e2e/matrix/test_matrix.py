"""Every fault at every stage of a question and a picture: the asker is told, the money right, nothing left hanging."""

from pathlib import Path

import pytest

from tests.e2e.house import House
from tests.e2e.matrix.cases import CASES, Case
from tests.e2e.matrix.rules import broken, complained
from tests.e2e.matrix.scene import open_scene

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # What killed bots leave open, which in a process of their own nobody would hear of.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_the_asker_is_told_the_money_right_and_nothing_left_hanging(
    outside: House, tmp_path: Path, case: Case
) -> None:
    async with open_scene(outside, tmp_path, **{**case.stage.environment, **case.fault.environment}) as scene:
        await case.stage.reach(scene, case.fault.trouble)
        await case.fault.strike(scene)
        scene.let_go()
        await case.fault.follow(scene)
        if scene.afterwards is not None:
            await scene.house.discord.gateway.wait_ready(30)
            await scene.afterwards()
        await scene.quiet()
        found = await broken(scene, silent=bool(case.silent), hanging=bool(case.hanging))
    found += complained(scene, case.fault.complaints)
    assert not found, "\n".join(found)
