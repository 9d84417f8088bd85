"""The allowances that a server's admins set. Owns `allowances`.

The functions take an open transaction; `Allowances` runs them one by one. Every change is logged where it is made.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot import guilds
from bot.credits.policy import Allowance, InForce, in_force
from bot.credits.values import from_us, to_us
from bot.errors import NothingToRemove
from bot.guilds import Decision, Logged, Target
from bot.money import NanoDollars
from bot.privacy.values import Held, Record
from bot.storage.database import Database, Row, Tx

PAGE_LIMIT: Final = 100
EXPORT_LIMIT: Final = 10_000
"""Allowances that an export has: more than anybody sets by hand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetAllowance:
    """An allowance as it was set, by whom and when."""

    target: Target
    allowance: Allowance
    set_by: int
    set_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowanceChange:
    """What was set for the target before and after; None: nothing.

    `first` is false where that decision was made before: nothing has changed now, and both are what is set.
    """

    first: bool
    before: Allowance | None
    after: Allowance | None


async def set_allowance(
    tx: Tx, scope_id: int, target: Target, allowance: Allowance, decision: Decision
) -> AllowanceChange:
    """Set, or replace, the target's allowance. It may be lower than what is spent already: then nothing is left."""
    before = await _read(tx, scope_id, target)
    if await guilds.is_logged(tx, decision.key):
        return AllowanceChange(first=False, before=before, after=before)
    await tx.execute(
        "INSERT INTO allowances (scope_id, target_kind, target_id, kind, amount_nano, period, set_by, set_at_us)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (scope_id, target_kind, target_id) DO UPDATE SET"
        " kind = excluded.kind, amount_nano = excluded.amount_nano, period = excluded.period,"
        " set_by = excluded.set_by, set_at_us = excluded.set_at_us",
        (
            scope_id,
            target.kind,
            target.id,
            allowance.kind,
            allowance.amount_nano,
            allowance.period,
            decision.by,
            to_us(decision.at),
        ),
    )
    await _log(tx, scope_id, target, decision, before=before, after=allowance)
    return AllowanceChange(first=True, before=before, after=allowance)


async def remove_allowance(tx: Tx, scope_id: int, target: Target, decision: Decision) -> AllowanceChange:
    """Take the target's allowance away, so that the next rule applies.

    Raises:
        NothingToRemove: none is set.
    """
    before = await _read(tx, scope_id, target)
    if await guilds.is_logged(tx, decision.key):
        return AllowanceChange(first=False, before=before, after=before)
    if before is None:
        raise NothingToRemove
    await tx.execute(
        "DELETE FROM allowances WHERE scope_id = ? AND target_kind = ? AND target_id = ?",
        (scope_id, target.kind, target.id),
    )
    await _log(tx, scope_id, target, decision, before=before, after=None)
    return AllowanceChange(first=True, before=before, after=None)


async def list_allowances(
    tx: Tx, scope_id: int, *, after: Target | None = None, limit: int
) -> tuple[SetAllowance, ...]:
    """What is set in a server: the default, members, roles, by id. `after` is the last target of the page before."""
    kind, target_id = ("", 0) if after is None else (after.kind, after.id)
    rows = await tx.fetch_all(
        "SELECT * FROM allowances WHERE scope_id = ? AND (target_kind > ? OR (target_kind = ? AND target_id > ?))"
        " ORDER BY target_kind, target_id LIMIT ?",
        (scope_id, kind, kind, target_id, min(limit, PAGE_LIMIT)),
    )
    return tuple(
        SetAllowance(
            target=Target(kind=row["target_kind"], id=row["target_id"]),
            allowance=_allowance(row),
            set_by=row["set_by"],
            set_at=from_us(row["set_at_us"]),
        )
        for row in rows
    )


async def read_in_force(
    tx: Tx, *, scope_id: int, user_id: int, role_ids: Collection[int], operator: Allowance
) -> InForce:
    """The allowance that applies to a member with those roles; `operator` is what the operator grants there.

    A server has at most 250 roles, so reading the allowances of all of them costs less than naming the member's.
    """
    rows = await tx.fetch_all(
        "SELECT target_kind, target_id, kind, amount_nano, period FROM allowances"
        " WHERE scope_id = ? AND target_kind IN ('default', 'role')"
        " UNION ALL SELECT target_kind, target_id, kind, amount_nano, period FROM allowances"
        " WHERE scope_id = ? AND target_kind = 'member' AND target_id = ?",
        (scope_id, scope_id, user_id),
    )
    found = {(row["target_kind"], row["target_id"]): row for row in rows}
    member, default = found.get(("member", user_id)), found.get(("default", 0))
    roles = {role_id: _allowance(found["role", role_id]) for role_id in role_ids if ("role", role_id) in found}
    return in_force(
        member=None if member is None else _allowance(member),
        roles=roles,
        server=None if default is None else _allowance(default),
        operator=operator,
    )


