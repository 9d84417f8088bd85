"""`/history`: what the bot remembers of a channel, and who decides about it."""

import asyncio
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Literal, TypeAlias

import discord
from discord import app_commands
from discord.ext import commands
from discord.utils import format_dt

from bot.answers import plain
from bot.answers.history import MemoryKey, Mode, ModeChoice, Turn, channel_memory
from bot.answers.keeping import length_of
from bot.answers.question import Place
from bot.answers.window import Window
from bot.client import Bot
from bot.delivery.messages import CONTENT_LIMIT, utf16_length
from bot.errors import NotPermitted
from bot.ops.logging import log_context
from cogs.ask import Interaction, place_of

SHOWN_TURNS: Final = 10
READ_TURNS: Final = 200
"""The most turns that are looked at to say what goes with the next question, as `bot.answers` does."""
EXPORTED_TURNS: Final = 10_000
EXPORTED_LENGTH: Final = 40_000_000
"""Characters of a memory, its files among them, that are held at once to make a file of them."""
EXCERPT: Final = 90
"""Characters of a question that the list shows."""
METER_CELLS: Final = 10
CONFIRM_S: Final = 10 * 60
"""How long the question can be answered."""
KEPT_INSTEAD: Final = "Nothing was forgotten: that question was too old. Please use `/history clear` again."

