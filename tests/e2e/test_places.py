"""Where a question can be asked: everywhere in a server, in direct messages, and where the bot is no member."""

import asyncio
from collections.abc import Callable

import pytest

from sandbox.discord.faults import Fault
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.people import Person
from sandbox.discord.permissions import Permission
from sandbox.discord.places import Channel
from sandbox.minitoolai.script import Script
from tests.e2e.house import House, labels, replies
from tests.e2e.reading import asked, assert_readable, footer_of, without_subtext

LONG = "\n\n".join(f"Paragraph {number}: " + "some more words " * 20 for number in range(20))


async def thread(house: House) -> Channel:
    return house.channel.add_thread("a thread", creator=house.noam.user)


async def private_thread(house: House) -> Channel:
    opened = house.channel.add_thread("among us", creator=house.dana.user, private=True)
    opened.thread_members.add(house.discord.world.bot.id)
    return opened


async def forum_post(house: House) -> Channel:
    return (await house.noam.post(house.guild.add_forum("questions"), "How?", "How does it work?")).channel


async def voice_text(house: House) -> Channel:
    return house.guild.add_voice_channel("Lounge")


async def direct_messages(house: House) -> Channel:
    return house.discord.world.dm(house.dana.user)


PLACES = [thread, private_thread, forum_post, voice_text, direct_messages]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
async def test_the_command_answers_in_every_kind_of_place(house: House, place: Callable[..., object]) -> None:
    channel: Channel = await place(house)  # type: ignore[misc]  # each of PLACES is asynchronous
    house.api.script(Script("From a slash command."), Script("From a mention."))
    first = await house.answer_to(await house.dana.slash(channel, "ask", prompt="Here?"))
    assert without_subtext(first.content) == "> Here?\nFrom a slash command."
    mention = house.discord.world.bot.mention
    second = await house.reply_in(channel, await house.dana.say(channel, f"{mention} And here?"))
    assert without_subtext(second.content) == "From a mention."
    assert "From a slash command." in asked(house.api.requests[-1].body), "the same place, the same memory"
    await house.dana.click(second, label="Delete")
    await house.discord.wait_until(lambda: second.deleted)


async def test_a_thread_remembers_apart_from_its_channel(house: House) -> None:
    await house.answer_to(await house.dana.slash(house.channel, "ask", prompt="In the channel"))
    await house.answer_to(await house.dana.slash(await thread(house), "ask", prompt="In the thread"))
    assert "In the channel" not in asked(house.api.requests[-1].body)


# Installed to a user, where the bot is no member


@pytest.fixture
def traveller(house: House) -> Person:
    """Somebody with the bot installed to them."""
    return house.discord.person(house.discord.world.add_user("Mira", has_installed_app=True))


@pytest.fixture
def elsewhere(house: House, traveller: Person) -> Channel:
    """A channel of a server that the bot is no member of."""
    guild = house.discord.world.add_guild("Elsewhere", bot_present=False)
    guild.join(traveller.user)
    return guild.add_text_channel("talk")


def assert_no_channel_route_used(house: House) -> None:
    assert not [each for each in house.discord.requests if each.template.startswith("/channels/")]


async def test_installed_to_a_user_it_answers_where_it_is_no_member(
    house: House, traveller: Person, elsewhere: Channel
) -> None:
    house.api.script(Script(LONG))
    interaction = await traveller.slash(elsewhere, "ask", prompt="At length")
    answer = await house.answer_to(interaction)
    assert len(replies(interaction)) > 2
    assert footer_of(answer).endswith("Mira's own memory")
    again = await house.answer_to(await traveller.click(answer, label="Regenerate"))
    pressed = await traveller.click(again, label="Delete")
    await house.discord.wait_until(lambda: again.deleted)
    assert pressed.followups == []
    pressed = await traveller.click(answer, label="Delete")
    told = await house.discord.wait_until(lambda: pressed.followups and pressed.followups[0])
    assert "I am no member here" in told.content
    assert_no_channel_route_used(house)


async def test_a_guest_whose_five_follow_ups_are_used_up_gives_the_rest_as_a_file(empty_house: House) -> None:
    world = empty_house.discord.world
    traveller = empty_house.discord.person(world.add_user("Mira", has_installed_app=True))
    guild = world.add_guild("Elsewhere", bot_present=False)
    guild.join(traveller.user)
    async with empty_house.running(MAX_MESSAGES="10"):
        empty_house.api.script(Script("\n\n".join([LONG] * 3)))
        interaction = await traveller.slash(guild.add_text_channel("talk"), "ask", prompt="At length")
        answer = await empty_house.answer_to(interaction, timeout_s=20)
    assert len(interaction.followups) == 5
    assert [attachment.filename for attachment in answer.attachments] == ["answer.md"]


async def test_what_one_member_asks_elsewhere_another_is_not_answered_from(
    house: House, traveller: Person, elsewhere: Channel
) -> None:
    assert elsewhere.guild is not None
    other = house.discord.world.add_user("Tal", has_installed_app=True)
    elsewhere.guild.join(other)
    await house.answer_to(await traveller.slash(elsewhere, "ask", prompt="My secret wish"))
    await house.answer_to(await house.discord.person(other).slash(elsewhere, "ask", prompt="Whose wish?"))
    assert "My secret wish" not in asked(house.api.requests[-1].body)


