"""How what was left without its end is brought to it: which answers a round tries, and what it costs to give one up."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from bot.answers import history as store
from bot.answers import recovery as recovering
from bot.answers.ending import Ended
from bot.answers.history import AnswerRecord, History
from bot.answers.journey import INTERRUPTED, interrupted
from bot.answers.question import Asker, Place, Question
from bot.answers.records import Records
from bot.answers.recovery import TRIED_FOR, TRIES_IN_A_ROW, Recovery, Round
from bot.credits.values import Entry
from bot.storage.database import Database
from tests.answers.test_ending import ENDED
from tests.credits.books import NOW, Books, request
from tests.delivery.server import ROOM, FakeServer, discord, problem

CHANNEL, APPLICATION = 7, 5
SHOWN = 11
"""The message as which the scripted Discord shows every answer."""
STOPPED = replace(ENDED, state="stopped", text="", heading="", notice="⏹️ Stopped.", footer="", remembered=False)


def answer_id(number: int) -> int:
    """The id of a question that was asked at NOW."""
    return (round(NOW.timestamp() * 1_000) - 1_420_070_400_000 << 22) + number


@dataclass
class Left:
    """Answers that nobody brought to their end, over a real database and a scripted Discord."""

    books: Books
    server: FakeServer
    recovery: Recovery
    clock: list[datetime]

    @property
    def history(self) -> History:
        return History(self.books.database)

    async def begun(self, number: int, *, ended: Ended | None = None, shown: bool = True) -> int:
        """An answer with a hold; `ended` as was written down before its process died."""
        made = answer_id(number)
        places = ((CHANNEL, SHOWN + number),) if shown else ()
        place = Place(channel_id=CHANNEL, guild_id=7_000, bot_present=True)
        question = Question(id=made, asker=Asker(id=1, name="Ann"), place=place, prompt="why?")
        record = AnswerRecord(question=question, state="running", updated_at=NOW, messages=places)
        await self.books.ledger.hold(request(made))
        await self.history.save_answer(record)
        if ended is not None:
            await self.books.database.write(
                lambda tx: store.note_ending(tx, made, ended, messages=places, turn_id=None)
            )
        return made

    async def round(self) -> Round:
        return await self.recovery.close_all(APPLICATION)

    async def entries(self) -> list[Entry]:
        return [entry async for entry in self.books.reports.entries()]

    def asked(self) -> list[tuple[str, str]]:
        """What Discord was asked, and by which last part of the path, each of several tries once."""
        return list(dict.fromkeys((one.method, one.path.rpartition("/")[2]) for one in self.server.asked))


@pytest.fixture
async def left(tmp_path: Path) -> AsyncIterator[Left]:
    clock = [NOW + timedelta(minutes=1)]
    async with Database.open(f"sqlite:///{tmp_path}/bot.db") as database, discord() as (server, rest):
        books = Books(database)
        recovery = Recovery(
            database=database,
            rest=rest,
            ledger=books.ledger,
            records=Records(database),
            max_messages=4,
            now=lambda: clock[-1].timestamp(),
        )
        yield Left(books=books, server=server, recovery=recovery, clock=clock)
        assert (await books.checked()).differences == ()


async def test_no_more_wait_for_discord_than_are_kept(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovering, "AT_MOST", 2)
    assert [left.recovery.owe(number, ENDED) for number in (1, 2, 3)] == [True, True, False]
    assert left.recovery.left == 2
    assert 3 not in left.recovery


async def test_where_discord_takes_several_in_a_row_not_the_others_wait_and_are_the_first_next_time(left: Left) -> None:
    count = TRIES_IN_A_ROW + 2
    for number in range(count):
        await left.begun(number)
    await left.recovery.load()
    left.server.always = problem(503, **ROOM)
    assert await left.round() == Round(finished=0, cut=0, unreachable=0, left=count)
    assert left.asked() == [("GET", str(SHOWN + number)) for number in range(TRIES_IN_A_ROW)]
    left.server.asked.clear()
    await left.round()
    assert left.asked()[0] == ("GET", str(SHOWN + TRIES_IN_A_ROW))


async def test_one_that_has_ended_meanwhile_is_left_as_it_is(left: Left) -> None:
    answer = await left.begun(0)
    await left.recovery.load()
    record = await left.history.answer(answer)
    assert record is not None
    await left.books.database.write(lambda tx: store.end_answer(tx, replace(record, state="stopped")))
    assert await left.round() == Round(finished=0, cut=0, unreachable=0, left=0)
    assert left.asked() == []
    again = await left.history.answer(answer)
    assert again is not None
    assert again.state == "stopped"


async def test_one_that_was_deleted_before_its_last_edit_is_charged_as_deleted_and_not_shown(left: Left) -> None:
    answer = await left.begun(0)
    assert left.recovery.owe(answer, ENDED)
    await left.books.database.write(lambda tx: store.delete_answer(tx, answer))
    assert await left.round() == Round(finished=0, cut=0, unreachable=0, left=0)
    assert left.asked() == []
    assert [(entry.key, entry.reason) for entry in await left.entries()] == [(answer, "deleted")]
    assert await left.history.answer(answer) is None


async def test_what_discord_did_not_take_for_a_day_is_given_up_and_costs_nothing(left: Left) -> None:
    answer = await left.begun(0, ended=ENDED)
    await left.recovery.load()
    left.server.always = problem(503, **ROOM)
    assert await left.round() == Round(finished=0, cut=0, unreachable=0, left=1)
    assert await left.entries() == []
    left.clock.append(NOW + TRIED_FOR)
    assert await left.round() == Round(finished=0, cut=0, unreachable=1, left=0)
    assert [(entry.reason, entry.user_nano) for entry in await left.entries()] == [("undelivered", 0)]
    record = await left.history.answer(answer)
    assert record is not None
    assert record.state == "failed"


async def test_one_that_ended_without_a_word_shows_its_notice_alone(left: Left) -> None:
    answer = await left.begun(0, ended=STOPPED)
    await left.recovery.load()
    assert await left.round() == Round(finished=1, cut=0, unreachable=0, left=0)
    assert left.asked() == [("GET", str(SHOWN)), ("PATCH", str(SHOWN))]
    assert left.server.asked[-1].json["content"] == "⏹️ Stopped."
    record = await left.history.answer(answer)
    assert record is not None
    assert record.state == "stopped"


@pytest.mark.parametrize(
    ("before", "edits"),
    [(None, []), ("Half an answer\n-# ✍️ writing…", [f"Half an answer\n{INTERRUPTED}"])],
    ids=["there was no reply", "there was one"],
)
async def test_a_reply_that_was_not_noted_is_edited_only_where_it_had_been_there_before(
    left: Left, before: str | None, edits: list[str]
) -> None:
    answer = await left.begun(0, shown=False)
    await left.recovery.load()
    content = interrupted("", answer).content if before is None else before
    shown = {"id": str(SHOWN), "channel_id": str(CHANNEL), "attachments": [], "content": content}
    left.server.always = lambda _: web.json_response(shown)
    assert await left.round() == Round(finished=0, cut=1, unreachable=0, left=0)
    assert [one.method for one in left.server.asked] == ["POST", "GET"] + ["PATCH"] * len(edits)
    assert [one.json["content"] for one in left.server.asked if one.method == "PATCH"] == edits
    record = await left.history.answer(answer)
    assert record is not None
    assert (record.state, record.messages) == ("cut", ((CHANNEL, SHOWN),))
