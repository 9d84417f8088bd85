"""One run of the bot whose every task is known, so that it can be killed in the middle of a step, in this process.

A kill leaves what was committed to the database and whatever requests are on the wire, and nothing else: the database
is copied at that moment, and the dying bot can reach neither Discord nor the copy.
"""

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

import discord

from bot.app import open_bot
from bot.client import Bot
from bot.settings import Settings
from sandbox.discord.faults import Fault
from tests.e2e.house import House, discord_py_restored

READY_S = 10.0
DRAINED_S = 10.0
"""The stated bound: `SHUTDOWN_GRACE_S` is short here, and what has to stop has seconds each."""

_LIFE: ContextVar["Life | None"] = ContextVar("life", default=None)

log = logging.getLogger(__name__)


@contextmanager
def every_task_known() -> Iterator[None]:
    """Tasks are noted by the life in which they begin."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(_noting)  # type: ignore[arg-type]  # typeshed wants a generic function
    try:
        yield
    finally:
        loop.set_task_factory(before)


def _noting(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
    task = asyncio.Task(work, loop=loop, **options)
    life = _LIFE.get()
    if life is not None:
        life.tasks.add(task)
        task.add_done_callback(life.tasks.discard)
    return task


class Life:
    """The bot from its start to its end. Only inside `every_task_known`."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.tasks: set[asyncio.Task[Any]] = set()
        self.bot: Bot | None = None
        self._main: asyncio.Task[None] | None = None

    async def begin(self, **overrides: str) -> Bot:
        """Start it on the house's database, and wait until Discord has let it in."""
        settings = Settings.load(self.house.environment(SHUTDOWN_GRACE_S="0.05", **overrides))
        self._main = main = self._in_life(lambda: asyncio.create_task(self._serve(settings), name="the bot"))
        ready = asyncio.create_task(self.house.discord.gateway.wait_ready(READY_S))
        await asyncio.wait({main, ready}, return_when=asyncio.FIRST_COMPLETED)
        if main.done():
            ready.cancel()
            main.result()
        await ready
        assert self.bot is not None
        await self.bot.wait_until_ready()
        self.house.bot, self.house.settings = self.bot, settings
        return self.bot

    def _in_life(self, make: Callable[[], asyncio.Task[None]]) -> asyncio.Task[None]:
        context = copy_context()
        context.run(_LIFE.set, self)
        return context.run(make)

    async def _serve(self, settings: Settings) -> None:
        """As `bot.app.run` does it."""
        with discord_py_restored():
            async with open_bot(settings, now=self.house.discord.clock.now) as bot:
                self.bot = bot
                await bot.serve(settings.discord_token)

    async def stop(self) -> None:
        """As SIGTERM does: what has begun is drained, and no task is left."""
        main = self._main
        if main is None or main.done():
            return
        main.cancel()
        try:
            async with asyncio.timeout(DRAINED_S):
                with contextlib.suppress(asyncio.CancelledError):
                    await main
                while self.tasks:  # noqa: ASYNC110 - the last of them end in the next turns of the loop
                    await asyncio.sleep(0)
        except TimeoutError:
            raise TimeoutError(f"left behind: {[task.get_name() for task in self.tasks]}") from None
        self.house.bot = None
        await self._disconnected()

    async def kill(self, unlock: Callable[[], None] = lambda: None) -> None:
        """As `kill -9` does; the house's database is then what was committed up to this moment.

        `unlock` lets go of the database for whoever kept it locked."""
        folder = self.house.folder / "next"
        folder.mkdir(parents=True)
        cut = self.house.discord.faults.add(Fault(drop=True, times=None))
        _copy(self.house.folder / "bot.db", folder / "bot.db")
        unlock()
        self.house.folder, self.house.bot = folder, None
        logged = logging.root.manager.disable
        logging.disable(logging.CRITICAL)  # what it says while it dies, no killed process says
        try:
            await self.house.discord.gateway.drop()
            assert self._main is not None
            self._main.cancel()
            async with asyncio.timeout(DRAINED_S):
                while self.tasks:  # again and again: some wait, while they end, for what has died before them
                    for task in self.tasks - {self._main}:
                        if task.get_name() != "database writer":  # has the old file to itself, and main ends it
                            task.cancel()
                    await asyncio.wait(self.tasks, timeout=0.02, return_when=asyncio.FIRST_COMPLETED)
            if self.bot is not None:
                await self.bot.http.close()  # its own closing has been killed, too
        finally:
            logging.disable(logged)
            cut.times = 0
        await self._disconnected()

    async def _disconnected(self) -> None:
        for thread in threading.enumerate():  # of a killed bot nobody else ends them
            if isinstance(thread, discord.gateway.KeepAliveHandler):
                thread.stop()
        gateway = self.house.discord.gateway
        await gateway.wait_until(lambda: not any(session.connected for session in gateway.sessions), READY_S)


def _copy(source: Path, target: Path) -> None:
    """What is committed, and nothing of a transaction that is open."""
    with contextlib.closing(sqlite3.connect(source)) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)
