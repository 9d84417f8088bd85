"""Stop, Regenerate, Continue and Delete: who may press them, what they do, and that they outlive the process."""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bot.storage.snapshot import snapshot
from sandbox.discord.faults import Fault
from sandbox.discord.messages import Interaction, Message, ResponseType
from sandbox.discord.people import Person
from sandbox.discord.permissions import Permission
from sandbox.minitoolai.script import Received, Script, Tokens
from tests.e2e.accounting import database_url, until
from tests.e2e.house import House, labels, replies
from tests.e2e.reading import WRITING, asked, assert_readable, footer_of, without_subtext

LONG = "\n\n".join(f"Paragraph {number}: " + "some more words " * 20 for number in range(20))


@pytest.fixture
def moderator(house: House) -> Person:
    """Neither owner nor administrator: a member whose role may manage messages."""
    user = house.discord.world.add_user("Moderator")
    role = house.guild.add_role("Moderators", permissions=Permission.MANAGE_MESSAGES)
    house.guild.join(user, roles=[role])
    return house.discord.person(user)


async def answered(house: House, text: str = "An answer.", *, prompt: str = "A question", **options: object) -> Message:
    """The ended answer to a question of Dana's."""
    house.api.script(Script(text))
    return await house.answer_to(await house.dana.slash(house.channel, "ask", prompt=prompt, **options))


@asynccontextmanager
async def half_an_answer(house: House, **options: object) -> AsyncIterator[tuple[Message, Received]]:
    """Dana's answer with its first words shown; the API holds the rest back."""
    house.api.script(Script(["The beginning", " and the end."], stall_after=1, gate=asyncio.Event()))
    interaction = await house.dana.slash(house.channel, "ask", prompt="A long story", **options)
    shown = await house.discord.wait_until(
        lambda: interaction.original if interaction.original and interaction.original.content else None
    )
    yield shown, house.api.requests[-1]


async def until_noted(house: House, count: int) -> None:
    """Until so many answers are written down with the place where they stand."""

    async def noted() -> bool:
        async with snapshot(database_url(house)) as tx:
            return len(await tx.fetch_all("SELECT answer_id FROM answers WHERE messages <> '[]'")) == count

    await until(noted)


async def told(house: House, interaction: Interaction) -> str:
    """What only who pressed the button reads."""
    message = await house.discord.wait_until(
        lambda: next((m for m in interaction.messages if m is not interaction.message and m.content), None)
    )
    assert message.visible_to is interaction.user
    return message.content


async def remembered(house: House) -> str:
    """What the model is shown with the next question."""
    await house.answer_to(await house.dana.slash(house.channel, "ask", prompt="What was that?"))
    return asked(house.api.requests[-1].body)


# Stop


@pytest.mark.parametrize("who", ["asker", "moderator"])
async def test_stop_keeps_the_text_and_closes_the_api_connection(house: House, moderator: Person, who: str) -> None:
    async with half_an_answer(house) as (shown, received):
        await (house.dana if who == "asker" else moderator).click(shown, label="Stop")
        await house.ended(shown)
        async with asyncio.timeout(30):
            await received.ended.wait()
    assert received.client_left
    assert shown.content.startswith("> A long story\nThe beginning\n⏹️ Stopped.\n-# gpt-4o-mini")
    assert WRITING not in shown.content
    assert labels(shown) == ["Regenerate", "Delete"]
    assert "The beginning" in await remembered(house)


async def test_stop_before_the_first_word_leaves_no_unfinished_reply(house: House) -> None:
    house.api.script(Script("Too late.", gate=asyncio.Event()))
    interaction = await house.dana.slash(house.channel, "ask", prompt="Think")
    message = await house.discord.wait_until(
        lambda: interaction.original if interaction.original and labels(interaction.original) else None, timeout_s=30
    )
    assert "thinking…" in message.content
    await house.dana.click(message, label="Stop")
    await house.ended(message)
    assert message.content.startswith("⏹️ Stopped.")


async def test_stop_is_refused_to_others(house: House) -> None:
    async with half_an_answer(house) as (shown, received):
        pressed = await house.noam.click(shown, label="Stop")
        assert await told(house, pressed) == "⚠️ Only the person who asked, or a moderator, may do that."
        assert labels(shown) == ["Stop"]
        assert not received.ended.is_set()
        await house.dana.click(shown, label="Stop")
        await house.ended(shown)