async def _read(tx: Tx, scope_id: int, target: Target) -> Allowance | None:
    row = await tx.fetch_one(
        "SELECT kind, amount_nano, period FROM allowances WHERE scope_id = ? AND target_kind = ? AND target_id = ?",
        (scope_id, target.kind, target.id),
    )
    return None if row is None else _allowance(row)


def _allowance(row: Row) -> Allowance:
    return Allowance(kind=row["kind"], amount_nano=NanoDollars(row["amount_nano"]), period=row["period"])


async def _log(
    tx: Tx, scope_id: int, target: Target, decision: Decision, *, before: Allowance | None, after: Allowance | None
) -> None:
    logged = Logged(
        scope_id=scope_id,
        action="allowance",
        decision=decision,
        target=target,
        before=None if before is None else before.text,
        after=None if after is None else after.text,
    )
    await guilds.record(tx, logged)


async def grants_once(tx: Tx, scope_id: int, user_id: int, *, operator: Allowance) -> bool:
    """Whether an allowance that is given once, for all time, could apply to somebody: their roles are not known."""
    if operator.kind == "amount" and operator.period == "once":
        return True
    row = await tx.fetch_one(
        "SELECT 1 FROM allowances WHERE scope_id = ? AND kind = 'amount' AND period = 'once'"
        " AND (target_kind <> 'member' OR target_id = ?) LIMIT 1",
        (scope_id, user_id),
    )
    return row is not None


async def held(tx: Tx, user_id: int) -> list[Held]:
    """How many allowances are set for somebody, or were set by them, by server."""
    rows = await tx.fetch_all(
        "SELECT scope_id AS guild_id, COUNT(*) AS count, MIN(set_at_us) AS since_us FROM allowances"
        " WHERE target_kind = 'member' AND target_id = ? OR set_by = ? GROUP BY scope_id",
        (user_id, user_id),
    )
    return [Held(kind="allowances", **dict(row)) for row in rows]


async def export(tx: Tx, user_id: int) -> list[Record]:
    """The allowances that are set for somebody, or were set by them."""
    rows = await tx.fetch_all(
        "SELECT * FROM allowances WHERE target_kind = 'member' AND target_id = ? OR set_by = ? LIMIT ?",
        (user_id, user_id, EXPORT_LIMIT),
    )
    return [dict(row) for row in rows]


async def erase_setter(tx: Tx, user_id: int, *, before_us: int) -> None:
    """Who set allowances goes; the allowances stay, those for somebody too: a block must not end by their wish."""
    await tx.execute("UPDATE allowances SET set_by = 0 WHERE set_by = ? AND set_at_us <= ?", (user_id, before_us))


async def servers_with_own(tx: Tx, user_id: int) -> list[int]:
    """The servers whose admins set an allowance for somebody by name."""
    rows = await tx.fetch_all(
        "SELECT scope_id FROM allowances WHERE target_kind = 'member' AND target_id = ?", (user_id,)
    )
    return [row["scope_id"] for row in rows]


async def erase_guild(tx: Tx, guild_id: int) -> None:
    """All that a server's admins set."""
    await tx.execute("DELETE FROM allowances WHERE scope_id = ?", (guild_id,))


class Allowances:
    """The same functions, each in a transaction of its own. They raise StorageError too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set(self, scope_id: int, target: Target, allowance: Allowance, decision: Decision) -> AllowanceChange:
        """See `set_allowance`."""
        return await self._database.write(lambda tx: set_allowance(tx, scope_id, target, allowance, decision))

    async def remove(self, scope_id: int, target: Target, decision: Decision) -> AllowanceChange:
        """See `remove_allowance`."""
        return await self._database.write(lambda tx: remove_allowance(tx, scope_id, target, decision))

    async def page(self, scope_id: int, *, after: Target | None = None, limit: int) -> tuple[SetAllowance, ...]:
        """See `list_allowances`."""
        return await self._database.read(lambda tx: list_allowances(tx, scope_id, after=after, limit=limit))
