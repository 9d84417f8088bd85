"""Ends of holds that the database did not take when they were due, kept until it does, or until the process ends."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.credits import ledger as books
from bot.credits.rules import Consumed, Reason
from bot.storage.database import Database, Tx
from bot.storage.errors import StorageError

log = logging.getLogger(__name__)

LIMIT: Final = 10_000
"""The most ends that are kept. Without the disk there are no new holds, so there are hardly more than open answers."""
BATCH: Final = 100
"""So many share a transaction."""
LAST_TRY_S: Final = 2.0
"""How long the last try waits for its turn when the process ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Due:
    reason: Reason
    consumed: Consumed
    at: datetime


class LateEnds:
    """What is due. A process that dies loses it, and the next start ends those holds by the crash rule."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._due: dict[int, _Due] = {}

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: int, reason: Reason, consumed: Consumed, *, at: datetime) -> None:
        """Keep the end of the hold of `key`; the first one that was due is the one that counts."""
        if len(self._due) >= LIMIT:
            log.error("%d charges wait for the database: this one stays on hold until the next start", LIMIT)
            return
        self._due.setdefault(key, _Due(reason=reason, consumed=consumed, at=at))

    async def write(self, *, timeout_s: float) -> int:
        """Write what is due, some at a time; how many holds have ended by that. Written twice, it is written once.

        Raises:
            StorageError: the rest is still due.
        """
        written = 0
        while some := dict(list(self._due.items())[:BATCH]):

            async def end(tx: Tx, some: dict[int, _Due] = some) -> int:
                return sum([await _end(tx, key, due) for key, due in some.items()])

            written += await self._database.write(end, timeout_s=timeout_s)
            for key in some:
                del self._due[key]
        return written

    async def close(self) -> None:
        """Try once more: the process ends."""
        if not self._due:
            return
        try:
            await self.write(timeout_s=LAST_TRY_S)
        except StorageError as error:
            log.error("%d charges stay on hold until the next start: %s", len(self._due), error)


async def _end(tx: Tx, key: int, due: _Due) -> bool:
    try:
        return (await books.end(tx, key, due.reason, due.consumed, at=due.at)).first
    except LookupError:
        log.warning("a charge was due for what nothing was held for any more")
        return False
