"""Hold, then settle: the money's way. Owns `holds`, `entries`, `accounts` and `month_totals`.

Before the API is asked, one transaction reads what applies and what is left, and sets the worst case apart. Afterwards
the hold ends, once, in the transaction that writes its entry. `end` and `grant` take an open transaction, so that a
caller can join them with writes of other modules; `Ledger` runs them one by one.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Literal

from bot import guilds
from bot.credits.allowances import read_in_force
from bot.credits.policy import DIRECT_SCOPE, Allowance, InForce, OperatorLimits, period_bounds
from bot.credits.rules import NOTHING, Consumed, Outcome, Reason, outcome
from bot.credits.values import (
    USED_NOTICE_PERCENT,
    CeilingNotice,
    Ended,
    Entry,
    Granted,
    Hold,
    HoldRequest,
    Resolved,
    Standing,
    from_us,
    to_us,
)
from bot.errors import (
    AmountWrong,
    CeilingReached,
    CeilingScope,
    CreditsError,
    CreditsRefused,
    MemberBlocked,
    RequestEnded,
)
from bot.guilds import Decision, Logged, Target
from bot.money import AMOUNT_LIMIT, NO_MONEY, CreditUnit, NanoDollars
from bot.storage.database import Database, Operation, Row, Tx, Value
from bot.storage.errors import StorageError

log = logging.getLogger(__name__)

BOT_SCOPE: Final = -1
"""The scope, in `month_totals` only, of everything the bot does."""

RESOLVE_BATCH: Final = 100
"""How many holds of dead processes end in one transaction: it holds up other writers for some milliseconds."""

ENTRY_COLUMNS: Final = (
    "entry_id",
    "entry_kind",
    "scope_id",
    "user_id",
    "asked_at_us",
    "written_at_us",
    "kind",
    "model",
    "reason",
    "held_nano",
    "from_allowance_nano",
    "from_grant_nano",
    "granted_nano",
    "provider_nano",
    "estimated",
    "prompt_tokens",
    "completion_tokens",
    "images",
    "by_id",
)

# The names are this module's own; no text from outside enters a statement.
_INSERT_ENTRY: Final = (
    f"INSERT INTO entries ({', '.join(ENTRY_COLUMNS)}) VALUES ({', '.join('?' * len(ENTRY_COLUMNS))})"  # noqa: S608
)

Notify = Callable[[CeilingNotice], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tried:
    """What an attempt to hold came to, with what the operator has to hear of."""

    result: Hold | CreditsError
    notices: tuple[CeilingNotice, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ceiling:
    """A ceiling with what is used or held below it in the month of a request."""

    scope: CeilingScope
    scope_id: int
    limit_nano: NanoDollars
    committed_nano: int
    noticed_percent: int

    @property
    def room_nano(self) -> int:
        """What it leaves; below zero where the API took more than was on hold."""
        return self.limit_nano - self.committed_nano


class Ledger:
    """The one way to money. Safe for any number of tasks; what must not be done twice is decided in the database.

    `run_id` names this process's run, and no other's: holds under another name are those of dead processes. `notify` is
    called, after the commit, with each ceiling notice; it must not block.
    """

    def __init__(
        self, database: Database, *, limits: OperatorLimits, unit: CreditUnit, run_id: str, notify: Notify
    ) -> None:
        self._database = database
        self._limits = limits
        self._unit = unit
        self._run_id = run_id
        self._notify = notify

    async def hold(self, request: HoldRequest, *, along: Operation[None] | None = None) -> Hold:
        """Set apart what the request costs at worst, with as many of its units as can be paid.

        The allowance pays first, grants the rest. The same key again returns the hold that is open. `along` is done in
        the same transaction, where there is a hold.

        Raises:
            CreditsRefused: not even `units_minimum` can be paid.
            MemberBlocked: the allowance is `none`.
            CeilingReached: the operator's limit for the server or the bot leaves too little.
            RequestEnded: that key's hold has ended before.
            StorageError: nothing was held.
        """
        made: list[Hold] = []

        async def attempt(tx: Tx) -> _Tried:
            tried, new = await self._try(tx, request)
            made.extend(new)
            if along is not None and isinstance(tried.result, Hold):
                await along(tx)
            return tried

        try:
            tried = await self._database.write(attempt)
        except asyncio.CancelledError:
            await self._give_back(made)
            raise
        for notice in tried.notices:
            self._notify(notice)
        if isinstance(tried.result, CreditsError):
            raise tried.result
        _log_hold(request, tried.result)
        return tried.result

    async def end(self, key: int, reason: Reason, consumed: Consumed = NOTHING, *, at: datetime) -> Ended:
        """See the function `end`. Who is cancelled meanwhile still leaves the hold ended.

        Raises:
            LookupError: nothing was ever held under that key.
            StorageError: it has not ended, and has to be tried again.
        """
        try:
            return await self._database.write(lambda tx: end(tx, key, reason, consumed, at=at))
        except asyncio.CancelledError:
            # Cancelled before its turn it did not run, and nobody else would end the hold before the next start.
            with suppress(StorageError, LookupError):
                await self._database.write(lambda tx: end(tx, key, reason, consumed, at=at))
            raise

    async def adopt(self, keys: Collection[int]) -> frozenset[int]:
        """Make the open holds of an earlier run this run's, because their requests go on; those that are still open.

        For picture jobs, before `resolve_crashed`.
        """
        return await self._database.write(lambda tx: self._adopt(tx, keys))

    async def resolve_crashed(self, *, at: datetime) -> Resolved:
        """End every hold of an earlier run by the crash rule, some at a time."""
        count, provider_nano = 0, 0
        while ended := await self._database.write(lambda tx: self._resolve_some(tx, at)):
            count += len(ended)
            provider_nano += sum(one.entry.provider_nano for one in ended)
        return Resolved(count=count, provider_nano=NanoDollars(provider_nano))

    async def grant(self, scope_id: int, user_id: int, amount_nano: NanoDollars, decision: Decision) -> Granted:
        """See the function `grant`."""
        return await self._database.write(
            lambda tx: grant(tx, scope_id, user_id, amount_nano, decision, unit=self._unit)
        )

    async def correct(self, scope_id: int, user_id: int, amount_nano: NanoDollars, decision: Decision) -> Granted:
        """See the function `correct`."""
        return await self._database.write(
            lambda tx: correct(tx, scope_id, user_id, amount_nano, decision, unit=self._unit)
        )

    async def open_holds(self, *, timeout_s: float) -> int:
        """How many requests are on hold, of this run or an earlier one.

        Raises:
            StorageError: it could not be read, or not in time.
        """
        row = await self._database.read(
            lambda tx: tx.fetch_one("SELECT COUNT(*) AS number FROM holds"), timeout_s=timeout_s
        )
        assert row is not None
        return int(row["number"])

    async def standing(self, scope_id: int, user_id: int, role_ids: Collection[int], *, at: datetime) -> Standing:
        """The account as it stands at that time."""
        return await self._database.read(
            lambda tx: read_standing(tx, scope_id, user_id, role_ids, at=at, limits=self._limits)
        )

    async def _give_back(self, made: list[Hold]) -> None:
        """End the hold that was made for a caller who was cancelled while it waited, and so never heard of it.

        Writes run in the order in which they came, so `made` is final when this one has its turn.
        """

        async def release(tx: Tx) -> None:
            for hold in made:
                await end(tx, hold.key, "unsent", at=hold.at)

        with suppress(StorageError, LookupError):
            await self._database.write(release)

    async def _try(self, tx: Tx, request: HoldRequest) -> tuple[_Tried, tuple[Hold, ...]]:
        """The attempt, and the hold that it made: none where there was one of that key already."""
        standing = await read_standing(
            tx, request.scope_id, request.user_id, request.role_ids, at=request.at, limits=self._limits
        )
        known = await _known(tx, request, standing)
        if known is not None:
            return _Tried(result=known), ()
        ceilings = await self._ceilings(tx, request)
        least = request.cost(request.units_minimum)
        refusal = _refusal(standing, least) or _over_ceiling(ceilings, least, request.at)
        if isinstance(refusal, CeilingReached):
            refusing = [one for one in ceilings if one.room_nano < least]
            return _Tried(result=refusal, notices=await _notice(tx, refusing, least, request.at)), ()
        if refusal is not None:
            return _Tried(result=refusal), ()
        hold = _cut_to_fit(request, standing, ceilings)
        await self._insert(tx, request, hold)
        return _Tried(result=hold, notices=await _notice(tx, ceilings, hold.amount_nano, request.at)), (hold,)

    async def _ceilings(self, tx: Tx, request: HoldRequest) -> tuple[_Ceiling, ...]:
        """The ceilings that are set for where the request comes from. Direct messages have the bot's alone."""
        limits: dict[int, tuple[CeilingScope, NanoDollars]] = {}
        if self._limits.bot_ceiling_nano is not None:
            limits[BOT_SCOPE] = ("bot", self._limits.bot_ceiling_nano)
        if self._limits.server_ceiling_nano is not None and request.scope_id != DIRECT_SCOPE:
            limits[request.scope_id] = ("server", self._limits.server_ceiling_nano)
        if not limits:
            return ()
        rows = await tx.fetch_all(
            "SELECT scope_id, provider_nano + held_nano AS committed, noticed_percent, noticed_of_nano"
            " FROM month_totals WHERE month = ? AND scope_id IN (?, ?)",
            (month_of(request.at), BOT_SCOPE, request.scope_id),
        )
        found = {row["scope_id"]: row for row in rows}
        ceilings = []
        for scope_id, (scope, limit) in limits.items():
            row = found.get(scope_id)
            # What the operator heard of another ceiling, before it was changed, says nothing about this one.
            told = row is not None and row["noticed_of_nano"] == limit
            ceilings.append(
                _Ceiling(
                    scope=scope,
                    scope_id=scope_id,
                    limit_nano=limit,
                    committed_nano=row["committed"] if row is not None else 0,
                    noticed_percent=row["noticed_percent"] if row is not None and told else 0,
                )
            )
        return tuple(ceilings)

    async def _insert(self, tx: Tx, request: HoldRequest, hold: Hold) -> None:
        await tx.execute(
            "INSERT INTO holds (request_id, run_id, scope_id, user_id, kind, model, asked_at_us, units,"
            " from_allowance_nano, from_grant_nano) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                request.key,
                self._run_id,
                request.scope_id,
                request.user_id,
                request.kind,
                request.model,
                to_us(request.at),
                hold.units,
                hold.from_allowance_nano,
                hold.from_grant_nano,
            ),
        )
        await _add_held(tx, request, hold)
        month = month_of(request.at)
        await tx.execute(
            "INSERT INTO month_totals (scope_id, month, provider_nano, held_nano, noticed_percent, noticed_of_nano)"
            " VALUES (?, ?, 0, ?, 0, 0), (?, ?, 0, ?, 0, 0) ON CONFLICT (scope_id, month) DO UPDATE SET"
            " held_nano = month_totals.held_nano + excluded.held_nano",
            (BOT_SCOPE, month, hold.amount_nano, request.scope_id, month, hold.amount_nano),
        )

    async def _adopt(self, tx: Tx, keys: Collection[int]) -> frozenset[int]:
        adopted = set()
        for key in keys:
            if await tx.execute("UPDATE holds SET run_id = ? WHERE request_id = ?", (self._run_id, key)) == 1:
                adopted.add(key)
        return frozenset(adopted)

    async def _resolve_some(self, tx: Tx, at: datetime) -> list[Ended]:
        rows = await tx.fetch_all(
            "SELECT request_id FROM holds WHERE run_id <> ? ORDER BY request_id LIMIT ?", (self._run_id, RESOLVE_BATCH)
        )
        return [await end(tx, row["request_id"], "crashed", at=at) for row in rows]


