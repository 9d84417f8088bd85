"""What every picture order needs on its way: values, and the resources that all of them share."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.credits.ledger import Ledger
from bot.delivery.rest import DiscordRest
from bot.money import CreditUnit, NanoDollars
from bot.pictures import orders, showing
from bot.pictures.delivery import Display
from bot.pictures.drawing import Drawer
from bot.pictures.fetching import Fetcher
from bot.pictures.journal import Journal
from bot.pictures.orders import Stored


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a way that is only unavailable is tried before the next, and how long after a crash an order waits until
    somebody can tell whether it has arrived. Seconds."""

    route_s: float = 180.0
    find_s: float = 24 * 3_600.0
    pause_s: float = 1.0
    pause_most_s: float = 20.0

    def backoff_s(self, failures: int) -> float:
        """The pause after so many failures in a row (1 or more)."""
        return min(self.pause_s * 2.0 ** min(failures - 1, 32), self.pause_most_s) * random.uniform(0.5, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """What every order needs. `slots` bounds the orders whose files are in memory."""

    rest: DiscordRest
    ledger: Ledger
    unit: CreditUnit
    journal: Journal
    drawer: Drawer
    fetcher: Fetcher
    slots: asyncio.Semaphore
    patience: Patience
    now: Callable[[], float]

    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.now(), UTC)

    def display(self, stored: Stored) -> Display:
        """A way to its message."""
        order_id = stored.order.id

        async def note_dm(channel_id: int) -> None:
            await self.journal.write(lambda tx: orders.note_dm_channel(tx, order_id, channel_id))

        return Display(self.rest, stored, now=self.now, note_dm=note_dm)

    def price(self, stored: Stored, images: int) -> NanoDollars:
        return NanoDollars(stored.image_nano * images)

    def price_in_words(self, stored: Stored) -> str:
        """What the whole order costs."""
        return showing.price_in_words(self.price(stored, stored.order.count), self.unit)
