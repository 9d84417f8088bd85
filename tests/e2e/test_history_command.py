"""`/history`: what is remembered, who may forget it, and who decides how it is kept."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from bot.answers.history import Asked, MemoryKey, Turn
from bot.answers.question import Asker, AttachmentRef, Place
from bot.answers.window import Window
from bot.money import NanoDollars
from bot.storage.snapshot import snapshot
from cogs.history import CONFIRM_S, KEPT_INSTEAD, Memory, as_markdown, listed, overview
from sandbox.discord.cdn import Upload
from sandbox.discord.faults import Hold
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.people import Person
from sandbox.discord.permissions import Permission
from sandbox.minitoolai.script import Script
from tests.e2e.accounting import USAGE, USED_NANO, books_are_right, charged, database_url, until
from tests.e2e.conversing import ask, told, turns
from tests.e2e.house import House, labels
from tests.privacy.archive import mentions

PRIVATE = "my private one"


async def command(house: House, name: str, *, by: Person | None = None, **options: object) -> Message:
    """What `/history name` says, which only its asker sees."""
    interaction = await (by or house.dana).slash(house.channel, f"history {name}", **options)
    message = await told(house, interaction)
    assert message.visible_to is interaction.user
    return message


async def pressed(house: House, message: Message, label: str, *, by: Person | None = None) -> str:
    """What a question for confirmation turns into."""
    before = message.content
    await (by or house.dana).click(message, label=label)
    await house.discord.wait_until(lambda: message.content != before)
    assert labels(message) == []
    return message.content


def exported(message: Message) -> str:
    [file] = message.attachments
    content = message.channel.world.cdn.content(file)
    assert content is not None
    return content.decode()


@pytest.fixture
def moderator(house: House) -> Person:
    """A member whose role may manage messages, and nothing else that members may not."""
    user = house.discord.world.add_user("Mona")
    house.guild.join(user, roles=[house.guild.add_role("Moderators", permissions=Permission.MANAGE_MESSAGES)])
    return house.discord.person(user)


async def test_show_lists_the_turns_and_how_full_the_budget_is(house: House) -> None:
    await ask(house, "What is the *capital* of France?")
    await ask(house, "And of Spain?", by=house.noam)
    text = (await command(house, "show")).content
    title, count, meter, first, second = text.split("\n")
    assert title == "**The shared memory of this channel** (everyone in this channel shares one conversation)"
    assert count == "2 turns remembered; all go with the next question:"
    assert meter.startswith("▰▱")
    assert meter.endswith("of 6,000 tokens")
    assert first.endswith(r"**Dana**: What is the \*capital\* of France?")
    assert second.endswith("**Noam**: And of Spain?")


async def test_show_says_where_nothing_is_remembered(house: House) -> None:
    assert (await command(house, "show")).content.endswith("\nNothing is remembered yet.")


async def test_show_fits_one_message_whatever_was_asked(house: House) -> None:
    for number in range(12):
        await ask(house, f"{number} " + "_*`" * 200)
    text = (await command(house, "show")).content
    assert "12 turns remembered" in text
    assert text.endswith("older; `/history export` has them all")


async def test_show_of_a_private_memory_is_of_private_answers_only(house: House) -> None:
    await ask(house, "A secret", private=True)
    await ask(house, "For all")
    mine = (await command(house, "show", which=PRIVATE)).content
    assert "**Your private memory in this channel** (of answers that only you saw)" in mine
    assert "A secret" in mine
    assert "For all" not in mine
    assert "A secret" not in (await command(house, "show")).content
    assert "Nothing is remembered yet" in (await command(house, "show", by=house.noam, which=PRIVATE)).content


async def test_show_says_that_memory_is_off(house: House) -> None:
    await command(house, "mode", by=house.admin, mode="off")
    assert (await command(house, "show")).content == "**No memory in this channel**: it is switched off."


async def test_a_member_clears_only_their_own_part_of_a_shared_memory(house: House) -> None:
    await ask(house, "Mine", by=house.dana)
    await ask(house, "Not mine", by=house.noam)
    question = await command(house, "clear")
    assert question.content == (
        "Forget your part of **the shared memory of this channel**, 1 turn? There is no way back."
    )
    assert await pressed(house, question, "Forget") == "Forgotten: 1 turn."
    assert [turn.asked.prompt for turn in await turns(house)] == ["Not mine"]


async def test_a_moderator_clears_all_of_a_shared_memory(house: House, moderator: Person) -> None:
    await ask(house, "Dana's", by=house.dana)
    await ask(house, "Noam's", by=house.noam)
    question = await command(house, "clear", by=moderator)
    assert "2 turns" in question.content
    assert len(await turns(house)) == 2
    assert await pressed(house, question, "Forget", by=moderator) == "Forgotten: 2 turns."
    assert await turns(house) == ()


async def test_nothing_is_forgotten_that_was_not_confirmed(house: House) -> None:
    await ask(house, "To be kept")
    assert await pressed(house, await command(house, "clear"), "Keep") == "Kept."
    assert len(await turns(house)) == 1


async def test_a_confirmation_that_comes_too_late_forgets_nothing_and_loses_its_buttons(house: House) -> None:
    await ask(house, "To be kept")
    question = await command(house, "clear")
    house.discord.clock.advance(CONFIRM_S + 1)
    assert await pressed(house, question, "Forget") == KEPT_INSTEAD
    assert len(await turns(house)) == 1


async def test_an_empty_memory_has_nothing_to_forget_undo_or_export(house: House) -> None:
    await ask(house, "Somebody else's", by=house.noam)
    assert (await command(house, "clear")).content == "There is nothing to forget."
    assert (await command(house, "undo")).content == "There is nothing to forget."
    assert (await command(house, "export", which=PRIVATE)).content == "There is nothing to export."


async def test_clearing_the_private_memory_leaves_the_shared_one(house: House) -> None:
    await ask(house, "A secret", private=True)
    await ask(house, "For all")
    await pressed(house, await command(house, "clear", which=PRIVATE), "Forget")
    assert await turns(house, MemoryKey.private(house.channel.id, house.dana.user.id)) == ()
    assert len(await turns(house)) == 1


MARKER = "swordfish"
UNKNOWN = "I no longer know this answer"


async def said_to(house: House, pressed: Interaction) -> str:
    """What a press is answered with, which only who pressed reads."""
    message = await house.discord.wait_until(
        lambda: next((m for m in pressed.messages if m is not pressed.message and m.content), None)
    )
    assert message.visible_to is pressed.user
    return message.content


async def assert_forgotten(house: House, *answers: Message) -> None:
    """Their buttons repeat nothing, no row has the words, and nor, once the log has been emptied, has the file."""
    asked = len(house.api.requests)
    for answer in answers:
        for label in labels(answer):
            if label != "Delete":
                assert UNKNOWN in await said_to(house, await house.dana.click(answer, label=label))
    assert len(house.api.requests) == asked
    async with snapshot(database_url(house)) as tx:
        assert await mentions(tx, needles=[MARKER]) == []
    files = [house.folder / name for name in ("bot.db", "bot.db-wal")]

    async def clean() -> bool:
        return all(MARKER.encode() not in path.read_bytes() for path in files)

    await until(clean)


@pytest.mark.parametrize("which", ["this channel's", PRIVATE])
async def test_what_was_cleared_cannot_be_repeated_and_its_words_are_on_no_disk(house: House, which: str) -> None:
    private = which == PRIVATE
    cut = Script(f"{MARKER} and", finish_reason="length")
    first = await ask(house, f"Say {MARKER}", answer=cut, private=private, file=Upload(name="a.txt", content=b"ok"))
    house.api.script(Script("", status=500))
    failed = await house.answer_to(await house.dana.click(first, label="Regenerate"))
    assert labels(first) == ["Continue", "Regenerate", "Delete"]
    assert await pressed(house, await command(house, "clear", which=which), "Forget") == "Forgotten: 1 turn."
    await assert_forgotten(house, first, failed)
    for answer in (first, failed):
        await house.dana.click(answer, label="Delete")
        await house.discord.wait_until(lambda answer=answer: answer.deleted)
    await books_are_right(house)


async def test_what_failed_before_it_was_answered_is_forgotten_with_the_answers_turn(house: House) -> None:
    """It was no turn's own; the turn that came of asking again has the same words, so it goes with that one."""
    first = await ask(house, f"Say {MARKER}", answer=Script("", status=500))
    house.api.script(Script("", status=500))
    second = await house.answer_to(await house.dana.click(first, label="Regenerate"))
    third = await house.answer_to(await house.dana.click(second, label="Regenerate"))
    assert len(await turns(house)) == 1
    assert await pressed(house, await command(house, "clear"), "Forget") == "Forgotten: 1 turn."
    await assert_forgotten(house, first, second, third)


