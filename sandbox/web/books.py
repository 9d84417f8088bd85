"""What the bot's database says of one person: the panel's look into the ledger, in words."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bot.credits.looking import look
from bot.credits.policy import DIRECT_SCOPE, OperatorLimits
from bot.credits.values import Entry, Standing
from bot.errors import BotError
from bot.money import CreditUnit, NanoDollars
from bot.settings import Settings
from sandbox.discord.places import Channel, Guild, User
from sandbox.discord.refusals import Json

_SOURCES: Final = {
    "member": "set for this member",
    "role": "set for a role",
    "server": "set for the server",
    "operator": "the operator's default",
}


class Books:
    """`environ` is what the bot was started with: its settings say what a credit is and which allowances there are."""

    def __init__(self, state: Path, environ: Mapping[str, str]) -> None:
        self._url = f"sqlite:///{state.resolve()}/bot.db"
        self._environ = environ

    async def ledger(self, user: User, channel: Channel, *, now_s: float) -> Json:
        """The shape `Ledger` of PROTOCOL.md."""
        guild = channel.guild if channel.guild is not None and channel.guild.bot_present else None
        member = guild.members.get(user.id) if guild else None
        where = guild.name if guild else "direct messages"
        try:
            settings = Settings.load(self._environ)
            account = await look(
                self._url,
                guild.id if guild else DIRECT_SCOPE,
                user.id,
                frozenset(role.id for role in member.roles) if member else frozenset(),
                at=datetime.fromtimestamp(now_s, UTC),
                limits=OperatorLimits.load(settings),
            )
        except BotError as error:
            # The bot has not made its database yet, or is just bringing it up to date.
            return {"known": False, "where": where, "standing": [], "entries": [], "error": str(error)}
        unit = CreditUnit(nano=settings.credit_nano)
        return {
            "known": True,
            "where": where,
            "standing": _standing(account.standing, unit, guild),
            "entries": [_entry(entry, unit) for entry in account.entries],
            "error": None,
        }


def _standing(standing: Standing, unit: CreditUnit, guild: Guild | None) -> list[Json]:
    def shown(amount: NanoDollars | None, *, up: bool = False) -> str:
        return "unlimited" if amount is None else f"{unit.show(amount, up=up)} credits"

    allowance, source = standing.in_force.allowance, _SOURCES[standing.in_force.source]
    role = guild.roles.get(standing.in_force.role_id or 0) if guild else None
    if role is not None:
        source = f"set for @{role.name}"
    limit = "nothing" if allowance.kind == "none" else shown(standing.limit_nano)
    lines = {
        "Allowance": f"{limit}{f' a {allowance.period}' if allowance.kind == 'amount' else ''}, {source}",
        "Spent": shown(standing.spent_nano, up=True),
        "On hold": shown(standing.held_nano),
        "Left": shown(standing.left_nano),
        "Granted, left": shown(standing.grants_left_nano),
        "Resets": _moment(standing.ends_at),
    }
    return [{"label": label, "value": value} for label, value in lines.items()]


def _moment(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def _entry(entry: Entry, unit: CreditUnit) -> Json:
    charged = entry.entry_kind == "charge"
    amount = entry.user_nano if charged else entry.granted_nano
    sign = "-" if charged and amount else "+" if amount > 0 else ""
    return {
        "at_s": entry.asked_at.timestamp(),
        "kind": entry.kind or entry.entry_kind,
        "model": entry.model,
        "credits": sign + unit.show(amount, up=charged),
        "note": entry.reason or None,
    }