async def test_a_stop_that_comes_after_the_end_changes_nothing(house: House) -> None:
    gate = asyncio.Event()
    house.api.script(Script(["The beginning", " and the end."], stall_after=1, gate=gate))
    interaction = await house.dana.slash(house.channel, "ask", prompt="A long story")
    shown = await house.discord.wait_until(
        lambda: interaction.original if interaction.original and interaction.original.content else None
    )
    as_pressed = copy.copy(shown)
    gate.set()
    ended = (await house.ended(shown)).content
    await until_placed(house, interaction)
    pressed = await house.dana.click(as_pressed, label="Stop", tampered=True)
    await house.discord.wait_until(lambda: pressed.response_type)
    assert pressed.response_type is ResponseType.DEFERRED_UPDATE
    assert shown.content == ended
    assert labels(shown) == ["Regenerate", "Delete"]


async def test_stop_closes_an_answer_that_a_crash_left_open(empty_house: House) -> None:
    house = empty_house
    async with house.process() as process, half_an_answer(house) as (shown, _):
        process.kill()
        await process.wait()
    assert labels(shown) == ["Stop"]
    # Were it not for this, the start itself would close it.
    house.discord.faults.add(Fault(method="GET", template="/webhooks/…", status=404, error_code=10015, times=None))
    async with house.running():
        refused = await house.noam.click(shown, label="Stop")
        assert "Only the person who asked" in await told(house, refused)
        await house.dana.click(shown, label="Stop")
        await house.ended(shown)
        assert shown.content == "> A long story\nThe beginning\n⚠️ Cut off: I was interrupted while writing this."
        assert labels(shown) == ["Regenerate", "Delete"]
        house.api.script(Script("The whole story."))
        again = await house.answer_to(await house.dana.click(shown, label="Regenerate"))
        assert without_subtext(again.content) == "> A long story\nThe whole story."


@pytest.mark.parametrize("private", [False, True], ids=["public", "private"])
async def test_a_start_closes_the_answers_that_a_crash_left_open(empty_house: House, private: bool) -> None:
    house = empty_house
    async with house.process() as process, half_an_answer(house, private=private) as (shown, _):
        process.kill()
        await process.wait()
    assert labels(shown) == ["Stop"]
    async with house.running():
        await house.ended(shown)
        heading = "" if private else "> A long story\n"
        assert shown.content == f"{heading}The beginning\n⚠️ Cut off: I was interrupted while writing this."
        assert labels(shown) == ["Regenerate", "Delete"]


async def test_a_start_closes_a_mentions_answer_and_one_whose_token_has_ended(
    empty_house: House,
) -> None:
    house = empty_house
    gate = asyncio.Event()
    house.api.script(*[Script(["The beginning", " and the end."], stall_after=1, gate=gate)] * 2)
    async with house.process() as process:
        question = await house.dana.say(house.channel, f"<@{house.discord.application_id}> A long story")
        interaction = await house.noam.slash(house.channel, "ask", prompt="Another story")

        def shown() -> list[Message]:
            said = [*(m for m in house.channel.messages.values() if m.reply_to is question), interaction.original]
            return [m for m in said if m is not None and "The beginning" in m.content]

        await house.discord.wait_until(lambda: len(shown()) == 2)
        await until_noted(house, 2)
        process.kill()
        await process.wait()
    gate.set()
    house.discord.clock.advance(16 * 60)
    async with house.running():
        for message in shown():
            await house.ended(message)
            assert message.content.endswith("The beginning\n⚠️ Cut off: I was interrupted while writing this.")


async def test_a_bot_that_is_stopped_ends_its_answers_with_the_reason(empty_house: House) -> None:
    house = empty_house
    async with house.running(), half_an_answer(house) as (shown, _):
        pass
    assert shown.content.startswith("> A long story\nThe beginning\n⚠️ Cut off: I am being restarted.")
    assert labels(shown) == ["Regenerate", "Delete"]


# Regenerate


async def test_regenerate_answers_anew_in_place_of_the_old_answer_in_the_memory(house: House) -> None:
    old = await answered(house, "The first answer.", prompt="A riddle", temperature=0.4, model="gpt-4o")
    house.api.script(Script("The second answer."))
    new = await house.answer_to(await house.dana.click(old, label="Regenerate"))
    body = house.api.requests[-1].body
    assert asked(body).endswith("A riddle")
    assert "The first answer." not in asked(body)
    assert (body["temperature"], body["model"]) == (0.4, "gpt-4o")
    assert without_subtext(new.content) == "> A riddle\nThe second answer."
    memory = await remembered(house)
    assert "The second answer." in memory
    assert "The first answer." not in memory
    assert memory.count("A riddle") == 1


