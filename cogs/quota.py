"""`/quota`: a server's admins say who may spend how much. What they decide, everybody can be shown afterwards."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

import discord
from discord import app_commands
from discord.ext import commands
from discord.utils import format_dt

from bot.client import Bot
from bot.credits.allowances import SetAllowance
from bot.credits.policy import BLOCKED, UNLIMITED, Allowance, OperatorLimits, Period, period_bounds
from bot.credits.values import Standing
from bot.errors import NothingToRemove, TargetRefused
from bot.guilds import SERVER_DEFAULT, Logged, Target
from cogs.ask import LARGEST_ID, Interaction
from cogs.decisions import (
    allowance_words,
    answer,
    credits_words,
    decided,
    fitted,
    logged_words,
    member_words,
    plain,
    standing_lines,
    target_words,
)
from cogs.usage import require_manager

REASON_LIMIT: Final = 200
"""Characters of a grant's reason: it is shown beside every grant."""
LIST_PAGE: Final = 10
LISTED_LIMIT: Final = 1_000
"""Allowances that the list goes through: a hundred pages."""
LOG_PAGE: Final = 10
LOOK_UP_S: Final = 3.0
"""How long the list waits to hear from Discord who has left."""
_READ_PAGE: Final = 100
_AFTER_MEMBERS: Final = Target.member(2**63 - 1)
"""Allowances are read in the order default, members, roles: after this one come the roles."""

Who: TypeAlias = discord.Member | discord.User | discord.Role
"""What Discord lets people pick as a mentionable. A User is somebody who is not a member, or no longer."""

CreditsText: TypeAlias = app_commands.Range[str, 1, 40]

_TARGET_HELP: Final = "A member or a role; leave it out for the server's default"


def receiver(guild: discord.Guild, who: Who | None) -> Target:
    """Whose allowance `who` means; nobody means the server's default.

    Raises:
        TargetRefused: it is nobody to whom an allowance can be given.
    """
    if who is None:
        return SERVER_DEFAULT
    if isinstance(who, discord.Role):
        if who.id == guild.id:
            raise TargetRefused("everyone")
        if guild.get_role(who.id) is None:
            raise TargetRefused("deleted")
        if who.is_bot_managed():
            raise TargetRefused("bot")
        return Target.role(who.id)
    return Target.member(_member(who).id)


def _member(who: discord.Member | discord.User) -> discord.Member:
    """TargetRefused for a bot, and for who is no member."""
    if isinstance(who, discord.Member | discord.User) and who.bot:
        raise TargetRefused("bot")
    if not isinstance(who, discord.Member):
        raise TargetRefused("left")
    return who


def _removable(guild: discord.Guild, who: Who | None) -> Target:
    """Whose allowance is to be removed: that of somebody who is gone, too."""
    if isinstance(who, discord.Role):
        if who.id == guild.id:
            raise TargetRefused("everyone")
        return Target.role(who.id)
    return SERVER_DEFAULT if who is None else Target.member(who.id)


def _role_ids(member: discord.Member | discord.User) -> frozenset[int]:
    return frozenset(role.id for role in member.roles) if isinstance(member, discord.Member) else frozenset()


