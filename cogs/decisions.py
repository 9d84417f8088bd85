"""What `/quota` and `/settings` share: how an admin's decision is made, how it reads, and where it is posted."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import discord
from discord.utils import format_dt

from bot.answers.attachments import on_one_line
from bot.answers.plain import escaped
from bot.credits.policy import Allowance, InForce
from bot.credits.values import Standing
from bot.delivery.messages import CONTENT_LIMIT, Outgoing, utf16_length
from bot.errors import ChannelRefused, DeliveryError, DeliveryForbidden, MessageGone
from bot.guilds import Decision, GuildSettings, Logged, Target
from bot.money import CreditUnit, NanoDollars
from bot.pictures.defaults import PictureDefaults
from cogs.ask import Interaction

POST_S: Final = 60.0
"""How long a change waits for room in the log channel. The admin has been answered by then."""

MODELS_NAMED: Final = 8
"""Models that a list of them names, so that a change from one list to another fits into a message."""

DEFAULT_WORDS: Final = "the server's default"

SETTING_NAMES: Final[Mapping[str, str]] = {
    "time_zone": "time zone",
    "log_channel_id": "log channel",
    "default_model": "default model",
    "allowed_models": "allowed models",
    "memory": "memory",
    "images": "pictures",
    "picture_defaults": "picture defaults",
    "picture_models": "picture models",
    "age_restricted_models": "models for age-restricted channels only",
    "persona": "persona",
    "blocked_words": "blocked words",
    "retention_days": "kept for",
}

_LOGGED_PERMISSIONS: Final = {"view_channel": "View Channel", "send_messages": "Send Messages"}
_LOGGED_IN_THREADS: Final = {"view_channel": "View Channel", "send_messages_in_threads": "Send Messages in Threads"}


def decided(interaction: Interaction, reason: str = "") -> Decision:
    """The decision that this interaction asks for."""
    return Decision(key=interaction.id, by=interaction.user.id, at=datetime.now(UTC), reason=reason)


def plain(text: str) -> str:
    """A text on one line: no Markdown, no mention works in it, and it turns nothing that stands around it."""
    return escaped(on_one_line(text))


def credits_words(amount: NanoDollars, unit: CreditUnit, *, up: bool = False) -> str:
    shown = unit.show(amount, up=up)
    return f"{shown} credit{'' if shown == '1' else 's'}"


def allowance_words(allowance: Allowance | None, unit: CreditUnit) -> str:
    """`100 credits a week`, `no limit`, `blocked`, `not set`."""
    if allowance is None:
        return "not set"
    if allowance.kind == "amount":
        often = "once" if allowance.period == "once" else f"a {allowance.period}"
        return f"{credits_words(allowance.amount_nano, unit)} {often}"
    return "no limit" if allowance.kind == "unlimited" else "blocked"


def target_words(target: Target, guild: discord.Guild) -> str:
    """Who it is, as a mention where there is somebody to mention. A mention pings nobody in what we send."""
    if target.kind == "default":
        return DEFAULT_WORDS
    if target.kind == "member":
        return member_words(target.id)
    return f"<@&{target.id}>" if guild.get_role(target.id) else f"a deleted role (`{target.id}`)"


def member_words(user_id: int) -> str:
    """A mention; who has been erased is 0 where they decided, and a number below zero in the books."""
    return f"<@{user_id}>" if user_id > 0 else "somebody who was erased"


def rule_words(rule: InForce) -> str:
    """Whose rule it is."""
    if rule.source == "role":
        return f"by the role <@&{rule.role_id}>"
    words = {"member": "their own", "server": DEFAULT_WORDS, "operator": "the default of the bot's operator"}
    return words[rule.source]


def standing_lines(standing: Standing, unit: CreditUnit) -> list[str]:
    """What applies to a member now, what is left of it and until when, for an admin."""
    allowance = standing.in_force.allowance
    who = f"<@{standing.user_id}>"
    words = allowance_words(allowance, unit)
    lines = [f"For {who} now counts: **{words}** ({rule_words(standing.in_force)})."]
    used = f"{unit.show(standing.spent_nano, up=True)} spent, {unit.show(standing.held_nano, up=True)} on hold"
    if allowance.kind != "amount":
        lines.append(f"So far: {used}.")
    else:
        left = standing.left_nano
        assert left is not None
        lines.append(f"{used}, **{unit.show(left)} left**{_reset_words(standing.ends_at)}.")
    if standing.over_nano:
        lines.append(
            f"-# The allowance is {credits_words(standing.over_nano, unit, up=True)} below what is spent and on hold. "
            "Nothing is taken back, and what was held is still paid: there is just nothing left."
        )
    if standing.grants_left_nano or standing.held_grant_nano:
        when = "; blocked members cannot spend them" if allowance.kind == "none" else ", spent after the allowance"
        lines.append(f"🎁 {unit.show(standing.grants_left_nano)} of granted credits left{when}.")
    return lines


def _reset_words(ends_at: datetime | None) -> str:
    if ends_at is None:
        return "; it does not come anew"
    return f"; anew {format_dt(ends_at, 'f')} ({format_dt(ends_at, 'R')})"


def setting_words(name: str, value: object) -> str:
    """A setting's value as it may be shown to anybody: a persona, or a blocked word, is not quoted."""
    match name, value:
        case "log_channel_id", int():
            return f"<#{value}>"
        case "log_channel_id", _:
            return "none"
        case "images", bool():
            return "on" if value else "off"
        case "picture_defaults", PictureDefaults():
            return defaults_words(value.chosen)
        case "picture_defaults", Mapping():
            return defaults_words(value)
        case "persona", str():
            return f"{len(value):,} characters of the server's own"
        case "allowed_models" | "picture_models", [*models]:
            return models_words(models) or "all that the operator offers"
        case "age_restricted_models", [*models]:
            return models_words(models) or "none but the operator's"
        case "blocked_words", [*words]:
            return f"{len(words)} word{'' if len(words) == 1 else 's'}" if words else "none"
        case "retention_days", int():
            return f"{value} day{'' if value == 1 else 's'}"
        case "memory", None:
            return "shared, my default"
        case _, None:
            return "the operator's"
        case _:
            return f"`{value}`"


