"""Erases a person, in batches that are their own progress: who is killed between two goes on at the next start.

What they asked and were answered goes at once. In the books a pseudonym takes their place, but for what counts toward
a running period: that follows when the period is over (bot/credits/keeping.py).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from bot import drafts, guilds
from bot.answers import keeping as answers
from bot.credits import allowances
from bot.credits import keeping as books
from bot.credits.keeping import Handover
from bot.credits.ledger import operator_allowance
from bot.credits.policy import DIRECT_SCOPE, OperatorLimits
from bot.credits.values import from_us, to_us
from bot.pictures import keeping as orders
from bot.privacy import wishes
from bot.privacy.values import BATCH
from bot.privacy.wishes import Wish
from bot.storage.database import Database, Operation, Tx

PAUSE_S: Final = 0.002
"""Between two batches: others write meanwhile."""
STUCK: Final = timedelta(days=1)
"""An answer that was last touched so long ago is not being given, whatever its row says."""

LATE: Final = timedelta(hours=1)
"""So long a wish is kept at least: a question that was being read when it was made is written down only later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What is still under somebody's id in a scope: it counts toward a period that is over at `until`, or, None, toward
    an allowance that is given once for all time. `grants_nano` is what they can still spend of grants."""

    scope_id: int
    until: datetime | None
    grants_nano: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far an erasure has come. `open_requests` end by themselves, and go then. `soon` says that there are such, or
    rows that nobody may take away yet."""

    open_requests: int
    kept: tuple[Kept, ...]
    soon: bool


async def in_batches(database: Database, some: Operation[int]) -> int:
    """Run a batch in a transaction of its own until there is nothing left to do. How many rows that was.

    Raises:
        StorageError: the batches before it are done.
    """
    total = 0
    while count := await database.write(some):
        total += count
        await asyncio.sleep(PAUSE_S)
    return total


class Eraser:
    """Makes and fulfils wishes to be erased. `now` gives unix seconds by Discord's clock."""

    def __init__(self, database: Database, *, limits: OperatorLimits, now: Callable[[], float]) -> None:
        self._database = database
        self._limits = limits
        self._now = now

    async def ask(self, user_id: int, *, erasure_id: int) -> Wish:
        """Write down that somebody wants to be erased, with all they did before the snowflake `erasure_id`."""
        at_us = to_us(self._moment())
        return await self._database.write(lambda tx: wishes.make(tx, user_id, erasure_id=erasure_id, at_us=at_us))

    async def pending(self) -> list[Wish]:
        """The wishes that are not wholly fulfilled."""
        return await self._database.read(wishes.read_all)

    async def carry_on(self, wish: Wish) -> Progress:
        """Erase what can be erased now.

        Raises:
            StorageError: what is done is done; the rest is to be tried again.
        """
        who, before = wish.user_id, wish.erasure_id
        now_us = to_us(self._moment())
        stuck_us = to_us(self._moment() - STUCK)
        database = self._database
        await in_batches(
            database,
            partial(answers.erase_some, user_id=who, before_id=before, stuck_before_us=stuck_us, limit=BATCH),
        )
        await in_batches(
            database, partial(orders.erase_some, user_id=who, before_id=before, now_us=now_us, limit=BATCH)
        )
        await database.write(partial(drafts.erase, user_id=who, before_id=before))
        await database.write(partial(_erase_names, wish=wish))
        for scope_id in await database.read(lambda tx: books.scopes(tx, who)):
            handover = await database.read(partial(self._handover, wish=wish, scope_id=scope_id))
            if handover is not None:
                await in_batches(database, partial(books.hand_over_some, handover=handover))
        return await database.write(partial(self._conclude, wish=wish))

    async def _handover(self, tx: Tx, *, wish: Wish, scope_id: int) -> Handover | None:
        """What the books can hand over of one account now; None where an allowance once for all time needs it."""
        if await self._is_once(tx, scope_id, wish.user_id):
            return None
        settings = await guilds.read_settings(tx, scope_id) if scope_id != DIRECT_SCOPE else guilds.DEFAULTS
        cutoff = books.cutoff(self._moment(), settings.zone)
        return Handover(
            scope_id=scope_id,
            user_id=wish.user_id,
            pseudonym=wish.pseudonym,
            before_id=wish.erasure_id,
            cutoff_us=to_us(cutoff),
            grants_too=cutoff > from_us(wish.asked_at_us),
        )

    async def _conclude(self, tx: Tx, *, wish: Wish) -> Progress:
        who, before = wish.user_id, wish.erasure_id
        kept = [
            await self._kept(tx, wish, scope_id)
            for scope_id in await books.scopes(tx, who)
            if await books.is_left(tx, scope_id, who, before_id=before)
        ]
        open_requests = await books.open_requests(tx, who, before_id=before)
        left = await answers.is_left(tx, who, before_id=before) or await orders.is_left(tx, who, before_id=before)
        soon = bool(open_requests or left)
        if not kept and not soon and self._moment() - from_us(wish.asked_at_us) >= LATE:
            await wishes.done(tx, wish)
        return Progress(open_requests=open_requests, kept=tuple(kept), soon=soon)

    async def _kept(self, tx: Tx, wish: Wish, scope_id: int) -> Kept:
        grants_nano = await books.grants_left(tx, scope_id, wish.user_id)
        if await self._is_once(tx, scope_id, wish.user_id):
            return Kept(scope_id=scope_id, until=None, grants_nano=grants_nano)
        settings = await guilds.read_settings(tx, scope_id) if scope_id != DIRECT_SCOPE else guilds.DEFAULTS
        until = books.over_at(from_us(wish.asked_at_us), settings.zone)
        if until <= self._moment():  # later requests were paid from the grants of before, in a period that still runs
            until = books.over_at(self._moment(), settings.zone)
        return Kept(scope_id=scope_id, until=until, grants_nano=grants_nano)

    async def _is_once(self, tx: Tx, scope_id: int, user_id: int) -> bool:
        operator = operator_allowance(scope_id, self._limits)
        return await allowances.grants_once(tx, scope_id, user_id, operator=operator)

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)


async def _erase_names(tx: Tx, *, wish: Wish) -> None:
    who, before = wish.user_id, wish.erasure_id
    await answers.erase_name(tx, who, before_us=wish.asked_at_us)
    await allowances.erase_setter(tx, who, before_us=wish.asked_at_us)
    await guilds.erase_names(tx, who, before_id=before, pseudonym=wish.pseudonym)
    await books.erase_words(tx, who, before_id=before)