def _log_hold(request: HoldRequest, hold: Hold) -> None:
    facts = {"kind": request.kind, "model": request.model, "held_nano": hold.amount_nano}
    log.info("on hold", extra={"request_id": request.key, **facts})


def month_of(at: datetime) -> int:
    """The UTC month as a number: 202612 is December 2026."""
    utc = at.astimezone(UTC)
    return utc.year * 100 + utc.month


def next_month(at: datetime) -> datetime:
    """The beginning of the next UTC month."""
    year, month = divmod(month_of(at), 100)
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def operator_allowance(scope_id: int, limits: OperatorLimits) -> Allowance:
    """What the operator grants where nobody else has decided."""
    return limits.direct if scope_id == DIRECT_SCOPE else limits.member


async def read_standing(
    tx: Tx, scope_id: int, user_id: int, role_ids: Collection[int], *, at: datetime, limits: OperatorLimits
) -> Standing:
    """The account at that time: what applies, what is spent and held in the period, what is left of grants."""
    operator = operator_allowance(scope_id, limits)
    if scope_id == DIRECT_SCOPE:
        rule, settings = InForce(allowance=operator, source="operator"), guilds.DEFAULTS
    else:
        rule = await read_in_force(tx, scope_id=scope_id, user_id=user_id, role_ids=role_ids, operator=operator)
        settings = await guilds.read_settings(tx, scope_id)
    start, end_ = period_bounds(rule.allowance.period, at, settings.zone)
    row = await _sums(tx, scope_id, user_id, start, end_)
    return Standing(
        scope_id=scope_id,
        user_id=user_id,
        in_force=rule,
        time_zone=settings.time_zone,
        starts_at=start,
        ends_at=end_,
        spent_nano=NanoDollars(row["spent"]),
        held_nano=NanoDollars(row["held"]),
        grant_nano=NanoDollars(row["granted"]),
        held_grant_nano=NanoDollars(row["held_grant"]),
    )


