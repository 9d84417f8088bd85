"""What people can do at the sandbox's clients, what they see, and what the bot is told of it."""

import asyncio
from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.discord import events
from sandbox.discord.cdn import Upload
from sandbox.discord.changes import Changes
from sandbox.discord.events import Event
from sandbox.discord.messages import Message
from sandbox.discord.people import ClientRefused, Person
from sandbox.discord.permissions import Permission
from sandbox.discord.refusals import Json
from sandbox.discord.rules import Draft
from sandbox.discord.world import World

ASK: Json = {
    "name": "ask",
    "description": "Ask",
    "options": [
        {"type": 3, "name": "prompt", "description": "x", "required": True, "max_length": 10},
        {"type": 3, "name": "model", "description": "x", "choices": [{"name": "One", "value": "one"}]},
        {"type": 10, "name": "temperature", "description": "x", "min_value": 0, "max_value": 2},
        {"type": 11, "name": "image", "description": "x"},
    ],
}
HISTORY: Json = {
    "name": "history",
    "description": "x",
    "options": [{"type": 1, "name": "show", "description": "x"}, {"type": 1, "name": "clear", "description": "x"}],
}


class Scene:
    def __init__(self) -> None:
        self.clock = Clock()
        self.world = World(self.clock)
        self.events: list[Event] = []
        self.guild = self.world.add_guild("Guild")
        self.channel = self.guild.add_text_channel("general")
        self.dana, self.eli = self.join("Dana"), self.join("Eli")
        self.world.commands.replace(None, [ASK, HISTORY, {"name": "Ask about this", "type": 3}])
        self.world.listeners.append(self.events.append)

    def join(self, name: str) -> Person:
        user = self.world.add_user(name)
        self.guild.join(user)
        return Person(self.world, user)

    def reply(self, **changes: Any) -> Message:
        visible_to = changes.pop("visible_to", None)
        return self.world.create_message(self.channel, self.world.bot, Draft(**changes), visible_to=visible_to)


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_a_slash_command_reaches_the_bot_alone_with_all_that_discord_tells(scene: Scene) -> None:
    interaction = await scene.dana.slash(scene.channel, "ask", prompt="hi", image=Upload("a.png", b"x"))
    [event] = scene.events
    data = event.data
    assert (event.name, event.user_ids) == (events.INTERACTION_CREATE, frozenset({scene.world.bot.id}))
    assert [option["name"] for option in data["data"]["options"]] == ["prompt", "image"]
    [attachment] = data["data"]["resolved"]["attachments"].values()
    assert (attachment["filename"], attachment["ephemeral"]) == ("a.png", True)
    assert data["member"]["user"]["id"] == str(scene.dana.user.id)
    assert data["authorizing_integration_owners"] == {"0": str(scene.guild.id)}
    assert (data["context"], data["attachment_size_limit"]) == (0, 10 * 1024 * 1024)
    assert data["token"] == interaction.token


async def test_a_sub_command_is_nested_as_discord_nests_it(scene: Scene) -> None:
    interaction = await scene.dana.slash(scene.channel, "history show")
    assert interaction.data["options"] == [{"name": "show", "type": 1, "options": []}]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prompt": "x" * 11},
        {"prompt": "   "},
        {"prompt": 5},
        {"prompt": "x", "model": "two"},
        {"prompt": "x", "temperature": 2.1},
        {"prompt": "x", "unknown": 1},
    ],
)
async def test_the_client_refuses_what_the_options_do_not_take(scene: Scene, options: dict[str, Any]) -> None:
    with pytest.raises(ClientRefused):
        await scene.dana.slash(scene.channel, "ask", **options)
    assert scene.events == []


async def test_an_altered_client_sends_what_it_likes(scene: Scene) -> None:
    interaction = await scene.dana.slash(scene.channel, "ask", tampered=True, prompt="x" * 50, model="two")
    assert [option["value"] for option in interaction.data["options"]] == ["x" * 50, "two"]


