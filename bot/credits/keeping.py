"""How the books forget a person and keep their sums. Works on the tables of bot/credits/ledger.py.

A person's entries are handed to a pseudonym: amounts, models and periods stay, so that every total does. What counts
toward a running period stays under their id until that is over, or erasing would be a way to a fresh allowance; so do
grants that are not spent. An entry's id leads to a message and its time does, too: both are drawn anew within their
quarter of an hour, which no period of any time zone begins inside of. Every function takes an open transaction.

A plus before `entry_id` keeps SQLite to the index by account: by the other one it would walk through everybody's.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from bot.credits.policy import period_bounds
from bot.credits.values import to_us
from bot.privacy.values import Held, Record
from bot.storage.database import Row, Tx, Value

SETTLED: Final = timedelta(hours=1)
"""So old an entry has to be: nobody asks any more whether its request has ended."""
MOVED_AT_ONCE: Final = 200
"""Entries that one transaction hands over: some milliseconds."""

_QUARTER_MS: Final = 900_000
_DISCORD_EPOCH: Final = datetime(2015, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Handover:
    """Which entries of an account go to which pseudonym: those below `before_id`, asked before `cutoff_us`.

    `grants_too` says that what is left of grants lapses with them.
    """

    scope_id: int
    user_id: int
    pseudonym: int
    before_id: int
    cutoff_us: int
    grants_too: bool


def running_since(at: datetime, zone: ZoneInfo) -> datetime:
    """When the longest of the periods began that `at` lies in: what was asked before counts toward none of them."""
    return min(_bounds(at, zone, 0))


def over_at(at: datetime, zone: ZoneInfo) -> datetime:
    """When what was asked until `at` counts toward no period any more, and is old enough to be handed over."""
    return max(_bounds(at, zone, 1)) + SETTLED


def _bounds(at: datetime, zone: ZoneInfo, which: int) -> list[datetime]:
    found = [period_bounds("week", at, zone)[which], period_bounds("month", at, zone)[which]]
    return [bound for bound in found if bound is not None]


def cutoff(at: datetime, zone: ZoneInfo) -> datetime:
    """What was asked before it may be handed over."""
    return min(running_since(at, zone), at - SETTLED)


async def held(tx: Tx, user_id: int) -> list[Held]:
    """How many entries there are of somebody, by server (None: of direct messages)."""
    rows = await tx.fetch_all(
        "SELECT accounts.scope_id, COUNT(*) AS count, MIN(asked_at_us) AS since_us FROM accounts"
        " JOIN entries ON entries.scope_id = accounts.scope_id AND entries.user_id = accounts.user_id"
        " WHERE accounts.user_id = ? GROUP BY accounts.scope_id",
        (user_id,),
    )
    return [
        Held(kind="entries", guild_id=row["scope_id"] or None, count=row["count"], since_us=row["since_us"])
        for row in rows
    ]


async def accounts(tx: Tx, user_id: int) -> list[Record]:
    """The balances of somebody."""
    return [dict(row) for row in await tx.fetch_all("SELECT * FROM accounts WHERE user_id = ?", (user_id,))]


async def export(tx: Tx, user_id: int, *, after: int, limit: int) -> list[tuple[int, Record]]:
    """The next entries of somebody above the id `after`, each with its id."""
    rows = await tx.fetch_all(
        "SELECT * FROM entries WHERE user_id = ? AND +entry_id > ?"
        " AND scope_id IN (SELECT scope_id FROM accounts WHERE user_id = ?) ORDER BY +entry_id LIMIT ?",
        (user_id, after, user_id, limit),
    )
    return [(row["entry_id"], dict(row)) for row in rows]


async def scopes(tx: Tx, user_id: int) -> list[int]:
    """Where somebody has an account."""
    rows = await tx.fetch_all("SELECT scope_id FROM accounts WHERE user_id = ? ORDER BY scope_id", (user_id,))
    return [row["scope_id"] for row in rows]


async def people(tx: Tx, scope_id: int, *, after: int, limit: int) -> list[int]:
    """The next members above the id `after` who have an account in a server; pseudonyms are below zero."""
    rows = await tx.fetch_all(
        "SELECT user_id FROM accounts WHERE scope_id = ? AND user_id > ? ORDER BY user_id LIMIT ?",
        (scope_id, max(after, 0), limit),
    )
    return [row["user_id"] for row in rows]


async def grants_left(tx: Tx, scope_id: int, user_id: int) -> int:
    """What is left of somebody's grants, in nano-dollars."""
    row = await tx.fetch_one("SELECT grant_nano FROM accounts WHERE scope_id = ? AND user_id = ?", (scope_id, user_id))
    return 0 if row is None else int(row["grant_nano"])


