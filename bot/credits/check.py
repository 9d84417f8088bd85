"""Recompute every balance from the entries and open holds, and hold the entries against the rules and the log.

Reads the tables of bot/credits/ledger.py, and the log of decisions that is bot/guilds.py's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bot.credits.ledger import BOT_SCOPE, next_month
from bot.credits.rules import PAYERS, Reason
from bot.credits.values import from_us, to_us
from bot.storage.database import Row, Tx, Value

_FIRST_MONTH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MONTH: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""A request of another time was damaged, and counts in no month: its month's total is told to have too much."""

DIFFERENCES_LIMIT: Final = 1_000
"""The most differences of one kind that are reported. One is enough to know that something is wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A balance that is not the sum of what it is made of. `surplus_nano` is how much more is kept than adds up."""

    what: str
    surplus_nano: int

    def __str__(self) -> str:
        return f"{self.what}: {abs(self.surplus_nano)} nano-dollars too {'much' if self.surplus_nano > 0 else 'little'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What was looked at, and every difference found, up to DIFFERENCES_LIMIT of each kind."""

    entries: int
    open_holds: int
    accounts: int
    differences: tuple[Difference, ...]


_ACCOUNTS: Final = """
SELECT scope_id, user_id, -SUM(spent) AS spent_nano, -SUM(granted) AS grant_nano,
    -SUM(held_allowance) AS held_allowance_nano, -SUM(held_grant) AS held_grant_nano
FROM (
    SELECT scope_id, user_id, from_allowance_nano AS spent, granted_nano - from_grant_nano AS granted,
        0 AS held_allowance, 0 AS held_grant FROM entries
    UNION ALL SELECT scope_id, user_id, 0, 0, from_allowance_nano, from_grant_nano FROM holds
    UNION ALL SELECT scope_id, user_id, -spent_nano, -grant_nano, -held_allowance_nano, -held_grant_nano FROM accounts
) AS parts
GROUP BY scope_id, user_id
HAVING SUM(spent) <> 0 OR SUM(granted) <> 0 OR SUM(held_allowance) <> 0 OR SUM(held_grant) <> 0
ORDER BY scope_id, user_id LIMIT ?
"""

_MONTHS: Final = """
SELECT scope_id, month, -SUM(provider) AS provider_nano, -SUM(held) AS held_nano
FROM (
    SELECT scope_id, month, provider_nano AS provider, 0 AS held
        FROM entries JOIN calendar ON asked_at_us >= start_us AND asked_at_us < end_us WHERE entry_kind = 'charge'
    UNION ALL SELECT ?, month, provider_nano, 0
        FROM entries JOIN calendar ON asked_at_us >= start_us AND asked_at_us < end_us WHERE entry_kind = 'charge'
    UNION ALL SELECT scope_id, month, 0, from_allowance_nano + from_grant_nano
        FROM holds JOIN calendar ON asked_at_us >= start_us AND asked_at_us < end_us
    UNION ALL SELECT ?, month, 0, from_allowance_nano + from_grant_nano
        FROM holds JOIN calendar ON asked_at_us >= start_us AND asked_at_us < end_us
    UNION ALL SELECT scope_id, month, -provider_nano, -held_nano FROM month_totals
) AS parts
GROUP BY scope_id, month
HAVING SUM(provider) <> 0 OR SUM(held) <> 0
ORDER BY scope_id, month LIMIT ?
"""


async def check(tx: Tx) -> Checked:
    """Compare what is kept with what adds up, on one state of the database."""
    counts = await tx.fetch_one(
        "SELECT (SELECT COUNT(*) FROM entries) AS entries, (SELECT COUNT(*) FROM holds) AS open_holds,"
        " (SELECT COUNT(*) FROM accounts) AS accounts"
    )
    assert counts is not None
    differences = [
        *await _wrong_accounts(tx),
        *await _wrong_months(tx),
        *await _ended_twice(tx),
        *await _against_the_rules(tx),
        *await _unlike_the_log(tx),
    ]
    return Checked(**dict(counts), differences=tuple(differences))


async def _wrong_accounts(tx: Tx) -> list[Difference]:
    rows = await tx.fetch_all(_ACCOUNTS, (DIFFERENCES_LIMIT,))
    names = ("spent_nano", "grant_nano", "held_allowance_nano", "held_grant_nano")
    return [one for row in rows for one in _differences(f"account {row['scope_id']}/{row['user_id']}", row, names)]


