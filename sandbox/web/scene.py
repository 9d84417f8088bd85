"""The sandbox as the page shows it: the terminal's server with a little more in it, remembered from run to run."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.discord.people import Person
from sandbox.discord.permissions import Permission
from sandbox.discord.places import Channel, Guild
from sandbox.discord.refusals import Json
from sandbox.discord.server import DiscordServer
from sandbox.discord.world import World
from sandbox.terminal.stage import EVERYDAY, Api, Cast, Stage, found_server, open_stage
from sandbox.web import memory
from sandbox.web.clock import Lead
from sandbox.web.memory import Memory

CLOCK: Final = "clock"
NEWCOMERS: Final = "Newcomers"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """`people` by id, the first is who one begins as; all are members of `guild`."""

    stage: Stage
    people: dict[int, Person]
    guild: Guild
    memory: Memory
    lead: Lead

    @property
    def discord(self) -> DiscordServer:
        return self.stage.discord

    @property
    def world(self) -> World:
        return self.stage.discord.world

    def advance(self, seconds: float) -> None:
        """Let time pass, here and for the bot. Raises ValueError for a negative number."""
        self.world.clock.advance(seconds)
        self.lead.set(self.world.clock.advanced_s)
        self.memory.touch()


@asynccontextmanager
async def open_scene(state: Path, *, api: Api | None = None) -> AsyncIterator[Scene]:
    """Both stand-ins on loopback, with what the folder `state` remembers; it is kept there until the end.

    Raises:
        OSError: the folder cannot be used.
    """
    saved = memory.read(state)
    async with contextlib.AsyncExitStack() as stack:
        try:
            stage, kept = await _staged(stack, state, api, saved)
        except memory.Unusable:
            memory.put_aside(state)
            stage, kept = await _staged(stack, state, api, None)
        lead = stack.enter_context(contextlib.closing(Lead(state / CLOCK)))
        lead.set(stage.discord.clock.advanced_s)
        await stack.enter_async_context(kept.kept())
        people = {person.user.id: person for person in stage.people.values()}
        [guild] = stage.discord.world.guilds.values()
        yield Scene(stage=stage, people=people, guild=guild, memory=kept, lead=lead)


async def _staged(
    stack: contextlib.AsyncExitStack, state: Path, api: Api | None, saved: Json | None
) -> tuple[Stage, Memory]:
    """The stage with what was saved of it. Raises OSError and Unusable."""
    made: list[Memory] = []

    def found(discord: DiscordServer) -> Cast:
        cast = _found(discord)
        made[:] = [Memory(discord, state)]
        if saved is not None:
            made[0].restore(saved)
        return cast

    try:
        # The port of the last run, so that addresses of files that the bot wrote down still lead to them.
        port = memory.port(saved) if saved else 0
        stage = await stack.enter_async_context(open_stage(port=port, api=api, found=found))
    except OSError:
        stage = await stack.enter_async_context(open_stage(api=api, found=found))
    return stage, made[0]


def _found(discord: DiscordServer) -> Cast:
    """Ruth owns the server, Dana is a member, Noam a newcomer with a role. What is new comes last: ids stay."""
    people, channels = found_server(discord)
    guild = next(iter(discord.world.guilds.values()))
    guild.set_permissions(guild.everyone, EVERYDAY | Permission.ADD_REACTIONS | Permission.CREATE_PUBLIC_THREADS)
    newcomers = guild.add_role(NEWCOMERS, mentionable=True)
    guild.set_roles(people["Noam"].user, [newcomers])
    channels["after-dark"] = guild.add_text_channel("after-dark", nsfw=True)
    return {name: people[name] for name in ("Dana", "Noam", "Ruth")}, channels


def first_channel(scene: Scene) -> Channel:
    return next(iter(scene.stage.channels.values()))