async def test_a_command_is_offered_by_place_installation_and_permission(scene: Scene) -> None:
    world, elsewhere = scene.world, scene.world.add_guild("Elsewhere", bot_present=False)
    elsewhere.join(scene.dana.user)
    there = elsewhere.add_text_channel("general")
    world.commands.replace(
        None,
        [
            ASK,
            {"name": "mine", "description": "x", "integration_types": [1]},
            {"name": "admin", "description": "x", "default_member_permissions": str(int(Permission.MANAGE_GUILD))},
            {"name": "guilds", "description": "x", "contexts": [0]},
            {"name": "adult", "description": "x", "nsfw": True},
        ],
    )

    def offered(channel: Any) -> set[str]:
        names = {command["name"] for command in world.commands.all()}
        return {name for name in names if scene.dana.offers(channel, name)}

    assert offered(scene.channel) == {"ask", "guilds"}
    assert offered(scene.guild.add_text_channel("late", nsfw=True)) == {"ask", "guilds", "adult"}
    assert offered(world.dm(scene.dana.user)) == {"ask", "admin", "adult"}
    assert offered(there) == set()
    scene.dana.user.has_installed_app = True
    assert offered(there) == {"mine"}
    admins = scene.guild.add_role("admins", permissions=Permission.MANAGE_GUILD)
    scene.guild.set_roles(scene.dana.user, [admins])
    assert "admin" in offered(scene.channel)


async def test_the_message_menu_carries_the_message_with_its_text(scene: Scene) -> None:
    message = await scene.eli.say(scene.channel, "look at this")
    interaction = await scene.dana.message_menu(scene.channel, "Ask about this", message)
    assert interaction.data["target_id"] == str(message.id)
    assert interaction.data["resolved"]["messages"][str(message.id)]["content"] == "look at this"


def stop_button(**changes: Any) -> Json:
    return {"type": 1, "components": [{"type": 2, "style": 2, "label": "Stop", "custom_id": "stop"} | changes]}


async def test_a_click_names_the_button_and_its_message(scene: Scene) -> None:
    message = scene.reply(content="x", components=[stop_button()])
    interaction = await scene.dana.click(message, label="Stop")
    assert interaction.data["custom_id"] == "stop"
    assert scene.world.interaction_payload(interaction)["message"]["id"] == str(message.id)


async def test_a_disabled_missing_or_unseen_button_cannot_be_clicked(scene: Scene) -> None:
    disabled = scene.reply(content="x", components=[stop_button(disabled=True)])
    hidden = scene.reply(content="x", components=[stop_button()], flags=64, visible_to=scene.eli.user)
    for message, label in ((disabled, "Stop"), (disabled, "Go"), (hidden, "Stop")):
        with pytest.raises(ClientRefused):
            await scene.dana.click(message, label=label)
    await scene.eli.click(hidden, label="Stop")


async def test_a_modal_is_submitted_in_its_own_shape_with_what_was_filled_in(scene: Scene) -> None:
    message = await scene.eli.say(scene.channel, "x")
    interaction = await scene.dana.message_menu(scene.channel, "Ask about this", message)
    field = {"type": 4, "id": 2, "style": 1, "custom_id": "q", "max_length": 5}
    label = {"type": 18, "id": 1, "label": "Question", "component": field}
    interaction.modal = {"title": "Ask", "custom_id": "m", "components": [label]}
    for bad in ({}, {"q": "x" * 6}, {"other": "x"}):
        with pytest.raises(ClientRefused):
            await scene.dana.submit_modal(interaction, bad)
    submitted = await scene.dana.submit_modal(interaction, {"q": "why"})
    [sent] = submitted.data["components"]
    assert sent["component"] == {"type": 4, "id": 2, "custom_id": "q", "value": "why"}


async def test_an_ephemeral_message_is_seen_by_one_person(scene: Scene) -> None:
    message = scene.reply(content="x", flags=64, visible_to=scene.dana.user)
    assert scene.dana.visible(scene.channel) == [message]
    assert scene.eli.visible(scene.channel) == []
    assert scene.events[-1].user_ids == frozenset({scene.dana.user.id})
    assert not scene.world.bot_receives(scene.events[-1])


