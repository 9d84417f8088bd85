"""The money of one answer: held before the API is asked, ended once after it, whatever happened in between."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from bot.credits import ledger as books
from bot.credits.late import LateEnds
from bot.credits.ledger import Ledger
from bot.credits.rules import Consumed, Reason, outcome
from bot.credits.values import Hold
from bot.money import NanoDollars
from bot.storage.database import Tx
from bot.storage.errors import StorageError

log = logging.getLogger(__name__)

PAUSES_S: Final = (0.2, 1.0, 3.0)
"""Between the tries to end a hold while the database does not take it. After the last one the hold stays open, visible
in the ledger, and ends as was due as soon as the database takes it. If it never does, the next start ends it by the
crash rule: nobody pays twice, and nothing is lost."""


class Charge:
    """A hold on its way to its end. Ending it again does nothing, and how it ended first is how it stays.

    That counts where the database fails, too: what was due then is what is tried again. `ended`: there is nothing left
    to do about it here.
    """

    def __init__(self, ledger: Ledger, hold: Hold, *, late: LateEnds, now: Callable[[], datetime]) -> None:
        self.hold = hold
        self.ended = False
        self._due: tuple[Reason, Consumed] | None = None
        self._ledger = ledger
        self._late = late
        self._now = now

    def paid(self, reason: Reason, consumed: Consumed) -> NanoDollars:
        """What the asker pays when it ends so."""
        return outcome(reason, consumed, held_nano=self.hold.amount_nano).user_nano

    def owe(self, reason: Reason, consumed: Consumed) -> None:
        """From here on it ends so, whenever that succeeds."""
        self._due = self._due or (reason, consumed)

    def leave(self) -> None:
        """How it ends is on disk: whoever shows the answer to its end, now or after a restart, ends it then."""
        self.ended = True

    async def end_in(self, tx: Tx) -> None:
        """End it, as is owed, in the caller's transaction; the caller sets `ended` once that is committed."""
        assert self._due is not None
        await books.end(tx, self.hold.key, *self._due, at=self._now())

    async def end(self, reason: Reason, consumed: Consumed) -> None:
        """End it, trying again while the database does not take it; who is cancelled meanwhile leaves the rest of the
        tries to others."""
        try:
            await self._insist(reason, consumed)
        finally:
            if not self.ended and self._due is not None:
                self._late.add(self.hold.key, *self._due, at=self._now())

    async def _insist(self, reason: Reason, consumed: Consumed) -> None:
        self.owe(reason, consumed)
        for pause_s in PAUSES_S:
            if await self._try_to_end():
                return
            await asyncio.sleep(pause_s)
        if not await self._try_to_end():
            log.error("a charge could not be recorded yet: it stays on hold until the database takes it")

    async def _try_to_end(self) -> bool:
        assert self._due is not None
        if not self.ended:
            try:
                await self._ledger.end(self.hold.key, *self._due, at=self._now())
            except StorageError as error:
                log.warning("a charge is not recorded yet: %s", error)
                return False
            self.ended = True
        return True