async def _wrong_months(tx: Tx) -> list[Difference]:
    months = [value for month in await _calendar(tx) for value in month]
    if not months:
        months = [0, 0, 0]  # a calendar without a month: a list of VALUES cannot be empty
    calendar = f"WITH calendar (month, start_us, end_us) AS (VALUES {', '.join(['(?, ?, ?)'] * (len(months) // 3))})"
    params: list[Value] = [*months, BOT_SCOPE, BOT_SCOPE, DIFFERENCES_LIMIT]
    rows = await tx.fetch_all(calendar + _MONTHS, params)
    return [
        one
        for row in rows
        for one in _differences(f"month {row['month']} of {row['scope_id']}", row, ("provider_nano", "held_nano"))
    ]


async def _calendar(tx: Tx) -> list[tuple[int, int, int]]:
    """Each UTC month, with its bounds, from the first request to the last. Made here: SQL keeps out of calendars."""
    row = await tx.fetch_one(
        "SELECT MIN(asked_at_us) AS first, MAX(asked_at_us) AS last FROM"
        " (SELECT asked_at_us FROM entries UNION ALL SELECT asked_at_us FROM holds) AS requests"
        " WHERE asked_at_us BETWEEN ? AND ?",
        (to_us(_FIRST_MONTH), to_us(_LAST_MONTH)),
    )
    if row is None or row["first"] is None:
        return []
    month, months = from_us(row["first"]), []
    while to_us(month := datetime(month.year, month.month, 1, tzinfo=UTC)) <= row["last"]:
        months.append((month.year * 100 + month.month, to_us(month), to_us(next_month(month))))
        month = next_month(month)
    return months


async def _ended_twice(tx: Tx) -> list[Difference]:
    rows = await tx.fetch_all(
        "SELECT request_id, holds.from_allowance_nano + holds.from_grant_nano AS held FROM holds"
        " JOIN entries ON entry_id = request_id ORDER BY request_id LIMIT ?",
        (DIFFERENCES_LIMIT,),
    )
    return [
        Difference(what=f"request {row['request_id']} has an entry and is still on hold", surplus_nano=row["held"])
        for row in rows
    ]


async def _against_the_rules(tx: Tx) -> list[Difference]:
    """Charges that ask of a side what the rules do not where a request ended so. What was consumed can be anything."""
    user_free = [reason for reason, payers in PAYERS.items() if payers.user == "nothing"]
    api_free = [reason for reason, payers in PAYERS.items() if payers.provider == "nothing"]
    all_held = [reason for reason, payers in PAYERS.items() if payers.provider == "held"]
    rows = await tx.fetch_all(
        "SELECT entry_id, reason, user_nano, provider_nano FROM (SELECT entry_id, reason,"  # noqa: S608 - marks only
        f" CASE WHEN reason IN ({_marks(user_free)}) THEN from_allowance_nano + from_grant_nano ELSE 0 END"
        " AS user_nano,"
        f" CASE WHEN reason IN ({_marks(api_free)}) THEN provider_nano"
        f" WHEN reason IN ({_marks(all_held)}) THEN provider_nano - held_nano ELSE 0 END AS provider_nano"
        " FROM entries WHERE entry_kind = 'charge') AS surplus"
        " WHERE user_nano <> 0 OR provider_nano <> 0 ORDER BY entry_id LIMIT ?",
        (*user_free, *api_free, *all_held, DIFFERENCES_LIMIT),
    )
    return [
        one
        for row in rows
        for one in _differences(f"request {row['entry_id']} ({row['reason']})", row, ("user_nano", "provider_nano"))
    ]


async def _unlike_the_log(tx: Tx) -> list[Difference]:
    """Grants and corrections of which the log of decisions knows nothing, or another amount."""
    rows = await tx.fetch_all(
        "SELECT entry_id, granted_nano - logged_nano AS granted_nano FROM (SELECT entry_id, granted_nano,"
        " COALESCE(CAST(policy_log.after AS BIGINT) - CAST(policy_log.before AS BIGINT), 0) AS logged_nano"
        " FROM entries LEFT JOIN policy_log ON log_id = entry_id AND action = entry_kind"
        " WHERE entry_kind <> 'charge') AS decided"
        " WHERE granted_nano <> logged_nano ORDER BY entry_id LIMIT ?",
        (DIFFERENCES_LIMIT,),
    )
    return [one for row in rows for one in _differences(f"grant {row['entry_id']}", row, ("granted_nano",))]


def _marks(values: list[Reason]) -> str:
    return ", ".join("?" * len(values))


def _differences(where: str, row: Row, names: tuple[str, ...]) -> Iterator[Difference]:
    for name in names:
        if row[name] != 0:
            yield Difference(what=f"{where}, {name}", surplus_nano=row[name])