async def open_requests(tx: Tx, user_id: int, *, before_id: int) -> int:
    """How many requests of somebody are still on hold."""
    row = await tx.fetch_one(
        "SELECT COUNT(*) AS count FROM holds WHERE user_id = ? AND request_id < ?", (user_id, before_id)
    )
    assert row is not None
    return int(row["count"])


async def is_left(tx: Tx, scope_id: int, user_id: int, *, before_id: int) -> bool:
    """Whether the account has entries, or open requests, below `before_id`."""
    row = await tx.fetch_one(
        "SELECT 1 FROM entries WHERE scope_id = ? AND user_id = ? AND +entry_id < ?"
        " UNION ALL SELECT 1 FROM holds WHERE scope_id = ? AND user_id = ? AND request_id < ? LIMIT 1",
        (scope_id, user_id, before_id, scope_id, user_id, before_id),
    )
    return row is not None


async def erase_words(tx: Tx, user_id: int, *, before_id: int) -> None:
    """What admins wrote about somebody's grants, and that somebody gave grants to others. The amounts stay."""
    for scope_id in await scopes(tx, user_id):
        await tx.execute(
            "UPDATE entries SET reason = '' WHERE scope_id = ? AND user_id = ? AND entry_kind <> 'charge'"
            " AND +entry_id < ?",
            (scope_id, user_id, before_id),
        )
    await tx.execute(
        "UPDATE entries SET by_id = NULL, reason = '' WHERE by_id = ? AND entry_id < ?", (user_id, before_id)
    )


async def erase_words_of_scope(tx: Tx, scope_id: int) -> None:
    """The same for all that was granted in a server."""
    await tx.execute(
        "UPDATE entries SET by_id = NULL, reason = '' WHERE scope_id = ? AND entry_kind <> 'charge'"
        " AND (by_id IS NOT NULL OR reason <> '')",
        (scope_id,),
    )


async def hand_over_some(tx: Tx, handover: Handover) -> int:
    """Hand over a batch; how many entries. 0: all that may go has gone. An account without anything goes, too."""
    rows = await _charges(tx, handover) or await _grants(tx, handover)
    if rows:
        await _move(tx, handover, rows)
    await tx.execute(_DELETE_EMPTY, (handover.scope_id, handover.user_id))
    return len(rows)


# Requests that cost nothing have entries, too: as long as there is one, the account says that there is.
_DELETE_EMPTY: Final = (
    "DELETE FROM accounts WHERE scope_id = ? AND user_id = ?"
    " AND NOT EXISTS (SELECT 1 FROM entries WHERE entries.scope_id = accounts.scope_id"
    " AND entries.user_id = accounts.user_id)"
    " AND NOT EXISTS (SELECT 1 FROM holds WHERE holds.scope_id = accounts.scope_id"
    " AND holds.user_id = accounts.user_id)"
)
_COLUMNS: Final = "entry_id, entry_kind, asked_at_us, written_at_us, from_allowance_nano, from_grant_nano, granted_nano"


async def _charges(tx: Tx, handover: Handover) -> list[Row]:
    """The next charges that took nothing from grants: each can go by itself."""
    return await tx.fetch_all(
        f"SELECT {_COLUMNS} FROM entries WHERE scope_id = ? AND user_id = ? AND asked_at_us < ?"  # noqa: S608
        " AND +entry_id < ? AND entry_kind = 'charge' AND from_grant_nano = 0 LIMIT ?",
        (handover.scope_id, handover.user_id, handover.cutoff_us, handover.before_id, MOVED_AT_ONCE),
    )


