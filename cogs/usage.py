"""`/usage`: what was spent, what is left, and where it went; for oneself, or for a server's admins as a whole."""

import io
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final, Literal, get_args

import discord
from discord import app_commands
from discord.ext import commands

from bot.answers.attachments import shown_name
from bot.client import Bot
from bot.credits import export
from bot.credits.policy import DIRECT_SCOPE
from bot.credits.values import Entry
from bot.errors import NotPermitted
from bot.ops.charts import Chart, describe
from bot.ops.logging import log_context
from bot.ops.plotter import ChartUnavailable
from cogs.ask import Interaction, asker_of, place_of
from cogs.usage_text import (
    IN_WORDS,
    SHOWN_CHARGES,
    SHOWN_MEMBERS,
    TREND_DAYS,
    MyUsage,
    Period,
    ServerUsage,
    Window,
    chart_of,
    messages,
    my_text,
    server_text,
    window,
)

Scope = Literal["me", "server"]

CSV_BYTES: Final = 8_000_000
"""The largest file that is made, where Discord would take more: it is built in memory."""


def scope_of(interaction: Interaction) -> int:
    """Whose rules apply: the server's where the bot is a member, else those of direct messages."""
    return place_of(interaction).scope_id


def role_ids_of(interaction: Interaction) -> frozenset[int]:
    """The asker's roles in the server."""
    return frozenset(asker_of(interaction.user).role_ids)


def require_manager(interaction: Interaction) -> int:
    """The server's id, for those who may manage it: asked of Discord's own figure, whatever let the command through.

    Raises:
        NoPrivateMessage: not in a server that the bot is a member of.
        NotPermitted: no Manage Server.
    """
    scope_id = scope_of(interaction)
    if scope_id == DIRECT_SCOPE:
        raise app_commands.NoPrivateMessage
    if not interaction.permissions.manage_guild:
        raise NotPermitted("members who can manage this server")
    return scope_id


