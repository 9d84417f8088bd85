"""The whole house for a test: the real bot, connected over real sockets to the loopback Discord and MiniToolAI."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import discord
import yarl

from bot.app import open_bot
from bot.client import Bot
from bot.settings import Settings
from sandbox.clock import Clock
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.openapi import find_document
from sandbox.discord.people import Person
from sandbox.discord.places import Channel, Guild
from sandbox.discord.server import DiscordServer
from sandbox.minitoolai.server import MiniToolAIServer

API_KEY = "the-operator's-key".replace("'", "")
REPOSITORY = Path(__file__).parents[2]
DISCORD_LAG_S = float(os.environ.get("DISCORD_LAG_MS", "0")) / 1_000
"""`make late` runs these tests with a Discord whose answers come late: no test may count on it that the bot knows at
once what everybody sees already."""


@dataclass(kw_only=True)
class House:
    """What a test uses. `admin` owns the server, `dana` and `noam` are members."""

    discord: DiscordServer
    api: MiniToolAIServer
    folder: Path
    guild: Guild
    channel: Channel
    admin: Person
    dana: Person
    noam: Person
    bot: Bot | None = None
    settings: Settings | None = None

    @asynccontextmanager
    async def running(self, **overrides: str) -> AsyncIterator[Bot]:
        """The bot from its start to its end; enter it again for a restart on the same database."""
        self.settings = Settings.load(self.environment(**overrides))
        with discord_py_restored():
            async with open_bot(self.settings, now=self.discord.clock.now) as bot:
                serving = asyncio.create_task(bot.serve(self.settings.discord_token), name="the bot")
                ready = asyncio.create_task(self.discord.gateway.wait_ready(30))
                try:
                    await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
                    if serving.done():
                        serving.result()
                    await ready
                    self.bot = bot
                    yield bot
                finally:
                    self.bot = None
                    ready.cancel()
                    await bot.services.answers.close()
                    await bot.close()
                    serving.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await serving

    @asynccontextmanager
    async def process(self, **overrides: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """The bot as a process of its own, on the same database as `running`: one that can be killed."""
        with (self.folder / "process.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "bot",
                cwd=REPOSITORY,
                env={**os.environ, **self.environment(**overrides)},
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
            )
        try:
            await self.discord.gateway.wait_ready(20)
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def environment(self, **overrides: str) -> dict[str, str]:
        """The variables by which the bot finds this house."""
        return {
            "DISCORD_TOKEN": self.discord.bot_token,
            "MINITOOLAI_API_KEY": API_KEY,
            "DISCORD_API_URL": self.discord.api_url,
            "MINITOOLAI_API_URL": self.api.url,
            "DATABASE_URL": f"sqlite:///{self.folder}/bot.db",
            "CHAT_RETRIES": "0",
            "PICTURE_PRIVATE_ADDRESSES": "on",
            # Bounds that the tests of other rules would run into; their own tests set them.
            "MAX_OPEN_ANSWERS_PER_MEMBER": "1000",
            "QUESTIONS_PER_MINUTE": "0",
            **overrides,
        }

    async def ended(self, message: Message, *, timeout_s: float = 30.0) -> Message:
        """`message` once it carries the buttons of an answer that has ended."""
        await self.discord.wait_until(lambda: has_button(message, "Regenerate"), timeout_s=timeout_s)
        return message

    async def answer_to(self, interaction: Interaction, *, timeout_s: float = 30.0) -> Message:
        """The reply to a command once it has ended: the last of its messages."""
        await self.discord.wait_until(
            lambda: any(has_button(message, "Regenerate") for message in replies(interaction)), timeout_s=timeout_s
        )
        return replies(interaction)[-1]

    async def reply_in(self, channel: Channel, question: Message, *, timeout_s: float = 30.0) -> Message:
        """The ended answer to a message."""

        def found() -> list[Message]:
            return [m for m in channel.messages.values() if m.reply_to is question and not m.deleted]

        await self.discord.wait_until(lambda: bool(found()), timeout_s=timeout_s)
        return await self.ended(found()[0], timeout_s=timeout_s)


def replies(interaction: Interaction) -> list[Message]:
    """The messages of an interaction, in their order."""
    first = [interaction.original] if interaction.original is not None else []
    return [*first, *interaction.followups]


def labels(message: Message) -> list[str]:
    """The labels of the buttons below a message."""
    return [button["label"] for row in message.components for button in row.get("components", ()) if "label" in button]


def has_button(message: Message, label: str) -> bool:
    return not message.deleted and label in labels(message)


@contextmanager
def discord_py_restored() -> Iterator[None]:
    """discord.py's addresses are class attributes: what one test sets must not reach the next."""
    base, gateway = discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
    try:
        yield
    finally:
        discord.http.Route.BASE = base
        discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)


@asynccontextmanager
async def open_house(folder: Path) -> AsyncIterator[House]:
    """Discord with a server and three people, and the API; no bot yet. Ends with the checks that every test shares."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            DiscordServer(clock=Clock(), openapi_path=find_document(REPOSITORY), lag_s=DISCORD_LAG_S)
        )
        api = await stack.enter_async_context(MiniToolAIServer(api_key=API_KEY, pace_s=0.0))
        world = server.world
        owner = world.add_user("Ruth")
        guild = world.add_guild("Makers", owner=owner)
        people = {name: world.add_user(name) for name in ("Dana", "Noam")}
        for user in people.values():
            guild.join(user)
        house = House(
            discord=server,
            api=api,
            folder=folder,
            guild=guild,
            channel=guild.add_text_channel("general"),
            admin=server.person(owner),
            dana=server.person(people["Dana"]),
            noam=server.person(people["Noam"]),
        )
        yield house
        assert server.problems == [], "a request does not fit Discord's published document"
        assert list(server.rate_limited) == [], "Discord had to answer 429"
