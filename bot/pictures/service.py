"""The doors to pictures: an order, the buttons below it, and what happens to open orders at a start and an end."""

import asyncio
import logging
import time
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from bot import arrivals
from bot.answers.journey import Words
from bot.answers.pace import Pace
from bot.answers.question import Asker, Place
from bot.catalog import Catalog, ImageModel
from bot.credits.ledger import Ledger
from bot.credits.values import HoldRequest
from bot.errors import LineFull, NothingToRepeat, NotPermitted, RequestEnded, Restarting, TooLate
from bot.money import NanoDollars
from bot.pictures import orders
from bot.pictures.cancels import Cancels
from bot.pictures.estimates import Estimates
from bot.pictures.line import InLine, next_up
from bot.pictures.orders import Drawing, Ending, Stored
from bot.pictures.request import Order
from bot.pictures.runner import Runner
from bot.pictures.showing import ENDINGS
from bot.pictures.tools import Tools
from bot.settings import Settings
from bot.storage.database import Database, Tx

log = logging.getLogger(__name__)

GOING_LIMIT: Final = 200_000
"""More than the settings let anybody have open and in line."""
UNTOLD_FOR: Final = timedelta(days=1)
"""How old an end may be that a start still tells of."""
UNTOLD_LIMIT: Final = 1_000
TIMES_TAKEN: Final = 500
"""How many of the newest pictures the estimates begin with."""
ARRIVAL_S: Final = 5.0
"""How long orders that are being written down are awaited when the bot stops."""
ADOPTED_AT_ONCE: Final = 500
"""How many holds are taken over in one transaction."""
UPLOAD_WAIT_S: Final = 2.0
"""How long Delete waits for pictures that are on their way; Discord wants to hear of a button within 3 s."""
_NEWEST: Final = (1 << 63) - 1
"""The largest id that the database holds: it stands for an order that is still to come, behind all others."""
WHO: Final = "the person who ordered, or a moderator,"


