import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.answers import history as rows
from bot.answers.history import (
    FILE_CUT_NOTE,
    FILE_TEXT_LIMIT,
    AnswerRecord,
    AnswerState,
    Asked,
    History,
    MemoryKey,
    ModeChoice,
    Turn,
    default_mode,
    memory_key,
)
from bot.answers.question import Asker, AttachmentRef, Place, Question
from bot.money import NanoDollars
from bot.storage.database import Database, Tx
from bot.storage.errors import ConstraintBroken
from tests.answers.test_ending import ENDED

CHANNEL = 2**63 - 5
SHARED = MemoryKey.shared(CHANNEL)
DANA = Asker(id=11, name="Dana")
NOAM = Asker(id=12, name="Noam")
NOON = datetime(2026, 1, 2, 12, 0, 0, 123_456, tzinfo=UTC)
PICTURE = AttachmentRef(
    id=5, name="cat.png", url="https://cdn.example/cat.png?ex=1", size_bytes=9, channel_id=CHANNEL, message_id=6
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with Database.open(url) as opened:
        yield opened


@pytest.fixture
def history(database: Database) -> History:
    return History(database)


def a_turn(
    question_id: int, *, asker: Asker = DANA, key: MemoryKey = SHARED, minute: int = 0, answer: str = "A"
) -> Turn:
    return Turn(
        question_id=question_id,
        key=key,
        guild_id=77,
        asked_at=NOON + timedelta(minutes=minute),
        asked=Asked(asker=asker, prompt=f"question {question_id}"),
        answer=answer,
        model="gpt-4o-mini",
        prompt_tokens=10,
        completion_tokens=20,
        cost_nano=NanoDollars(13_500),
        finish_reason="stop",
        complete=True,
    )


def a_question(question_id: int = 1, *, private: bool = False, bot_present: bool = True) -> Question:
    place = Place(channel_id=CHANNEL, guild_id=77, bot_present=bot_present)
    return Question(id=question_id, asker=DANA, place=place, prompt="why?", private=private)


def a_record(question_id: int = 1, *, state: AnswerState = "running", minute: int = 0) -> AnswerRecord:
    return AnswerRecord(
        question=a_question(question_id),
        state=state,
        updated_at=NOON + timedelta(minutes=minute),
        messages=((CHANNEL, 2),),
    )


async def ids(history: History, key: MemoryKey = SHARED, limit: int = 100) -> list[int]:
    return [turn.question_id for turn in await history.newest_turns(key, limit)]


async def test_a_turn_comes_back_as_it_was_also_after_a_restart(url: str) -> None:
    asked = Asked(
        asker=DANA,
        prompt="what is this? 😀",
        images=(PICTURE, replace(PICTURE, id=6, content_type="image/png", channel_id=None, message_id=None)),
        file_name="a.py",
        file_text="print()\n",
        quoted="look",
        quoted_author="Noam",
    )
    turn = replace(a_turn(1), asked=asked, guild_id=None, finish_reason=None, complete=False)
    async with Database.open(url) as database:
        assert await History(database).append_turn(turn)
    async with Database.open(url) as database:
        assert await History(database).newest_turns(SHARED, 10) == (turn,)
        assert await History(database).turn(1) == turn


async def test_storing_a_turn_twice_changes_nothing(history: History) -> None:
    assert await history.append_turn(a_turn(1))
    assert not await history.append_turn(a_turn(1, answer="another"))
    assert [turn.answer for turn in await history.newest_turns(SHARED, 10)] == ["A"]


async def test_two_questions_at_once_are_both_stored_in_the_order_of_their_ids(history: History) -> None:
    stored = await asyncio.gather(history.append_turn(a_turn(9)), history.append_turn(a_turn(8, asker=NOAM)))
    assert stored == [True, True]
    assert await ids(history) == [8, 9]


async def test_the_newest_turns_are_chosen_and_the_newest_is_last(history: History) -> None:
    for question_id, minute in ((1, 3), (2, 1), (3, 2)):
        await history.append_turn(a_turn(question_id, minute=minute))
    assert await ids(history) == [2, 3, 1]
    assert await ids(history, limit=2) == [3, 1]


async def test_memories_never_mix(history: History) -> None:
    keys = [
        SHARED,
        MemoryKey.shared(3),
        MemoryKey.personal(CHANNEL, 11),
        MemoryKey.personal(CHANNEL, 12),
        MemoryKey.private(CHANNEL, 11),
    ]
    for number, key in enumerate(keys):
        await history.append_turn(a_turn(number, key=key))
    assert [await ids(history, key) for key in keys] == [[0], [1], [2], [3], [4]]


async def test_another_answer_takes_its_turns_place(history: History, database: Database) -> None:
    await history.append_turn(a_turn(1, minute=0))
    await history.append_turn(a_turn(2, minute=1))
    regenerated = replace(a_turn(1, minute=9, answer="B"), key=MemoryKey.shared(3), model="gpt-4o")
    assert await database.write(lambda tx: rows.replace_turn(tx, regenerated))
    turns = await history.newest_turns(SHARED, 10)
    assert [(turn.question_id, turn.answer, turn.model) for turn in turns] == [
        (1, "B", "gpt-4o"),
        (2, "A", "gpt-4o-mini"),
    ]
    assert turns[0].asked_at == NOON


async def test_a_forgotten_turn_is_not_brought_back(history: History, database: Database) -> None:
    async def late(tx: Tx) -> tuple[bool, bool]:
        return await rows.replace_turn(tx, a_turn(1)), await rows.extend_turn(
            tx,
            1,
            text="more",
            prompt_tokens=1,
            completion_tokens=1,
            cost_nano=NanoDollars(1),
            finish_reason="stop",
            complete=True,
        )

    assert await database.write(late) == (False, False)
    assert await ids(history) == []


async def test_a_continued_answer_grows_and_adds_up(history: History, database: Database) -> None:
    await history.append_turn(replace(a_turn(1, answer="one "), finish_reason="length", complete=False))
    assert await database.write(
        lambda tx: rows.extend_turn(
            tx,
            1,
            text="two",
            prompt_tokens=30,
            completion_tokens=5,
            cost_nano=NanoDollars(500),
            finish_reason="stop",
            complete=True,
        )
    )
    (turn,) = await history.newest_turns(SHARED, 10)
    assert (turn.answer, turn.prompt_tokens, turn.completion_tokens, turn.cost_nano) == ("one two", 40, 25, 14_000)
    assert (turn.finish_reason, turn.complete) == ("stop", True)


async def test_clearing_forgets_a_memory_and_says_how_much(history: History) -> None:
    personal = MemoryKey.personal(CHANNEL, 11)
    for question_id, key in ((1, SHARED), (2, SHARED), (3, personal)):
        await history.append_turn(a_turn(question_id, key=key))
    assert await history.clear(SHARED) == 2
    assert await history.clear(SHARED) == 0
    assert await ids(history) == []
    assert await ids(history, personal) == [3]


async def test_clearing_ones_own_part_leaves_the_others(history: History) -> None:
    await history.append_turn(a_turn(1))
    await history.append_turn(a_turn(2, asker=NOAM))
    assert await history.clear(SHARED, DANA.id) == 1
    assert await ids(history) == [2]


async def test_undo_forgets_the_newest_turn_of_all_or_of_one(history: History) -> None:
    for question_id, asker in ((1, DANA), (2, DANA), (3, NOAM), (4, NOAM)):
        await history.append_turn(a_turn(question_id, asker=asker, minute=question_id))
    undone = [await history.undo(SHARED), await history.undo(SHARED, DANA.id), await history.undo(SHARED, 999)]
    assert [turn and turn.question_id for turn in undone] == [4, 2, None]
    assert await ids(history) == [1, 3]


async def save_in_turn(history: History, record: AnswerRecord, root_id: int) -> None:
    await history._database.write(lambda tx: rows.save_answer(tx, record, root_id=root_id))


async def recorded(history: History, answer_id: int) -> AnswerRecord:
    record = await history.answer(answer_id)
    assert record is not None
    return record


async def asked_twice_by_dana_and_once_by_noam(history: History) -> None:
    """Turn 1 with its answer, and one that failed when it was asked again; turn 2 is Noam's."""
    await history.append_turn(a_turn(1))
    await history.append_turn(a_turn(2, asker=NOAM))
    await save_in_turn(history, replace(a_record(1, state="done"), turn_id=1), 1)
    await save_in_turn(history, a_record(5, state="failed"), 1)
    theirs = replace(a_record(2, state="done"), question=replace(a_question(2), asker=NOAM), turn_id=2)
    await save_in_turn(history, theirs, 2)


async def test_clearing_forgets_what_every_answer_to_those_turns_would_repeat(history: History) -> None:
    await asked_twice_by_dana_and_once_by_noam(history)
    theirs = await recorded(history, 2)
    assert await history.clear(SHARED, DANA.id) == 1
    nothing = Question(id=1, asker=Asker(id=DANA.id, name=""), place=a_question().place, prompt="")
    for answer_id, state in ((1, "done"), (5, "failed")):
        record = await recorded(history, answer_id)
        assert record.question == replace(nothing, id=answer_id)
        assert (record.forgotten, record.state, record.turn_id) == (True, state, None)
        assert record.messages == ((CHANNEL, 2),), "it can still be deleted"
    assert await recorded(history, 2) == theirs
    assert await history.clear(SHARED) == 1
    assert (await recorded(history, 2)).forgotten


async def test_answers_without_a_turn_go_with_the_one_that_comes_of_asking_again(
    history: History, database: Database
) -> None:
    await asked_twice_by_dana_and_once_by_noam(history)
    for answer_id, repeated_id in ((7, 6), (8, 7)):
        await history.save_answer(a_record(repeated_id, state="failed"))
        await database.write(lambda tx, new=answer_id, old=repeated_id: rows.adopt_answers(tx, new, old))
    await database.write(lambda tx: rows.adopt_answers(tx, 9, 5))  # has a turn: 1
    await history.append_turn(a_turn(8, minute=8))
    await history.append_turn(a_turn(9, minute=9))
    for expected in ([], [6, 7], [6, 7, 2], [6, 7, 2, 1, 5]):
        undone = await history.undo(SHARED)
        assert undone is not None
        forgotten = {each for each in (1, 2, 5, 6, 7) if (await recorded(history, each)).forgotten}
        assert forgotten == set(expected), undone.question_id


async def test_undo_forgets_what_the_answers_to_that_turn_would_repeat_and_no_other(history: History) -> None:
    await asked_twice_by_dana_and_once_by_noam(history)
    before = [await recorded(history, answer_id) for answer_id in (1, 5)]
    await history.undo(SHARED, NOAM.id)
    assert (await recorded(history, 2)).question.prompt == ""
    assert [await recorded(history, answer_id) for answer_id in (1, 5)] == before
    await history.undo(SHARED)
    assert [(await recorded(history, answer_id)).forgotten for answer_id in (1, 5)] == [True, True]


@pytest.mark.parametrize("how", ["ended", "cut"])
async def test_an_answer_that_is_not_at_its_end_keeps_what_it_takes_to_end_it_and_no_longer(
    history: History, database: Database, how: str
) -> None:
    await history.append_turn(a_turn(1))
    await save_in_turn(history, replace(a_record(5), interaction_token="secret"), 1)
    await database.write(lambda tx: rows.note_ending(tx, 5, ENDED, messages=[(CHANNEL, 2)], turn_id=1))
    before = await recorded(history, 5)
    await history.clear(SHARED)
    assert await recorded(history, 5) == replace(before, forgotten=True)
    assert await database.read(lambda tx: rows.is_forgotten(tx, 5))
    if how == "cut":
        assert await history.note_cut(5, NOON)
    else:
        assert await database.write(lambda tx: rows.end_answer(tx, replace(before, state="done")))
    over = await recorded(history, 5)
    assert (over.question.prompt, over.turn_id, over.ending, over.interaction_token) == ("", None, None, None)
    assert over.forgotten
    assert over.state == ("cut" if how == "cut" else "done")


async def test_an_answer_to_no_forgotten_turn_ends_as_it_is(history: History, database: Database) -> None:
    await history.append_turn(a_turn(1))
    await history.save_answer(a_record(5))
    await history.clear(SHARED)
    assert await history.note_cut(5, NOON)
    assert (await recorded(history, 5)).question == a_question(5)
    assert not await database.read(lambda tx: rows.is_forgotten(tx, 5))
    assert not await database.read(lambda tx: rows.is_forgotten(tx, 6))


async def test_whoever_keeps_house_is_told_of_what_was_forgotten_and_again_when_its_answer_has_ended(url: str) -> None:
    told: list[object] = []
    async with Database.open(url, hear=told.append) as database:
        history = History(database)
        await history.append_turn(a_turn(1))
        await history.append_turn(a_turn(2))
        for answer_id in (5, 6):
            await save_in_turn(history, a_record(answer_id), 1)
        await history.save_answer(a_record(7))
        assert told == []
        await history.undo(SHARED)
        assert told == [rows.Forgotten()]
        await history.clear(SHARED)
        assert len(told) == 2
        await history.note_cut(5, NOON)
        assert len(told) == 3
        await database.write(lambda tx: rows.end_answer(tx, a_record(6, state="done")))
        assert len(told) == 4
        await database.write(lambda tx: rows.end_answer(tx, a_record(7, state="done")))
        assert len(told) == 4


async def test_one_turn_can_be_forgotten(history: History) -> None:
    await history.append_turn(a_turn(1))
    assert await history.delete_turn(1)
    assert not await history.delete_turn(1)


async def test_a_long_file_is_kept_in_part_and_says_so(history: History) -> None:
    long = replace(a_turn(1), asked=Asked(asker=DANA, prompt="", file_name="a", file_text="x" * (FILE_TEXT_LIMIT + 1)))
    await history.append_turn(long)
    (turn,) = await history.newest_turns(SHARED, 1)
    assert turn.asked.file_text == "x" * FILE_TEXT_LIMIT + FILE_CUT_NOTE


async def test_broken_text_is_stored_mended(history: History) -> None:
    broken = Asked(asker=replace(DANA, name="D\ud800"), prompt="a\ud83db\0c", images=(replace(PICTURE, name="\udc00"),))
    await history.append_turn(replace(a_turn(1, answer="\ud83d\ude00"), asked=broken))
    (turn,) = await history.newest_turns(SHARED, 1)
    assert (turn.asked.asker.name, turn.asked.prompt, turn.answer) == ("D\ufffd", "a\ufffdb\ufffdc", "😀")
    assert turn.asked.images[0].name == "\ufffd"


def test_a_time_without_its_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        replace(a_turn(1), asked_at=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the case


@pytest.mark.parametrize(
    ("mode", "private", "owner"),
    [
        ("shared", False, "shared"),
        ("personal", False, "user:11"),
        ("shared", True, "private:11"),
        ("personal", True, "private:11"),
    ],
)
def test_a_private_answer_never_enters_the_shared_memory(mode: rows.Mode, private: bool, owner: str) -> None:
    key = memory_key(a_question(private=private), mode)
    assert key == MemoryKey(channel_id=CHANNEL, owner=owner)
    assert key.is_shared == (owner == "shared")


@pytest.mark.parametrize("private", [False, True])
def test_where_memory_is_off_nothing_is_remembered(private: bool) -> None:
    assert memory_key(a_question(private=private), "off") is None


def test_the_default_is_shared_and_personal_where_the_bot_is_not_itself() -> None:
    assert default_mode(Place(channel_id=1, guild_id=2)) == "shared"
    assert default_mode(Place(channel_id=1, guild_id=None)) == "shared"
    assert default_mode(Place(channel_id=1, guild_id=2, bot_present=False)) == "personal"


async def test_a_chosen_mode_outranks_the_default_and_says_who_chose_it(history: History) -> None:
    place = Place(channel_id=CHANNEL, guild_id=77)
    assert await history.mode_choice(CHANNEL) is None
    assert await history.mode(place) == "shared"
    await history.set_mode(CHANNEL, ModeChoice(mode="personal", set_by=11, set_at=NOON))
    await history.set_mode(CHANNEL, ModeChoice(mode="off", set_by=12, set_at=NOON))
    assert await history.mode(place) == "off"
    assert await history.mode_choice(CHANNEL) == ModeChoice(mode="off", set_by=12, set_at=NOON)
    assert await history.mode(replace(place, channel_id=3)) == "shared"


async def test_an_answers_record_comes_back_as_it_was_also_after_a_restart(url: str) -> None:
    question = Question(
        id=1,
        asker=DANA,
        place=Place(channel_id=CHANNEL, guild_id=None, bot_present=False),
        prompt="why?",
        images=(PICTURE,),
        file=replace(PICTURE, name="a.py"),
        quoted="q",
        quoted_author="Noam",
        model="gpt-4o",
        temperature=0.5,
        max_tokens=9,
        private=True,
    )
    record = AnswerRecord(
        question=question,
        state="running",
        updated_at=NOON,
        messages=((CHANNEL, 2), (CHANNEL, 3)),
        turn_id=1,
        interaction_token="secret",
    )
    async with Database.open(url) as database:
        await History(database).save_answer(record)
    async with Database.open(url) as database:
        assert await History(database).answer(1) == record
        assert await History(database).answer(2) is None


async def test_a_record_is_written_over_and_loses_its_token_when_the_answer_ends(history: History) -> None:
    await history.save_answer(replace(a_record(), interaction_token="secret"))
    ended = replace(a_record(state="done"), messages=((CHANNEL, 8),), turn_id=1)
    await history.save_answer(replace(ended, interaction_token="secret"))
    assert await history.answer(1) == ended


LONG_AGO = NOON - timedelta(days=365)


async def test_answers_that_were_running_are_found_after_a_restart(history: History) -> None:
    for record in (a_record(1, minute=2), a_record(2, state="done"), a_record(3, minute=1), a_record(4, minute=3)):
        await history.save_answer(record)
    assert [record.answer_id for record in await history.running_answers(2, since=LONG_AGO)] == [3, 1]
    since = NOON + timedelta(minutes=1)
    assert [record.answer_id for record in await history.running_answers(9, since=since)] == [1, 4]


@pytest.mark.parametrize(
    "damage",
    ["question = '{'", "question = '{\"new\": 1}'", "question = '[]'", "messages = '7'", "messages = '[[1]]'"],
)
async def test_a_running_answer_that_cannot_be_read_keeps_no_other_from_being_found(
    history: History, database: Database, damage: str
) -> None:
    await history.save_answer(a_record(1))
    await history.save_answer(a_record(2))
    await database.write(lambda tx: tx.execute(f"UPDATE answers SET {damage} WHERE answer_id = 1"))
    assert [record.answer_id for record in await history.running_answers(9, since=LONG_AGO)] == [2]


async def test_an_answer_that_was_forgotten_does_not_come_back_with_its_end(
    history: History, database: Database
) -> None:
    await history.save_answer(a_record(1))
    over = replace(a_record(1, state="done"), messages=((1, 2),), turn_id=1)
    assert await database.write(lambda tx: rows.end_answer(tx, over))
    assert await history.answer(1) == over
    await database.write(lambda tx: rows.delete_answer(tx, 1))
    assert not await database.write(lambda tx: rows.end_answer(tx, over))
    assert await history.answer(1) is None


async def test_messages_are_noted_of_an_answer_that_is_running_only(history: History, database: Database) -> None:
    for record in (a_record(1), a_record(2, state="done")):
        await history.save_answer(record)
    assert await database.write(lambda tx: rows.note_messages(tx, 1, [(CHANNEL, 8)]))
    assert not await database.write(lambda tx: rows.note_messages(tx, 2, [(CHANNEL, 8)]))
    noted = await history.answer(1)
    assert noted is not None
    assert noted.messages == ((CHANNEL, 8),)


async def test_old_records_go_except_of_running_answers(history: History, database: Database) -> None:
    for record in (a_record(1), a_record(2, state="done"), a_record(3, state="cut", minute=5)):
        await history.save_answer(record)
    assert await history.delete_answers_before(NOON + timedelta(minutes=5)) == 1
    assert await history.answer(2) is None
    assert await database.write(lambda tx: rows.delete_answer(tx, 3))
    assert not await database.write(lambda tx: rows.delete_answer(tx, 3))
    assert [record.answer_id for record in await history.running_answers(9, since=LONG_AGO)] == [1]


async def test_turn_and_record_are_stored_together_or_not_at_all(history: History, database: Database) -> None:
    async def end(tx: Tx) -> None:
        await rows.append_turn(tx, a_turn(1))
        await rows.save_answer(tx, replace(a_record(), state="nonsense"))  # type: ignore[arg-type]

    with pytest.raises(ConstraintBroken):
        await database.write(end)
    assert await ids(history) == []


async def test_a_turns_pictures_can_be_found_elsewhere_later(history: History, database: Database) -> None:
    await history.append_turn(replace(a_turn(1), asked=replace(a_turn(1).asked, images=(PICTURE,))))
    moved = replace(PICTURE, id=9, url="https://cdn.example/again.png?ex=2", message_id=10)
    assert await database.write(lambda tx: rows.set_images(tx, 1, (moved,)))
    kept = await history.turn(1)
    assert kept is not None
    assert kept == replace(a_turn(1), asked=replace(a_turn(1).asked, images=(moved,)))
    assert not await database.write(lambda tx: rows.set_images(tx, 2, (moved,)))


async def test_only_a_later_answer_to_the_same_turn_counts_as_one(history: History, database: Database) -> None:
    for answer_id, turn_id in ((1, 1), (5, 1), (6, 2)):
        await history.save_answer(replace(a_record(answer_id, state="done"), turn_id=turn_id))
    assert await database.read(lambda tx: rows.has_later_answer(tx, 1, 1))
    assert not await database.read(lambda tx: rows.has_later_answer(tx, 1, 5))
    assert not await database.read(lambda tx: rows.has_later_answer(tx, 2, 6))


async def test_turns_are_counted_by_memory_and_by_asker(history: History) -> None:
    for turn in (a_turn(1), a_turn(2, asker=NOAM), a_turn(3, key=MemoryKey.private(CHANNEL, DANA.id))):
        await history.append_turn(turn)
    assert await history.count_turns(SHARED) == 2
    assert await history.count_turns(SHARED, NOAM.id) == 1
    assert await history.count_turns(MemoryKey.shared(1)) == 0


@pytest.mark.parametrize(
    ("mode", "key"),
    [("shared", SHARED), ("personal", MemoryKey.personal(CHANNEL, DANA.id)), ("off", None)],
)
def test_a_channels_memory_follows_its_mode(mode: rows.Mode, key: MemoryKey | None) -> None:
    assert rows.channel_memory(CHANNEL, DANA.id, mode) == key


def test_a_memory_is_shared_or_private_or_neither() -> None:
    keys = (SHARED, MemoryKey.private(CHANNEL, 1), MemoryKey.personal(CHANNEL, 1))
    assert [(key.is_shared, key.is_private) for key in keys] == [(True, False), (False, True), (False, False)]