async def _sums(tx: Tx, scope_id: int, user_id: int, start: datetime | None, end_: datetime | None) -> Row:
    """Spent and held of the allowance between the bounds (over all time without), and the grants.

    A charge and an open hold both count at the time of their request, so that a hold's end moves nothing into another
    period. What is lifelong is read from the account: the sum would grow with the ledger.
    """
    account: tuple[Value, ...] = (scope_id, user_id)
    if start is None or end_ is None:
        windows, params = _LIFELONG, account + account
    else:
        window = (*account, to_us(start), to_us(end_))
        windows, params = _WINDOWED, window + window
    row = await tx.fetch_one(windows + _GRANTS, params + account + account)
    assert row is not None
    return row


_LIFELONG: Final = (
    "SELECT COALESCE((SELECT spent_nano FROM accounts WHERE scope_id = ? AND user_id = ?), 0) AS spent,"
    " COALESCE((SELECT held_allowance_nano FROM accounts WHERE scope_id = ? AND user_id = ?), 0) AS held"
)
_WINDOWED: Final = (
    "SELECT (SELECT COALESCE(SUM(from_allowance_nano), 0) FROM entries"
    " WHERE scope_id = ? AND user_id = ? AND asked_at_us >= ? AND asked_at_us < ?) AS spent,"
    " (SELECT COALESCE(SUM(from_allowance_nano), 0) FROM holds"
    " WHERE scope_id = ? AND user_id = ? AND asked_at_us >= ? AND asked_at_us < ?) AS held"
)
_GRANTS: Final = (
    ", COALESCE((SELECT grant_nano FROM accounts WHERE scope_id = ? AND user_id = ?), 0) AS granted,"
    " COALESCE((SELECT held_grant_nano FROM accounts WHERE scope_id = ? AND user_id = ?), 0) AS held_grant"
)