async def test_what_concerns_the_bot_needs_no_content_intent(scene: Scene) -> None:
    mention = scene.world.bot.mention
    bots = scene.reply(content="mine")
    said = [
        await scene.dana.say(scene.channel, "private"),
        await scene.dana.say(scene.channel, f"{mention} hi"),
        await scene.dana.say(scene.channel, "pinged", reply_to=bots),
        await scene.dana.say(scene.channel, "not pinged", reply_to=bots, ping=False),
        await scene.dana.say(scene.world.dm(scene.dana.user), "direct"),
    ]
    needing = {event.data["content"] for event in scene.events if event.needs_content_intent}
    assert needing == {"private", "not pinged"}
    assert len(said) == 5


async def test_the_text_replied_to_is_empty_for_who_may_not_read_it(scene: Scene) -> None:
    private = await scene.eli.say(scene.channel, "private")
    await scene.dana.say(scene.channel, f"{scene.world.bot.mention} what?", reply_to=private)
    assert scene.events[-1].data["referenced_message"]["content"] == ""


async def test_the_bot_receives_nothing_from_where_it_cannot_see(scene: Scene) -> None:
    hidden = scene.guild.add_text_channel("hidden")
    hidden.set_overwrite(scene.world.bot, deny=Permission.VIEW_CHANNEL)
    elsewhere = scene.world.add_guild("Elsewhere", bot_present=False)
    elsewhere.join(scene.dana.user)
    for channel in (hidden, elsewhere.add_text_channel("general")):
        await scene.dana.say(channel, "x")
        assert not scene.world.bot_receives(scene.events[-1])


async def test_everyone_is_pinged_only_by_who_may(scene: Scene) -> None:
    message = await scene.dana.say(scene.channel, "@everyone")
    assert scene.eli.user in message.mentions_pinged
    scene.guild.set_permissions(scene.guild.everyone, scene.guild.everyone.permissions & ~Permission.MENTION_EVERYONE)
    assert (await scene.dana.say(scene.channel, "@everyone")).mentions_pinged == set()


async def test_moderators_delete_what_others_wrote(scene: Scene) -> None:
    message = scene.reply(content="x")
    with pytest.raises(ClientRefused):
        await scene.dana.delete(message)
    scene.channel.set_overwrite(scene.dana.user, allow=Permission.MANAGE_MESSAGES)
    await scene.dana.delete(message)
    assert message.deleted
    assert scene.events[-1].name == events.MESSAGE_DELETE


async def test_the_states_of_a_message_are_kept_with_their_times(scene: Scene) -> None:
    message = scene.reply(content="one")
    scene.clock.advance(5)
    scene.world.edit_message(message, Draft(content="two"))
    first, second = message.edits
    assert (first.content, second.content) == ("one", "two")
    assert second.time - first.time >= 5


async def test_ids_grow_and_carry_their_time(scene: Scene) -> None:
    ids = [scene.world.new_id() for _ in range(100)]
    assert ids == sorted(set(ids))
    scene.clock.advance(3600)
    assert (scene.world.new_id() >> 22) - (ids[-1] >> 22) >= 3_600_000


async def test_waiting_ends_with_the_change_that_makes_it_true() -> None:
    changes, seen = Changes(), list[int]()
    waiting = asyncio.create_task(changes.wait_until(lambda: len(seen) == 2, timeout_s=5))
    for number in range(2):
        await asyncio.sleep(0)
        assert not waiting.done()
        seen.append(number)
        changes.notify()
    assert await waiting


async def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(TimeoutError, match="the moon"):
        await Changes().wait_until(lambda: False, timeout_s=0.01, what="the moon")


def test_the_clock_is_never_set_back() -> None:
    clock = Clock(lambda: 100.0)
    clock.advance(5)
    assert clock.now() == 105
    with pytest.raises(ValueError, match="set back"):
        clock.advance(-1)