async def test_what_was_undone_cannot_be_repeated(house: House) -> None:
    kept = await ask(house, "Say something else")
    undone = await ask(house, f"Say {MARKER}", answer=MARKER)
    await command(house, "undo")
    await assert_forgotten(house, undone)
    again = await house.answer_to(await house.dana.click(kept, label="Regenerate"))
    assert "Say something else" in again.content


async def test_what_another_asked_can_still_be_repeated_after_a_member_cleared_their_part(house: House) -> None:
    await ask(house, "Mine", by=house.dana)
    theirs = await ask(house, "Not mine", by=house.noam)
    await pressed(house, await command(house, "clear"), "Forget")
    await house.answer_to(await house.noam.click(theirs, label="Regenerate"))
    assert [turn.asked.prompt for turn in await turns(house)] == ["Not mine"]


async def test_an_answer_under_way_to_what_is_cleared_is_shown_and_charged_and_not_repeated_after(house: House) -> None:
    first = await ask(house, f"Say {MARKER}", answer=MARKER)
    gate = asyncio.Event()
    house.api.script(Script([MARKER, " again"], stall_after=1, gate=gate, usage=USAGE))
    again = await house.dana.click(first, label="Regenerate")
    await house.discord.wait_until(lambda: len(house.api.requests) == 2)
    await pressed(house, await command(house, "clear"), "Forget")
    gate.set()
    second = await house.answer_to(again)
    assert f"{MARKER} again" in second.content
    entry = await charged(house, again.id)
    assert (entry.reason, entry.user_nano) == ("finished", USED_NANO)
    assert await turns(house) == ()
    await assert_forgotten(house, first, second)


