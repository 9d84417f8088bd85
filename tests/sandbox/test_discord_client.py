"""The real discord.py client lives on the loopback Discord."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import discord
import pytest
import yarl
from discord import app_commands

from sandbox.discord.cdn import Upload
from sandbox.discord.openapi import find_document
from sandbox.discord.permissions import EVERYONE_BY_DEFAULT, Permission
from sandbox.discord.server import DiscordServer


class StopView(discord.ui.View):
    def __init__(self) -> None:
        super().__init__(timeout=None)

    @discord.ui.button(label="Stop", custom_id="stop")
    async def stop_answer(self, interaction: discord.Interaction, _: discord.ui.Button["StopView"]) -> None:
        await interaction.response.edit_message(content="stopped", view=None)


class QuestionModal(discord.ui.Modal, title="Ask about this"):
    def __init__(self, quoted: str) -> None:
        super().__init__(custom_id="question")
        self.quoted = quoted
        self.question = discord.ui.TextInput[QuestionModal](custom_id="q")
        self.add_item(discord.ui.Label[QuestionModal](text="Question", component=self.question))

    async def on_submit(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_message(f"{self.question.value} {self.quoted}", ephemeral=True)


class Bot(discord.AutoShardedClient):
    def __init__(self) -> None:
        # It waits that long for guilds that might still come before it calls itself ready.
        super().__init__(intents=discord.Intents.default(), max_messages=None, guild_ready_timeout=0.05)
        self.tree = app_commands.CommandTree(self)
        self.heard: list[tuple[str, str]] = []

    async def setup_hook(self) -> None:
        self.tree.add_command(ask)
        self.tree.add_command(about)
        await self.tree.sync()

    async def on_message(self, message: discord.Message) -> None:
        self.heard.append((message.author.name, message.content))
        if self.user in message.mentions and message.author != self.user:
            await message.reply("pong")


@app_commands.command(description="Ask")
async def ask(interaction: discord.Interaction, prompt: str, image: discord.Attachment | None = None) -> None:
    await interaction.response.defer()
    content = (await image.read()).decode() if image else "no image"
    file = discord.File(io.BytesIO(b"whole answer"), "answer.md")
    await interaction.edit_original_response(content=f"{prompt}, {content}", view=StopView(), attachments=[file])
    await interaction.followup.send("more", ephemeral=True)


@app_commands.context_menu(name="Ask about this")
async def about(interaction: discord.Interaction, message: discord.Message) -> None:
    await interaction.response.send_modal(QuestionModal(message.content))


@pytest.fixture
def _restored_addresses() -> Iterator[None]:
    base, gateway = discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
    yield
    discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = base, gateway


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer(openapi_path=find_document(Path(__file__).parents[2])) as server:
        yield server


@pytest.fixture
async def bot(server: DiscordServer, _restored_addresses: None) -> AsyncIterator[Bot]:
    discord.http.Route.BASE = server.api_url
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(server.gateway_url)
    guild = server.world.add_guild("Guild")
    guild.add_text_channel("general")
    client = Bot()
    running = asyncio.create_task(client.start(server.bot_token))
    async with asyncio.timeout(10):
        await server.gateway.wait_ready(10)
        await client.wait_until_ready()
    yield client
    await client.close()
    await running


async def test_a_deferred_command_is_filled_edited_and_followed_up(server: DiscordServer, bot: Bot) -> None:
    [guild] = server.world.guilds_of_bot()
    [channel] = guild.channels.values()
    user = server.world.add_user("Dana")
    guild.join(user)
    dana = server.person(user)
    interaction = await dana.slash(channel, "ask", prompt="hi", image=Upload("a.png", b"bytes"))
    assert await interaction.acknowledged == 5
    reply = interaction.original
    assert reply is not None
    await server.settled(reply, contains="hi, bytes")
    assert [attachment.filename for attachment in reply.attachments] == ["answer.md"]
    await interaction.wait_for(lambda it: it.followups)
    assert interaction.followups[0].ephemeral
    await (await dana.click(reply, label="Stop")).acknowledged
    assert ([state.content for state in reply.edits], reply.components) == (["", "hi, bytes", "stopped"], [])
    assert list(server.refusals) == []
    assert server.problems == []


async def test_the_message_menu_opens_a_modal_that_is_answered(server: DiscordServer, bot: Bot) -> None:
    [guild] = server.world.guilds_of_bot()
    [channel] = guild.channels.values()
    user = server.world.add_user("Dana")
    guild.join(user)
    dana = server.person(user)
    message = await dana.say(channel, "this")
    interaction = await dana.message_menu(channel, "Ask about this", message)
    await interaction.wait_for(lambda it: it.modal)
    submitted = await dana.submit_modal(interaction, {"q": "what is"})
    await submitted.acknowledged
    assert submitted.original is not None
    assert (submitted.original.content, submitted.original.ephemeral) == ("what is this", True)
    assert server.problems == []


async def test_the_bot_hears_mentions_everywhere_and_else_no_text(server: DiscordServer, bot: Bot) -> None:
    [guild] = server.world.guilds_of_bot()
    [channel] = guild.channels.values()
    user = server.world.add_user("Dana")
    guild.join(user)
    dana = server.person(user)
    mention = f"{server.world.bot.mention} ping"
    await dana.say(channel, "private")
    thread = channel.add_thread("thread", creator=user)
    post = await dana.post(guild.add_forum("help"), "Title", mention)
    places = [channel, thread, guild.add_voice_channel("voice"), post.channel]
    for place in places[:-1]:
        await dana.say(place, mention)
    await dana.say(server.world.dm(user), "direct")
    await server.wait_until(
        lambda: all(any(each.content == "pong" for each in dana.visible(place)) for place in places)
    )
    await server.wait_until(lambda: ("dana", "direct") in bot.heard)
    assert ("dana", "private") not in bot.heard
    assert ("dana", "") in bot.heard
    assert list(server.refusals) == []


async def test_the_client_survives_all_that_happens_to_a_guild(server: DiscordServer, bot: Bot) -> None:
    guild = server.world.add_guild("Another", bot_permissions=EVERYONE_BY_DEFAULT | Permission.MANAGE_MESSAGES)
    user = server.world.add_user("Dana")
    guild.join(user)
    dana = server.person(user)
    role = guild.add_role("helpers", permissions=Permission.MANAGE_GUILD)
    guild.set_roles(user, [role])
    channel = guild.add_text_channel("busy", parent=guild.add_category("all"), topic="x")
    channel.set_overwrite(role, allow=Permission.MANAGE_MESSAGES)
    thread = channel.add_thread("thread", creator=user)
    server.world.set_thread(thread, archived=True)
    message = await dana.say(channel, "x")
    await dana.react(message, "👍")
    await dana.edit(message, "y")
    await dana.type(channel)
    await dana.delete(message)
    thread.delete()
    channel.delete()
    guild.leave(user)
    server.world.kick_bot(guild)
    [kept] = server.world.guilds_of_bot()
    [general] = kept.channels.values()
    kept.join(user)
    interaction = await dana.slash(general, "ask", prompt="still there?")
    await interaction.acknowledged
    assert [each.name for each in bot.guilds] == ["Guild"]