async def test_regenerate_and_continue_are_for_the_asker_alone(house: House, moderator: Person) -> None:
    house.api.script(Script("It goes on", finish_reason="length"))
    answer = await house.answer_to(await house.dana.slash(house.channel, "ask", prompt="Go"))
    for label in ("Regenerate", "Continue"):
        for person in (house.noam, moderator):
            pressed = await person.click(answer, label=label)
            assert await told(house, pressed) == "⚠️ Only the person who asked may do that."
    assert len(house.api.requests) == 1


# Continue


async def test_continue_carries_the_answer_on_and_extends_its_turn(house: House) -> None:
    usage = Tokens(prompt_tokens=100, completion_tokens=10)
    house.api.script(Script("One, two,", finish_reason="length", usage=usage))
    first = await house.answer_to(await house.dana.slash(house.channel, "ask", prompt="Count", max_tokens=10))
    assert labels(first) == ["Continue", "Regenerate", "Delete"]
    assert "ended at the limit of 10 tokens" in footer_of(first)
    house.api.script(Script(" three."))
    more = await house.answer_to(await house.dana.click(first, label="Continue"))
    request = house.api.requests[-1].body
    assert "One, two," in asked(request)
    assert "Continue your last answer" in asked(request)
    assert without_subtext(more.content) == "three."
    assert "Continue" not in labels(more)
    memory = await remembered(house)
    assert "One, two, three." in memory
    assert "Continue your last answer" not in memory


# Delete


@pytest.mark.parametrize("who", ["asker", "moderator"])
async def test_delete_removes_every_message_of_the_answer_and_its_turn(
    house: House, moderator: Person, who: str
) -> None:
    house.api.script(Script(LONG))
    interaction = await house.dana.slash(house.channel, "ask", prompt="At length")
    answer = await house.answer_to(interaction)
    assert len(replies(interaction)) > 2
    await (house.dana if who == "asker" else moderator).click(answer, label="Delete")
    await house.discord.wait_until(lambda: all(message.deleted for message in replies(interaction)))
    assert "At length" not in await remembered(house)


async def test_delete_is_refused_to_others(house: House) -> None:
    answer = await answered(house)
    pressed = await house.noam.click(answer, label="Delete")
    assert await told(house, pressed) == "⚠️ Only the person who asked, or a moderator, may do that."
    assert not answer.deleted


async def test_delete_removes_the_other_messages_where_the_last_is_gone_already(house: House) -> None:
    house.api.script(Script(LONG))
    interaction = await house.dana.slash(house.channel, "ask", prompt="At length")
    last = await house.answer_to(interaction)
    await house.admin.delete(last)
    pressed = await house.dana.click(last, label="Delete", tampered=True)
    await house.discord.wait_until(lambda: all(message.deleted for message in replies(interaction)))
    assert pressed.followups == []


async def test_delete_of_an_old_answer_keeps_the_turn_that_a_newer_one_took_over(house: House) -> None:
    old = await answered(house, "The first answer.", prompt="A riddle")
    house.api.script(Script("The second answer."))
    await house.answer_to(await house.dana.click(old, label="Regenerate"))
    await house.dana.click(old, label="Delete")
    await house.discord.wait_until(lambda: old.deleted)
    assert "The second answer." in await remembered(house)


# After a restart, and in private


