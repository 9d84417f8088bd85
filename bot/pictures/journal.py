"""Writes what an order must not go on without: again and again, while the database does not take it."""

import asyncio
import logging
from itertools import chain, repeat
from typing import Final, TypeVar

from bot.storage.database import Database, Operation
from bot.storage.errors import StorageClosed, StorageDamaged, StorageError

log = logging.getLogger(__name__)

T = TypeVar("T")

PAUSES_S: Final = (0.2, 1.0, 3.0, 10.0)
"""Between the first tries."""
PAUSE_S: Final = 30.0
"""Between those that follow."""
TRIES: Final = 2_880
"""A day of them: a disk that is full is seen to by a person. After the last one the order is left as it is on disk, to
the next start: nothing is lost."""


class Journal:
    """The database, insisted on. What is written here is decided by conditions, so writing it twice is harmless."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, operation: Operation[T]) -> T:
        """Run `operation` in a transaction of its own.

        Raises:
            StorageClosed: the process ends.
            StorageDamaged: the database will not take it before the next start.
            StorageError: it has not taken it for a day.
        """
        for pause_s in chain(PAUSES_S, repeat(PAUSE_S, TRIES)):
            try:
                return await self._database.write(operation)
            except (StorageClosed, StorageDamaged):
                raise
            except StorageError as error:
                log.warning("an order's state is not written yet: %s", error)
            await asyncio.sleep(pause_s)
        return await self._database.write(operation)