async def _known(tx: Tx, request: HoldRequest, standing: Standing) -> Hold | RequestEnded | None:
    """What an earlier attempt with the same key left: its open hold, or its entry."""
    row = await tx.fetch_one(
        "SELECT 0 AS ended, asked_at_us, units, from_allowance_nano, from_grant_nano FROM holds WHERE request_id = ?"
        " UNION ALL SELECT 1, 0, 0, 0, 0 FROM entries WHERE entry_id = ?",
        (request.key, request.key),
    )
    if row is None:
        return None
    if row["ended"]:
        return RequestEnded(f"request {request.key} has ended")
    return Hold(
        key=request.key,
        at=from_us(row["asked_at_us"]),
        units=row["units"],
        from_allowance_nano=NanoDollars(row["from_allowance_nano"]),
        from_grant_nano=NanoDollars(row["from_grant_nano"]),
        standing=standing,
    )


def _refusal(standing: Standing, least: NanoDollars) -> CreditsError | None:
    rule = standing.in_force
    if rule.allowance.kind == "none":
        return MemberBlocked(source=rule.source, role_id=rule.role_id, scope_id=standing.scope_id)
    room = standing.room_nano
    if room is None or least <= room:
        return None
    return CreditsRefused(
        cost_nano=least,
        left_nano=room,
        resets_at=standing.ends_at,
        source=rule.source,
        role_id=rule.role_id,
        scope_id=standing.scope_id,
    )