def models_words(models: Sequence[object]) -> str:
    """The first few of them by name, and how many more; nothing for none."""
    more = f" and {len(models) - MODELS_NAMED} more" if len(models) > MODELS_NAMED else ""
    return ", ".join(f"`{model}`" for model in models[:MODELS_NAMED]) + more


def defaults_words(chosen: Mapping[str, object]) -> str:
    """The defaults of pictures that are decided, by the names of the options. A negative prompt is not quoted."""
    parts = []
    for name, value in chosen.items():
        if value is None:
            continue
        match name, value:
            case "negative_prompt", str():
                shown = f"of {len(value):,} characters"
            case _, float():
                shown = f"`{value:.10g}`"
            case _:
                shown = f"`{value}`"
        parts.append(f"{name} {shown}")
    return ", ".join(parts) or "the API's own"


def logged_words(logged: Logged, guild: discord.Guild, unit: CreditUnit) -> str:
    """What was decided, by whom, before and after, in one line without its time."""
    by = member_words(logged.decision.by)
    if logged.action == "settings":
        return f"{by} changed {'; '.join(_settings_words(logged))}"
    whom = target_words(logged.target, guild) if logged.target else "somebody"
    if logged.action == "allowance":
        before, after = (None if text is None else Allowance.from_text(text) for text in (logged.before, logged.after))
        return f"{by} set {whom}: {allowance_words(before, unit)} → **{allowance_words(after, unit)}**"
    before_nano, after_nano = NanoDollars(int(logged.before or 0)), NanoDollars(int(logged.after or 0))
    amount = credits_words(NanoDollars(abs(after_nano - before_nano)), unit)
    done = f"granted {whom} **{amount}**" if logged.action == "grant" else f"took back **{amount}** from {whom}"
    grants = f"grants left {unit.show(before_nano)} → {unit.show(after_nano)}"
    reason = f": {plain(logged.decision.reason)}" if logged.decision.reason else ""
    return f"{by} {done} ({grants}){reason}"


def _settings_words(logged: Logged) -> Iterable[str]:
    before, after = json.loads(logged.before or "{}"), json.loads(logged.after or "{}")
    for name, value in after.items():
        was = setting_words(name, before.get(name))
        yield f"{SETTING_NAMES.get(name, name)}: {was} → **{setting_words(name, value)}**"


def fitted(lines: Sequence[str], *, reserve: int = 0) -> int:
    """How many of the lines fit into one message beside `reserve` UTF-16 units of other text."""
    room = CONTENT_LIMIT - reserve
    for count, line in enumerate(lines):
        room -= utf16_length(line) + 1
        if room < 0:
            return count
    return len(lines)


def check_log_channel(guild: discord.Guild, channel_id: int) -> None:
    """Whether the bot may write there, by what it knows of the server.

    Raises:
        ChannelRefused: it may not, or sees no such channel.
    """
    channel = guild.get_channel_or_thread(channel_id)
    if channel is None or not isinstance(channel, discord.abc.Messageable):
        raise ChannelRefused(channel_id)
    permissions = channel.permissions_for(guild.me)
    needed = _LOGGED_IN_THREADS if isinstance(channel, discord.Thread) else _LOGGED_PERMISSIONS
    missing = tuple(words for name, words in needed.items() if not getattr(permissions, name))
    if missing:
        raise ChannelRefused(channel_id, missing)


async def answer(
    interaction: Interaction, guild: discord.Guild, lines: Sequence[str], logged: Logged, *changed: GuildSettings
) -> None:
    """Tell the admin of a change that has been made, then post it in the log channel, if there is one.

    `changed` are the settings before and after, for a change of the settings themselves: both channels hear of a move.
    A post that fails is told, too, and undoes nothing.
    """
    services = interaction.client.services
    await interaction.followup.send("\n".join(lines), ephemeral=True)
    settings = changed or (await services.guilds.settings(guild.id),)
    words = f"📒 {logged_words(logged, guild, services.unit)}"
    for channel_id in dict.fromkeys(each.log_channel_id for each in settings if each.log_channel_id is not None):
        try:
            async with asyncio.timeout(POST_S):
                await services.rest.create_message(
                    channel_id, lambda: Outgoing(content=words), nonce=str(logged.decision.key)
                )
        except (DeliveryError, TimeoutError) as error:
            told = f"⚠️ This change could not be posted in <#{channel_id}>{_why(error)}. It stands all the same."
            await interaction.followup.send(told, ephemeral=True)


def _why(error: DeliveryError | TimeoutError) -> str:
    if isinstance(error, MessageGone):
        return ": that channel is gone; choose another with `/settings log-channel`"
    if isinstance(error, DeliveryForbidden):
        return ": I am not allowed to write there"
    return ": Discord does not take it just now"
