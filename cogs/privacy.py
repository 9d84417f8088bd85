"""`/privacy`: what is kept of who asks, to see, to take along, and to erase. And the servers that come and go."""

import asyncio
import io
import logging
import re
from collections.abc import Awaitable, Iterable, Sequence
from datetime import timedelta
from typing import Final

import discord
from discord import app_commands
from discord.ext import commands
from discord.utils import format_dt

from bot.client import Bot
from bot.credits.values import from_us
from bot.money import CreditUnit, NanoDollars
from bot.privacy.erasing import Kept, Progress
from bot.privacy.service import KeptFor, Overview
from bot.privacy.values import Held, Kind
from bot.storage.errors import StorageError
from cogs.ask import Interaction
from cogs.decisions import credits_words

log = logging.getLogger(__name__)

CONFIRM_S: Final = 10 * 60
"""How long the button works."""
WAIT_S: Final = 60.0
"""How long an answer waits for what is erased; the job goes on with the rest."""
PART_BYTES: Final = 8_000_000
"""The most that one file of an export has, where Discord takes as much."""
PARTS_LIMIT: Final = 10
RECONCILE_S: Final = 60.0
"""Between two looks at whether every server can be seen."""

WORDS: Final[dict[Kind, tuple[str, str]]] = {
    "turns": ("question with its answer", "questions with their answers"),
    "answers": ("answer with its buttons", "answers with their buttons"),
    "orders": ("order of pictures", "orders of pictures"),
    "drafts": ("form under way", "forms under way"),
    "memory_modes": ("choice of how a channel remembers", "choices of how channels remember"),
    "entries": ("line in the ledger of credits", "lines in the ledger of credits"),
    "allowances": ("allowance for you, or set by you", "allowances for you, or set by you"),
    "decisions": (
        "decision about credits or settings, yours or about you",
        "decisions about credits or settings, yours or about you",
    ),
}

WHO_SEES: Final = """\
**Who else can see it**
- In a shared memory everybody in the channel (`/history show`); in a personal or private one only you.
- A server's admins see what you spent there, when and on which models, and decisions; not your questions.
- The bot's operator can read the database. Discord has the messages themselves.
- Each question goes to the MiniToolAI API, with what the memory, pictures and files add to it; so does each order.
**Kept with a question**: the text of its file, the addresses of its pictures, the message that it is about. In the \
ledger: amounts, models and times, no words.
**Kept for little more than an hour**: the message that you chose to ask about, and what you typed in a form that I \
gave back to you.
**Never kept**: messages that are not for me, pictures themselves, who is in a server, who is online.
-# `/privacy export` gives you everything as a file, `/privacy erase` erases it."""

ASK_ERASE: Final = """\
**Erase everything about you**, in every server and in direct messages? There is no way back.
- Questions, answers, and orders of pictures go; the buttons below them stop working, and orders in line are cancelled.
- Your name goes from decisions, and in the ledger a random number takes your place: its sums stay.
- What you spent in the running day, week and month, and credits granted to you, stay under your id until they are \
over: erasing is no way to a fresh allowance. Granted credits that are left then lapse.
- What a server's admins set for you by name, such as a block, is theirs and stays.
- What others asked about a message of yours is theirs, and stays with its quotation and your name as they saw it.
- Messages in Discord itself stay; delete those you want gone first, with their **Delete** button."""

KEPT_INSTEAD: Final = "Nothing was erased: that question was too old. Please use `/privacy erase` again."


def block(where: str, held: Iterable[Held]) -> str:
    """How much is kept in a place, a line a kind in the order of WORDS, and since when."""
    every = list(held)
    lines = []
    for kind, (one, many) in WORDS.items():
        if count := sum(each.count for each in every if each.kind == kind):
            lines.append(f"- {count:,} {one if count == 1 else many}")
    since = min((each.since_us for each in every if each.since_us is not None), default=None)
    when = f", since {format_dt(from_us(since), 'D')}" if since is not None else ""
    return "\n".join([f"**Kept about you {where}**{when}", *(lines or ["- nothing"])])


