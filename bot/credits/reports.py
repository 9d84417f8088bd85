"""What `/usage` shows: sums over the ledger, made in SQL. Reads the tables of bot/credits/ledger.py."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from bot.credits.ledger import BOT_SCOPE, entry_of, month_of, next_month
from bot.credits.policy import days
from bot.credits.values import ChargeKind, Entry, to_us
from bot.money import NO_MONEY, NanoDollars
from bot.storage.database import Database, Tx, Value

DAYS_LIMIT: Final = 400
"""The most days that are summed one by one."""
ROWS_LIMIT: Final = 100
"""The most rows that a list has."""
EXPORT_PAGE: Final = 500
"""Entries read at once for an export: between pages others have their turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """From `start`, inclusive, to `end`, exclusive, by the time of the request; None: without that bound."""

    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DaySpent:
    """What users paid on one day of the calendar for one model. Days without a charge are left out."""

    day: date
    model: str
    user_nano: NanoDollars


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpent:
    """What one model came to. `estimated` of the `requests` were counted by ourselves."""

    kind: ChargeKind
    model: str
    requests: int
    estimated: int
    user_nano: NanoDollars
    provider_nano: NanoDollars
    prompt_tokens: int
    completion_tokens: int
    images: int

    @property
    def loss_nano(self) -> NanoDollars:
        """What the API was paid and no user was charged."""
        return NanoDollars(self.provider_nano - self.user_nano)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberSpent:
    """What one member paid, and for how many requests."""

    user_id: int
    requests: int
    user_nano: NanoDollars


