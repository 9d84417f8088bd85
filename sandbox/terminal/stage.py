"""The world in which the bot is tried: a server with people and channels, and both stand-ins on loopback."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from sandbox.clock import Clock
from sandbox.discord.people import Person
from sandbox.discord.permissions import Permission
from sandbox.discord.places import Channel
from sandbox.discord.server import DiscordServer
from sandbox.minitoolai.server import MiniToolAIServer

FOUNDED_S: Final = 1_767_225_600.0
"""When the world was made, in unix seconds: 1 January 2026. Ids carry their time, so people and channels have the same
ids in every run, and the bot finds again what it remembered of them."""

API_KEY: Final = "sandbox-key"
EVERYDAY: Final = (
    Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.SEND_MESSAGES_IN_THREADS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.USE_APPLICATION_COMMANDS
)


@dataclass(frozen=True, kw_only=True)
class Api:
    """Where the bot's answers come from."""

    url: str
    key: str
    simulated: bool


@dataclass(frozen=True, kw_only=True)
class Stage:
    """`people` and `channels` by the name they are called in the terminal; the first of each is where one begins."""

    discord: DiscordServer
    api: Api
    people: dict[str, Person]
    channels: dict[str, Channel]
    simulation: MiniToolAIServer | None = None


Cast: TypeAlias = tuple[dict[str, Person], dict[str, Channel]]
"""People and channels by name."""


@asynccontextmanager
async def open_stage(
    *, port: int = 0, api: Api | None = None, found: Callable[[DiscordServer], Cast] | None = None
) -> AsyncIterator[Stage]:
    """Discord at `port` (0: a free one), and MiniToolAI unless `api` names a real one.

    `found` fills the world, at a time when the clock still shows FOUNDED_S; without it, `found_server` does.

    Raises:
        OSError: the port is taken or may not be used.
    """
    founding = True
    clock = Clock(lambda: FOUNDED_S if founding else time.time())
    async with AsyncExitStack() as stack:
        discord = await stack.enter_async_context(DiscordServer(clock=clock, port=port))
        people, channels = (found or found_server)(discord)
        founding = False
        simulation: MiniToolAIServer | None = None
        if api is None:
            simulation = await stack.enter_async_context(MiniToolAIServer(api_key=API_KEY))
            api = Api(url=simulation.url, key=API_KEY, simulated=True)
        yield Stage(discord=discord, api=api, people=people, channels=channels, simulation=simulation)


def found_server(discord: DiscordServer) -> Cast:
    """Dana and Noam are members like any other; Ruth owns the server and so may do everything."""
    world = discord.world
    users = [world.add_user(name) for name in ("Dana", "Noam", "Ruth")]
    guild = world.add_guild("Sandbox", owner=users[-1])
    guild.set_permissions(guild.everyone, EVERYDAY)
    for user in users[:-1]:
        guild.join(user)
    general = guild.add_text_channel("general")
    channels = {"general": general, "random": guild.add_text_channel("random")}
    channels["thread"] = general.add_thread("thread", creator=users[0])
    for user in users:
        channels["thread"].thread_members.add(user.id)
        world.dm(user)
    return {user.display_name: discord.person(user) for user in users}, channels