def overview(found: Overview, here: int | None, kept: KeptFor) -> str:
    """All of `/privacy show`. `here` is the server that it is asked in, None in direct messages."""
    place = "in this server" if here is not None else "outside of servers"
    other = "in other servers and outside of them" if here is not None else "in servers"
    lines = [
        block(place, (each for each in found.held if each.guild_id == here)),
        block(other, (each for each in found.held if each.guild_id != here)),
        _how_long(kept),
    ]
    if found.erasing_since is not None:
        lines.append(f"You asked to be erased {format_dt(found.erasing_since, 'f')}; what is left follows by itself.")
    return "\n".join([*lines, WHO_SEES])


def _how_long(kept: KeptFor) -> str:
    return (
        f"**How long, here**: questions and answers {_days(kept.memory)}, orders of pictures {_days(kept.orders)}; "
        "the ledger under your id until you erase it, then without you."
    )


def _days(days: int | None) -> str:
    return "for ever" if days is None else f"{days} day{'' if days == 1 else 's'}"


def erased(progress: Progress, *, own_allowances: int, unit: CreditUnit) -> str:
    """What has become of it, and what is still to come."""
    lines = ["✅ Erased: your questions, their answers, your orders of pictures, and your name on decisions."]
    if progress.open_requests:
        what = "request of yours is" if progress.open_requests == 1 else "requests of yours are"
        lines.append(f"- {progress.open_requests:,} {what} still under way; what comes of it is erased when it ends.")
    lines += _kept_words(progress.kept, unit)
    if own_allowances:
        where = "one server" if own_allowances == 1 else f"{own_allowances:,} servers"
        lines.append(f"- In {where} the admins set an allowance for you by name. It is theirs, and stays with your id.")
    lines.append("-# Messages in Discord itself stay. Whatever you ask me from now on is kept as before.")
    return "\n".join(lines)


def _kept_words(kept: Sequence[Kept], unit: CreditUnit) -> list[str]:
    lines = []
    ends = [each.until for each in kept if each.until is not None]
    if ends:
        lines.append(
            "- What counts toward the running day, week or month stays in the ledger under your id until "
            f"{format_dt(max(ends), 'f')}, at the latest. Then a random number takes your place there, too."
        )
    if any(each.until is None for each in kept):
        lines.append(
            "- Where credits are given once for all time, what you spent of them stays under your id for as long as "
            "that rule does."
        )
    if granted := sum(each.grants_nano for each in kept if each.until is not None):
        lines.append(f"- Of credits granted to you, {credits_words(NanoDollars(granted), unit)} are left until then.")
    return lines


