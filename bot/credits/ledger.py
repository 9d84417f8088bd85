"""Hold, then settle: the money's way. Owns `holds`, `entries`, `accounts` and `month_totals`.

Before the API is asked, one transaction reads what applies and what is left, and sets the worst case apart. Afterwards
the hold ends, once, in the transaction that writes its entry. `end` and `grant` take an open transaction, so that a
caller can join them with writes of other modules; `Ledger` runs them one by one.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Literal

from bot import guilds
from bot.credits.allowances import read_in_force
from bot.credits.policy import DIRECT_SCOPE, OperatorLimits, period_bounds
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
from bot.money import AMOUNT_LIMIT, CreditUnit, NanoDollars
from bot.storage.database import Database, Row, Tx, Value

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

    async def hold(self, request: HoldRequest) -> Hold:
        """Set apart what the request costs at worst, with as many of its units as can be paid.

        The allowance pays first, grants the rest. The same key again returns the hold that is open.

        Raises:
            CreditsRefused: not even `units_minimum` can be paid.
            MemberBlocked: the allowance is `none`.
            CeilingReached: the operator's limit for the server or the bot leaves too little.
            RequestEnded: that key's hold has ended before.
            StorageError: nothing was held.
        """
        tried = await self._database.write(lambda tx: self._try(tx, request))
        for notice in tried.notices:
            self._notify(notice)
        if isinstance(tried.result, CreditsError):
            raise tried.result
        return tried.result

    async def end(self, key: int, reason: Reason, consumed: Consumed = NOTHING, *, at: datetime) -> Ended:
        """See the function `end`. StorageError: it has not ended, and has to be tried again."""
        return await self._database.write(lambda tx: end(tx, key, reason, consumed, at=at))

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

    async def standing(self, scope_id: int, user_id: int, role_ids: Collection[int], *, at: datetime) -> Standing:
        """The account as it stands at that time."""
        return await self._database.read(
            lambda tx: read_standing(tx, scope_id, user_id, role_ids, at=at, limits=self._limits)
        )
