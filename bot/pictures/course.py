"""One order's way from its turn to its end: drawn, fetched, shown, settled. Any step may be the first after a crash."""

import asyncio
import logging
from dataclasses import replace
from typing import Final

from bot.answers.journey import Words
from bot.credits.rules import Reason
from bot.delivery.messages import Outgoing, Urgency
from bot.errors import DeliveryError, DeliveryRefused, DeliveryUnavailable, ProviderError
from bot.pictures import orders, showing
from bot.pictures.delivery import Arrived, Display, Progress
from bot.pictures.drawing import OrderEnded, is_unreachable
from bot.pictures.orders import Drawing, Ending, Stored
from bot.pictures.parcel import Packer
from bot.pictures.showing import ENDINGS, Misplaced
from bot.pictures.telling import tell
from bot.pictures.tools import Tools
from bot.storage.errors import StorageError

log = logging.getLogger(__name__)

TOO_LARGE_STATUS: Final = 413
TOO_LARGE_CODE: Final = 40005
HALVINGS: Final = 3
"""How often files are made half as large where Discord takes less than it promised."""
FIND_PAUSE_MOST_S: Final = 60.0


class Course:
    """The way of one order. Run by one task; whoever cancels it ends it nowhere but in this process."""

    def __init__(self, tools: Tools, stored: Stored, display: Display, words: Words) -> None:
        self._tools = tools
        self._stored = stored
        self._order = stored.order
        self._display = display
        self._words = words
        self._packer = Packer(tools, stored, words)
        self._urls: dict[int, str] = {}
        self._missing: list[ProviderError] = []
        self.has_arrived = False
        """Whether the pictures are in Discord, though perhaps not yet in the books."""
        self._uploading = stored.state == "uploading"
        self._halvings = 0
        self._began = 0.0
        self._progress = Progress(display, self._drawing, begun=stored.state != "waiting")
        self._last_words: Outgoing | None = None

    @property
    def overdue(self) -> bool:
        """Whether an edit of the progress may land after all others."""
        return self._progress.overdue

    async def run(self) -> None:
        """See the order to its end.

        Raises:
            StorageError: the next start goes on with it.
        """
        if self._stored.state == "waiting":
            at = self._tools.moment()
            if not await self._tools.journal.write(lambda tx: orders.open_(tx, self._order.id, at=at)):
                return
        try:
            await self._run()
        except OrderEnded:
            return
        except StorageError:
            raise
        except Exception as error:
            # Whatever nobody foresaw: the order must end all the same, and its credits go back.
            log.exception("an order failed unexpectedly")
            if (arrived := await self._found_or(error)) is not None:
                await self._settle(arrived)

    async def _run(self) -> None:
        if self._uploading and (arrived := await self._find()) is not None:
            await self._settle(arrived)
            return
        waited_s = 0.0 if self._stored.opened_at is None else self._tools.now() - self._stored.opened_at.timestamp()
        self._began = asyncio.get_running_loop().time() - max(waited_s, 0.0)
        async with self._progress:
            await self._draw()
            quieting = asyncio.create_task(self._progress.quiet(), name="quiet before a delivery")
            try:
                arrived = await self._deliver(quieting)
            finally:
                await quieting
            if arrived is not None:
                await self._settle(arrived)
            if self.overdue:
                await self._progress.settled()
                await self._mend()

    # Drawing

    async def _draw(self) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._draw_one(drawing)) for drawing in self._stored.drawings]
        for task in tasks:
            if (error := task.result()) is not None:
                raise error

    async def _draw_one(self, drawing: Drawing) -> OrderEnded | StorageError | None:
        """What ends this for all of the order's pictures. Returned: a group would wrap it."""
        try:
            self._urls[drawing.number] = await self._tools.drawer.draw(self._order, drawing)
        except ProviderError as error:
            self._missing.append(error)
        except (OrderEnded, StorageError) as error:
            return error
        return None

    def _drawing(self) -> Outgoing:
        price = self._tools.price_in_words(self._stored)
        progress = showing.Progress(
            elapsed_s=asyncio.get_running_loop().time() - self._began,
            expected_s=self._tools.drawer.expected_s(self._order),
            drawn=len(self._urls),
            failed=len(self._missing),
        )
        return showing.drawing(self._order, progress, price=price)

    # Delivering

    async def _deliver(self, quieting: asyncio.Task[None]) -> Arrived | None:
        """Where the pictures have arrived. None: nowhere, and the order has ended."""
        loop = asyncio.get_running_loop()
        failures, give_up_at = 0, loop.time() + self._tools.patience.route_s
        while True:
            try:
                return await self._deliver_once(quieting)
            except ProviderError as error:
                await asyncio.wait({quieting})
                return await self._found_or(error)
            except DeliveryUnavailable as error:
                failures += 1
                log.info("a delivery failed, attempt %d: %s", failures, error.detail)
                given_up = loop.time() >= give_up_at
                if given_up and self._display.reply_lost:
                    return await self._found_or(error)
                # One way is left for another only once it is certain that nothing has arrived by it.
                if (arrived := await (self._find() if given_up else self._found_now())) is not None:
                    return arrived
                if given_up:
                    self._display.give_up_reply()
                    failures, give_up_at = 0, loop.time() + self._tools.patience.route_s
            except DeliveryError as error:
                if not self._halve(error):
                    log.warning("an order cannot be delivered: %s %s", type(error).__name__, error.code or error.status)
                    return await self._found_or(error)
                continue
            await asyncio.sleep(self._tools.patience.backoff_s(failures))

    def _halve(self, error: DeliveryError) -> bool:
        """Whether smaller files may do: Discord's limits change, and the one that came with the order may be old."""
        too_large = error.status == TOO_LARGE_STATUS or error.code == TOO_LARGE_CODE
        self._halvings += 1
        return isinstance(error, DeliveryRefused) and too_large and self._halvings <= HALVINGS

    async def _deliver_once(self, quieting: asyncio.Task[None]) -> Arrived:
        """Fetch the files and show them. They are held only for so long: a new attempt fetches anew."""
        async with self._tools.slots:
            fetches = await self._packer.fetch(self._urls, self._missing)
            await asyncio.wait({quieting})
            if not self._uploading:
                if not await self._tools.journal.write(lambda tx: orders.claim_upload(tx, self._order.id)):
                    raise OrderEnded
                self._uploading = True

            async def make(limit_bytes: int, misplaced: Misplaced | None) -> Outgoing:
                outgoing = await self._packer.pack(
                    fetches, limit_bytes=limit_bytes >> self._halvings, misplaced=misplaced
                )
                self._last_words = None if misplaced is not None else replace(outgoing, uploads=None)
                return outgoing

            return await self._display.deliver(make)

    # Finding what an earlier try has delivered

    async def _find(self) -> Arrived | None:
        """Whether the files have arrived. Insists on an answer: a second delivery would be as wrong as none."""
        loop = asyncio.get_running_loop()
        failures, give_up_at = 0, loop.time() + self._tools.patience.find_s
        while True:
            try:
                return await self._display.find()
            except DeliveryError as error:
                failures += 1
                if loop.time() >= give_up_at or not isinstance(error, DeliveryUnavailable):
                    return None
                log.info("nobody can tell yet whether an order has arrived: %s", error.detail)
            await asyncio.sleep(min(self._tools.patience.pause_s * 2.0 ** min(failures, 10), FIND_PAUSE_MOST_S))

    async def _found_now(self) -> Arrived | None:
        try:
            return await self._display.find()
        except DeliveryError:
            return None

    async def _found_or(self, error: Exception) -> Arrived | None:
        """What has arrived all the same; else the order ends because of `error`."""
        if self._uploading and (arrived := await self._find()) is not None:
            return arrived
        await self._fail(error)
        return None

    # Ending

    async def _settle(self, arrived: Arrived) -> None:
        """Charge for what has arrived."""
        self.has_arrived = True
        ending = Ending(
            state="delivered",
            reason="finished",
            images=arrived.images,
            dm_message_id=arrived.message_id if arrived.by_dm else None,
        )
        await self._end(ending)
        log.info("delivered %d of %d pictures%s", arrived.images, self._order.count, " by DM" if arrived.by_dm else "")

    async def _mend(self) -> None:
        """Show the end again, over an edit of the progress that may have landed after it."""
        last_words = self._last_words
        if last_words is None:
            return
        try:
            await self._display.edit(lambda: last_words, Urgency.FINAL)
        except DeliveryError as error:
            log.info("an order's last words could not be repeated: %s", type(error).__name__)

    async def _fail(self, error: Exception) -> None:
        """End the order without pictures, and say so."""
        if isinstance(error, DeliveryError):
            ending = Ending(state="undelivered", reason="undelivered", untold=ENDINGS["undelivered"])
        else:
            untaken: Reason = "unsent" if is_unreachable(error) else "refused"
            ending = Ending(state="failed", reason="failed", untaken=untaken, untold=self._words(error))
        if await self._end(ending):
            self._last_words = await tell(self._tools, self._display, self._stored, ending.untold or "")

    async def _end(self, ending: Ending) -> bool:
        at = self._tools.moment()
        return await self._tools.journal.write(lambda tx: orders.end(tx, self._order.id, ending, at=at))