@app_commands.allowed_installs(guilds=True, users=True)
class PrivacyCog(commands.GroupCog, group_name="privacy", group_description="What I keep about you"):
    """Every answer here is for the asker alone. Owns the task that looks for servers that were left unseen."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.privacy = bot.services.privacy
        self._unsure = asyncio.Event()

    async def cog_load(self) -> None:
        self.bot.add_dynamic_items(EraseButton)
        self._task = asyncio.create_task(self._reconcile(), name="servers that were left")

    async def cog_unload(self) -> None:
        self.bot.remove_dynamic_items(EraseButton)
        self._task.cancel()

    @app_commands.command(description="What is kept about you, how long, and who can see it")
    async def show(self, interaction: Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        found = await self.privacy.overview(interaction.user.id)
        kept = await self.privacy.kept_for(interaction.guild_id)
        await interaction.followup.send(overview(found, interaction.guild_id, kept), ephemeral=True)

    @app_commands.command(description="Everything about you, as JSON")
    async def export(self, interaction: Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        size = min(PART_BYTES, interaction.filesize_limit)
        number = 0
        async for part in self.privacy.parts(interaction.user.id, part_bytes=size):
            number += 1
            if number > PARTS_LIMIT:
                await interaction.followup.send(
                    f"There is more than the {PARTS_LIMIT} files that I can give you here. Please ask the bot's "
                    "operator for the rest.",
                    ephemeral=True,
                )
                return
            name = "privacy.json" if number == 1 else f"privacy-{number}.json"
            words = "Everything that is kept about you." if number == 1 else f"Part {number}."
            await interaction.followup.send(words, file=discord.File(io.BytesIO(part), filename=name), ephemeral=True)

    @app_commands.command(description="Erase what is kept about you, everywhere")
    async def erase(self, interaction: Interaction) -> None:
        await interaction.response.send_message(ASK_ERASE, view=_confirmation(interaction), ephemeral=True)

    async def confirmed(self, interaction: Interaction) -> None:
        """Erase, and say what is left to be done."""
        await interaction.response.edit_message(content="Erasing…", view=None)
        who = interaction.user.id
        try:
            async with asyncio.timeout(WAIT_S):
                progress = await self.privacy.erase(who, erasure_id=interaction.id)
        except TimeoutError:
            words = "It is much that has to be erased. It goes on by itself; `/privacy show` tells how far it is."
        else:
            own = await self.privacy.servers_with_own_allowance(who)
            words = erased(progress, own_allowances=len(own), unit=interaction.client.services.unit)
        await interaction.edit_original_response(content=words)

    # Servers that come and go. Discord calls it an outage where a server is only out of reach; discord.py tells of
    # those with other events.

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        log.info("left the server %d", guild.id)
        await self._told(self.privacy.note_left(guild.id))

    @commands.Cog.listener()
    async def on_guild_join(self, guild: discord.Guild) -> None:
        await self._told(self.privacy.note_back(guild.id))

    async def _told(self, noting: Awaitable[None]) -> None:
        try:
            await noting
        except StorageError as error:
            log.warning("a server that came or went is not noted yet: %s", error)
            self._unsure.set()

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """All shards have greeted: servers may have been left while nobody was looking."""
        self._unsure.set()

    async def _reconcile(self) -> None:
        while True:
            await self._unsure.wait()
            self._unsure.clear()
            try:
                settled = await self._look()
            except StorageError as error:
                log.warning("it is not known which servers were left: %s", error)
                settled = False
            if not settled:
                self._unsure.set()
                await asyncio.sleep(RECONCILE_S)

    async def _look(self) -> bool:
        """False: Discord does not tell of all servers just now, and what is missing may be there."""
        guilds = self.bot.guilds
        if not self.bot.is_ready() or any(guild.unavailable for guild in guilds):
            return False
        if left := await self.privacy.reconcile([guild.id for guild in guilds]):
            log.info("%d servers were left while nobody was looking", left)
        return True


def _confirmation(interaction: Interaction) -> discord.ui.View:
    until = interaction.created_at + timedelta(seconds=CONFIRM_S)
    view = discord.ui.View(timeout=None)
    view.add_item(
        discord.ui.Button(
            label="Erase",
            emoji="🗑️",
            style=discord.ButtonStyle.danger,
            custom_id=f"privacy:erase:{interaction.user.id}:{int(until.timestamp())}",
        )
    )
    view.stop()  # only its looks are wanted: `EraseButton` answers
    return view


class EraseButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"privacy:erase:(?P<user_id>[0-9]{1,20}):(?P<until>[0-9]{1,12})",
):
    """Erases who presses it, if it was made for them and not long ago, whichever process showed it."""

    def __init__(self, item: discord.ui.Button[discord.ui.View], user_id: int, until: int) -> None:
        super().__init__(item)
        self.user_id = user_id
        self.until = until

    @classmethod
    async def from_custom_id(  # type: ignore[override]  # our own client's type
        cls, _: Interaction, item: discord.ui.Item[discord.ui.View], match: "re.Match[str]", /
    ) -> "EraseButton":
        assert isinstance(item, discord.ui.Button)
        return cls(item, int(match["user_id"]), int(match["until"]))

    async def callback(self, interaction: Interaction) -> None:  # type: ignore[override]  # as above
        try:
            left_s = self.until - interaction.created_at.timestamp()
            if interaction.user.id != self.user_id or not 0 <= left_s <= CONFIRM_S:
                await interaction.response.edit_message(content=KEPT_INSTEAD, view=None)
                return
            cog = interaction.client.get_cog(PrivacyCog.__cog_name__)
            assert isinstance(cog, PrivacyCog)
            await cog.confirmed(interaction)
        except Exception as error:  # noqa: BLE001 - discord.py would only log it: the one door takes whatever comes
            await interaction.client.report(interaction, error)


async def setup(bot: Bot) -> None:
    await bot.add_cog(PrivacyCog(bot))
