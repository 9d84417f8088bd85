"""`/doctor`: what keeps the bot from working in this channel and server, each thing with its cure."""

import asyncio
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

import discord
from discord import app_commands
from discord.ext import commands
from discord.utils import format_dt

from bot.client import NOT_TAKEN, Bot
from bot.credits.policy import DIRECT_SCOPE, OperatorLimits
from bot.errors import ChannelRefused
from bot.guilds import SERVER_DEFAULT
from bot.ops.doctor import machine
from bot.ops.doctor.discord import clock_finding
from bot.ops.doctor.findings import LEVELS, Check, Finding, Level, examine, worst
from bot.ops.doctor.minitoolai import minitoolai_findings
from bot.ops.doctor.permissions import permission_findings
from bot.storage.database import sqlite_path
from cogs.ask import Interaction, place_of
from cogs.decisions import allowance_words, check_log_channel, fitted
from cogs.usage import require_manager

SHARED_HOLDS_S: Final = 60.0
"""So long one look at what all servers share serves everybody who asks: each costs requests to the API."""

LIMITS_WITHIN_S: Final = 3600.0
LATENCY_GOOD_S: Final = 1.0
MEBIBYTE: Final = 1024 * 1024

MARKS: Final[dict[Level, str]] = {"ok": "✅", "note": "ℹ️", "warning": "⚠️", "problem": "❌"}

OPERATOR: Final = "Please tell the bot's operator, who sees more with `python -m bot doctor`."

SHARED_WORDS: Final = {
    "api": ("The AI service answers and has nothing against my key.", "The AI service does not serve me just now."),
    "memory": ("My memory works and has room.", "My memory does not work as it should."),
    "versions": ("My parts fit together.", "Some of my parts are not the versions that I was made for."),
}
"""What a server's admins are told of what all servers share: that it works, or that it does not."""


def shared_words(findings: Sequence[Finding]) -> list[Finding]:
    """The operator's findings without their details, which are nothing to a server's admins."""
    told = []
    for check, (right, wrong) in SHARED_WORDS.items():
        level = worst(finding for finding in findings if finding.check == check)
        fine = level in ("ok", "note")
        told.append(
            Finding(check=check, level="ok", what=right)
            if fine
            else Finding(check=check, level=level, what=wrong, cure=OPERATOR)
        )
    return told