@app_commands.allowed_contexts(guilds=True, dms=False, private_channels=False)
@app_commands.allowed_installs(guilds=True, users=False)
@app_commands.default_permissions(manage_guild=True)
class QuotaCog(commands.GroupCog, group_name="quota", group_description="Who may spend how many credits here"):
    """Each command asks for Manage Server itself: a server's override of Discord's check lets nobody else through."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.services = bot.services
        self.operator_default = OperatorLimits.load(bot.services.settings).member

    async def cog_load(self) -> None:
        self.bot.add_dynamic_items(PageButton, GoneSelect)

    async def cog_unload(self) -> None:
        self.bot.remove_dynamic_items(PageButton, GoneSelect)

    @app_commands.command(name="set", description="So many credits for each day, week or month, or once")
    @app_commands.rename(amount="credits")
    @app_commands.describe(
        amount="How many: 100, 1,000 or 0.5",
        period="When they come anew, by this server's calendar; once: never",
        target=_TARGET_HELP,
    )
    async def set_(
        self, interaction: Interaction, amount: CreditsText, period: Period, target: Who | None = None
    ) -> None:
        guild = await self._begin(interaction)
        whom = receiver(guild, target)
        allowance = Allowance.of(self.services.unit.parse(amount), period)
        await self._change(interaction, guild, target, whom, allowance)

    @app_commands.command(description="No limit but the operator's own")
    @app_commands.describe(target=_TARGET_HELP)
    async def unlimited(self, interaction: Interaction, target: Who | None = None) -> None:
        guild = await self._begin(interaction)
        await self._change(interaction, guild, target, receiver(guild, target), UNLIMITED)

    @app_commands.command(description="No credits at all, not even granted ones")
    @app_commands.describe(target=_TARGET_HELP)
    async def block(self, interaction: Interaction, target: Who | None = None) -> None:
        guild = await self._begin(interaction)
        await self._change(interaction, guild, target, receiver(guild, target), BLOCKED)

    @app_commands.command(description="Take an allowance away, so that the next rule counts")
    @app_commands.describe(target=_TARGET_HELP)
    async def remove(self, interaction: Interaction, target: Who | None = None) -> None:
        guild = await self._begin(interaction)
        await self._change(interaction, guild, target, _removable(guild, target), None)

    @app_commands.command(description="Extra credits, spent after the allowance; they do not expire")
    @app_commands.rename(amount="credits")
    @app_commands.describe(member="Who gets them", amount="How many: 100, 1,000 or 0.5", reason="Why, for the log")
    async def grant(
        self,
        interaction: Interaction,
        member: discord.Member | discord.User,
        amount: CreditsText,
        reason: app_commands.Range[str, 1, REASON_LIMIT],
    ) -> None:
        guild = await self._begin(interaction)
        whom = _member(member)
        unit = self.services.unit
        amount_nano = unit.parse(amount)
        decision = decided(interaction, reason.strip())
        granted = await self.services.ledger.grant(guild.id, whom.id, amount_nano, decision)
        logged = Logged(
            scope_id=guild.id,
            action="grant",
            decision=decision,
            target=Target.member(whom.id),
            before=str(granted.before_nano),
            after=str(granted.after_nano),
        )
        lines = [
            f"✅ <@{whom.id}> has been granted **{credits_words(amount_nano, unit)}**: {plain(reason)}",
            f"Granted credits left: {unit.show(granted.before_nano)} → **{unit.show(granted.after_nano)}**",
            *standing_lines(await self._standing(guild, whom), unit),
        ]
        await answer(interaction, guild, lines, logged)

    @app_commands.command(description="What counts for a member, and what is left")
    @app_commands.describe(member="Whose credits to look at")
    async def show(self, interaction: Interaction, member: discord.Member | discord.User) -> None:
        guild = await self._begin(interaction)
        if member.bot:
            raise TargetRefused("bot")
        standing = await self._standing(guild, member)
        lines = [f"### Credits of <@{member.id}>"]
        if not isinstance(member, discord.Member):
            lines.append("-# Not a member of this server (any more).")
        lines += standing_lines(standing, self.services.unit)
        await interaction.followup.send("\n".join(lines), ephemeral=True)

    @app_commands.command(name="list", description="Every allowance that is set in this server")
    async def list_(self, interaction: Interaction) -> None:
        guild = await self._begin(interaction)
        text, view = await self.list_page(guild, 0)
        await interaction.followup.send(text, view=view, ephemeral=True)

    @app_commands.command(description="Who changed what, the newest first")
    async def log(self, interaction: Interaction) -> None:
        guild = await self._begin(interaction)
        text, view = await self.log_page(guild, None)
        await interaction.followup.send(text, view=view, ephemeral=True)

    async def _begin(self, interaction: Interaction) -> discord.Guild:
        """The server, once it is sure that the asker may decide here."""
        require_manager(interaction)
        await interaction.response.defer(ephemeral=True)
        assert interaction.guild is not None
        return interaction.guild

    async def _standing(self, guild: discord.Guild, member: discord.Member | discord.User) -> Standing:
        return await self.services.ledger.standing(guild.id, member.id, _role_ids(member), at=datetime.now(UTC))

    async def _change(
        self,
        interaction: Interaction,
        guild: discord.Guild,
        who: Who | None,
        target: Target,
        allowance: Allowance | None,
    ) -> None:
        """Set the allowance, or take it away, and say what that means now."""
        logged = await self.decide(interaction, guild, target, allowance)
        before = None if logged.before is None else Allowance.from_text(logged.before)
        unit = self.services.unit
        change = f"{allowance_words(before, unit)} → **{allowance_words(allowance, unit)}**"
        whose = "The server's default" if target == SERVER_DEFAULT else f"Allowance of {target_words(target, guild)}"
        lines = [f"✅ {whose}: {change}"]
        if isinstance(who, discord.Member | discord.User):
            standing = await self._standing(guild, who)
            lines += [*standing_lines(standing, unit), *_new_period(before, allowance, standing)]
        else:
            lines += await self._consequences(guild, target, before, allowance)
        await answer(interaction, guild, lines, logged)

    async def decide(
        self, interaction: Interaction, guild: discord.Guild, target: Target, allowance: Allowance | None
    ) -> Logged:
        """Make the change; what was logged of it.

        Raises:
            NothingToRemove: there was none.
        """
        decision, allowances = decided(interaction), self.services.allowances
        if allowance is None:
            change = await allowances.remove(guild.id, target, decision)
        else:
            change = await allowances.set(guild.id, target, allowance, decision)
        return Logged(
            scope_id=guild.id,
            action="allowance",
            decision=decision,
            target=target,
            before=None if change.before is None else change.before.text,
            after=None if change.after is None else change.after.text,
        )

    async def _consequences(
        self, guild: discord.Guild, target: Target, before: Allowance | None, after: Allowance | None
    ) -> list[str]:
        """What a change of a role's allowance, or of the default, means to those for whom it counts."""
        if target.kind == "role":
            lines = [_ROLE_RULES["none" if after is None else after.kind]]
        elif after is None:
            words = allowance_words(self.operator_default, self.services.unit)
            lines = [f"Without a default of its own, the server has that of the bot's operator: **{words}**."]
        else:
            lines = ["It counts for members who have none of their own and none by a role."]
        if after is None or after.kind != "amount":
            return lines
        zone = (await self.services.guilds.settings(guild.id)).zone
        return [*lines, *_calendar(before, after, zone)]

    async def list_page(self, guild: discord.Guild, number: int) -> tuple[str, discord.ui.View]:
        """One page of the list, from 0; the last one where there are not that many."""
        roles, members, default, is_whole = await self._all(guild)
        listed = [*roles, *members]
        pages = max(1, -(-len(listed) // LIST_PAGE))
        number = min(number, pages - 1)
        shown = listed[number * LIST_PAGE : (number + 1) * LIST_PAGE]
        gone = await _gone(guild, [each.target for each in shown])
        unit = self.services.unit
        lines = ["### Allowances in this server"]
        words = allowance_words(self.operator_default if default is None else default.allowance, unit)
        whose = "the default of the bot's operator" if default is None else _set_by(default)
        lines.append(f"Everybody for whom nothing else counts: **{words}** ({whose})")
        headings = {"role": "**Roles** (of several the best counts)", "member": "**Members** (before their roles)"}
        for each in shown:
            if (heading := headings.pop(each.target.kind, None)) is not None:
                lines.append(heading)
            left = " ⚠️ has left" if each.target in gone and each.target.kind == "member" else ""
            words = allowance_words(each.allowance, unit)
            lines.append(f"- {target_words(each.target, guild)}{left}: **{words}** ({_set_by(each)})")
        if not listed:
            lines.append("Nothing else is set. `/quota set` gives a member or a role an allowance of their own.")
        if pages > 1:
            lines.append(f"-# Page {number + 1} of {pages}{'' if is_whole else f'; the first {LISTED_LIMIT:,} only'}")
        if gone:
            lines.append("-# Who is gone spends nothing. Below you can remove what is left of them.")
        count = fitted(lines)
        assert count == len(lines), "a page of the longest lines fits"
        return "\n".join(lines), _list_view(number, pages, shown, gone, self)

    async def _all(
        self, guild: discord.Guild
    ) -> tuple[list[SetAllowance], list[SetAllowance], SetAllowance | None, bool]:
        """The roles' allowances from the highest role down, the members', the default, and whether that is all."""
        roles = await self._read(guild.id, _AFTER_MEMBERS, "role")
        positions = {role.id: role.position for role in guild.roles}
        roles.sort(key=lambda each: (-positions.get(each.target.id, -1), each.target.id))
        first = await self.services.allowances.page(guild.id, limit=1)
        default = first[0] if first and first[0].target == SERVER_DEFAULT else None
        members = await self._read(guild.id, SERVER_DEFAULT, "member")
        return roles, members, default, max(len(roles), len(members)) < LISTED_LIMIT

    async def _read(self, guild_id: int, after: Target, kind: str) -> list[SetAllowance]:
        found: list[SetAllowance] = []
        while len(found) < LISTED_LIMIT:
            page = await self.services.allowances.page(guild_id, after=after, limit=_READ_PAGE)
            wanted = [each for each in page if each.target.kind == kind]
            found += wanted
            if len(wanted) < _READ_PAGE:
                break
            after = wanted[-1].target
        return found

    async def log_page(self, guild: discord.Guild, before: int | None) -> tuple[str, discord.ui.View]:
        """Decisions older than that of the key `before`, or the newest."""
        logged = await self.services.guilds.log(guild.id, before=before, limit=LOG_PAGE + 1)
        if not logged:
            return "Nothing has been changed here yet." if before is None else "Nothing older.", _log_view(before, None)
        heading = "### Changes, the newest first"
        lines = [
            f"- {format_dt(each.decision.at, 'f')}: {logged_words(each, guild, self.services.unit)}" for each in logged
        ]
        count = max(1, fitted(lines[:LOG_PAGE], reserve=len(heading) + 1))
        older = logged[count - 1].decision.key if count < len(logged) else None
        return "\n".join([heading, *lines[:count]]), _log_view(before, older)


_ROLE_RULES: Final[Mapping[str, str]] = {
    "amount": "It counts for members with that role who have none of their own; of several roles the best counts.",
    "unlimited": "It counts for members with that role who have none of their own.",
    "none": "It counts for members with that role who have neither one of their own nor a better one by another role.",
}


def _changes_period(before: Allowance | None, after: Allowance | None) -> bool:
    return bool(before and after and before.kind == after.kind == "amount" and before.period != after.period)


def _calendar(before: Allowance | None, after: Allowance, zone: ZoneInfo) -> list[str]:
    """When an amount comes anew, and what counts in it, where it is many people's."""
    changed = "The period is another now. " if _changes_period(before, after) else ""
    start, end = period_bounds(after.period, datetime.now(UTC), zone)
    if start is None or end is None:
        return [f"-# {changed}It does not come anew, and all that was ever spent from an allowance counts in it."]
    return [
        f"It comes anew {format_dt(end, 'f')} ({format_dt(end, 'R')}), by the calendar of {zone.key}.",
        (
            f"-# {changed}What was spent since {format_dt(start, 'f')} counts in it. "
            "Who has spent more has nothing left until then; nothing is taken back."
        ),
    ]


def _new_period(before: Allowance | None, after: Allowance | None, standing: Standing) -> list[str]:
    """A word on a period that changes while it runs."""
    if not _changes_period(before, after):
        return []
    if standing.starts_at is None:
        return ["-# The period is another now: all that was ever spent from an allowance counts in it."]
    return [f"-# The period is another now: what was spent since {format_dt(standing.starts_at, 'f')} counts in it."]


def _set_by(each: SetAllowance) -> str:
    return f"by {member_words(each.set_by)} {format_dt(each.set_at, 'R')}"


async def _gone(guild: discord.Guild, targets: Sequence[Target]) -> frozenset[Target]:
    """Those that Discord no longer knows in this server; who cannot be asked about in time is taken to be there."""
    gone = {each for each in targets if each.kind == "role" and guild.get_role(each.id) is None}

    async def look_up(target: Target) -> None:
        try:
            await guild.fetch_member(target.id)
        except discord.NotFound:
            gone.add(target)
        except discord.HTTPException:
            return

    try:
        async with asyncio.timeout(LOOK_UP_S):
            await asyncio.gather(*(look_up(each) for each in targets if each.kind == "member"))
    except TimeoutError:
        pass
    return frozenset(gone)


def _button(action: str, at: int, label: str, *, disabled: bool = False) -> discord.ui.Button[discord.ui.View]:
    return discord.ui.Button(label=label, custom_id=f"quota:{action}:{at}", disabled=disabled)


def _list_view(
    number: int, pages: int, shown: Sequence[SetAllowance], gone: frozenset[Target], cog: QuotaCog
) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    if pages > 1:
        view.add_item(_button("list", max(0, number - 1), "Back", disabled=number == 0))
        last = number == pages - 1
        view.add_item(_button("list", number + 1, "Next", disabled=last))
    if gone:
        options = [
            discord.SelectOption(
                label=f"{'A deleted role' if each.target.kind == 'role' else 'A member who left'}: {each.target.id}",
                description=allowance_words(each.allowance, cog.services.unit),
                value=f"{each.target.kind}:{each.target.id}",
            )
            for each in shown
            if each.target in gone
        ]
        view.add_item(
            discord.ui.Select(
                custom_id=f"quota:gone:{number}", placeholder="Remove the allowance of …", options=options
            )
        )
    view.stop()  # only its looks are wanted: the dynamic items answer
    return view


def _log_view(before: int | None, older: int | None) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    if before is not None:
        view.add_item(_button("log", 0, "Newest"))
    if older is not None:
        view.add_item(_button("log", older, "Older"))
    view.stop()
    return view


async def _answered(interaction: Interaction, work: Callable[[QuotaCog, discord.Guild], Awaitable[None]]) -> None:
    """What a component of ours does, for who may still decide here; its errors go through the one door."""
    try:
        require_manager(interaction)
        cog = interaction.client.get_cog(QuotaCog.__cog_name__)
        assert isinstance(cog, QuotaCog)
        assert interaction.guild is not None
        await interaction.response.defer()
        await work(cog, interaction.guild)
    except Exception as error:  # noqa: BLE001 - discord.py would only log it: the one door takes whatever comes
        await interaction.client.report(interaction, error)


class PageButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"quota:(?P<what>list|log):(?P<at>[0-9]{1,20})",
):
    """Turns a page of the list or of the log. It names the page, so it outlives the process that made it."""

    def __init__(self, item: discord.ui.Button[discord.ui.View], what: str, at: int) -> None:
        super().__init__(item)
        self.what = what
        self.at = at

    @classmethod
    async def from_custom_id(  # type: ignore[override]  # our own client's type
        cls, interaction: Interaction, item: discord.ui.Item[discord.ui.View], match: "re.Match[str]", /
    ) -> "PageButton":
        assert isinstance(item, discord.ui.Button)
        return cls(item, match["what"], min(int(match["at"]), LARGEST_ID))

    async def callback(self, interaction: Interaction) -> None:  # type: ignore[override]  # as above
        async def turn(cog: QuotaCog, guild: discord.Guild) -> None:
            page = cog.list_page(guild, self.at) if self.what == "list" else cog.log_page(guild, self.at or None)
            text, view = await page
            await interaction.edit_original_response(content=text, view=view)

        await _answered(interaction, turn)


class GoneSelect(
    discord.ui.DynamicItem[discord.ui.Select[discord.ui.View]],
    template=r"quota:gone:(?P<page>[0-9]{1,4})",
):
    """Removes the allowance of somebody whom no option of `/quota remove` offers any more."""

    def __init__(self, item: discord.ui.Select[discord.ui.View], page: int) -> None:
        super().__init__(item)
        self.page = page

    @classmethod
    async def from_custom_id(  # type: ignore[override]  # our own client's type
        cls, interaction: Interaction, item: discord.ui.Item[discord.ui.View], match: "re.Match[str]", /
    ) -> "GoneSelect":
        assert isinstance(item, discord.ui.Select)
        return cls(item, int(match["page"]))

    async def callback(self, interaction: Interaction) -> None:  # type: ignore[override]  # as above
        async def remove(cog: QuotaCog, guild: discord.Guild) -> None:
            target = _chosen(self.item.values)
            logged = await cog.decide(interaction, guild, target, None)
            text, view = await cog.list_page(guild, self.page)
            await interaction.edit_original_response(content=text, view=view)
            await answer(interaction, guild, [f"✅ {logged_words(logged, guild, cog.services.unit)}"], logged)

        await _answered(interaction, remove)


def _chosen(values: Sequence[str]) -> Target:
    """The target that an option of the select names. NothingToRemove for what is none."""
    found = re.fullmatch(r"(member|role):([0-9]{1,18}[0-9]?)", values[0] if values else "")
    if found is None or int(found[2]) == 0:
        raise NothingToRemove
    target_id = min(int(found[2]), LARGEST_ID)
    return Target.member(target_id) if found[1] == "member" else Target.role(target_id)


async def setup(bot: Bot) -> None:
    await bot.add_cog(QuotaCog(bot))