async def test_what_is_forgotten_between_the_press_and_the_answer_is_not_asked_again(house: House) -> None:
    first = await ask(house, f"Say {MARKER}", answer=MARKER)
    hold = house.discord.faults.hold(Hold(method="POST", template="/interactions/…/callback", answered=True))
    again = await house.dana.click(first, label="Regenerate")
    async with asyncio.timeout(30):
        await hold.reached.wait()
    assert house.bot is not None
    await house.bot.services.history.clear(MemoryKey.shared(house.channel.id))
    hold.let_go()
    assert UNKNOWN in (await told(house, again)).content
    assert len(house.api.requests) == 1
    await books_are_right(house)


async def test_undo_forgets_a_members_own_last_turn(house: House) -> None:
    await ask(house, "First", by=house.dana)
    await ask(house, "Second", by=house.dana)
    await ask(house, "Noam's", by=house.noam)
    said = (await command(house, "undo")).content
    assert said.startswith("Forgotten:\n- ")
    assert said.endswith("**Dana**: Second")
    assert [turn.asked.prompt for turn in await turns(house)] == ["First", "Noam's"]


async def test_undo_forgets_the_last_turn_of_all_for_a_moderator(house: House, moderator: Person) -> None:
    await ask(house, "Dana's", by=house.dana)
    await ask(house, "Noam's", by=house.noam)
    assert "Noam" in (await command(house, "undo", by=moderator)).content
    assert [turn.asked.prompt for turn in await turns(house)] == ["Dana's"]


async def test_export_is_markdown_for_people(house: House) -> None:
    await ask(house, "What is two and two?", answer="**Four**.")
    await ask(house, "Sure?", answer="Yes.", by=house.noam)
    message = await command(house, "export")
    assert message.content == "**The shared memory of this channel**: 2 turns."
    assert message.attachments[0].filename == "history.md"
    text = exported(message)
    places = [text.index(part) for part in ("Dana", "What is two and two?", "**Four**.", "Noam", "Sure?", "Yes.")]
    assert places == sorted(places)


async def test_export_is_json_for_programs(house: House) -> None:
    await ask(house, "Grüße 👋", answer="Hallo!")
    message = await command(house, "export", form="JSON")
    assert message.attachments[0].filename == "history.json"
    [turn] = json.loads(exported(message))["turns"]
    assert (turn["asker_id"], turn["asker_name"]) == (str(house.dana.user.id), "Dana")
    assert (turn["prompt"], turn["answer"], turn["model"]) == ("Grüße 👋", "Hallo!", "gpt-4o-mini")
    assert turn["complete"] is True


async def test_only_who_manages_the_channel_chooses_its_mode(house: House, moderator: Person) -> None:
    for member in (house.dana, moderator):
        said = (await command(house, "mode", by=member, mode="off")).content
        assert said == "⚠️ Only members who can manage this channel may do that."
    assert house.bot is not None
    assert await house.bot.services.history.mode_choice(house.channel.id) is None
    role = house.guild.add_role("Stewards", permissions=Permission.MANAGE_CHANNELS)
    house.guild.set_roles(house.noam.user, [role])
    said = (await command(house, "mode", by=house.noam, mode="personal")).content
    assert said.startswith("From now on in this channel: **personal**, everyone has a conversation of their own.")
    assert (await command(house, "show")).content.startswith("**Your own memory in this channel**")


