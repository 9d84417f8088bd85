"""Owns every order that has not ended, and the tasks that see to it: who is next, who is where in line, who was taken
out.

One task for each order under way and one for the places in line; what waits costs no task.
"""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bot.answers.journey import Words
from bot.delivery.messages import Urgency
from bot.errors import DeliveryError
from bot.ops.logging import log_context
from bot.pictures import showing
from bot.pictures.course import Course
from bot.pictures.delivery import GRACE_S, OVERDUE_S, Display
from bot.pictures.line import InLine, LineLimits, Turns, next_up, positions
from bot.pictures.orders import Stored
from bot.pictures.telling import tell
from bot.pictures.tools import Tools
from bot.storage.errors import StorageClosed, StorageError

log = logging.getLogger(__name__)

LINE_S: Final = 1.0
"""How often places in line are looked at."""
LINE_WORK: Final = 10.0
"""So many times as long as it takes to reckon all places, nobody does it again."""
LONG_LINE: Final = 100
"""From so many orders in line on their places are reckoned in a thread: for 2,000 that takes 60 ms."""
PLACE_S: Final = 4.0
"""Between two edits that show an order's place in line, at least."""
PLACE_MOST_S: Final = 30.0
"""The same for the last in a long line: who is far from their turn need not see every step."""
PLACE_BY_CHANNEL_S: Final = 30.0
"""The same by the channel's routes, whose edits everybody in the channel shares."""
PLACES_AT_ONCE: Final = 100
"""How many places in line are shown anew at each look: those who wait longest to see theirs first."""
CLOSE_S: Final = 5.0
"""How long the tasks have to stop."""


@dataclass(kw_only=True, slots=True, eq=False)
class Entry:
    """An order that has not ended. `place` is what its message shows of its place in line, `shown_at` since when, and
    `placing` the edit that shows it. `task` is there once it is under way."""

    stored: Stored
    words: Words | None
    display: Display
    line: InLine
    place: int | None = None
    shown_at: float = float("-inf")
    placing: asyncio.Task[None] | None = None
    course: Course | None = None
    task: asyncio.Task[None] | None = None