MODES: Final[dict[Mode, str]] = {
    "shared": "everyone in this channel shares one conversation",
    "personal": "everyone has a conversation of their own",
    "off": "nothing is remembered",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """The memory that a member means by "this channel's": `key` None where nothing is remembered."""

    place: Place
    mode: Mode
    key: MemoryKey | None

    @property
    def title(self) -> str:
        if self.key is None:
            return "No memory in this channel"
        if self.key.is_private:
            return "Your private memory in this channel"
        return "The shared memory of this channel" if self.key.is_shared else "Your own memory in this channel"

    @property
    def meaning(self) -> str:
        """What kind of memory it is, in brackets behind its title."""
        if self.key is not None and self.key.is_private:
            off = "; not used while this channel's memory is off" if self.mode == "off" else ""
            return f"of answers that only you saw{off}"
        return MODES[self.mode]


def meter(used: int, limit: int) -> str:
    """`▰▰▰▱▱▱▱▱▱▱`: how full something is. Something shows as soon as there is something."""
    cells = min(METER_CELLS, -(-used * METER_CELLS // limit)) if limit else 0
    return "▰" * cells + "▱" * (METER_CELLS - cells)


def counted(turns: int) -> str:
    return f"{turns:,} turn{'' if turns == 1 else 's'}"


def excerpt(text: str) -> str:
    """The beginning of a text on one line, as plain text: no Markdown, no mention works in it."""
    return plain.excerpt(text, EXCERPT) or "(no words)"


def listed(turn: Turn) -> str:
    extras = [f"{len(turn.asked.images)} 🖼️"] if turn.asked.images else []
    if turn.asked.file_name:
        extras.append(f"📄 {plain.escaped(turn.asked.file_name)}")
    more = f" ({', '.join(extras)})" if extras else ""
    name = plain.escaped(turn.asked.asker.name)
    return f"- {format_dt(turn.asked_at, 'R')} **{name}**: {excerpt(turn.asked.prompt)}{more}"


def overview(memory: Memory, turns: Sequence[Turn], *, held: int, sent: Window[Turn], limit_tokens: int) -> str:
    """A memory on one message: `turns` (newest last) are the newest of the `held`, `sent` what goes along."""
    head = [f"**{memory.title}** ({memory.meaning})"]
    if not turns:
        return "\n".join([*head, "Nothing is remembered yet."])
    head.append(f"{counted(held)} remembered; {_going(len(sent.turns), held)} with the next question:")
    head.append(f"{meter(sent.tokens, limit_tokens)} {sent.tokens:,} of {limit_tokens:,} tokens")

    def text(shown: int) -> str:
        older = held - shown
        tail = [f"-# {older:,} older; `/history export` has them all"] if older else []
        return "\n".join([*head, *map(listed, turns[len(turns) - shown :]), *tail])

    counts = range(min(SHOWN_TURNS, len(turns)), -1, -1)  # without any turn it fits
    return next(fitting for fitting in map(text, counts) if utf16_length(fitting) <= CONTENT_LIMIT)


def _going(sent: int, held: int) -> str:
    if sent == 0:
        return "none goes"
    if sent == held:
        return "all go" if held > 1 else "it goes"
    return f"the newest {sent:,} go" if sent > 1 else "the newest goes"


def as_markdown(memory: Memory, turns: Sequence[Turn]) -> str:
    """The whole memory for people to read."""
    parts = [f"# {memory.title}"]
    for turn in turns:
        asked = turn.asked
        parts.append(f"## {asked.asker.name}, {turn.asked_at:%Y-%m-%d %H:%M} UTC")
        if asked.quoted:
            parts.append("\n".join(f"> {line}" for line in asked.quoted.splitlines()))
        parts.append(asked.prompt)
        parts += [f"*Picture: {image.name}*" for image in asked.images]
        if asked.file_name:
            parts.append(f"*File: {asked.file_name}*")
        parts.append(f"### {turn.model}")
        parts.append(turn.answer)
        if not turn.complete:
            parts.append("*(not complete)*")
    return "\n\n".join(parts) + "\n"


def as_json(memory: Memory, turns: Sequence[Turn]) -> str:
    """The whole memory for programs to read: an array of turns, oldest first."""
    return json.dumps(
        {
            "memory": memory.title,
            "turns": [
                {
                    "asked_at": turn.asked_at.isoformat(),
                    "asker_id": str(turn.asked.asker.id),
                    "asker_name": turn.asked.asker.name,
                    "prompt": turn.asked.prompt,
                    "quoted": turn.asked.quoted,
                    "images": [image.name for image in turn.asked.images],
                    "file_name": turn.asked.file_name,
                    "file_text": turn.asked.file_text,
                    "model": turn.model,
                    "answer": turn.answer,
                    "finish_reason": turn.finish_reason,
                    "complete": turn.complete,
                    "prompt_tokens": turn.prompt_tokens,
                    "completion_tokens": turn.completion_tokens,
                    "cost_nano_dollars": turn.cost_nano,
                }
                for turn in turns
            ],
        },
        ensure_ascii=False,
        indent=2,
    )


def _moderates(interaction: Interaction) -> bool:
    return interaction.guild_id is None or interaction.permissions.manage_messages


Which: TypeAlias = Literal["this channel's", "my private one"]


class HistoryCog(commands.GroupCog, group_name="history", group_description="What I remember of this channel"):
    """Every answer here is for the asker alone: a memory is nobody's announcement."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.history = bot.services.history

    async def cog_load(self) -> None:
        self.bot.add_dynamic_items(ConfirmButton)

    async def cog_unload(self) -> None:
        self.bot.remove_dynamic_items(ConfirmButton)

    @app_commands.command(description="What is remembered here, and how much of it goes with the next question")
    @app_commands.describe(which="The memory to show; your private one holds answers that only you saw")
    async def show(self, interaction: Interaction, which: Which = "this channel's") -> None:
        await interaction.response.defer(ephemeral=True)
        memory = await self._memory(interaction, which)
        if memory.key is None:
            await interaction.followup.send(f"**{memory.title}**: it is switched off.", ephemeral=True)
            return
        turns = await self.history.newest_turns(memory.key, READ_TURNS)
        text = overview(
            memory,
            turns,
            held=await self.history.count_turns(memory.key),
            sent=self.bot.services.answers.fitting(turns),
            limit_tokens=self.bot.services.settings.history_tokens,
        )
        await interaction.followup.send(text, ephemeral=True)

    @app_commands.command(description="Forget this memory: all of it for moderators, else your own part")
    @app_commands.describe(which="The memory to clear")
    async def clear(self, interaction: Interaction, which: Which = "this channel's") -> None:
        await interaction.response.defer(ephemeral=True)
        memory = await self._memory(interaction, which)
        mine = self._limited_to(interaction, memory)
        held = await self.history.count_turns(memory.key, mine) if memory.key else 0
        if memory.key is None or not held:
            await interaction.followup.send("There is nothing to forget.", ephemeral=True)
            return
        what = "your part of " if mine is not None else ""
        title = memory.title[0].lower() + memory.title[1:]
        question = f"Forget {what}**{title}**, {counted(held)}? There is no way back."
        view = _confirmation(interaction, memory, part=mine is not None)
        await interaction.followup.send(question, view=view, ephemeral=True)

    @app_commands.command(
        description="Forget the last question and its answer: for moderators the last of all, else yours"
    )
    @app_commands.describe(which="The memory to take it from")
    async def undo(self, interaction: Interaction, which: Which = "this channel's") -> None:
        await interaction.response.defer(ephemeral=True)
        memory = await self._memory(interaction, which)
        mine = self._limited_to(interaction, memory)
        turn = await self.history.undo(memory.key, asker_id=mine) if memory.key else None
        if turn is None:
            await interaction.followup.send("There is nothing to forget.", ephemeral=True)
            return
        await interaction.followup.send(f"Forgotten:\n{listed(turn)}", ephemeral=True)

    @app_commands.command(name="export", description="This memory as a file, for people or for programs")
    @app_commands.describe(which="The memory to export", form="Markdown for people, JSON for programs")
    async def export(
        self,
        interaction: Interaction,
        form: Literal["Markdown", "JSON"] = "Markdown",
        which: Which = "this channel's",
    ) -> None:
        await interaction.response.defer(ephemeral=True)
        memory = await self._memory(interaction, which)
        length = await self.bot.services.database.read(partial(length_of, key=memory.key)) if memory.key else 0
        if length > EXPORTED_LENGTH:
            await self._say_too_large(interaction, length)
            return
        turns = await self.history.newest_turns(memory.key, EXPORTED_TURNS) if memory.key else ()
        if not turns:
            await interaction.followup.send("There is nothing to export.", ephemeral=True)
            return
        written, name = (as_json, "history.json") if form == "JSON" else (as_markdown, "history.md")
        # Megabytes take a good part of a second, which is other people's answers.
        content = await asyncio.to_thread(lambda: written(memory, turns).encode(errors="replace"))
        if len(content) > interaction.filesize_limit:
            await self._say_too_large(interaction, len(content))
            return
        await interaction.followup.send(
            f"**{memory.title}**: {counted(len(turns))}.",
            file=discord.File(io.BytesIO(content), filename=name),
            ephemeral=True,
        )

    async def _say_too_large(self, interaction: Interaction, size: int) -> None:
        await interaction.followup.send(
            f"That memory is {size / 1e6:.1f} MB, more than Discord lets me upload here. "
            "A moderator can `/history clear` it.",
            ephemeral=True,
        )

    @app_commands.command(description="Who shares a memory here; for those who manage this channel")
    @app_commands.describe(mode="shared: one for everyone; personal: one each; off: none")
    async def mode(self, interaction: Interaction, mode: Mode) -> None:
        if interaction.guild_id is not None and not interaction.permissions.manage_channels:
            raise NotPermitted("members who can manage this channel")
        await interaction.response.defer(ephemeral=True)
        choice = ModeChoice(
            mode=mode, set_by=interaction.user.id, set_at=datetime.now(UTC), guild_id=interaction.guild_id
        )
        await self.history.set_mode(place_of(interaction).channel_id, choice)
        await interaction.followup.send(
            f"From now on in this channel: **{mode}**, {MODES[mode]}. What was remembered before is kept, "
            "and is used again when its mode comes back; `/history clear` forgets it.",
            ephemeral=True,
        )

    async def _memory(self, interaction: Interaction, which: Which) -> Memory:
        place = place_of(interaction)
        mode = await self.history.mode(place)
        user_id = interaction.user.id
        key: MemoryKey | None
        if which == "my private one":
            key = MemoryKey.private(place.channel_id, user_id)
        else:
            key = channel_memory(place.channel_id, user_id, mode)
        return Memory(place=place, mode=mode, key=key)

    def _limited_to(self, interaction: Interaction, memory: Memory) -> int | None:
        """Whose turns may be forgotten: in a shared memory a member's own, unless they moderate; None means all."""
        if memory.key is not None and memory.key.is_shared and not _moderates(interaction):
            return interaction.user.id
        return None


def _confirmation(interaction: Interaction, memory: Memory, *, part: bool) -> discord.ui.View:
    """The two buttons. What they name is what was asked, whatever the channel's mode is by the time of the answer."""
    until = int((interaction.created_at + timedelta(seconds=CONFIRM_S)).timestamp())
    assert memory.key is not None
    what = _what(memory.key, part=part)
    view = discord.ui.View(timeout=None)
    for action, label, style, emoji in (
        ("forget", "Forget", discord.ButtonStyle.danger, "🗑️"),
        ("keep", "Keep", discord.ButtonStyle.secondary, None),
    ):
        custom_id = f"history:{action}:{what}:{interaction.user.id}:{until}"
        view.add_item(discord.ui.Button(label=label, style=style, emoji=emoji, custom_id=custom_id))
    view.stop()  # only its looks are wanted: `ConfirmButton` answers
    return view


def _what(key: MemoryKey, *, part: bool) -> str:
    if key.is_private:
        return "private"
    if not key.is_shared:
        return "own"
    return "part" if part else "all"


def _key(what: str, channel_id: int, user_id: int) -> MemoryKey:
    """The memory of a button: the other way round from `_what`."""
    if what == "private":
        return MemoryKey.private(channel_id, user_id)
    return MemoryKey.personal(channel_id, user_id) if what == "own" else MemoryKey.shared(channel_id)


class ConfirmButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=(
        r"history:(?P<action>forget|keep):(?P<what>all|part|own|private):(?P<user_id>[0-9]{1,20}):(?P<until>[0-9]{1,12})"
    ),
):
    """Forgets, or keeps, if it was made for who presses it and not long ago, whichever process showed it."""

    def __init__(self, item: discord.ui.Button[discord.ui.View], named: dict[str, str]) -> None:
        super().__init__(item)
        self.forgets = named["action"] == "forget"
        self.what = named["what"]
        self.user_id = int(named["user_id"])
        self.until = int(named["until"])

    @classmethod
    async def from_custom_id(  # type: ignore[override]  # our own client's type
        cls, _: Interaction, item: discord.ui.Item[discord.ui.View], match: "re.Match[str]", /
    ) -> "ConfirmButton":
        assert isinstance(item, discord.ui.Button)
        return cls(item, match.groupdict())

    async def callback(self, interaction: Interaction) -> None:  # type: ignore[override]  # as above
        try:
            with log_context(request_id=interaction.id):
                await self._answer(interaction)
        except Exception as error:  # noqa: BLE001 - discord.py would only log it: the one door takes whatever comes
            await interaction.client.report(interaction, error)

    async def _answer(self, interaction: Interaction) -> None:
        left_s = self.until - interaction.created_at.timestamp()
        if not self.forgets:
            await interaction.response.edit_message(content="Kept.", view=None)
        elif interaction.user.id != self.user_id or not 0 <= left_s <= CONFIRM_S:
            await interaction.response.edit_message(content=KEPT_INSTEAD, view=None)
        else:
            await self._forget(interaction)

    async def _forget(self, interaction: Interaction) -> None:
        if self.what == "all" and not _moderates(interaction):
            raise NotPermitted("members who can manage messages")
        await interaction.response.defer()
        key = _key(self.what, place_of(interaction).channel_id, interaction.user.id)
        asker_id = interaction.user.id if self.what == "part" else None
        count = await interaction.client.services.history.clear(key, asker_id)
        words = f"Forgotten: {counted(count)}." if count else "There is nothing left to forget."
        await interaction.edit_original_response(content=words, view=None)


async def setup(bot: Bot) -> None:
    await bot.add_cog(HistoryCog(bot))