@dataclass(frozen=True, kw_only=True, slots=True)
class Trend:
    """What users paid in two spans of `days` × 24 hours, one after the other, the later up to now."""

    days: int
    before_nano: NanoDollars
    now_nano: NanoDollars

    @property
    def per_day_nano(self) -> NanoDollars:
        """The later span's mean, rounded up."""
        return NanoDollars(-(-self.now_nano // self.days))


@dataclass(frozen=True, kw_only=True, slots=True)
class MonthTotal:
    """What a UTC month (202612: December 2026) has cost the operator, and what open holds may add to it."""

    month: int
    provider_nano: NanoDollars
    held_nano: NanoDollars
    resets_at: datetime


def exhausted_at(
    left_nano: NanoDollars, per_day_nano: NanoDollars, *, now: datetime, ends_at: datetime | None
) -> datetime | None:
    """When what is left is used up at that pace; None where it lasts until `ends_at`, or for a century."""
    if per_day_nano <= 0 or left_nano // per_day_nano > 36_500:
        return None
    when = now + timedelta(seconds=left_nano * 86_400 // per_day_nano)
    return when if ends_at is None or when < ends_at else None


class Reports:
    """Reads only; each method may raise StorageError. `user_id` None: everybody in the scope."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_day_and_model(
        self, scope_id: int, user_id: int | None, first: date, last: date, zone: ZoneInfo
    ) -> tuple[DaySpent, ...]:
        """What was spent on each day from `first` to `last`, both included, by the calendar of `zone`.

        Raises:
            ValueError: that is more than DAYS_LIMIT days, or less than one.
        """
        if not 0 <= (last - first).days < DAYS_LIMIT:
            raise ValueError(f"from 1 to {DAYS_LIMIT} days, not {(last - first).days + 1}")
        bounds = list(days(first, last, zone))
        params: list[Value] = [value for day, start, end in bounds for value in (str(day), to_us(start), to_us(end))]
        whose, who = _whose(scope_id, user_id)
        sql = (
            f"WITH calendar (day, start_us, end_us) AS (VALUES {', '.join(['(?, ?, ?)'] * len(bounds))})"  # noqa: S608
            " SELECT day, model, SUM(from_allowance_nano + from_grant_nano) AS user_nano FROM calendar"
            f" JOIN entries ON {whose} AND asked_at_us >= start_us AND asked_at_us < end_us"
            " WHERE entry_kind = 'charge' GROUP BY day, model"
            " HAVING SUM(from_allowance_nano + from_grant_nano) > 0 ORDER BY day, model"
        )
        rows = await self._database.read(lambda tx: tx.fetch_all(sql, [*params, *who]))
        return tuple(
            DaySpent(day=date.fromisoformat(row["day"]), model=row["model"], user_nano=NanoDollars(row["user_nano"]))
            for row in rows
        )

    async def by_kind_and_model(
        self, scope_id: int, user_id: int | None, span: Span = Span()
    ) -> tuple[ModelSpent, ...]:
        """What each model came to, the most expensive for users first."""
        where, params = _charges(scope_id, user_id, span)
        sql = (
            "SELECT kind, model, COUNT(*) AS requests, SUM(estimated) AS estimated,"  # noqa: S608
            " SUM(from_allowance_nano + from_grant_nano) AS user_nano, SUM(provider_nano) AS provider_nano,"
            " SUM(prompt_tokens) AS prompt_tokens, SUM(completion_tokens) AS completion_tokens, SUM(images) AS images"
            f" FROM entries WHERE {where} GROUP BY kind, model ORDER BY 5 DESC, kind, model LIMIT {ROWS_LIMIT}"
        )
        rows = await self._database.read(lambda tx: tx.fetch_all(sql, params))
        return tuple(ModelSpent(**dict(row)) for row in rows)

    async def recent(self, scope_id: int, user_id: int | None, limit: int = 10) -> tuple[Entry, ...]:
        """The newest entries first: charges, grants and corrections."""
        return await self._database.read(lambda tx: recent_entries(tx, scope_id, user_id, limit))

    async def top_members(self, scope_id: int, span: Span = Span(), limit: int = 10) -> tuple[MemberSpent, ...]:
        """Who paid most, the most first. Who paid nothing is left out."""
        where, params = _charges(scope_id, None, span)
        sql = (
            "SELECT user_id, COUNT(*) AS requests, SUM(from_allowance_nano + from_grant_nano) AS user_nano"  # noqa: S608
            f" FROM entries WHERE {where} GROUP BY user_id HAVING SUM(from_allowance_nano + from_grant_nano) > 0"
            " ORDER BY 3 DESC, user_id LIMIT ?"
        )
        rows = await self._database.read(lambda tx: tx.fetch_all(sql, [*params, min(limit, ROWS_LIMIT)]))
        return tuple(MemberSpent(**dict(row)) for row in rows)

    async def spent(self, scope_id: int, user_id: int | None, span: Span = Span()) -> NanoDollars:
        """What users paid, from allowances and grants."""
        return await self._database.read(lambda tx: _spent(tx, scope_id, user_id, span))

    async def trend(self, scope_id: int, user_id: int | None, *, days_back: int, at: datetime) -> Trend:
        """What the last `days_back` days came to, and those before them."""
        middle, length = at - timedelta(days=days_back), timedelta(days=days_back)

        async def both(tx: Tx) -> Trend:
            return Trend(
                days=days_back,
                before_nano=await _spent(tx, scope_id, user_id, Span(start=middle - length, end=middle)),
                now_nano=await _spent(tx, scope_id, user_id, Span(start=middle, end=at)),
            )

        return await self._database.read(both)

    async def month(self, scope_id: int | None, *, at: datetime) -> MonthTotal:
        """The operator's side of the month that `at` lies in: of one scope, or None: of the whole bot."""
        key = BOT_SCOPE if scope_id is None else scope_id
        row = await self._database.read(
            lambda tx: tx.fetch_one(
                "SELECT provider_nano, held_nano FROM month_totals WHERE scope_id = ? AND month = ?",
                (key, month_of(at)),
            )
        )
        return MonthTotal(
            month=month_of(at),
            provider_nano=NO_MONEY if row is None else NanoDollars(row["provider_nano"]),
            held_nano=NO_MONEY if row is None else NanoDollars(row["held_nano"]),
            resets_at=next_month(at),
        )

    async def entries(self, scope_id: int | None = None, span: Span = Span()) -> AsyncIterator[Entry]:
        """Every entry of a scope, or None: of all, by key. Entries written while it runs may be left out."""
        after = -1
        while page := await self._page(scope_id, span, after):
            for entry in page:
                yield entry
            after = page[-1].key

    async def _page(self, scope_id: int | None, span: Span, after: int) -> tuple[Entry, ...]:
        return await self._database.read(lambda tx: entries_page(tx, scope_id, span, after=after))


async def recent_entries(tx: Tx, scope_id: int, user_id: int | None, limit: int) -> tuple[Entry, ...]:
    """As `Reports.recent`."""
    whose, who = _whose(scope_id, user_id)
    sql = f"SELECT * FROM entries WHERE {whose} ORDER BY asked_at_us DESC, entry_id DESC LIMIT ?"  # noqa: S608
    return tuple(map(entry_of, await tx.fetch_all(sql, [*who, min(limit, ROWS_LIMIT)])))


async def entries_page(tx: Tx, scope_id: int | None, span: Span, *, after: int) -> tuple[Entry, ...]:
    """The next EXPORT_PAGE entries whose key is above `after`."""
    where, params = _within(span)
    if scope_id is not None:
        where, params = [*where, "scope_id = ?"], [*params, scope_id]
    sql = f"SELECT * FROM entries WHERE {' AND '.join([*where, 'entry_id > ?'])} ORDER BY entry_id LIMIT ?"  # noqa: S608
    return tuple(map(entry_of, await tx.fetch_all(sql, [*params, after, EXPORT_PAGE])))


async def _spent(tx: Tx, scope_id: int, user_id: int | None, span: Span) -> NanoDollars:
    where, params = _charges(scope_id, user_id, span)
    sql = f"SELECT COALESCE(SUM(from_allowance_nano + from_grant_nano), 0) AS spent FROM entries WHERE {where}"  # noqa: S608
    row = await tx.fetch_one(sql, params)
    assert row is not None
    return NanoDollars(row["spent"])


# The pieces of statements below are this module's own; no text from outside enters them.


def _whose(scope_id: int, user_id: int | None) -> tuple[str, list[Value]]:
    if user_id is None:
        return "scope_id = ?", [scope_id]
    return "scope_id = ? AND user_id = ?", [scope_id, user_id]


def _within(span: Span) -> tuple[list[str], list[Value]]:
    where: list[str] = []
    params: list[Value] = []
    if span.start is not None:
        where, params = ["asked_at_us >= ?"], [to_us(span.start)]
    if span.end is not None:
        where, params = [*where, "asked_at_us < ?"], [*params, to_us(span.end)]
    return where, params


def _charges(scope_id: int, user_id: int | None, span: Span) -> tuple[str, list[Value]]:
    whose, who = _whose(scope_id, user_id)
    within, params = _within(span)
    return " AND ".join([whose, *within, "entry_kind = 'charge'"]), [*who, *params]