async def test_every_button_works_after_a_restart(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        house.api.script(Script("One, two,", finish_reason="length"))
        first = await house.answer_to(await house.dana.slash(house.channel, "ask", prompt="Count"))
    async with house.running():
        house.api.script(Script(" three."), Script("All of them."))
        more = await house.answer_to(await house.dana.click(first, label="Continue"))
        again = await house.answer_to(await house.dana.click(more, label="Regenerate"))
        assert without_subtext(again.content) == "> Count\nAll of them."
    async with house.running():
        for message in (first, more, again):
            await house.dana.click(message, label="Delete")
            await house.discord.wait_until(lambda message=message: message.deleted)
        memory = await remembered(house)
        assert "Count" not in memory


async def test_a_button_of_an_answer_that_is_not_known_any_more_says_so(house: House) -> None:
    answer = await answered(house)
    await house.dana.click(answer, label="Delete")
    await house.discord.wait_until(lambda: answer.deleted)
    for label in ("Regenerate", "Delete"):
        pressed = await house.dana.click(answer, label=label, tampered=True)
        assert "I no longer know this answer" in await told(house, pressed)


async def test_the_buttons_of_a_private_answer_work_in_private(house: House) -> None:
    house.api.script(Script(LONG, finish_reason="length"))
    interaction = await house.dana.slash(house.channel, "ask", prompt="A secret", private=True)
    first = await house.answer_to(interaction)
    assert len(replies(interaction)) > 2
    assert all(message.ephemeral for message in replies(interaction))
    for label in ("Continue", "Regenerate"):
        pressed = await house.dana.click(first, label=label)
        assert (await house.answer_to(pressed)).visible_to is house.dana.user
        assert pressed.response_type is ResponseType.DEFERRED_MESSAGE
    pressed = await house.dana.click(first, label="Delete")
    await house.discord.wait_until(lambda: first.deleted)
    assert "dismiss" in await told(house, pressed)
    assert "A secret" not in await remembered(house)


async def test_code_that_is_carried_on_stands_alone_in_every_state(house: House) -> None:
    house.api.script(Script("```python\nprint(1)\n", finish_reason="length"))
    first = await house.answer_to(await house.dana.slash(house.channel, "ask", prompt="Code"))
    house.api.script(Script("print(2)\n```\nDone."))
    more = await house.answer_to(await house.dana.click(first, label="Continue"))
    assert without_subtext(first.content) == "> Code\n```python\nprint(1)\n```"
    assert without_subtext(more.content) == "```python\nprint(2)\n```\nDone."
    assert "print(1)\nprint(2)\n```\nDone." in await remembered(house)
    assert_readable(first)
    assert_readable(more)


# Made-up buttons


@pytest.mark.parametrize("action", ["stop", "again", "delete"])
async def test_a_made_up_button_reaches_no_answer_of_another_place(house: House, action: str) -> None:
    other_guild = house.discord.world.add_guild("Others", owner=house.noam.user)
    other_guild.join(house.dana.user)
    elsewhere = other_guild.add_text_channel("elsewhere")
    house.api.script(Script("Not here."))
    theirs = await house.answer_to(await house.noam.slash(elsewhere, "ask", prompt="Mine"))
    async with half_an_answer(house) as (shown, received):
        answer_id = shown.buttons()[0]["custom_id"].rpartition(":")[2]
        made_up = copy.copy(theirs)
        made_up.components = with_custom_id(theirs.components, f"ask:{action}:{answer_id}")
        for person in (house.noam, house.dana):
            pressed = await person.click(made_up, custom_id=f"ask:{action}:{answer_id}", tampered=True)
            assert "I no longer know this answer" in await told(house, pressed)
        assert not received.client_left
        await house.dana.click(shown, label="Stop")
        await house.ended(shown)


async def test_a_made_up_continue_of_an_answer_that_is_not_remembered_asks_nothing(house: House) -> None:
    await told(house, await house.admin.slash(house.channel, "history mode", mode="off"))
    answer = await answered(house)
    assert labels(answer) == ["Regenerate", "Delete"]
    custom_id = answer.buttons()[0]["custom_id"].replace(":again:", ":more:")
    made_up = copy.copy(answer)
    made_up.components = with_custom_id(answer.components, custom_id)
    pressed = await house.dana.click(made_up, custom_id=custom_id, tampered=True)
    reply = await house.discord.wait_until(lambda: next((m for m in replies(pressed) if m.content), None))
    assert "I no longer know this answer" in reply.content
    assert len(house.api.requests) == 1


@pytest.mark.parametrize("action", ["stop", "again", "more", "delete"])
async def test_a_number_that_no_id_can_have_is_an_unknown_answer(house: House, action: str) -> None:
    reply = await house.answer_to(await house.dana.slash(house.channel, "ask", prompt="Mine"))
    made_up = copy.copy(reply)
    custom_id = f"ask:{action}:{'9' * 20}"
    made_up.components = with_custom_id(reply.components, custom_id)
    pressed = await house.dana.click(made_up, custom_id=custom_id, tampered=True)
    assert "I no longer know this answer" in await told(house, pressed)


def with_custom_id(rows: list[dict[str, Any]], custom_id: str) -> list[dict[str, Any]]:
    """A row with one button, like the first of `rows`, that sends `custom_id`."""
    return [{**rows[0], "components": [{**rows[0]["components"][0], "custom_id": custom_id}]}]


async def until_placed(house: House, interaction: Interaction) -> None:
    """Until it is written down where the answer stands, which is just after its last edit."""
    assert house.bot is not None
    await house.bot.services.answers.record_for(interaction.id, by=interaction.user.id, at=interaction.channel.id)