def _over_ceiling(ceilings: Collection[_Ceiling], least: NanoDollars, at: datetime) -> CeilingReached | None:
    for ceiling in ceilings:
        if ceiling.room_nano < least:
            return CeilingReached(ceiling.scope, resets_at=next_month(at))
    return None


def _cut_to_fit(request: HoldRequest, standing: Standing, ceilings: Collection[_Ceiling]) -> Hold:
    """As many units as the account and the ceilings pay for; that the least fits has been checked."""
    rooms = [ceiling.room_nano for ceiling in ceilings]
    if standing.room_nano is not None:
        rooms.append(standing.room_nano)
    units = request.units_wanted
    if rooms and request.unit_nano > 0:
        units = min(units, (min(rooms) - request.fixed_nano) // request.unit_nano)
    amount = request.cost(units)
    left = standing.left_nano
    from_allowance = amount if left is None else NanoDollars(min(amount, left))
    from_grant = NanoDollars(amount - from_allowance)
    return Hold(
        key=request.key,
        at=request.at,
        units=units,
        from_allowance_nano=from_allowance,
        from_grant_nano=from_grant,
        standing=replace(
            standing,
            held_nano=NanoDollars(standing.held_nano + from_allowance),
            held_grant_nano=NanoDollars(standing.held_grant_nano + from_grant),
        ),
    )


async def _add_held(tx: Tx, request: HoldRequest, hold: Hold) -> None:
    changed = await tx.execute(
        "UPDATE accounts SET held_allowance_nano = held_allowance_nano + ?, held_grant_nano = held_grant_nano + ?"
        " WHERE scope_id = ? AND user_id = ?",
        (hold.from_allowance_nano, hold.from_grant_nano, request.scope_id, request.user_id),
    )
    if changed == 0:  # not by ON CONFLICT: the row to insert would hurt a CHECK where a grant pays
        await tx.execute(
            "INSERT INTO accounts (scope_id, user_id, spent_nano, grant_nano, held_allowance_nano, held_grant_nano)"
            " VALUES (?, ?, 0, 0, ?, 0)",
            (request.scope_id, request.user_id, hold.from_allowance_nano),
        )


async def _notice(
    tx: Tx, ceilings: Collection[_Ceiling], added: NanoDollars, at: datetime
) -> tuple[CeilingNotice, ...]:
    """What the operator has not been told yet, now that `added` is held or was refused; remembered as told."""
    notices = []
    for ceiling in ceilings:
        percent = _percent_reached(ceiling, added)
        if percent is None or percent <= ceiling.noticed_percent:
            continue
        # A refusal can come before the month's first hold, where the ceiling is lower than what one request costs.
        await tx.execute(
            "INSERT INTO month_totals (scope_id, month, provider_nano, held_nano, noticed_percent, noticed_of_nano)"
            " VALUES (?, ?, 0, 0, ?, ?) ON CONFLICT (scope_id, month) DO UPDATE SET"
            " noticed_percent = excluded.noticed_percent, noticed_of_nano = excluded.noticed_of_nano",
            (ceiling.scope_id, month_of(at), percent, ceiling.limit_nano),
        )
        notices.append(
            CeilingNotice(
                scope=ceiling.scope,
                scope_id=ceiling.scope_id,
                percent=percent,
                ceiling_nano=ceiling.limit_nano,
                month=month_of(at),
                resets_at=next_month(at),
            )
        )
    return tuple(notices)


def _percent_reached(ceiling: _Ceiling, added: NanoDollars) -> Literal[80, 100] | None:
    used = ceiling.committed_nano + added
    if used >= ceiling.limit_nano:
        return 100
    return 80 if used * 100 >= ceiling.limit_nano * USED_NOTICE_PERCENT else None


async def end(tx: Tx, key: int, reason: Reason, consumed: Consumed = NOTHING, *, at: datetime) -> Ended:
    """End the hold of `key` as `rules.PAYERS` says, at the written time `at`. Ended before: harmless, `first` is false.

    Announces the entry, where there is a new one.

    Raises:
        LookupError: nothing was ever held under that key.
    """
    row = await tx.fetch_one("DELETE FROM holds WHERE request_id = ? RETURNING *", (key,))
    if row is None:
        written = await tx.fetch_one("SELECT * FROM entries WHERE entry_id = ? AND entry_kind = 'charge'", (key,))
        if written is None:
            raise LookupError(f"nothing was held for {key}")
        return Ended(first=False, entry=entry_of(written))
    held = NanoDollars(row["from_allowance_nano"] + row["from_grant_nano"])
    entry = _charge(row, outcome(reason, consumed, held_nano=held), at)
    await _insert_entry(tx, entry)
    await tx.execute(
        "UPDATE accounts SET spent_nano = spent_nano + ?, grant_nano = grant_nano - ?,"
        " held_allowance_nano = held_allowance_nano - ?, held_grant_nano = held_grant_nano - ?"
        " WHERE scope_id = ? AND user_id = ?",
        (
            entry.from_allowance_nano,
            entry.from_grant_nano,
            row["from_allowance_nano"],
            row["from_grant_nano"],
            entry.scope_id,
            entry.user_id,
        ),
    )
    await tx.execute(
        "UPDATE month_totals SET provider_nano = provider_nano + ?, held_nano = held_nano - ?"
        " WHERE month = ? AND scope_id IN (?, ?)",
        (entry.provider_nano, held, month_of(entry.asked_at), BOT_SCOPE, entry.scope_id),
    )
    tx.announce(entry)
    return Ended(first=True, entry=entry)


def _charge(row: Row, ended: Outcome, at: datetime) -> Entry:
    """The entry that ends the hold in `row`. The allowance pays first."""
    from_allowance = min(ended.user_nano, row["from_allowance_nano"])
    return Entry(
        key=row["request_id"],
        entry_kind="charge",
        scope_id=row["scope_id"],
        user_id=row["user_id"],
        asked_at=from_us(row["asked_at_us"]),
        written_at=at,
        kind=row["kind"],
        model=row["model"],
        reason=ended.reason,
        held_nano=NanoDollars(row["from_allowance_nano"] + row["from_grant_nano"]),
        from_allowance_nano=NanoDollars(from_allowance),
        from_grant_nano=NanoDollars(ended.user_nano - from_allowance),
        granted_nano=NO_MONEY,
        provider_nano=ended.provider_nano,
        estimated=ended.estimated,
        prompt_tokens=ended.prompt_tokens,
        completion_tokens=ended.completion_tokens,
        images=ended.images,
        by_id=None,
    )


async def grant(
    tx: Tx, scope_id: int, user_id: int, amount_nano: NanoDollars, decision: Decision, *, unit: CreditUnit
) -> Granted:
    """Give extra credits, which are spent after the allowance and survive its periods. Logged.

    Raises:
        AmountWrong: with what is left of earlier grants it would be more than AMOUNT_LIMIT.
        ValueError: `amount_nano` is not above zero.
    """
    if amount_nano <= 0:
        raise ValueError("a grant is above zero")
    return await _change_grants(tx, scope_id, user_id, NanoDollars(amount_nano), decision, unit)


async def correct(
    tx: Tx, scope_id: int, user_id: int, amount_nano: NanoDollars, decision: Decision, *, unit: CreditUnit
) -> Granted:
    """Take back so much of what is left of grants. Logged.

    Raises:
        AmountWrong: less than that is left, or not on hold.
        ValueError: `amount_nano` is not above zero.
    """
    if amount_nano <= 0:
        raise ValueError("a correction takes more than nothing")
    return await _change_grants(tx, scope_id, user_id, NanoDollars(-amount_nano), decision, unit)


async def _change_grants(
    tx: Tx, scope_id: int, user_id: int, change: NanoDollars, decision: Decision, unit: CreditUnit
) -> Granted:
    row = await tx.fetch_one(
        "SELECT grant_nano, held_grant_nano FROM accounts WHERE scope_id = ? AND user_id = ?", (scope_id, user_id)
    )
    before, held = (0, 0) if row is None else (row["grant_nano"], row["held_grant_nano"])
    if await guilds.is_logged(tx, decision.key):
        return Granted(first=False, before_nano=NanoDollars(before), after_nano=NanoDollars(before))
    after = NanoDollars(before + change)
    largest = NanoDollars(before - held if change < 0 else AMOUNT_LIMIT - before)
    if abs(change) > largest:
        shown = unit.show(NanoDollars(abs(change)), up=True)
        raise AmountWrong(shown, "too large", finest=unit.finest, largest=unit.show(largest))
    await tx.execute(
        "INSERT INTO accounts (scope_id, user_id, spent_nano, grant_nano, held_allowance_nano, held_grant_nano)"
        " VALUES (?, ?, 0, ?, 0, 0) ON CONFLICT (scope_id, user_id) DO UPDATE SET grant_nano = excluded.grant_nano",
        (scope_id, user_id, after),
    )
    await _insert_entry(tx, _grant_entry(scope_id, user_id, change, decision))
    logged = Logged(
        scope_id=scope_id,
        action="grant" if change > 0 else "correction",
        decision=decision,
        target=Target.member(user_id),
        before=str(before),
        after=str(after),
    )
    await guilds.record(tx, logged)
    return Granted(first=True, before_nano=NanoDollars(before), after_nano=after)


def _grant_entry(scope_id: int, user_id: int, change: NanoDollars, decision: Decision) -> Entry:
    nothing = NO_MONEY
    return Entry(
        key=decision.key,
        entry_kind="grant" if change > 0 else "correction",
        scope_id=scope_id,
        user_id=user_id,
        asked_at=decision.at,
        written_at=decision.at,
        kind=None,
        model=None,
        reason=decision.reason,
        held_nano=nothing,
        from_allowance_nano=nothing,
        from_grant_nano=nothing,
        granted_nano=change,
        provider_nano=nothing,
        estimated=False,
        prompt_tokens=0,
        completion_tokens=0,
        images=0,
        by_id=decision.by,
    )


async def _insert_entry(tx: Tx, entry: Entry) -> None:
    await tx.execute(
        _INSERT_ENTRY,
        (
            entry.key,
            entry.entry_kind,
            entry.scope_id,
            entry.user_id,
            to_us(entry.asked_at),
            to_us(entry.written_at),
            entry.kind,
            entry.model,
            entry.reason,
            entry.held_nano,
            entry.from_allowance_nano,
            entry.from_grant_nano,
            entry.granted_nano,
            entry.provider_nano,
            int(entry.estimated),
            entry.prompt_tokens,
            entry.completion_tokens,
            entry.images,
            entry.by_id,
        ),
    )


def entry_of(row: Row) -> Entry:
    """The entry in a row of `entries`."""
    return Entry(
        key=row["entry_id"],
        entry_kind=row["entry_kind"],
        scope_id=row["scope_id"],
        user_id=row["user_id"],
        asked_at=from_us(row["asked_at_us"]),
        written_at=from_us(row["written_at_us"]),
        kind=row["kind"],
        model=row["model"],
        reason=row["reason"],
        held_nano=NanoDollars(row["held_nano"]),
        from_allowance_nano=NanoDollars(row["from_allowance_nano"]),
        from_grant_nano=NanoDollars(row["from_grant_nano"]),
        granted_nano=NanoDollars(row["granted_nano"]),
        provider_nano=NanoDollars(row["provider_nano"]),
        estimated=bool(row["estimated"]),
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        images=row["images"],
        by_id=row["by_id"],
    )
