"""Replies that were promised and of which nothing else is on disk yet. Owns `arrivals`.

Between the acknowledgement ("thinking…") and the transaction that holds money and writes the answer or the order down
a kill would leave a reply that loads until Discord gives it up. So a row is written before the acknowledgement, and
goes in that transaction, or once the asker has read why there is none. The next start tells of what is left.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from bot.delivery.messages import Outgoing, Urgency
from bot.delivery.rest import DiscordRest
from bot.errors import DeliveryError, DeliveryUnavailable
from bot.storage.database import Database, Tx
from bot.storage.errors import StorageError

log = logging.getLogger(__name__)

Kind = Literal["question", "picture"]

NOTE_S: Final = 0.5
"""How long an acknowledgement waits for the row: Discord gives three seconds in all."""
FORGET_S: Final = 2.0
"""How long a row's end may wait for its turn; one that stays is found answered at the next start."""
TOKEN_LIFE_S: Final = 15 * 60 - 15
"""From the row to the end of the token, less what lies between the interaction and the row, and what an edit takes."""
AT_MOST: Final = 1_000
"""How many one start tells of, the newest: as many as one process has open at a time, unless it was told otherwise."""
LOADING: Final = 1 << 7
"""A message's flag. Source: Discord's reference, "Message Flags"."""

WORDS: Final[dict[Kind, str]] = {
    "question": "⚠️ I was interrupted before I could answer. Please ask again.",
    "picture": "⚠️ I was interrupted before I could begin to draw. Please order again.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """An interaction that is about to be promised a reply."""

    interaction_id: int
    application_id: int
    token: str = field(repr=False)
    kind: Kind


class Arrivals:
    """Notes what is promised, and tells of what a dead process had promised. `now` gives unix seconds by Discord's
    clock. `load` comes before the first promise."""

    def __init__(self, database: Database, rest: DiscordRest, *, now: Callable[[], float]) -> None:
        self._database = database
        self._rest = rest
        self._now = now
        self._noted: set[int] = set()
        self._left: list[Arrival] = []

    # This process's own

    @asynccontextmanager
    async def promising(self, arrival: Arrival) -> AsyncIterator[None]:
        """Inside, the reply is promised and seen to. Where that fails, `told` is to follow; of who is cancelled, whose
        reply may still be loading, the next start tells.

        The database is not waited for long, and need not take the row: no answer fails for that. The same interaction
        again, while it is being seen to, is the first one's matter.
        """
        if arrival.interaction_id in self._noted:
            yield
            return
        self._noted.add(arrival.interaction_id)
        await self._note(arrival)
        yield
        await self.told(arrival.interaction_id)

    async def _note(self, arrival: Arrival) -> None:
        at_us = int(self._now() * 1_000_000)
        try:
            async with asyncio.timeout(NOTE_S):
                await self._database.write(lambda tx: _insert(tx, arrival, at_us=at_us), timeout_s=NOTE_S)
        except (StorageError, TimeoutError) as error:
            log.warning("a promised reply could not be noted: %s", type(error).__name__)

    async def told(self, interaction_id: int) -> None:
        """The reply shows what became of it. Of an interaction that was promised nothing, nothing is done."""
        if interaction_id not in self._noted:
            return
        self._noted.discard(interaction_id)
        try:  # mostly gone with the hold by now: a transaction that changes nothing costs no write to the disk
            await self._database.write(lambda tx: take_up(tx, interaction_id), timeout_s=FORGET_S)
        except StorageError as error:
            log.warning("a promised reply could not be noted as given: %s", type(error).__name__)

    def untold(self, interaction_id: int) -> None:
        """Discord took no words about it: the next start tries once more."""
        self._noted.discard(interaction_id)

    # An earlier process's

    async def load(self) -> None:
        """Read what an earlier process left, and delete of it what no token reaches any more.

        Raises:
            StorageError: it cannot be read.
        """
        dead_us = int((self._now() - TOKEN_LIFE_S) * 1_000_000)
        self._left = await self._database.write(lambda tx: _read_living(tx, dead_us=dead_us))

    @property
    def left(self) -> int:
        """How many replies of an earlier process may still be loading."""
        return len(self._left)

    async def close_all(self) -> int:
        """Tell, where a reply is still loading, that it was interrupted; how many were told.

        Those that Discord is out of reach for stay `left`, for another time.

        Raises:
            StorageError: it cannot be written down. What is told again then shows words, and is left alone.
        """
        closed, over = 0, []
        for arrival in tuple(self._left):
            try:
                closed += await self._close(arrival)
            except DeliveryUnavailable as error:
                log.info("a promised reply of before could not be closed: %s", type(error).__name__)
                continue
            except DeliveryError as error:  # it is gone, or never was
                log.info("a promised reply of before is out of reach: %s", type(error).__name__)
            over.append(arrival.interaction_id)
        if over:
            await self._database.write(lambda tx: _delete(tx, over))
            self._left = [arrival for arrival in self._left if arrival.interaction_id not in over]
        return closed

    async def _close(self, arrival: Arrival) -> bool:
        """Whether it was still loading; whatever else it shows is left as it is.

        Raises:
            DeliveryError: it is out of reach.
        """
        shown = await self._rest.get_webhook_message(arrival.application_id, arrival.token, "@original")
        if not int(shown.get("flags") or 0) & LOADING:
            return False
        words = Outgoing(content=WORDS[arrival.kind])
        await self._rest.edit_original(arrival.application_id, arrival.token, lambda: words, Urgency.FINAL)
        return True


async def take_up(tx: Tx, interaction_id: int) -> None:
    """From here on something else on disk knows of the reply: for the transaction that writes that down."""
    await tx.execute("DELETE FROM arrivals WHERE interaction_id = ?", (interaction_id,))


async def _insert(tx: Tx, arrival: Arrival, *, at_us: int) -> None:
    await tx.execute(
        "INSERT INTO arrivals (interaction_id, application_id, token, kind, at_us) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (interaction_id) DO NOTHING",
        (arrival.interaction_id, arrival.application_id, arrival.token, arrival.kind, at_us),
    )


async def _read_living(tx: Tx, *, dead_us: int) -> list[Arrival]:
    await tx.execute("DELETE FROM arrivals WHERE at_us < ?", (dead_us,))
    rows = await tx.fetch_all("SELECT * FROM arrivals ORDER BY at_us DESC LIMIT ?", (AT_MOST,))
    return [
        Arrival(
            interaction_id=row["interaction_id"],
            application_id=row["application_id"],
            token=row["token"],
            kind=row["kind"],
        )
        for row in rows
    ]


async def _delete(tx: Tx, interaction_ids: list[int]) -> None:
    for interaction_id in interaction_ids:
        await take_up(tx, interaction_id)