async def test_help_names_every_command_there_is(house: House) -> None:
    interaction = await house.dana.slash(house.channel, "help")
    text = (await told(house, interaction)).content
    for name in ("/ask", "/history show", "/history undo", "/history clear", "/history export", "/history mode"):
        assert name in text
    assert "Ask about this" in text


async def test_a_memory_that_is_too_large_to_hold_is_not_read_for_an_export(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert house.bot is not None
    await ask(house, "What is in it?", file=Upload(name="long.txt", content=b"word " * 30_000))
    monkeypatch.setattr(house.bot.extensions["cogs.history"], "EXPORTED_LENGTH", 149_999)
    read: list[object] = []
    monkeypatch.setattr(house.bot.services.history, "newest_turns", read.append)
    assert (await command(house, "export")).content.startswith(
        "That memory is 0.2 MB, more than Discord lets me upload"
    )
    assert read == []


async def test_a_memory_that_discord_would_not_take_as_a_file_is_not_sent(house: House) -> None:
    await ask(house, "Tell me all", answer="word " * 100)
    house.guild.upload_limit_bytes = 500
    message = await command(house, "export")
    assert message.content == (
        "That memory is 0.0 MB, more than Discord lets me upload here. A moderator can `/history clear` it."
    )
    assert message.attachments == []
    house.guild.upload_limit_bytes = 1_000
    assert "word word" in exported(await command(house, "export"))


PLACE = Place(channel_id=5, guild_id=7)
SHARED = Memory(place=PLACE, mode="shared", key=MemoryKey.shared(5))
PICTURE = AttachmentRef(id=1, name="map.png", url="https://cdn.example/map.png", size_bytes=3)


def turn(asked: Asked, *, complete: bool = True) -> Turn:
    """One that was asked and answered at noon."""
    return Turn(
        question_id=1,
        key=MemoryKey.shared(5),
        guild_id=7,
        asked_at=datetime(2026, 10, 22, 12, tzinfo=UTC),
        asked=asked,
        answer="A **desert**.",
        model="gpt-4o",
        prompt_tokens=1,
        completion_tokens=1,
        cost_nano=NanoDollars(1),
        finish_reason="stop" if complete else None,
        complete=complete,
    )


def test_a_turn_is_listed_with_what_came_with_its_question() -> None:
    asked = Asked(asker=Asker(id=1, name="D_a"), prompt="Where?", images=(PICTURE,) * 2, file_name="a_b_.txt")
    assert listed(turn(asked)).endswith(r" **D\_a**: Where? (2 🖼️, 📄 a\_b\_.txt)")


def test_an_export_for_people_has_what_was_quoted_and_attached_and_says_what_was_cut_off() -> None:
    dana = Asker(id=1, name="Dana")
    asked = Asked(asker=dana, prompt="Where?", images=(PICTURE,), file_name="notes.txt", quoted="two\nlines")
    plainly = turn(Asked(asker=dana, prompt="And then?"))
    assert as_markdown(SHARED, [turn(asked, complete=False), plainly]) == (
        "# The shared memory of this channel\n\n"
        "## Dana, 2026-10-22 12:00 UTC\n\n> two\n> lines\n\nWhere?\n\n*Picture: map.png*\n\n*File: notes.txt*\n\n"
        "### gpt-4o\n\nA **desert**.\n\n*(not complete)*\n\n"
        "## Dana, 2026-10-22 12:00 UTC\n\nAnd then?\n\n### gpt-4o\n\nA **desert**.\n"
    )


@pytest.mark.parametrize(
    ("sent", "held", "words"),
    [
        (0, 3, "3 turns remembered; none goes with the next question:"),
        (1, 3, "3 turns remembered; the newest goes with the next question:"),
        (2, 3, "3 turns remembered; the newest 2 go with the next question:"),
        (3, 3, "3 turns remembered; all go with the next question:"),
        (1, 1, "1 turn remembered; it goes with the next question:"),
    ],
)
def test_show_says_how_many_turns_go_with_the_next_question(sent: int, held: int, words: str) -> None:
    turns_held = [turn(Asked(asker=Asker(id=1, name="Dana"), prompt="Where?"))] * held
    window = Window(turns=tuple(turns_held[held - sent :]), tokens=10 * sent, dropped=held - sent)
    assert overview(SHARED, turns_held, held=held, sent=window, limit_tokens=100).splitlines()[1] == words
