"""One order's way from its turn to its end: drawn, fetched, shown, settled. Any step may be the first after a crash."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from bot.answers.journey import Words
from bot.credits.ledger import Ledger
from bot.credits.notices import used_notice
from bot.credits.rules import Reason
from bot.delivery.messages import Outgoing, Upload, Urgency
from bot.delivery.rest import DiscordRest
from bot.errors import (
    DeliveryError,
    DeliveryRefused,
    DeliveryUnavailable,
    MessageGone,
    PictureUnusable,
    ProviderError,
    ProviderFailed,
    ProviderUnreachable,
)
from bot.money import CreditUnit, NanoDollars
from bot.pictures import orders, showing
from bot.pictures.delivery import Arrived, Display, Progress
from bot.pictures.drawing import Drawer, OrderEnded, is_unreachable
from bot.pictures.fetching import Fetched, Fetcher
from bot.pictures.journal import Journal
from bot.pictures.orders import Drawing, Ending, Stored
from bot.pictures.showing import ENDINGS, Misplaced
from bot.pictures.shrinking import Fitted, fit
from bot.storage.errors import StorageError

log = logging.getLogger(__name__)

FETCHES: Final = 3
"""How often a picture is fetched from the address that the API named."""
TELL_PAUSES_S: Final = (1.0, 3.0, 10.0, 30.0, 60.0)
"""Between the tries to say how an order ended. After the last one the next start says it."""
TOO_LARGE_STATUS: Final = 413
TOO_LARGE_CODE: Final = 40005
HALVINGS: Final = 3
"""How often files are made half as large where Discord takes less than it promised."""
FIND_PAUSE_MOST_S: Final = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a way that is only unavailable is tried before the next, and how long after a crash an order waits until
    somebody can tell whether it has arrived. Seconds."""

    route_s: float = 180.0
    find_s: float = 24 * 3_600.0
    pause_s: float = 1.0
    pause_most_s: float = 20.0


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


@dataclass(kw_only=True, slots=True)
class _Drawn:
    """What has become of an order's pictures: their addresses by number, and why the others are missing.

    `unusable` are those that were drawn and could not be fetched, at the last attempt.
    """

    urls: dict[int, str] = field(default_factory=dict)
    causes: list[ProviderError] = field(default_factory=list)
    unusable: list[ProviderError] = field(default_factory=list)

    @property
    def missing(self) -> list[ProviderError]:
        return [*self.causes, *self.unusable]