async def _grants(tx: Tx, handover: Handover) -> list[Row]:
    """All grants with what was spent from them: none of it can go alone, or a balance would fall below zero.

    Where later charges were paid from these grants, as few of them go along as keep what is left above zero; where
    those still count toward a running period, nothing goes yet.
    """
    rows = await tx.fetch_all(
        f"SELECT {_COLUMNS} FROM entries WHERE scope_id = ? AND user_id = ?"  # noqa: S608
        " AND (entry_kind <> 'charge' OR from_grant_nano > 0) ORDER BY +entry_id",
        (handover.scope_id, handover.user_id),
    )
    account = await tx.fetch_one(
        "SELECT grant_nano, held_grant_nano FROM accounts WHERE scope_id = ? AND user_id = ?",
        (handover.scope_id, handover.user_id),
    )
    if account is None or (account["grant_nano"] and not handover.grants_too):
        return []
    going = [row for row in rows if row["entry_id"] < handover.before_id and row["asked_at_us"] < handover.cutoff_us]
    later = [row for row in rows if row["entry_id"] >= handover.before_id and row["entry_kind"] == "charge"]
    if not going:
        return []
    moved = _balance(going)
    for row in later:
        if account["grant_nano"] - moved >= account["held_grant_nano"]:
            break
        if row["asked_at_us"] >= handover.cutoff_us:
            return []
        going.append(row)
        moved -= row["from_grant_nano"]
    return going if 0 <= moved <= account["grant_nano"] - account["held_grant_nano"] else []


def _balance(rows: Sequence[Row]) -> int:
    return sum(row["granted_nano"] - row["from_grant_nano"] for row in rows)


async def _move(tx: Tx, handover: Handover, rows: Sequence[Row]) -> None:
    for row in rows:
        # A grant's key is the admin's interaction, and the log of decisions has it, too.
        key = new_key(row["asked_at_us"]) if row["entry_kind"] == "charge" else row["entry_id"]
        await tx.execute(
            "UPDATE entries SET entry_id = ?, user_id = ?, asked_at_us = ?, written_at_us = ? WHERE entry_id = ?",
            (key, handover.pseudonym, _quarter(row["asked_at_us"]), _quarter(row["written_at_us"]), row["entry_id"]),
        )
    spent, granted = sum(row["from_allowance_nano"] for row in rows), _balance(rows)
    account: tuple[Value, ...] = (handover.scope_id, handover.pseudonym, spent, granted)
    await tx.execute(
        "INSERT INTO accounts (scope_id, user_id, spent_nano, grant_nano, held_allowance_nano, held_grant_nano)"
        " VALUES (?, ?, ?, ?, 0, 0) ON CONFLICT (scope_id, user_id) DO UPDATE SET"
        " spent_nano = accounts.spent_nano + excluded.spent_nano,"
        " grant_nano = accounts.grant_nano + excluded.grant_nano",
        account,
    )
    await tx.execute(
        "UPDATE accounts SET spent_nano = spent_nano - ?, grant_nano = grant_nano - ?"
        " WHERE scope_id = ? AND user_id = ?",
        (spent, granted, handover.scope_id, handover.user_id),
    )


async def servers(tx: Tx) -> list[int]:
    """Where members have accounts."""
    rows = await tx.fetch_all("SELECT DISTINCT scope_id FROM accounts WHERE scope_id > 0 AND user_id > 0")
    return [row["scope_id"] for row in rows]


def new_key(asked_at_us: int) -> int:
    """An id as of a request at some moment of the same quarter of an hour; 2^52 of them, so none comes twice."""
    start_ms = (_quarter(asked_at_us) - to_us(_DISCORD_EPOCH)) // 1_000
    return (max(start_ms, 0) << 22) + secrets.randbelow(_QUARTER_MS << 22)


def _quarter(us: int) -> int:
    return us - us % (_QUARTER_MS * 1_000)