class Doctor(commands.Cog):
    """Reads and asks, changes nothing. What it says, only the asker sees."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.services = bot.services
        self._looking = asyncio.Lock()
        self._looked_at = -math.inf
        self._shared: list[Finding] = []

    @app_commands.command(description="What keeps me from working here, and what to do about it")
    @app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
    @app_commands.default_permissions(manage_guild=True)
    async def doctor(self, interaction: Interaction) -> None:
        arrived_s = time.time()
        if interaction.guild_id is None:
            raise app_commands.NoPrivateMessage
        member = place_of(interaction).scope_id != DIRECT_SCOPE
        if member:
            require_manager(interaction)
        await interaction.response.defer(ephemeral=True, thinking=True)
        clock = clock_finding(arrived_s - interaction.created_at.timestamp())
        here = await self._here(interaction) if member else _as_guest(interaction)
        findings = [*here, *await self._everywhere(), *shared_clock(clock), *self._gateway(interaction)]
        await interaction.followup.send(report(interaction, findings), ephemeral=True)

    async def _here(self, interaction: Interaction) -> list[Finding]:
        """This channel and this server, where the bot is a member."""
        assert interaction.guild is not None
        checks = [
            Check(name="permissions", run=partial(_permissions, interaction)),
            Check(name="log channel", run=partial(self._log_channel, interaction.guild)),
            Check(name="allowance", run=partial(self._allowance, interaction.guild)),
            Check(name="ceiling", run=partial(self._ceiling, interaction.guild)),
            Check(name="pictures", run=partial(self._pictures, interaction)),
            Check(name="commands", run=self._commands),
            Check(name="limits", run=partial(self._limits, interaction)),
        ]
        return list(await examine(checks))

    async def _log_channel(self, guild: discord.Guild) -> Sequence[Finding]:
        channel_id = (await self.services.guilds.settings(guild.id)).log_channel_id
        if channel_id is None:
            what = "Changes of credits and settings are posted nowhere."
            cure = "`/settings log-channel` chooses a channel, if you want one."
            return [Finding(check="log channel", level="note", what=what, cure=cure)]
        try:
            check_log_channel(guild, channel_id)
        except ChannelRefused as error:
            missing = f"Allow me {' and '.join(error.missing)} there" if error.missing else "Let me see it"
            what = f"Changes of credits and settings cannot be posted in <#{channel_id}>."
            cure = f"{missing}, or choose another with `/settings log-channel`."
            return [Finding(check="log channel", level="warning", what=what, cure=cure)]
        return [Finding(check="log channel", level="ok", what=f"Changes are posted in <#{channel_id}>.")]

    async def _allowance(self, guild: discord.Guild) -> Sequence[Finding]:
        """What a member without a rule of their own may spend: the server's default comes first in its list."""
        first = await self.services.allowances.page(guild.id, limit=1)
        own = first[0].allowance if first and first[0].target == SERVER_DEFAULT else None
        allowance = own or OperatorLimits.load(self.services.settings).member
        whose = "this server's default" if own else "the default of the bot's operator"
        if allowance.kind == "none" or (allowance.kind == "amount" and allowance.amount_nano == 0):
            what = f"Nobody without an allowance of their own can ask me anything ({whose} is none)."
            cure = "`/quota set` gives everyone credits, or a member or a role."
            return [Finding(check="allowance", level="problem", what=what, cure=cure)]
        words = allowance_words(allowance, self.services.unit)
        return [Finding(check="allowance", level="ok", what=f"Everyone may spend **{words}** ({whose}).")]

    async def _ceiling(self, guild: discord.Guild) -> Sequence[Finding]:
        """Whether the operator's money for this month is used up: the server's share, or all. Else nothing is said."""
        settings, now = self.services.settings, datetime.now(UTC)
        ceilings = ((guild.id, settings.server_monthly_ceiling_nano), (None, settings.bot_monthly_ceiling_nano))
        for scope_id, ceiling_nano in ceilings:
            month = await self.services.reports.month(scope_id, at=now)
            if ceiling_nano is not None and month.provider_nano + month.held_nano >= ceiling_nano:
                whose = "This server has" if scope_id else "I have"
                what = f"{whose} used up what the bot's operator pays for in a month, so nobody is served."
                cure = f"It goes on {format_dt(month.resets_at, 'R')}, or when the operator raises the limit."
                return [Finding(check="ceiling", level="problem", what=what, cure=cure)]
        return []

    async def _pictures(self, interaction: Interaction) -> Sequence[Finding]:
        """What decides on pictures here: the server's switch, the channel's age restriction, and the upload limit."""
        assert interaction.guild is not None
        settings = await self.services.guilds.settings(interaction.guild.id)
        limit = f"files of up to {interaction.filesize_limit / MEBIBYTE:,.0f} MiB fit here"
        age = "is" if _age_restricted(interaction) else "is not"
        facts = f"{limit}, and this channel {age} age-restricted."
        if settings.images:
            return [Finding(check="pictures", level="ok", what=f"Pictures are on; {facts}")]
        what = f"Pictures are off for this server; {facts}"
        return [Finding(check="pictures", level="note", what=what, cure="`/settings images` switches them on.")]

    async def _commands(self) -> Sequence[Finding]:
        """Whether Discord knows the commands that this version has. It does know this one."""
        try:
            known = {command.name for command in await self.bot.tree.fetch_commands()}
        except NOT_TAKEN:
            what, cure = "Discord did not say which of my commands it knows.", "Try again in a minute."
            return [Finding(check="commands", level="warning", what=what, cure=cure)]
        missing = sorted({command.name for command in self.bot.tree.get_commands()} - known)
        if not missing:
            return [Finding(check="commands", level="ok", what=f"Discord knows all {len(known)} of my commands.")]
        names = ", ".join(f"`{name}`" for name in missing)
        cure = f"They come with my next start. {OPERATOR}"
        return [Finding(check="commands", level="warning", what=f"Discord does not know {names} yet.", cure=cure)]

    async def _limits(self, interaction: Interaction) -> Sequence[Finding]:
        assert interaction.channel_id is not None
        count = self.services.rest.refused_in(interaction.channel_id, within_s=LIMITS_WITHIN_S)
        if not count:
            return [Finding(check="limits", level="ok", what="No message limit was hit here in the last hour.")]
        what = f"In the last hour Discord held my messages here up {count} time{'' if count == 1 else 's'}."
        cure = "Where many ask at once, let them ask in several channels or in threads: each has limits of its own."
        return [Finding(check="limits", level="warning", what=what, cure=cure)]

    async def _everywhere(self) -> list[Finding]:
        """What all servers share, looked at once a minute at most. Who asks meanwhile waits for the same look."""
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if now - self._looked_at > SHARED_HOLDS_S:
                self._shared = shared_words(await examine(self._shared_checks()))
                self._looked_at = asyncio.get_running_loop().time()
            return self._shared

    def _shared_checks(self) -> list[Check]:
        settings = self.services.settings
        return [
            Check(
                name="api", run=partial(minitoolai_findings, settings.minitoolai_api_url, settings.minitoolai_api_key)
            ),
            Check(name="memory", run=self._memory),
            Check(name="versions", run=machine.version_findings),
        ]

    async def _memory(self) -> Sequence[Finding]:
        """A reading of the open database, and the room on its disk."""
        await self.services.guilds.settings(DIRECT_SCOPE)  # anybody's: that it can be read is what counts
        folder = sqlite_path(self.services.settings.database_url).parent
        level = worst(await machine.disk_findings(folder))
        cure = OPERATOR if level in ("warning", "problem") else None
        return [Finding(check="memory", level=level, what="The database was read.", cure=cure)]

    def _gateway(self, interaction: Interaction) -> list[Finding]:
        shard = self.bot.get_shard(interaction.guild.shard_id) if interaction.guild is not None else None
        return [latency_finding(shard.latency if shard is not None else self.bot.latency)]


