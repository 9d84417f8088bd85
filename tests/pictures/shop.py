"""Everything an order needs but a connection to the gateway: the real services between the loopback Discord and API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from bot.answers.question import Asker, Place
from bot.app import Services, open_services
from bot.pictures.request import Order, Picture
from bot.pictures.tools import Patience
from bot.settings import Settings
from bot.storage.database import Row, Tx
from sandbox.clock import Clock
from sandbox.discord.messages import Interaction, InteractionType, Message
from sandbox.discord.openapi import find_document
from sandbox.discord.people import Person
from sandbox.discord.places import Channel, Guild
from sandbox.discord.server import DiscordServer
from sandbox.minitoolai.server import MiniToolAIServer
from tests.e2e.house import API_KEY, REPOSITORY, labels

IMAGE_NANO: Final = 1_500_000
A_LIGHTHOUSE: Final[dict[str, Any]] = {
    "prompt": "a lighthouse at dusk",
    "model": "realvision",
    "width": 256,
    "height": 256,
}
HASTY: Final = Patience(route_s=0.5, find_s=5.0, pause_s=0.05, pause_most_s=0.1)


def words(error: BaseException) -> str:
    return f"⚠️ {type(error).__name__}."


@dataclass(kw_only=True)
class Shop:
    """`dana` orders in `channel` of the server; `services` are those that run."""

    discord: DiscordServer
    api: MiniToolAIServer
    folder: Path
    guild: Guild
    channel: Channel
    dana: Person
    noam: Person
    http: aiohttp.ClientSession
    opened: list[Services] = field(default_factory=list)

    @property
    def services(self) -> Services:
        return self.opened[-1]

    @asynccontextmanager
    async def running(
        self, *, resumed: bool = True, patience: Patience = HASTY, **overrides: str
    ) -> AsyncIterator[Services]:
        """The services from a start to an end that leaves open orders where they are, as a crash does."""
        settings = Settings.load(
            {
                "DISCORD_TOKEN": self.discord.bot_token,
                "MINITOOLAI_API_KEY": API_KEY,
                "DISCORD_API_URL": self.discord.api_url,
                "MINITOOLAI_API_URL": self.api.url,
                "DATABASE_URL": f"sqlite:///{self.folder}/bot.db",
                "PICTURE_PRIVATE_ADDRESSES": "on",
                **overrides,
            }
        )
        async with open_services(settings, now=self.discord.clock.now, patience=patience) as services:
            self.opened.append(services)
            if resumed:
                await services.pictures.resume(words)
            yield services

    async def deferred(
        self, person: Person | None = None, *, channel: Channel | None = None, private: bool = False
    ) -> Interaction:
        """A command that the bot has acknowledged."""
        person = person or self.dana
        data = {"id": "1", "name": "imagine", "type": 1}
        interaction = self.discord.world.create_interaction(
            InteractionType.COMMAND, person.user, channel or self.channel, data
        )
        url = f"{self.discord.api_url}/interactions/{interaction.id}/{interaction.token}/callback"
        body = {"type": 5, "data": {"flags": 64 if private else 0}}
        async with self.http.post(url, json=body) as answer:
            assert answer.status < 300, await answer.text()
        return interaction

    async def order(
        self,
        person: Person | None = None,
        *,
        count: int = 1,
        private: bool = False,
        channel: Channel | None = None,
        bot_present: bool = True,
        upload_limit_bytes: int = 10 * 1024 * 1024,
        **picture: Any,
    ) -> tuple[Order, Message]:
        """What the command would hand over, and the message that will show it; not ordered yet."""
        interaction = await self.deferred(person, channel=channel, private=private)
        assert interaction.original is not None
        there = interaction.channel
        order = Order(
            id=interaction.id,
            asker=Asker(id=interaction.user.id, name=interaction.user.name),
            place=Place(channel_id=there.id, guild_id=there.guild.id if there.guild else None, bot_present=bot_present),
            picture=Picture(**A_LIGHTHOUSE | picture),
            count=count,
            spoiler=False,
            private=private,
            application_id=self.discord.application_id,
            token=interaction.token,
            message_id=interaction.original.id,
            upload_limit_bytes=upload_limit_bytes,
        )
        return order, interaction.original

    async def place(self, person: Person | None = None, **options: Any) -> tuple[Order, Message]:
        """The same, ordered."""
        order, message = await self.order(person, **options)
        await self.services.pictures.order(order, words)
        return order, message

    async def delivered(self, message: Message, *, images: int = 1, timeout_s: float = 30.0) -> Message:
        """`message` once its pictures stand there with their buttons, and are settled."""
        await self.discord.wait_until(
            lambda: len(message.attachments) == images and "Again" in labels(message), timeout_s=timeout_s
        )
        return message

    async def said(self, message: Message, text: str, *, timeout_s: float = 30.0) -> Message:
        await self.discord.wait_until(lambda: text in message.text(), timeout_s=timeout_s, what=f"{text} in a message")
        return message

    def dms(self, person: Person | None = None) -> list[Message]:
        """What the bot wrote to somebody."""
        channel = self.discord.world.dm((person or self.dana).user)
        return [message for message in channel.messages.values() if not message.deleted]

    # What is on disk

    async def rows(self, sql: str, *params: Any) -> list[Row]:
        async def read(tx: Tx) -> list[Row]:
            return await tx.fetch_all(sql, params)

        return await self.services.pictures._database.read(read)

    async def state(self, order: Order) -> str:
        return str((await self.rows("SELECT state FROM picture_orders WHERE order_id = ?", order.id))[0]["state"])

    async def until(self, sql: str, *params: Any) -> None:
        """Return once the query finds something. What is on disk tells nobody of its changes: it is asked again."""
        for _ in range(1_000):
            if await self.rows(sql, *params):
                return
            await asyncio.sleep(0.01)
        raise TimeoutError(f"never true: {sql} {params}")

    async def until_state(self, order: Order, state: str) -> None:
        """Return once the order is in that state."""
        await self.until("SELECT 1 FROM picture_orders WHERE order_id = ? AND state = ?", order.id, state)

    async def charge(self, order: Order) -> tuple[str, int, int, int]:
        """How the order's hold ended: reason, what the user paid, what the API is due, how many pictures."""
        rows = await self.rows("SELECT * FROM entries WHERE entry_id = ?", order.id)
        assert len(rows) == 1, "every hold ends once"
        row = rows[0]
        return row["reason"], row["from_allowance_nano"] + row["from_grant_nano"], row["provider_nano"], row["images"]

    async def holds(self) -> int:
        return int((await self.rows("SELECT COUNT(*) AS held FROM holds"))[0]["held"])


@asynccontextmanager
async def open_shop(folder: Path) -> AsyncIterator[Shop]:
    async with (
        DiscordServer(clock=Clock(), openapi_path=find_document(REPOSITORY)) as server,
        MiniToolAIServer(api_key=API_KEY) as api,
        aiohttp.ClientSession() as http,
    ):
        world = server.world
        owner, dana, noam = (world.add_user(name) for name in ("Ruth", "Dana", "Noam"))
        guild = world.add_guild("Makers", owner=owner)
        for user in (dana, noam):
            guild.join(user)
        yield Shop(
            discord=server,
            api=api,
            folder=folder,
            guild=guild,
            channel=guild.add_text_channel("general"),
            dana=server.person(dana),
            noam=server.person(noam),
            http=http,
        )
        assert server.problems == [], "a request does not fit Discord's published document"
        assert list(server.rate_limited) == [], "Discord had to answer 429"