class Runner:
    """Runs orders. Nothing starts before `start`."""

    def __init__(self, tools: Tools, limits: LineLimits) -> None:
        self._tools = tools
        self._limits = limits
        self._entries: dict[int, Entry] = {}
        self._waiting: dict[int, InLine] = {}
        self._running: dict[int, InLine] = {}
        self._turns = Turns()
        self._tasks: set[asyncio.Task[None]] = set()
        self._line_moved = asyncio.Event()
        self._pump_due = False
        self._words: Words | None = None
        self._closing = False

    # What is known

    def knows(self, order_id: int) -> bool:
        """Whether the order has not ended, and is seen to here."""
        return order_id in self._entries

    @property
    def waiting(self) -> Collection[InLine]:
        """The orders in line."""
        return self._waiting.values()

    @property
    def running(self) -> Collection[InLine]:
        """The orders under way."""
        return self._running.values()

    @property
    def limits(self) -> LineLimits:
        return self._limits

    @property
    def turns(self) -> Turns:
        return self._turns

    # What comes and goes

    def add(self, stored: Stored, words: Words | None = None) -> None:
        """See to an order from here on; one that was under way goes on, whatever the limits are now."""
        order = stored.order
        line = InLine(order.id, order.asker.id, order.place.scope_id)
        entry = Entry(stored=stored, words=words, display=self._tools.display(stored), line=line)
        self._entries[order.id] = entry
        if stored.state == "waiting":
            self._waiting[order.id] = line
            self._line_moved.set()
            self._pump_soon()
        else:
            self._running[order.id] = line
            if self._words is not None:
                self._launch(entry)

    def start(self, words: Words) -> None:
        """Begin, with `words` for the errors of orders that came without. Called again it does nothing."""
        if self._words is not None or self._closing:
            return
        self._words = words
        for order_id in tuple(self._running):
            self._launch(self._entries[order_id])
        self._own(self._show_places(), "places in line")
        self._pump_soon()

    def drop(self, order_id: int, *, words: str | None) -> None:
        """Take out an order that somebody has ended on disk; its message says `words`, if any. After `close` the next
        start does."""
        entry = self._entries.get(order_id)
        if entry is not None and not self._closing:
            self._waiting.pop(order_id, None)
            self._own(self._drop(entry, words), f"end of order {order_id}")

    def tell(self, stored: Stored, words: str) -> None:
        """Say in the message of an order that has ended how it did. After `close` the next start says it."""
        if self._closing:
            return
        self._own(self._tell(stored, words), f"last words of order {stored.order.id}")

    async def wait_ended(self, order_id: int, *, timeout_s: float) -> None:
        """Wait until an order under way has ended, at most so long."""
        entry = self._entries.get(order_id)
        if entry is not None and entry.task is not None:
            await asyncio.wait({entry.task}, timeout=timeout_s)

    async def close(self) -> None:
        """Stop every task, within `CLOSE_S`. The orders stay on disk as they are."""
        self._closing = True
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=CLOSE_S)
            if left:
                log.warning("%d tasks about pictures did not stop within %g s", len(left), CLOSE_S)

    # The line

    def _pump_soon(self) -> None:
        """Start whoever may start, once what happens at this moment has happened."""
        if not self._pump_due:
            self._pump_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_due = False
        if self._words is None or self._closing or not self._waiting:
            return
        started = next_up(self._waiting.values(), self._running.values(), self._limits, self._turns.served)
        for line in started:
            self._running[line.order_id] = self._waiting.pop(line.order_id)
            self._launch(self._entries[line.order_id])
        self._turns.note(started, self._waiting.values())

    def _launch(self, entry: Entry) -> None:
        words = entry.words or self._words
        assert words is not None, "nothing starts before `start`"
        entry.course = Course(self._tools, entry.stored, entry.display, words)
        entry.task = self._own(self._run(entry, entry.course), f"order {entry.line.order_id}")

    async def _run(self, entry: Entry, course: Course) -> None:
        try:
            with log_context(request_id=entry.line.order_id):
                await _landed(entry.placing)
                await course.run()
        except StorageClosed:
            log.info("the database closes: an order is left to the next start")
        except StorageError as error:
            log.error("an order is left to the next start, since its state cannot be written: %s", error)
            if not course.has_arrived:
                await self._say_left(entry)
        except Exception:
            # The top of the task. The course has ended the order, or could not: then the next start does.
            log.exception("an order could not be ended")
        finally:
            self._forget(entry)

    async def _say_left(self, entry: Entry) -> None:
        """In its message, so that it does not look as if it were being drawn. The next start shows what becomes of it.

        No error: whoever cannot be told now is told by the next start.
        """
        outgoing = showing.left(entry.stored.order)
        with contextlib.suppress(DeliveryError):
            await entry.display.edit(lambda: outgoing, Urgency.FINAL)

    def _forget(self, entry: Entry) -> None:
        order_id = entry.line.order_id
        if self._entries.get(order_id) is not entry:
            return
        del self._entries[order_id]
        self._waiting.pop(order_id, None)
        self._running.pop(order_id, None)
        if not self._closing:
            self._line_moved.set()
            self._pump_soon()

    async def _drop(self, entry: Entry, words: str | None) -> None:
        with log_context(request_id=entry.line.order_id):
            if entry.task is not None:
                entry.task.cancel()
                await asyncio.wait({entry.task}, timeout=CLOSE_S)
            self._forget(entry)
            landed = await _landed(entry.placing)
            if words is None:
                return
            outgoing = await tell(self._tools, entry.display, entry.stored, words)
            if not landed or (entry.course is not None and entry.course.overdue):
                await asyncio.sleep(OVERDUE_S)
                with contextlib.suppress(DeliveryError):
                    await entry.display.edit(lambda: outgoing, Urgency.FINAL)

    async def _tell(self, stored: Stored, words: str) -> None:
        with log_context(request_id=stored.order.id):
            await tell(self._tools, self._tools.display(stored), stored, words)

    # Places in line

    async def _show_places(self) -> None:
        """Keep the messages of waiting orders showing their places. Whoever comes new is told at once."""
        loop = asyncio.get_running_loop()
        while True:
            await self._line_moved.wait()
            self._line_moved.clear()
            await asyncio.sleep(0)  # those who may start at once have started then
            if not self._waiting:
                continue
            began = loop.time()
            self._show_some_places(await self._places())
            # Of a long line, whose places take long to reckon, only a part of the time is spent on that.
            await asyncio.sleep(LINE_WORK * (loop.time() - began))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINE_S):
                    await self._line_moved.wait()
            self._line_moved.set()

    async def _places(self) -> dict[int, int]:
        line = (tuple(self._waiting.values()), tuple(self._running.values()), self._limits, dict(self._turns.served))
        if len(self._waiting) < LONG_LINE:
            return positions(*line)
        return await asyncio.to_thread(positions, *line)

    def _show_some_places(self, places: Mapping[int, int]) -> None:
        now = asyncio.get_running_loop().time()
        due = [
            (entry, place)
            for order_id, place in places.items()
            if order_id in self._waiting
            and (entry := self._entries[order_id]).placing is None
            and entry.place != place
            and now - entry.shown_at >= _place_pause_s(entry, place)
        ]
        due.sort(key=lambda one: one[0].shown_at)
        for entry, place in due[:PLACES_AT_ONCE]:
            entry.shown_at = now
            entry.placing = self._own(self._show_place(entry, place), "a place in line")

    async def _show_place(self, entry: Entry, place: int) -> None:
        price = self._tools.price_in_words(entry.stored)
        outgoing = showing.waiting(entry.stored.order, position=place, price=price)
        try:
            await entry.display.edit(lambda: outgoing, Urgency.FIRST if entry.place is None else Urgency.GROWTH)
            entry.place = place
        except DeliveryError as error:
            log.info("a place in line could not be shown: %s", type(error).__name__)
        finally:
            entry.placing = None

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guarded(work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # cancelled before its first step, it never got to its work
        return task

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StorageError as error:
            log.error("left to the next start: %s", error)
        except Exception:
            log.exception("a task about pictures failed unexpectedly")  # the top of every task here


def _place_pause_s(entry: Entry, place: int) -> float:
    """How long a message goes on showing the place that it shows."""
    if not entry.display.by_token:
        return PLACE_BY_CHANNEL_S
    return min(max(PLACE_S, 0.2 * place), PLACE_MOST_S)


async def _landed(edit: asyncio.Task[None] | None) -> bool:
    """Let an edit that may be on its way arrive, so that none that comes later is overwritten by it. False: it may
    still."""
    if edit is None or edit.done():
        return True
    await asyncio.wait({edit}, timeout=GRACE_S)
    return not edit.cancel()