class Pictures:
    """Takes orders of pictures and answers for them until they are delivered or paid back. One for each process.

    `load` comes first, before the ledger resolves what a crash left, then `resume`, once Discord is ready.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        catalog: Catalog,
        database: Database,
        ledger: Ledger,
        estimates: Estimates,
        tools: Tools,
        runner: Runner,
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._database = database
        self._ledger = ledger
        self._estimates = estimates
        self._tools = tools
        self._runner = runner
        self._arriving: dict[int, InLine] = {}
        self._taking: set[asyncio.Task[None]] = set()
        self._pace = Pace(settings.questions_per_minute)
        self._cancels = Cancels()
        self._resumed = False
        self._closing = False

    @property
    def drawing_count(self) -> int:
        """How many orders are under way."""
        return len(self._runner.running)

    @property
    def waiting_count(self) -> int:
        """How many orders wait in line."""
        return len(self._runner.waiting)

    # Orders

    def check(self, model: str, asker: Asker, place: Place) -> None:
        """Refuse at first sight, before anything is promised.

        Raises:
            UnknownModel: the catalogue has no such model.
            LineFull: as many orders as configured wait.
            TooFast: it comes too soon after those before, or after too many that were cancelled.
            Restarting: the bot is stopping.
        """
        self._catalog.image_model(model)
        self._check_line(InLine(_NEWEST, asker.id, place.scope_id))
        now = time.monotonic()
        if self._settings.questions_per_minute:  # 0: the operator wants no such bounds
            self._cancels.check(asker.id, now)
        self._pace.enter(asker.id, now)

    async def order(self, order: Order, words: Words) -> None:
        """Hold the price of all its pictures, write the order down, and see to it from here on: its message is shown
        and kept by the runner, with `words` for what goes wrong. Returns once it is on disk.

        The same interaction twice is one order. Who is cancelled meanwhile has ordered all the same.

        Raises:
            UnknownModel, LineFull, Restarting: as `check`, since others may have come meanwhile.
            CreditsError: the asker, the server or the bot cannot pay for it.
            StorageError: nothing was held.
        """
        if order.id in self._arriving or self._runner.knows(order.id):
            log.info("the same order came twice: it is being seen to already")
            return
        model = self._catalog.image_model(order.picture.model)
        line = InLine(order.id, order.asker.id, order.place.scope_id)
        self._check_line(line)
        self._arriving[order.id] = line
        task = asyncio.create_task(self._take(order, model, words), name=f"arrival of order {order.id}")
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)
        await asyncio.shield(task)

    async def _take(self, order: Order, model: ImageModel, words: Words) -> None:
        at = self._tools.moment()
        image_nano = model.price(1)
        request = HoldRequest(
            key=order.id,
            scope_id=order.place.scope_id,
            user_id=order.asker.id,
            role_ids=frozenset(order.asker.role_ids),
            kind="image",
            model=model.id,
            fixed_nano=model.price(order.count),
            at=at,
        )
        try:
            await self._ledger.hold(request, along=partial(_begin, order=order, image_nano=image_nano, at=at))
        except RequestEnded:
            log.info("the same order came again after its end: it is left as it is")
            return
        finally:
            del self._arriving[order.id]
        self._runner.add(
            Stored(
                order=order,
                state="waiting",
                image_nano=image_nano,
                asked_at=at,
                drawings=tuple(Drawing(number=number) for number in range(order.count)),
            ),
            words,
        )

    def _check_line(self, new: InLine) -> None:
        """Raises LineFull where it could neither start at once nor wait, Restarting where the bot is stopping."""
        if self._closing:
            raise Restarting
        most_own, most = self._settings.picture_line_per_member, self._settings.picture_line
        waiting = {*self._runner.waiting, *self._arriving.values(), new}
        own = sum(one.user_id == new.user_id for one in waiting)
        if own <= most_own and len(waiting) <= most:
            return
        runner = self._runner
        started = next_up(waiting, runner.running, runner.limits, runner.turns.served)
        if new in started:
            return
        if own - sum(one.user_id == new.user_id for one in started) > most_own:
            raise LineFull(limit=most_own, own=True)
        if len(waiting) - len(started) > most:
            raise LineFull(limit=most, own=False)

    # The buttons. `at` is the channel in which one was pressed: one of another channel's order is made up, and whoever
    # moderates here has no say there.

    async def cancel(self, order_id: int, *, by: int, at: int, moderator: bool) -> None:
        """End an order that is not being uploaded; its credits go back, and its message says so at once. Whoever comes
        second has what they wanted.

        Raises:
            NothingToRepeat: it is not known in this channel.
            NotPermitted: neither who ordered nor a moderator.
            TooLate: it has ended, or its pictures are on their way.
            StorageError: it goes on.
        """
        stored = await self.stored(order_id, by=by, at=at)
        _require(by == stored.order.asker.id or moderator)
        ending = Ending(state="cancelled", reason="cancelled", untold=ENDINGS["cancelled"])
        if not await self._database.write(partial(self._end_now, order_id=order_id, ending=ending)):
            if (await self.stored(order_id, by=by, at=at)).state == "cancelled":
                return
            raise TooLate
        self._note_cancelled(stored, by)
        if self._runner.knows(order_id):
            self._runner.drop(order_id, words=ENDINGS["cancelled"])
        else:  # it was left to the next start, since the database did not take its state
            self._runner.tell(stored, ENDINGS["cancelled"])

    async def stored(self, order_id: int, *, by: int, at: int) -> Stored:
        """The order and its state, for its buttons; for years.

        Raises:
            NothingToRepeat: it is not known in this channel, was deleted, or is somebody else's private one.
        """
        if order_id > _NEWEST:
            raise NothingToRepeat("picture")
        stored = await self._database.read(lambda tx: orders.read(tx, order_id))
        if stored is None or not stored.is_at(at) or (stored.order.private and stored.order.asker.id != by):
            raise NothingToRepeat("picture")
        return stored

    async def delete(self, order_id: int, *, by: int, at: int, moderator: bool) -> tuple[tuple[int, int], ...]:
        """End the order if it is still going, and forget what was asked; returns its messages as (channel id, message
        id) for the caller to delete.

        Raises:
            NothingToRepeat, NotPermitted: as `cancel`.
            TooLate: its pictures are on their way, and can be deleted in a moment.
            StorageError: it is left as it is.
        """
        stored = await self.stored(order_id, by=by, at=at)
        _require(by == stored.order.asker.id or moderator)
        if stored.state == "uploading":
            await self._runner.wait_ended(order_id, timeout_s=UPLOAD_WAIT_S)
            stored = await self.stored(order_id, by=by, at=at)

        async def forget(tx: Tx) -> bool:
            await self._end_now(tx, order_id=order_id, ending=Ending(state="deleted", reason="cancelled"))
            return await orders.forget(tx, order_id)

        if not await self._database.write(forget):
            raise TooLate
        self._note_cancelled(stored, by)
        self._runner.drop(order_id, words=None)
        return stored.messages

    def _note_cancelled(self, stored: Stored, by: int) -> None:
        """`stored` is from before its end. What was in line has cost nobody anything."""
        under_way = any(line.order_id == stored.order.id for line in self._runner.running)
        if stored.is_going and under_way and by == stored.order.asker.id:
            self._cancels.note(by, time.monotonic())

    async def _end_now(self, tx: Tx, *, order_id: int, ending: Ending) -> bool:
        return await orders.end(tx, order_id, ending, at=self._tools.moment(), uploading=False)

    # Start and end

    async def load(self) -> None:
        """Read what an earlier process left, and take over the holds of its orders, which go on.

        Raises:
            StorageError: it cannot be read.
        """
        for taken in await self._database.read(lambda tx: orders.read_times_taken(tx, limit=TIMES_TAKEN)):
            self._estimates.note(taken.model, taken.pixels, taken.steps, taken.took_ms / 1_000)
        going = await self._database.read(lambda tx: orders.read_going(tx, limit=GOING_LIMIT))
        for begin in range(0, len(going), ADOPTED_AT_ONCE):
            await self._ledger.adopt([stored.order.id for stored in going[begin : begin + ADOPTED_AT_ONCE]])
        for stored in going:
            self._runner.add(stored)
        if going:
            log.info("%d orders of pictures go on", len(going))

    async def resume(self, words: Words) -> None:
        """Go on with what an earlier process left, once Discord is ready. Called again it does nothing.

        `words` turns an error into what an order's owner reads.

        Raises:
            StorageError: what ended unsaid cannot be read; the orders go on.
        """
        if self._resumed or self._closing:
            return
        self._resumed = True
        self._runner.start(words)
        since = self._tools.moment() - UNTOLD_FOR
        for stored in await self._database.read(lambda tx: orders.read_untold(tx, since=since, limit=UNTOLD_LIMIT)):
            if not self._runner.knows(stored.order.id):
                self._runner.tell(stored, stored.untold or "")

    def turn_away(self) -> None:
        """Take no more orders; those that are open go on until `close`."""
        self._closing = True

    async def close(self) -> None:
        """Take no more orders and leave the open ones, as they are on disk, to the next start."""
        self._closing = True
        if self._taking:
            await asyncio.wait(self._taking, timeout=ARRIVAL_S)
        await self._runner.close()


async def _begin(tx: Tx, *, order: Order, image_nano: NanoDollars, at: datetime) -> None:
    """Write the order down, so that its reply is no mere promise now."""
    await arrivals.take_up(tx, order.id)
    await orders.insert(tx, order, image_nano=image_nano, at=at)


def _require(allowed: bool) -> None:
    if not allowed:
        raise NotPermitted(WHO)
