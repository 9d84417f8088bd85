"""What an answer is prepared from: the memory as it stood before it."""

from pathlib import Path

import pytest

from bot.answers.journey import Job
from bot.answers.preparing import recall
from bot.errors import NothingToRepeat
from bot.storage.database import Database
from tests.answers.test_history import SHARED, a_question


async def test_an_answer_that_was_forgotten_meanwhile_can_be_asked_again_but_not_carried_on(tmp_path: Path) -> None:
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as database:
        again = await database.read(lambda tx: recall(tx, Job(question=a_question(2), root_id=1, kind="again")))
        assert (again.root, again.key, again.turns) == (None, SHARED, ())
        with pytest.raises(NothingToRepeat):
            await database.read(lambda tx: recall(tx, Job(question=a_question(2), root_id=1, kind="more")))