class Course:
    """The way of one order. Run by one task; whoever cancels it ends it nowhere but in this process."""

    def __init__(self, tools: Tools, stored: Stored, display: Display, words: Words) -> None:
        self._tools = tools
        self._stored = stored
        self._order = stored.order
        self._display = display
        self._words = words
        self._drawn = _Drawn()
        self.has_arrived = False
        """Whether the pictures are in Discord, though perhaps not yet in the books."""
        self._uploading = stored.state == "uploading"
        self._halvings = 0
        self._began = 0.0
        self._progress = Progress(display, self._drawing)
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
            await self._fail(error)

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
            self._drawn.urls[drawing.number] = await self._tools.drawer.draw(self._order, drawing)
        except ProviderError as error:
            self._drawn.causes.append(error)
        except (OrderEnded, StorageError) as error:
            return error
        return None

    def _drawing(self) -> Outgoing:
        price = self._tools.price_in_words(self._stored)
        if self._uploading:
            return showing.sending(self._order, price=price)
        progress = showing.Progress(
            elapsed_s=asyncio.get_running_loop().time() - self._began,
            expected_s=self._tools.drawer.expected_s(self._order),
            drawn=len(self._drawn.urls),
            failed=len(self._drawn.causes),
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
                if (arrived := await self._found_now()) is not None:
                    return arrived
                if loop.time() >= give_up_at:
                    if self._display.reply_lost:
                        return await self._found_or(error)
                    self._display.give_up_reply()
                    failures, give_up_at = 0, loop.time() + self._tools.patience.route_s
            except DeliveryError as error:
                if not self._halve(error):
                    log.warning("an order cannot be delivered: %s %s", type(error).__name__, error.code or error.status)
                    return await self._found_or(error)
                continue
            await asyncio.sleep(self._backoff_s(failures))

    def _halve(self, error: DeliveryError) -> bool:
        """Whether smaller files may do: Discord's limits change, and the one that came with the order may be old."""
        too_large = error.status == TOO_LARGE_STATUS or error.code == TOO_LARGE_CODE
        self._halvings += 1
        return isinstance(error, DeliveryRefused) and too_large and self._halvings <= HALVINGS

    async def _deliver_once(self, quieting: asyncio.Task[None]) -> Arrived:
        """Fetch the files and show them. They are held only for so long: a new attempt fetches anew."""
        async with self._tools.slots:
            fetched = await self._fetch()
            await asyncio.wait({quieting})
            if not self._uploading:
                if not await self._tools.journal.write(lambda tx: orders.claim_upload(tx, self._order.id)):
                    raise OrderEnded
                self._uploading = True

            async def make(limit_bytes: int, misplaced: Misplaced | None) -> Outgoing:
                return await self._parcel(fetched, limit_bytes, misplaced)

            return await self._display.deliver(make)

    async def _fetch(self) -> dict[int, Fetched]:
        """The files that can be had.

        Raises:
            ProviderError: none of them can.
        """
        numbers = sorted(self._drawn.urls)
        results = await asyncio.gather(*(self._fetch_one(self._drawn.urls[number]) for number in numbers))
        fetched, unusable = {}, []
        for number, result in zip(numbers, results, strict=True):
            if isinstance(result, Fetched):
                fetched[number] = result
            else:
                unusable.append(result)
        self._drawn.unusable = unusable
        if not fetched:
            raise self._drawn.missing[-1]
        return fetched

    async def _fetch_one(self, url: str) -> Fetched | ProviderError:
        failures = 0
        while True:
            try:
                return await self._tools.fetcher.fetch(url)
            except (ProviderUnreachable, ProviderFailed) as error:
                failures += 1
                log.info("a picture could not be fetched, attempt %d: %s", failures, type(error).__name__)
                if failures >= FETCHES:
                    return error
            except PictureUnusable as error:
                log.warning("the picture that came back %s", error.reason)
                return error
            await asyncio.sleep(self._backoff_s(failures))

    async def _parcel(self, fetched: dict[int, Fetched], limit_bytes: int, misplaced: Misplaced | None) -> Outgoing:
        """The message with the files. Raises PictureUnusable where none can be made to fit."""
        limit_bytes >>= self._halvings
        fitted: dict[int, Fitted] = {}
        causes = self._drawn.missing
        for number, one in fetched.items():
            try:
                fitted[number] = await fit(one.content, one.facts, limit_bytes)
            except PictureUnusable as error:
                causes.append(error)
        if not fitted:
            raise causes[-1]
        outgoing = await self._delivered(
            len(fitted), causes, misplaced, shrunk=any(one.shrunk for one in fitted.values())
        )
        uploads = tuple(
            Upload(
                name=showing.file_name(self._order, number + 1, one.kind),
                content=one.content,
                description=showing.alt_text(self._order, number + 1),
            )
            for number, one in fitted.items()
        )
        self._last_words = None if misplaced is not None else outgoing
        return replace(outgoing, uploads=uploads)

    async def _delivered(
        self, images: int, causes: Sequence[ProviderError], misplaced: Misplaced | None, *, shrunk: bool = False
    ) -> Outgoing:
        notes = ["made smaller to fit"] if shrunk else []
        if (used := await self._used_notice()) is not None:
            notes.append(used)
        return showing.delivered(
            self._order,
            images=images,
            cost=self._tools.price(self._stored, images),
            unit=self._tools.unit,
            notes=notes,
            lead=showing.dm_words(self._order, misplaced) if misplaced is not None else "",
            why=self._words(causes[0]) if causes else "",
        )

    async def _used_notice(self) -> str | None:
        """What the footer says of an allowance that is nearly used. Its hold counts as what it will cost."""
        asker, scope_id = self._order.asker, self._order.place.scope_id
        try:
            standing = await self._tools.ledger.standing(scope_id, asker.id, asker.role_ids, at=self._tools.moment())
        except StorageError:
            return None
        return used_notice(standing.used_percent, standing.ends_at)

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

    async def _found_or(self, error: ProviderError | DeliveryError) -> Arrived | None:
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

    async def _fail(self, error: BaseException) -> None:
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

    def _backoff_s(self, failures: int) -> float:
        patience = self._tools.patience
        return min(patience.pause_s * 2.0 ** (failures - 1), patience.pause_most_s) * random.uniform(0.5, 1.0)


async def tell(tools: Tools, display: Display, stored: Stored, words: str) -> Outgoing:
    """Say in an order's message how it ended, and write down that it has been said. Returns what it shows.

    Raises:
        StorageError: the next start says it again.
    """
    outgoing = showing.ended(stored.order, words=words)
    for pause_s in TELL_PAUSES_S:
        try:
            await display.edit(lambda: outgoing, Urgency.FINAL)
            break
        except DeliveryUnavailable as error:
            log.info("an order's end could not be shown yet: %s", error.detail)
        except MessageGone:
            break  # whoever deleted it does not wait for it
        except DeliveryError:
            await _tell_by_dm(display, outgoing)
            break
        await asyncio.sleep(pause_s)
    else:
        return outgoing
    await tools.journal.write(lambda tx: orders.note_told(tx, stored.order.id))
    return outgoing


async def _tell_by_dm(display: Display, outgoing: Outgoing) -> None:
    try:
        await display.tell_by_dm(outgoing)
    except DeliveryError as error:
        log.info("an order's end can be told to nobody: %s", type(error).__name__)
