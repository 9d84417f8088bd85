"""The door to what is kept of people: show it, take it along, erase it; and the servers that come and go."""

import logging
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from bot import drafts, guilds
from bot.answers import keeping as answers
from bot.credits import allowances
from bot.credits import keeping as books
from bot.credits.policy import DIRECT_SCOPE
from bot.credits.values import from_us, to_us
from bot.errors import NothingToRepeat, TooLate
from bot.pictures import keeping as orders
from bot.pictures.service import Pictures
from bot.privacy import departures, export, wishes
from bot.privacy.erasing import Eraser, Progress
from bot.privacy.retention import Housekeeper, Limits, days_kept
from bot.privacy.values import Held
from bot.privacy.wishes import Wish
from bot.storage.database import Database, Tx

log = logging.getLogger(__name__)

_EVER: Final = (1 << 63) - 1
"""Later than any time, in microseconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """What is kept of somebody. `erasing_since` is when they asked to be erased, if that is not wholly done."""

    held: tuple[Held, ...]
    erasing_since: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptFor:
    """How many days conversations and picture orders are kept in a place. None: for ever."""

    memory: int | None
    orders: int | None


class Privacy:
    """One for each process. `now` gives unix seconds by Discord's clock."""

    def __init__(
        self,
        *,
        database: Database,
        pictures: Pictures,
        eraser: Eraser,
        housekeeper: Housekeeper,
        limits: Limits,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._pictures = pictures
        self._eraser = eraser
        self._housekeeper = housekeeper
        self._limits = limits
        self._now = now

    @property
    def limits(self) -> Limits:
        """What the operator decided."""
        return self._limits

    async def overview(self, user_id: int) -> Overview:
        """What there is of somebody, everywhere. Raises StorageError."""

        async def read(tx: Tx) -> Overview:
            held = [
                *await answers.held(tx, user_id),
                *await orders.held(tx, user_id),
                *await drafts.held(tx, user_id),
                *await books.held(tx, user_id),
                *await allowances.held(tx, user_id),
                *await guilds.held_decisions(tx, user_id),
            ]
            wish = await wishes.read(tx, user_id)
            return Overview(held=tuple(held), erasing_since=None if wish is None else from_us(wish.asked_at_us))

        return await self._database.read(read)

    async def kept_for(self, guild_id: int | None) -> KeptFor:
        """How long things are kept in a server, or None: in direct messages. Raises StorageError."""
        settings = guilds.DEFAULTS
        if guild_id is not None:
            settings = await self._database.read(lambda tx: guilds.read_settings(tx, guild_id))
        return KeptFor(
            memory=days_kept(settings.retention_days, self._limits.memory),
            orders=days_kept(settings.retention_days, self._limits.orders),
        )

    def parts(self, user_id: int, *, part_bytes: int) -> AsyncIterator[bytes]:
        """See `export.parts`."""
        return export.parts(self._database, user_id, at=self._moment(), part_bytes=part_bytes)

    async def erase(self, user_id: int, *, erasure_id: int) -> Progress:
        """Erase all that somebody did before the snowflake `erasure_id`, as far as it can be done now.

        Once it is written down it will be done: who is cancelled, or killed, meanwhile has been heard. The same wish
        twice, or another one later, is harmless. Picture orders in line are cancelled, and their credits go back.

        Raises:
            StorageError: what is not done yet is tried again by the job.
        """
        wish = await self._eraser.ask(user_id, erasure_id=erasure_id)
        try:
            await self._cancel_orders(wish)
            return await self._eraser.carry_on(wish)
        finally:
            self._housekeeper.wake()  # for what is left, and whoever is cancelled

    async def _cancel_orders(self, wish: Wish) -> None:
        """Their messages say so before their rows go: the runner sees to that, and the job comes after it."""
        who, before = wish.user_id, wish.erasure_id
        going = await self._database.read(lambda tx: orders.going(tx, who, before_id=before))
        for order_id, channel_id in going:
            try:
                await self._pictures.cancel(order_id, by=who, at=channel_id, moderator=False)
            except (TooLate, NothingToRepeat):
                log.info("an order of somebody who is being erased is on its way: it goes once it has arrived")

    async def servers_with_own_allowance(self, user_id: int) -> list[int]:
        """The servers whose admins decided something for somebody by name, which stays."""
        return await self._database.read(lambda tx: allowances.servers_with_own(tx, user_id))

    # Retention

    async def falls_under(self, guild_id: int, chosen: int | None) -> int:
        """How many turns and orders of a server are too old, if it chooses so many days, or None: the operator's."""
        memory, order = days_kept(chosen, self._limits.memory), days_kept(chosen, self._limits.orders)

        async def read(tx: Tx) -> int:
            count = 0
            if memory is not None:
                count += await answers.count(tx, before_us=self._ago_us(memory), guild_id=guild_id)
            if order is not None:
                count += await orders.count(tx, before_us=self._ago_us(order), guild_id=guild_id)
            return count

        return await self._database.read(read)

    def forget_soon(self) -> None:
        """Let the job run now."""
        self._housekeeper.wake()

    # Servers that come and go

    async def note_left(self, guild_id: int) -> None:
        """The bot is not in that server any more: it is erased after the grace. Raises StorageError."""
        at_us = to_us(self._moment())
        await self._database.write(lambda tx: departures.note(tx, guild_id, at_us=at_us))

    async def note_back(self, guild_id: int) -> None:
        """The bot is in that server (again). Raises StorageError."""
        await self._database.write(lambda tx: departures.forget(tx, guild_id))

    async def reconcile(self, present: Collection[int]) -> int:
        """Compare with all the servers that the bot is in; how many were left while nobody was looking.

        Only for who knows all of them: a server that is missing from `present` counts as left.

        Raises:
            StorageError.
        """
        return await self._database.write(partial(self._reconcile, present=frozenset(present)))

    async def _reconcile(self, tx: Tx, *, present: frozenset[int]) -> int:
        await departures.come_back(tx, present)
        known = {*await guilds.known(tx), *await books.servers(tx)} - {DIRECT_SCOPE}
        gone = known - present - {guild_id for guild_id, _ in await departures.left_before(tx, _EVER)}
        at_us = to_us(self._moment())
        for guild_id in gone:
            await departures.note(tx, guild_id, at_us=at_us)
        return len(gone)

    def _ago_us(self, days: int) -> int:
        return to_us(self._moment() - timedelta(days=days))

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)
