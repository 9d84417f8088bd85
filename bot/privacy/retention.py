"""The job that forgets: what is too old, servers that were left, and people who asked to be erased.

It runs at the start and every hour, in batches of some rows, so that nobody who writes waits for more than one of them.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from bot import drafts, guilds
from bot.answers import keeping as answers
from bot.credits import allowances
from bot.credits import keeping as books
from bot.credits.keeping import SETTLED, Handover
from bot.credits.values import to_us
from bot.pictures import keeping as orders
from bot.privacy import departures
from bot.privacy.erasing import Eraser, in_batches
from bot.privacy.values import BATCH
from bot.privacy.wishes import new_pseudonym
from bot.storage.database import Database, Tx
from bot.storage.errors import StorageClosed, StorageError
from bot.storage.scrub import empty_log

log = logging.getLogger(__name__)

EVERY_S: Final = 3_600.0
SOON_S: Final = 30.0
"""After this long it runs again where somebody who asked to be erased had requests under way, or where a reader kept
the log from being emptied."""
REST_S: Final = 1.0
"""Between two runs at least, however often it is woken: members wake it, and each run looks at everything."""
LEAVING: Final = timedelta(hours=1)
"""What was under way when the bot left a server was written down a little later."""
_ALL_KEYS: Final = (1 << 63) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How long things are kept, in days. 0 keeps memories or orders for ever; `grace` is a left server's."""

    memory: int
    orders: int
    grace: int


def days_kept(chosen: int | None, operator: int) -> int | None:
    """How many days count in a server: what it chose, and never more than the operator's. None: for ever."""
    if chosen is None:
        return operator or None
    return min(chosen, operator) if operator else chosen


@dataclass(frozen=True, kw_only=True, slots=True)
class Swept:
    """What one run took away: rows in time, servers that are wholly forgotten; and whether to come back soon."""

    rows: int
    servers: int
    soon: bool


class Housekeeper:
    """Runs the job. `now` gives unix seconds by Discord's clock, `url` is the database's; who sets `woken` wakes it."""

    def __init__(
        self,
        database: Database,
        *,
        url: str,
        limits: Limits,
        eraser: Eraser,
        now: Callable[[], float],
        woken: asyncio.Event | None = None,
    ) -> None:
        self._database = database
        self._url = url
        self._limits = limits
        self._eraser = eraser
        self._now = now
        self._woken = woken or asyncio.Event()

    def wake(self) -> None:
        """Run now: there is something to do."""
        self._woken.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The job, from a start to its end; leaving stops it between two batches."""
        task = asyncio.create_task(self._run(), name="housekeeping")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            pause_s = EVERY_S
            try:
                pause_s = SOON_S if (await self.sweep()).soon else EVERY_S
            except StorageClosed:
                return
            except StorageError as error:
                log.warning("not all that is due could be forgotten; trying again in an hour: %s", error)
            except Exception:  # the top of the loop: one run's fault must not end all of them
                log.exception("the job that forgets failed; trying again in an hour")
            await asyncio.sleep(REST_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()

    async def sweep(self) -> Swept:
        """One run.

        Raises:
            StorageError: what was taken away before stays so.
        """
        soon = False
        pending = await self._eraser.pending()
        for wish in pending:
            soon |= (await self._eraser.carry_on(wish)).soon
        servers = await self._forget_servers()
        rows = await self._forget_old()
        soon |= not await self.scrub()  # in any case: people forget a memory, or delete an answer, by themselves
        if rows or servers or pending:
            log.info("forgotten: %d rows that were old, %d servers", rows, servers)
        return Swept(rows=rows, servers=servers, soon=soon)

    async def scrub(self) -> bool:
        """See `empty_log`. What fails is done with the next run: nobody has to wait for it.

        False: somebody was reading, a backup perhaps, and what was just forgotten may still stand in the log.
        """
        try:
            return await empty_log(self._url)
        except StorageError as error:
            log.warning("the database's log could not be emptied: %s", error)
            return True

    # What is old

    async def _forget_old(self) -> int:
        """The operator's days first, for everything: no server keeps more. Then the servers' own."""
        rows = await self._forget_drafts()
        if self._limits.memory:
            rows += await self._forget_memory(self._limits.memory, None)
        if self._limits.orders:
            rows += await self._forget_orders(self._limits.orders, None)
        for guild_id, chosen in await self._database.read(guilds.retentions):
            rows += await self._forget_memory(chosen, guild_id)
            rows += await self._forget_orders(chosen, guild_id)
        return rows

    async def _forget_drafts(self) -> int:
        before_us = to_us(self._moment()) - drafts.LIFE_S * 1_000_000
        return await in_batches(self._database, partial(drafts.delete_some, before_us=before_us, limit=BATCH))

    async def _forget_memory(self, days: int, guild_id: int | None) -> int:
        before_us = to_us(self._moment() - timedelta(days=days))
        return await in_batches(
            self._database, partial(answers.delete_some, before_us=before_us, guild_id=guild_id, limit=BATCH)
        )

    async def _forget_orders(self, days: int, guild_id: int | None) -> int:
        before_us, now_us = to_us(self._moment() - timedelta(days=days)), to_us(self._moment())
        return await in_batches(
            self._database,
            partial(orders.delete_some, before_us=before_us, guild_id=guild_id, now_us=now_us, limit=BATCH),
        )

    # Servers that were left

    async def _forget_servers(self) -> int:
        """Those whose grace is over; how many of them are wholly forgotten now."""
        grace_over_us = to_us(self._moment() - timedelta(days=self._limits.grace))
        left = await self._database.read(lambda tx: departures.left_before(tx, grace_over_us))
        return sum([await self._forget_server(guild_id, left_us) for guild_id, left_us in left])

    async def _forget_server(self, guild_id: int, left_us: int) -> bool:
        """In this order, so that what a batch needs to find its rows is still there after a crash."""
        database, now_us = self._database, to_us(self._moment())
        before_us = left_us + to_us(self._moment()) - to_us(self._moment() - LEAVING)
        await database.write(lambda tx: answers.forget_modes(tx, guild_id))
        await in_batches(database, partial(answers.delete_some, before_us=before_us, guild_id=guild_id, limit=BATCH))
        await in_batches(database, partial(drafts.delete_some, before_us=before_us, guild_id=guild_id, limit=BATCH))
        await in_batches(
            database,
            partial(orders.delete_some, before_us=before_us, guild_id=guild_id, now_us=now_us, limit=BATCH),
        )
        last = 0
        while some := await database.read(partial(books.people, scope_id=guild_id, after=last, limit=BATCH)):
            for user_id in some:
                await in_batches(database, partial(books.hand_over_some, handover=self._all_of(guild_id, user_id)))
            last = some[-1]

        async def conclude(tx: Tx) -> bool:
            if not await departures.is_noted(tx, guild_id, at_us=left_us):
                return False  # it came back meanwhile: what its admins have decided since is theirs
            await guilds.erase_guild(tx, guild_id)
            await allowances.erase_guild(tx, guild_id)
            await books.erase_words_of_scope(tx, guild_id)
            if await books.people(tx, guild_id, after=0, limit=1):
                return False  # requests are still open there: the next run goes on
            return await departures.forget(tx, guild_id)

        return await database.write(conclude)

    def _all_of(self, guild_id: int, user_id: int) -> Handover:
        return Handover(
            scope_id=guild_id,
            user_id=user_id,
            pseudonym=new_pseudonym(),
            before_id=_ALL_KEYS,
            cutoff_us=to_us(self._moment() - SETTLED),
            grants_too=True,
        )

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)
