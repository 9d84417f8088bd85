"""Conversations, as tests of memory, pictures and failures hold them, and what is remembered of them."""

import asyncio
from dataclasses import dataclass
from typing import Any

from bot.answers.history import MemoryKey, Turn
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.people import Person
from sandbox.discord.places import Channel
from sandbox.minitoolai.script import Script
from tests.e2e.house import House

EVERYTHING = 1_000


@dataclass(frozen=True, kw_only=True)
class Said:
    """One message of a request to the API: its role, and its text without its pictures."""

    role: str
    text: str


async def ask(
    house: House,
    prompt: str,
    *,
    answer: str | Script = "An answer.",
    by: Person | None = None,
    channel: Channel | None = None,
    **options: object,
) -> Message:
    """The ended reply to a command of `by` (Dana) in `channel` (the general one), once it is charged, too."""
    house.api.script(answer if isinstance(answer, Script) else Script(answer))
    interaction = await (by or house.dana).slash(channel or house.channel, "ask", prompt=prompt, **options)
    reply = await house.answer_to(interaction)
    await closed(house, interaction)
    return reply


async def closed(house: House, interaction: Interaction) -> None:
    """Wait until the bot is through with an answer: what everybody sees of it comes a moment sooner."""
    async with asyncio.timeout(30):
        # It sets no event when it is done.
        while house.bot is not None and house.bot.services.answers.is_open(interaction.id):  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def turned_down(house: House, prompt: str, *, by: Person | None = None, **options: object) -> Message:
    """What a command is answered with in place of an answer, when the question's own reading finds fault with it."""
    interaction = await (by or house.dana).slash(house.channel, "ask", prompt=prompt, **options)
    return await told(house, interaction)


async def told(house: House, interaction: Interaction) -> Message:
    """The first message, no longer loading, that an interaction is answered with."""
    return await house.discord.wait_until(
        lambda: next((m for m in interaction.messages if not m.loading and not m.deleted and m.content), None)
    )


async def turns(house: House, key: MemoryKey | None = None) -> tuple[Turn, ...]:
    """What a memory holds, oldest first; without a `key`, the general channel's shared one."""
    assert house.bot is not None
    key = key or MemoryKey.shared(house.channel.id)
    return await house.bot.services.history.newest_turns(key, EVERYTHING)


def conversation(body: dict[str, Any]) -> list[Said]:
    """A request's messages, oldest first, without the developer's."""
    said = [Said(role=message["role"], text=_text(message["content"])) for message in body["messages"]]
    assert said[0].role == "developer"
    return said[1:]


def _text(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def picture_parts(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Every picture of a request, in order, as the API gets it."""
    return [
        part["image_url"]
        for message in body["messages"]
        if isinstance(message["content"], list)
        for part in message["content"]
        if part["type"] == "image_url"
    ]