async def test_the_message_menu_works_where_it_is_no_member(
    house: House, traveller: Person, elsewhere: Channel
) -> None:
    message = await traveller.say(elsewhere, "A strange sentence")
    opened = await traveller.message_menu(elsewhere, "Ask about this", message)
    await opened.wait_for(lambda each: each.modal is not None)
    assert opened.modal is not None
    text_input = opened.modal["components"][0]["component"]["custom_id"]
    await house.answer_to(await traveller.submit_modal(opened, {text_input: "What does it mean?"}))
    assert "A strange sentence" in asked(house.api.requests[-1].body)
    assert_no_channel_route_used(house)


async def test_in_a_group_of_friends_it_answers_through_the_interaction_alone(house: House, traveller: Person) -> None:
    group = house.discord.world.add_group_dm([traveller.user, house.dana.user], "Friends")
    answer = await house.answer_to(await traveller.slash(group, "ask", prompt="Who pays?"))
    assert "Mira's own memory" in footer_of(answer)
    assert_no_channel_route_used(house)


async def test_between_two_friends_the_memory_is_the_askers_own(house: House, traveller: Person) -> None:
    between = house.discord.world.dm(traveller.user, house.dana.user)
    answer = await house.answer_to(await traveller.slash(between, "ask", prompt="Who pays?"))
    assert "Mira's own memory" in footer_of(answer)
    assert_no_channel_route_used(house)


# Where the bot may not write


def mute(house: House, channel: Channel) -> None:
    channel.set_overwrite(house.discord.world.bot, deny=Permission.SEND_MESSAGES | Permission.SEND_MESSAGES_IN_THREADS)


@pytest.mark.parametrize("place", [None, thread, forum_post, voice_text], ids=lambda p: p.__name__ if p else "channel")
async def test_a_mention_where_the_bot_may_not_write_is_answered_by_one_direct_message(
    house: House, place: Callable[..., object] | None
) -> None:
    channel: Channel = await place(house) if place else house.channel  # type: ignore[misc]  # as above
    mute(house, channel.parent if channel.is_thread and channel.parent else channel)
    mention = house.discord.world.bot.mention
    dm = house.discord.world.dm(house.dana.user)
    for number in range(3):
        await house.dana.say(channel, f"{mention} hello {number}")
    answer = await house.answer_to(await house.dana.slash(channel, "ask", prompt="And like this?"))
    assert without_subtext(answer.content), "the command needs no permission"
    (told,) = dm.messages.values()
    assert channel.mention in told.content
    assert "`/ask` works without them" in told.content
    assert len(house.api.requests) == 1
    assert not house.discord.refusals


async def test_who_takes_no_direct_messages_is_simply_not_told(house: House) -> None:
    mute(house, house.channel)
    house.dana.user.accepts_dms = False
    await house.dana.say(house.channel, f"{house.discord.world.bot.mention} hello")
    await house.answer_to(await house.noam.slash(house.channel, "ask", prompt="Fine?"))
    assert len(house.api.requests) == 1


@pytest.mark.parametrize("files_allowed", [True, False])
async def test_where_no_further_message_is_allowed_the_rest_comes_as_a_file_or_is_said_to_be_missing(
    house: House, *, files_allowed: bool
) -> None:
    gate = asyncio.Event()
    house.api.script(Script(["Some first words. ", LONG], stall_after=1, gate=gate))
    question = await house.dana.say(house.channel, f"{house.discord.world.bot.mention} At length")
    shown = await house.discord.wait_until(
        lambda: next((m for m in house.channel.messages.values() if m.reply_to is question), None)
    )
    if files_allowed:
        house.discord.faults.add(Fault(method="POST", template="/channels/…/messages", times=None, error_code=50013))
    else:
        mute(house, house.channel)  # Discord lets nobody attach who may not write
    gate.set()
    await house.ended(shown)
    assert shown.content.startswith("Some first words.")
    assert [each.filename for each in shown.attachments] == (["answer.md"] if files_allowed else [])
    assert ("⚠️ The rest is missing" in shown.content) is not files_allowed
    assert_readable(shown)


def first_reply(interaction: Interaction) -> Message:
    assert interaction.original is not None
    return interaction.original


async def test_where_outside_apps_may_not_speak_the_answer_is_for_the_asker_alone(
    house: House, traveller: Person, elsewhere: Channel
) -> None:
    assert elsewhere.guild is not None
    everyone = elsewhere.guild.everyone
    elsewhere.set_overwrite(everyone, deny=Permission.USE_EXTERNAL_APPS)
    house.api.script(Script(LONG))
    interaction = await traveller.slash(elsewhere, "ask", prompt="May I?")
    answer = await house.answer_to(interaction)
    assert all(message.ephemeral for message in replies(interaction))
    assert labels(answer) == ["Regenerate", "Delete"]
    await house.answer_to(await traveller.click(answer, label="Regenerate"))
    assert first_reply(interaction).ephemeral