class Usage(commands.Cog):
    """Reads the ledger, changes nothing. What it says, only the asker sees."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot

    async def cog_load(self) -> None:
        self.bot.add_dynamic_items(CsvButton)

    async def cog_unload(self) -> None:
        self.bot.remove_dynamic_items(CsvButton)

    @app_commands.command(description="Your credits: what is left, when it renews, and what you spent it on")
    @app_commands.describe(
        scope="me: your own credits; server: everybody's, for those who can manage the server",
        period="Which charges: since the beginning of the day, week or month, or all",
    )
    async def usage(self, interaction: Interaction, scope: Scope = "me", period: Period = "week") -> None:
        if scope == "server":
            require_manager(interaction)
        await interaction.response.defer(thinking=True, ephemeral=True)
        if scope == "server":
            await self._show_server(interaction, period)
        else:
            await self._show_mine(interaction, period)

    async def _show_mine(self, interaction: Interaction, period: Period) -> None:
        scope_id, user, now = scope_of(interaction), interaction.user, datetime.now(UTC)
        reports, unit = self.bot.services.reports, self.bot.services.unit
        standing = await self.bot.services.ledger.standing(scope_id, user.id, role_ids_of(interaction), at=now)
        shown = await self._window(scope_id, period, now)
        usage = MyUsage(
            standing=standing,
            place=interaction.guild.name if interaction.guild is not None and scope_id != DIRECT_SCOPE else None,
            period=period,
            models=await reports.by_kind_and_model(scope_id, user.id, shown.span),
            recent=await reports.recent(scope_id, user.id, SHOWN_CHARGES),
        )
        chart = await self._chart(scope_id, user.id, shown, user.display_name)
        await self._send(interaction, my_text(usage, unit), chart)

    async def _show_server(self, interaction: Interaction, period: Period) -> None:
        scope_id, now = require_manager(interaction), datetime.now(UTC)
        reports, unit = self.bot.services.reports, self.bot.services.unit
        name = interaction.guild.name if interaction.guild is not None else "this server"
        shown = await self._window(scope_id, period, now)
        usage = ServerUsage(
            name=name,
            period=period,
            now=now,
            models=await reports.by_kind_and_model(scope_id, None, shown.span),
            members=await reports.top_members(scope_id, shown.span, SHOWN_MEMBERS),
            trend=await reports.trend(scope_id, None, days_back=TREND_DAYS[period], at=now),
            month=await reports.month(scope_id, at=now),
            ceiling_nano=self.bot.services.settings.server_monthly_ceiling_nano,
            recent=await reports.recent(scope_id, None, SHOWN_CHARGES),
        )
        chart = await self._chart(scope_id, None, shown, name)
        await self._send(interaction, server_text(usage, unit), chart, _csv_view(scope_id, period))

    async def _window(self, scope_id: int, period: Period, now: datetime) -> Window:
        settings = await self.bot.services.guilds.settings(scope_id)
        return window(period, now, settings.zone)

    async def _chart(self, scope_id: int, user_id: int | None, shown: Window, name: str) -> Chart | None:
        guild_settings = await self.bot.services.guilds.settings(scope_id)
        spent = await self.bot.services.reports.by_day_and_model(
            scope_id, user_id, shown.first, shown.last, guild_settings.zone
        )
        title = f"{shown_name(name)} · {IN_WORDS[shown.period]}"
        return chart_of(spent, shown, title=title, unit=self.bot.services.unit)

    async def _send(
        self, interaction: Interaction, text: str, chart: Chart | None, view: discord.ui.View | None = None
    ) -> None:
        picture = await self._drawn(chart)
        first, *more = messages(text, chart, drawn=picture is not None)
        files = [] if picture is None else [picture]
        await interaction.followup.send(first, files=files, view=view or discord.utils.MISSING, ephemeral=True)
        for each in more:
            await interaction.followup.send(each, ephemeral=True)

    async def _drawn(self, chart: Chart | None) -> discord.File | None:
        if chart is None:
            return None
        try:
            picture = await self.bot.services.charts.draw(chart)
        except ChartUnavailable:
            return None
        return discord.File(io.BytesIO(picture), filename="usage.png", description=describe(chart))


class CsvButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=rf"usage:csv:(?P<guild_id>[0-9]{{1,20}}):(?P<period>{'|'.join(get_args(Period))})",
):
    """The ledger of a server as a file. Names server and period, so that it outlives the process that made it."""

    def __init__(self, guild_id: int, period: Period) -> None:
        super().__init__(
            discord.ui.Button(
                label="CSV",
                emoji="📄",
                style=discord.ButtonStyle.secondary,
                custom_id=f"usage:csv:{guild_id}:{period}",
            )
        )
        self.guild_id = guild_id
        self.period: Period = period

    @classmethod
    async def from_custom_id(  # type: ignore[override]  # our own client's type
        cls, interaction: Interaction, item: discord.ui.Item[discord.ui.View], match: "re.Match[str]", /
    ) -> "CsvButton":
        period = next(each for each in get_args(Period) if each == match["period"])
        return cls(int(match["guild_id"]), period)

    async def callback(self, interaction: Interaction) -> None:  # type: ignore[override]  # as above
        try:
            with log_context(request_id=interaction.id):
                await self._export(interaction)
        except Exception as error:  # noqa: BLE001 - discord.py would only log it: the one door takes whatever comes
            await interaction.client.report(interaction, error)

    async def _export(self, interaction: Interaction) -> None:
        if require_manager(interaction) != self.guild_id:
            raise NotPermitted("members who can manage that server")
        await interaction.response.defer(thinking=True, ephemeral=True)
        services = interaction.client.services
        zone = (await services.guilds.settings(self.guild_id)).zone
        shown = window(self.period, datetime.now(UTC), zone)
        entries = services.reports.entries(self.guild_id, shown.span)
        content = await csv_of(entries, min(CSV_BYTES, interaction.filesize_limit))
        when = IN_WORDS[self.period]
        if content is None:
            await interaction.followup.send(
                f"The entries of {when} are more than I can put into a file here. Please choose a shorter period; the "
                "bot's operator can export all of them.",
                ephemeral=True,
            )
            return
        name = f"usage-{self.period}-{shown.last.isoformat()}.csv"
        await interaction.followup.send(
            f"Every entry of {when}. Amounts are in nano-dollars, times in UTC.",
            file=discord.File(io.BytesIO(content), filename=name),
            ephemeral=True,
        )


async def csv_of(entries: AsyncIterator[Entry], limit_bytes: int) -> bytes | None:
    """The entries as CSV, with the mark by which spreadsheets know UTF-8; None beyond the limit."""
    written = io.BytesIO()
    written.write(f"\ufeff{export.header()}".encode())
    async for entry in entries:
        written.write(export.row(entry).encode(errors="replace"))
        if written.tell() > limit_bytes:
            return None
    return written.getvalue()


def _csv_view(guild_id: int, period: Period) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    view.add_item(CsvButton(guild_id, period))
    view.stop()  # only its looks are wanted: the class answers for the button
    return view


async def setup(bot: Bot) -> None:
    await bot.add_cog(Usage(bot))