def latency_finding(latency_s: float) -> Finding:
    """What the way to Discord and back says; it is not finite before Discord's first answer to a heartbeat."""
    if not math.isfinite(latency_s):
        return Finding(check="gateway", level="note", what="I have been connected to Discord for some seconds only.")
    what = f"Discord and I reach each other in {latency_s * 1000:,.0f} ms."
    if latency_s <= LATENCY_GOOD_S:
        return Finding(check="gateway", level="ok", what=what)
    return Finding(check="gateway", level="warning", what=what, cure=f"My answers may come late. {OPERATOR}")


async def _permissions(interaction: Interaction) -> Sequence[Finding]:
    """Discord's own figure for this channel. Where the bot sees no channel, it knows only from the server."""
    assert interaction.guild is not None
    assert interaction.channel_id is not None
    channel = interaction.guild.get_channel_or_thread(interaction.channel_id)
    granted = interaction.app_permissions
    if channel is None or not channel.permissions_for(interaction.guild.me).view_channel:
        granted = discord.Permissions.none()
    in_thread = isinstance(interaction.channel, discord.Thread)
    return [*permission_findings(granted.value, in_thread=in_thread), *_members_may(interaction.guild, channel)]


def _members_may(guild: discord.Guild, channel: discord.abc.GuildChannel | discord.Thread | None) -> list[Finding]:
    """Whether members without a role that lets them can use commands here."""
    if channel is None or channel.permissions_for(guild.default_role).use_application_commands:
        return []
    what = "Members need a role that lets them use commands here: @everyone has no Use Application Commands."
    cure = "Allow it in Edit Channel → Permissions, if everyone shall ask me here."
    return [Finding(check="permissions", level="note", what=what, cure=cure)]


def _age_restricted(interaction: Interaction) -> bool:
    channel = interaction.channel
    return isinstance(channel, discord.abc.GuildChannel | discord.Thread) and bool(
        getattr(channel, "is_nsfw", lambda: False)()
    )


def _as_guest(interaction: Interaction) -> list[Finding]:
    """Where a member brought the bot along, and it is none itself."""
    what = (
        "I am not a member of this server: you brought me along. So I answer commands only, not mentions; the server's "
        "settings and `/quota` do not count here, and what you spend is what you have in direct messages."
    )
    cure = "To have all of me here, somebody who manages the server can add me: my profile → Add App → Add to Server."
    findings = [Finding(check="place", level="note", what=what, cure=cure)]
    if not interaction.app_permissions.attach_files:
        what = "I may not attach files here, so long answers cannot come as a file."
        cure = "Ask in another channel, or in a direct message to me."
        findings.append(Finding(check="permissions", level="warning", what=what, cure=cure))
    return findings


def shared_clock(clock: Finding) -> list[Finding]:
    """The clock is nobody's concern but the operator's, as long as it is right."""
    if clock.level == "ok":
        return []
    what = "My clock disagrees with Discord's, so long answers may be cut off and days may begin at the wrong time."
    return [Finding(check="clock", level=clock.level, what=what, cure=OPERATOR)]


def report(interaction: Interaction, findings: Sequence[Finding]) -> str:
    """One message: what is wrong first, in the order in which it was found; what does not fit is counted."""
    ranked = sorted(findings, key=lambda finding: -LEVELS.index(finding.level))
    head = f"### Check-up of <#{interaction.channel_id}>"
    lines = [head, *map(_line, ranked)]
    wrong = sum(finding.level in ("warning", "problem") for finding in findings)
    end = "Nothing is in the way." if not wrong else f"{wrong} thing{'' if wrong == 1 else 's'} to mend."
    shown = fitted(lines, reserve=200)
    more = f" {len(lines) - shown} more did not fit; mend these first." if shown < len(lines) else ""
    checked = format_dt(datetime.now(UTC), "t")
    return "\n".join([*lines[:shown], f"-# {end}{more} Looked at {checked}."])


def _line(finding: Finding) -> str:
    cure = f"\n-# → {finding.cure}" if finding.cure else ""
    return f"{MARKS[finding.level]} {finding.what}{cure}"


async def setup(bot: Bot) -> None:
    await bot.add_cog(Doctor(bot))
